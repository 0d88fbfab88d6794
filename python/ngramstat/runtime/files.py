"""Files and directories: atomic writing, strict JSON and checksums."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.locks import hold, remove_abandoned, same_file, sole_writer
from ngramstat.runtime.mapped import release_mapped_pages
from ngramstat.runtime.text import encoded, reason

__all__ = [
    "atomic_directory",
    "atomic_write",
    "read_arrays",
    "read_json",
    "reason",
    "regular_file_size",
    "require_writable",
    "sha256_array",
    "sha256_file",
    "sync_directory",
    "temporary_name",
    "temporary_names",
    "temporary_target",
    "write_arrays",
    "write_csv",
    "write_json",
]

# Bytes read or hashed in one step: enough to make Python's overhead negligible, and little memory.
_BLOCK_BYTES = 1 << 20
# Of an array, between two releases of mapped pages.
_HASHED_BYTES = 16 << 20
# Of directories: one that is being written, and one that it replaces.
_ENDINGS = ("tmp", "old")
# Targets of more than a hundred characters are cut.
_TEMPORARY = re.compile(r"\.(?P<target>.{1,100})\.[0-9a-f]{16}\.tmp", re.DOTALL)


def regular_file_size(path: str | PathLike[str]) -> int:
    """Size of a regular file in bytes.

    Raises
    ------
    InputError
        The file does not exist or cannot be accessed, or it is a directory, a pipe or a device
        (which could block forever or never end).
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{path}: cannot be opened: {reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a directory, a file was expected")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is not a regular file; save its contents to a file first")
    return status.st_size


def require_writable(path: str | PathLike[str]) -> None:
    """Refuse a file that `atomic_write` could not write, before the work whose result it holds.

    Raises
    ------
    InputError
        The directory is missing or not writable, or `path` is not a regular file.
    """
    target = Path(os.path.realpath(path))
    code = 0
    try:
        # Of a name that is too long `lstat` says so.
        if not stat.S_ISREG(target.lstat().st_mode):
            raise InputError(f"{path}: is not a regular file; the output would replace it")
    except FileNotFoundError:
        code = 0 if target.parent.is_dir() else errno.ENOENT
    except OSError as error:
        code = error.errno or errno.EIO
    if code == 0 and not os.access(target.parent, os.W_OK | os.X_OK):
        code = errno.EACCES
    if code:
        raise InputError(f"{path}: cannot be written: {os.strerror(code)}")


