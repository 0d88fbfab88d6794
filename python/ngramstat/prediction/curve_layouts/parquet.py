"""Parquet: history of W&B runs, and tables of losses."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row
from ngramstat.runtime.files import reason

__all__ = ["MAGIC", "read_parquet"]

MAGIC = b"PAR1"
# The largest number of rows that is turned into losses.
_MAX_ROWS = 5_000_000
# What W&B adds to every row of a history.
_WANDB = "_step"


def read_parquet(path: Path) -> LossFile:
    """A Parquet file with a flat column for the losses; only columns that are used are read.

    Raises
    ------
    InputError
        pyarrow is missing, the file is damaged, or it has too many rows.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(
            f"{path}: is Parquet, which needs pyarrow: pip install 'ngramstat[parquet]'"
        ) from error

    def opened() -> Any:
        try:
            return pq.ParquetFile(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable Parquet file: {reason(error)}") from error

    with opened() as file:
        count = file.metadata.num_rows
        flat = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
    if count > _MAX_ROWS:
        raise InputError(f"{path}: {count} rows, more than {_MAX_ROWS}; keep those with losses")

    def rows(names: Collection[str]) -> list[Row]:
        present = [name for name in flat if name in names]
        with opened() as file:
            try:
                columns = file.read(columns=present).to_pydict()
            except (pa.ArrowException, OSError, ValueError) as error:
                raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        return [
            (f"{path}: row {i}", dict(zip(present, cells, strict=True)))
            for i, cells in enumerate(zip(*(columns[name] for name in present), strict=True))
        ]

    is_log = _WANDB in flat
    return LossFile(
        path=str(path),
        layout="history of a W&B run (Parquet)" if is_log else "Parquet",
        names=tuple(flat),
        rows=rows,
        place=str(path),
        is_log=is_log,
    )
