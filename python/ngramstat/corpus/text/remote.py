"""Files on other machines: copied to a cache directory through fsspec, and read from there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ngramstat.corpus.text.findings import printable_name
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason
from ngramstat.runtime.progress import Progress

__all__ = ["cache_directory", "fetch"]

_BLOCK_BYTES = 1 << 20


def cache_directory() -> Path:
    """Where copies of files on other machines are kept.

    ``$NGRAMSTAT_CACHE``, or ``ngramstat`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    chosen = os.environ.get("NGRAMSTAT_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ngramstat"


def fetch(url: str, *, progress: bool = False) -> Iterator[tuple[Path, str]]:
    """Copy the files of a URL that are not in the cache yet.

    Parameters
    ----------
    url
        Of a file, a directory or a pattern, in any scheme of fsspec.
    progress
        Show the progress, and where the copies are.

    Yields
    ------
    path, name
        Of each copy, sorted by the name of the original.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    NgramstatError
        fsspec or what it needs for the scheme is missing, or the cache cannot be written.
    """
    try:
        import fsspec
    except ImportError as error:
        raise NgramstatError(
            f"{url}: reading URLs needs fsspec: pip install 'ngramstat[remote]'"
        ) from error
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        names = _names(filesystem, root)
    except ImportError as error:
        raise NgramstatError(f"{url}: {reason(error)}") from error
    except Exception as error:  # filesystems raise what their libraries raise
        raise InputError(f"{url}: cannot be read: {reason(error)}") from error
    if not names:
        raise InputError(f"{url}: there is no such file")
    for name in names:
        yield _copy(filesystem, name, url, progress), printable_name(name.rpartition("/")[2])


def _names(filesystem: Any, root: str) -> list[str]:
    if re.search(r"[*?\[]", root) and not filesystem.exists(root):
        found = [name for name in filesystem.glob(root) if filesystem.isfile(name)]
    elif filesystem.isdir(root):
        found = [
            name
            for name in filesystem.find(root)
            if not any(part.startswith(".") for part in name[len(root) :].split("/"))
        ]
    else:
        found = [root]
    return sorted(found)


def _copy(filesystem: Any, name: str, url: str, progress: bool) -> Path:
    base = re.sub(r"[^A-Za-z0-9._+=-]", "_", name.rpartition("/")[2])[-120:] or "file"
    try:
        facts = filesystem.info(name)
        size = facts.get("size")
        version = str(filesystem.ukey(name))
    except NotImplementedError:
        size, version = None, ""
    except Exception as error:
        raise InputError(f"{url}: {name} cannot be read: {reason(error)}") from error
    key = hashlib.sha256(f"{filesystem.protocol}\0{name}\0{version}".encode()).hexdigest()[:24]
    target = cache_directory() / "inputs" / key / base
    if version and target.is_file() and size in (None, target.stat().st_size):
        return target
    partial = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            Progress(size, f"Copy {base} to {target.parent}", unit="B", enabled=progress) as bar,
            open(partial, "wb") as output,
        ):
            _transfer(filesystem, name, url, output, bar)
        if size is not None and partial.stat().st_size != size:
            raise InputError(
                f"{url}: {name} has {partial.stat().st_size} bytes instead of {size}; try again"
            )
        os.replace(partial, target)
    except OSError as error:
        raise NgramstatError(
            f"{target}: the copy of {url} cannot be written: {reason(error)}; set NGRAMSTAT_CACHE "
            "to another directory"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _transfer(filesystem: Any, name: str, url: str, output: Any, bar: Progress) -> None:
    try:
        source = filesystem.open(name, "rb")
    except Exception as error:
        raise InputError(f"{url}: {name} cannot be read: {reason(error)}") from error
    with source:
        while True:
            try:
                block = source.read(_BLOCK_BYTES)
            except Exception as error:
                raise InputError(f"{url}: {name} cannot be read: {reason(error)}") from error
            if not block:
                return
            output.write(block)
            bar.advance(len(block))
