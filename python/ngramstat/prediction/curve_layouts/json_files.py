"""JSON and JSON lines: tables of losses, and logs of Hugging Face and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.delimited import tensorboard_tag
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row, in_memory
from ngramstat.runtime.files import reason

__all__ = ["read_json_lines", "read_json_table"]

# Objects inside objects become columns such as "train/loss" up to this depth.
_MAX_DEPTH = 4


def read_json_table(path: Path, text: str) -> LossFile:
    """A list of objects, an object of equally long lists, or a log of Hugging Face or TensorBoard.

    Raises
    ------
    InputError
        Not valid JSON, or of another shape; naming the entry.
    """
    try:
        data = _parse(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {reason(error)}") from error
    if isinstance(data, dict):
        history = data.get("log_history")
        if isinstance(history, list):
            return _of_objects(
                path, history, "trainer_state.json of Hugging Face", "log_history", is_log=True
            )
        return _of_lists(path, data)
    if not isinstance(data, list):
        raise InputError(f"{path}: needs a list of objects with context, tokens and loss")
    if data and all(isinstance(item, list) and len(item) == 3 for item in data):
        name = tensorboard_tag(path)
        rows: list[Row] = [
            (f"{path}: entry {i}", {"step": item[1], name: item[2]}) for i, item in enumerate(data)
        ]
        return LossFile(
            path=str(path),
            layout="JSON that TensorBoard exports",
            names=("step", name),
            rows=in_memory(rows),
            place=str(path),
            is_log=True,
        )
    return _of_objects(path, data, "JSON", "entry")


def read_json_lines(path: Path, text: str) -> LossFile:
    """One JSON object a line.

    Raises
    ------
    InputError
        Naming the line that is no JSON object.
    """
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            item = _parse(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{where}: not valid JSON: {reason(error)}; finish or remove the line"
            ) from error
        rows.append((where, _object(where, item)))
    return _log(path, rows, "JSON lines", f"{path}: line 1", is_log=False)


def _of_objects(
    path: Path, items: list[Any], layout: str, entry: str, *, is_log: bool = False
) -> LossFile:
    rows: list[Row] = []
    for i, item in enumerate(items):
        where = f"{path}: {entry} {i}"
        rows.append((where, _object(where, item)))
    return _log(path, rows, layout, f"{path}: {entry} 0", is_log=is_log)


def _log(path: Path, rows: list[Row], layout: str, place: str, *, is_log: bool) -> LossFile:
    names = dict.fromkeys(name for _, cells in rows for name in cells)
    return LossFile(
        path=str(path),
        layout=layout,
        names=tuple(names),
        rows=in_memory(rows),
        place=place,
        is_log=is_log,
    )


def _of_lists(path: Path, data: Mapping[str, Any]) -> LossFile:
    for name, value in data.items():
        if not isinstance(value, list):
            raise InputError(
                f"{path}: {name}: needs a list, one value for each loss; other layouts are a list "
                "of objects, and an object with log_history"
            )
    lengths = {name: len(value) for name, value in data.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path}: its lists have different lengths, {lengths}")
    count = next(iter(lengths.values()), 0)
    rows: list[Row] = [
        (f"{path}: entry {i}", {name: value[i] for name, value in data.items()})
        for i in range(count)
    ]
    return LossFile(
        path=str(path), layout="JSON", names=tuple(data), rows=in_memory(rows), place=str(path)
    )


def _object(where: str, item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InputError(f"{where}: needs an object with context, tokens and loss")
    return dict(_flat(where, item, "", 1))


def _flat(
    where: str, item: Mapping[str, Any], prefix: str, depth: int
) -> Iterable[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict):
            if depth == _MAX_DEPTH:
                raise InputError(f"{where}: objects are nested deeper than {_MAX_DEPTH}")
            yield from _flat(where, value, f"{prefix}{name.strip()}/", depth + 1)
        else:
            yield prefix + name.strip(), value


def _parse(text: str) -> Any:
    """JSON without repeated keys; logs may have NaN in columns that nobody needs."""
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {repeated[:40]!r} occurs twice in one object")
    return out
