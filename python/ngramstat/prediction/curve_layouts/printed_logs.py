"""What training programs print, a line a step: llm.c, nanoGPT, torchtitan, Megatron and others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row, in_memory

__all__ = ["read_printed_log"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?nan|[-+]?inf"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class _Line:
    """A line with a loss.

    Attributes
    ----------
    program : str
    start : pattern
        Where it matches, the line is one of this program's.
    whole : pattern
        Its groups are the columns. A line that starts like this and does not match is damaged.
    """

    program: str
    start: re.Pattern[str]
    whole: re.Pattern[str]


def _line(program: str, start: str, whole: str) -> _Line:
    return _Line(program, re.compile(start), re.compile(re.sub(r"#(\w+)#", _group, whole)))


def _group(found: re.Match[str]) -> str:
    """``#name#`` is the column of that name: a count if it counts, or else a number."""
    name = found[1]
    return rf"(?P<{name}>\d+)" if name in ("step", "iteration") else f"(?P<{name}>{_NUMBER})"


# What loggers and launchers print before the text: "[rank0]:[titan] 2025-06-04 08:51:48 - INFO - ".
_INFO = r"(?:.*\bINFO\b[ :-]*)?"
_STAMP = r"(?:\[[^\]]*\]:? ?)*:? *"

_LINES = (
    _line("llm.c", r"s:\d+ (?:tel|trl):", r"s:#step# (?:tel:#val_loss#|trl:#train_loss#(?: .*)?)$"),
    _line(
        "modded-nanogpt",
        r"step:\d+/\d+ (?:val|train)_loss:",
        r"step:#step#/\d+ (?:val_loss:#val_loss#|train_loss:#train_loss#) train_time:",
    ),
    _line(
        "nanoGPT",
        r"step \d+: train loss ",
        r"step #step#: train loss #train_loss#, val loss #val_loss#(?:,.*)?$",
    ),
    _line("nanoGPT", r"iter \d+: loss ", r"iter #step#: loss #batch_loss#, time "),
    _line(
        "build-nanogpt",
        r"\d+ (?:val|train) [-+\d.n]",
        r"#step# (?:val #val_loss#|train #train_loss#)$",
    ),
    _line("nanochat", r"step \d+/\d+ \(", r"step #step#/\d+ \([^)]*\) \| loss: #train_loss# \|"),
    _line(
        "nanochat",
        r"Step \d+ \| Validation bpb:",
        r"Step #step# \| Validation bpb: #validation_bpb#$",
    ),
    _line(
        "torchtitan",
        rf"{_INFO}validate step: +\d+ +loss:",
        rf"{_INFO}validate step: +#step# +loss: +#val_loss# +memory:",
    ),
    _line(
        "torchtitan",
        rf"{_INFO}step: +\d+ +loss:",
        rf"{_INFO}step: +#step# +loss: +#train_loss# +(?:grad_norm|memory):",
    ),
    _line(
        "Megatron-LM",
        rf"{_STAMP}iteration +\d+/ *\d+ \|.* lm loss:",
        rf"{_STAMP}iteration +#iteration#/ *\d+ \|.* lm loss: +#lm_loss# *\|",
    ),
    _line(
        "Megatron-LM",
        rf"{_STAMP}validation loss at iteration +\d+(?: on validation set)? *\| *lm loss value:",
        rf"{_STAMP}validation loss at iteration +#iteration#(?: on validation set)? *\| *"
        r"lm loss value: +#lm_loss_validation# *\|",
    ),
    _line(
        "litgpt",
        r"Epoch \d+ \| iter \d+ step \d+ \| loss train:",
        r"Epoch \d+ \| iter #iteration# step \d+ \| loss train: #train_loss#, val:",
    ),
    _line("litgpt", r"iter \d+: val loss ", r"iter #iteration#: val loss #val_loss#, val time:"),
)
_ANY = re.compile("|".join(f"(?:{line.start.pattern})" for line in _LINES))


def read_printed_log(path: Path, text: str) -> LossFile | None:
    """The losses that a training program has printed, between whatever else; None without any.

    Raises
    ------
    InputError
        Naming the line: a loss is cut or overwritten, or two programs share the file.
    """
    rows: list[Row] = []
    names: dict[str, None] = {}
    program: str | None = None
    lines = text.split("\n")
    for number, printed in enumerate(lines, 1):
        # Progress bars return the carriage without a new line.
        for part in printed.split("\r"):
            bare = _COLOUR.sub("", part).rstrip() if "\x1b" in part else part.rstrip()
            if not _ANY.match(bare):
                continue
            where = f"{path}: line {number}"
            line, found = _matched(where, bare)
            if program not in (None, line.program):
                raise InputError(
                    f"{where}: is printed by {line.program}, but lines before it by {program}; "
                    "give each its own file"
                )
            program = line.program
            cells = {name: cell for name, cell in found.groupdict().items() if cell is not None}
            if number == len(lines):
                _check_end(where, cells, rows)
            names.update(dict.fromkeys(cells))
            rows.append((where, cells))
    if program is None:
        return None
    return LossFile(
        path=str(path),
        layout=f"printed log of {program}",
        names=tuple(names),
        rows=in_memory(rows),
        place=str(path),
        is_log=True,
    )


def _matched(where: str, text: str) -> tuple[_Line, re.Match[str]]:
    line = next(line for line in _LINES if line.start.match(text))
    found = line.whole.match(text)
    if found is None:
        raise InputError(
            f"{where}: begins like a loss printed by {line.program}, but is cut or changed; "
            "remove the line, or restore it"
        )
    return line, found


def _check_end(where: str, cells: dict[str, str], rows: list[Row]) -> None:
    """Refuse a last line without its end, where numbers have fewer digits than those before."""
    for name, cell in cells.items():
        earlier = next((row[name] for _, row in reversed(rows) if name in row), None)
        if earlier is not None and len(cell.partition(".")[2]) < len(earlier.partition(".")[2]):
            raise InputError(
                f"{where}: the file ends within this line ({name} {cell}); remove it, or finish "
                "the log"
            )
