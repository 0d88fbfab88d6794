"""Learning curves on nested subsets, and how their limits join the bracket."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ngramstat
from designs import design_of, split_of
from ngramstat._core import rss_bytes
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import HeldOutLosses, held_out_model, scored_losses
from ngramstat.entropy.learning_curves import (
    LearningPoint,
    circle_order,
    nested_subsets,
    pooled_curve,
    subset_losses,
)
from ngramstat.errors import InputError
from ngramstat.ngram_models.split_streams import split_streams
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
    result = nested_subsets(split, sizes=5, seed=1)
    circle = circle_order(split, seed=1).tolist()
    assert sorted(circle) == list(range(len(split.training)))
    training = set(range(len(split.training)))
    by = {(s.halvings, s.replicate): set(circle[s.first : s.last]) for s in result}
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


@pytest.mark.parametrize("separator", [None, 0], ids=["ends", "separator"])
@pytest.mark.parametrize("boundary", list(Boundary))
def test_points_are_the_models_of_their_subsets(boundary, separator):
    """A subset is a range of the circle's stream; with `document` that is its documents alone."""
    tokens = zipf(200, 60_000, seed=3)
    tokens[tokens == 0] = 1
    ends = np.arange(100, 60_001, 100)
    if separator is not None:
        tokens[ends - 1] = separator
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=200, document_ends=ends, separator=separator
    )
    split = split_of(design_of(corpus), 0.1)
    subsets = nested_subsets(split, sizes=5, seed=1)
    points = list(subset_losses(split, subsets, seed=1, max_context=2, boundary=boundary))
    circle = circle_order(split, seed=1)
    for subset, point in zip(subsets, points, strict=True):
        chosen = circle[subset.first : subset.last]
        before = circle[subset.first - 1 : subset.first] if boundary.across else chosen[:0]
        alone = dataclasses.replace(
            split, training=split.training.select(np.concatenate([before, chosen]))
        )
        with split_streams(alone, boundary=boundary, max_context=2) as streams:
            model = held_out_model(streams, 2)
            first_event = 100 * len(before) + streams.first_event
            model.train(streams.training, first_event=first_event)
            expected = scored_losses(model, 0, streams, training_tokens=0, threads=1)
        assert point.halvings == subset.halvings
        assert point.tokens == 100 * len(chosen)
        assert np.array_equal(point.losses, expected.losses.sum(axis=0) / expected.tokens.sum())
        assert np.array_equal(point.full_context, expected.full_context_loss)


@pytest.mark.parametrize("boundary", list(Boundary))
def test_points_depend_on_nothing_else(split, boundary):
    """Neither on threads and memory nor on which of the others are computed with them."""
    subsets = nested_subsets(split, sizes=5, seed=1)

    def points(chosen, **options):
        workspace = Workspace(**options)
        return list(
            subset_losses(
                split, chosen, seed=1, max_context=3, boundary=boundary, workspace=workspace
            )
        )

    expected = points(subsets)
    one_at_a_time = rss_bytes() + (3 << 20)
    for options in ({"threads": 3}, {"memory_limit": one_at_a_time}):
        for one, other in zip(points(subsets, **options), expected, strict=True):
            assert np.array_equal(one.losses, other.losses)
    for every in (slice(1, None, 2), slice(2, 7)):
        for one, other in zip(points(subsets[every]), expected[every], strict=True):
            assert np.array_equal(one.losses, other.losses)
            assert one.tokens == other.tokens


def test_small_corpora_have_fewer_sizes(split):
    assert not nested_subsets(split, sizes=1, seed=0)
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
