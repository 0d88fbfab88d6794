"""Where n-grams occur: positions, documents, and the text around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.index.ngram_arguments import NgramsLike
from ngramstat.index.queries import Searcher, damage_as_input_error
from ngramstat.index.shard import Shard
from ngramstat.kernels.index_queries import TokenSlices
from ngramstat.runtime.arguments import integer_within, optional_integer_within

__all__ = [
    "Match",
    "Positions",
    "clause_positions",
    "documents",
    "documents_at",
    "find",
    "positions",
    "tokens_between",
]

_MANY = 1 << 40


@dataclass(frozen=True, eq=False)
class Positions:
    """Where an n-gram begins, in the order of the corpus. NumPy takes it for `positions`.

    Attributes
    ----------
    positions : (k,) int64
        Tokens of the corpus before it.
    documents : (k,) int64
        The document in which it begins, from 0.
    offsets : (k,) int64
        Tokens of the document before it.
    count : int
        Occurrences in the whole corpus: k, unless a limit was given.
    """

    positions: NDArray[np.int64]
    documents: NDArray[np.int64]
    offsets: NDArray[np.int64]
    count: int

    def __len__(self) -> int:
        return self.positions.size

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.positions, dtype=dtype, copy=copy)


@dataclass(frozen=True, eq=False)
class Match:
    """An occurrence of an n-gram with the tokens around it, which end with the document.

    Attributes
    ----------
    position, document, offset : int
        As in `Positions`.
    left, tokens, right : array of uint32
        Ids before it, its own, and after it.
    left_text, text, right_text : str or None
        The same decoded; None where the corpus has no tokenizer. A character that is cut at an end
        is shown by the replacement character.
    """

    position: int
    document: int
    offset: int
    left: NDArray[np.uint32]
    tokens: NDArray[np.uint32]
    right: NDArray[np.uint32]
    left_text: str | None
    text: str | None
    right_text: str | None


def _one_ngram(searcher: Searcher, x: NgramsLike) -> TokenSlices:
    queries = searcher.reader.ngrams("ngram", x)
    if not queries.single:
        raise InputError("ngram: several were given; look them up one by one")
    return queries.slices


def positions(searcher: Searcher, ngram: NgramsLike, *, limit: int | None = None) -> Positions:
    """Where an n-gram occurs; see `NgramIndex.positions`."""
    return _positions(searcher, _one_ngram(searcher, ngram), limit)


def _positions(searcher: Searcher, ngram: TokenSlices, limit: int | None) -> Positions:
    limit = optional_integer_within("limit", limit, 0, _MANY)
    found: list[tuple[NDArray[np.int64], ...]] = [(np.zeros(0, np.int64),) * 3]
    total = kept = 0
    for number, shard in enumerate(searcher.shards):
        with damage_as_input_error(searcher.name):
            first, last = searcher.sorted.ranges(number, ngram)[0]
        total += int(last - first)
        if limit is not None and kept >= limit:
            continue
        # Shards stand in the order of the corpus.
        places = shard.suffixes[first:last]
        if limit is not None and places.size > limit - kept:
            if limit == kept:
                continue
            places = np.partition(places, limit - kept - 1)[: limit - kept]
        kept += places.size
        found.append(_in_corpus(searcher, number, np.sort(places).astype(np.int64)))
    at, numbers, offsets = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return Positions(at, numbers, offsets, total)


def _in_corpus(
    searcher: Searcher, number: int, places: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the corpus, documents and offsets of places in the tokens of a shard."""
    shard = searcher.shards[number]
    ends = shard.document_ends
    own = np.searchsorted(ends, places, side="right")
    if own.size and int(own.max()) >= ends.size:
        raise _outside_documents(searcher)
    # The first document may begin in the shard before.
    starts = np.concatenate([np.array([-searcher.continued[number]], np.int64), ends])[own]
    at = shard.first_token + places
    if searcher.settings.inserts_stops:
        at = at - own  # every document before it has one token more
    return at, shard.first_document + own, places - starts


def documents(searcher: Searcher, ngram: NgramsLike) -> NDArray[np.int64]:
    """Numbers of the documents that hold an n-gram; see `NgramIndex.documents`."""
    return np.unique(positions(searcher, ngram).documents)


