"""Files of losses: learning curves of a user's models, and the losses of one pretrained model.

A table has the columns ``context``, ``tokens`` and ``loss`` and optionally ``seed`` and ``error``
(a standard error): CSV, TSV, JSON, JSON lines or Parquet. Losses are in nats per token. Rows may
come in any order. Rows with the same context and number of tokens are replicates: they are
averaged, and their spread gives the standard error.

Logs of one training run, as trackers and training programs write them (`curve_layouts`), have
losses along the run. They do not say their context, and many count steps instead of tokens.

The losses of one pretrained model, as `ngramstat read` writes them, have one row for each context.
Their ``tokens`` may be empty, because few models say how many tokens they were trained on; an
optional column ``learner`` names the model.

A column ``parameters`` says how large each model is. Curves are then those of the best size at
every number of tokens, and `read_model_sizes` returns the losses of all sizes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.columns import CurveOptions, Losses, number, understood
from ngramstat.prediction.curve_layouts.loss_file import Row, is_empty
from ngramstat.results import CurveTable

__all__ = [
    "CurveOptions",
    "Paths",
    "read_curves",
    "read_curves_and_sizes",
    "read_model_sizes",
    "read_reader_curve",
]

Floats = NDArray[np.float64]
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

_MAX_CONTEXT = 1 << 31
# A larger loss cannot be in nats per token: a uniform guess among e^100 tokens has this one.
_MAX_LOSS = 100.0
_MAX_NAME = 200


def read_curves(
    path: Paths,
    *,
    columns: Mapping[str, str] | None = None,
    context: int | Sequence[int] | None = None,
    tokens_per_step: float | Sequence[float] | None = None,
    parameters: float | Sequence[float] | None = None,
    unit: str = "nats",
) -> CurveTable:
    """Read learning curves from where losses live; the content says what a file is.

    Read are tables of losses (CSV, TSV, JSON, JSON lines, Parquet), charts and histories of W&B,
    metrics of MLflow, trainer_state.json of Hugging Face, metrics.csv of Lightning, events of
    TensorBoard (extra ``tensorboard``), and what llm.c, nanoGPT, modded-nanogpt, nanochat,
    torchtitan, litgpt and Megatron-LM print.

    Parameters
    ----------
    path
        A file, the directory of one run, or several of these, whose losses are put together.
    columns : mapping of str to str, optional
        Names of columns by what they are: ``loss``, ``tokens``, ``step``, ``context``, ``error``,
        ``seed``, ``parameters``. Others are recognised by their names; a validation loss is
        preferred to a training loss, and where several could be meant nothing is guessed.
    context : int, or one per path, optional
        Tokens of a training window, for files that do not give the context of their losses.
    tokens_per_step : float, or one per path, optional
        Training tokens of one step: tokens are then steps times this number.
    parameters : float, or one per path, optional
        Size of the model, for files that do not give it.
    unit : str
        ``nats`` or ``bits`` per token, or ``perplexity``.

    Returns
    -------
    CurveTable
        Sorted by context and tokens, in nats per token. The standard error of replicates is that of
        their mean; a given one is combined over replicates, and the larger of the two is kept.
        `notes` says what was read of a log, which points were averaged, and what was left out: rows
        without a loss, and losses at zero tokens in logs.

    Raises
    ------
    InputError
        Naming the file, the line or entry, the cause and the remedy; a loss that is NaN is refused.
    """
    paths = _paths(path)
    each = [
        _spread_over(paths, name, value)
        for name, value in (
            ("context", context),
            ("tokens_per_step", tokens_per_step),
            ("parameters", parameters),
        )
    ]
    options = [
        CurveOptions(columns or {}, n, per_step, size, unit)
        for n, per_step, size in zip(*each, strict=True)
    ]
    return read_curves_and_sizes(paths, options)[0]


def _paths(path: Paths) -> list[Path]:
    paths = [path] if isinstance(path, str | PathLike) else list(path)
    if not paths:
        raise InputError("path: no file of losses; give at least one")
    return [Path(one) for one in paths]


def _spread_over(
    paths: Sequence[Path], name: str, value: float | Sequence[float] | None
) -> list[float | None]:
    """One value per path."""
    if isinstance(value, Sequence):
        if len(value) != len(paths):
            raise InputError(f"{name}: {len(value)} values for {len(paths)} files")
        return list(value)
    return [value] * len(paths)


def read_curves_and_sizes(
    path: Paths, options: CurveOptions | Sequence[CurveOptions] | None = None
) -> tuple[CurveTable, tuple[Floats, Floats, Floats] | None]:
    """Both `read_curves` and `read_model_sizes`, from one reading of the files."""
    paths = _paths(path)
    if options is None or isinstance(options, CurveOptions):
        options = [options or CurveOptions()] * len(paths)
    losses = [_losses(one, given) for one, given in zip(paths, options, strict=True)]
    rows = [row for found in losses for row in found.rows]
    notes = [note for found in losses for note in found.notes]
    if all(is_empty(values["tokens"]) for _, values in rows):
        raise InputError(
            f"{paths[0]}: gives no training tokens, as a file of one pretrained model may; "
            "learning curves need them (such a file is for --reader)"
        )
    means_by_size = _by_size(rows)
    groups: dict[tuple[int, float], list[_Loss]] = {}
    for where, values in _of_best_sizes(rows, means_by_size):
        loss = _checked(where, values)
        groups.setdefault((loss.context, loss.tokens), []).append(loss)
    _check_seeds(groups)
    notes += _note_on_repeats(paths[0], groups)
    is_log = any(found.is_log for found in losses)
    return _table(groups, notes, is_log), _columns_of_sizes(means_by_size)


def _table(
    groups: Mapping[tuple[int, float], list[_Loss]], notes: Sequence[str], is_log: bool
) -> CurveTable:
    """One row for each context and number of tokens."""
    keys = sorted(groups)
    means = [_mean(groups[key]) for key in keys]
    errors = np.array([math.nan if error is None else error for _, error in means])
    return CurveTable(
        context=np.array([context for context, _ in keys], dtype=np.int64),
        tokens=np.array([tokens for _, tokens in keys]),
        loss=np.array([loss for loss, _ in means]),
        error=errors if np.isfinite(errors).any() else None,
        replicates=np.array([len(groups[key]) for key in keys], dtype=np.int64),
        of_one_run=is_log,
        notes=tuple(notes),
    )


def _losses(path: Path, options: CurveOptions) -> Losses:
    """The losses of a file; at least one."""
    from ngramstat.prediction.curve_layouts.registry import open_losses

    losses = understood(open_losses(path), options)
    if not losses.rows:
        raise InputError(f"{path}: has no losses; give one row for each context and tokens")
    return losses


@dataclasses.dataclass(frozen=True)
class _Loss:
    """One checked row."""

    where: str
    context: int
    tokens: float
    loss: float
    error: float | None
    seed: str | None


def _check_seeds(groups: Mapping[tuple[int, float], list[_Loss]]) -> None:
    """Refuse two losses of one seed at one point."""
    for (context, tokens), losses in groups.items():
        seeds: dict[str, str] = {}
        for loss in losses:
            if loss.seed is None:
                continue
            if loss.seed in seeds:
                raise InputError(
                    f"{loss.where}: context {context}, tokens {tokens:g} and seed "
                    f"{loss.seed[:40]} are already given at {seeds[loss.seed]}; remove one"
                )
            seeds[loss.seed] = loss.where.rsplit(": ", 1)[-1]


def _note_on_repeats(path: Path, groups: Mapping[tuple[int, float], list[_Loss]]) -> list[str]:
    """Say which points were averaged; those of different seeds are meant to be."""
    repeated = {
        key: losses
        for key, losses in groups.items()
        if len(losses) > 1 and any(loss.seed is None for loss in losses)
    }
    if not repeated:
        return []
    (context, tokens), losses = max(
        repeated.items(), key=lambda item: np.ptp([loss.loss for loss in item[1]])
    )
    values = [loss.loss for loss in losses]
    return [
        f"{path}: {len(repeated)} of {len(groups)} points are given more than once without seeds, "
        f"such as context {context} at {tokens:g} tokens ({len(losses)} losses from "
        f"{min(values):g} to {max(values):g}); each is their mean, its error that of their spread"
    ]


def read_reader_curve(path: str | PathLike[str]) -> CurveTable:
    """Read the losses of one pretrained model by context, as `ngramstat read` writes them.

    Parameters
    ----------
    path
        A table of losses, see `read_curves`.

    Returns
    -------
    CurveTable
        One row for each context. `tokens` is the number of tokens that the model was trained on, or
        NaN in all rows where the file leaves it empty; `learner` is the model's name, by default
        that of the file.

    Raises
    ------
    InputError
        Naming the file, the line or entry, the cause and the remedy.
    """
    rows = _losses(Path(path), CurveOptions()).rows
    known = not all(is_empty(values["tokens"]) for _, values in rows)
    read: dict[int, tuple[float, float, float]] = {}
    for where, values in rows:
        # One training token stands for an unknown number until the row has been checked.
        filled = values if known else {**values, "tokens": 1}
        loss = _checked(where, filled)
        if loss.context in read:
            raise InputError(
                f"{where}: context {loss.context} is already given; a reader's curve has one loss "
                "for each context (learning curves are for --curves)"
            )
        error = math.nan if loss.error is None else loss.error
        read[loss.context] = (loss.tokens, loss.loss, error)
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


def _learner(path: str | PathLike[str], rows: list[Row]) -> str:
    """The one name in the column `learner`, or that of the file."""
    cells = [values.get("learner") for _, values in rows]
    names = {"" if is_empty(cell) else str(cell).strip()[:_MAX_NAME] for cell in cells}
    if len(names) > 1:
        raise InputError(f"{path}: names {len(names)} learners; keep the rows of one")
    return names.pop() or Path(path).stem


def read_model_sizes(path: Paths) -> tuple[Floats, Floats, Floats] | None:
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


def _of_best_sizes(rows: list[Row], means: Mapping[tuple[float, float], float]) -> list[Row]:
    """The rows of the model size with the smallest of the `means` at every number of tokens."""
    if not means:
        return rows
    # The last entry of a key stands: the smallest loss.
    best = {d: n for n, d in sorted(means, key=lambda key: -means[key])}
    return [
        (where, values)
        for where, values in rows
        if _parameters(where, values) == best[number(where, "tokens", values["tokens"])]
    ]


def _by_size(rows: list[Row]) -> dict[tuple[float, float], float]:
    """Mean loss of every (parameters, tokens) over the positions up to the largest shared context.

    The contexts are those that all models have; between them losses are interpolated.
    """
    known = {"parameters" in values for _, values in rows}
    if known != {True}:
        if len(known) > 1:
            where = next(where for where, values in rows if "parameters" not in values)
            raise InputError(f"{where}: does not give the parameters, as other files do")
        return {}
    losses: dict[tuple[float, float], dict[int, list[float]]] = {}
    for where, values in rows:
        loss = _checked(where, values)
        of_model = losses.setdefault((_parameters(where, values), loss.tokens), {})
        of_model.setdefault(loss.context, []).append(loss.loss)
    shared = sorted(set.intersection(*(set(found) for found in losses.values())))
    if not shared:
        return {}
    positions = np.arange(shared[0], shared[-1] + 1)
    return {
        key: float(np.interp(positions, shared, [np.mean(found[n]) for n in shared]).mean())
        for key, found in losses.items()
    }


def _parameters(where: str, values: Mapping[str, Any]) -> float:
    parameters = number(where, "parameters", values["parameters"])
    if parameters < 1:
        raise InputError(f"{where}: parameters {parameters:g}: at least 1 is needed")
    return parameters


def _checked(where: str, values: Mapping[str, Any]) -> _Loss:
    context = number(where, "context", values["context"])
    if not (context.is_integer() and context >= 0):
        raise InputError(f"{where}: context {context:g} is not a whole number of tokens")
    if context > _MAX_CONTEXT:
        raise InputError(f"{where}: context {context:g}: at most {_MAX_CONTEXT:g} tokens")
    tokens = number(where, "tokens", values["tokens"])
    if tokens < 1:
        raise InputError(f"{where}: tokens {tokens:g}: at least 1 training token is needed")
    loss = number(where, "loss", values["loss"])
    if not 0 < loss <= _MAX_LOSS:
        raise InputError(
            f"{where}: loss {loss:g}: must lie in (0, {_MAX_LOSS:g}] nats per token (a perplexity "
            "is its exponential)"
        )
    error: float | None = None
    error_cell = values.get("error")
    if error_cell is not None and str(error_cell).strip():
        error = number(where, "error", error_cell)
        if error <= 0:
            raise InputError(
                f"{where}: error {error:g}: must be positive; leave it empty if unknown"
            )
    seed = values.get("seed")
    label = None if seed is None or not str(seed).strip() else str(seed).strip()
    return _Loss(where, int(context), tokens, loss, error, label)


def _mean(replicates: Sequence[_Loss]) -> tuple[float, float | None]:
    """Mean of the replicates' losses, and its standard error where anything shows it."""
    losses = np.array([one.loss for one in replicates])
    given = [one.error for one in replicates if one.error is not None]
    estimates: list[float] = []
    if len(losses) > 1:
        estimates.append(float(losses.std(ddof=1)) / math.sqrt(len(losses)))
    if len(given) == len(replicates):
        estimates.append(math.sqrt(sum(e * e for e in given)) / len(given))
    error = max(estimates, default=0.0)
    # Equal replicates (rounded losses) do not show an error.
    return float(losses.mean()), error if error > 0 else None
