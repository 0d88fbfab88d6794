"""Which column of a file is the loss, which the training tokens, and how steps become tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row, is_empty
from ngramstat.runtime.numbers import count_of, parse_float

__all__ = ["ROLES", "UNITS", "CurveOptions", "Losses", "number", "understood"]

# What a column can be, by the names that say so exactly.
_EXACT = {
    "parameters": "parameters", "params": "parameters", "model_size": "parameters",
    "context": "context", "n": "context",
    "tokens": "tokens", "p": "tokens",
    "loss": "loss", "nats": "loss",
    "error": "error", "standard_error": "error", "stderr": "error", "se": "error",
    "seed": "seed", "replicate": "seed",
    "learner": "learner",
}  # fmt: skip
# Logs have metrics of their own called "error", "n" or "p", and several counts of tokens.
_OF_LOGS = {"context", "loss"}
ROLES = ("context", "tokens", "step", "loss", "error", "seed", "parameters", "learner")
UNITS = ("nats", "bits", "perplexity")

# Words in the names of columns, which are split at punctuation and before capitals.
_LOSS = {"loss", "nll", "ce", "xent", "crossentropy", "nats"}
_VALIDATION = {"val", "valid", "validation", "eval", "evaluation", "dev", "heldout"}
_TEST = {"test"}
# Losses of something else, parts of a loss, and numbers about losses.
_NO_LOSS = {
    "scale", "aux", "auxiliary", "balancing", "balance", "router", "z", "zloss", "kl", "mtp",
    "std", "stderr", "sem", "var", "time", "min", "max", "best", "vs", "diff", "count", "weight",
}  # fmt: skip
_UNIT_WORDS = {
    "perplexity": {"ppl", "perplexity"},
    "bits": {"bits", "bpt", "bit"},
    "bits per byte or character": {"bpb", "bpc"},
}
_TOKENS = {"token", "tokens", "ntokens", "toks"}
_NO_TOKENS = {"per", "sec", "second", "s", "rate", "speed", "ms", "batch", "loss", "accuracy",
              "m", "b", "k", "g", "t", "million", "billion", "trillion", "millions",
              "billions", "id", "ids", "max", "min", "vs", "tps", "remaining", "time"}  # fmt: skip
_STEPS = ("step", "steps", "iteration", "iterations", "iter", "update", "updates", "batches")
# W&B's count of its own calls: steps of the training only if there is one call a step.
_WANDB_STEP = "_step"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_SHOWN = 12
# Losses along one run are far from independent, and more of them than this show no more of a law.
_MAX_POINTS = 48
# The kind of a loss that is neither of validation nor of test data.
_TRAINING = 2


@dataclass(frozen=True)
class CurveOptions:
    """What a user says about a file of losses.

    Attributes
    ----------
    columns : mapping of str to str
        Roles (`ROLES`) to the names of columns, where those are not found by themselves.
    context : int or None
        Tokens of context of the losses, where the file does not give it.
    tokens_per_step : float or None
        Training tokens of one step, where the file counts steps.
    parameters : float or None
        Size of the model, where the file does not give it.
    unit : str
        Of the losses: ``nats`` or ``bits`` per token, or ``perplexity``.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    context: int | None = None
    tokens_per_step: float | None = None
    parameters: float | None = None
    unit: str = "nats"

    def __post_init__(self) -> None:
        unknown = [role for role in self.columns if role not in ROLES]
        if unknown:
            raise InputError(f"columns: {unknown[0]!r} is none of {', '.join(ROLES)}")
        if self.unit not in UNITS:
            raise InputError(f"unit: {self.unit!r} is none of {', '.join(UNITS)}")
        for name in ("context", "tokens_per_step", "parameters"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}: {value:g} is not a positive number")
        if self.tokens_per_step is not None and "tokens" in self.columns:
            raise InputError(
                "tokens_per_step: a column of tokens is named, too; give one of the two"
            )


