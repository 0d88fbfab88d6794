"""Metrics of MLflow's file store: a file per metric, with lines "timestamp value step"."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row, read_text

__all__ = ["METRICS", "is_metric", "read_metric", "read_run"]

# The folder of a run that holds its metrics.
METRICS = "metrics"
# Milliseconds since 1970, a number, and the step.
_LINE = re.compile(r"(\d{12,14}) (\S+) (-?\d+)\s*")
_MAX_METRICS = 10_000


def is_metric(text: str) -> bool:
    """Whether the first line is a value of a metric."""
    return _LINE.fullmatch(text.partition("\n")[0]) is not None


def read_metric(path: Path) -> LossFile:
    """One metric, named like its file and the folders between it and ``metrics``.

    Raises
    ------
    InputError
        When its rows are read: naming the line that is no value.
    """
    parents = [parent.name for parent in path.absolute().parents]
    depth = parents.index(METRICS) if METRICS in parents else 0
    name = "/".join([*reversed(parents[:depth]), path.name])
    return _metrics(path, {name: path}, "metric file of MLflow")


def read_run(path: Path) -> LossFile:
    """All metrics of a run, from its directory.

    Raises
    ------
    InputError
        The run has none, or too many.
    """
    root = path / METRICS
    files = {
        file.relative_to(root).as_posix(): file
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }
    if not files:
        raise InputError(f"{root}: has no metrics; give the directory of a run that logged some")
    if len(files) > _MAX_METRICS:
        raise InputError(f"{root}: {len(files)} metrics; give the file of the loss itself")
    return _metrics(path, files, "directory of an MLflow run")


def _metrics(path: Path, files: dict[str, Path], layout: str) -> LossFile:
    def rows(names: Collection[str]) -> list[Row]:
        return [row for name in files if name in names for row in _values(name, files[name])]

    return LossFile(
        path=str(path),
        layout=layout,
        names=("step", *files),
        rows=rows,
        place=str(path),
        is_log=True,
    )


def _values(name: str, path: Path) -> list[Row]:
    rows: list[Row] = []
    lines = read_text(path).split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise InputError(
                f'{path}: line {number}: is not "timestamp value step", as MLflow writes a '
                "metric; remove the line, or finish the run"
            )
        rows.append((f"{path}: line {number}", {name: found[2], "step": found[3]}))
    return rows
