"""Vectors in files that other programs read: word2vec's text, and safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import atomic_write, reason, regular_file_size

__all__ = ["read_safetensors", "read_word2vec", "write_safetensors", "write_word2vec"]

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
# Names and shapes; the format itself allows 100 MB.
_MAX_HEADER = 100_000_000
_MAX_SIZE = 1 << 40
# The shortest line of text: a name, and a digit with a blank for each number.
_BYTES_PER_NUMBER = 2
_ROWS = 1024


def write_word2vec(
    path: str | PathLike[str], vectors: NDArray[np.float32], names: Sequence[str]
) -> None:
    """Write a line with both sizes, and then the name and the numbers of each vector.

    Numbers have the digits that make them the same float32 again.
    """
    with atomic_write(path) as file:
        file.write(f"{vectors.shape[0]} {vectors.shape[1]}\n".encode())
        for start in range(0, len(vectors), _ROWS):
            for name, row in zip(
                names[start : start + _ROWS], vectors[start : start + _ROWS], strict=True
            ):
                numbers = " ".join(map(_digits, row))
                file.write(f"{name} {numbers}\n".encode())


def _digits(value: np.float32) -> str:
    return np.format_float_scientific(value, trim="0", exp_digits=1) if value else "0"


def read_word2vec(path: str | PathLike[str]) -> tuple[NDArray[np.float32], list[str]]:
    """The vectors and names of a text file.

    Raises
    ------
    InputError
        The file is missing, or a line is not what the first one says.
    """
    size = regular_file_size(path)
    try:
        with open(path, "rb") as file:
            n_rows, dimensions = _sizes(file.readline(100), size, path)
            vectors = np.empty((n_rows, dimensions), np.float32)
            names = [
                _read_row(file, vectors[row], f"{path}: line {row + 2}") for row in range(n_rows)
            ]
            if file.read(1):
                raise InputError(f"{path}: has more lines than the {n_rows} that its first tells")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a name occurs twice")
    return vectors, names


def _sizes(line: bytes, size: int, path: str | PathLike[str]) -> tuple[int, int]:
    words = line.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise InputError(
            f"{path}: does not begin with the numbers of vectors and dimensions, as word2vec's "
            "text does; is it another format?"
        )
    n_rows, dimensions = map(int, words)
    if n_rows < 1 or dimensions < 1 or n_rows * dimensions * _BYTES_PER_NUMBER > size:
        raise InputError(f"{path}: is too short for {n_rows} vectors of {dimensions} numbers")
    return n_rows, dimensions


def _read_row(file: IO[bytes], into: NDArray[np.float32], where: str) -> str:
    line = file.readline(1000 + 64 * len(into))
    # Some programs end a line with a blank.
    name, *numbers = line.rstrip(b" \n").split(b" ")
    if not line.endswith(b"\n") or not name or len(numbers) != len(into):
        raise InputError(f"{where}: is not a name and {len(into)} numbers")
    try:
        into[:] = [float(number) for number in numbers]
        text = name.decode("utf-8")
    except ValueError as error:
        raise InputError(f"{where}: {reason(error)}") from error
    if not np.isfinite(into).all():
        raise InputError(f"{where}: has a number that is not finite")
    return text


def write_safetensors(
    path: str | PathLike[str], arrays: Mapping[str, NDArray[Any]], names: Sequence[str]
) -> None:
    """Write float32 and float64 arrays, and the names as a JSON list in the metadata."""
    types = {dtype: name for name, dtype in _TYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "np", "names": json.dumps(list(names))}}
    stored = []
    start = 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        end = start + little.nbytes
        header[name] = {
            "dtype": types[little.dtype],
            "shape": list(little.shape),
            "data_offsets": [start, end],
        }
        stored.append(little)
        start = end
    text = json.dumps(header).encode()
    # The data begin at a multiple of eight bytes.
    text = text.ljust(-(-len(text) // 8) * 8)
    if len(text) > _MAX_HEADER:
        raise InputError(f"{path}: the names are too long for this format; use --to word2vec")
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in stored:
            file.write(array.data)


def read_safetensors(path: str | PathLike[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The float32 and float64 arrays of a file, and its names.

    Raises
    ------
    InputError
        The file is missing or damaged, or holds other types.
    """
    size = regular_file_size(path)
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise InputError(f"{path}: is no safetensors file, or truncated")
            header = json.loads(file.read(length).decode("utf-8"))
            names = json.loads(header.pop("__metadata__", {}).get("names", "[]"))
            if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise InputError(f"{path}: is damaged (names)")
            arrays = {
                str(name): _read_array(file, about, 8 + length, size)
                for name, about in header.items()
            }
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({reason(error)})") from error
    return arrays, names


def _read_array(file: IO[bytes], about: Any, data: int, size: int) -> NDArray[Any]:
    dtype = _TYPES[about["dtype"]]
    shape = [int(n) for n in about["shape"]]
    begin, end = (int(n) for n in about["data_offsets"])
    if not all(0 <= n < _MAX_SIZE for n in shape) or not 0 <= begin <= end <= size - data:
        raise ValueError("offsets beyond the file")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError("a shape that does not fit its bytes")
    file.seek(data + begin)
    stored = np.frombuffer(file.read(end - begin), dtype)
    array: NDArray[Any] = stored.reshape(shape).astype(dtype.newbyteorder("="))
    if not np.isfinite(array).all():
        raise ValueError("a number that is not finite")
    return array
