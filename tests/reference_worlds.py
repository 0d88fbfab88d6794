"""Tiny worlds by brute force: the probability of every string or window, and statistics of them.

Nothing here shares code with `ngramstat.synthetic`; probabilities are sums over all outcomes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np

Strings = Mapping[tuple[int, ...], float]

MASK = (1 << 64) - 1


def random_word(key: int, n: int) -> int:
    """Word n of SplitMix64."""
    z = (key + (n + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def pick(threshold: list[int], alias: list[int], word: int) -> int:
    product = word * len(threshold)
    column, rest = product >> 64, product & MASK
    return column if rest < threshold[column] else alias[column]


def tree_leaf(
    key: int,
    position: int,
    n_roots: int,
    levels: list[tuple[list[int], list[int], np.ndarray]],
    s: int,
    by_child: bool,
) -> int:
    """Leaf number `position` of consecutive trees; levels hold threshold, alias and children."""
    depth = len(levels)
    string, local = divmod(position, s**depth)
    words = 1 + sum(s ** (k + by_child) for k in range(depth))
    symbol = random_word(key, string * words) * n_roots >> 64
    node, offset = 0, 1
    for k, (threshold, alias, children) in enumerate(levels):
        c = local // s ** (depth - 1 - k) % s
        number = node * s + c if by_child else node
        rule = pick(threshold, alias, random_word(key, string * words + offset + number))
        produced = children[symbol, rule]
        symbol = int(produced if by_child else produced[c])
        offset += s ** (k + by_child)
        node = node * s + c
    return symbol


def tree_strings(children: list[np.ndarray], q: list[np.ndarray], n_tokens: int) -> Strings:
    """All strings of a tree of rules, the root's level first, with uniform roots."""
    strings: list[dict[tuple[int, ...], float]] = [{(x,): 1.0} for x in range(n_tokens)]
    for rules, probabilities in zip(reversed(children), reversed(q), strict=True):
        expanded = []
        for x in range(len(rules)):
            below: dict[tuple[int, ...], float] = {}
            for rule, q_rule in zip(rules[x], probabilities[x], strict=True):
                for parts in itertools.product(*(strings[int(c)].items() for c in rule)):
                    key = tuple(itertools.chain.from_iterable(k for k, _ in parts))
                    p = float(q_rule) * math.prod(p for _, p in parts)
                    below[key] = below.get(key, 0.0) + p
            expanded.append(below)
        strings = expanded
    total: dict[tuple[int, ...], float] = {}
    for below in strings:
        for key, p in below.items():
            total[key] = total.get(key, 0.0) + p / len(strings)
    return total


def joint(strings: Strings, i: int, j: int, v: int) -> np.ndarray:
    out = np.zeros((v, v))
    for x, p in strings.items():
        out[x[i], x[j]] += p
    return out


def document_covariance(strings: Strings, lag: int, v: int) -> np.ndarray:
    d = len(next(iter(strings)))
    mean = np.mean([joint(strings, i, i + lag, v) for i in range(d - lag)], axis=0)
    return mean - np.outer(mean.sum(axis=1), mean.sum(axis=0))


def marginal(strings: Strings, i: int, v: int) -> np.ndarray:
    return joint(strings, i, i, v).diagonal()


def stream_covariance(strings: Strings, lag: int, v: int) -> np.ndarray:
    d = len(next(iter(strings)))
    mean = np.zeros((v, v))
    for i in range(d):
        if i + lag < d:
            mean += joint(strings, i, i + lag, v) / d
        else:
            mean += np.outer(marginal(strings, i, v), marginal(strings, (i + lag) % d, v)) / d
    return mean - np.outer(mean.sum(axis=1), mean.sum(axis=0))


def sequential_covariance(strings: Strings, lag: int, v: int) -> np.ndarray:
    """The joint at a lag minus its mean over all shuffles, which is the mean over ordered pairs."""
    d = len(next(iter(strings)))
    mean = np.mean([joint(strings, i, i + lag, v) for i in range(d - lag)], axis=0)
    pairs = [joint(strings, i, j, v) for i in range(d) for j in range(d) if i != j]
    return mean - np.mean(pairs, axis=0)


