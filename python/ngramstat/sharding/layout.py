"""The whole corpus as it follows from the descriptions of its shards, and the place of each in it.

Folds, halves and clusters are drawn by a permutation of all documents, for which their lengths are
enough: every process that has all descriptions draws the same, and the design is that of the shards
as one corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.covariance.occurring import items_to_renumber, renumbered
from ngramstat.errors import InputError, NgramstatError
from ngramstat.kernels import Documents
from ngramstat.kernels.tokens import token_ranges
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import MIN_DOCUMENTS, DrawnLabels, SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.shard_place import ShardPlace
from ngramstat.sharding.description import ShardDescription
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.plan import ShardPlan

__all__ = ["Layout"]

# What all shards have in common, and how messages call it.
_COMMON = (("vocab_size", "vocabulary size"), ("separator", "separator"), ("dtype", "dtype"))


class _TokensElsewhere:
    """Stands for the tokens of all shards, which no machine holds: only their number is known."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.size, self.dtype, self.shape = size, dtype, (size,)
        self.nbytes = size * dtype.itemsize

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: Any) -> NoReturn:
        raise NgramstatError("the tokens of a corpus of shards are not on this machine")


@dataclass(frozen=True)
class Layout:
    """All shards of a corpus.

    Attributes
    ----------
    plan : ShardPlan
    shards : sequence of ShardDescription
        In the order of the corpus.
    """

    plan: ShardPlan
    shards: Sequence[ShardDescription]

    @classmethod
    def load(cls, plan: ShardPlan, files: RoundFiles) -> Layout:
        """From the descriptions that all shards left.

        Raises
        ------
        InputError
            One is missing, or shards are not of one kind.
        """
        shards = [files.load(ShardDescription, "shard", number) for number in range(plan.shards)]
        for name, called in _COMMON:
            values = {getattr(shard, name) for shard in shards}
            if len(values) > 1:
                listed = ", ".join(map(str, sorted(values)))
                raise InputError(f"the shards differ in their {called}: {listed}")
        layout = cls(plan, shards)
        least = MIN_DOCUMENTS if layout.options.boundary is Boundary.STREAM else 2
        if len(layout.lengths) < least:
            raise InputError(
                f"the shards have {len(layout.lengths)} documents together, and at least {least} "
                "are needed; measure them as one corpus, where blocks stand in for documents"
            )
        return layout

    @property
    def options(self) -> SamplingOptions:
        """Of the sampling design."""
        return self.plan.correlations

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of all documents, (n_documents,)."""
        return np.concatenate([shard.lengths for shard in self.shards])

    @cached_property
    def labels(self) -> DrawnLabels:
        """Folds and clusters of all documents."""
        return DrawnLabels.of(self.lengths, self.options.seed)

    @property
    def n_tokens(self) -> int:
        """Of the corpus."""
        return int(self.lengths.sum())

    @cached_property
    def first_tokens(self) -> NDArray[np.int64]:
        """Where each shard begins, and where the corpus ends, (shards + 1,)."""
        sizes = np.array([shard.n_tokens for shard in self.shards])
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    @cached_property
    def first_documents(self) -> NDArray[np.int64]:
        """The number of the first document of each shard, and of all documents, (shards + 1,)."""
        sizes = np.array([len(shard.lengths) for shard in self.shards])
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    @cached_property
    def token_counts(self) -> NDArray[np.int64]:
        """Occurrences of every vocabulary item in the corpus, (V,)."""
        total: NDArray[np.int64] = np.sum([shard.token_counts for shard in self.shards], axis=0)
        return total

    @cached_property
    def items(self) -> NDArray[np.int64] | None:
        """Those that occur, where they are numbered anew because most do not; else None."""
        return items_to_renumber(self.token_counts)

    @cached_property
    def ranges(self) -> Sequence[tuple[int, int]]:
        """Ranges of token ids with about equally many occurrences, as many as the plan has."""
        return token_ranges(self.token_counts, -(-self.n_tokens // self.plan.ranges))

    @cached_property
    def range_of(self) -> NDArray[np.int64]:
        """The number of the range of every id, (V,)."""
        sizes = [last - first for first, last in self.ranges]
        numbers: NDArray[np.int64] = np.repeat(np.arange(len(sizes)), sizes)
        return numbers

    @property
    def identity(self) -> str:
        """A checksum of the shards and their order; no machine has the bytes of all."""
        return sha256("".join(shard.sha256 for shard in self.shards).encode()).hexdigest()

    @property
    def separator(self) -> int | None:
        """The original id."""
        separator = self.shards[0].separator
        return None if separator < 0 else separator

    def original(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """The original ids of some items; -1 stays."""
        if self.items is None:
            return items
        return np.where(items < 0, items, self.items[np.maximum(items, 0)])

    def following(self, number: int) -> NDArray[np.uint32]:
        """The text after a shard, as far as the longest lag."""
        found: list[NDArray[np.uint32]] = []
        missing = self.plan.longest_lag
        for shard in self.shards[number + 1 :]:
            found.append(shard.head[:missing])
            missing -= len(found[-1])
            # A head that is shorter than the longest lag is a whole shard.
            if missing == 0:
                break
        return np.concatenate([np.zeros(0, np.uint32), *found])

    def preceding(self, number: int) -> NDArray[np.uint32]:
        """The text before a shard, as much as the longest context."""
        found: list[NDArray[np.uint32]] = []
        missing = self.plan.max_context
        for shard in reversed(self.shards[:number]):
            found.insert(0, shard.tail[max(len(shard.tail) - missing, 0) :])
            missing -= len(found[0])
            if missing == 0:
                break
        return np.concatenate([np.zeros(0, np.uint32), *found])

    @contextmanager
    def shard_design(
        self, number: int, corpus: Corpus, workspace: Workspace
    ) -> Iterator[SamplingDesign]:
        """The design of one shard, over the items that occur in the corpus.

        Raises
        ------
        InputError
            The corpus is not the shard that was described.
        """
        self.require_described(number, corpus)
        following = self.following(number).astype(corpus.dtype)
        if self.items is None:
            yield SamplingDesign(corpus, self.options, place=self._place(number, following))
            return
        with renumbered(corpus, self.items, workspace) as own:
            near = np.searchsorted(self.items, following).astype(own.dtype)
            yield SamplingDesign(own, self.options, place=self._place(number, near))

    def shard_documents(self, number: int, corpus: Corpus) -> Documents:
        """The documents of one shard, with the labels that were drawn for all.

        Raises
        ------
        InputError
            The corpus is not the shard that was described.
        """
        self.require_described(number, corpus)
        return self._place(number, np.zeros(0, corpus.dtype)).documents

    def require_described(self, number: int, corpus: Corpus) -> None:
        """Refuse a corpus that is not the shard that was described."""
        described = self.shards[number]
        if corpus.sha256 != described.sha256 or corpus.n_tokens != described.n_tokens:
            raise InputError(
                f"{corpus.name}: is not the text that was described as shard {number + 1}"
            )

    def whole_design(self) -> SamplingDesign:
        """The design of all documents, over the items that occur; its tokens cannot be read."""
        corpus = self.whole_corpus()
        return self._design_of(corpus if self.items is None else self._of_items(corpus))

    def text_design(self) -> SamplingDesign:
        """The same over the original ids, as for n-grams."""
        return self._design_of(self.whole_corpus())

    def _design_of(self, corpus: Corpus) -> SamplingDesign:
        ends = np.cumsum(self.lengths)
        documents = self.labels.documents(ends, self._contents(slice(None), ends))
        place = ShardPlace(documents, 0, self.n_tokens, np.zeros(0, corpus.dtype))
        return SamplingDesign(corpus, self.options, place=place)

    def whole_corpus(self) -> Corpus:
        """All shards as one corpus, whose tokens cannot be read."""
        first = self.shards[0]
        tokenizer = Path(first.tokenizer) if first.tokenizer else None
        tokens: Any = _TokensElsewhere(self.n_tokens, np.dtype(first.dtype))
        return Corpus(
            tokens,
            first.vocab_size,
            self.separator,
            document_ends=np.cumsum(self.lengths),
            format="shards",
            tokenizer_path=tokenizer if tokenizer is not None and tokenizer.is_file() else None,
            _recorded_sha256=self.identity,
        )

    def _of_items(self, corpus: Corpus) -> Corpus:
        assert self.items is not None
        dtype = np.dtype(np.uint16 if len(self.items) <= 1 << 16 else np.uint32)
        tokens: Any = _TokensElsewhere(self.n_tokens, dtype)
        return Corpus(tokens, len(self.items), None, document_ends=corpus.document_ends)

    def _place(self, number: int, following: NDArray[Any]) -> ShardPlace:
        first, last = (int(self.first_documents[k]) for k in (number, number + 1))
        ends = np.cumsum(self.shards[number].lengths)
        documents = self.labels.documents(ends, self._contents(slice(first, last), ends), first)
        return ShardPlace(documents, int(self.first_tokens[number]), self.n_tokens, following)

    def _contents(
        self, chosen: slice, ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of the contents of some documents with these ends."""
        leading, trailing = (
            np.concatenate([getattr(shard, name) for shard in self.shards])[chosen]
            for name in ("leading", "trailing")
        )
        return ends - self.lengths[chosen] + leading, ends - trailing
