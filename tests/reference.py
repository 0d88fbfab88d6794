"""Slow, obvious versions of every kernel and of the estimators built on them.

Nothing here is clever: loops and ``collections.Counter``. The tests compare the package with it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

END = -1  # sorts before every token: a sequence that ends comes before its extensions


def documents(ends: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip([0, *ends[:-1]], ends, strict=True))


def pair_counts(
    tokens: Sequence[int],
    lag: int,
    content: Sequence[tuple[int, int]],
    ends: Sequence[int],
    classes: Sequence[int],
) -> tuple[list[Counter[tuple[int, int]]], list[Counter[tuple[int, int]]]]:
    """(within, across), each a counter of (left, right) for class 0 and for class 1."""
    document_of = {i: d for d, (a, b) in enumerate(documents(ends)) for i in range(a, b)}
    content_of = {i: d for d, (a, b) in enumerate(content) for i in range(a, b)}
    within = [Counter[tuple[int, int]](), Counter[tuple[int, int]]()]
    across = [Counter[tuple[int, int]](), Counter[tuple[int, int]]()]
    for i in range(len(tokens) - lag):
        j = i + lag
        same = i in content_of and content_of[i] == content_of.get(j)
        target = within if same else across
        target[classes[document_of[i]]][int(tokens[i]), int(tokens[j])] += 1
    return within, across


def covariance(joint: np.ndarray) -> np.ndarray:
    """C = P(a, b) - P(a) P(b) from a dense matrix of pair counts."""
    p = joint / joint.sum()
    return p - np.outer(p.sum(axis=1), p.sum(axis=0))


def sequence(
    tokens: Sequence[int], i: int, depth: int, *, backward: bool = False, stop_token: int = -1
) -> tuple[int, ...]:
    """Symbols of the suffix at i (or of the reversed prefix), at most depth of them."""
    out: list[int] = []
    while len(out) < depth:
        at = i - len(out) if backward else i + len(out)
        if not 0 <= at < len(tokens):
            break
        out.append(int(tokens[at]))
        if len(out) > 1 and out[-1] == stop_token:
            break
    return tuple(out)


def suffix_array(
    tokens: Sequence[int], depth: int, *, backward: bool = False, stop_token: int = -1
) -> tuple[list[int], list[int]]:
    """(suffixes, lcp): positions in order of their first depth symbols, ties by position."""

    def key(i: int) -> tuple[int, ...]:
        return sequence(tokens, i, depth, backward=backward, stop_token=stop_token)

    suffixes = sorted(range(len(tokens)), key=lambda i: (key(i), i))
    lcp = [0] * len(tokens)
    for k in range(1, len(tokens)):
        for a, b in zip(key(suffixes[k - 1]), key(suffixes[k]), strict=False):
            if a != b:
                break
            lcp[k] += 1
    return suffixes, lcp


def ngram_counts(
    tokens: Sequence[int], max_context: int, ends: Sequence[int]
) -> tuple[list[Counter[tuple[int, ...]]], list[Counter[tuple[int, ...]]]]:
    """Counters of (n+1)-grams that end at a target and of the n-grams just before, n = 0 ..."""
    ngrams = [Counter[tuple[int, ...]]() for _ in range(max_context + 1)]
    contexts = [Counter[tuple[int, ...]]() for _ in range(max_context + 1)]
    for start, end in documents(ends):
        for i in range(start + max_context, end):
            for n in range(max_context + 1):
                ngrams[n][tuple(map(int, tokens[i - n : i + 1]))] += 1
                contexts[n][tuple(map(int, tokens[i - n : i]))] += 1
    return ngrams, contexts


def ngrams(
    tokens: Sequence[int], n: int, ends: Sequence[int] | None = None
) -> Counter[tuple[int, ...]]:
    """Occurrences of each n-gram, inside the documents if their ends are given."""
    counts = Counter[tuple[int, ...]]()
    for start, end in documents([len(tokens)] if ends is None else ends):
        for i in range(start, end - n + 1):
            counts[tuple(map(int, tokens[i : i + n]))] += 1
    return counts


def ngram_losses(
    tokens: Sequence[int],
    max_context: int,
    ends: Sequence[int],
    unit_ends: Sequence[int],
    groups: Sequence[int],
    bits: int,
) -> tuple[list[list[int]], list[int]]:
    """Per group and context length: sum over its targets of ln(context count / n-gram count), each
    logarithm rounded to 2^-bits; and the targets per group. The empty context's count is left out.
    """
    ngrams, contexts = ngram_counts(tokens, max_context, ends)
    losses = [[0] * (max_context + 1) for _ in range(max(groups) + 1)]
    targets = [0] * (max(groups) + 1)

    def fixed_log(count: int) -> int:
        return math.floor(math.log(count) * 2**bits + 0.5)

    for start, end in documents(ends):
        for i in range(start + max_context, end):
            unit = next(u for u, last in enumerate(unit_ends) if i < last)
            targets[groups[unit]] += 1
            for n in range(max_context + 1):
                gram = tuple(map(int, tokens[i - n : i + 1]))
                losses[groups[unit]][n] -= fixed_log(ngrams[n][gram])
                if n > 0:
                    losses[groups[unit]][n] += fixed_log(contexts[n][gram[:-1]])
    return losses, targets


def subset_ngram_counts(
    tokens: Sequence[int],
    max_context: int,
    ends: Sequence[int],
    unit_ends: Sequence[int],
    chosen: Sequence[bool],
) -> tuple[list[Counter[tuple[int, ...]]], list[Counter[tuple[int, ...]]]]:
    """`ngram_counts` over the targets that lie in the chosen units."""
    ngrams = [Counter[tuple[int, ...]]() for _ in range(max_context + 1)]
    contexts = [Counter[tuple[int, ...]]() for _ in range(max_context + 1)]
    for start, end in documents(ends):
        for i in range(start + max_context, end):
            if chosen[next(u for u, last in enumerate(unit_ends) if i < last)]:
                for n in range(max_context + 1):
                    ngrams[n][tuple(map(int, tokens[i - n : i + 1]))] += 1
                    contexts[n][tuple(map(int, tokens[i - n : i]))] += 1
    return ngrams, contexts


def counts_of_counts(counts: Counter[tuple[int, ...]]) -> list[list[int]]:
    return [list(item) for item in sorted(Counter(counts.values()).items())]


def plug_in_entropy(ngrams: Counter[tuple[int, ...]], contexts: Counter[tuple[int, ...]]) -> float:
    total = sum(ngrams.values())
    return -sum(c / total * math.log(c / contexts[g[:-1]]) for g, c in ngrams.items())


def modified_discounts(n: Sequence[int]) -> tuple[float, float, float]:
    """D1, D2, D3+ of Chen and Goodman from the numbers of n-grams with counts 1 .. 4."""
    y = n[0] / (n[0] + 2 * n[1])
    return 1 - 2 * y * n[1] / n[0], 2 - 3 * y * n[2] / n[1], 3 - 4 * y * n[3] / n[2]


class KneserNey:
    """Interpolated modified Kneser-Ney over explicit dictionaries, orders 1 .. order.

    ``stop_token``: contexts reach back to this token and no further.
    """

    def __init__(
        self,
        training: Sequence[int],
        vocab_size: int,
        order: int,
        *,
        stop_token: int = -1,
        first_event: int = 0,
        fallback: tuple[float, float, float] = (0.5, 1.0, 1.5),
    ) -> None:
        self.vocab_size = vocab_size
        self.order = order
        self.stop_token = stop_token
        self.raw: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        left: list[dict[tuple[int, ...], set[int]]] = [defaultdict(set) for _ in range(order + 1)]
        for i in range(first_event, len(training)):
            if int(training[i]) >= vocab_size:
                continue
            gram = sequence(training, i, order, backward=True, stop_token=stop_token)[::-1]
            for m in range(1, len(gram) + 1):
                self.raw[m][gram[-m:]] += 1
                before = gram[-m - 1] if m < len(gram) else END
                left[m][gram[-m:]].add(before)
        self.lower: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for m in range(1, order):
            for gram, count in self.raw[m].items():
                begins = m > 1 and gram[0] == stop_token
                self.lower[m][gram] = count if begins else len(left[m][gram])
        self.raw_discounts = [self._discounts(c, fallback) for c in self.raw]
        self.lower_discounts = [self._discounts(c, fallback) for c in self.lower]
        self._tables: dict[int, dict[tuple[int, ...], list[int]]] = {}

    @staticmethod
    def _discounts(
        counts: Counter[tuple[int, ...]], fallback: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        n = [sum(1 for c in counts.values() if c == k) for k in (1, 2, 3, 4)]
        if min(n) == 0:
            return fallback
        d = modified_discounts(n)
        return d if all(0 < d[k] <= k + 1 for k in range(3)) else fallback

    def _level(
        self,
        counts: Counter[tuple[int, ...]],
        discounts: tuple[float, float, float],
        context: tuple[int, ...],
        token: int,
        below: float,
    ) -> float:
        table = self._tables.setdefault(id(counts), {})
        if not table:
            for gram, c in counts.items():
                table.setdefault(gram[:-1], []).append(c)
        followers = table.get(context)
        if not followers:
            return below
        total = sum(followers)
        freed = sum(discounts[min(c, 3) - 1] for c in followers)
        c = counts.get((*context, token), 0)
        kept = max(c - discounts[min(c, 3) - 1], 0) if c else 0.0
        return (kept + freed * below) / total

    def probability(self, context: Sequence[int], token: int, n: int) -> float:
        """p(token | last n tokens of context) by the model of order n + 1."""
        history = sequence(
            [*context, token], len(context), n + 1, backward=True, stop_token=self.stop_token
        )[::-1]
        reach = len(history) - 1
        below = 1 / self.vocab_size
        for m in range(1, min(reach, n) + 2):
            top = m == n + 1
            counts = self.raw[m] if top else self.lower[m]
            discounts = self.raw_discounts[m] if top else self.lower_discounts[m]
            below = self._level(counts, discounts, history[len(history) - m : -1], token, below)
        return below


def mean_losses(model: KneserNey, held_out: Sequence[int], positions: Iterable[int]) -> list[float]:
    positions = list(positions)
    return [
        -sum(math.log(model.probability(held_out[:i], int(held_out[i]), n)) for i in positions)
        / len(positions)
        for n in range(model.order)
    ]


def copied_positions(
    scored: list[int], ends: list[int], training: list[int], length: int
) -> list[bool]:
    """Whether each scored token lies in a passage of `length` tokens that is in `training`."""
    passages = {tuple(training[i : i + length]) for i in range(len(training) - length + 1)}
    marks = [False] * len(scored)
    start = 0
    for end in ends:
        for i in range(start, end - length + 1):
            if tuple(scored[i : i + length]) in passages:
                marks[i : i + length] = [True] * length
        start = end
    return marks


def ngram_table(
    tokens: Sequence[int],
    n: int,
    units: Sequence[tuple[int, int]],
    document_ends: Sequence[int],
    min_count: int = 1,
) -> dict[tuple[int, ...], tuple[int, int, int, int]]:
    """N-grams in order: (count, distinct followers, distinct predecessors, documents)."""
    document_of = [d for d, (a, b) in enumerate(documents(document_ends)) for _ in range(a, b)]
    counts: Counter[tuple[int, ...]] = Counter()
    followers, predecessors, where = defaultdict(set), defaultdict(set), defaultdict(set)
    for first, last in units:
        for i in range(first, last - n + 1):
            gram = tuple(int(x) for x in tokens[i : i + n])
            counts[gram] += 1
            where[gram].add(document_of[i])
            if i + n < last:
                followers[gram].add(int(tokens[i + n]))
            if i > first:
                predecessors[gram].add(int(tokens[i - 1]))
    return {
        gram: (
            counts[gram],
            len(followers[gram]),
            len(predecessors[gram]),
            len(where[gram]),
        )
        for gram in sorted(counts)
        if counts[gram] >= min_count
    }
