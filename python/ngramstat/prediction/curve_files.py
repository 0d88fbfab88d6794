"""Files of losses: learning curves of a user's models, and the losses of one pretrained model.

CSV with a header, or JSON (a list of objects, or an object of equally long lists), with the columns
``context``, ``tokens`` and ``loss`` and optionally ``seed`` and ``error`` (a standard error).
Losses are in nats per token. Rows may come in any order. Rows with the same context and number of
tokens are replicates: they are averaged, and their spread gives the standard error.

The losses of one pretrained model, as `ngramstat read` writes them, have one row for each context.
Their ``tokens`` may be empty, because few models say how many tokens they were trained on; an
optional column ``learner`` names the model.

A column ``parameters`` says how large each model is. Curves are then those of the best size at
every number of tokens, and `read_model_sizes` returns the losses of all sizes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.results import CurveTable
from ngramstat.runtime.files import read_json, reason, regular_file_size

__all__ = ["read_curves", "read_curves_and_sizes", "read_model_sizes", "read_reader_curve"]

Floats = NDArray[np.float64]

_REQUIRED = ("context", "tokens", "loss")
_NAMES = {
    "parameters": "parameters", "params": "parameters", "model_size": "parameters",
    "context": "context", "n": "context",
    "tokens": "tokens", "p": "tokens",
    "loss": "loss", "nats": "loss",
    "error": "error", "standard_error": "error", "stderr": "error", "se": "error",
    "seed": "seed", "replicate": "seed",
    "learner": "learner",
}  # fmt: skip
# More than any table of losses needs, and small enough to be read into memory.
_MAX_BYTES = 1 << 26
_MAX_CONTEXT = 1 << 31
# A larger loss cannot be in nats per token: a uniform guess among e^100 tokens has this one.
_MAX_LOSS = 100.0
_MAX_NAME = 200


def read_curves(path: str | PathLike[str]) -> CurveTable:
    """Read learning curves from a CSV or JSON file.

    Parameters
    ----------
    path
        A file whose name ends in ``.json`` is JSON, any other is CSV.

    Returns
    -------
    CurveTable
        Sorted by context and tokens. The standard error of replicates is that of their mean; a
        given one is combined over replicates, and the larger of the two is kept.

    Raises
    ------
    InputError
        Naming the file, the line (CSV) or entry (JSON), the cause and the remedy.
    """
    return read_curves_and_sizes(path)[0]


def read_curves_and_sizes(
    path: str | PathLike[str],
) -> tuple[CurveTable, tuple[Floats, Floats, Floats] | None]:
    """Both `read_curves` and `read_model_sizes`, from one reading of the file."""
    rows = _rows(path)
    if all(_is_empty(values["tokens"]) for _, values in rows):
        raise InputError(
            f"{path}: gives no training tokens, as a file of one pretrained model may; learning "
            "curves need them (such a file is for --reader)"
        )
    groups: dict[tuple[int, float], list[tuple[float, float | None]]] = {}
    seeds: dict[tuple[int, float, str], str] = {}
    means_by_size = _by_size(rows)
    for where, values in _of_best_sizes(rows, means_by_size):
        context, tokens, loss, error, seed = _checked(where, values)
        if seed is not None:
            key = (context, tokens, seed)
            if key in seeds:
                raise InputError(
                    f"{where}: context {context}, tokens {tokens:g} and seed {seed[:40]} are "
                    f"already given at {seeds[key]}; remove one of the two"
                )
            seeds[key] = where.rsplit(": ", 1)[-1]
        groups.setdefault((context, tokens), []).append((loss, error))
    keys = sorted(groups)
    means = [_mean(groups[key]) for key in keys]
    errors = np.array([math.nan if error is None else error for _, error in means])
    table = CurveTable(
        context=np.array([context for context, _ in keys], dtype=np.int64),
        tokens=np.array([tokens for _, tokens in keys]),
        loss=np.array([loss for loss, _ in means]),
        error=errors if np.isfinite(errors).any() else None,
        replicates=np.array([len(groups[key]) for key in keys], dtype=np.int64),
    )
    return table, _columns_of_sizes(means_by_size)


def read_reader_curve(path: str | PathLike[str]) -> CurveTable:
    """Read the losses of one pretrained model by context, as `ngramstat read` writes them.

    Parameters
    ----------
    path
        A file whose name ends in ``.json`` is JSON, any other is CSV.

    Returns
    -------
    CurveTable
        One row for each context. `tokens` is the number of tokens that the model was trained on, or
        NaN in all rows where the file leaves it empty; `learner` is the model's name, by default
        that of the file.

    Raises
    ------
    InputError
        Naming the file, the line (CSV) or entry (JSON), the cause and the remedy.
    """
    rows = _rows(path)
    known = not all(_is_empty(values["tokens"]) for _, values in rows)
    read: dict[int, tuple[float, float, float]] = {}
    for where, values in rows:
        # One training token stands for an unknown number until the row has been checked.
        filled = values if known else {**values, "tokens": 1}
        context, tokens, loss, error, _ = _checked(where, filled)
        if context in read:
            raise InputError(
                f"{where}: context {context} is already given; a reader's curve has one loss for "
                "each context (learning curves are for --curves)"
            )
        read[context] = (tokens, loss, math.nan if error is None else error)
    contexts = sorted(read)
    sizes, losses, errors = np.array([read[n] for n in contexts]).T
    if len(np.unique(sizes)) > 1:
        raise InputError(
            f"{path}: has {len(np.unique(sizes))} different numbers of training tokens; a reader's "
            "curve is that of one trained model (learning curves are for --curves)"
        )
    return CurveTable(
        context=np.array(contexts, dtype=np.int64),
        tokens=sizes if known else np.full(len(contexts), math.nan),
        loss=losses,
        error=errors if np.isfinite(errors).any() else None,
        replicates=np.ones(len(contexts), dtype=np.int64),
        learner=_learner(path, rows),
    )


def _learner(path: str | PathLike[str], rows: list[tuple[str, Mapping[str, Any]]]) -> str:
    """The one name in the column `learner`, or that of the file."""
    cells = [values.get("learner") for _, values in rows]
    names = {"" if _is_empty(cell) else str(cell).strip()[:_MAX_NAME] for cell in cells}
    if len(names) > 1:
        raise InputError(f"{path}: names {len(names)} learners; keep the rows of one")
    return names.pop() or Path(path).stem


def _rows(path: str | PathLike[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every row with its place in the file; at least one."""
    rows = _json_rows(path) if str(path).lower().endswith(".json") else _csv_rows(path)
    if not rows:
        raise InputError(f"{path}: has no losses; give one row for each context and tokens")
    return rows


