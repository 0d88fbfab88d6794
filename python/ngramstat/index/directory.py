"""The directory of an index: written so that it is whole or not there, and opened with care."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.index.manifest import (
    FILE_NAME,
    MANIFEST,
    Manifest,
    ShardEntry,
    TokenizerEntry,
    read_manifest,
    write_manifest,
)
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.index.shard_file import OpenShard
from ngramstat.runtime.files import (
    atomic_write,
    reason,
    sha256_file,
    sync_directory,
    temporary_target,
)
from ngramstat.runtime.locks import LOCK_FILE, remove_abandoned, sole_writer

__all__ = ["IndexDirectory", "check_tokenizer", "open_directory"]

# Arrays that every shard has, with the types that are allowed.
_ARRAYS = {
    "tokens": ("uint16", "uint32"),
    "suffixes": ("uint32",),
    "token_starts": ("int64",),
    "document_ends": ("int64",),
}
# Free space beyond what the files need.
_SPARE_BYTES = 1 << 20


class IndexDirectory:
    """The directory that an index is written to.

    Files are written under names of their own, the manifest last: it names the files of a whole
    index. An interrupted build leaves an older index as it was, and otherwise none. What it leaves
    behind is removed by the next build.

    Parameters
    ----------
    path : Path
        Created if it does not exist.
    overwrite : bool
        Whether an index in it may be replaced.

    Raises
    ------
    InputError
        It is a file, or holds other files, or an index without `overwrite`.
    """

    PARTIAL = ".partial"

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._made: list[Path] = []
        self._overwrite = overwrite
        self._require_free()

    def _require_free(self) -> None:
        path = self.path
        try:
            is_file = path.exists() and not path.is_dir()
            names = os.listdir(path) if path.is_dir() else []
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        if is_file:
            raise InputError(f"{path}: is a file; give a directory to write the index to")
        if MANIFEST in names:
            if not self._overwrite:
                raise InputError(f"{path}: holds an index already; give --overwrite to replace it")
        elif others := [name for name in names if not self._is_ours(name) and name != LOCK_FILE]:
            raise InputError(
                f"{path}: is no index and holds other files, such as {others[0]!r}; give another "
                "directory"
            )

    @contextlib.contextmanager
    def building(self) -> Iterator[str]:
        """While files are written; gives the build's 16 hexadecimal digits.

        What is not finished is removed at the end.
        """
        with sole_writer(self.path):
            # Once more: until it was locked, another process may have written it.
            self._require_free()
            try:
                self._remove_partial_files()
                yield secrets.token_hex(8)
            except OSError as error:
                raise NgramstatError(f"{self.path}: writing failed: {reason(error)}") from error
            finally:
                for path in self._made:
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)

    def partial(self, name: str) -> Path:
        """Where to write a file until the index is finished."""
        path = self.path / (name + self.PARTIAL)
        self._made.append(path)
        return path

    def require_room(self, size: int) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises
        ------
        InputError
        """
        free = shutil.disk_usage(self.path).free
        if free < size + _SPARE_BYTES:
            raise InputError(
                f"{self.path}: the index needs {size:,} bytes, and {free:,} are free there; free "
                "some, or write it elsewhere"
            )

    def copy_tokenizer(self, build: str, corpus: Corpus) -> TokenizerEntry | None:
        """Copy the tokenizer of a corpus, if it has one.

        Raises
        ------
        InputError
            It cannot be read.
        """
        if corpus.tokenizer_path is None:
            return None
        try:
            data = corpus.tokenizer_path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{corpus.tokenizer_path}: the tokenizer of {corpus.name} cannot be read: "
                f"{reason(error)}"
            ) from error
        name = f"tokenizer-{build}.json"
        with atomic_write(self.partial(name)) as file:
            file.write(data)
        return TokenizerEntry(name, hashlib.sha256(data).hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Give all files their names, then write the manifest, then remove what was replaced."""
        for path in self._made:
            os.replace(path, path.with_name(path.name.removesuffix(self.PARTIAL)))
        named = [path.with_name(path.name.removesuffix(self.PARTIAL)) for path in self._made]
        self._made = named  # removed if the manifest cannot be written
        sync_directory(self.path)
        write_manifest(self.path, manifest)
        self._made = []
        for name in os.listdir(self.path):
            if self._is_ours(name) and name not in (MANIFEST, *manifest.files):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink()

    def _remove_partial_files(self) -> None:
        """Remove what killed builds have left, which may be as large as an index."""
        remove_abandoned(
            self.path,
            lambda name: self._is_ours(name) and name.endswith((self.PARTIAL, ".tmp")),
        )

    def _is_ours(self, name: str) -> bool:
        name = temporary_target(name) or name
        return name == MANIFEST or FILE_NAME.fullmatch(name.removesuffix(self.PARTIAL)) is not None


def open_directory(path: Path) -> tuple[Manifest, list[Shard], list[OpenShard]]:
    """The manifest, the mapped shards, and their files, of an index that is not trusted.

    Raises
    ------
    InputError
        It is none, or a file is missing, damaged, of another version or of another build.
    """
    manifest = read_manifest(path)
    files = [
        _open_shard(path / entry.file, number, entry, manifest.build)
        for number, entry in enumerate(manifest.shards)
    ]
    shards = [
        _shard(file, entry, manifest.settings)
        for file, entry in zip(files, manifest.shards, strict=True)
    ]
    if manifest.tokenizer is not None and not (path / manifest.tokenizer.file).is_file():
        raise InputError(
            f"{path / manifest.tokenizer.file}: is missing; copy the index again as a whole"
        )
    return manifest, shards, files


def check_tokenizer(path: Path, entry: TokenizerEntry) -> None:
    """Refuse a tokenizer that has changed.

    Raises
    ------
    InputError
    """
    if sha256_file(path / entry.file) != entry.sha256:
        raise InputError(
            f"{path / entry.file}: is not the tokenizer that the index was built with; copy the "
            "index again, or build it again"
        )


def _open_shard(path: Path, number: int, entry: ShardEntry, build: str) -> OpenShard:
    if not path.exists():
        raise InputError(f"{path}: is missing; copy the index again as a whole, or build it again")
    file = OpenShard(path)
    described = file.description
    if described.get("build") != build or file.header_checksum != entry.header:
        raise InputError(
            f"{path}: belongs to another build of the index than {MANIFEST}; copy the index again "
            "as a whole, or build it again"
        )
    expected = {
        "build": build,
        "shard": number,
        "first_token": entry.first_token,
        "first_document": entry.first_document,
    }
    if described != expected:
        raise InputError(f"{path}: is not shard {number} of this index; build it again")
    return file


def _shard(file: OpenShard, entry: ShardEntry, settings: IndexSettings) -> Shard:
    types = {section.name: section.dtype for section in file.sections}
    for name, allowed in _ARRAYS.items():
        if types.get(name) not in allowed:
            raise InputError(
                f"{file.path}: its array {name} is missing or not of {' or '.join(allowed)}; build "
                "the index again"
            )
    arrays: dict[str, Any] = file.arrays()
    tokens, suffixes = arrays.pop("tokens"), arrays.pop("suffixes")
    starts, ends = arrays.pop("token_starts"), arrays.pop("document_ends")
    sizes = (tokens.size, suffixes.size, starts.size, ends.size)
    if sizes != (entry.tokens, entry.suffixes, settings.vocab_size + 2, entry.documents):
        raise InputError(f"{file.path}: its arrays have other sizes than in {MANIFEST}")
    if not _bounds(starts, suffixes.size) or int(ends[-1]) != suffixes.size:
        raise InputError(
            f"{file.path}: is damaged: token_starts or document_ends do not end with the suffixes; "
            "build the index again"
        )
    return Shard(
        tokens, suffixes, starts, ends, entry.first_token, entry.first_document, extra=arrays
    )


def _bounds(starts: NDArray[np.int64], size: int) -> bool:
    """Whether these are ranks at which first tokens begin."""
    return bool(starts[0] == 0 and starts[-1] == size and (starts[1:] >= starts[:-1]).all())
