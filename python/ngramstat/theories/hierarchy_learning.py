"""A learner of hierarchies that only counts: it finds classes of tuples, level by level.

In a hierarchy (docs/theory.md 5) every symbol becomes one of several tuples of symbols of the next
level. Tuples of one symbol are synonyms: they say the same about everything outside them, so their
counts together with a target (the class of the string, or its last token) follow one distribution.
The learner puts the tuples whose targets are distributed alike into one class, replaces the tuples
by their classes, and does the same with the tuples of classes that it then sees, up to the root
(docs/theory.md 6; Cagnetta, Kang and Wyart, arXiv 2505.07067, and Cagnetta et al., arXiv
2307.02129). Either every position of the string has its own classes, as in the theory, or all
positions share them, as the weights of a convolutional network are shared: then the evidence of all
positions is added up.

Arrays in, arrays out. Nothing here knows where strings come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError

__all__ = [
    "BlockClasses",
    "LabelLearner",
    "LastTokenLearner",
    "classes_of_rows",
    "join_tuples",
    "learn_block",
    "learn_labels",
    "learn_last_token",
]

Ints = NDArray[np.signedinteger]
Floats = NDArray[np.float64]

# Classes are founded on tuples with at least this fraction of the counts of the most frequent one,
# and on at most this many of them per class: rarer ones are too noisy to found a class, and are
# assigned to one at the end.
_FOUNDING_FRACTION = 1 / 16
_FOUNDERS = 8
# Rounds of assigning tuples to classes and taking the distributions of classes again.
_ROUNDS = 50
# Added to every count of a class before logarithms are taken.
_PSEUDOCOUNT = 0.5
# Decimals at which two costs, in nats times counts, are equal: ties must not be decided by rounding
# errors. They go to the first.
_DECIMALS = 6
# Every eighth string chooses how much context the learner of last tokens uses.
_TUNING_STRIDE = 8
# Fewer strings cannot choose.
_MIN_STRINGS = 16


def join_tuples(symbols: NDArray[np.integer], branching: int, alphabet: int) -> Ints:
    """Numbers of the tuples of `branching` neighbouring symbols.

    Parameters
    ----------
    symbols : (n_strings, n_symbols) integers
        Below `alphabet`; n_symbols is a multiple of `branching`.
    branching, alphabet : int

    Returns
    -------
    (n_strings, n_symbols / branching) int32, or int64 where that is too small
        Below ``alphabet ** branching``.
    """
    if symbols.ndim != 2 or symbols.shape[1] % branching:
        raise InputError(
            f"symbols of shape {symbols.shape}: need strings of equal length, a multiple of "
            f"{branching}"
        )
    fits = alphabet**branching <= np.iinfo(np.int32).max
    dtype: type[np.signedinteger] = np.int32 if fits else np.int64
    numbers: Ints = symbols[:, ::branching].astype(dtype)
    for c in range(1, branching):
        numbers *= alphabet
        numbers += symbols[:, c::branching].astype(dtype)
    return numbers


def classes_of_rows(counts: NDArray[np.integer], n_classes: int) -> Ints:
    """Put the rows of a table of counts into classes of alike distributions.

    The classes are founded on the most frequent rows: the two whose union costs least likelihood
    become one, until `n_classes` are left. Then founders go to the class under which they are most
    likely, and the distributions of the classes are taken again, until nothing changes. In the end
    all rows are assigned, twice, with distributions from all rows in between.

    Parameters
    ----------
    counts : (n_rows, n_positions, n_targets) integers
        A row has one distribution of the targets at every position. How often it occurs at a
        position does not count.
    n_classes : int

    Returns
    -------
    (n_rows,) int64
        Classes, numbered by decreasing counts of their founders. Rows without counts are in class
        0.
    """
    totals = counts.sum(axis=(1, 2))
    classes = np.zeros(len(counts), np.int64)
    order = np.argsort(-totals, kind="stable")[: _FOUNDERS * n_classes]
    frequent = int(np.count_nonzero(totals[order] >= _FOUNDING_FRACTION * totals[order[0]]))
    founders = order[: min(max(frequent, n_classes), np.count_nonzero(totals[order]))]
    if len(founders) == 0:
        return classes
    centres = _united(counts[founders], n_classes)
    centres = centres[np.argsort(-centres.sum(axis=(1, 2)), kind="stable")]
    assigned = np.empty(0, np.int64)
    for _ in range(_ROUNDS):
        previous, assigned = assigned, _most_likely(counts[founders], centres)
        if np.array_equal(previous, assigned):
            break
        centres = _summed(counts[founders], assigned, len(centres))
    seen = np.flatnonzero(totals)
    rows = counts[seen]
    centres = _summed(rows, _most_likely(rows, centres), len(centres))
    classes[seen] = _most_likely(rows, centres)
    return classes


def _united(rows: NDArray[np.integer], n_classes: int) -> Floats:
    """Counts of the classes that are left when alike rows are united one by one."""
    sums = rows.astype(np.float64)
    own = _log_likelihood(sums)
    n = len(sums)
    costs = np.full((n, n), np.inf)
    for i in range(n - 1):
        costs[i, i + 1 :] = _cost(sums, own, i, np.arange(i + 1, n))
    left = np.ones(n, bool)
    for _ in range(n - n_classes):
        i, j = divmod(int(np.argmin(costs)), n)
        sums[i] += sums[j]
        own[i] = _log_likelihood(sums[i])
        left[j] = False
        costs[j], costs[:, j] = np.inf, np.inf
        others = np.flatnonzero(left)
        others = others[others != i]
        costs[np.minimum(i, others), np.maximum(i, others)] = _cost(sums, own, i, others)
    return sums[left]


def _cost(sums: Floats, own: Floats, i: int, others: Ints) -> Floats:
    """Log-likelihood that is lost when row i is united with each of the others."""
    cost: Floats = own[i] + own[others] - _log_likelihood(sums[i] + sums[others])
    return np.round(cost, _DECIMALS)


def _log_likelihood(rows: Floats) -> Floats:
    """Largest log-likelihood of each row under distributions of its own, one a position."""
    total = rows.sum(axis=-1)
    likelihood: Floats = (_x_log_x(rows).sum(axis=-1) - _x_log_x(total)).sum(axis=-1)
    return likelihood


def _x_log_x(x: Floats) -> Floats:
    product: Floats = x * np.log(np.maximum(x, 1.0))
    return product


def _most_likely(rows: NDArray[np.integer], centres: Floats) -> Ints:
    """The class under whose distributions each row of counts is most likely."""
    smoothed = centres + _PSEUDOCOUNT
    log_p = np.log(smoothed / smoothed.sum(axis=-1, keepdims=True))
    scores = rows.reshape(len(rows), -1) @ log_p.reshape(len(log_p), -1).T
    classes: Ints = np.argmax(np.round(scores, _DECIMALS), axis=1)
    return classes


def _summed(rows: NDArray[np.integer], classes: Ints, n_classes: int) -> Floats:
    """Sum of the rows of every class."""
    flat = rows.reshape(len(rows), -1)
    sums = np.empty((n_classes, flat.shape[1]))
    for column in range(flat.shape[1]):
        sums[:, column] = np.bincount(classes, flat[:, column], n_classes)
    return sums.reshape(n_classes, *rows.shape[1:])


def _pair_counts(first: Ints, second: Ints, n_first: int, n_second: int) -> Ints:
    """How often each pair of numbers occurs, (n_first, n_second)."""
    # As numbers of 64 bits: a product of two numbers may not fit 32.
    pairs = first.astype(np.int64) * n_second + second
    counts = np.bincount(pairs, minlength=n_first * n_second)
    return counts.reshape(n_first, n_second)


@dataclass(frozen=True)
class BlockClasses:
    """What is learned of a block: the classes of its tuples at every level and position.

    Attributes
    ----------
    tables : tuple of (n_positions, n_tuples) int64
        Class of every tuple, the lowest level first.
    branching : int
        Symbols of a tuple.
    n_classes : int
        Classes of a level.
    """

    tables: tuple[Ints, ...]
    branching: int
    n_classes: int

    def classes(self, tuples: Ints) -> Ints:
        """The classes of the last level, (n_strings, n_positions), of blocks of tuples."""
        for level, table in enumerate(self.tables):
            if level:
                tuples = join_tuples(tuples, self.branching, self.n_classes)
            tuples = _looked_up(table, tuples)
        return tuples


def _looked_up(table: Ints, tuples: Ints) -> Ints:
    classes = np.empty(tuples.shape, np.int32)
    for position in range(tuples.shape[1]):
        classes[:, position] = table[position, tuples[:, position]]
    return classes


def learn_block(
    tuples: Ints,
    targets: Ints,
    *,
    levels: int,
    n_tuples: int,
    n_targets: int,
    n_classes: int,
    branching: int,
    shared: bool,
) -> tuple[BlockClasses, Ints]:
    """Learn the classes of a block's tuples from what they tell about a target.

    Parameters
    ----------
    tuples : (n_strings, n_positions) integers
        Numbers of the block's lowest tuples, below `n_tuples`.
    targets : (n_strings,) integers
        Below `n_targets`.
    levels : int
        How often tuples are replaced by their classes.
    n_tuples, n_targets, n_classes, branching : int
        `n_classes` is the number of symbols of every level above the lowest.
    shared : bool
        Whether a tuple has one class, whatever its position.

    Returns
    -------
    BlockClasses
    (n_strings, n_positions / branching^(levels - 1)) integers
        The classes of the last level of these strings.
    """
    tables = []
    for level in range(levels):
        if level:
            tuples = join_tuples(tuples, branching, n_classes)
            n_tuples = n_classes**branching
        # Most tuples of the lowest level may never occur.
        seen = np.flatnonzero(np.bincount(tuples.reshape(-1), minlength=n_tuples))
        number = np.zeros(n_tuples, np.int64)
        number[seen] = np.arange(len(seen))
        counts = np.stack(
            [_pair_counts(number[column], targets, len(seen), n_targets) for column in tuples.T], 1
        )
        groups = [counts] if shared else np.split(counts, counts.shape[1], axis=1)
        table = np.zeros((len(groups), n_tuples), np.int64)
        for position, group in enumerate(groups):
            table[position, seen] = classes_of_rows(group, n_classes)
        tables.append(np.broadcast_to(table, (tuples.shape[1], n_tuples)))
        tuples = _looked_up(tables[-1], tuples)
    return BlockClasses(tuple(tables), branching, n_classes), tuples


@dataclass(frozen=True)
class LabelLearner:
    """Predicts the label of a string.

    Attributes
    ----------
    block : BlockClasses
        Of the whole string, up to the children of the root.
    labels : (n_tuples,) int64
        Label of every tuple of the root's children.
    """

    block: BlockClasses
    labels: Ints

    def predict(self, tuples: Ints) -> Ints:
        """Labels, (n_strings,), of strings of lowest tuples, (n_strings, n_positions)."""
        return self.labels[_root_tuples(self.block, tuples)]


def _root_tuples(block: BlockClasses, tuples: Ints) -> Ints:
    if not block.tables:
        return tuples[:, 0]
    return join_tuples(block.classes(tuples), block.branching, block.n_classes)[:, 0]


def learn_labels(
    tuples: Ints,
    labels: Ints,
    *,
    n_tuples: int,
    n_labels: int,
    n_classes: int,
    branching: int,
    shared: bool = True,
) -> LabelLearner:
    """Learn to predict labels of strings from their lowest tuples.

    Each tuple of the root's children gets its most frequent label; tuples that have not been seen
    get the most frequent label of all. Parameters are those of `learn_block`.

    Raises
    ------
    InputError
        The number of positions is not a power of `branching`.
    """
    levels, positions = 0, tuples.shape[1]
    while positions > 1:
        levels, positions = levels + 1, positions / branching
    if positions != 1 or len(tuples) == 0:
        raise InputError(
            f"tuples of shape {tuples.shape}: need one string at least, and a number of tuples "
            f"that is a power of {branching}"
        )
    block, children = learn_block(
        tuples, labels, levels=levels, n_tuples=n_tuples, n_targets=n_labels,
        n_classes=n_classes, branching=branching, shared=shared,
    )  # fmt: skip
    if levels:
        tuples, n_tuples = join_tuples(children, branching, n_classes), n_classes**branching
    counts = _pair_counts(tuples[:, 0], labels, n_tuples, n_labels)
    most_frequent = int(np.argmax(np.bincount(labels, minlength=n_labels)))
    learned = np.where(counts.any(axis=1), np.argmax(counts, axis=1), most_frequent)
    return LabelLearner(block, learned)


@dataclass(frozen=True)
class LastTokenLearner:
    """Predicts the last token of a string from the blocks before it.

    Attributes
    ----------
    blocks : tuple of tuple of BlockClasses
        For every level, the nearest first, its sibling blocks from left to right.
    contexts : tuple of (n_strings, n_columns) int64
        The training strings' classes of every level: one column for each sibling block.
    targets : (n_strings,) int64
        Their last tokens.
    vocabulary, branching : int
    used : int
        Levels that the prediction uses; chosen on strings that nothing was counted on.
    """

    blocks: tuple[tuple[BlockClasses, ...], ...]
    contexts: tuple[Ints, ...]
    targets: Ints
    vocabulary: int
    branching: int
    used: int

    def losses(self, strings: NDArray[np.integer]) -> Floats:
        """Mean loss of the last token with 0, 1, ... levels of context, in nats."""
        contexts = [
            np.stack([block.classes(part)[:, 0] for block, part in zip(*level, strict=True)], 1)
            for level in zip(
                self.blocks,
                _sibling_blocks(strings, len(self.blocks), self.branching, self.vocabulary),
                strict=True,
            )
        ]
        return _interpolated_losses(
            self.contexts, self.targets, contexts, strings[:, -1].astype(np.int64), self.vocabulary
        )

    def loss(self, strings: NDArray[np.integer]) -> float:
        """Mean loss with the levels that were chosen, in nats per last token."""
        return float(self.losses(strings)[self.used])


def _sibling_blocks(
    strings: NDArray[np.integer], levels: int, branching: int, vocabulary: int
) -> list[list[Ints]]:
    """The blocks before the last token, by level: single tokens first, then tuples of tokens."""
    end, blocks = strings.shape[1], []
    for level in range(levels):
        size = branching**level
        starts = range(end - size * branching, end - size, size)
        parts = [strings[:, start : start + size] for start in starts]
        blocks.append(
            [
                part.astype(np.int32) if level == 0 else join_tuples(part, branching, vocabulary)
                for part in parts
            ]
        )
    return blocks


def learn_last_token(
    strings: NDArray[np.integer], *, vocabulary: int, branching: int, levels: int
) -> LastTokenLearner:
    """Learn to predict the last token of strings of branching^levels tokens.

    The block of siblings of every level is reduced to the class of its root, from what its tuples
    tell about the last token; tokens and symbols of all levels are `vocabulary` in number. The
    last token is then counted behind the classes of the first levels, with shorter contexts mixed
    in as Witten and Bell (1991) do. An eighth of the strings is kept to choose how many levels
    are used.

    Raises
    ------
    InputError
        There are fewer than 16 strings, or they have another length.
    """
    if strings.ndim != 2 or strings.shape[1] != branching**levels or len(strings) < _MIN_STRINGS:
        raise InputError(
            f"strings of shape {strings.shape}: need at least {_MIN_STRINGS} strings of "
            f"{branching}^{levels} tokens"
        )
    tuning = np.arange(len(strings)) % _TUNING_STRIDE == _TUNING_STRIDE - 1
    counted = strings[~tuning]
    targets = counted[:, -1].astype(np.int64)
    blocks, contexts = [], []
    for level, parts in enumerate(_sibling_blocks(counted, levels, branching, vocabulary)):
        learned = [
            learn_block(
                part, targets, levels=level, n_tuples=vocabulary**branching,
                n_targets=vocabulary, n_classes=vocabulary, branching=branching, shared=False,
            )
            for part in parts
        ]  # fmt: skip
        blocks.append(tuple(block for block, _ in learned))
        contexts.append(np.concatenate([classes for _, classes in learned], axis=1))
    learner = LastTokenLearner(
        tuple(blocks), tuple(contexts), targets, vocabulary, branching, levels
    )
    used = int(np.argmin(learner.losses(strings[tuning])))
    return LastTokenLearner(learner.blocks, learner.contexts, targets, vocabulary, branching, used)


def _interpolated_losses(
    contexts: tuple[Ints, ...],
    targets: Ints,
    held_out: list[Ints],
    held_out_targets: Ints,
    vocabulary: int,
) -> Floats:
    """Mean losses of held-out targets behind 0, 1, ... levels of context.

    With N occurrences of a context and T different targets behind it, a share T / (N + T) of the
    probability is that of the shorter context (Witten and Bell 1991); without any context the
    share is of the uniform distribution.
    """
    n = len(targets)
    # Contexts are numbered as they grow: equal numbers, equal contexts.
    number = np.zeros(n + len(held_out_targets), np.int64)
    p = np.full(len(held_out_targets), 1.0 / vocabulary)
    losses = np.empty(len(contexts) + 1)
    for level in range(len(contexts) + 1):
        if level:
            columns = np.concatenate([contexts[level - 1], held_out[level - 1]])
            for column in columns.T:
                number = np.unique(number * vocabulary + column, return_inverse=True)[1]
        n_contexts = int(number.max()) + 1
        counts = _pair_counts(number[:n], targets, n_contexts, vocabulary)
        total, kinds = counts.sum(axis=1), np.count_nonzero(counts, axis=1)
        behind = number[n:]
        share = kinds[behind] / np.maximum(total[behind] + kinds[behind], 1)
        own = counts[behind, held_out_targets] / np.maximum(total[behind] + kinds[behind], 1)
        p = np.where(total[behind] > 0, own + share * p, p)
        losses[level] = -float(np.mean(np.log(p)))
    return losses
