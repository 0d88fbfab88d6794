"""Which layout a file has, by its content."""

from __future__ import annotations

import json
from pathlib import Path

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts import mlflow, parquet, tensorboard
from ngramstat.prediction.curve_layouts.delimited import read_delimited
from ngramstat.prediction.curve_layouts.json_files import read_json_lines, read_json_table
from ngramstat.prediction.curve_layouts.loss_file import LossFile, read_text
from ngramstat.prediction.curve_layouts.printed_logs import read_printed_log
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["open_losses"]

# Files by their first bytes that are refused with a remedy.
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"(\xb5/\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK": "zip",
}
# In a directory, in this order.
_FILES = ("trainer_state.json", "metrics.csv")
_EVENTS = "*tfevents*"


def open_losses(path: Path) -> LossFile:
    """The losses of a file, or of the directory of one run.

    Raises
    ------
    InputError
        Naming the file, the place, the cause and the remedy.
    """
    if path.is_dir():
        return _of_directory(path)
    regular_file_size(path)
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    packed = next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)
    if packed is not None:
        raise InputError(
            f"{path}: is packed with {packed}; unpack it, or save the table (a workbook, an array) "
            "as CSV"
        )
    if head.startswith(parquet.MAGIC):
        return parquet.read_parquet(path)
    if tensorboard.is_event_file(head):
        return tensorboard.read_events(path, [path])
    return _of_text(path, read_text(path))


def _of_text(path: Path, text: str) -> LossFile:
    if text.lstrip()[:1] in ("{", "["):
        if _is_json_object(text.lstrip().partition("\n")[0]):
            return read_json_lines(path, text) if _has_two_lines(text) else _of_one_line(path, text)
        # A log may begin with "[rank0]" or a time in brackets.
        return read_printed_log(path, text) or read_json_table(path, text)
    if path.suffix.lower() == ".json":
        return read_json_table(path, text)
    if mlflow.is_metric(text):
        return mlflow.read_metric(path)
    return read_printed_log(path, text) or read_delimited(path, text)


def _is_json_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _has_two_lines(text: str) -> bool:
    return "\n" in text.strip()


def _of_one_line(path: Path, text: str) -> LossFile:
    """One object: of lists, or with a log_history; or else the one line of JSON lines."""
    data = json.loads(text)
    if any(isinstance(value, list) for value in data.values()):
        return read_json_table(path, text)
    return read_json_lines(path, text)


def _of_directory(path: Path) -> LossFile:
    if (path / mlflow.METRICS).is_dir():
        return mlflow.read_run(path)
    for name in _FILES:
        if (path / name).is_file():
            return open_losses(path / name)
    checkpoints = [
        (int(file.parent.name.rpartition("-")[2]), file)
        for file in path.glob(f"checkpoint-*/{_FILES[0]}")
        if file.parent.name.rpartition("-")[2].isdecimal()
    ]
    if checkpoints:
        return open_losses(max(checkpoints)[1])  # every checkpoint repeats the log before it
    events = sorted(path.glob(_EVENTS))
    if events:
        return tensorboard.read_events(path, events)
    below = sorted({str(file.parent.relative_to(path)) for file in path.glob(f"*/{_EVENTS}")})
    if below:
        raise InputError(
            f"{path}: has events of TensorBoard in {len(below)} directories, such as "
            f"{below[0]!r}; give one of them"
        )
    raise InputError(
        f"{path}: is a directory without losses; give a file of losses, a run of MLflow, a "
        f"directory with {', '.join(_FILES)} or events of TensorBoard, or the finished output of "
        "`ngramstat validate` (curves-*.csv)"
    )
