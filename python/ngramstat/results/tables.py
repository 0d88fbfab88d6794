"""Tables of results for other packages, each imported when it is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ngramstat.errors import NgramstatError

__all__ = [
    "arrow_table",
    "optional_package",
    "pandas_frame",
    "polars_frame",
    "table_variables",
    "xarray_dataset",
]

Rows = Sequence[Sequence[Any]]


def optional_package(name: str, extra: str, purpose: str) -> Any:
    """A package that an extra installs.

    Raises
    ------
    NgramstatError
        It is not installed; with the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise NgramstatError(
            f"{purpose} needs {name}, which is not installed: pip install 'ngramstat[{extra}]'"
        ) from error


def pandas_frame(header: Sequence[str], rows: Rows) -> Any:
    """A pandas.DataFrame."""
    pandas = optional_package("pandas", "pandas", "to_pandas")
    return pandas.DataFrame(rows, columns=header)


def arrow_table(header: Sequence[str], rows: Rows) -> Any:
    """A pyarrow.Table; what was not computed is null."""
    pyarrow = optional_package("pyarrow", "arrow", "the Arrow interface")
    columns = _columns(header, rows)
    return pyarrow.table(
        {
            name: pyarrow.array(column, pyarrow.float64()) if _unknown(column) else column
            for name, column in columns.items()
        }
    )


def polars_frame(header: Sequence[str], rows: Rows) -> Any:
    """A polars.DataFrame; what was not computed is null."""
    polars = optional_package("polars", "polars", "to_polars")
    columns = _columns(header, rows)
    unknown = {name: polars.Float64 for name, column in columns.items() if _unknown(column)}
    return polars.DataFrame(columns, schema_overrides=unknown)


def _unknown(column: list[Any]) -> bool:
    """Whether nothing of a column was computed; it is one of numbers then, as in other results."""
    return all(value is None for value in column)


def xarray_dataset(
    variables: Mapping[str, Any], coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Any:
    """An xarray.Dataset."""
    xarray = optional_package("xarray", "xarray", "to_xarray")
    return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


def table_variables(header: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Variables of an xarray.Dataset over the dimension ``row``; missing numbers are NaN."""
    variables: dict[str, Any] = {}
    for name, column in _columns(header, rows).items():
        numeric = any(isinstance(value, float) for value in column)
        variables[name] = ("row", np.array(column, dtype=np.float64 if numeric else None))
    return variables


def _columns(header: Sequence[str], rows: Rows) -> dict[str, list[Any]]:
    """Columns of one type each: where values differ in type, their JSON texts."""
    return {name: _column([row[i] for row in rows]) for i, name in enumerate(header)}


def _column(values: list[Any]) -> list[Any]:
    values = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float}:
        return [None if v is None else float(v) for v in values] if float in kinds else values
    if len(kinds) == 1 and kinds <= {bool, str}:
        return values
    return [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