@dataclass(frozen=True)
class Losses:
    """The losses of a file.

    Attributes
    ----------
    rows : list of (place, cells)
        Cells by their roles. Every row has a loss; its number is not yet checked.
    notes : tuple of str
        Sentences on what was read, and what was left out.
    is_log : bool
        Whether the rows are points of one training run.
    """

    rows: list[Row]
    notes: tuple[str, ...] = ()
    is_log: bool = False


def understood(file: LossFile, options: CurveOptions) -> Losses:
    """The losses of a file, by the roles of its columns.

    Raises
    ------
    InputError
        A column is missing, or several could be meant; naming them, and what to give.
    """
    found = _columns(file, options)
    steps = _step_column(file, found, options)
    _check_columns(file, found, steps, options)
    counts = [name for name in file.names if _counts_steps(name)]
    rows = file.rows({*found.values(), *counts, *([steps] if steps else [])})
    kept = [row for row in rows if not is_empty(row[1].get(found["loss"]))]
    is_log = file.is_log or steps is not None or _counts_seen(found["tokens"])
    cells = _by_role(kept, found, options)
    if steps is not None:
        cells = _with_steps(cells, kept, steps, options)
    elif is_log:
        cells = _with_tokens(cells, kept, rows, found["tokens"], counts)
    if file.decimal_comma:
        cells = _with_points(cells)
    if is_log:
        return _of_log(file, cells, found, steps, options)
    notes = []
    if len(kept) < len(rows):
        notes.append(
            f"{file.path}: {count_of(len(rows) - len(kept), 'row')} without a loss left out"
        )
    return Losses([_in_nats(row, options.unit) for row in cells], tuple(notes))


def _by_role(kept: list[Row], found: Mapping[str, str], options: CurveOptions) -> list[Row]:
    """Cells by role, with what the options give for every row."""
    given = {"context": options.context, "parameters": options.parameters}
    added = {
        role: value for role, value in given.items() if value is not None and role not in found
    }
    return [
        (where, {role: values.get(name) for role, name in found.items()} | added)
        for where, values in kept
    ]


def _of_log(
    file: LossFile,
    cells: list[Row],
    found: Mapping[str, str],
    steps: str | None,
    options: CurveOptions,
) -> Losses:
    """The losses of a run after its start, no denser than they are of use."""
    kept = [row for row in cells if number(row[0], "tokens", row[1]["tokens"]) > 0]
    notes = _sentences(file, found, steps, options, len(kept))
    if len(kept) < len(cells):
        which = "the loss at step 0, before any training, is left out"
        if len(cells) - len(kept) > 1:
            which = f"{len(cells) - len(kept)} losses at step 0, before any training, are left out"
        notes.append(f"{file.path}: {which}")
    rows = [_in_nats(row, options.unit) for row in kept]
    if "context" not in found and len(rows) > _MAX_POINTS:
        rows, note = _spaced(rows, average=_preference(found["loss"])[0] == _TRAINING)
        notes.append(f"{file.path}: {note}")
    return Losses(rows, tuple(notes), is_log=True)


