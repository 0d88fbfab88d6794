"""Building an index: the suffixes of a corpus in order, shard by shard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.index.directory import IndexDirectory
from ngramstat.index.extra import extra_arrays, extra_bytes
from ngramstat.index.manifest import Manifest, ShardEntry
from ngramstat.index.plan import ShardPlan, plan_shards, stored_dtype
from ngramstat.index.provenance import provenance
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.index.shard_file import ALIGNMENT, HEADER_BYTES, ShardWriter
from ngramstat.kernels.suffix_order import SuffixSorter, sorting_bytes
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.workspace import Workspace

__all__ = ["IndexBuilder"]

_SUFFIX_BYTES = 4


@dataclass(frozen=True)
class IndexBuilder:
    """Builds the index of a corpus.

    Attributes
    ----------
    corpus : Corpus
    settings : IndexSettings
    workspace : Workspace
        Threads, and the memory limit, which decides on the number of shards.
    shard_tokens : int or None
        Largest number of tokens of a shard.
    progress : bool
        Whether to show it.
    """

    corpus: Corpus
    settings: IndexSettings
    workspace: Workspace
    shard_tokens: int | None = None
    progress: bool = False

    def in_memory(self) -> list[Shard]:
        """The shards of an index in memory.

        Raises
        ------
        InputError
            It needs more than the memory limit, or the corpus has changed meanwhile.
        """
        self._require_memory()
        with self.corpus.unchanged(), self._bar() as bar:
            return [self._shard(plan, bar) for plan in self._plans()]

    def write(self, directory: Path, *, overwrite: bool) -> None:
        """Write an index to a directory.

        Raises
        ------
        InputError
            The directory holds something else, or an index without `overwrite`, or there is not
            enough room on its disk, or the corpus has changed meanwhile.
        NgramstatError
            Writing failed.
        """
        self.workspace.require_working_memory(self.corpus.n_tokens)
        target = IndexDirectory(directory, overwrite=overwrite)
        with target.building() as build, self._bar() as bar:
            plans = self._plans()
            target.require_room(sum(self._file_bytes(plan) for plan in plans))
            with self.corpus.unchanged():
                entries = [
                    self._write_shard(target, build, number, plan, bar)
                    for number, plan in enumerate(plans)
                ]
                tokenizer = target.copy_tokenizer(build, self.corpus)
            target.finish(
                Manifest(build, self.settings, provenance(self.corpus), tokenizer, tuple(entries))
            )

    def _plans(self) -> list[ShardPlan]:
        return plan_shards(
            self.corpus,
            self.settings,
            budget=self.workspace.memory_budget(token_bytes=self.corpus.tokens.nbytes),
            shard_tokens=self.shard_tokens,
            threads=self.workspace.threads,
        )

    def _bar(self) -> Progress:
        return Progress(self.corpus.n_tokens, "index", unit="tok", enabled=self.progress)

    def _require_memory(self) -> None:
        """An index in memory has one array more than its sorting."""
        budget = self.workspace.memory_budget()
        if budget is None:
            return
        ends = self.corpus.document_ends
        stops = 0 if ends is None or not self.settings.inserts_stops else ends.size
        size = self.corpus.n_tokens + stops
        result = (
            size * _SUFFIX_BYTES
            + (stops > 0) * size * stored_dtype(self.corpus, self.settings).itemsize
        )
        least = result + sorting_bytes(
            size, 0, self.settings.n_ids, self.settings.depth, self.workspace.threads
        )
        if least > budget:
            raise InputError(
                f"{self.corpus.name}: its index needs {least:,} bytes of memory, and "
                f"--memory-limit leaves {budget:,}; give a path to write it to, or raise the limit"
            )

    def _file_bytes(self, plan: ShardPlan) -> int:
        """Size of the file of a shard, at most."""
        sizes = (
            plan.n_stored(self.settings) * stored_dtype(self.corpus, self.settings).itemsize,
            plan.n_stored(self.settings) * _SUFFIX_BYTES,
            (self.settings.vocab_size + 2) * 8,
            plan.ends.size * 8,
            extra_bytes(plan.n_stored(self.settings)),
        )
        return HEADER_BYTES + sum(size + ALIGNMENT for size in sizes)

    # --- one shard ---------------------------------------------------------------------------

    def _shard(self, plan: ShardPlan, bar: Progress) -> Shard:
        tokens = self._plain_tokens(plan)
        if tokens is None:
            tokens = np.concatenate(list(plan.pieces(self.corpus, self.settings)))
        ends = plan.stored_ends(self.settings)
        sorting = _Sorting(self, tokens, ends)
        suffixes = np.empty(sorting.n_suffixes, np.uint32)
        done = 0
        for part in sorting.parts(bar):
            suffixes[done : done + part.size] = part
            done += part.size
        shard = Shard(tokens, suffixes, sorting.token_starts, ends, plan.first, plan.first_document)
        extra = extra_arrays(self.settings, shard, self.workspace.threads)
        return replace(shard, extra=extra)

    def _write_shard(
        self, target: IndexDirectory, build: str, number: int, plan: ShardPlan, bar: Progress
    ) -> ShardEntry:
        ends = plan.stored_ends(self.settings)
        path = target.partial(f"shard-{number}-{build}.bin")
        with ShardWriter(path) as file:
            dtype = stored_dtype(self.corpus, self.settings)
            token_offset = file.begin("tokens", dtype)
            for piece in plan.pieces(self.corpus, self.settings):
                file.write(piece)
            file.flush_in_background()
            n_tokens = plan.n_stored(self.settings)
            tokens = self._plain_tokens(plan)
            if tokens is None:
                tokens = np.memmap(path, dtype, "r", offset=token_offset, shape=(n_tokens,))
            with self.workspace.managing(tokens):
                sorting = _Sorting(self, tokens, ends)
                file.add("token_starts", sorting.token_starts)
                file.add("document_ends", ends)
                suffix_offset = file.begin("suffixes", np.dtype(np.uint32))
                sorting.write(file, suffix_offset, bar)
            suffixes: Any = np.memmap(
                path, np.uint32, "r", offset=suffix_offset, shape=(sorting.n_suffixes,)
            )
            shard = Shard(
                tokens, suffixes, sorting.token_starts, ends, plan.first, plan.first_document
            )
            with self.workspace.managing(tokens, suffixes):
                extra = extra_arrays(self.settings, shard, self.workspace.threads)
            for name, values in extra.items():
                file.add(name, values)
            header = file.finish(
                build=build,
                shard=number,
                first_token=plan.first,
                first_document=plan.first_document,
            )
        return ShardEntry(
            file=path.name.removesuffix(target.PARTIAL),
            bytes=path.stat().st_size,
            header=header,
            tokens=n_tokens,
            suffixes=sorting.n_suffixes,
            documents=ends.size,
            first_token=plan.first,
            first_document=plan.first_document,
        )

    def _plain_tokens(self, plan: ShardPlan) -> NDArray[Any] | None:
        """The tokens of a shard as they lie in the corpus; None where stop tokens come in."""
        if self.settings.inserts_stops:
            return None
        return np.asarray(self.corpus.tokens[plan.first : plan.text_last])


class _Sorting:
    """The suffixes of one shard."""

    def __init__(
        self, builder: IndexBuilder, tokens: NDArray[Any], ends: NDArray[np.int64]
    ) -> None:
        self.n_suffixes = int(ends[-1])
        self._n_tokens = tokens.size
        settings, workspace = builder.settings, builder.workspace
        self._sorter = SuffixSorter(
            tokens,
            settings.n_ids,
            depth=settings.depth,
            stop_token=settings.stop_token,
            document_ends=ends,
            threads=workspace.threads,
            memory_limit=workspace.memory_budget(token_bytes=tokens.nbytes),
        )
        counts = np.zeros(settings.vocab_size + 1, np.int64)
        counts[: settings.n_ids] = self._sorter.occurrences
        beyond, numbers = np.unique(tokens[self.n_suffixes :], return_counts=True)
        counts[beyond] -= numbers
        self.token_starts = np.zeros(counts.size + 1, np.int64)
        np.cumsum(counts, out=self.token_starts[1:])

    def parts(self, bar: Progress) -> Iterator[NDArray[np.uint32]]:
        """The suffixes in order, some at a time."""
        for part in self._sorter:
            suffixes = part.suffixes
            if self._n_tokens > self.n_suffixes:
                # Where matches may end, none begins.
                suffixes = suffixes[suffixes < self.n_suffixes]
            yield suffixes
            bar.advance(suffixes.size)

    def write(self, file: ShardWriter, offset: int, bar: Progress) -> None:
        """Write the suffixes to the array of the file that begins at this offset."""
        if self._n_tokens > self.n_suffixes or not hasattr(os, "pwrite"):
            for part in self.parts(bar):
                file.write(part)
            return
        for size in self._sorter.write(file.descriptor(), offset):
            file.skip(size)
            bar.advance(size)
