"""Frozen dataclasses to arrays and back, for finished parts of a run.

A value is written as its arrays and one JSON layout that says where each of them belongs. Numbers
in the layout keep all their digits, so a part that was read equals the part that was written. A
checksum of all arrays, and of the part that they are, tells whether a file still holds them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_arrays", "sealed", "to_arrays", "unsealed"]

Value = TypeVar("Value")

_LAYOUT = "layout"
_ARRAY = "array"
_CHECKSUM = "checksum"


def to_arrays(value: Any) -> dict[str, NDArray[Any]]:
    """Arrays that hold a dataclass of numbers, arrays, tuples, JSON objects and dataclasses."""
    arrays: dict[str, NDArray[Any]] = {}

    def pack(item: Any, name: str) -> Any:
        if isinstance(item, np.ndarray):
            arrays[name] = item
            return {_ARRAY: name}
        if dataclasses.is_dataclass(item):
            return {
                f.name: pack(getattr(item, f.name), f"{name}.{f.name}")
                for f in dataclasses.fields(item)
            }
        if isinstance(item, tuple):
            return [pack(child, f"{name}.{i}") for i, child in enumerate(item)]
        return item

    layout = json.dumps(pack(value, "value")).encode()
    return {**arrays, _LAYOUT: np.frombuffer(layout, dtype=np.uint8)}


def from_arrays(kind: type[Value], arrays: Mapping[str, NDArray[Any]]) -> Value:
    """What `to_arrays` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
        The arrays are those of another class, or of an older form of it.
    """

    def unpack(hint: Any, item: Any) -> Any:
        if isinstance(item, dict) and item.keys() == {_ARRAY}:
            return arrays[item[_ARRAY]]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            hints = _hints(hint)
            return hint(**{name: unpack(hints[name], child) for name, child in item.items()})
        if get_origin(hint) is tuple:
            return tuple(unpack(get_args(hint)[0], child) for child in item)
        return item

    value: Value = unpack(kind, json.loads(arrays[_LAYOUT].tobytes()))
    return value


def sealed(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """Arrays, and with them a checksum of their names, types, shapes and bytes and of `part`.

    Parameters
    ----------
    arrays : dict
    part : str
        Which part they are, so that the file of one part is not taken for that of another.
    """
    return {**arrays, _CHECKSUM: _checksum(arrays, part)}


def unsealed(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """What `sealed` was given.

    Raises
    ------
    ValueError
        The arrays have changed, or are those of another part, or have no checksum.
    """
    rest = {name: array for name, array in arrays.items() if name != _CHECKSUM}
    recorded = arrays.get(_CHECKSUM)
    if recorded is None:
        raise ValueError("it has no checksum")
    if not np.array_equal(recorded, _checksum(rest, part)):
        raise ValueError("its checksum differs")
    return rest


def _checksum(arrays: Mapping[str, NDArray[Any]], part: str) -> NDArray[np.uint8]:
    """(32,) bytes: the SHA-256 of all that `sealed` names."""
    described = [[name, a.dtype.str, list(a.shape)] for name, a in sorted(arrays.items())]
    digest = hashlib.sha256(json.dumps([part, described]).encode())
    for _, array in sorted(arrays.items()):
        # Flat, as a scalar or an empty array has no bytes to view otherwise.
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
