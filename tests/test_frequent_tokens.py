"""N-grams of a token too frequent for one step are counted by the tokens before it."""

from __future__ import annotations

import numpy as np
import pytest

import ngramstat
from designs import design_of
from ngramstat.kernels import Documents, KneserNey, count_ngrams, suffixes
from ngramstat.kernels.suffixes import CutNgram, Cuts, Steps, SuffixRange, suffix_cost

V, N = 50, 20_000


def frequent_tokens(kind: str) -> np.ndarray:
    """Tokens of which 60 % are token 7, at random or in long runs, or which repeat themselves."""
    rng = np.random.default_rng(5)
    if kind == "random":
        tokens = rng.integers(0, V, N)
        tokens[rng.random(N) < 0.6] = 7
    elif kind == "runs":
        lengths = rng.geometric(1 / 300, N)
        tokens = np.concatenate([np.r_[np.full(n, 7), rng.integers(0, V, 200)] for n in lengths])
    else:
        tokens = np.tile([7, 7, 1, 7, 2], N)
    return tokens[:N].astype(np.uint16)


@pytest.fixture(params=["random", "runs", "periodic"])
def tokens(request, monkeypatch):
    monkeypatch.setattr(suffixes, "LEAST_STEP", 100)
    return frequent_tokens(request.param)


# Bytes for 2,000 positions: a sixth of the most frequent token fits.
def limit_of(depth: int, *, counting_ngrams: bool) -> int:
    cost = suffix_cost(N, V, depth, counting_ngrams=counting_ngrams)
    return 2_000 * (cost.entry_bytes + cost.block_bytes)


def test_no_step_is_larger_than_the_memory_and_all_positions_are_in_one(tokens):
    depth, stop = 5, 3
    cost = suffix_cost(N, V, depth)
    steps = Steps(tokens, V, 2, limit_of(depth, counting_ngrams=False), cost)
    counted = np.zeros(N, np.int64)
    for step in steps.cut(Cuts(depth, stop)):
        if isinstance(step, CutNgram):
            # What no range holds: n-grams of all tokens, those that nothing can precede, and those
            # at the beginning of the stream.
            if len(step.tokens) == depth or (len(step.tokens) > 1 and step.tokens[-1] == stop):
                counted += occurs(tokens, step.tokens)
            else:
                counted[len(step.tokens) - 1] += step.before[0]
            continue
        assert isinstance(step, SuffixRange)
        assert step.size <= 2_000
        inside = np.zeros(N, np.int64)
        for token in range(step.first, step.last):
            inside += occurs(tokens, (*step.prefix, token))
        assert inside.sum() == step.size
        counted += inside
    assert np.array_equal(counted, np.ones(N, np.int64))


def occurs(tokens: np.ndarray, ngram: tuple[int, ...]) -> np.ndarray:
    """Where the n-gram, last token first, ends."""
    ends = np.ones(N, np.int64)
    for back, token in enumerate(ngram):
        shifted = np.full(N, -1, np.int64)
        shifted[back:] = tokens[: N - back]
        ends &= shifted == token
    return ends


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("max_context", [0, 1, 4])
def test_counts_of_ngrams_do_not_depend_on_the_cuts(tokens, across, max_context):
    ends = np.arange(500, N + 1, 500)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=V, document_ends=ends)
    documents = design_of(corpus).documents
    whole = count_ngrams(
        tokens, V, max_context=max_context, documents=documents, across=across, threads=2
    )
    limit = limit_of(max_context + 1, counting_ngrams=True)
    cut = count_ngrams(
        tokens, V, max_context=max_context, documents=documents, across=across, threads=2,
        memory_limit=limit,
    )  # fmt: skip
    for expected, found in zip(
        (whole.whole, *whole.halves, *whole.quarters),
        (cut.whole, *cut.halves, *cut.quarters),
        strict=True,
    ):
        assert found.targets == expected.targets
        for tables in ("ngrams", "contexts"):
            for one, other in zip(getattr(found, tables), getattr(expected, tables), strict=True):
                assert np.array_equal(one, other)
    assert np.array_equal(cut.losses, whole.losses)
    assert np.array_equal(cut.group_targets, whole.group_targets)


@pytest.mark.parametrize("stop_token", [None, 7, 3, V])
def test_kneser_ney_models_do_not_depend_on_the_cuts(tokens, stop_token):
    training, held_out, order = tokens.copy(), tokens[:2000].copy(), 4
    if stop_token == V:  # a separator that is no event
        training[::37] = V
    documents = Documents.single(len(held_out))
    found = []
    for limit in (None, limit_of(order, counting_ngrams=False)):
        model = KneserNey(held_out, documents, V, order=order, stop_token=stop_token)
        model.train(training, first_event=11, threads=2, memory_limit=limit)
        raw, continuation = np.full((order, 3), 0.7), np.full((order - 1, 3), 0.6)
        found.append((*model.counts(), model.score(raw, continuation, threads=2)))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
