"""Node estimates and mixers against their slow versions."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.kernels.mixing import (
    BUCKETS,
    LOGIT_UNIT,
    ContextCounts,
    Mixer,
    buckets_of,
    logits_of,
    path_lengths,
)
from reference_mixture import Mixer as SlowMixer
from reference_mixture import Nodes, bucket, path, random_tree

PATTERNS = [((), ()), ((1,), (-1,)), ((1, 2), (-1, -1)), ((2,), (0,)), ((1, 3), (0, -1))]


def text_of(rng: np.random.Generator, n: int, size: int, dtype: type) -> np.ndarray:
    """Tokens that repeat themselves, so that contexts are seen several times."""
    out = rng.integers(0, size, n)
    for i in range(3, n):
        if rng.random() < 0.6:
            out[i] = (out[i - 1] * 2 + out[i - 3]) % size
    return out.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("stop", [None, 3, "beyond"])
@pytest.mark.parametrize(("offsets", "maps"), PATTERNS)
def test_nodes_against_dictionaries(offsets, maps, stop, dtype):
    rng = np.random.default_rng([len(offsets), 7])
    size = 11
    stop_token = size if stop == "beyond" else stop
    symbols = size + (stop == "beyond")
    training, text = (text_of(rng, n, symbols, dtype) for n in (700, 120))
    class_maps = rng.integers(0, 3, (1, symbols)).astype(np.uint32)
    leaf_of, split = random_tree(size, rng)
    targets = np.flatnonzero(text < size)[5::2]
    lengths = path_lengths(leaf_of, split)[text[targets]]
    decision_offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    neighbour = next(k for k in range(1, 5) if k not in offsets)
    parent = rng.dirichlet(np.ones(size))
    raw, below = (0.6, 1.1, 1.4), (0.7, 1.2, 1.3)
    # Targets from the first half of the text are held in: the end of the training text, from 600
    # on, is taken off for them.
    leave_one_out, first_leave_one_out = len(targets) // 2, 600

    whole, outside = (
        Nodes(offsets, maps, class_maps, -1 if stop_token is None else stop_token) for _ in range(2)
    )
    whole.count(training, 4, neighbour, size)
    outside.count(training[:first_leave_one_out], 4, neighbour, size)
    wanted = {whole.context(text, int(i)) for i in targets} - {None}

    def masses(p: np.ndarray, i: int):
        by_leaf = np.empty(size)
        by_leaf[leaf_of] = p
        for a, m, b, right in path(int(leaf_of[text[i]]), split, size):
            left_right = by_leaf[a:m].sum(), by_leaf[m:b].sum()
            yield left_right[::-1] if right else left_right

    parent_mass = np.array([x for i in targets for x in masses(parent, i)], np.float32)
    for threads, most in ((1, 1 << 20), (3, 1 << 20), (2, 50)):
        counts = ContextCounts(
            text, targets, vocab_size=size, offsets=offsets, maps=maps, class_maps=class_maps,
            stop_token=stop_token, leave_one_out=leave_one_out,
        )  # fmt: skip
        counts.count(
            training, first_event=4, first_leave_one_out=first_leave_one_out, neighbour=neighbour,
            most_events=most, threads=threads,
        )  # fmt: skip
        for lower in (False, True):
            tables = [whole.lower(c) if lower else whole.counts[c] for c in wanted]
            numbers = [sum(k == c for t in tables for k in t.values()) for c in range(1, 5)]
            assert counts.counts_of_counts(lower=lower).tolist() == numbers
        packed_logits, mass = counts.evaluate(
            leaf_of, split, decision_offsets, parent_mass, raw=raw, lower=below, threads=threads
        )
        e = 0
        for k, i in enumerate(targets):
            slow = outside if k < leave_one_out else whole
            c = slow.context(text, int(i))
            seen = slow.counts[c] if c is not None else {}
            p = slow.distribution(c, seen, raw, parent)
            continued = slow.lower(c) if c is not None else {}
            q = list(masses(slow.distribution(c, continued, below, parent), i))
            leaf = int(leaf_of[text[i]])
            for (taken, other), lower_mass, (a, m, b, right) in zip(
                masses(p, i), q, path(leaf, split, size), strict=True
            ):
                log_odds = np.clip(np.log(taken / other), -16 + LOGIT_UNIT, 16 - LOGIT_UNIT)
                assert abs(logits_of(packed_logits)[e] - log_odds) < 0.51 * LOGIT_UNIT
                inside = [
                    sum(k for w, k in seen.items() if lo <= leaf_of[w] < hi)
                    for lo, hi in ((a, m), (m, b))
                ]
                if right:
                    inside.reverse()
                assert buckets_of(packed_logits)[e] == bucket(*inside, bool(seen))
                np.testing.assert_allclose(mass[e], lower_mass, rtol=1e-5)
                e += 1
        assert e == decision_offsets[-1]


def test_long_patterns_are_hashed_and_count_the_same():
    rng = np.random.default_rng(0)
    size = 70_000  # five tokens of 17 bits do not fit a key
    words = rng.integers(0, size, 9).astype(np.uint32)
    training, text = words[rng.integers(0, 9, 4000)], words[rng.integers(0, 9, 60)]
    offsets = (1, 2, 3, 4)
    targets = np.arange(4, 60)
    fast = ContextCounts(
        text, targets, vocab_size=size, offsets=offsets, maps=(-1,) * 4,
        class_maps=np.zeros((0, size), np.uint32),
    )  # fmt: skip
    fast.count(training)
    slow = Nodes(offsets, (-1,) * 4, np.zeros((0, size)), -1)
    slow.count(training, 0, 0, size)
    wanted = {slow.context(text, int(i)) for i in targets}
    counts = [k for c in wanted for k in slow.counts[c].values()]
    assert fast.counts_of_counts().tolist() == [counts.count(c) for c in range(1, 5)]


@pytest.mark.parametrize(
    ("leaf_of", "split"),
    [([0, 1, 1], [1, 2]), ([0, 1, 2], [1]), ([0, 1, 2], [3, 2]), ([0, 1, 2], [1, 1]), ([], [])],
)
def test_no_tree(leaf_of, split):
    with pytest.raises(ValueError, match=r"tree|leaf_of|split|token"):
        path_lengths(np.array(leaf_of, np.uint32), np.array(split, np.uint32))


def test_what_does_not_fit_is_refused():
    leaf_of, split = np.arange(4, dtype=np.uint32), np.array([1, 2, 3], np.uint32)
    maps = np.zeros((0, 4), np.uint32)
    text = np.array([0, 1, 2, 3], np.uint16)

    def counts(**changes):
        options = {"vocab_size": 4, "offsets": (1,), "maps": (-1,), "class_maps": maps} | changes
        return ContextCounts(text, np.array([2]), **options)

    with pytest.raises(ValueError, match="offsets"):
        counts(offsets=(17,))
    with pytest.raises(ValueError, match="class map"):
        counts(maps=(0,))
    with pytest.raises(ValueError, match="leave_one_out"):
        counts(leave_one_out=2)
    with pytest.raises(IndexError, match="token 9 at position 1"):
        counts().count(np.array([1, 9], np.uint16))
    with pytest.raises(ValueError, match="parent"):
        Mixer([0], [0], [1.0], [])
    raw = (0.5, 1.0, 1.5)
    with pytest.raises(ValueError, match="tree must be one of the vocabulary"):
        counts().evaluate(leaf_of[:3], split[:2], np.array([0, 2]), None, raw=raw)
    with pytest.raises(ValueError, match="one turn offset"):
        counts().evaluate(leaf_of, split, np.array([0, 2, 3]), None, raw=raw)
    with pytest.raises(ValueError, match="parent_mass"):
        counts().evaluate(leaf_of, split, np.array([0, 3]), np.zeros((2, 2), np.float32), raw=raw)


def packed(stretch: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """PackedLogits of whole numbers of LOGIT_UNIT."""
    return (stretch * BUCKETS + buckets).astype(np.int16).view(np.uint16)


def test_mixer_against_loops():
    rng = np.random.default_rng(3)
    decisions, rows = 400, [0, 2, 3]
    stretch = rng.integers(-300, 300, (4, decisions))
    buckets = rng.integers(0, BUCKETS, (4, decisions))
    packed_logits = packed(stretch, buckets)
    assert np.array_equal(logits_of(packed_logits), stretch * LOGIT_UNIT)
    assert np.array_equal(buckets_of(packed_logits), buckets)
    stretch = stretch * LOGIT_UNIT
    states = np.stack([rng.integers(0, 5, decisions), rng.integers(0, 9, decisions)]).astype(
        np.uint16
    )
    arguments = (rows, [-1, 0, 1], [1.0, 1.0, 0.0], [5, 9])
    fast, slow = Mixer(*arguments), SlowMixer(*arguments)
    offsets = np.arange(0, decisions + 1, 8)
    for _ in range(2):
        found = fast.train(packed_logits, states, 0, 300, 0.02)
        assert found == pytest.approx(slow.train(stretch, buckets, states, 0, 300, 0.02), rel=1e-4)
        np.testing.assert_allclose(
            fast.score(packed_logits, states, offsets),
            slow.score(stretch, buckets, states, offsets),
            rtol=1e-3,
        )
    with pytest.raises(ValueError, match="ascend"):
        fast.score(packed_logits, states, np.array([0, 300, 8]))
    with pytest.raises(ValueError, match="no such pattern"):
        fast.score(packed_logits[:3], states, offsets)
    with pytest.raises(ValueError, match="state"):
        fast.score(packed_logits, states + np.uint16(5), offsets)


@pytest.mark.parametrize("simd", ["scalar", "avx2"])
def test_mixers_are_bit_identical_over_instruction_sets(monkeypatch, simd):
    rng = np.random.default_rng(4)
    decisions, inputs = 1000, 13
    packed_logits = packed(
        rng.integers(-300, 300, (inputs, decisions)), rng.integers(0, BUCKETS, (inputs, decisions))
    )
    states = rng.integers(0, 9, (2, decisions)).astype(np.uint16)

    def run() -> tuple[float, np.ndarray]:
        mixer = Mixer(list(range(inputs)), [-1, *range(inputs - 1)], [1.0] * inputs, [9, 9])
        loss = mixer.train(packed_logits, states, 3, 800, 0.02)
        return loss, mixer.score(packed_logits, states, np.arange(0, decisions + 1, 7))

    monkeypatch.setenv("NGRAMSTAT_SIMD", "scalar")
    loss, scored = run()
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        again, scored_again = run()
    except ValueError as error:
        pytest.skip(str(error))
    assert again == loss
    assert np.array_equal(scored_again, scored)


def test_an_untrained_mixer_is_its_chain():
    stretch = np.array([[64, -64], [128, 0]])
    packed_logits = packed(stretch, np.zeros((2, 2), int))
    states = np.zeros((0, 2), np.uint16)
    found = Mixer([0, 1], [-1, 0], [1.0, 1.0], []).score(packed_logits, states, np.arange(3))
    np.testing.assert_allclose(found, np.log1p(np.exp(-stretch[1] * LOGIT_UNIT)), rtol=1e-6)
