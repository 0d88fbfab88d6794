"""Checks of everything that an index holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.index.directory import check_tokenizer, open_directory
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.suffix_order import check_suffixes
from ngramstat.kernels.tokens import token_counts
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.workspace import Workspace

__all__ = ["verify_directory", "verify_shard"]


def verify_directory(path: Path, workspace: Workspace, *, progress: bool) -> None:
    """Read all files of an index: checksums, and what the arrays say.

    Raises
    ------
    InputError
        Something is damaged or wrong.
    """
    manifest, shards, files = open_directory(path)
    if manifest.tokenizer is not None:
        check_tokenizer(path, manifest.tokenizer)
    total = sum(entry.bytes for entry in manifest.shards)
    with Progress(total, "verify", unit="B", enabled=progress) as bar:
        for shard, file in zip(shards, files, strict=True):
            with workspace.managing(shard.tokens, shard.suffixes):
                file.verify()
                verify_shard(shard, manifest.settings, workspace, str(file.path))
            bar.advance(file.size)


def verify_shard(shard: Shard, settings: IndexSettings, workspace: Workspace, name: str) -> None:
    """Check the arrays of a shard against its tokens.

    Raises
    ------
    InputError
        Something is wrong; the message begins with `name`.
    """
    try:
        counts = token_counts(shard.tokens, settings.vocab_size + 1, threads=workspace.threads)
    except IndexError as error:
        raise _wrong(name, f"tokens: {error}") from error
    beyond, numbers = np.unique(shard.tokens[shard.suffixes.size :], return_counts=True)
    counts[beyond] -= numbers
    if not np.array_equal(np.diff(shard.token_starts), counts):
        raise _wrong(name, "token_starts are not the counts of its tokens")
    ends = shard.document_ends
    if int(ends[0]) < 1 or (np.diff(ends) < 1).any() or int(ends[-1]) != shard.suffixes.size:
        raise _wrong(name, "document_ends do not increase to the number of suffixes")
    stop = settings.stop_token
    if settings.boundary is Boundary.DOCUMENT:
        stops = np.count_nonzero(shard.tokens[ends - 1] == stop)
        missing = ends.size - stops
        if missing > (0 if settings.inserts_stops else 1) or int(counts[stop]) != stops:
            raise _wrong(name, "the stop token is not what ends its documents")
    elif counts[settings.vocab_size]:
        raise _wrong(name, f"a token is {settings.vocab_size}, not below the vocabulary's size")
    with workspace.temporary_array(shard.suffixes.size, np.uint32) as ranks:
        why = check_suffixes(
            shard.tokens,
            shard.suffixes,
            ranks,
            depth=settings.depth,
            stop_token=stop,
            threads=workspace.threads,
        )
    if why is not None:
        raise _wrong(name, f"suffixes: {why}")


def _wrong(name: str, why: str) -> InputError:
    return InputError(f"{name}: is damaged: {why}; build the index again")