def number(where: str, name: str, value: Any) -> float:
    """A finite number of a cell.

    Raises
    ------
    InputError
        Naming the place.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        result = parse_float(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError) as error:
        shown = str(value).strip()[:40]
        hint = "; write it without commas" if "," in shown else ""
        raise InputError(f"{where}: {name} {shown!r} is not a number{hint}") from error
    if not math.isfinite(result):
        raise InputError(f"{where}: {name} is {result}; leave out rows without a finite number")
    return result


# --- columns ---------------------------------------------------------------------------------


def _columns(file: LossFile, options: CurveOptions) -> dict[str, str]:
    """Roles to columns, but for the steps."""
    found = {role: _named(file, role, name) for role, name in options.columns.items()}
    for name in file.names:
        role = _EXACT.get(name.lower())
        if (
            role is None
            or role in options.columns
            or (file.is_log and name.lower() not in _OF_LOGS)
        ):
            continue
        if role in found:
            raise InputError(f"{file.place}: two columns mean {role!r}; remove one")
        found[role] = name
    if "loss" not in options.columns and not {"context", "tokens", "loss"} <= set(found):
        # Beside a validation loss, "loss" is that of training.
        found["loss"] = _loss_column(file, found.get("loss"), options.unit)
    if options.tokens_per_step is not None:
        found.pop("tokens", None)
    elif "tokens" not in found:
        found.update(_tokens_column(file))
    found.pop("step", None)
    return found


def _tokens_column(file: LossFile) -> dict[str, str]:
    """The one column that counts training tokens; empty without one."""
    candidates = [name for name in file.names if _counts_tokens(name)]
    if len(candidates) > 1:
        raise InputError(
            f"{file.place}: {_several(candidates)} could be the training tokens; name one with "
            "--tokens-column"
        )
    return {"tokens": candidates[0]} if candidates else {}


def _named(file: LossFile, role: str, name: str) -> str:
    """The column that a user names for a role, with or without its capitals."""
    same = [n for n in file.names if n == name] or [
        n for n in file.names if n.lower() == name.strip().lower()
    ]
    if len(same) != 1:
        raise InputError(
            f"{file.place}: no column {name!r} for the {role}; it has {_list(file.names)}"
        )
    return same[0]


def _loss_column(file: LossFile, exact: str | None, unit: str) -> str:
    """The validation loss of fewest words, or else a test loss, or else that of training."""
    candidates = [name for name in file.names if name == exact or _is_loss(name, unit)]
    if not candidates:
        other = next((n for n in file.names if _unit_of(n) is not None), None)
        hint = "" if other is None else f"; {_wrong_unit(other)}"
        raise InputError(
            f"{file.place}: no column 'loss'; give the name of the column with --loss-column (it "
            f"has {_list(file.names)}); losses are in nats per token{hint}"
        )
    ranked = sorted(candidates, key=_preference)
    best = [name for name in ranked if _preference(name) == _preference(ranked[0])]
    if len(best) > 1:
        raise InputError(
            f"{file.place}: {_several(best)} could be the loss; name one with --loss-column"
        )
    return best[0]


def _is_loss(name: str, unit: str) -> bool:
    words = _words(name)
    if unit != "nats" and _unit_of(name) == unit:
        return True
    cross_entropy = {"cross", "entropy"} <= words
    return bool(words & _LOSS or cross_entropy) and not words & _NO_LOSS and _unit_of(name) is None


def _preference(name: str) -> tuple[int, int]:
    words = _word_list(name)
    kind = _TRAINING
    if _VALIDATION.intersection(words) or "held" in words:
        kind = 0
    elif _TEST.intersection(words):
        kind = 1
    return kind, len(words)


def _unit_of(name: str) -> str | None:
    words = _words(name)
    if words & _UNIT_WORDS["bits"] and words & {"byte", "char", "character"}:
        return "bits per byte or character"
    return next((unit for unit, known in _UNIT_WORDS.items() if words & known), None)


def _wrong_unit(name: str) -> str:
    unit = _unit_of(name)
    if unit in UNITS:
        return f"{name!r} is in {unit}: give --loss-unit {unit}"
    return (
        f"{name!r} is in {unit}, which are no losses per token: multiply it by ln 2 and by the "
        "mean bytes or characters per token"
    )


def _counts_tokens(name: str) -> bool:
    words = _words(name)
    return bool(words & _TOKENS) and not words & _NO_TOKENS


def _counts_seen(name: str | None) -> bool:
    """Whether a column counts the tokens seen so far, rather than those of a finished model."""
    return name is not None and name.lower() not in _EXACT


def _word_list(name: str) -> list[str]:
    # W&B names a column "run - metric"; the name of the run says nothing about the metric.
    metric = name.rsplit(" - ", 1)[-1]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", metric)
    return re.findall(r"[a-z0-9]+", spaced.lower())


def _words(name: str) -> set[str]:
    return set(_word_list(name))


def _step_column(file: LossFile, found: Mapping[str, str], options: CurveOptions) -> str | None:
    """The count of steps, where tokens come from it."""
    if "tokens" in found:
        return None
    if "step" in options.columns:
        return _named(file, "step", options.columns["step"])
    counts = [name for name in file.names if _counts_steps(name)]
    return min(counts, key=_step_preference, default=None)


def _counts_steps(name: str) -> bool:
    return name == _WANDB_STEP or name.lower() in _STEPS or _is_global_step(name)


def _is_global_step(name: str) -> bool:
    return _word_list(name)[-2:] == ["global", "step"]


def _step_preference(name: str) -> int:
    """Counts that trainers keep come first, and that of W&B last."""
    if _is_global_step(name):
        return -1
    return len(_STEPS) if name == _WANDB_STEP else _STEPS.index(name.lower())


def _check_columns(
    file: LossFile, found: Mapping[str, str], steps: str | None, options: CurveOptions
) -> None:
    """Refuse a file whose tokens, contexts or unit are not known."""
    for name in (*found.values(), steps):
        if file.names.count(name or "") > 1:
            raise InputError(f"{file.place}: two columns are called {name!r}; rename one")
    named = found["loss"]
    unit = _unit_of(named)
    if unit is not None and unit != options.unit:
        raise InputError(f"{file.place}: {_wrong_unit(named)}")
    if "tokens" not in found:
        if steps is None and options.tokens_per_step is not None:
            raise InputError(
                f"{file.place}: has no count of steps; name it with --step-column (it has "
                f"{_list(file.names)})"
            )
        if steps is None:
            raise InputError(
                f"{file.place}: no column 'tokens', the training tokens of each loss; name it with "
                f"--tokens-column (it has {_list(file.names)})"
            )
        if options.tokens_per_step is None:
            raise InputError(
                f"{file.place}: counts steps ({steps!r}) and not training tokens; give "
                "--tokens-per-step N: sequences in a batch x tokens "
                "of a sequence x devices x gradient accumulation"
            )
    if "context" not in found and options.context is None:
        raise InputError(
            f"{file.place}: no column 'context'; give --context T, the "
            "tokens of a training window, if all losses are means over such windows"
        )
    if "parameters" in found and options.parameters is not None:
        raise InputError(
            f"{file.place}: has the column {found['parameters']!r}; leave out parameters"
        )


# --- cells -----------------------------------------------------------------------------------


def _with_steps(cells: list[Row], kept: list[Row], steps: str, options: CurveOptions) -> list[Row]:
    """Tokens as steps times the tokens of one."""
    out: list[Row] = []
    for (where, row), (_, values) in zip(cells, kept, strict=True):
        step = number(where, steps, values.get(steps))
        if step < 0 or not step.is_integer():
            raise InputError(f"{where}: {steps} {step:g} is no number of steps")
        out.append((where, {**row, "tokens": step * (options.tokens_per_step or 1)}))
    return out


def _with_tokens(
    cells: list[Row], kept: list[Row], rows: list[Row], tokens: str, counts: Sequence[str]
) -> list[Row]:
    """Losses whose tokens are in another row of the same step, as trackers log them."""

    def steps(values: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [(name, str(values[name])) for name in counts if not is_empty(values.get(name))]

    known = {
        key: values[tokens]
        for _, values in rows
        if not is_empty(values.get(tokens))
        for key in steps(values)
    }
    out: list[Row] = []
    for (where, row), (_, values) in zip(cells, kept, strict=True):
        if is_empty(row["tokens"]):
            same = next((known[key] for key in steps(values) if key in known), None)
            if same is None:
                raise InputError(
                    f"{where}: has a loss, but neither it nor a row of the same step has "
                    f"{tokens!r}; give --tokens-per-step N"
                )
            row = {**row, "tokens": same}
        out.append((where, row))
    return out


def _with_points(rows: list[Row]) -> list[Row]:
    """Decimal commas as points, where that is certain.

    A comma before exactly three digits in all numbers could separate thousands; a file with
    commas and points in its numbers could mean either.
    """
    numbers = [
        (where, str(cell).strip())
        for where, row in rows
        for cell in row.values()
        if cell is not None
    ]
    commas = [(where, text) for where, text in numbers if _DECIMAL_COMMA.fullmatch(text)]
    if not commas:
        return rows
    where, shown = commas[0]
    points = [text for _, text in numbers if re.fullmatch(r"[+-]?\d+\.\d+", text)]
    if points:
        raise InputError(
            f"{where}: {shown!r} has a comma and {points[0]!r} a point; write numbers as 1234.5"
        )
    if all(re.fullmatch(r"[+-]?\d{1,3},\d{3}", text) for _, text in commas):
        raise InputError(
            f"{where}: the comma in {shown!r} may separate thousands or decimals; write numbers as "
            "1234.5"
        )
    return [(where, {role: _with_point(cell) for role, cell in row.items()}) for where, row in rows]


def _with_point(cell: Any) -> Any:
    text = str(cell).strip()
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else cell


def _spaced(rows: list[Row], *, average: bool) -> tuple[list[Row], str]:
    """Rows of at most `_MAX_POINTS` numbers of tokens, evenly spaced in their logarithm.

    Each is the last of its bin, or with `average` the mean of the bin, for losses of batches.
    """
    logs = [math.log(number(where, "tokens", row["tokens"])) for where, row in rows]
    first, width = min(logs), (max(logs) - min(logs)) / _MAX_POINTS
    bins: dict[int, list[tuple[float, Row]]] = {}
    for log, row in zip(logs, rows, strict=True):
        at = min(int((log - first) / width), _MAX_POINTS - 1) if width else 0
        bins.setdefault(at, []).append((log, row))
    out: list[Row] = []
    for _, members in sorted(bins.items(), key=lambda item: item[0]):
        if average:
            losses = [number(where, "loss", row["loss"]) for _, (where, row) in members]
            tokens = math.exp(sum(log for log, _ in members) / len(members))
            where, first_row = members[0][1]
            mean = sum(losses) / len(losses)
            out.append((where, {**first_row, "tokens": tokens, "loss": mean}))
        else:
            last = max(log for log, _ in members)
            out += [row for log, row in members if log == last]
    kept = "the mean" if average else "the last"
    return out, (
        f"{len(rows)} losses lie in {len(bins)} bins, even in the logarithm of the tokens; {kept} "
        "of each bin is used"
    )


def _in_nats(row: Row, unit: str) -> Row:
    if unit == "nats":
        return row
    where, cells = row
    loss = number(where, "loss", cells["loss"])
    if unit == "perplexity" and loss < 1:
        raise InputError(f"{where}: perplexity {loss:g}: is at least 1")
    scale = math.log(2) if unit == "bits" else 1 / loss
    nats = math.log(loss) if unit == "perplexity" else loss * scale
    out = {**cells, "loss": nats}
    if not is_empty(cells.get("error")):
        out["error"] = number(where, "error", cells["error"]) * scale
    return where, out


# --- sentences -------------------------------------------------------------------------------


def _sentences(
    file: LossFile, found: Mapping[str, str], steps: str | None, options: CurveOptions, count: int
) -> list[str]:
    """What was read of a log, and what its losses are."""
    loss = found["loss"]
    kind = ("validation", "test", "training")[_preference(loss)[0]]
    if steps is None:
        tokens = f"tokens from {found['tokens']!r}"
    else:
        tokens = f"tokens are {steps!r} x {options.tokens_per_step:g}"
        if steps == _WANDB_STEP:
            tokens += " (W&B's count of log calls: steps of training if there is one call a step)"
    context = f"context {options.context}" if "context" not in found else "contexts as given"
    losses = f"{count} loss{'es' * (count != 1)}"
    out = [
        f"{file.path}: read as {file.layout}: {losses} from {loss!r} ({kind} loss, taken as "
        f"{'nats per token' if options.unit == 'nats' else options.unit}), {tokens}, {context}"
    ]
    if kind == "training":
        out.append(
            f"{file.path}: training losses are those of single batches or their means; give "
            "validation losses if there are any"
        )
    out.append(
        f"{file.path}: these are losses along one training run. L(P) is the best loss of a model "
        "trained to the end on P tokens; a run stands for it only where no token is seen twice and "
        "the learning rate has come down at each loss (docs/inputs.md)"
    )
    return out


def _several(names: Sequence[str]) -> str:
    return f"{len(names)} columns ({_list(names)})"


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN])
    if len(names) == 1:
        shown += " alone; tables separate columns by commas, semicolons or tabs"
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
