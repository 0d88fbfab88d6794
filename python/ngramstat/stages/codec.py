"""Frozen dataclasses to arrays and back, for finished parts of a run.

A value is written as its arrays and one JSON layout that says where each of them belongs. Numbers
in the layout keep all their digits, so a part that was read equals the part that was written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_arrays", "to_arrays"]

Value = TypeVar("Value")

_LAYOUT = "layout"
_ARRAY = "array"


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


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