def clause_positions(searcher: Searcher, clause: TokenSlices) -> NDArray[np.int64]:
    """Where any of several n-grams begins, ascending, each place once."""
    places = []
    for number in range(len(clause)):
        one = slice(number, number + 1)
        ngram = TokenSlices(clause.tokens, clause.begins[one], clause.ends[one])
        places.append(_positions(searcher, ngram, None).positions)
    return np.unique(np.concatenate(places))


def _shard_of(searcher: Searcher, position: int) -> int:
    firsts = [shard.first_token for shard in searcher.shards]
    return int(np.searchsorted(firsts, position, side="right")) - 1


def _documents_of(searcher: Searcher, shard: Shard) -> tuple[NDArray[np.int64], int]:
    """Where each document of a shard ends in the corpus."""
    ends = shard.document_ends
    if searcher.settings.inserts_stops:
        ends = ends - np.arange(1, ends.size + 1)
    return shard.first_token + ends, shard.first_document


def documents_at(searcher: Searcher, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The document of each token of the corpus."""
    result = np.full(places.size, -1, np.int64)
    for shard in searcher.shards:
        ends, first_document = _documents_of(searcher, shard)
        inside = (places >= shard.first_token) & (places < (ends[-1] if ends.size else 0))
        result[inside] = first_document + np.searchsorted(ends, places[inside], side="right")
    return result


def _document_end(searcher: Searcher, position: int) -> int:
    """Where the document of a token ends in the corpus."""
    number = _shard_of(searcher, position)
    ends, _ = _documents_of(searcher, searcher.shards[number])
    own = int(np.searchsorted(ends, position, side="right"))
    # The last document may go on in the next shards.
    while own == ends.size - 1 and any(searcher.continued[number + 1 : number + 2]):
        number, own = number + 1, 0
        ends, _ = _documents_of(searcher, searcher.shards[number])
    if own >= ends.size:
        raise _outside_documents(searcher)
    return int(ends[own])


def _outside_documents(searcher: Searcher) -> InputError:
    return InputError(
        f"{searcher.name}: is damaged: a position lies outside its documents; build it again"
    )


def tokens_between(searcher: Searcher, first: int, last: int) -> NDArray[np.uint32]:
    """Tokens of the corpus; with inserted stop tokens, of one document."""
    parts = [np.zeros(0, np.uint32)]
    while first < last:
        shard = searcher.shards[_shard_of(searcher, first)]
        place = first - shard.first_token
        size = shard.suffixes.size - place
        if searcher.settings.inserts_stops:
            ends, _ = _documents_of(searcher, shard)
            place += int(np.searchsorted(ends, first, side="right"))
            size = last - first
        part = shard.tokens[place : place + min(size, last - first)]
        if not part.size:
            raise InputError(f"{searcher.name}: is damaged: it lacks tokens; build it again")
        parts.append(part.astype(np.uint32))
        first += part.size
    return np.concatenate(parts)


def find(
    searcher: Searcher, ngram: NgramsLike, *, context: int = 20, limit: int | None = 10
) -> list[Match]:
    """Occurrences with the text around them; see `NgramIndex.find`."""
    context = integer_within("context", context, 0, _MANY)
    slices = _one_ngram(searcher, ngram)
    found = _positions(searcher, slices, limit)
    length = int(slices.lengths[0])
    return [
        _match(searcher, place, context, length)
        for place in zip(
            found.positions.tolist(),
            found.documents.tolist(),
            found.offsets.tolist(),
            strict=True,
        )
    ]


def _match(searcher: Searcher, place: tuple[int, int, int], context: int, length: int) -> Match:
    position, document, offset = place
    end = position + length
    first = position - min(offset, context)
    last = min(_document_end(searcher, end - 1), end + context)
    ids = (
        tokens_between(searcher, first, position),
        tokens_between(searcher, position, end),
        tokens_between(searcher, end, last),
    )
    texts = [None if searcher.decode is None else searcher.decode(part) for part in ids]
    return Match(position, document, offset, *ids, *texts)
