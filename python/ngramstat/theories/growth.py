"""How the k-grams of a corpus multiply as it grows: types, singletons, tail of frequencies.

Everything here is counted on random nested parts of the corpus (whole documents): all of it, its
halves and quarters, and eighths with theirs, so that every size down to 1/32 has several parts
whose scatter is the sampling error. Sources: Heaps 1978; Good 1953; Michaud et al. 2023 and
Debowski 2025 for what the exponents mean (docs/theory.md 8 and 10).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import NgramCounts, NgramUnits, count_ngrams
from ngramstat.results import Alternative, AlternativeKind, Exponent
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.documents import Units, statistical_units

__all__ = ["Growth", "KgramGrowth", "measure_growth"]

Floats = NDArray[np.float64]
Table = NDArray[np.uint64]

PARTS = 8
# Student's t of the scatter of eight parts, two sides, 95 %.
_T95 = 2.365
# Counts of the rank-frequency tail that is fitted, and other windows that must agree.
_TAIL = (10, 1000)
_OTHER_TAILS = ((5, 300), (20, 3000))
# Range of 1/z.
_SHAPES = (1e-3, 3.0)
# Estimates from other windows, and slopes of neighbouring doublings, may differ by this share.
_STABLE = 0.1
# Singletons below which their share is noise (docs/theory.md 11).
_SINGLETONS = 100
# A closed vocabulary has nearly all of its types long before the end.
_NEW_TYPES = 1e-3


@dataclass(frozen=True)
class KgramGrowth:
    """Of the k-grams of one length.

    Attributes
    ----------
    k : int
    tokens : (n_sizes,) float64
        Mean targets of the parts of each size, ascending.
    types, singletons : (n_sizes,) float64
        Distinct k-grams, and those that occur once: means over the parts.
    heaps : Exponent
        h of V(P) ~ P^h, on the last doubling.
    missing : Exponent
        -d ln (N_1/P) / d ln P, the fall of the missing mass (Good-Turing), on the last doubling.
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
    """Of all lengths k = 1 .. longest."""

    kgrams: tuple[KgramGrowth, ...]


