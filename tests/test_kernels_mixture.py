"""Counts of contexts, their interpolation, and mixers against their slow versions."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.kernels.mixing import (
    BUCKETS,
    FALLBACK_UNIT,
    LOGIT_UNIT,
    ContextCounts,
    ContextPattern,
    Discounts,
    MixerGroup,
    MixerShape,
    TokenTree,
    Vocabulary,
    buckets_of,
    decision_states,
    logits_of,
    path_lengths,
)
from reference_mixture import Mixer as SlowMixer
from reference_mixture import Nodes, bucket, path, random_tree

PATTERNS = [((), ()), ((1,), (-1,)), ((1, 2), (-1, -1)), ((2,), (0,)), ((1, 3), (0, -1))]


def repetitive(rng: np.random.Generator, n: int, size: int, dtype: type) -> np.ndarray:
    """Tokens that repeat, so that contexts are seen several times."""
    out = rng.integers(0, size, n)
    for i in range(3, n):
        if rng.random() < 0.6:
            out[i] = (out[i - 1] * 2 + out[i - 3]) % size
    return out.astype(dtype)


class Case:
    """Training tokens, targets and a tree, with the slow counts of one pattern."""

    def __init__(self, offsets, maps, stop, dtype):
        rng = np.random.default_rng([len(offsets), 7])
        self.size = size = 11
        self.stop_token = size if stop == "beyond" else stop
        symbols = size + (stop == "beyond")
        self.training, self.tokens = (repetitive(rng, n, symbols, dtype) for n in (700, 120))
        class_maps = rng.integers(0, 3, (1, symbols)).astype(np.uint32)
        self.pattern = ContextPattern(offsets, maps, class_maps)
        self.tree = TokenTree(*random_tree(size, rng))
        self.targets = np.flatnonzero(self.tokens < size)[5::2]
        lengths = path_lengths(self.tree)[self.tokens[self.targets]]
        self.decision_offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.continuation_offset = next(k for k in range(1, 5) if k not in offsets)
        self.parent = rng.dirichlet(np.ones(size))
        # The first half of the targets is scored leave-one-out: for them the end of the training
        # tokens, from 600 on, does not count.
        self.n_leave_one_out, self.first_leave_one_out = len(self.targets) // 2, 600
        self.everything, self.without = (
            Nodes(offsets, maps, class_maps, -1 if self.stop_token is None else self.stop_token)
            for _ in range(2)
        )
        self.everything.count(self.training, 4, self.continuation_offset, size)
        self.without.count(
            self.training[: self.first_leave_one_out], 4, self.continuation_offset, size
        )

    def counts(self, max_events, threads):
        counts = ContextCounts(
            self.tokens,
            self.targets,
            vocabulary=Vocabulary(self.size, self.stop_token),
            pattern=self.pattern,
            n_leave_one_out=self.n_leave_one_out,
        )
        counts.count(
            self.training,
            first_event=4,
            first_leave_one_out=self.first_leave_one_out,
            continuation_offset=self.continuation_offset,
            max_events=max_events,
            threads=threads,
        )
        return counts

    def nodes(self, k):
        return self.without if k < self.n_leave_one_out else self.everything

    def masses(self, p, i):
        """Probabilities of the branch taken and of its sibling along the path of target i."""
        by_leaf = np.empty(self.size)
        by_leaf[self.tree.leaf_of] = p
        leaf = int(self.tree.leaf_of[self.tokens[i]])
        for a, m, b, right in path(leaf, self.tree.split, self.size):
            left_right = by_leaf[a:m].sum(), by_leaf[m:b].sum()
            yield left_right[::-1] if right else left_right

    def seen(self, followers, i):
        """Counts of the branch taken and of its sibling along the path of target i."""
        leaf_of = self.tree.leaf_of
        for a, m, b, right in path(int(leaf_of[self.tokens[i]]), self.tree.split, self.size):
            left_right = [
                sum(count for w, count in followers.items() if lo <= leaf_of[w] < hi)
                for lo, hi in ((a, m), (m, b))
            ]
            yield left_right[::-1] if right else left_right


@pytest.fixture(params=[np.uint16, np.uint32])
def case(request, stop, offsets, maps):
    return Case(offsets, maps, stop, request.param)


def fallback_of(masses) -> np.ndarray:
    """Fallback logits of probabilities of the branch taken and of its sibling."""
    taken, sibling = np.array(list(masses)).T
    return np.rint(np.log(taken / sibling) / FALLBACK_UNIT).astype(np.int16)


RUNS = [(1, 1 << 20), (3, 1 << 20), (2, 50)]


@pytest.mark.parametrize("stop", [None, 3, "beyond"])
@pytest.mark.parametrize(("offsets", "maps"), PATTERNS)
def test_counts_of_counts_against_dictionaries(case):
    nodes = case.everything
    contexts = {nodes.context(case.tokens, int(i)) for i in case.targets} - {None}
    for threads, max_events in RUNS:
        counts = case.counts(max_events, threads)
        for continuation in (False, True):
            tables = [nodes.continuation(c) if continuation else nodes.counts[c] for c in contexts]
            numbers = [sum(k == c for t in tables for k in t.values()) for c in range(1, 5)]
            assert counts.counts_of_counts(continuation=continuation).tolist() == numbers


@pytest.mark.parametrize("stop", [None, 3, "beyond"])
@pytest.mark.parametrize(("offsets", "maps"), PATTERNS)
def test_interpolation_against_distributions(case):
    raw, continuation = (0.6, 1.1, 1.4), (0.7, 1.2, 1.3)
    parent_logits = fallback_of(pair for i in case.targets for pair in case.masses(case.parent, i))
    for threads, max_events in RUNS:
        packed_logits, fallback_logits = case.counts(max_events, threads).interpolate(
            case.tree,
            case.decision_offsets,
            parent_logits,
            discounts=Discounts(raw, continuation),
            threads=threads,
        )
        logits, buckets = logits_of(packed_logits), buckets_of(packed_logits)
        e = 0
        for k, i in enumerate(case.targets):
            nodes = case.nodes(k)
            context = nodes.context(case.tokens, int(i))
            followers = nodes.counts[context] if context is not None else {}
            continued = nodes.continuation(context) if context is not None else {}
            p = nodes.distribution(context, followers, raw, case.parent)
            q = nodes.distribution(context, continued, continuation, case.parent)
            for (taken, sibling), expected_mass, counts in zip(
                case.masses(p, i), case.masses(q, i), case.seen(followers, i), strict=True
            ):
                logit = np.clip(np.log(taken / sibling), -16 + LOGIT_UNIT, 16 - LOGIT_UNIT)
                # The parent's probabilities are rounded, a little at every decision of the path.
                assert abs(logits[e] - logit) < 0.6 * LOGIT_UNIT
                assert buckets[e] == bucket(*counts, bool(followers))
                fallback = np.log(expected_mass[0] / expected_mass[1])
                assert abs(fallback_logits[e] * FALLBACK_UNIT - fallback) < 4 * FALLBACK_UNIT
                e += 1
        assert e == case.decision_offsets[-1]


@pytest.mark.parametrize("size", [300, 20])
def test_contexts_with_many_followers_and_long_paths(size, monkeypatch):
    """Sorted followers, repeated targets and paths beyond 64 decisions, against the sums."""
    rng = np.random.default_rng(6)
    chain = TokenTree(rng.permutation(size).astype(np.uint32), np.arange(1, size, dtype=np.uint32))
    balanced = TokenTree(*random_tree(size, rng))
    training = rng.integers(0, size, 3000).astype(np.uint16)
    training[1::2] //= 64  # few tokens have many followers
    targets = np.arange(100, 400)
    raw, continuation = (0.6, 1.1, 1.4), (0.7, 1.2, 1.3)
    discounts = Discounts(raw, continuation)
    nodes = Nodes((1,), (-1,), np.zeros((0, size)), -1)
    nodes.count(training, 0, 2, size)
    for tree in (chain, balanced):
        lengths = path_lengths(tree)[training[targets]]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

        def run(pattern, parent, tree=tree, offsets=offsets):
            counts = ContextCounts(
                training,
                targets,
                vocabulary=Vocabulary(size),
                pattern=ContextPattern(*pattern, np.zeros((0, size), np.uint32)),
            )
            counts.count(training, continuation_offset=2 if pattern[0] else 1)
            return counts.interpolate(tree, offsets, parent, discounts=discounts, threads=2)

        packed_logits, fallback = run(((1,), (-1,)), None)
        uniform = np.full(size, 1 / size)
        for k, i in enumerate(targets[:60]):
            context = nodes.context(training, int(i))
            p = nodes.distribution(context, nodes.counts[context], raw, uniform)
            by_leaf = np.empty(size)
            by_leaf[tree.leaf_of] = p
            leaf = int(tree.leaf_of[training[i]])
            for e, (a, m, b, right) in enumerate(path(leaf, tree.split, size), int(offsets[k])):
                odds = by_leaf[m:b].sum() / by_leaf[a:m].sum()
                logit = np.clip(np.log(odds if right else 1 / odds), -15.98, 15.98)
                assert abs(logits_of(packed_logits[e : e + 1])[0] - logit) < 0.6 * LOGIT_UNIT
        monkeypatch.setenv("NGRAMSTAT_SIMD", "scalar")
        again = run(((1,), (-1,)), None)
        monkeypatch.delenv("NGRAMSTAT_SIMD")
        assert np.array_equal(again[0], packed_logits)
        assert np.array_equal(again[1], fallback)


def test_long_patterns_are_hashed_and_count_the_same():
    rng = np.random.default_rng(0)
    size = 70_000  # five tokens of 17 bits do not fit a key
    words = rng.integers(0, size, 9).astype(np.uint32)
    training, tokens = words[rng.integers(0, 9, 4000)], words[rng.integers(0, 9, 60)]
    pattern = ContextPattern((1, 2, 3, 4), (-1,) * 4, np.zeros((0, size), np.uint32))
    targets = np.arange(4, 60)
    fast = ContextCounts(tokens, targets, vocabulary=Vocabulary(size), pattern=pattern)
    fast.count(training)
    slow = Nodes(pattern.offsets, pattern.maps, pattern.class_maps, -1)
    slow.count(training, 0, 0, size)
    contexts = {slow.context(tokens, int(i)) for i in targets}
    counts = [k for c in contexts for k in slow.counts[c].values()]
    assert fast.counts_of_counts().tolist() == [counts.count(c) for c in range(1, 5)]


@pytest.mark.parametrize("size", [200, 40_000])  # of 40,000, an event takes 32 bits
@pytest.mark.parametrize("offsets", [(), (1,)])
def test_frequent_contexts_are_counted_in_parts_and_passes(size, offsets):
    rng = np.random.default_rng(1)
    words = rng.integers(0, size, 30).astype(np.uint16)
    training, tokens = (words[rng.integers(0, 30, n) ** 2 // 30] for n in (40_000, 50))
    pattern = ContextPattern(offsets, (-1,) * len(offsets), np.zeros((0, size), np.uint32))
    targets = np.arange(4, 50)
    slow = Nodes(offsets, pattern.maps, pattern.class_maps, -1)
    contexts = {slow.context(tokens, int(i)) for i in targets}
    raw, continued = {}, {}
    for i in range(4, len(training)):
        context = tuple(int(training[i - k]) for k in offsets)
        if context in contexts:
            key = context, int(training[i])
            raw[key] = raw.get(key, 0) + 1
            continued.setdefault(key, set()).add(int(training[i - 2]))
    for max_events, threads in [(1 << 20, 2), (2000, 1), (2000, 3)]:
        fast = ContextCounts(tokens, targets, vocabulary=Vocabulary(size), pattern=pattern)
        known = fast.count(
            training,
            first_event=4,
            continuation_offset=2,
            max_events=max_events,
            threads=threads,
        )
        assert np.bitwise_count(known).sum() == sum(raw.values())
        for continuation, counts in [
            (False, [*raw.values()]),
            (True, map(len, continued.values())),
        ]:
            numbers = np.bincount([*counts], minlength=5)[1:5]
            assert fast.counts_of_counts(continuation=continuation).tolist() == numbers.tolist()


def test_known_events_of_a_shorter_context_are_candidates_of_a_longer_one():
    rng = np.random.default_rng(2)
    size = 20
    training, tokens = (repetitive(rng, n, size, np.uint16) for n in (3000, 40))
    no_maps = np.zeros((0, size), np.uint32)

    def counts(offsets, **options):
        pattern = ContextPattern(offsets, (-1,) * len(offsets), no_maps)
        fast = ContextCounts(
            tokens, np.arange(3, 40), vocabulary=Vocabulary(size, 7), pattern=pattern
        )
        known = fast.count(training, **options)
        return fast.counts_of_counts().tolist(), known

    _, known = counts((1,), continuation_offset=2)
    slow = Nodes((1,), (-1,), no_maps, 7)
    contexts = {slow.context(tokens, i) for i in range(3, 40)} - {None}
    expected = [slow.context(training, i) in contexts for i in range(len(training))]
    bits = np.unpackbits(known.view(np.uint8), bitorder="little")[: len(training)]
    assert bits.tolist() == expected
    assert counts((1, 2), candidates=known)[0] == counts((1, 2))[0]
    with pytest.raises(ValueError, match="candidates"):
        counts((1, 2), candidates=known[:-1])


@pytest.mark.parametrize(
    ("leaf_of", "split"),
    [([0, 1, 1], [1, 2]), ([0, 1, 2], [1]), ([0, 1, 2], [3, 2]), ([0, 1, 2], [1, 1]), ([], [])],
)
def test_arrays_that_are_no_tree_are_refused(leaf_of, split):
    tree = TokenTree(np.array(leaf_of, np.uint32), np.array(split, np.uint32))
    with pytest.raises(ValueError, match=r"tree|leaf_of|split|token"):
        path_lengths(tree)


def test_arguments_that_do_not_fit_are_refused():
    tree = TokenTree(np.arange(4, dtype=np.uint32), np.array([1, 2, 3], np.uint32))
    smaller = TokenTree(tree.leaf_of[:3], tree.split[:2])
    no_maps = np.zeros((0, 4), np.uint32)
    tokens = np.array([0, 1, 2, 3], np.uint16)

    def counts(offsets=(1,), maps=(-1,), class_maps=no_maps, n_leave_one_out=0):
        return ContextCounts(
            tokens,
            np.array([2]),
            vocabulary=Vocabulary(4),
            pattern=ContextPattern(offsets, maps, class_maps),
            n_leave_one_out=n_leave_one_out,
        )

    with pytest.raises(ValueError, match="offsets"):
        counts(offsets=(17,))
    with pytest.raises(ValueError, match="class map"):
        counts(maps=(0,))
    with pytest.raises(ValueError, match="class_maps"):
        counts(class_maps=np.zeros((1, 5), np.uint32))
    with pytest.raises(ValueError, match="n_leave_one_out"):
        counts(n_leave_one_out=2)
    with pytest.raises(IndexError, match="token 9 at position 1"):
        counts().count(np.array([1, 9], np.uint16))
    with pytest.raises(ValueError, match="parent"):
        MixerGroup([0], [1.0], [], [], [MixerShape(1, 0, 0)])
    with pytest.raises(ValueError, match="group lacks"):
        MixerGroup([-1], [1.0], [], [], [MixerShape(1, 0, 1)])

    def interpolate(along, offsets, parent_logits=None):
        discounts = Discounts((0.5, 1.0, 1.5))
        counts().interpolate(along, np.array(offsets), parent_logits, discounts=discounts)

    with pytest.raises(ValueError, match="tree must be one of the vocabulary"):
        interpolate(smaller, [0, 2])
    with pytest.raises(ValueError, match="one decision offset"):
        interpolate(tree, [0, 2, 3])
    with pytest.raises(ValueError, match="parent_logits"):
        interpolate(tree, [0, 3], np.zeros(2, np.int16))
    with pytest.raises(ValueError, match="follow the paths"):
        interpolate(tree, [0, 2])


def packed(logits: np.ndarray, buckets: np.ndarray) -> np.ndarray:
    """Packed logits of integer multiples of LOGIT_UNIT."""
    return (logits * BUCKETS + buckets).astype(np.int16).view(np.uint16)


SHAPES = [MixerShape(1, 1, 0), MixerShape(3, 2, 1), MixerShape(3, 3, 2), MixerShape(19, 2, 2)]


def mixing_case(rng: np.random.Generator, decisions: int, inputs: int):
    """Arguments of a group of mixers, and logits, buckets and states of decisions."""
    logits = rng.integers(-300, 300, (inputs, decisions))
    buckets = rng.integers(0, BUCKETS, (inputs, decisions))
    states = np.stack([rng.integers(0, size, decisions) for size in (5, 2000)]).astype(np.uint16)
    parents = [-1, *(int(rng.integers(-1, i)) for i in range(1, inputs))]
    initial = [1.0, *rng.integers(0, 2, inputs - 1).astype(float)]
    return (parents, initial, [0, 2, 1], [5, 2000]), logits, buckets, states


def test_mixers_against_loops():
    rng = np.random.default_rng(3)
    decisions = 400
    arguments, logits, buckets, states = mixing_case(rng, decisions, 19)
    packed_logits = packed(logits, buckets)
    assert np.array_equal(logits_of(packed_logits), logits * LOGIT_UNIT)
    assert np.array_equal(buckets_of(packed_logits), buckets)
    logits = logits * LOGIT_UNIT
    fast = MixerGroup(*arguments, SHAPES)
    slow = [SlowMixer(*arguments, s.n_inputs, s.n_chain, s.n_selectors) for s in SHAPES]
    rates = [0.02, 0.01, 0.03, 0.02]
    offsets = np.array([0, 0, *range(5, decisions + 1, 5)])
    for _ in range(2):
        losses = fast.train(packed_logits, states, 7, 300, rates)
        expected = [
            m.train(logits, buckets, states, 7, 300, r) for m, r in zip(slow, rates, strict=True)
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)
        np.testing.assert_allclose(
            fast.score(packed_logits, states, offsets),
            [m.score(logits, buckets, states, offsets) for m in slow],
            rtol=1e-4,
            atol=1e-5,
        )
    again = MixerGroup(*arguments, SHAPES)
    for k in range(len(SHAPES)):
        again.set_weights(k, fast.weights(k))
    scored = fast.score(packed_logits, states, offsets)
    assert np.array_equal(again.score(packed_logits, states, offsets), scored)
    with pytest.raises(ValueError, match="other sizes"):
        again.set_weights(0, [w[:-1] for w in fast.weights(0)])
    with pytest.raises(ValueError, match="ascend"):
        fast.score(packed_logits, states, np.array([0, 300, 8]))
    with pytest.raises(ValueError, match="packed_logits"):
        fast.score(packed_logits[:3], states, offsets)
    with pytest.raises(ValueError, match="state"):
        fast.score(packed_logits, states + np.uint16(5), offsets)


@pytest.mark.parametrize("simd", ["avx2", "avx512"])
def test_mixers_are_bit_identical_over_instruction_sets(monkeypatch, simd):
    rng = np.random.default_rng(4)
    arguments, logits, buckets, states = mixing_case(rng, 1000, 35)
    packed_logits = packed(logits, buckets)

    def run() -> tuple[np.ndarray, np.ndarray]:
        group = MixerGroup(*arguments, [*SHAPES, MixerShape(35, 3, 2)])
        losses = group.train(packed_logits, states, 3, 800, [0.02] * 5)
        return losses, group.score(packed_logits, states, np.arange(0, 1001, 7))

    monkeypatch.setenv("NGRAMSTAT_SIMD", "scalar")
    losses, scored = run()
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        losses_again, scored_again = run()
    except ValueError as error:
        pytest.skip(str(error))
    assert np.array_equal(losses_again, losses)
    assert np.array_equal(scored_again, scored)


def test_a_mixer_does_not_depend_on_its_group():
    rng = np.random.default_rng(5)
    (parents, initial, chain, sizes), logits, buckets, states = mixing_case(rng, 500, 19)
    packed_logits = packed(logits, buckets)

    def run(shapes: list[MixerShape], inputs: int) -> np.ndarray:
        group = MixerGroup(parents[:inputs], initial[:inputs], chain, sizes, shapes)
        group.train(packed_logits[:inputs], states, 0, 400, [0.02] * len(shapes))
        return group.score(packed_logits[:inputs], states, np.arange(0, 501, 10))

    together = run(SHAPES, 19)
    for k, shape in enumerate(SHAPES):
        assert np.array_equal(run([shape], max(shape.n_inputs, 3))[0], together[k])


def test_an_untrained_mixer_is_its_chain():
    logits = np.array([[64, -64, 1000, -1000], [128, 0, 1000, -1000]])
    packed_logits = packed(logits, np.zeros((2, 4), int))
    group = MixerGroup([-1, 0], [1.0, 1.0], [], [], [MixerShape(2, 0, 0)])
    losses = group.score(packed_logits, np.zeros((0, 4), np.uint16), np.arange(5))[0]
    np.testing.assert_allclose(losses, np.log1p(np.exp(-logits[1] * LOGIT_UNIT)), rtol=2e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_states_of_decisions_are_bounded(threads):
    rng = np.random.default_rng(5)
    tree = TokenTree(*random_tree(50, rng))
    tokens = rng.integers(0, 50, 40_000)
    offsets = np.concatenate([[0], np.cumsum(path_lengths(tree)[tokens], dtype=np.int64)])
    states = decision_states(tree, tokens, offsets, max_depth=3, max_nodes=7, threads=threads)
    nodes = {}
    for token in range(50):
        node, first, end, nodes[token] = 0, 0, 50, []
        while end - first > 1:
            nodes[token].append(node)
            split = int(tree.split[node])
            right = tree.leaf_of[token] >= split
            node = node + split - first if right else node + 1
            first, end = (split, end) if right else (first, split)
    assert states[0].tolist() == [min(d, 2) for t in tokens for d in range(len(nodes[t]))]
    assert states[1].tolist() == [node % 7 for t in tokens for node in nodes[t]]


def test_states_of_decisions_that_cannot_be():
    tree = TokenTree(np.array([1, 0], np.uint32), np.array([1], np.uint32))
    states = {"max_depth": 4, "max_nodes": 4}
    with pytest.raises(IndexError, match="a token is not in the tree"):
        decision_states(tree, np.array([2]), np.array([0, 1]), **states)
    with pytest.raises(ValueError, match="offsets must follow the paths"):
        decision_states(tree, np.array([1]), np.array([0, 2]), **states)
