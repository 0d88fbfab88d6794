"""NumPy's .npz archives with an array of token ids."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from ngramstat.corpus.formats.npy import (
    array_store,
    header_size,
    parse_header,
    tokens_of_shape,
)
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["FORMAT"]

_ZIP_MAGIC = b"PK\x03\x04"
_NPY_MAGIC = b"\x93NUMPY"
_READ_BYTES = 4 << 20


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix == ".npz" and head.startswith(_ZIP_MAGIC)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    regular_file_size(path)
    with _refusing_damage(path), zipfile.ZipFile(path) as archive:
        name = _member(archive, path, options.array)
        where = f"{path}[{name.removesuffix('.npy')}]"
        with archive.open(name) as file:
            magic = _exactly(file, 10, where)
            if not magic.startswith(_NPY_MAGIC):
                raise InputError(f"{where}: not a NumPy array")
            head = magic if magic[6] == 1 else magic + _exactly(file, 2, where)
            _, length = header_size(head, where)
            dtype, shape, fortran = parse_header(_exactly(file, length, where), where)
            count = tokens_of_shape(shape, where)
            if archive.getinfo(name).file_size != len(head) + length + count * dtype.itemsize:
                raise InputError(f"{where}: its header counts {count} tokens; truncated?")
            with TokenFileBuilder(where, expected_tokens=count, dtype=options.dtype) as builder:
                for piece in _pieces(file, count * dtype.itemsize, where):
                    builder.append(np.frombuffer(piece, dtype=dtype))
                built = builder.finish()
    array = built.tokens.reshape(shape, order="F" if fortran else "C")
    store = array_store(array, path, options, FORMAT.name)
    return replace(store, stored_dtype=dtype.name, largest_id=built.largest_id)


FORMAT = Format(
    "npz", "NumPy .npz archive", _recognises, _open,
    has_rows=True, has_columns=False, has_arrays=True,
)  # fmt: skip


def _member(archive: zipfile.ZipFile, path: Path, stated: str | None) -> str:
    """The name in the archive of the array to read."""
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    arrays = [name.removesuffix(".npy") for name in names]
    listing = ", ".join(name[:60] for name in arrays[:20]) or "none"
    if stated is not None:
        if arrays.count(stated) != 1:
            raise InputError(f"{path}: has no single array {stated!r}; its arrays are {listing}")
        return f"{stated}.npy"
    if len(names) != 1:
        raise InputError(
            f"{path}: holds {len(names)} arrays ({listing}); name the one of token ids with --array"
        )
    return names[0]


def _exactly(file: IO[bytes], count: int, where: str) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise InputError(f"{where}: ends too early; truncated?")
    return data


def _pieces(file: IO[bytes], size: int, where: str) -> Iterator[bytes]:
    while size:
        step = min(size, _READ_BYTES)
        yield _exactly(file, step, where)
        size -= step


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Turn what zipfile raises for damaged archives into one error."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
    except (ValueError, RuntimeError, NotImplementedError, KeyError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be unpacked: {reason(error)}") from error
