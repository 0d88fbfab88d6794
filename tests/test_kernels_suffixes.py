"""Suffix sorting, n-gram counts and Kneser-Ney counts against the slow reference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from ngramstat import kernels

DEPTHS = [1, 2, 7, 64]


def de_bruijn(k: int, n: int) -> list[int]:
    """Every n-gram over k symbols once (Lyndon words)."""
    word, out = [0] * (k * n), []

    def extend(t: int, p: int) -> None:
        if t > n:
            if n % p == 0:
                out.extend(word[1 : p + 1])
        else:
            word[t] = word[t - p]
            extend(t + 1, p)
            for j in range(word[t - p] + 1, k):
                word[t] = j
                extend(t + 1, t)

    extend(1, 1)
    return out


def fibonacci(n: int) -> list[int]:
    a, b = [0], [0, 1]
    while len(b) < n:
        a, b = b, b + a
    return b[:n]


ADVERSARIAL = {
    "one token": [4],
    "two": [1, 0],
    "all equal": [3] * 300,
    "periodic": [0, 1, 2] * 120,
    "long period": list(range(70)) * 5,
    "de bruijn": de_bruijn(3, 5),
    "fibonacci": fibonacci(400),
    "falling": list(range(200, 0, -1)),
    "ends only": [0] * 150 + [1] + [0] * 149,
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("tokens", ADVERSARIAL.values(), ids=ADVERSARIAL)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_suffix_array_equals_a_naive_sort(tokens, depth, backward, token_dtype, threads):
    array = np.array(tokens, dtype=token_dtype)
    suffixes, lcp = kernels.suffix_array(
        array,
        70_000 if token_dtype == np.uint32 else 256,
        depth=depth,
        backward=backward,
        threads=threads,
    )
    expected = reference.suffix_array(tokens, depth, backward=backward)
    assert (suffixes.tolist(), lcp.tolist()) == expected
    assert suffixes.dtype == np.int64


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=80),
    st.sampled_from(DEPTHS),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 3)),
    st.sampled_from([4, 300, 65_536]),
)
def test_suffix_array_on_small_alphabets(tokens, depth, backward, stop_token, vocab_size):
    suffixes, lcp = kernels.suffix_array(
        np.array(tokens, dtype=np.uint16),
        vocab_size,
        depth=depth,
        backward=backward,
        stop_token=stop_token,
        threads=2,
    )
    stop = -1 if stop_token is None else stop_token
    expected = reference.suffix_array(tokens, depth, backward=backward, stop_token=stop)
    assert (suffixes.tolist(), lcp.tolist()) == expected


@pytest.mark.parametrize("n", [10_003, 150_000])
def test_suffix_array_of_many_tokens(n, token_dtype):
    """Large enough for every branch of the sort: comparison, radix, and high bits first."""
    tokens = (np.random.default_rng(7).random(n) ** 4 * 200).astype(token_dtype)
    depth = 9
    suffixes, lcp = kernels.suffix_array(tokens, 200, depth=depth, threads=2)
    padded = np.concatenate([tokens.astype(np.int64), np.full(depth, -1)])
    columns = [padded[i : i + n] for i in range(depth)]
    expected = np.lexsort(columns[::-1])
    assert np.array_equal(suffixes, expected)
    rows = np.stack(columns, axis=1)[expected]
    same = np.cumprod((rows[1:] == rows[:-1]) & (rows[1:] >= 0), axis=1).sum(axis=1)
    assert np.array_equal(lcp[1:], same)


@pytest.mark.parametrize("depth", [0, 256])
def test_a_depth_out_of_range_is_refused(depth):
    with pytest.raises(ValueError, match="depth must lie in"):
        kernels.suffix_array(np.zeros(3, np.uint16), 1, depth=depth)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=70),
    st.integers(0, 4),
    st.sets(st.integers(1, 69), max_size=5),
    st.sampled_from([np.uint16, np.uint32]),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 200]),
)
def test_ngram_counts_equal_the_reference(tokens, context, cuts, dtype, threads, memory_limit):
    n = len(tokens)
    ends = [*sorted(c for c in cuts if c < n), n]
    counts = kernels.count_ngrams(
        np.array(tokens, dtype=dtype),
        3,
        max_context=context,
        documents=kernels.Documents(np.array(ends)),
        across=False,
        threads=threads,
        memory_limit=memory_limit,
    )
    ngrams, contexts = reference.ngram_counts(tokens, context, ends)
    assert counts.whole.targets == sum(ngrams[0].values())
    for m in range(context + 1):
        assert counts.whole.ngrams[m].tolist() == reference.counts_of_counts(ngrams[m])
        assert counts.whole.contexts[m].tolist() == reference.counts_of_counts(contexts[m])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=60),
    st.integers(0, 3),
    st.booleans(),
    st.sets(st.integers(1, 59), max_size=8),
    st.sampled_from([np.uint16, np.uint32]),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 200]),
)
def test_ngram_subsets_and_losses_equal_the_reference(
    tokens, context, across, cuts, dtype, threads, memory_limit
):
    n = len(tokens)
    unit_ends = [*sorted(c for c in cuts if c < n), n]
    ends = [n] if across else unit_ends
    quarters = [(7 * u + 1) % 4 for u in range(len(unit_ends))]
    groups = [(5 * u + 2) % 3 for u in range(len(unit_ends))]
    result = kernels.count_ngrams(
        np.array(tokens, dtype=dtype),
        3,
        max_context=context,
        documents=kernels.Documents(
            np.array(unit_ends),
            folds=np.array(quarters, np.uint8),
            n_folds=4,
            clusters=np.array(groups, np.uint32),
            n_clusters=3,
        ),
        across=across,
        threads=threads,
        memory_limit=memory_limit,
    )
    losses, targets = reference.ngram_losses(
        tokens, context, ends, unit_ends, [*groups, 2], kernels.LOSS_BITS
    )
    assert result.losses.tolist() == losses
    assert result.group_targets.tolist() == targets
    expected_parts = [
        *([q // 2 == half for q in quarters] for half in (0, 1)),
        *([q == quarter for q in quarters] for quarter in range(4)),
    ]
    for part, chosen in zip((*result.halves, *result.quarters), expected_parts, strict=True):
        ngrams, contexts = reference.subset_ngram_counts(tokens, context, ends, unit_ends, chosen)
        assert part.targets == sum(ngrams[0].values())
        for m in range(context + 1):
            assert part.ngrams[m].tolist() == reference.counts_of_counts(ngrams[m])
            assert part.contexts[m].tolist() == reference.counts_of_counts(contexts[m])


def five(counts: Counter[tuple[int, ...]]) -> list[int]:
    number = Counter(counts.values())
    return [number[1], number[2], number[3], number[4], len(counts)]


@settings(max_examples=150, deadline=None)
@given(
    training=st.lists(st.integers(0, 4), min_size=1, max_size=200),
    held_out=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    order=st.integers(1, 5),
    stop_token=st.one_of(st.none(), st.just(0)),
    first_event=st.integers(0, 1),
    dtype=st.sampled_from([np.uint16, np.uint32]),
    threads=st.sampled_from([1, 2, 7]),
    memory_limit=st.sampled_from([None, 2000]),
)
def test_kneser_ney_equals_the_reference(
    training, held_out, order, stop_token, first_event, dtype, threads, memory_limit
):
    stop = -1 if stop_token is None else stop_token
    slow = reference.KneserNey(training, 5, order, stop_token=stop, first_event=first_event)
    model = kernels.KneserNey(
        np.array(held_out, dtype=dtype),
        kernels.Documents.single(len(held_out)),
        5,
        order=order,
        stop_token=stop_token,
    )
    model.train(
        np.array(training, dtype=dtype),
        first_event=first_event,
        threads=threads,
        memory_limit=memory_limit,
    )
    raw, lower = model.counts()
    assert raw.tolist() == [five(slow.raw[m]) for m in range(1, order + 1)]
    assert lower.tolist() == [five(slow.lower[m]) for m in range(1, order)]
    losses = model.score(
        np.array(slow.raw_discounts[1:]),
        np.array(slow.lower_discounts[1:order]).reshape(-1, 3),
        threads=threads,
    )
    expected = reference.mean_losses(slow, held_out, range(len(held_out)))
    np.testing.assert_allclose(losses[0] / len(held_out), expected, rtol=1e-9)


@pytest.mark.parametrize("stop_token", [None, 0], ids=["stream", "document"])
def test_kneser_ney_probabilities_sum_to_one(stop_token):
    """Every context followed by each of the V tokens, as V held-out documents."""
    rng = np.random.default_rng(8)
    vocab_size, order = 6, 4
    training = rng.choice(vocab_size, 400, p=[0.1, 0.4, 0.2, 0.15, 0.1, 0.05]).astype(np.uint16)
    contexts = [rng.integers(0, vocab_size, 3) for _ in range(30)]
    text = np.concatenate([[*c, w] for c in contexts for w in range(vocab_size)])
    ends = np.arange(4, len(text) + 1, 4)
    documents = kernels.Documents(ends, content_starts=ends - 1, content_ends=ends)
    model = kernels.KneserNey(
        text.astype(np.uint16), documents, vocab_size, order=order, stop_token=stop_token
    )
    model.train(training)
    discounts = np.array([[0.6, 0.9, 1.3]] * order)
    losses = model.score(discounts, discounts[:-1])
    totals = np.exp(-losses).reshape(30, vocab_size, order).sum(axis=1)
    np.testing.assert_allclose(totals, 1.0, rtol=1e-12)


def test_textbook_discounts():
    """Chen and Goodman (1999): D_k = k - (k + 1) Y n_{k+1} / n_k with Y = n1 / (n1 + 2 n2)."""
    from ngramstat.entropy.kneser_ney import FALLBACK_DISCOUNTS, discounts

    # 100 / (100 + 80) = 5/9; 1 - 2 (5/9)(40/100); 2 - 3 (5/9)(20/40); 3 - 4 (5/9)(12/20)
    result, fallback = discounts(np.array([100, 40, 20, 12]))
    np.testing.assert_allclose(result, [5 / 9, 7 / 6, 5 / 3], rtol=1e-15)
    assert not fallback
    assert tuple(result) == pytest.approx(reference.modified_discounts([100, 40, 20, 12]))
    for counts in ([0, 40, 20, 12], [100, 40, 20, 0], [10, 40, 500, 1]):
        result, fallback = discounts(np.array(counts))
        assert fallback
        assert tuple(result) == FALLBACK_DISCOUNTS


def test_kneser_ney_by_hand():
    """'0 1 0 1 0 2': the unigram level counts left neighbours, not tokens.

    Left neighbours: of 0: start, 1 -> 2; of 1: 0 -> 1; of 2: 0 -> 1. With D = (.5, .5, .5) and
    V = 4: p1(3) = (3 * .5 / 4) / 4, and p(1 | 0) = (2 - .5 + 2 * .5 * p1(1)) / 3.
    """
    held_out = np.array([3, 0, 1], dtype=np.uint16)
    documents = kernels.Documents(
        np.array([2, 3]), content_starts=np.array([0, 2]), content_ends=np.array([1, 3])
    )
    model = kernels.KneserNey(held_out, documents, 4, order=2)
    model.train(np.array([0, 1, 0, 1, 0, 2], dtype=np.uint16))
    half = np.full((2, 3), 0.5)
    losses = model.score(half, half[:1])
    below = 3 * 0.5 / 4 / 4
    assert np.exp(-losses[0, 1]) == pytest.approx(below, rel=1e-14)
    p1 = (1 - 0.5) / 4 + below
    assert np.exp(-losses[1, 1]) == pytest.approx((2 - 0.5 + 2 * 0.5 * p1) / 3, rel=1e-14)
    # As the highest order, unigrams count tokens: p(3) = (3 * .5 / 6) / 4.
    assert np.exp(-losses[0, 0]) == pytest.approx(3 * 0.5 / 6 / 4, rel=1e-14)


@pytest.mark.parametrize("length", [1, 2, 5, 32])
@pytest.mark.parametrize("tokens", ADVERSARIAL.values(), ids=ADVERSARIAL)
def test_copies_equal_the_reference(tokens, length, token_dtype, threads):
    rng = np.random.default_rng(length)
    scored = [*tokens, *rng.integers(0, 3, 40).tolist(), *tokens[: len(tokens) // 2]]
    cut = sorted({*rng.integers(1, len(scored) + 1, 3).tolist(), len(scored)})
    # Passages of the scored tokens between others, so that some are found and some are not.
    training = [*rng.integers(0, 5, 30).tolist(), *scored[3:45], *rng.integers(0, 3, 60).tolist()]
    marks = kernels.mark_copies(
        np.array(scored, token_dtype),
        kernels.Documents(np.array(cut)),
        np.array(training, token_dtype),
        length=length,
        threads=threads,
    )
    assert marks.dtype == np.bool_
    assert marks.tolist() == reference.copied_positions(scored, cut, training, length)


def test_copies_are_found_across_chunks_of_the_training_stream(threads):
    rng = np.random.default_rng(0)
    training = rng.integers(0, 1000, 400_000).astype(np.uint16)
    places = [0, 65_530, 131_060, 262_100, 399_968]
    scored = np.concatenate([training[i : i + 32] for i in places])
    scored = np.concatenate([scored, rng.integers(0, 1000, 1000).astype(np.uint16)])
    ends = np.append(np.arange(32, 161, 32), len(scored))
    marks = kernels.mark_copies(
        scored, kernels.Documents(ends), training, length=32, threads=threads
    )
    assert marks[:160].all()
    assert not marks[160:].any()


def test_copies_check_their_arguments():
    tokens = np.arange(10, dtype=np.uint16)
    documents = kernels.Documents.single(10)
    with pytest.raises(TypeError, match="uint32"):
        kernels.mark_copies(tokens, documents, tokens.astype(np.uint32), length=3)
    with pytest.raises(ValueError, match="at least 1"):
        kernels.mark_copies(tokens, documents, tokens, length=0)
    with pytest.raises(ValueError, match="end where the stream ends"):
        kernels.mark_copies(tokens[:5].copy(), documents, tokens, length=3)
    nothing = np.zeros(0, np.uint16)
    assert not kernels.mark_copies(tokens, documents, nothing, length=3).any()
    assert len(kernels.mark_copies(nothing, kernels.Documents.single(0), tokens, length=3)) == 0