def _is_empty(cell: Any) -> bool:
    return cell is None or not str(cell).strip()


def read_model_sizes(path: str | PathLike[str]) -> tuple[Floats, Floats, Floats] | None:
    """Losses by model size and training tokens, from a file with the column ``parameters``.

    Returns
    -------
    (parameters, tokens, losses) or None
        One row for each model size and number of tokens: the loss is the mean over contexts, see
        `read_curves`. None without the column, or where the models share no context.

    Raises
    ------
    InputError
        As `read_curves`.
    """
    return read_curves_and_sizes(path)[1]


def _columns_of_sizes(
    means: Mapping[tuple[float, float], float],
) -> tuple[Floats, Floats, Floats] | None:
    if not means:
        return None
    keys = sorted(means)
    n, d = np.array(keys, dtype=np.float64).T
    return n, d, np.array([means[key] for key in keys], dtype=np.float64)


def _of_best_sizes(
    rows: list[tuple[str, Mapping[str, Any]]], means: Mapping[tuple[float, float], float]
) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of the model size with the smallest of the `means` at every number of tokens."""
    if not means:
        return rows
    # The last entry of a key stands: the smallest loss.
    best = {d: n for n, d in sorted(means, key=lambda key: -means[key])}
    return [
        (where, values)
        for where, values in rows
        if _parameters(where, values) == best[_number(where, "tokens", values["tokens"])]
    ]


def _by_size(rows: list[tuple[str, Mapping[str, Any]]]) -> dict[tuple[float, float], float]:
    """Mean loss of every (parameters, tokens) over the positions up to the largest shared context.

    The contexts are those that all models have; between them losses are interpolated.
    """
    if not rows or "parameters" not in rows[0][1]:
        return {}
    losses: dict[tuple[float, float], dict[int, list[float]]] = {}
    for where, values in rows:
        context, tokens, loss, _, _ = _checked(where, values)
        of_model = losses.setdefault((_parameters(where, values), tokens), {})
        of_model.setdefault(context, []).append(loss)
    shared = sorted(set.intersection(*(set(found) for found in losses.values())))
    if not shared:
        return {}
    positions = np.arange(shared[0], shared[-1] + 1)
    return {
        key: float(np.interp(positions, shared, [np.mean(found[n]) for n in shared]).mean())
        for key, found in losses.items()
    }


def _parameters(where: str, values: Mapping[str, Any]) -> float:
    parameters = _number(where, "parameters", values["parameters"])
    if parameters < 1:
        raise InputError(f"{where}: parameters {parameters:g}: at least 1 is needed")
    return parameters


def _csv_rows(path: str | PathLike[str]) -> list[tuple[str, Mapping[str, Any]]]:
    size = regular_file_size(path)
    if size > _MAX_BYTES:
        raise InputError(f"{path}: {size} bytes, more than the {_MAX_BYTES} of a table of losses")
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[tuple[str, Mapping[str, Any]]] = []
    try:
        for cells in reader:
            where = f"{path}: line {reader.line_num}"
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if header is None:
                header = _header(where, cells)
                continue
            if len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells, but the header has {len(header)}")
            rows.append((where, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not valid CSV: {error}") from error
    if header is None:
        raise InputError(f"{path}: is empty; its first line must name context,tokens,loss")
    return rows


def _header(where: str, cells: list[str]) -> list[str]:
    names = [_NAMES.get(cell.strip().lower(), "") for cell in cells]
    if not any(names):
        raise InputError(
            f"{where}: no header; the first line must name the columns, such as context,tokens,loss"
        )
    _check_names(where, names)
    return names


def _check_names(where: str, names: list[str]) -> None:
    for name in _REQUIRED:
        if name not in names:
            raise InputError(
                f"{where}: no column {name!r}; required are {', '.join(_REQUIRED)} (losses in nats "
                "per token), and optional are seed, error and learner"
            )
    repeated = [name for name in set(names) - {""} if names.count(name) > 1]
    if repeated:
        raise InputError(f"{where}: two columns mean {repeated[0]!r}; remove one")


def _json_rows(path: str | PathLike[str]) -> list[tuple[str, Mapping[str, Any]]]:
    data = read_json(path, max_bytes=_MAX_BYTES)
    if isinstance(data, dict):
        columns = {_NAMES.get(key.strip().lower(), ""): value for key, value in data.items()}
        names = [_NAMES.get(key.strip().lower(), "") for key in data]
        _check_names(f"{path}", names)
        columns.pop("", None)
        for name, value in columns.items():
            if not isinstance(value, list):
                raise InputError(f"{path}: {name}: needs a list")
        lengths = {name: len(value) for name, value in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: its lists have different lengths, {lengths}")
        count = lengths["loss"]
        return [
            (f"{path}: entry {i}", {name: value[i] for name, value in columns.items()})
            for i in range(count)
        ]
    if not isinstance(data, list):
        raise InputError(f"{path}: needs a list of objects with context, tokens and loss")
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for i, item in enumerate(data):
        where = f"{path}: entry {i}"
        if not isinstance(item, dict):
            raise InputError(f"{where}: needs an object with context, tokens and loss")
        names = [_NAMES.get(key.strip().lower(), "") for key in item]
        _check_names(where, names)
        rows.append((where, dict(zip(names, item.values(), strict=True))))
    return rows


def _checked(
    where: str, values: Mapping[str, Any]
) -> tuple[int, float, float, float | None, str | None]:
    context = _number(where, "context", values["context"])
    if not (context.is_integer() and context >= 0):
        raise InputError(f"{where}: context {context:g} is not a whole number of tokens")
    if context > _MAX_CONTEXT:
        raise InputError(f"{where}: context {context:g}: at most {_MAX_CONTEXT:g} tokens")
    tokens = _number(where, "tokens", values["tokens"])
    if tokens < 1:
        raise InputError(f"{where}: tokens {tokens:g}: at least 1 training token is needed")
    loss = _number(where, "loss", values["loss"])
    if not 0 < loss <= _MAX_LOSS:
        raise InputError(
            f"{where}: loss {loss:g}: must lie in (0, {_MAX_LOSS:g}] nats per token (a perplexity "
            "is its exponential)"
        )
    error: float | None = None
    error_cell = values.get("error")
    if error_cell is not None and str(error_cell).strip():
        error = _number(where, "error", error_cell)
        if error <= 0:
            raise InputError(
                f"{where}: error {error:g}: must be positive; leave it empty if unknown"
            )
    seed = values.get("seed")
    label = None if seed is None or not str(seed).strip() else str(seed).strip()
    return int(context), tokens, loss, error, label


def _number(where: str, name: str, value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError) as error:
        shown = str(value).strip()[:40]
        raise InputError(f"{where}: {name} {shown!r} is not a number") from error
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {number}; leave out rows without a finite number")
    return number


def _mean(replicates: list[tuple[float, float | None]]) -> tuple[float, float | None]:
    """Mean of the replicates' losses, and its standard error where anything shows it."""
    losses = np.array([loss for loss, _ in replicates])
    given = [error for _, error in replicates if error is not None]
    estimates: list[float] = []
    if len(losses) > 1:
        estimates.append(float(losses.std(ddof=1)) / math.sqrt(len(losses)))
    if len(given) == len(replicates):
        estimates.append(math.sqrt(sum(e * e for e in given)) / len(given))
    error = max(estimates, default=0.0)
    # Equal replicates (rounded losses) do not show an error.
    return float(losses.mean()), error if error > 0 else None
