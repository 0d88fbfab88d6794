"""An index by plain counting, and shards sorted by Python, for the tests of `ngramstat.index`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.index_queries import suffix_samples


@dataclass
class PlainCorpus:
    """Documents of ids, each with its separator as the last token if there are separators."""

    documents: list[list[int]]
    vocab_size: int
    separator: int | None
    boundary: Boundary

    @property
    def stream(self) -> list[int]:
        return [token for document in self.documents for token in document]

    @property
    def segments(self) -> list[tuple[int, list[int]]]:
        """What n-grams stay in, with the position in the corpus where it begins."""
        if self.boundary is Boundary.STREAM:
            return [(0, self.stream)]
        starts = np.cumsum([0, *map(len, self.documents)])
        return [(int(s), d) for s, d in zip(starts, self.documents, strict=False)]

    def positions(self, ngram) -> list[int]:
        ngram = list(ngram)
        return [
            start + i
            for start, segment in self.segments
            for i in range(len(segment) - len(ngram) + 1)
            if segment[i : i + len(ngram)] == ngram
        ]

    def document_of(self, position: int) -> tuple[int, int]:
        """The number of the document, and the offset in it."""
        for number, document in enumerate(self.documents):
            if position < len(document):
                return number, position
            position -= len(document)
        raise AssertionError

    def count(self, ngram) -> int:
        return len(self.positions(ngram)) if len(ngram) else len(self.stream)

    def next_counts(self, context) -> list[int]:
        counts = [0] * self.vocab_size
        if not len(context):
            for token in self.stream:
                counts[token] += 1
            return counts
        context = list(context)
        for _, segment in self.segments:
            for i in range(len(segment) - len(context)):
                if segment[i : i + len(context)] == context:
                    counts[segment[i + len(context)]] += 1
        return counts

    def longest_suffix(self, context, max_context=None) -> list[int]:
        """The longest suffix of a context that occurs; contexts stay inside documents."""
        context = list(context)
        if self.boundary is Boundary.DOCUMENT and self.separator in context:
            last = len(context) - 1 - context[::-1].index(self.separator)
            context = context[last + 1 :]
        if max_context is not None:
            context = context[max(0, len(context) - max_context) :]
        while context and not self.count(context):
            context = context[1:]
        return context


def plain_shards(corpus, depth, n_shards, *, overlap=1 << 30, dtype=np.uint16, samples=True):
    """Settings and shards: suffixes sorted by Python."""
    stop = None
    if corpus.boundary is Boundary.DOCUMENT:
        stop = corpus.vocab_size if corpus.separator is None else corpus.separator
    settings = IndexSettings(corpus.vocab_size, depth, corpus.boundary, stop)
    cuts = np.linspace(0, len(corpus.documents), n_shards + 1).astype(int)
    shards = []
    for first, last in itertools.pairwise(cuts):
        if first == last and len(corpus.documents):
            continue
        own = [
            [*document, *([stop] if settings.inserts_stops else [])]
            for document in corpus.documents[first:last]
        ]
        tokens = [token for document in own for token in document]
        size = len(tokens)
        if corpus.boundary is Boundary.STREAM:
            after = [token for document in corpus.documents[last:] for token in document]
            tokens += after[:overlap]
        shards.append(
            _shard(tokens, size, own, settings, dtype, samples)
            | {"first_token": sum(map(len, corpus.documents[:first])), "first_document": int(first)}
        )
    return settings, [Shard(**shard) for shard in shards]


def _shard(tokens, size, documents, settings, dtype, samples):
    def symbols(position):
        text = tokens[position:] if settings.depth is None else (
            tokens[position : position + settings.depth])  # fmt: skip
        if settings.stop_token in text:
            text = text[: text.index(settings.stop_token) + 1]
        return text, position

    suffixes = sorted(range(size), key=symbols)
    array = np.array(tokens, dtype=dtype)
    order = np.array(suffixes, dtype=np.uint32)
    occurrences = np.bincount(array[:size], minlength=settings.vocab_size + 1)
    return {
        "tokens": array,
        "suffixes": order,
        "token_starts": np.concatenate([[0], np.cumsum(occurrences)]).astype(np.int64),
        "document_ends": np.cumsum([len(d) for d in documents]).astype(np.int64),
        "extra": {
            "samples": suffix_samples(
                array,
                order,
                settings.vocab_size,
                depth=settings.depth,
                stop_token=settings.stop_token,
            )
        }
        if samples
        else {},
    }


def random_corpus(rng, boundary) -> PlainCorpus:
    """A small corpus with repeats: documents of random lengths over few tokens, or large ids."""
    vocab_size = int(rng.choice([1, 2, 3, 5, 40, 65535]))
    separator = int(rng.integers(vocab_size)) if vocab_size > 1 and rng.random() < 0.6 else None
    ids = np.array(
        [i for i in range(vocab_size) if i != separator]
        if vocab_size < 100
        else rng.integers(vocab_size, size=4)
    )
    ids = ids[ids != separator] if separator is not None else ids
    documents = []
    for _ in range(int(rng.integers(1, 7))):
        length = int(rng.choice([0, 1, 2, 5, 20, 60]))
        document = rng.choice(ids, size=length).tolist()
        if documents and rng.random() < 0.3:
            document += documents[int(rng.integers(len(documents)))]
        document = [t for t in document if t != separator]
        documents.append(document + ([separator] if separator is not None else []))
    documents = [d for d in documents if d] or [[0 if separator is None else separator]]
    return PlainCorpus(documents, vocab_size, separator, boundary)
