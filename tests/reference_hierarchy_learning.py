"""Slow and obvious versions of the learners of hierarchies, string by string and count by count."""

from __future__ import annotations

import math
from collections import Counter

__all__ = ["classes_of_rows", "label_errors", "last_token_losses"]


def log_likelihood(row):
    """Of a row: one list of counts for every position."""
    result = 0.0
    for counts in row:
        total = sum(counts)
        result += sum(n * math.log(n) for n in counts if n)
        result -= total * math.log(total) if total else 0.0
    return result


def total(row):
    return sum(map(sum, row))


def added(row, other):
    return [
        [a + b for a, b in zip(first, second, strict=True)]
        for first, second in zip(row, other, strict=True)
    ]


def most_likely(row, centres):
    """The first class under which the row is most likely, with half a count added everywhere."""
    scores = []
    for centre in centres:
        score = 0.0
        for counts, of_class in zip(row, centre, strict=True):
            everything = sum(n + 0.5 for n in of_class)
            for n, c in zip(counts, of_class, strict=True):
                score += n * math.log((c + 0.5) / everything)
        scores.append(round(score, 6))
    return scores.index(max(scores))


def classes_of_rows(rows, n_classes):
    """As `ngramstat.theories.hierarchy_learning.classes_of_rows`, on lists."""
    seen = [i for i, row in enumerate(rows) if total(row)]
    if not seen:
        return [0] * len(rows)
    by_count = sorted(seen, key=lambda i: (-total(rows[i]), i))[: 8 * n_classes]
    largest = total(rows[by_count[0]])
    frequent = [i for i in by_count if total(rows[i]) >= largest / 16]
    founders = by_count[: max(len(frequent), n_classes)]

    classes = [list(rows[i]) for i in founders]
    names = list(range(len(classes)))
    while len(classes) > n_classes:
        best = None
        for i in range(len(classes)):
            for j in range(i + 1, len(classes)):
                lost = (
                    log_likelihood(classes[i])
                    + log_likelihood(classes[j])
                    - log_likelihood(added(classes[i], classes[j]))
                )
                cost = (round(lost, 6), names[i], names[j])
                if best is None or cost < best[0]:
                    best = (cost, i, j)
        _, i, j = best
        classes[i] = added(classes[i], classes[j])
        del classes[j], names[j]
    centres = sorted(classes, key=lambda row: -total(row))

    def sums(members, assigned):
        result = [[[0] * len(counts) for counts in rows[0]] for _ in centres]
        for i, k in zip(members, assigned, strict=True):
            result[k] = added(result[k], rows[i])
        return result

    assigned = None
    for _ in range(50):
        now = [most_likely(rows[i], centres) for i in founders]
        if now == assigned:
            break
        assigned = now
        centres = sums(founders, assigned)
    centres = sums(seen, [most_likely(rows[i], centres) for i in seen])
    return [most_likely(row, centres) if total(row) else 0 for row in rows]


def tuple_classes(strings, targets, n_targets, n_classes, *, shared):
    """For every position the class of every tuple that occurs, as {tuple: class}."""
    positions = range(len(strings[0]))
    counts = Counter(
        (t, position, target)
        for string, target in zip(strings, targets, strict=True)
        for position, t in enumerate(string)
    )
    # Tuples are numbered as numbers are written, so the order of tuples is that of numbers.
    ordered = sorted({t for t, _, _ in counts})
    tables = []
    for group in [positions] if shared else [[position] for position in positions]:
        rows = [[[counts[t, j, y] for y in range(n_targets)] for j in group] for t in ordered]
        table = dict(zip(ordered, classes_of_rows(rows, n_classes), strict=True))
        tables += [table] * len(group)
    return tables


def replaced(strings, tables):
    return [
        [table.get(t, 0) for t, table in zip(string, tables, strict=True)] for string in strings
    ]


def grouped(strings, s):
    return [[tuple(string[i : i + s]) for i in range(0, len(string), s)] for string in strings]


def label_errors(train, labels, test, test_labels, v, s, *, shared):
    """Fraction of test strings of tokens whose label is not the predicted one."""
    train, test = grouped(train, s), grouped(test, s)
    while len(train[0]) > 1:
        tables = tuple_classes(train, labels, v, v, shared=shared)
        train, test = (grouped(replaced(x, tables), s) for x in (train, test))
    counts = {}
    for (root,), label in zip(train, labels, strict=True):
        counts.setdefault(root, Counter())[label] += 1

    def first_most_frequent(counter):
        return min(counter, key=lambda y: (-counter[y], y))

    fallback = first_most_frequent(Counter(labels))
    wrong = 0
    for (root,), label in zip(test, test_labels, strict=True):
        guess = first_most_frequent(counts[root]) if root in counts else fallback
        wrong += guess != label
    return wrong / len(test)


def last_token_losses(strings, test, vocabulary, s, levels):
    """(losses of the test strings by levels of context, levels chosen)."""
    counted = [x for i, x in enumerate(strings) if i % 8 != 7]
    tuning = [x for i, x in enumerate(strings) if i % 8 == 7]
    targets = [x[-1] for x in counted]
    learned = []  # for every level and sibling block: the tables of its levels

    def symbol(string, level, block, tables):
        size = s**level
        start = len(string) - size * s + block * size
        part = [string[start : start + size]]
        for table in tables:
            part = replaced(grouped(part, s), table)
        return part[0][0] if len(part[0]) == 1 else None

    for level in range(levels):
        for block in range(s - 1):
            size = s**level
            parts = [x[len(x) - size * s + block * size :][:size] for x in counted]
            tables = []
            for _ in range(level):
                parts = grouped(parts, s)
                table = tuple_classes(parts, targets, vocabulary, vocabulary, shared=False)
                parts = replaced(parts, table)
                tables.append(table)
            learned.append((level, block, tables))

    def context(string, used):
        return tuple(symbol(string, k, b, t) for k, b, t in learned if k < used)

    behind = [Counter() for _ in range(levels + 1)]
    for x in counted:
        for used in range(levels + 1):
            behind[used][context(x, used), x[-1]] += 1

    def probability(string, used):
        shorter = 1 / vocabulary if used == 0 else probability(string, used - 1)
        own = context(string, used)
        counts = [behind[used][own, y] for y in range(vocabulary)]
        total, kinds = sum(counts), sum(n > 0 for n in counts)
        if total == 0:
            return shorter
        return (counts[string[-1]] + kinds * shorter) / (total + kinds)

    def mean_losses(sample):
        return [-sum(math.log(probability(x, used)) for x in sample) / len(sample)
                for used in range(levels + 1)]  # fmt: skip

    tuned = mean_losses(tuning)
    return mean_losses(test), tuned.index(min(tuned))
