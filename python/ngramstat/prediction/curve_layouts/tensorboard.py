"""Scalars in event files of TensorBoard, which are TFRecords of protocol buffers.

A record is its length (8 bytes), the masked CRC-32C of the length (4), the event, and the masked
CRC-32C of the event (4). Events are decoded by the `tensorboard` package; lengths and checksums are
checked here, because a record that is cut must be refused with its place rather than end the file.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError
from ngramstat.prediction.curve_layouts.loss_file import LossFile, Row
from ngramstat.runtime.files import reason

__all__ = ["is_event_file", "read_events"]

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
# Longer events hold images, graphs or histograms; they are stepped over.
_MAX_EVENT = 1 << 16
_MAX_TAGS = 10_000
_MAX_SCALARS = 5_000_000
_FLOAT, _DOUBLE = 1, 2  # numbers of the types in tensorboard's types.proto


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def _masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecords store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def is_event_file(head: bytes) -> bool:
    """Whether a file begins with a TFRecord."""
    if len(head) < _HEADER.size:
        return False
    crc: int = _HEADER.unpack_from(head)[1]
    return _masked_crc(head[:8]) == crc


def read_events(path: Path, files: list[Path]) -> LossFile:
    """The scalars of the event files of one run.

    Parameters
    ----------
    path
        What the user gave: the file, or the directory.
    files
        Event files, in order.

    Raises
    ------
    InputError
        tensorboard is missing, or a record is damaged or cut; naming the file and the byte.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise InputError(
            f"{path}: has events of TensorBoard, which need the package tensorboard: pip "
            "install 'ngramstat[tensorboard]'"
        ) from error
    tags: dict[str, None] = {}
    for file in files:
        for _, _, tag, _ in _scalars(file, Event):
            tags[tag] = None
            if len(tags) > _MAX_TAGS:
                raise InputError(f"{file}: more than {_MAX_TAGS} tags; export the loss as CSV")

    def rows(names: Collection[str]) -> list[Row]:
        out: list[Row] = []
        for file in files:
            for where, step, tag, value in _scalars(file, Event):
                if tag in names:
                    out.append((where, {"step": step, tag: value}))
                    if len(out) > _MAX_SCALARS:
                        raise InputError(f"{file}: more than {_MAX_SCALARS} values; export fewer")
        return out

    return LossFile(
        path=str(path),
        layout="events of TensorBoard",
        names=("step", *(tag for tag in tags if tag != "step")),
        rows=rows,
        place=str(path),
        is_log=True,
    )


def _scalars(path: Path, event_type: Any) -> Iterator[tuple[str, int, str, float]]:
    """Place, step, tag and value of every scalar."""
    from google.protobuf.message import DecodeError

    for where, data in _records(path):
        try:
            event = event_type.FromString(data)
        except DecodeError as error:
            raise InputError(f"{where}: is not an event of TensorBoard: {reason(error)}") from error
        for value in event.summary.value:
            number = _scalar(value)
            if number is not None:
                yield where, event.step, value.tag.strip(), number


def _scalar(value: Any) -> float | None:
    """A scalar as either generation of TensorBoard stores it; None of anything else."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    tensor = value.tensor
    if any(axis.size != 1 for axis in tensor.tensor_shape.dim):
        return None
    stored, code, size = {
        _FLOAT: (tensor.float_val, "<f", 4),
        _DOUBLE: (tensor.double_val, "<d", 8),
    }.get(tensor.dtype, ((), "", 0))
    if len(stored) == 1:
        return float(stored[0])
    if size and len(tensor.tensor_content) == size:
        return float(struct.unpack(code, tensor.tensor_content)[0])
    return None


def _records(path: Path) -> Iterator[tuple[str, bytes]]:
    """Place and content of every record that is short enough to hold a scalar."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            at = 0
            while at < size:
                where = f"{path}: byte {at}"
                head = file.read(_HEADER.size)
                if len(head) < _HEADER.size or not is_event_file(head):
                    raise InputError(
                        f"{where}: no record of TensorBoard begins here; the file is damaged or "
                        "cut: copy it again, or cut it here"
                    )
                length, _ = _HEADER.unpack(head)
                end = at + _HEADER.size + length + _FOOTER.size
                if end > size:
                    raise InputError(
                        f"{where}: a record of {length} bytes is cut by the end of the file; wait "
                        "until it is written, copy it again, or cut it here"
                    )
                if length > _MAX_EVENT:
                    file.seek(end)
                else:
                    data = file.read(length)
                    (crc,) = _FOOTER.unpack(file.read(_FOOTER.size))
                    if crc != _masked_crc(data):
                        raise InputError(f"{where}: wrong checksum; copy the file again")
                    yield where, data
                at = end
    except (OSError, struct.error) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