@contextlib.contextmanager
def atomic_write(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it always holds its old or its complete new contents.

    The bytes go to a temporary file in the same directory. When the block ends the file is flushed
    to disk and renamed; when the block raises it is removed. If the process dies it stays, until
    `path` is written again.

    Parameters
    ----------
    path
        The file to write or replace. A symbolic link is followed.

    Yields
    ------
    IO[bytes]
        The open temporary file.

    Raises
    ------
    InputError
        The directory is missing or not writable, or `path` is not a regular file.
    NgramstatError
        Writing failed, for instance because the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise InputError(f"{path}: is not a regular file, so it cannot be replaced by the output")
    remove_abandoned(target.parent, temporary_names(target))
    try:
        temporary, descriptor = _open_temporary(target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {reason(error)}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name != "nt":  # while it is held; an open file cannot be renamed there
                os.replace(temporary, target)
        if os.name == "nt":
            os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise NgramstatError(f"{path}: writing failed: {reason(error)}") from error
        raise
    sync_directory(target.parent)


@contextlib.contextmanager
def atomic_directory(path: str | PathLike[str]) -> Iterator[Path]:
    """A directory to fill, which gets its name, in place of an older one, when the block ends.

    When the block raises, the older one stays. If the process dies, it is beside the name, or still
    has it, and what was written stays until `path` is written again.

    Raises
    ------
    InputError
        Another process writes it.
    NgramstatError
        Writing failed.
    """
    target = Path(os.path.abspath(path))
    with sole_writer(path, directory=False):
        _restore_replaced(target)
        for ending in _ENDINGS:
            remove_abandoned(target.parent, temporary_names(target, ending))
        temporary, replaced = (temporary_name(target, ending) for ending in _ENDINGS)
        try:
            temporary.mkdir()
            yield temporary
            sync_directory(temporary)
            if target.exists():
                os.rename(target, replaced)
            os.rename(temporary, target)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if replaced.exists() and not target.exists():
                os.rename(replaced, target)
            if isinstance(error, OSError):
                raise NgramstatError(f"{path}: writing failed: {reason(error)}") from error
            raise
        shutil.rmtree(replaced, ignore_errors=True)
        sync_directory(target.parent)


def _restore_replaced(target: Path) -> None:
    """Give back its name to a directory whose replacement was interrupted half-way."""
    with contextlib.suppress(OSError):
        names = temporary_names(target, _ENDINGS[1])
        for name in os.listdir(target.parent):
            if names.fullmatch(name) and not target.exists():
                os.rename(target.with_name(name), target)


def temporary_name(target: Path, ending: str = "tmp") -> Path:
    """A name of one's own, beside a file or directory that is to be written."""
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.{ending}")


def temporary_names(target: Path, ending: str = "tmp") -> re.Pattern[str]:
    """What all names that `temporary_name` gives for a target match."""
    return re.compile(rf"\.{re.escape(target.name[:100])}\.[0-9a-f]{{16}}\.{ending}", re.DOTALL)


def temporary_target(name: str) -> str | None:
    """The name that a temporary file of `atomic_write` was to get; None for any other name."""
    found = _TEMPORARY.fullmatch(name)
    return None if found is None else found["target"]


def _open_temporary(target: Path) -> tuple[Path, int]:
    """A new temporary file beside its target, which is held until it is closed."""
    while True:
        temporary = temporary_name(target)
        # Not tempfile: its mode 0600 would survive the rename and override the user's umask.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        hold(descriptor)
        # Between making and holding it, another writer may take it for abandoned.
        if os.name == "nt" or same_file(descriptor, temporary):
            return temporary, descriptor
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, so that a rename in it survives a power failure.

    Best effort: some systems (Windows, some network mounts) do not support it.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: str | PathLike[str], obj: Any) -> None:
    """Write `obj` as indented UTF-8 JSON, atomically.

    Raises
    ------
    NgramstatError
        `obj` holds NaN, an infinity or a value that JSON cannot represent, or writing failed.
    """
    try:
        text = json.dumps(obj, indent=2, allow_nan=False, ensure_ascii=False)
        # Names that are not UTF-8 become escapes of JSON, which `read_json` reads back.
        data = (text + "\n").encode("utf-8", "backslashreplace")
    except (TypeError, ValueError, RecursionError) as error:
        raise NgramstatError(f"{path}: cannot be written as JSON: {reason(error)}") from error
    with atomic_write(path) as file:
        file.write(data)


def read_json(path: str | PathLike[str], *, max_bytes: int = 1 << 30) -> Any:
    """Read strict JSON: no NaN, no infinity (not even as 1e999), no repeated key.

    Parameters
    ----------
    path
        The file to read; it is not trusted.
    max_bytes
        A larger file is refused before it is read.

    Raises
    ------
    InputError
        The file is missing, too large, not UTF-8 or not strict JSON.
    """
    size = regular_file_size(path)
    if size > max_bytes:
        raise InputError(f"{path}: {size} bytes, more than the {max_bytes} allowed for this file")
    try:
        with open(path, "rb") as file:
            # A buffer of this size is allocated at once; a file that has grown since is cut off.
            text = file.read(size).decode("utf-8")
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_unique_keys,
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {reason(error)}") from error


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of numbers or text as .npz, atomically.

    Raises
    ------
    NgramstatError
        An array holds Python objects, or writing failed.
    """
    for name, array in arrays.items():
        # NumPy would pickle them, and versions before 2.2 have no option against it.
        if np.asarray(array).dtype.hasobject:
            raise NgramstatError(f"{path}: {name} holds objects, which are not written")
    with atomic_write(path) as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]


def write_csv(
    path: str | PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a table as UTF-8 CSV, atomically.

    Raises
    ------
    NgramstatError
        Writing failed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(encoded(text.getvalue()))


def read_arrays(
    path: str | PathLike[str], names: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Read a file written by `write_arrays`; no code in it is executed.

    Parameters
    ----------
    path
        The file to read; it is not trusted.
    names : sequence of str, optional
        The arrays to read; by default all of them.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    regular_file_size(path)
    try:
        # Opened here, because np.load leaves a damaged file open when it fails.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except MemoryError:
        raise
    # zipfile and numpy raise what comes of a changed bit: NotImplementedError of an unknown
    # compression, RuntimeError of an encryption flag, zlib.error, SyntaxError of a header and more.
    except Exception as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error


def sha256_array(array: NDArray[Any]) -> str:
    """SHA-256, in hexadecimal, of the bytes of a C-contiguous one-dimensional array."""
    digest = hashlib.sha256()
    step = max(1, _HASHED_BYTES // array.itemsize)
    for start in range(0, array.size, step):
        digest.update(np.ascontiguousarray(array[start : start + step]).data)
        release_mapped_pages(array)
    return digest.hexdigest()


def sha256_file(path: str | PathLike[str]) -> str:
    """SHA-256, in hexadecimal, of a regular file's bytes.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    regular_file_size(path)
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return digest.hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key[:80]!r} occurs twice in one object")
        result[key] = value
    return result
