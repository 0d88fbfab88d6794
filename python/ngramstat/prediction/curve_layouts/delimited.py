"""CSV, TSV and semicolons: tables of spreadsheets, W&B, Lightning, MLflow and TensorBoard."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row, in_memory, is_empty

__all__ = ["read_delimited", "tensorboard_tag"]

_SEPARATORS = {",": "CSV", ";": "CSV with semicolons", "\t": "TSV"}
_MLFLOW = {"key", "value", "step"}
_TENSORBOARD = ["wall time", "step", "value"]
# The spread of a sampled point, in charts that W&B exports.
_SPREAD = ("__MIN", "__MAX")
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")


def read_delimited(path: Path, text: str) -> LossFile:
    """A table with a header, whose cells are separated by commas, semicolons or tabs.

    Raises
    ------
    InputError
        Naming the line: not valid CSV, no header, or a row with more or fewer cells than it.
    """
    separator = _separator(text)
    header, rows = _table(path, text, separator)
    names = [cell.strip() for cell in header]
    common: dict[str, Any] = {
        "path": str(path),
        "place": f"{path}: line 1",
        "decimal_comma": separator != ",",
    }
    if {name.lower() for name in names} >= _MLFLOW:
        return _mlflow(names, rows, common)
    layout, names = _layout(path, names) or (_SEPARATORS[separator], names)
    is_log = layout not in _SEPARATORS.values()
    found = [name for name in names if name]
    table: list[Row] = [
        (where, {name: cell for name, cell in zip(names, cells, strict=True) if name})
        for where, cells in rows
    ]
    return LossFile(
        layout=layout, names=tuple(found), rows=in_memory(table), is_log=is_log, **common
    )


def _layout(path: Path, names: list[str]) -> tuple[str, list[str]] | None:
    """The log that the columns are of, and their names; those left out are empty."""
    lowered = [name.lower() for name in names]
    if lowered == _TENSORBOARD:
        return "CSV that TensorBoard exports", [*names[:2], tensorboard_tag(path)]
    if any(name.endswith(_SPREAD) for name in names):
        return (
            "CSV of a chart that W&B exports",
            ["" if name.endswith(_SPREAD) else name for name in names],
        )
    if {"epoch", "step"} <= set(lowered) and "context" not in lowered:
        return "metrics.csv of Lightning's CSVLogger", names
    return None


def tensorboard_tag(path: Path) -> str:
    """The name of the values: TensorBoard gives it in the name of the file alone."""
    _, found, tag = path.stem.partition("-tag-")
    return tag if found else "Value"


def _separator(text: str) -> str:
    """The separator that the header has most of, outside quotes."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    bare = "".join(header.split('"')[::2])
    return max(_SEPARATORS, key=bare.count)


def _table(path: Path, text: str, separator: str) -> tuple[list[str], list[tuple[str, list[str]]]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=separator, skipinitialspace=True
    )
    header: list[str] | None = None
    rows: list[tuple[str, list[str]]] = []
    try:
        for cells in reader:
            where = f"{path}: line {reader.line_num}"
            if all(not cell.strip() for cell in cells):
                continue
            if header is None:
                header = cells
                continue
            if len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells, but the header has {len(header)}")
            rows.append((where, cells))
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not valid CSV: {error}") from error
    if header is None:
        raise InputError(f"{path}: is empty; its first line must name context,tokens,loss")
    if any(_NUMBER.fullmatch(cell.strip()) for cell in header):
        raise InputError(
            f"{path}: line 1: no header; the first line must name the columns, such as "
            "context,tokens,loss"
        )
    return header, rows


def _mlflow(
    names: Sequence[str], rows: list[tuple[str, list[str]]], common: dict[str, Any]
) -> LossFile:
    """One value a row: columns are named by `key`, and by the run where there are several."""
    at = {name.lower(): i for i, name in enumerate(names)}
    run = at.get("run_id")
    runs = {cells[run] for _, cells in rows} if run is not None else set()
    found: dict[str, None] = {}
    table: list[Row] = []
    for where, cells in rows:
        key = cells[at["key"]].strip()
        if is_empty(key):
            raise InputError(f"{where}: its key is empty; a metric has a name")
        name = f"{cells[run]} - {key}" if run is not None and len(runs) > 1 else key
        if name == "step":
            raise InputError(f"{where}: a metric is called 'step', like the column; rename it")
        found[name] = None
        table.append((where, {name: cells[at["value"]], "step": cells[at["step"]]}))
    return LossFile(
        layout="CSV of metrics that MLflow exports",
        names=("step", *found),
        rows=in_memory(table),
        is_log=True,
        **common,
    )