def measure_growth(
    corpus: Corpus,
    *,
    longest: int = 4,
    boundary: str = "stream",
    seed: int = 0,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> Growth:
    """Counts k-grams of 1 .. longest tokens on nested random parts of the corpus.

    Two sweeps over the corpus in all. Targets are tokens with longest - 1 tokens before them, the
    same for every k.

    Raises
    ------
    InputError
        The corpus has fewer than 32 documents (or blocks), so no parts.
    """
    workspace = Workspace() if workspace is None else workspace
    units = statistical_units(corpus, boundary=boundary, seed=seed)
    n_units = len(units.spans)
    if n_units < 4 * PARTS:
        raise InputError(
            f"{corpus.path}: {n_units} documents, {4 * PARTS} needed for nested parts of the corpus"
        )
    order = np.random.default_rng([seed, 8191]).permutation(n_units)
    whole = _counted(corpus, units, np.arange(n_units), order, longest, workspace, progress)
    parts = [
        _counted(corpus, units, np.sort(part), order, longest, workspace, progress)
        for part in np.array_split(order, PARTS)
    ]
    return Growth(tuple(_growth(k, whole, parts) for k in range(1, longest + 1)))


@dataclass(frozen=True)
class _Part:
    whole: NgramCounts
    halves: tuple[NgramCounts, ...]
    quarters: tuple[NgramCounts, ...]


def _counted(
    corpus: Corpus,
    units: Units,
    chosen: NDArray[np.int64],
    order: NDArray[np.int64],
    longest: int,
    workspace: Workspace,
    progress: Any,
) -> _Part:
    spans = units.spans
    starts, ends = spans.content_starts[chosen], spans.content_ends[chosen]
    kept = ends > starts
    chosen, starts, ends = chosen[kept], starts[kept], ends[kept]
    document_ends = np.cumsum(ends - starts)
    # Quarters by place in the random order, the same for every part that holds a document.
    place = np.empty(len(spans), np.int64)
    place[order] = np.arange(len(spans))
    quarters = (np.argsort(np.argsort(place[chosen])) * 4 // max(len(chosen), 1)).astype(np.uint8)
    with workspace.array(int(document_ends[-1]), corpus.dtype) as tokens:
        for a, b, end in zip(starts, ends, document_ends, strict=True):
            tokens[end - (b - a) : end] = corpus.tokens[a:b]
            release_pages_if_needed()
        found = count_ngrams(
            tokens,
            corpus.vocab_size,
            max_context=longest - 1,
            document_ends=document_ends,
            units=NgramUnits(document_ends, quarters, np.zeros(len(document_ends), np.uint32), 1),
            threads=workspace.threads,
            memory_limit=workspace.room(),
            progress=progress,
            backend=workspace.gpus,
        )
    return _Part(found.whole, found.halves, found.quarters)


def _types(counts: NgramCounts, k: int) -> float:
    return float(counts.ngrams[k - 1][:, 1].sum())


def _singletons(counts: NgramCounts, k: int) -> float:
    table = counts.ngrams[k - 1]
    return float(table[table[:, 0] == 1, 1].sum())


def _growth(k: int, whole: _Part, parts: list[_Part]) -> KgramGrowth:
    sizes = [
        [q for part in parts for q in part.quarters],
        [h for part in parts for h in part.halves],
        [part.whole for part in parts],
        list(whole.quarters),
        list(whole.halves),
        [whole.whole],
    ]
    tokens = np.array([np.mean([c.targets for c in size]) for size in sizes])
    types = np.array([np.mean([_types(c, k) for c in size]) for size in sizes])
    singles = np.array([np.mean([_singletons(c, k) for c in size]) for size in sizes])
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = np.diff(np.log(types)) / np.diff(np.log(tokens))
        fall = -np.diff(np.log(singles / tokens)) / np.diff(np.log(tokens))
    few = None
    if singles[-1] <= _SINGLETONS:
        few = f"{singles[-1]:.0f} {k}-grams occur once, {_SINGLETONS} needed"
    elif singles[-1] < singles[-2]:
        few = f"fewer {k}-grams occur once in the text than in half of it: they are a closed set"
    heaps = _slope(
        growth,
        np.array([_part_slope(part, k, _types) for part in parts]),
        types,
        tokens,
        f"h of {k}-gram types, on the last doubling",
        _why_no_heaps(types),
    )
    missing = _slope(
        fall,
        np.array([1.0 - _part_slope(part, k, _singletons) for part in parts]),
        singles,
        tokens,
        f"fall of the share of {k}-gram singletons, on the last doubling",
        few,
    )
    zipf = _zipf(k, whole.whole, [part.whole for part in parts])
    return KgramGrowth(k, tokens, types, singles, heaps, missing, zipf)


def _part_slope(part: _Part, k: int, statistic: Callable[[NgramCounts, int], float]) -> float:
    """d ln statistic / d ln P on the last doubling of an eighth."""
    small = float(np.mean([statistic(half, k) for half in part.halves]))
    tokens = float(np.mean([half.targets for half in part.halves]))
    large = statistic(part.whole, k)
    if small <= 0 or large <= 0:
        return math.nan
    return math.log(large / small) / math.log(part.whole.targets / tokens)


def _why_no_heaps(types: Floats) -> str | None:
    if types[-1] / types[-2] - 1 < _NEW_TYPES:
        return "the vocabulary is closed: the last doubling of the text added no types"
    return None


def _slope(
    slopes: Floats,
    parts: Floats,
    counted: Floats,
    tokens: Floats,
    method: str,
    reason: str | None,
) -> Exponent:
    """The last local slope. Its error is the scatter of the eighths' own last slopes, taken down by
    the square root of how many more k-grams were counted: they come and go one by one."""
    if reason is not None or not np.all(np.isfinite(slopes[-2:])):
        return Exponent.refused(reason or "nothing to count", method=method)
    error = float(np.std(parts, ddof=1)) * math.sqrt(counted[2] / counted[-1])
    value = float(slopes[-1])
    change = abs(slopes[-1] - slopes[-2])
    drift = None
    # The slope before has a larger error than the last.
    if change > _STABLE * abs(value) + 2 * _T95 * error:
        drift = (
            f"the slope still changes with the text's size: {slopes[-2]:.3f} on the doubling "
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
        reason=drift if drift is not None or math.isfinite(error) else "no error can be given",
        alternatives=tuple(
            Alternative(
                kind=AlternativeKind.DOUBLING, method=f"doubling to {tokens[j + 1]:.4g} tokens",
                value=float(slopes[j]), window=(float(tokens[j]), float(tokens[j + 1])), points=2,
            )
            for j in range(len(slopes) - 1) if math.isfinite(slopes[j])
        ),
    )  # fmt: skip


def tail_exponent(table: Table, low: int, high: int) -> float:
    """z of p_r ~ r^-z from the k-grams seen low .. high times; NaN where there are none.

    Then the number of k-grams seen c times is expected as Gamma(c - h) / Gamma(c + 1), h = 1/z
    (types whose rates have density rate^-(1+h), counted by a Poisson process): maximum likelihood
    of that law on the window.
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
        """Derivative of the log likelihood of one k-gram."""
        log_weight = gammaln(support - h) - gammaln(support + 1)
        weights = np.exp(log_weight - log_weight.max())
        expected = float(weights @ digamma(support - h) / weights.sum())
        seen = float(numbers @ digamma(counts[inside] - h) / numbers.sum())
        return expected - seen

    least, most = _SHAPES
    if not score(least) * score(most) < 0:
        return math.nan
    return 1.0 / float(brentq(score, least, most, xtol=1e-12))


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
    fewer = np.mean([_tail_types(part.ngrams[k - 1], low, high) for part in parts])
    error = float(np.std(each, ddof=1)) * math.sqrt(fewer / _tail_types(table, low, high))
    if not (math.isfinite(value) and math.isfinite(error)):
        return Exponent.refused("frequencies fall as no power law", method=method)
    others = [(window, tail_exponent(table, *window)) for window in _OTHER_TAILS]
    off = [f"{other:.3f} for {a} to {b}" for (a, b), other in others
           if not abs(other - value) <= _STABLE * value]  # fmt: skip
    reason = None
    if off:
        reason = f"no one power law: z = {value:.3f} for {low} to {high} times, {', '.join(off)}"
    elif value <= 1:
        reason = f"z = {value:.3f}: the tail has no end of its own, z > 1 needed"
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
