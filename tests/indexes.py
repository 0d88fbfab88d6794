"""Small indexes made by plain sorting, and random corpora for them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from ngramstat import Corpus
from ngramstat.boundary import Boundary
from ngramstat.index.ngram_index import NgramIndex
from ngramstat.index.shard import IndexSettings, Shard


@dataclass(frozen=True)
class Case:
    """An index with what it was made of.

    Attributes
    ----------
    documents : list of lists of int
        Of the corpus, with their separators.
    separator : int or None
    """

    index: NgramIndex
    documents: list[list[int]]
    separator: int | None

    @property
    def stream(self) -> list[int]:
        """All documents in a row."""
        return list(chain.from_iterable(self.documents))

    @property
    def sequences(self) -> list[list[int]]:
        """What a match must stay inside."""
        if self.index.boundary is Boundary.STREAM:
            return [self.stream]
        return self.documents


def sorted_shard(tokens, n_suffixes, ends, settings, first_token, first_document, dtype) -> Shard:
    """A shard, whose suffixes are sorted as sequences of Python."""

    def sequence(i):
        symbols = tokens[i : None if settings.depth is None else i + settings.depth]
        if settings.stop_token in symbols:
            symbols = symbols[: symbols.index(settings.stop_token) + 1]
        return symbols, i

    order = sorted(range(n_suffixes), key=sequence)
    first = np.array([tokens[i] for i in order], np.int64)
    return Shard(
        np.array(tokens, dtype),
        np.array(order, np.uint32),
        np.searchsorted(first, np.arange(settings.vocab_size + 2)).astype(np.int64),
        np.array(ends, np.int64),
        first_token,
        first_document,
    )


def make_index(documents, vocab_size, *, depth, boundary, separator, shards, dtype) -> NgramIndex:
    """An index of documents, each shard with the same number of them (the last with the rest)."""
    stop = None
    if boundary == "document":
        stop = vocab_size if separator is None else separator
    settings = IndexSettings(vocab_size, depth, Boundary(boundary), stop)
    inserted = [vocab_size] if stop == vocab_size else []
    per_shard = max(1, len(documents) // shards)
    made, first_token = [], 0
    for number in range(shards):
        begin = number * per_shard
        end = len(documents) if number == shards - 1 else begin + per_shard
        own = documents[begin:end]
        tokens = [token for document in own for token in document + inserted]
        ends = np.cumsum([len(document + inserted) for document in own])
        size = len(tokens)
        if boundary == "stream":
            tokens = tokens + list(chain(*documents[end:]))[: depth - 1 if depth else 0]
        made.append(sorted_shard(tokens, size, ends, settings, first_token, begin, dtype))
        first_token += sum(map(len, own))
    return NgramIndex(settings, made)


def built_index(rng, documents, vocab_size, depth, boundary, separator) -> NgramIndex:
    """The same by the package, with shards that may end inside documents."""
    tokens = np.array(list(chain.from_iterable(documents)))
    ends = np.cumsum([len(document) for document in documents])
    corpus = Corpus.from_arrays(
        tokens, vocab_size=vocab_size, document_ends=ends, separator=separator,
        separator_position=None if separator is None else "after",
    )  # fmt: skip
    least = max(map(len, documents)) if boundary == "document" else 1
    return NgramIndex.build(
        corpus, depth=depth, boundary=boundary, threads=1,
        shard_tokens=int(rng.integers(least, len(tokens) + least)),
    )  # fmt: skip


def random_case(rng: np.random.Generator) -> Case:
    """A random small corpus and an index of it, of any kind."""
    vocab_size = int(rng.choice([1, 2, 3, 5, 65_536, 262_144]))
    pool = np.unique(rng.integers(0, vocab_size, 4))  # of large vocabularies, a few ids
    boundary = str(rng.choice(["stream", "document"]))
    separator = int(pool[-1]) if len(pool) > 1 and rng.random() < 0.5 else None
    words = pool[:-1] if separator is not None else pool
    n_documents = int(rng.integers(1, 7))
    documents = [
        rng.choice(words, rng.integers(0 if separator is not None else 1, 12)).tolist()
        + ([] if separator is None else [separator])
        for _ in range(n_documents)
    ]
    if rng.random() < 0.5:  # copies
        documents[-1] = documents[0] if rng.random() < 0.5 else documents[0][1:] or documents[0]
    shards = int(rng.integers(1, min(4, n_documents + 1)))
    depth = None if rng.random() < 0.5 else int(rng.choice([1, 2, 3, 7]))
    if boundary == "stream" and shards > 1 and depth is None:
        depth = 7  # matches may run on into the next shards
    if rng.random() < 0.4:
        return Case(
            built_index(rng, documents, vocab_size, depth, boundary, separator),
            documents,
            separator,
        )
    stop = boundary == "document" and separator is None
    dtype = np.uint16 if vocab_size + stop <= 65_536 and rng.random() < 0.8 else np.uint32
    index = make_index(
        documents, vocab_size, depth=depth, boundary=boundary, separator=separator,
        shards=shards, dtype=dtype,
    )  # fmt: skip
    return Case(index, documents, separator)
