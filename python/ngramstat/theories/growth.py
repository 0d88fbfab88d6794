"""How the k-grams of a corpus grow with it: distinct k-grams, singletons, tail of frequencies.

k-grams are counted on random nested parts of the corpus (whole documents): the whole corpus with
its halves and quarters, and its eighths with theirs. Every size from 1/2 to 1/32 then has several
parts, whose scatter gives the sampling error. Sources: Heaps 1978; Good 1953; for what the
exponents mean, Michaud et al. 2023 and Debowski 2025 (docs/theory.md 8 and 10).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.kernels import Documents, NgramCounts, count_ngrams
from ngramstat.results import Alternative, AlternativeKind, Exponent
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.design import SamplingDesign
from ngramstat.theories.missing_mass import STABLE, why_no_missing_mass

__all__ = [
    "Growth",
    "KgramGrowth",
    "measure_growth",
]

Floats = NDArray[np.float64]
Table = NDArray[np.uint64]

PARTS = 8
# Student's t for the scatter of eight parts, two-sided, 95 %.
_T95 = 2.365
# Window of counts whose rank-frequency tail is fitted, and other windows that must agree.
_TAIL = (10, 1000)
_OTHER_TAILS = ((5, 300), (20, 3000))
# Range in which 1/z is searched.
_INVERSE_Z_RANGE = (1e-3, 3.0)
# A vocabulary is closed if the last doubling adds a smaller fraction of new k-grams than this.
_MIN_NEW_TYPES = 1e-3


@dataclass(frozen=True)
class KgramGrowth:
    """Growth of the k-grams of one length.

    Attributes
    ----------
    k : int
    tokens : (n_sizes,) float64
        Mean number of targets in the parts of each size, ascending.
    types, singletons : (n_sizes,) float64
        Mean numbers of distinct k-grams, and of k-grams that occur once.
    heaps : Exponent
        h of V(P) ~ P^h, on the last doubling.
    missing : Exponent
        -d ln (N_1/P) / d ln P, the decay of the missing mass (Good-Turing), on the last doubling.
    zipf : Exponent
        z of p_r ~ r^-z over the tail of frequencies.
    """

    k: int
    tokens: Floats
    types: Floats
    singletons: Floats
    heaps: Exponent
    missing: Exponent
    zipf: Exponent


@dataclass(frozen=True)
class Growth:
    """Growth of the k-grams of all lengths k = 1 .. longest."""

    kgrams: tuple[KgramGrowth, ...]


def measure_growth(
    design: SamplingDesign,
    *,
    longest: int = 4,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> Growth:
    """Count k-grams of 1 .. longest tokens on nested random parts of the corpus.

    This takes two passes over the corpus. Targets are the tokens with at least longest - 1 tokens
    before them, for every k.

    Raises
    ------
    InputError
        The corpus has fewer than 32 documents (or blocks), too few for nested parts.
    """
    workspace = Workspace() if workspace is None else workspace
    n_documents = len(design.documents)
    if n_documents < 4 * PARTS:
        raise InputError(
            f"{design.corpus.name}: {n_documents} documents, {4 * PARTS} needed for nested parts "
            "of the corpus"
        )
    order = np.random.default_rng([design.seed, 8191]).permutation(n_documents)
    whole = _count_part(design, np.arange(n_documents), order, longest, workspace, progress)
    eighths = [
        _count_part(design, np.sort(part), order, longest, workspace, progress)
        for part in np.array_split(order, PARTS)
    ]
    return Growth(tuple(_kgram_growth(k, whole, eighths) for k in range(1, longest + 1)))


@dataclass(frozen=True)
class _Part:
    """k-gram counts of a part of the corpus, of its halves and of its quarters."""

    whole: NgramCounts
    halves: tuple[NgramCounts, ...]
    quarters: tuple[NgramCounts, ...]


def _count_part(
    design: SamplingDesign,
    chosen: NDArray[np.int64],
    order: NDArray[np.int64],
    longest: int,
    workspace: Workspace,
    progress: Any,
) -> _Part:
    corpus, documents = design.corpus, design.documents
    starts, ends = documents.content_starts[chosen], documents.content_ends[chosen]
    nonempty = ends > starts
    chosen, starts, ends = chosen[nonempty], starts[nonempty], ends[nonempty]
    document_ends = np.cumsum(ends - starts)
    # Quarters follow the rank in the random order.
    rank = np.empty(len(documents), np.int64)
    rank[order] = np.arange(len(documents))
    quarters = (np.argsort(np.argsort(rank[chosen])) * 4 // max(len(chosen), 1)).astype(np.uint8)
    with workspace.temporary_array(int(document_ends[-1]), corpus.dtype) as tokens:
        for a, b, end in zip(starts, ends, document_ends, strict=True):
            tokens[end - (b - a) : end] = corpus.tokens[a:b]
            release_pages_if_needed()
        counts = count_ngrams(
            tokens,
            corpus.vocab_size,
            max_context=longest - 1,
            documents=Documents(document_ends, folds=quarters, n_folds=4),
            across=False,
            threads=workspace.threads,
            memory_limit=workspace.memory_budget(),
            progress=progress,
            backend=workspace.gpus,
        )
    return _Part(counts.whole, counts.halves, counts.quarters)


def _types(counts: NgramCounts, k: int) -> float:
    return float(counts.ngrams[k - 1][:, 1].sum())


def _singletons(counts: NgramCounts, k: int) -> float:
    table = counts.ngrams[k - 1]
    return float(table[table[:, 0] == 1, 1].sum())


def _kgram_growth(k: int, corpus: _Part, eighths: list[_Part]) -> KgramGrowth:
    sizes = [
        [quarter for eighth in eighths for quarter in eighth.quarters],
        [half for eighth in eighths for half in eighth.halves],
        [eighth.whole for eighth in eighths],
        list(corpus.quarters),
        list(corpus.halves),
        [corpus.whole],
    ]

    def mean_by_size(statistic: Callable[[NgramCounts], float]) -> Floats:
        return np.array([np.mean([statistic(counts) for counts in size]) for size in sizes])

    tokens = mean_by_size(lambda counts: counts.targets)
    types = mean_by_size(lambda counts: _types(counts, k))
    singletons = mean_by_size(lambda counts: _singletons(counts, k))
    # Local slopes, on each doubling of the corpus.
    with np.errstate(invalid="ignore", divide="ignore"):
        heaps_slopes = np.diff(np.log(types)) / np.diff(np.log(tokens))
        missing_slopes = -np.diff(np.log(singletons / tokens)) / np.diff(np.log(tokens))
    heaps = _last_slope(
        heaps_slopes,
        np.array([_part_slope(eighth, k, _types) for eighth in eighths]),
        types,
        tokens,
        f"h of the number of distinct {k}-grams, on the last doubling",
        _why_no_heaps(types),
    )
    missing = _last_slope(
        missing_slopes,
        np.array([1.0 - _part_slope(eighth, k, _singletons) for eighth in eighths]),
        singletons,
        tokens,
        f"decay of the fraction of {k}-grams that are singletons, on the last doubling",
        why_no_missing_mass(k, singletons),
    )
    zipf = _zipf(k, corpus.whole, [eighth.whole for eighth in eighths])
    return KgramGrowth(k, tokens, types, singletons, heaps, missing, zipf)


def _part_slope(part: _Part, k: int, statistic: Callable[[NgramCounts, int], float]) -> float:
    """d ln statistic / d ln P on the last doubling of a part."""
    small = float(np.mean([statistic(half, k) for half in part.halves]))
    tokens = float(np.mean([half.targets for half in part.halves]))
    large = statistic(part.whole, k)
    if small <= 0 or large <= 0:
        return math.nan
    return math.log(large / small) / math.log(part.whole.targets / tokens)


def _why_no_heaps(types: Floats) -> str | None:
    if types[-1] / types[-2] - 1 < _MIN_NEW_TYPES:
        return "the vocabulary is closed: the last doubling of the corpus added almost no k-grams"
    return None


def _last_slope(
    slopes: Floats,
    parts: Floats,
    counted: Floats,
    tokens: Floats,
    method: str,
    reason: str | None,
) -> Exponent:
    """The local slope on the last doubling of the corpus.

    Its error is the scatter of the eighths' own last slopes, divided by the square root of the
    ratio of counted k-grams, whose numbers have independent, Poisson-like errors.
    """
    if reason is not None or not np.all(np.isfinite(slopes[-2:])):
        return Exponent.refused(reason or "nothing to count", method=method)
    error = float(np.std(parts, ddof=1)) * math.sqrt(counted[2] / counted[-1])
    value = float(slopes[-1])
    change = abs(slopes[-1] - slopes[-2])
    drift = None
    # The error of the slope before is larger than that of the last.
    if change > STABLE * abs(value) + 2 * _T95 * error:
        drift = (
            f"the slope still changes with corpus size: {slopes[-2]:.3f} on the doubling "
            f"before the last, {value:.3f} on the last"
        )
    return Exponent(
        value=value,
        low=value - _T95 * error,
        high=value + _T95 * error,
        window=(float(tokens[-2]), float(tokens[-1])),
        points=2,
        method=f"{method}; error from the scatter of {PARTS} parts of the corpus",
        reportable=drift is None and math.isfinite(error),
        reason=drift if drift is not None or math.isfinite(error) else "its error is unknown",
        alternatives=tuple(
            Alternative(
                kind=AlternativeKind.DOUBLING, method=f"doubling to {tokens[j + 1]:.4g} tokens",
                value=float(slopes[j]), window=(float(tokens[j]), float(tokens[j + 1])), points=2,
            )
            for j in range(len(slopes) - 1) if math.isfinite(slopes[j])
        ),
    )  # fmt: skip


def tail_exponent(table: Table, low: int, high: int) -> float:
    """z of p_r ~ r^-z from the k-grams seen low .. high times; NaN if it cannot be estimated.

    Maximum likelihood on the window: if the rates of the k-grams have density rate^-(1+h) with
    h = 1/z, and k-grams occur as Poisson processes, the expected number of k-grams seen c times is
    proportional to Gamma(c - h) / Gamma(c + 1).
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, gammaln

    counts = table[:, 0].astype(np.float64)
    inside = (counts >= low) & (counts <= high)
    numbers = table[inside, 1].astype(np.float64)
    if np.count_nonzero(inside) < 2:
        return math.nan
    support = np.arange(low, high + 1, dtype=np.float64)

    def score(h: float) -> float:
        """Derivative of the mean log likelihood per k-gram."""
        log_weight = gammaln(support - h) - gammaln(support + 1)
        weights = np.exp(log_weight - log_weight.max())
        expected = float(weights @ digamma(support - h) / weights.sum())
        seen = float(numbers @ digamma(counts[inside] - h) / numbers.sum())
        return expected - seen

    low_h, high_h = _INVERSE_Z_RANGE
    if not score(low_h) * score(high_h) < 0:
        return math.nan
    return 1.0 / float(brentq(score, low_h, high_h, xtol=1e-12))


