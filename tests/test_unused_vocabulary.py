"""Vocabulary items that do not occur: they change nothing, and cost next to nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ngramstat
from designs import design_of
from ngramstat.covariance import occurring as occurring_module
from ngramstat.covariance.measurement import measure_lags
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.kernels.mixing import TokenTree
from ngramstat.kernels.tokens import token_ranges
from ngramstat.ngram_models.mixture import trees as trees_module
from ngramstat.ngram_models.mixture.decisions import Decisions
from ngramstat.ngram_models.mixture.token_tree import bisection_tree, with_unseen
from ngramstat.ngram_models.mixture.tuning_slice import Piece
from ngramstat.stages.codec import to_arrays
from test_covariance_measurement import zipf

USED, VOCAB = 260, 3000


def corpora(seed: int = 0) -> tuple[ngramstat.Corpus, ngramstat.Corpus, np.ndarray]:
    """The same documents over the items that occur, and over a vocabulary of which most do not."""
    tokens = zipf(USED, 20_000, seed=seed).astype(np.uint16)
    tokens[:USED] = np.arange(USED)
    tokens[499::500] = 7
    ids = np.sort(np.random.default_rng(seed).choice(VOCAB, USED, replace=False))
    ends = np.arange(500, 20_001, 500)
    dense = ngramstat.Corpus.from_arrays(tokens, vocab_size=USED, document_ends=ends, separator=7)
    sparse = ngramstat.Corpus.from_arrays(
        ids[tokens].astype(np.uint32), vocab_size=VOCAB, document_ends=ends, separator=int(ids[7])
    )
    return dense, sparse, ids


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("more", [{}, {"vocab_top": 50}, {"sequential": False}])
def test_covariances_are_those_of_the_items_that_occur(boundary, more):
    dense, sparse, ids = corpora()
    options = CorrelationOptions(lags=(1, 3), boundary=boundary, replicates=9, **more)
    for a, b in zip(
        measure_lags(design_of(dense, boundary=boundary), options, [1, 3]),
        measure_lags(design_of(sparse, boundary=boundary), options, [1, 3]),
        strict=True,
    ):
        assert ids[a.left.types].tolist() == b.left.types.tolist()
        assert ids[a.right.types].tolist() == b.right.types.tolist()
        ours, theirs = (
            to_arrays(dataclasses.replace(m, left=b.left, right=b.right)) for m in (a, b)
        )
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_numbering_does_not_change_the_covariances(monkeypatch):
    _, sparse, _ = corpora()
    options = CorrelationOptions(lags=(1, 3), replicates=9)
    renumbered = list(measure_lags(design_of(sparse), options, [1, 3]))
    monkeypatch.setattr(occurring_module, "mostly_unused", lambda *_: False)
    plain = list(measure_lags(design_of(sparse), options, [1, 3]))
    for a, b in zip(renumbered, plain, strict=True):
        assert a.norm == pytest.approx(b.norm, rel=1e-9)
        assert a.norm_sequential == pytest.approx(b.norm_sequential, rel=1e-6)
        assert a.frobenius == pytest.approx(b.frobenius, rel=1e-12)
        assert a.noise_floor == pytest.approx(b.noise_floor, rel=0.01)
        assert a.left.types[0].tolist() == b.left.types[0].tolist()
        np.testing.assert_allclose(a.replicates, b.replicates, rtol=1e-5)


def test_a_separator_that_never_occurs():
    tokens = np.tile(np.array([1, 5, 9], np.uint16), 400)
    ends = np.arange(40, 1201, 40)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=1000, separator=3, document_ends=ends)
    result = ngramstat.correlations(corpus, lags=[1, 2], replicates=0, threads=1)
    compact = ngramstat.Corpus.from_arrays(tokens // 4, vocab_size=3, document_ends=ends)
    expected = ngramstat.correlations(compact, lags=[1, 2], replicates=0, threads=1)
    assert result.norm.tolist() == expected.norm.tolist()
    # Three items: nothing fills the rest of the table of heaviest ones.
    assert set(result.left_types.ravel().tolist()) == {1, 5, 9, -1}


def leaves_in_order(tree: TokenTree) -> None:
    """Checks that the splits describe a binary tree with every leaf once."""
    found = []

    def walk(first: int, end: int, node: int) -> int:
        if end - first == 1:
            found.append(first)
            return node
        at = int(tree.split[node])
        assert first < at < end
        return walk(at, end, walk(first, at, node + 1))

    assert walk(0, len(tree.leaf_of), 0) == len(tree.split)
    assert found == sorted(tree.leaf_of.tolist()) == list(range(len(tree.leaf_of)))


def test_trees_gain_what_does_not_occur():
    rng = np.random.default_rng(0)
    for _ in range(50):
        k = int(rng.integers(1, 12))
        size = k + int(rng.integers(1, 30))
        seen = np.sort(rng.choice(size, k, replace=False))
        few = bisection_tree(rng.standard_normal((k + 1, 3)), rng.random(k + 1))
        tree = with_unseen(few, seen, size)
        leaves_in_order(tree)
        order = np.argsort(tree.leaf_of[seen])
        assert order.tolist() == np.argsort(few.leaf_of[:-1]).tolist()


def test_decisions_follow_the_tree():
    rng = np.random.default_rng(1)
    tree = bisection_tree(rng.standard_normal((40, 3)), rng.random(40))
    tokens = rng.choice(40, 25).astype(np.uint16)
    piece = Piece(tokens, np.arange(25), n_tuning=10)
    decisions = Decisions(0, piece, tree)
    path: list[tuple[int, int]] = []
    for token in tokens:
        first, end, node, depth = 0, 40, 0, 0
        while end - first > 1:
            path.append((depth, node))
            at = int(tree.split[node])
            if tree.leaf_of[token] >= at:
                node, first = node + at - first, at
            else:
                node, end = node + 1, at
            depth += 1
    states = decisions.states(threads=2)
    assert states[0].tolist() == [depth for depth, _ in path]
    assert states[1].tolist() == [node for _, node in path]


def test_ranges_of_tokens_are_as_long_as_the_budget_allows():
    rng = np.random.default_rng(2)
    for budget in (1, 2, 5, 9, 1000):
        counts = rng.integers(0, 6, 50) * (rng.random(50) < 0.6)
        ranges = token_ranges(counts, budget)
        assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
        assert ranges[-1][1] == 50
        for first, end in ranges:
            assert end - first == 1 or counts[first:end].sum() <= budget
            assert end == 50 or counts[first : end + 1].sum() > budget


def test_the_mixture_embeds_only_what_occurs(monkeypatch):
    sizes = []
    embed = trees_module.embed_tokens
    monkeypatch.setattr(
        trees_module,
        "embed_tokens",
        lambda tokens, size, *rest, **options: (
            sizes.append(size),
            embed(tokens, size, *rest, **options),
        )[1],
    )
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 50, 8000).astype(np.uint32)
    losses = {}
    for size in (50, 60, 3000, 60_000):
        corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=size)
        losses[size] = ngramstat.entropies(
            corpus, max_context=1, replicates=9, learning_sizes=1, threads=1
        ).held_out
    assert sizes == [50, 60, 50, 50]
    # What the rest of the vocabulary takes of the probability is all that changes.
    np.testing.assert_allclose(losses[3000], losses[60], atol=0.03)
    np.testing.assert_allclose(losses[60_000], losses[3000], atol=0.003)
