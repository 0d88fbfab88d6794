"""The sampling design of a run: documents, folds, bootstrap clusters and held-out splits.

Every statistic of a run rests on the same cut of the corpus. It is made once, by the run, and
handed to every stage:

- *documents*: those of the token store, or equal blocks where it has (nearly) none;
- *folds*: FOLDS random groups of documents with about equal numbers of tokens. The first FOLDS / 2
  make half 0, the others half 1; four consecutive folds make a quarter;
- *clusters*: groups of documents that the bootstrap resamples together;
- *held-out split*: which documents are scored and which are trained on.

All of them are drawn by document numbers, lengths and the seed alone, so neither threads nor memory
nor the boundary change them. One shard of a corpus has the design that was drawn for all
(`ShardPlace`), which follows from the lengths of all documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus, open_held_out
from ngramstat.corpus.contents import document_contents
from ngramstat.errors import InputError
from ngramstat.kernels import Documents, Gpu, GpuPairSummer, PairsAtLag, pair_summer
from ngramstat.runtime.workspace import gather
from ngramstat.sampling.bootstrap import DocumentBootstrap, assign_clusters
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.shard_place import ShardPlace
from ngramstat.sampling.split import HeldOutSplit, Selection, held_out_tokens, random_split

__all__ = ["FOLDS", "MIN_DOCUMENTS", "DrawnLabels", "SamplingDesign", "documents_or_blocks"]

# Sixteen: eight in each half are enough for a jackknife, and quarters are whole folds.
FOLDS = 16
# Fewer documents than this do not show their own spread; a stream is then cut into blocks.
MIN_DOCUMENTS = 20
_BLOCKS = 200


@dataclass(frozen=True)
class SamplingDesign:
    """How one corpus is cut for all statistics of a run; see the module.

    Everything is made at its first use, and once.

    Attributes
    ----------
    corpus : Corpus
    options : SamplingOptions
    held_out_corpora : mapping of str to Corpus
        Held-out corpora that are open already, by the name that options give them.
    gpu : Gpu, optional
        Where sums over pairs of tokens are computed; None: on the CPU.
    place : ShardPlace, optional
        Where the corpus stands in a larger one, for which the documents were drawn; None: it is a
        whole.
    """

    corpus: Corpus
    options: SamplingOptions
    held_out_corpora: Mapping[str, Corpus] = field(default_factory=dict, repr=False)
    gpu: Gpu | None = None
    place: ShardPlace | None = None
    _splits: dict[float | str | None, HeldOutSplit] = field(default_factory=dict, repr=False)

    @cached_property
    def documents(self) -> Documents:
        """The documents (or blocks), with the fold and the cluster of each.

        Raises
        ------
        InputError
            The corpus is empty, or boundary ``document`` is asked of a store without documents.
        """
        return self._documents_or_blocks[0]

    @cached_property
    def are_blocks(self) -> bool:
        """Whether equal blocks stand in for documents, of which the store has none or too few."""
        return self._documents_or_blocks[1]

    @property
    def too_few_documents(self) -> int | None:
        """Number of the store's documents where blocks stand in because it has too few; else None.

        Such blocks are not independent: several of them are parts of one document, and what differs
        between documents does not show in their spread.
        """
        ends = self.corpus.document_ends
        known = 0 if ends is None else len(ends)
        return known if self.are_blocks and known > 1 else None

    @cached_property
    def _documents_or_blocks(self) -> tuple[Documents, bool]:
        if self.place is not None:
            return self.place.documents, False
        return documents_or_blocks(self.corpus, self.options)

    @property
    def boundary(self) -> Boundary:
        """Whether pairs and contexts cross document ends."""
        return self.options.boundary

    @property
    def seed(self) -> int:
        """Seed of everything that is drawn."""
        return self.options.seed

    @cached_property
    def bootstrap(self) -> DocumentBootstrap:
        """Resampling of all documents, by their clusters."""
        return DocumentBootstrap(self.documents.clusters, self.options.replicates, self.seed)

    def held_out_bootstrap(self, n_documents: int) -> DocumentBootstrap:
        """Resampling of the held-out documents, which form clusters of their own."""
        return DocumentBootstrap.of_documents(n_documents, self.options.replicates, self.seed)

    def held_out_split(self, held_out: float | str | None) -> HeldOutSplit:
        """Which documents are scored and which are trained on; made once for each `held_out`.

        Parameters
        ----------
        held_out : float, str or None
            Fraction of the tokens to hold out, the path of a held-out corpus, or the default size.

        Raises
        ------
        InputError
            The fraction is not in (0, 0.5], there are too few documents, or the other corpus
            cannot be read.
        """
        if held_out not in self._splits:
            self._splits[held_out] = self._make_split(held_out)
        return self._splits[held_out]

    def held_out_corpus(self, name: str) -> Corpus:
        """The corpus that is held out, opened if it is not yet open.

        Raises
        ------
        InputError
            It cannot be opened, or has another vocabulary than the corpus.
        """
        if name in self.held_out_corpora:
            return self.held_out_corpora[name]
        other, corpus = open_held_out(name, self.corpus)
        if corpus.vocab_size != self.corpus.vocab_size:
            raise InputError(
                f"{other.path}: its vocabulary has {other.vocab_size} items, that of "
                f"{corpus.name} {self.corpus.vocab_size}; tokenize both with the same tokenizer"
            )
        return other

    def held_out_tokens(self, held_out: float | str | None, corpus: Corpus | None = None) -> int:
        """About how many tokens are held out of `corpus`, by default the corpus of the design."""
        if isinstance(held_out, str):
            return self.held_out_corpus(held_out).n_tokens
        return held_out_tokens(self.corpus if corpus is None else corpus, held_out)

    def _make_split(self, held_out: float | str | None) -> HeldOutSplit:
        if not isinstance(held_out, str):
            return random_split(self.corpus, self.documents, fraction=held_out, seed=self.seed)
        other = SamplingDesign(self.held_out_corpus(held_out), self.options)
        return HeldOutSplit(
            *(
                Selection.of_documents(
                    design.corpus, design.documents, np.arange(len(design.documents))
                )
                for design in (self, other)
            )
        )

    @cached_property
    def pair_summer(self) -> GpuPairSummer | None:
        """The corpus and its documents on the GPU, for sums over pairs; None without a GPU.

        Raises
        ------
        DeviceMemoryError
            They do not fit its memory.
        """
        if self.gpu is None:
            return None
        return pair_summer(self.corpus.tokens, self.corpus.vocab_size, self.documents, self.gpu)

    def pairs_at(self, lag: int) -> PairsAtLag:
        """The pairs of tokens at a lag, for sums over those of `documents`."""
        corpus = self.corpus
        following = None if self.place is None else self.place.following
        return PairsAtLag(corpus.tokens, corpus.vocab_size, lag, self.pair_summer, following)

    @cached_property
    def content_lengths(self) -> NDArray[np.int64]:
        """Tokens of each document without its separators, (n_documents,)."""
        lengths: NDArray[np.int64] = self.documents.content_ends - self.documents.content_starts
        return lengths

    @cached_property
    def largest_lag(self) -> int:
        """The largest lag with pairs in both halves of the documents; 0 if there is none.

        A pair belongs to the half of its left token's document.
        """
        documents = self.documents
        halves = documents.halves
        if halves.min() == halves.max():
            return 0
        if self.boundary.across:
            return min(
                self.corpus.n_tokens - 1 - int(documents.starts[halves == half].min())
                for half in (0, 1)
            )
        return min(max(int(self.content_lengths[halves == half].max()) - 1, 0) for half in (0, 1))

    def crossing_pairs(self, lag: int) -> int:
        """Pairs of the stream at this lag whose tokens lie in different documents."""
        lengths = self.documents.ends - self.documents.starts
        return max(self.corpus.n_tokens - lag, 0) - int(np.maximum(lengths - lag, 0).sum())

    @cached_property
    def separator_positions(self) -> NDArray[np.int64]:
        """Positions of the separators, which stand at the ends or starts of documents."""
        corpus = self.corpus
        if corpus.separator is None or corpus.document_ends is None:
            return np.zeros(0, np.int64)
        ends = np.asarray(corpus.document_ends)
        edges = np.unique(np.concatenate([np.zeros(1, np.int64), ends[:-1], ends - 1]))
        positions: NDArray[np.int64] = edges[gather(corpus.tokens, edges) == corpus.separator]
        return positions


def documents_or_blocks(corpus: Corpus, options: SamplingOptions) -> tuple[Documents, bool]:
    """The documents of a corpus with folds and clusters, and whether equal blocks stand in.

    Raises
    ------
    InputError
        The corpus is empty, or boundary ``document`` is asked of a store without documents.
    """
    if corpus.n_tokens < 2:
        where = corpus.path or "the part of the corpus to count"
        raise InputError(f"{where}: holds {corpus.n_tokens} tokens; at least 2 are needed")
    stays_inside = options.boundary is Boundary.DOCUMENT
    if stays_inside:
        corpus.require_documents(at_least=2)
    ends, are_blocks = corpus.documents_or_blocks(
        n_blocks=_BLOCKS, min_documents=2 if stays_inside else MIN_DOCUMENTS
    )
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    contents = (starts, ends) if are_blocks else document_contents(corpus)
    drawn = DrawnLabels.of(np.diff(ends, prepend=0), options.seed)
    return drawn.documents(ends, contents), are_blocks


@dataclass(frozen=True)
class DrawnLabels:
    """The fold and the cluster of every document of a corpus, (n_documents,) each.

    They follow from the documents' lengths and the seed.

    Attributes
    ----------
    folds : uint8
    clusters : uint32
    n_clusters : int
    """

    folds: NDArray[np.uint8]
    clusters: NDArray[np.uint32]
    n_clusters: int

    @classmethod
    def of(cls, lengths: NDArray[np.int64], seed: int) -> DrawnLabels:
        """For documents of these lengths in tokens, separators included."""
        clusters = assign_clusters(len(lengths), seed)
        return cls(_assign_folds(lengths, seed), clusters, int(clusters.max()) + 1)

    def documents(
        self,
        ends: NDArray[np.int64],
        contents: tuple[NDArray[np.int64], NDArray[np.int64]],
        first: int = 0,
    ) -> Documents:
        """Consecutive documents from number `first` on, by their places in their own stream.

        `contents` are the starts and the ends of the documents without their separators.
        """
        chosen = slice(first, first + len(ends))
        return Documents(
            ends,
            content_starts=contents[0],
            content_ends=contents[1],
            folds=self.folds[chosen],
            n_folds=FOLDS,
            clusters=self.clusters[chosen],
            n_clusters=self.n_clusters,
        )


def _assign_folds(lengths: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """The fold of each document: documents in random order fill one fold after the other."""
    order = np.random.default_rng([seed, 1]).permutation(len(lengths))
    # By the position of a document's middle: both halves have documents as soon as there are two.
    middle = 2 * np.cumsum(lengths[order]) - lengths[order]
    folds = np.empty(len(lengths), np.uint8)
    folds[order] = middle * (FOLDS // 2) // int(lengths.sum())
    return folds