def _tail_types(table: Table, low: int, high: int) -> float:
    return float(table[(table[:, 0] >= low) & (table[:, 0] <= high), 1].sum())


def _zipf(k: int, whole: NgramCounts, parts: list[NgramCounts]) -> Exponent:
    table = whole.ngrams[k - 1]
    low, high = _TAIL
    method = f"z of {k}-grams seen {low} to {high} times, maximum likelihood"
    counts = table[:, 0].astype(np.float64)
    ranks = [float(table[counts >= c, 1].sum()) for c in (low, high)]
    if ranks[1] < 1 or ranks[0] < 10 * ranks[1]:
        return Exponent.refused(
            "the tail of frequencies spans less than a decade of ranks", method=method
        )
    value = tail_exponent(table, low, high)
    each = np.array([tail_exponent(part.ngrams[k - 1], low, high) for part in parts])
    mean_tail = np.mean([_tail_types(part.ngrams[k - 1], low, high) for part in parts])
    error = float(np.std(each, ddof=1)) * math.sqrt(mean_tail / _tail_types(table, low, high))
    if not (math.isfinite(value) and math.isfinite(error)):
        return Exponent.refused("the frequencies do not follow a power law", method=method)
    others = [(window, tail_exponent(table, *window)) for window in _OTHER_TAILS]
    off = [f"{other:.3f} for {a} to {b}" for (a, b), other in others
           if not abs(other - value) <= STABLE * value]  # fmt: skip
    reason = None
    if off:
        reason = (
            f"not a single power law: z = {value:.3f} for {low} to {high} times, {', '.join(off)}"
        )
    elif value <= 1:
        reason = (
            f"z = {value:.3f}, but z > 1 is needed: otherwise the frequencies have no finite sum"
        )
    return Exponent(
        value=value,
        low=value - _T95 * error,
        high=value + _T95 * error,
        window=(ranks[1], ranks[0]),
        points=int(np.count_nonzero((counts >= low) & (counts <= high))),
        method=f"{method}; error from the scatter of {PARTS} parts of the corpus",
        reportable=reason is None,
        reason=reason,
        alternatives=tuple(
            Alternative(
                kind=AlternativeKind.FREQUENCY_WINDOW, method=f"seen {a} to {b} times",
                value=float(other), points=0,
            )
            for (a, b), other in others if math.isfinite(other)
        ),
    )  # fmt: skip
