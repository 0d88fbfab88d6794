"""Collocations: pairs of adjacent tokens that occur together more often than by chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.counts.ngram_source import NgramSource, unit_documents
from ngramstat.counts.ngram_table import NgramTable
from ngramstat.counts.table_files import Columns
from ngramstat.counts.token_table import TokenTable
from ngramstat.errors import check_choice
from ngramstat.kernels import NgramFacts, NgramUnits, token_counts
from ngramstat.runtime.arguments import integer_within, optional_integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace, gather

__all__ = ["MEASURES", "CollocationTable", "collocations"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_LARGEST = 1 << 62
_SHOWN = 10
# Fraction of the free memory that the kernel may take; the rest is for scores.
_STEP_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class CollocationTable(TokenTable):
    """Bigrams, the most surprising first.

    Attributes
    ----------
    tokens : (k, 2) uint16 or uint32
    counts : (k,) int64
        Occurrences of each bigram.
    first_counts, second_counts : (k,) int64
        Bigrams that begin with the same token, and those that end with the same token.
    scores : (k,) float64
        The measure; see `collocations`.
    total : int
        All bigrams of the corpus.
    measure : str
    corpus : Corpus or None
        Where they were counted, for their text.
    """

    tokens: NDArray[Any]
    counts: Counts
    first_counts: Counts
    second_counts: Counts
    scores: Floats
    total: int
    measure: str
    corpus: Corpus | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        lines = [f"CollocationTable: {len(self):,} bigrams by {self.measure}"]
        for pair, count, score in zip(
            self.tokens[:_SHOWN].tolist(), self.counts, self.scores, strict=False
        ):
            lines.append(f"{pair[0]} {pair[1]}  {count} times  {score:.6g}")
        return "\n".join([*lines, "..."] if len(self) > _SHOWN else lines)

    def _counted(self) -> Columns:
        return {
            "counts": self.counts,
            "first_counts": self.first_counts,
            "second_counts": self.second_counts,
            "scores": self.scores,
        }


def _log_likelihood(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    rest_a, rest_b = n - a, n - b
    cells = ((c, a, b), (a - c, a, rest_b), (b - c, rest_a, b), (rest_a - b + c, rest_a, rest_b))
    total: Floats = np.zeros(len(c))
    for observed, row, column in cells:
        expected = row.astype(np.float64) * column / n
        with np.errstate(divide="ignore", invalid="ignore"):
            total += np.where(observed > 0, observed * np.log(observed / expected), 0.0)
    sign = np.where(c * float(n) >= a.astype(np.float64) * b, 2.0, -2.0)
    # Below zero only by rounding.
    scores: Floats = sign * np.maximum(total, 0.0)
    return scores


def _pmi(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    information: Floats = np.log(c) + np.log(n) - np.log(a) - np.log(b)
    return information


def _npmi(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    information = np.log(n) - np.log(c)
    # Of a bigram that is all there is: 1, the limit.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(information > 0, _pmi(c, a, b, n) / information, 1.0)


def _t_score(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    return (c - a.astype(np.float64) * b / n) / np.sqrt(c)


def _chi_square(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    x, y = a.astype(np.float64), b.astype(np.float64)
    variance = x * y * (n - x) * (n - y)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, n * (c * float(n) - x * y) ** 2 / variance, 0.0)


def _dice(c: Counts, a: Counts, b: Counts, n: int) -> Floats:
    return 2.0 * c / (a + b)


#: Functions of (bigram's count, those of its first and second token, all bigrams).
MEASURES: dict[str, Callable[[Counts, Counts, Counts, int], Floats]] = {
    "log-likelihood": _log_likelihood,
    "pmi": _pmi,
    "npmi": _npmi,
    "t-score": _t_score,
    "chi-square": _chi_square,
    "dice": _dice,
}


def collocations(
    corpus: CorpusLike,
    *,
    measure: str = "log-likelihood",
    min_count: int = 5,
    top: int | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> CollocationTable:
    """Bigrams by how much more often they occur than independent tokens would.

    A bigram is two adjacent tokens of one document (of the stream, if the corpus has no documents);
    separators are part of none. Over all N of them, c is how often one occurs, a how many begin
    with its first token, b how many end with its second.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text, as for `ngramstat.measure`.
    measure : str
        - ``log-likelihood``: the likelihood ratio of dependence, 2 sum O ln(O/E) over the 2 by 2
          table of first token or another, second token or another (Dunning 1993); negative for
          bigrams rarer than E = a b / N. Asymptotically chi-square with one degree of freedom;
        - ``pmi``: pointwise mutual information ln(c N / (a b)), in nats (Church and Hanks 1990);
        - ``npmi``: that over -ln(c / N), from -1 to 1 (Bouma 2009);
        - ``t-score``: (c - E) / sqrt(c);
        - ``chi-square``: Pearson's, of the same table;
        - ``dice``: 2 c / (a + b).
    min_count : int
        Bigrams that occur less often are left out.
    top : int, optional
        Only this many with the highest scores. Takes no memory for the others.
    threads, memory_limit, progress
        As for `ngrams`.

    Returns
    -------
    CollocationTable
        The highest score first; equal scores in lexicographic order.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    check_choice("measure", measure, MEASURES)
    limit = optional_integer_within("top", top, 1, _LARGEST)
    least = integer_within("min_count", min_count, 1, _LARGEST)
    shown = shows_progress(progress)
    workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
    source = as_corpus(corpus)
    # Without documents the stream is one, and without separators all is content.
    units: NgramUnits = "stream"
    if source.document_ends is not None:
        units = "documents" if source.separator is None else "content"
    bigrams = NgramSource(
        source, (2,), least, units, NgramFacts(), workspace, _STEP_SHARE, ordered=False
    )
    marginals = _Marginals.of(source, workspace.threads)
    parts: list[CollocationTable] = []
    with Progress(source.n_tokens, "bigrams", unit="tok", enabled=shown) as bar:
        for batch in bigrams.batches(bar):
            parts.append(_scored(batch, measure, marginals))
            if limit is not None:
                parts = [_ordered(parts, limit)]
    return _ordered(parts, limit)


