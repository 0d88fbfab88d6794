"""Base of all results: checks on construction, JSON both ways, small tables.

Every result is an immutable dataclass. NumPy arrays in it are copied and made read-only when it is
constructed, and their shapes are checked. It converts to and from plain JSON objects with the same
field names. A number that was not computed is NaN inside an array and ``None`` elsewhere; in JSON
both are ``null``. Finite floats survive saving and loading bit for bit.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from functools import cache
from html import escape
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, Union

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.results.tables import (
    arrow_table,
    pandas_frame,
    polars_frame,
    table_variables,
    xarray_dataset,
)
from ngramstat.runtime.files import read_json, write_json

if TYPE_CHECKING:
    import polars
    import pyarrow
    import xarray
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = [
    "BoolVector",
    "CountVector",
    "DrawableResult",
    "FloatCube",
    "FloatMatrix",
    "FloatVector",
    "IntCube",
    "IntMatrix",
    "IntVector",
    "JsonObject",
    "Result",
    "Window",
]

# Objects in a file that are nested more deeply are refused: they could exhaust the stack.
_MAX_JSON_DEPTH = 24


# --- field kinds: how one dataclass field is checked, encoded and decoded --------------------


class _Kind:
    """Checks a field in memory (`coerce`), and reads and writes it as JSON."""

    def coerce(self, value: Any, where: str) -> Any:
        raise NotImplementedError

    def encode(self, value: Any) -> Any:
        raise NotImplementedError

    def decode(self, value: Any, where: str) -> Any:
        raise NotImplementedError


class _Array(_Kind):
    """An array of a given dtype and number of dimensions."""

    def __init__(self, dtype: str, ndim: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.ndim = ndim

    def coerce(self, value: Any, where: str) -> NDArray[Any]:
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{where}: not a rectangular array of numbers") from error
        if array.size == 0 and array.dtype == np.float64:
            array = array.astype(self.dtype)  # an empty list has no dtype of its own
        allowed = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}[self.dtype.kind]
        if array.dtype.kind not in allowed:
            raise InputError(f"{where}: needs {self.dtype} numbers, got dtype {array.dtype}")
        if array.ndim != self.ndim:
            raise InputError(f"{where}: needs {self.ndim} dimension(s), got {array.ndim}")
        if self.dtype.kind in "iu" and array.size:
            bounds = np.iinfo(self.dtype)
            if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
                raise InputError(f"{where}: a value does not fit {self.dtype}")
        owned = np.array(array, dtype=self.dtype, copy=True)
        owned.setflags(write=False)
        return owned

    def encode(self, value: NDArray[Any]) -> Any:
        return _encode_nested(value.tolist())

    def decode(self, value: Any, where: str) -> NDArray[Any]:
        return self.coerce(self._nested(value, where, self.ndim), where)

    def _nested(self, value: Any, where: str, ndim: int) -> NDArray[Any]:
        if ndim == 1:
            return self._numbers(value, where)
        if not isinstance(value, list):
            raise InputError(f"{where}: needs a list of lists, got {_kind_name(value)}")
        rows = [self._nested(row, f"{where}[{i}]", ndim - 1) for i, row in enumerate(value)]
        if len({row.shape for row in rows}) > 1:
            raise InputError(f"{where}: its rows have different lengths")
        return np.stack(rows) if rows else np.zeros((0,) * ndim, dtype=self.dtype)

    def _numbers(self, value: Any, where: str) -> NDArray[Any]:
        if not isinstance(value, list):
            raise InputError(f"{where}: needs a list, got {_kind_name(value)}")
        if self.dtype.kind == "f":
            numbers = [math.nan if x is None else _read_float(x, where) for x in value]
            return np.array(numbers, dtype=np.float64)
        item_type: type = bool if self.dtype.kind == "b" else int
        for item in value:
            if type(item) is not item_type:
                raise InputError(
                    f"{where}: needs {item_type.__name__} items, got {_kind_name(item)}"
                )
        if item_type is int:
            bounds = np.iinfo(self.dtype)
            if any(not bounds.min <= item <= bounds.max for item in value):
                raise InputError(f"{where}: a value does not fit {self.dtype}")
        return np.array(value, dtype=self.dtype)


class _Json(_Kind):
    """Any JSON object (settings, provenance, ...)."""

    def coerce(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InputError(f"{where}: needs an object, got {_kind_name(value)}")
        copied = _plain_json(value, where, _MAX_JSON_DEPTH)
        assert isinstance(copied, dict)
        return copied

    def encode(self, value: Mapping[str, Any]) -> Any:
        return _plain_json(value, "value", _MAX_JSON_DEPTH)

    def decode(self, value: Any, where: str) -> dict[str, Any]:
        return self.coerce(value, where)


class _Window(_Kind):
    """``(low, high)``, both inclusive; whole numbers stay integers, for readable JSON."""

    def coerce(self, value: Any, where: str) -> tuple[float, float]:
        if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
            raise InputError(f"{where}: needs [low, high], got {_kind_name(value)}")
        if len(value) != 2:
            raise InputError(f"{where}: needs two numbers [low, high], got {len(value)}")
        low, high = (_read_float(_scalar(x), where) for x in value)
        if low > high:
            raise InputError(f"{where}: its low end {low:g} is above its high end {high:g}")
        return _integral(low), _integral(high)

    def encode(self, value: tuple[float, float]) -> Any:
        return list(value)

    def decode(self, value: Any, where: str) -> tuple[float, float]:
        return self.coerce(value, where)


FloatVector = Annotated[NDArray[np.float64], _Array("float64")]
IntVector = Annotated[NDArray[np.int64], _Array("int64")]
CountVector = Annotated[NDArray[np.uint64], _Array("uint64")]
BoolVector = Annotated[NDArray[np.bool_], _Array("bool")]
FloatCube = Annotated[NDArray[np.float64], _Array("float64", 3)]
IntCube = Annotated[NDArray[np.int64], _Array("int64", 3)]
IntMatrix = Annotated[NDArray[np.int64], _Array("int64", 2)]
FloatMatrix = Annotated[NDArray[np.float64], _Array("float64", 2)]
JsonObject = Annotated[Mapping[str, Any], _Json()]
Window = Annotated[tuple[float, float], _Window()]


def _kind_name(value: Any) -> str:
    return "null" if value is None else type(value).__name__


def _scalar(value: Any) -> Any:
    """A NumPy scalar as a Python number; any other value unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def _integral(value: float) -> float:
    return int(value) if float(value).is_integer() and abs(value) < 2**63 else value