def entropy(counts: Mapping[object, float]) -> float:
    return -math.fsum(p * math.log(p) for p in counts.values() if p > 0)


def window_entropies(windows: Strings) -> list[float]:
    """H(last | n before it) from the joint distribution of windows."""
    w = len(next(iter(windows)))
    entropies = []
    for n in range(w):
        ngrams: dict[tuple[int, ...], float] = {}
        contexts: dict[tuple[int, ...], float] = {}
        for x, p in windows.items():
            ngrams[x[w - 1 - n :]] = ngrams.get(x[w - 1 - n :], 0.0) + p
            contexts[x[w - 1 - n : -1]] = contexts.get(x[w - 1 - n : -1], 0.0) + p
        entropies.append(entropy(ngrams) - entropy(contexts))
    return entropies


def document_windows(strings: Strings, w: int) -> Strings:
    d = len(next(iter(strings)))
    out: dict[tuple[int, ...], float] = {}
    for x, p in strings.items():
        for i in range(d - w + 1):
            out[x[i : i + w]] = out.get(x[i : i + w], 0.0) + p / (d - w + 1)
    return out


def stream_windows(strings: Strings, w: int) -> Strings:
    d = len(next(iter(strings)))
    copies = -(-(w + d - 1) // d)
    out: dict[tuple[int, ...], float] = {}
    for parts in itertools.product(strings.items(), repeat=copies):
        x = tuple(itertools.chain.from_iterable(k for k, _ in parts))
        p = math.prod(weight for _, weight in parts)
        for i in range(d):
            out[x[i : i + w]] = out.get(x[i : i + w], 0.0) + p / d
    return out


def position_averaged_entropies(strings: Strings) -> list[float]:
    d = len(next(iter(strings)))
    entropies = []
    for n in range(d):
        total = 0.0
        for i in range(n, d):
            ngrams: dict[tuple[int, ...], float] = {}
            contexts: dict[tuple[int, ...], float] = {}
            for x, p in strings.items():
                ngrams[x[i - n : i + 1]] = ngrams.get(x[i - n : i + 1], 0.0) + p
                contexts[x[i - n : i]] = contexts.get(x[i - n : i], 0.0) + p
            total += entropy(ngrams) - entropy(contexts)
        entropies.append(total / (d - n))
    return entropies


def last_token_entropy(strings: Strings, context: int) -> float:
    ngrams: dict[tuple[int, ...], float] = {}
    contexts: dict[tuple[int, ...], float] = {}
    for x, p in strings.items():
        key = x[len(x) - 1 - context :]
        ngrams[key] = ngrams.get(key, 0.0) + p
        contexts[key[:-1]] = contexts.get(key[:-1], 0.0) + p
    return entropy(ngrams) - entropy(contexts)


def all_windows(v: int, w: int, probability: Callable[[tuple[int, ...]], float]) -> Strings:
    return {x: probability(x) for x in itertools.product(range(v), repeat=w)}


def run_windows(mu: float, v: int, w: int) -> Strings:
    """Windows of the stationary run process: rest of the first run, complete runs, a cut run."""
    mean = sum((1 + k) ** -(1 + mu) for k in range(200_000))
    # The rest of the sum by an integral from the half-integer.
    mean += (200_000 + 0.5) ** -mu / mu

    def tail(k: int) -> float:
        return float((1 + k) ** -(1 + mu))

    def probability(x: tuple[int, ...]) -> float:
        lengths = [len(list(run)) for _, run in itertools.groupby(x)]
        p = (1 / v) * (1 / (v - 1)) ** (len(lengths) - 1)
        if len(lengths) == 1:
            # P(rest >= w) = 1 - sum_{r < w} P(length >= r) / mean
            return p * (1 - sum(tail(r - 1) for r in range(1, w)) / mean)
        p *= tail(lengths[0] - 1) / mean
        for length in lengths[1:-1]:
            p *= tail(length - 1) - tail(length)
        return p * tail(lengths[-1] - 1)

    return all_windows(v, w, probability)


def santa_fe_windows(p: np.ndarray, flip: np.ndarray, w: int) -> Strings:
    """Windows of (fact, bit) tokens 2 k + bit: a sum over all paths of all bits."""

    def probability(x: tuple[int, ...]) -> float:
        total = math.prod(float(p[token // 2]) for token in x)
        for k in range(len(p)):
            seen = {t: token % 2 for t, token in enumerate(x) if token // 2 == k}
            paths = 0.0
            for bits in itertools.product((0, 1), repeat=w):
                if all(bits[t] == b for t, b in seen.items()):
                    path = 0.5
                    for one, two in itertools.pairwise(bits):
                        path *= float(flip[k]) if one != two else 1 - float(flip[k])
                    paths += path
            total *= paths
        return total

    return all_windows(2 * len(p), w, probability)


def chain_windows(transitions: np.ndarray, w: int) -> Strings:
    """Windows of a stationary chain of any order; its start is a high power of the matrix."""
    v, order = transitions.shape[0], transitions.ndim - 1
    contexts = list(itertools.product(range(v), repeat=order))
    matrix = np.zeros((len(contexts), len(contexts)))
    for i, c in enumerate(contexts):
        for x in range(v):
            matrix[i, contexts.index((*c[1:], x))] += transitions[(*c, x)]
    start = np.linalg.matrix_power(matrix, 1 << 12).mean(axis=0)

    def probability(x: tuple[int, ...]) -> float:
        total = float(start[contexts.index(x[:order])])
        for t in range(order, w):
            total *= float(transitions[x[t - order : t + 1]])
        return total

    return all_windows(v, w, probability)


def window_covariance(windows: Strings, lag: int, v: int) -> np.ndarray:
    both = joint(windows, 0, lag, v)
    return both - np.outer(both.sum(axis=1), both.sum(axis=0))


def ngram_token(
    contexts: Mapping[tuple[int, ...], tuple[list[int], list[int]]],
    history: tuple[int, ...],
    drawable: list[int],
    key: int,
    word: int,
) -> int:
    """Next token of an n-gram model: the longest context of `history` draws it or leaves it.

    contexts: of every context the cumulative probabilities times 2^64, and the tokens.
    """
    while True:
        if history in contexts:
            random = random_word(key, word)
            word += 1
            for bound, token in zip(*contexts[history], strict=True):
                if random < bound:
                    return token
            if not history:
                return drawable[random_word(key, word) * len(drawable) >> 64]
        history = history[1:]


def all_documents(
    probability: Callable[[tuple[int, ...], int], float], vocab_size: int, length: int
) -> Strings:
    """Every document of this length with its probability, token by token."""
    documents: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(length):
        documents = {
            (*document, w): p * probability(document, w)
            for document, p in documents.items()
            for w in range(vocab_size)
        }
    return documents


def mixed_entropies(corpora: list[tuple[float, Strings]], max_context: int | None) -> list[float]:
    """H_n over the targets with max_context tokens before them, from weighted sets of documents.

    Without max_context, over all targets, for n = 0 .. 4; contexts end at the document's begin.
    """
    first = 0 if max_context is None else max_context
    longest = 4 if max_context is None else max_context
    entropies = []
    for n in range(longest + 1):
        joint: dict[tuple[int, ...], float] = {}
        for weight, documents in corpora:
            for document, p in documents.items():
                for i in range(first, len(document)):
                    # A mark in front: a context that reaches it is another one than inside.
                    gram = (-1, *document[: i + 1])[-n - 1 :]
                    joint[gram] = joint.get(gram, 0.0) + weight * p
        total = sum(joint.values())
        before: dict[tuple[int, ...], float] = {}
        for gram, p in joint.items():
            before[gram[:-1]] = before.get(gram[:-1], 0.0) + p
        entropies.append(
            -sum(p * math.log(p / before[gram[:-1]]) for gram, p in joint.items() if p > 0) / total
        )
    return entropies


def mixed_covariance(corpora: list[tuple[float, Strings]], vocab_size: int, lag: int) -> np.ndarray:
    """C(lag) over the pairs inside documents, from weighted sets of documents."""
    joint = np.zeros((vocab_size, vocab_size))
    for weight, documents in corpora:
        for document, p in documents.items():
            for i in range(len(document) - lag):
                joint[document[i], document[i + lag]] += weight * p
    joint /= joint.sum()
    return joint - np.outer(joint.sum(axis=1), joint.sum(axis=0))