@dataclass(frozen=True)
class _Marginals:
    """Bigrams by their first token and by their second, (V,) each, and their number."""

    first: Counts
    second: Counts
    total: int

    @classmethod
    def of(cls, corpus: Corpus, threads: int) -> _Marginals:
        documents = unit_documents(corpus)
        starts, ends = documents.content_starts, documents.content_ends
        lengths = ends - starts
        with corpus.naming_large_ids():
            counts = token_counts(corpus.tokens, corpus.vocab_size, threads=threads)
        if corpus.separator is not None:
            # All that is no content is separators.
            counts[corpus.separator] -= corpus.n_tokens - int(lengths.sum())
        edges = [
            np.bincount(gather(corpus.tokens, at[lengths > 0]), minlength=corpus.vocab_size)
            for at in (ends - 1, starts)
        ]
        return cls(counts - edges[0], counts - edges[1], int(np.maximum(lengths - 1, 0).sum()))


def _scored(batch: NgramTable, measure: str, marginals: _Marginals) -> CollocationTable:
    first = marginals.first[batch.tokens[:, 0]]
    second = marginals.second[batch.tokens[:, 1]]
    scores = MEASURES[measure](batch.counts, first, second, marginals.total)
    return CollocationTable(
        batch.tokens, batch.counts, first, second, scores, marginals.total, measure, batch.corpus
    )


def _ordered(parts: list[CollocationTable], limit: int | None) -> CollocationTable:
    """The rows of all parts by falling score, ties in lexicographic order."""
    counts, first, second, scores = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("counts", "first_counts", "second_counts", "scores")
    )
    tokens = np.concatenate([part.tokens for part in parts])
    rows = np.lexsort([tokens[:, 1], tokens[:, 0], -scores])[:limit]
    return replace(
        parts[0],
        tokens=tokens[rows],
        counts=counts[rows],
        first_counts=first[rows],
        second_counts=second[rows],
        scores=scores[rows],
    )