def _read_float(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: needs a number, got {_kind_name(value)}")
    try:
        number = float(value)
    except OverflowError as error:
        raise InputError(f"{where}: a number is too large") from error
    if not math.isfinite(number):
        raise InputError(f"{where}: needs a finite number, got {number}")
    return number


def _encode_nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_encode_nested(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain_json(value: Any, where: str, depth: int) -> Any:
    """`value` as new plain JSON objects; NaN and infinities become None."""
    if depth == 0:
        raise InputError(f"{where}: nested too deeply")
    value = _scalar(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return _encode_nested(value.tolist())
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: object keys must be strings, got {_kind_name(key)}")
        return {k: _plain_json(v, f"{where}.{k}", depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_json(v, f"{where}[{i}]", depth - 1) for i, v in enumerate(value)]
    raise InputError(f"{where}: {type(value).__name__} cannot be written as JSON")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in _fields(cls)}


def _fields(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)  # `Result` itself is not a dataclass, every class below it is


def _split_optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (Union, UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return inner[0], True
    return hint, False


def _annotated_kind(hint: Any) -> _Kind | None:
    kind = hint.__metadata__[0] if typing.get_origin(hint) is Annotated else None
    return kind if isinstance(kind, _Kind) else None


def _convert(hint: Any, value: Any, where: str, *, from_json: bool) -> Any:
    """Check `value` against one field's type; from JSON also build the nested results."""
    hint, optional = _split_optional(hint)
    if value is None:
        if optional:
            return None
        raise InputError(f"{where}: is missing (null)")
    kind = _annotated_kind(hint)
    if kind is not None:
        return kind.decode(value, where) if from_json else kind.coerce(value, where)
    if typing.get_origin(hint) is tuple:
        return _convert_tuple(typing.get_args(hint)[0], value, where, from_json=from_json)
    if issubclass(hint, Result):
        if from_json:
            return hint._read(value, where)
        if not isinstance(value, hint):
            raise InputError(f"{where}: needs {hint.__name__}, got {_kind_name(value)}")
        return value
    return _convert_scalar(hint, value, where, nan_is_none=optional and not from_json)


def _convert_tuple(item: Any, value: Any, where: str, *, from_json: bool) -> tuple[Any, ...]:
    if not isinstance(value, list if from_json else list | tuple):
        raise InputError(f"{where}: needs a list, got {_kind_name(value)}")
    return tuple(
        _convert(item, v, f"{where}[{i}]", from_json=from_json) for i, v in enumerate(value)
    )


def _convert_scalar(hint: type, value: Any, where: str, *, nan_is_none: bool) -> Any:
    """A number, string or bool. Outside arrays a number that was not computed is None, not NaN."""
    value = _scalar(value)
    if issubclass(hint, StrEnum):
        return _enum_member(hint, value, where)
    if hint is float:
        if nan_is_none and isinstance(value, float) and not math.isfinite(value):
            return None
        return _read_float(value, where)
    if type(value) is not hint:
        raise InputError(f"{where}: needs {hint.__name__}, got {_kind_name(value)}")
    return value


def _enum_member(words: type[StrEnum], value: Any, where: str) -> StrEnum:
    try:
        return words(value)
    except ValueError as error:
        raise InputError(f"{where}: needs one of {', '.join(words)}, got {value!r:.60}") from error


def _encode(hint: Any, value: Any) -> Any:
    hint, _ = _split_optional(hint)
    if value is None:
        return None
    kind = _annotated_kind(hint)
    if kind is not None:
        return kind.encode(value)
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [_encode(typing.get_args(hint)[0], item) for item in value]
    return value


class Result:
    """Base of all results: checks on construction, JSON both ways, equality by content."""

    # Name of the array whose length all arrays of the class must have, or None.
    _axis: ClassVar[str | None] = None
    # Name of its file in the directory of a run, or None.
    _file_name: ClassVar[str | None] = None
    # Name of the axis as a dimension of `to_xarray`, where its values are distinct, and names of
    # the further dimensions of arrays, by field.
    _label: ClassVar[str | None] = None
    _inner: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __post_init__(self) -> None:
        for name, hint in self._hints().items():
            where = f"{type(self).__name__}.{name}"
            value = _convert(hint, getattr(self, name), where, from_json=False)
            object.__setattr__(self, name, value)
        if self._axis is not None:
            length = len(getattr(self, self._axis))
            for name, hint in self._hints().items():
                value = getattr(self, name)
                is_array = isinstance(_annotated_kind(_split_optional(hint)[0]), _Array)
                if is_array and value is not None and len(value) != length:
                    raise InputError(
                        f"{type(self).__name__}.{name}: has length {len(value)}, "
                        f"but {self._axis} has {length}"
                    )
        self._check()

    @classmethod
    def _hints(cls) -> dict[str, Any]:
        """Field name -> resolved annotation, in the order of the class."""
        key: Any = cls  # mypy does not see that a class with unhashable instances is hashable
        return _hints(key)

    def _check(self) -> None:
        """Checks specific to a class; types and lengths are checked before."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Result)
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # arrays inside: equal by content, not hashable

    def to_dict(self) -> dict[str, Any]:
        """The result as a plain JSON object; numbers that were not computed are None."""
        return {name: _encode(hint, getattr(self, name)) for name, hint in self._hints().items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build the result from an object as `to_dict` returns it.

        The object may come from an untrusted file: unknown or missing fields, wrong types, numbers
        out of range and arrays of different lengths are refused.

        Raises
        ------
        InputError
            The message names the field and what is wrong with it.
        """
        return cls._read(data, cls.__name__)

    @classmethod
    def _read(cls, data: Any, where: str) -> Self:
        if not isinstance(data, Mapping):
            raise InputError(f"{where}: needs an object, got {_kind_name(data)}")
        data = cls._current(data)
        hints = cls._hints()
        unknown = sorted(str(key) for key in data if key not in hints)
        if unknown:
            raise InputError(f"{where}: unknown field {unknown[0][:60]!r}")
        values = {
            name: _convert(hints[name], value, f"{where}.{name}", from_json=True)
            for name, value in data.items()
        }
        required = {f.name for f in _fields(cls) if not _has_default(f)}
        missing = sorted(required - set(values))
        if missing:
            raise InputError(f"{where}: field {missing[0]!r} is missing")
        return cls(**values)

    @classmethod
    def _current(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The object with the field names of this version, by a class that renamed some."""
        return data

    def save(self, path: str | PathLike[str]) -> None:
        """Write the result as JSON, atomically.

        Raises
        ------
        NgramstatError
            If the file cannot be written.
        """
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a file that `save` wrote, or the directory of a run that has one.

        Raises
        ------
        InputError
            If the file is not such a result; the message names the file and the field.
        """
        if cls._file_name is not None and Path(path).is_dir():
            path = Path(path) / cls._file_name
        data = read_json(path)
        try:
            return cls.from_dict(data)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        """Header and rows of the small table shown in notebooks and given to pandas."""
        return ["field", "value"], [[k, v] for k, v in self.to_dict().items()]

    def _columns(self, label: str) -> tuple[list[str], list[list[Any]]]:
        """Header and rows, one row per element of the result's axis, which is called `label`.

        All fields with one number per element are columns, but for those that are None.
        """
        assert self._axis is not None
        axis = getattr(self, self._axis)
        vectors = {
            f.name: getattr(self, f.name)
            for f in _fields(type(self))
            if f.name != self._axis and isinstance(getattr(self, f.name), np.ndarray)
        }
        names = [name for name, vector in vectors.items() if vector.shape == axis.shape]
        columns = [axis.tolist(), *(vectors[name].tolist() for name in names)]
        return [label, *names], [list(row) for row in zip(*columns, strict=True)]

    def to_pandas(self) -> DataFrame:
        """The result's main table as a pandas DataFrame.

        Raises
        ------
        NgramstatError
            If pandas is not installed.
        """
        frame: DataFrame = pandas_frame(*self._rows())
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """The result's main table as a pyarrow Table; what was not computed is null.

        Raises
        ------
        NgramstatError
            If pyarrow is not installed.
        """
        table: pyarrow.Table = arrow_table(*self._rows())
        return table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The main table as a stream of Arrow, as polars, DuckDB, pandas and others read it."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_polars(self) -> polars.DataFrame:
        """The result's main table as a polars DataFrame; what was not computed is null.

        Raises
        ------
        NgramstatError
            If polars is not installed.
        """
        frame: polars.DataFrame = polars_frame(*self._rows())
        return frame

    def to_xarray(self) -> xarray.Dataset:
        """The result as an xarray Dataset: all arrays over the axis (lags or contexts).

        Single numbers, words and exponents are attributes; those that were not computed are
        absent. A result without such an axis has its main table, over the dimension ``row``.

        Raises
        ------
        NgramstatError
            If xarray is not installed.
        """
        dataset: xarray.Dataset = xarray_dataset(*self._labelled())
        return dataset

    def _labelled(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Variables, coordinates and attributes of `to_xarray`."""
        if self._label is None or self._axis is None:
            return table_variables(*self._rows()), {}, self._attributes()
        variables: dict[str, Any] = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if field.name != self._axis and isinstance(value, np.ndarray):
                inner = self._inner.get(field.name, ())
                variables[field.name] = ((self._label, *inner[: value.ndim - 1]), value)
        coordinates = {self._label: getattr(self, self._axis)}
        return variables, coordinates, self._attributes()

    def _attributes(self) -> dict[str, Any]:
        """Single numbers and words by name; of an exponent value, ends and whether it is valid."""
        attributes: dict[str, Any] = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, str | bool | int | float):
                attributes[field.name] = int(value) if isinstance(value, bool) else value
            elif isinstance(value, Result):
                attributes |= {f"{field.name}{k}": v for k, v in value._summary().items()}
        return attributes

    def _summary(self) -> dict[str, Any]:
        """What `_attributes` of a result that holds this one says of it."""
        return {}

    def _repr_html_(self) -> str:
        header, rows = self._rows()
        head = "".join(f"<th>{escape(name)}</th>" for name in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>"
            for row in rows
        )
        caption = escape(self._caption())
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _caption(self) -> str:
        return type(self).__name__


class DrawableResult(Result):
    """A result that has a figure."""

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw the result; see `ngramstat.plot` for arguments, return value and errors."""
        # Figures belong to a higher layer, which is reached only through the public package.
        return import_module("ngramstat").plot(self, ax)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _cell(value: Any) -> str:
    value = _scalar(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)
