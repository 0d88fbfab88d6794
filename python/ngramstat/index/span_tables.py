"""Tables of spans in files: JSON lines, CSV or Parquet by the file's name, written in batches."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import IO, Any

from ngramstat.errors import InputError
from ngramstat.results.tables import optional_package
from ngramstat.runtime.files import atomic_write
from ngramstat.runtime.text import encoded

__all__ = ["TABLE_SUFFIXES", "require_table_name", "write_table"]

#: Columns of one batch, all of one length: arrays of NumPy, or lists of strings.
Batch = Mapping[str, Any]

TABLE_SUFFIXES = (".jsonl", ".csv", ".parquet")


def write_table(path: str | PathLike[str], columns: Sequence[str], batches: Iterable[Batch]) -> int:
    """Write a table, atomically; returns the number of its rows.

    Parameters
    ----------
    path
        ``.jsonl``, ``.csv`` or ``.parquet``.
    columns
        Their names, in order. Those called ``text`` hold strings, ``capped`` truth values, all
        others integers.
    batches
        With these columns each.

    Raises
    ------
    InputError
        The file's name has another ending, or its directory is missing.
    NgramstatError
        Writing failed, or pyarrow is not installed.
    """
    writers = {".jsonl": _write_json_lines, ".csv": _write_csv, ".parquet": _write_parquet}
    write = writers[require_table_name(path)]
    with atomic_write(path) as file:
        return write(file, Path(path), columns, batches)


def require_table_name(path: str | PathLike[str]) -> str:
    """The ending of a file's name, if `write_table` knows it.

    Raises
    ------
    InputError
        It does not.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(f"{path}: must end with {', '.join(TABLE_SUFFIXES)}")
    return suffix


def _rows(columns: Sequence[str], batch: Batch) -> Iterable[tuple[Any, ...]]:
    values = [batch[name] for name in columns]
    lists = [value if isinstance(value, list) else value.tolist() for value in values]
    return zip(*lists, strict=True)


def _write_json_lines(
    file: IO[bytes], path: Path, columns: Sequence[str], batches: Iterable[Batch]
) -> int:
    count = 0
    for batch in batches:
        for row in _rows(columns, batch):
            line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
            file.write(encoded(line + "\n"))
            count += 1
    return count


def _write_csv(
    file: IO[bytes], path: Path, columns: Sequence[str], batches: Iterable[Batch]
) -> int:
    count = 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for batch in batches:
        for row in _rows(columns, batch):
            writer.writerow([int(v) if isinstance(v, bool) else v for v in row])
            count += 1
        file.write(encoded(text.getvalue()))
        text.seek(0)
        text.truncate()
    file.write(encoded(text.getvalue()))
    return count


def _write_parquet(
    file: IO[bytes], path: Path, columns: Sequence[str], batches: Iterable[Batch]
) -> int:
    pa = optional_package("pyarrow", "parquet", f"{path}: writing Parquet")
    pq = import_module("pyarrow.parquet")
    types = {"text": pa.string(), "capped": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in columns])
    count = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in batches:
            table = pa.table(
                {name: pa.array(batch[name], schema.field(name).type) for name in columns}
            )
            writer.write_table(table)
            count += table.num_rows
    return count
