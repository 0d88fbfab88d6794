"""N-grams listed from sorted suffixes, against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest

import reference
from ngramstat import kernels
from ngramstat.kernels import Documents, NgramFacts, NgramSweep

ALL = NgramFacts(followers=True, predecessors=True, documents=True)


def random_stream(rng):
    """(tokens, vocabulary, document ends, content): small, with all the edges."""
    vocab_size = int(rng.choice([1, 2, 3, 5, 65_536, 262_144]))
    dtype = np.uint32 if vocab_size > 65_536 or rng.random() < 0.5 else np.uint16
    n = int(rng.integers(1, 60))
    few = rng.integers(0, vocab_size, min(vocab_size, 4))
    few[0] = vocab_size - 1
    tokens = rng.choice(few, n).astype(dtype)
    if rng.random() < 0.3:  # a passage that is repeated
        tokens = np.concatenate([tokens, tokens[: n // 2], tokens])
    n = len(tokens)
    ends = np.unique(np.append(rng.integers(1, n + 1, rng.integers(0, 6)), n)).astype(np.int64)
    starts = np.append(0, ends[:-1])
    separator = few[0]
    content_ends = ends - (tokens[ends - 1] == separator)
    content_starts = starts + ((tokens[starts] == separator) & (starts < content_ends))
    return tokens, vocab_size, ends, list(zip(content_starts, content_ends, strict=True))


def listed(tokens, vocab_size, orders, **options):
    """What a sweep lists, as dictionaries by order."""
    rows = {order: {} for order in orders}
    for step in NgramSweep(tokens, vocab_size, orders=orders, **options):
        for order, table in zip(orders, step, strict=True):
            assert table.tokens.dtype == tokens.dtype
            assert table.tokens.shape == (len(table.counts), order)
            extras = [table.followers, table.predecessors, table.documents]
            columns = [table.counts, *(x for x in extras if x is not None)]
            for gram, *values in zip(table.tokens.tolist(), *columns, strict=True):
                assert tuple(gram) not in rows[order]
                rows[order][tuple(gram)] = tuple(map(int, values))
    return rows


def units_of(units, ends, content, n):
    if units == "stream":
        return [(0, n)]
    return content if units == "content" else reference.documents(list(ends))


@pytest.mark.parametrize("seed", range(8))
def test_listed_ngrams_equal_dictionaries(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        tokens, vocab_size, ends, content = random_stream(rng)
        orders = sorted(set(rng.choice([1, 2, 3, 4, 7, 16, 40], rng.integers(1, 4)).tolist()))
        units = str(rng.choice(["stream", "documents", "content"]))
        facts = NgramFacts(*(rng.random(3) < 0.5).tolist())
        min_count = int(rng.choice([1, 1, 2, 3]))
        documents = Documents(
            ends,
            content_starts=np.array([a for a, _ in content]),
            content_ends=np.array([b for _, b in content]),
        )
        rows = listed(
            tokens,
            vocab_size,
            orders,
            min_count=min_count,
            documents=documents,
            units=units,
            facts=facts,
            threads=int(rng.integers(1, 4)),
            # One first token at a time, or all.
            memory_limit=None if rng.random() < 0.5 else 1,
        )
        chosen = [True, facts.followers, facts.predecessors, facts.documents]
        for order in orders:
            table = reference.ngram_table(
                tokens.tolist(), order, units_of(units, ends, content, len(tokens)),
                list(ends), min_count,
            )  # fmt: skip
            expected = {
                gram: tuple(v for v, c in zip(values, chosen, strict=True) if c)
                for gram, values in table.items()
            }
            assert list(rows[order].items()) == list(expected.items()), (units, order, facts)


@pytest.mark.parametrize("facts", [NgramFacts(), ALL], ids=["counts", "all"])
def test_a_larger_stream_in_steps(facts, token_dtype, threads):
    """Blocks beyond a leaf of the sort, several steps, deep orders: NumPy counts the same."""
    rng = np.random.default_rng(3)
    tokens = (rng.random(20_000) ** 6 * 50).astype(token_dtype)
    for order in (2, 12):
        windows = np.lib.stride_tricks.sliding_window_view(tokens, order)
        expected, counts = np.unique(windows, axis=0, return_counts=True)
        sweep = NgramSweep(
            tokens, 50, orders=[order], min_count=2, facts=facts, threads=threads,
            memory_limit=1 << 16,
        )  # fmt: skip
        steps = [step[0] for step in sweep]
        assert len(steps) > 2
        assert np.array_equal(np.concatenate([s.tokens for s in steps]), expected[counts >= 2])
        assert np.array_equal(np.concatenate([s.counts for s in steps]), counts[counts >= 2])
        if facts.followers:
            longer = np.unique(np.lib.stride_tricks.sliding_window_view(tokens, order + 1), axis=0)
            gram, n_next = np.unique(longer[:, :-1], axis=0, return_counts=True)
            found = {tuple(g): n for g, n in zip(gram.tolist(), n_next.tolist(), strict=True)}
            grams = np.concatenate([s.tokens for s in steps]).tolist()
            followers = np.concatenate([s.followers for s in steps]).tolist()
            assert [found[tuple(g)] for g in grams] == followers


def test_the_longest_ngrams():
    tokens = np.tile(np.arange(3, dtype=np.uint16), 200)
    for order, facts in ((kernels.MAX_NGRAM, NgramFacts()), (kernels.MAX_NGRAM - 1, ALL)):
        rows = listed(tokens, 3, [order], min_count=2, facts=facts)[order]
        assert len(rows) == 3
        assert sum(values[0] for values in rows.values()) == len(tokens) - order + 1
    with pytest.raises(ValueError, match="at most 254"):
        listed(tokens, 3, [kernels.MAX_NGRAM], facts=ALL)


@pytest.mark.parametrize("orders", [[], [0], [2, 2], [3, 1], [256]])
def test_orders_that_are_refused(orders):
    with pytest.raises(ValueError, match="order"):
        NgramSweep(np.zeros(4, np.uint16), 1, orders=orders)


def test_bad_streams_are_refused():
    with pytest.raises(IndexError, match="token 7 at position 2"):
        list(NgramSweep(np.array([0, 1, 7], np.uint16), 7, orders=[2]))
    with pytest.raises(TypeError, match="uint16 or uint32"):
        NgramSweep(np.zeros(4, np.int64), 1, orders=[1])
    with pytest.raises(ValueError, match="document"):
        list(NgramSweep(np.zeros(4, np.uint16), 1, orders=[1], documents=Documents.single(3)))


def test_the_threshold_may_rise_between_steps():
    tokens = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2], np.uint16)
    sweep = NgramSweep(tokens, 3, orders=[1], memory_limit=1)
    found = []
    for (table,) in sweep:
        found += table.counts.tolist()
        sweep.min_count = max(sweep.min_count, max(found, default=0))
    assert found == [3, 4]
