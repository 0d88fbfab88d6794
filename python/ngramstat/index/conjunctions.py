"""Queries in conjunctive normal form: several n-grams near each other, in one of some forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError, InputTypeError
from ngramstat.index.matches import clause_positions, documents_at
from ngramstat.index.queries import Searcher
from ngramstat.kernels.index_queries import TokenSlices
from ngramstat.runtime.arguments import integer_within, optional_integer_within

__all__ = ["CnfMatches", "find_cnf"]


@dataclass(frozen=True, eq=False)
class CnfMatches:
    """Where the n-grams of a CNF query stand near each other.

    Attributes
    ----------
    count : int
        Matches; an estimate where `approximate`.
    approximate : bool
        Whether occurrences of a clause were drawn at random.
    starts, lasts : (k,) int64
        Positions in the corpus where the first and the last of the n-grams of a match begin.
    documents : (k,) int64
        The document of `starts`.
    """

    count: int
    approximate: bool
    starts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    documents: NDArray[np.int64]


def find_cnf(
    searcher: Searcher,
    cnf: Sequence[Sequence[Any]],
    *,
    max_diff_tokens: int = 100,
    max_clause_freq: int | None = None,
    seed: int = 0,
) -> CnfMatches:
    """Matches of a query in conjunctive normal form; see `NgramIndex.find_cnf`."""
    distance = integer_within("max_diff_tokens", max_diff_tokens, 1, 1 << 40)
    most = optional_integer_within("max_clause_freq", max_clause_freq, 1, 1 << 40)
    generator = np.random.default_rng(seed)
    clauses, factor = [], 1.0
    for clause in _clauses(searcher, cnf):
        places = clause_positions(searcher, clause)
        if most is not None and places.size > most:
            factor *= places.size / most
            places = np.sort(generator.choice(places, most, replace=False))
        clauses.append(places)
    clauses.sort(key=len)
    starts = lasts = clauses[0]
    for places in clauses[1:]:
        starts, lasts = _grown(searcher, starts, lasts, places, distance)
    numbers = documents_at(searcher, starts)
    count = round(starts.size * factor)
    return CnfMatches(count, factor != 1.0, starts, lasts, numbers)


def _clauses(searcher: Searcher, cnf: Any) -> list[TokenSlices]:
    if isinstance(cnf, str) or not isinstance(cnf, Sequence):
        raise InputTypeError("cnf: needs a list of clauses, each of them a list of n-grams")
    if not cnf:
        raise InputError("cnf: holds no clause")
    clauses = []
    for number, clause in enumerate(cnf):
        name = f"cnf, clause {number}"
        if isinstance(clause, str) or not isinstance(clause, Sequence) or not len(clause):
            raise InputTypeError(f"{name}: needs a list of at least one n-gram")
        queries = searcher.reader.ngrams(name, clause)
        if queries.single:
            raise InputTypeError(
                f"{name}: is an n-gram by itself; a clause is a list of n-grams, as in [[1, 2]]"
            )
        clauses.append(queries.slices)
    return clauses


def _grown(
    searcher: Searcher,
    starts: NDArray[np.int64],
    lasts: NDArray[np.int64],
    places: NDArray[np.int64],
    distance: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Stretches that reach an occurrence of one more clause; the others are left out.

    Looked for are the last occurrence before a stretch's last n-gram, and the first one from its
    first n-gram on, at most `distance` tokens outside it, and in the same document where n-grams
    stay inside documents.
    """
    if not places.size:
        return starts[:0], lasts[:0]
    before = np.searchsorted(places, lasts, side="left") - 1
    after = np.searchsorted(places, starts, side="left")
    left = np.minimum(starts, places[np.maximum(before, 0)])
    right = np.maximum(lasts, places[np.minimum(after, places.size - 1)])
    has_left = (before >= 0) & (left >= starts - distance)
    has_right = (after < places.size) & (right <= lasts + distance)
    if searcher.settings.boundary is Boundary.DOCUMENT:
        own = documents_at(searcher, starts)
        has_left &= documents_at(searcher, left) == own
        has_right &= documents_at(searcher, right) == own
    kept = has_left | has_right
    return np.where(has_left, left, starts)[kept], np.where(has_right, right, lasts)[kept]
