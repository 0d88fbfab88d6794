"""Learning curves on nested subsets, and how their limits join the bracket."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ngramstat
from designs import design_of, split_of
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import HeldOutLosses, held_out_losses
from ngramstat.entropy.learning_curves import (
    LearningPoint,
    nested_subsets,
    pooled_curve,
    subset_losses,
)
from ngramstat.errors import InputError
from ngramstat.report.learning import plot_learning
from ngramstat.runtime.workspace import Workspace
from ngramstat.synthetic import SantaFe
from test_covariance_measurement import zipf


@pytest.fixture
def split():
    tokens = zipf(200, 60_000, seed=3)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=200, document_ends=np.arange(100, 60_001, 100)
    )
    return split_of(design_of(corpus), 0.1)


def test_subsets_are_nested_and_replicates_apart(split):
    result = list(nested_subsets(split, sizes=5, seed=1))
    training = set(range(len(split.training)))
    by = {(s.halvings, s.replicate): set(s.parts.tolist()) for s in result}
    assert set(by) == {(h, r) for h in range(1, 5) for r in range((2, 2, 4, 4)[h - 1])}
    for (h, r), documents in by.items():
        assert documents <= training
        assert len(documents) == pytest.approx(len(training) / 2**h, abs=1)
        count = (1, 2, 2, 4, 4)[h]
        for other in range(count):
            if other != r:
                assert not documents & by[h, other]
        if h > 1 and (1, 2, 2, 4, 4)[h - 1] == count:
            assert documents <= by[h - 1, r]


def test_a_point_is_the_model_of_its_subset(split):
    subset = next(iter(nested_subsets(split, sizes=2, seed=1)))
    point = subset_losses(split, subset, max_context=2, boundary=Boundary.STREAM)
    alone = held_out_losses(
        dataclasses.replace(split, training=split.training.select(subset.parts)),
        max_context=2,
        boundary=Boundary.STREAM,
        workspace=Workspace(2),
    )
    assert point.tokens == alone.training_tokens == 100 * len(subset.parts)
    assert np.array_equal(point.losses, alone.losses.sum(axis=0) / alone.tokens.sum())


def test_small_corpora_have_fewer_sizes(split):
    assert not list(nested_subsets(split, sizes=1, seed=0))
    sizes = {s.halvings for s in nested_subsets(split, sizes=12, seed=0)}
    assert sizes == {1, 2, 3, 4}  # the next would have less than 2,000 tokens


def test_errors_are_pooled_over_sizes():
    rng = np.random.default_rng(0)
    spread = 3.0
    points = [
        LearningPoint(
            h,
            int(1e6 / 2**h),
            2 + spread * np.sqrt(2**h / 1e6) * rng.standard_normal(3),
            np.zeros(3),
        )
        for h in range(1, 7)
        for _ in range(60)
    ]
    whole = HeldOutLosses(
        losses=np.full((2, 3), 20.0), tokens=np.array([10, 10]),
        losses_at_starts=np.zeros((2, 3)), tokens_at_starts=np.zeros(2, int),
        copied=np.zeros(2, int), copy_tokens=32, training_tokens=1_000_000, discounts=(),
    )  # fmt: skip
    curve = pooled_curve(whole, points)
    assert curve.tokens.tolist() == [int(1e6 / 2**h) for h in range(6, -1, -1)]
    assert curve.replicates.tolist() == [60] * 6 + [1]
    assert curve.errors is not None
    expected = spread / np.sqrt(curve.tokens * curve.replicates)
    np.testing.assert_allclose(curve.errors, np.repeat(expected[:, None], 3, axis=1), rtol=0.15)
    assert pooled_curve(whole, []).errors is None


def test_limits_stand_beside_the_bracket():
    corpus = SantaFe(0.9, 3.0, kinds=200, document_length=500).corpus(300_000, seed=2)
    result = ngramstat.entropies(corpus, max_context=2, replicates=99, held_out=0.05)
    curve = result.learning_curve
    assert curve is not None
    assert len(curve.tokens) == 7
    assert np.array_equal(curve.held_out[-1], result.held_out_kneser_ney)
    assert np.all(np.diff(curve.tokens) > 0)
    assert result.mixture_used is not None
    assert not result.mixture_used[0]
    axes = plot_learning(result)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "context 0",
        "context 1",
        "context 2",
    ]
    with pytest.raises(InputError, match="learning curve"):
        plot_learning(dataclasses.replace(result, learning_curve=None))
    known = np.isfinite(result.limit)
    assert known.any()
    assert (result.limit_low[known] <= result.limit[known]).all()
    assert (result.limit[known] <= result.limit_high[known]).all()
    without = ngramstat.entropies(
        corpus, max_context=2, replicates=99, held_out=0.05, learning_sizes=1
    )
    assert not np.isfinite(without.limit).any()
    for name in ("low", "estimate", "high", "resolved"):
        assert np.array_equal(getattr(result, name), getattr(without, name))
