"""Nulls of C(t) (shuffling, position), restricted vocabularies, and the largest usable lag."""

from __future__ import annotations

import numpy as np
import pytest

import ngramstat
from designs import design_of
from ngramstat.boundary import Boundary
from ngramstat.covariance.lag_limits import crossing_limit, sequential_limit
from ngramstat.covariance.measurement import most_frequent
from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.options import default_lags
from ngramstat.covariance.position import PositionPairs, position_norm
from ngramstat.covariance.shuffling import SHUFFLED_LAGS, shuffled_inside_documents
from ngramstat.synthetic import BroadcastTree, MarkovChain
from test_covariance_measurement import zipf


def documents_of(lengths, v=6, seed=0):
    """Tokens with topics, a drift over position and a copy of the token before."""
    rng = np.random.default_rng(seed)
    pieces = []
    for length in lengths:
        p = rng.dirichlet(np.ones(v))
        tokens = rng.choice(v, length, p=p)
        tokens[: length // 4] = rng.choice(2, length // 4)
        again = rng.random(length) < 0.3
        tokens[1:][again[1:]] = tokens[:-1][again[1:]]
        pieces.append(tokens)
    return ngramstat.Corpus.from_arrays(
        np.concatenate(pieces).astype(np.uint16),
        vocab_size=v,
        document_ends=np.cumsum(lengths),
    )


def test_permutation_floor_equals_brute_force():
    """The mean ratio of the shuffled norm to the noise edge, drawn at some lags, times the edge."""
    lengths = np.random.default_rng(1).integers(5, 60, 40)
    corpus, lag = documents_of(lengths), 4
    result = ngramstat.correlations(corpus, lags=[lag], replicates=9, seed=3)
    design = design_of(corpus, boundary="stream", seed=3)
    shuffled = shuffled_inside_documents(design)

    def joint_and_mean(tokens, lag):
        joint, mean = np.zeros((6, 6)), np.zeros((6, 6))
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            document = tokens[end - length : end]
            original = corpus.tokens[end - length : end]
            np.testing.assert_array_equal(np.sort(document), np.sort(original))
            for i in range(length - lag):
                joint[document[i], document[i + lag]] += 1
            if length > lag:
                c = np.bincount(original, minlength=6)
                mean += (length - lag) / (length * (length - 1)) * (np.outer(c, c) - np.diag(c))
        return joint, mean

    def edge(joint):
        p, q = (joint.sum(axis=axis) / joint.sum() for axis in (1, 0))
        return noise_edge(p, q) / np.sqrt(joint.sum())

    ratios = []
    for drawn in SHUFFLED_LAGS:
        joint, mean = joint_and_mean(shuffled, drawn)
        ratios.append(np.linalg.norm((joint - mean) / joint.sum(), 2) / edge(joint))
    expected = np.mean(ratios) * edge(joint_and_mean(corpus.tokens, lag)[0])
    assert result.permutation_floor[0] == pytest.approx(expected, rel=1e-9)


def test_shuffled_documents_keep_their_separators_and_the_seed_decides():
    tokens = np.array([1, 2, 3, 4, 0] * 30, dtype=np.uint16)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=5, document_ends=np.arange(5, 151, 5), separator=0
    )
    design = design_of(corpus, boundary="document", seed=0)
    shuffled = shuffled_inside_documents(design)
    assert (shuffled[4::5] == 0).all()
    assert not np.array_equal(shuffled, tokens)
    np.testing.assert_array_equal(shuffled, shuffled_inside_documents(design))
    other = design_of(corpus, boundary="document", seed=1)
    assert not np.array_equal(shuffled, shuffled_inside_documents(other))
    np.testing.assert_array_equal(corpus.tokens, tokens)


def test_the_sequential_norm_without_sequence_is_the_permutation_floor():
    rng = np.random.default_rng(5)
    topics = rng.dirichlet(np.full(300, 0.3), 8)
    documents = [rng.choice(300, 500, p=topics[rng.integers(8)]) for _ in range(200)]
    corpus = ngramstat.Corpus.from_arrays(
        np.concatenate(documents).astype(np.uint16),
        vocab_size=300,
        document_ends=np.arange(1, 201) * 500,
    )
    result = ngramstat.correlations(corpus, lags=[1, 4, 16], boundary="document", replicates=99)
    np.testing.assert_allclose(result.norm_sequential, result.permutation_floor, rtol=0.15)
    assert not result.valid_sequential.any()
    assert result.valid.all()  # composition is not noise


def test_position_norm_equals_brute_force():
    lengths = np.random.default_rng(2).integers(3, 90, 60)
    corpus, lag = documents_of(lengths, seed=4), 2
    design = design_of(corpus, boundary="stream", seed=0)
    edges = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    left, right = np.zeros((2, 8, 6)), np.zeros((2, 8, 6))
    for end, length, half in zip(np.cumsum(lengths), lengths, design.documents.halves, strict=True):
        document = corpus.tokens[end - length : end]
        for i in range(length - lag):
            b = int(np.searchsorted(edges, i, side="right")) - 1
            left[half, b, document[i]] += 1
            right[half, b, document[i + lag]] += 1
    pairs = left.sum(axis=2)
    assert (pairs > 0).all()
    weights = pairs.sum(axis=0) / pairs.sum()
    p, q = left / pairs[..., None], right / pairs[..., None]

    def covariance(h, g):
        mean_p, mean_q = weights @ p[h], weights @ q[g]
        return sum(
            w * np.outer(a - mean_p, b - mean_q)
            for w, a, b in zip(weights, p[h], q[g], strict=True)
        )

    one, other = covariance(0, 1), covariance(1, 0)
    norm, floor = position_norm(PositionPairs.of(design, lag))
    assert norm == pytest.approx(np.linalg.norm(one + other, 2) / 2, rel=1e-9)
    assert floor == pytest.approx(np.linalg.norm(one - other, 2) / 2, rel=1e-9)
    # The planted drift: the first quarter of a document has different tokens.
    assert norm > 3 * floor


def test_stationary_documents_have_no_position_covariance():
    chain = MarkovChain.random(20, concentration=0.3, rules_seed=1, document_length=300)
    corpus = chain.corpus(300_000, seed=1)
    result = ngramstat.correlations(corpus, lags=[1, 8], boundary="document", replicates=9)
    assert (result.position_norm < 3 * result.position_floor).all()
    assert (result.position_norm < 0.1 * result.analytic_floor).all()


def test_a_restricted_vocabulary_gives_a_principal_submatrix():
    corpus = documents_of(np.full(200, 100), v=12, seed=6)
    options = {"lags": [1, 5], "boundary": "document", "replicates": 99}
    full = ngramstat.correlations(corpus, **options)
    cut = ngramstat.correlations(corpus, vocab_top=5, **options)
    vocab_mask = most_frequent(corpus, 5)
    counts = np.bincount(corpus.tokens, minlength=12)
    assert counts[vocab_mask].min() >= counts[~vocab_mask].max()
    documents = corpus.tokens.reshape(200, 100)
    for k, lag in enumerate(options["lags"]):
        joint = np.zeros((12, 12))
        np.add.at(joint, (documents[:, :-lag].ravel(), documents[:, lag:].ravel()), 1)
        joint /= joint.sum()
        c = joint - np.outer(joint.sum(axis=1), joint.sum(axis=0))
        assert cut.norm[k] == pytest.approx(
            np.linalg.norm(c[np.ix_(vocab_mask, vocab_mask)], 2), rel=1e-9
        )
        assert cut.vocab_cut.full_norm[k] == pytest.approx(np.linalg.norm(c, 2), rel=1e-6)
    np.testing.assert_allclose(cut.norm + cut.vocab_cut.bound, full.norm, rtol=1e-6)
    assert cut.vocab_cut.top == 5
    assert cut.vocab_cut.dropped_mass == pytest.approx(counts[~vocab_mask].sum() / 20_000)
    # The singular vectors of the halves are restricted, too.
    np.testing.assert_allclose(cut.norm_crossfit, cut.norm, rtol=0.02)
    np.testing.assert_allclose(cut.norm_debiased, cut.norm, rtol=0.02)
    assert full.vocab_cut is None
    assert ngramstat.results.CorrelationResult.from_dict(cut.to_dict()) == cut
    # Restricting to the whole vocabulary changes nothing.
    everything = ngramstat.correlations(corpus, vocab_top=12, **options)
    np.testing.assert_allclose(everything.norm_debiased, full.norm_debiased, rtol=1e-9)
    np.testing.assert_allclose(everything.vocab_cut.bound, 0, atol=1e-12)


def test_of_equally_frequent_tokens_the_smaller_ids_are_kept():
    tokens = np.array([3, 3, 1, 1, 0, 2, 2, 4], dtype=np.uint16)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=5)
    assert np.flatnonzero(most_frequent(corpus, 2)).tolist() == [1, 2]
    with pytest.raises(ngramstat.InputError, match="vocab_top=0"):
        ngramstat.correlations(corpus, lags=[1], vocab_top=0)


def test_crossing_pairs_end_the_window_of_the_stream():
    lags = np.array([1, 2, 4, 8, 16])
    fraction = np.array([0.01, 0.02, 0.1, 0.3, 0.2])
    limit = crossing_limit(lags, fraction)
    assert limit is not None
    assert limit[0] == 4
    assert "25 %" in limit[1]
    assert crossing_limit(lags, fraction / 2) is None
    # Short documents of one tree each: lags beyond a quarter of them are not fitted.
    corpus = BroadcastTree.with_beta(0.9, 8, 2, 6).corpus(300_000, seed=1)
    result = ngramstat.correlations(corpus, lags=[1, 2, 3, 4, 6, 8, 11, 16, 23, 32], replicates=99)
    assert result.crossing_share[7] == pytest.approx(0.25, abs=0.01)
    assert result.beta.window[1] <= 16
    # The interval is that of the replicates that other exponents are combined with.
    low, high = np.nanquantile(result.bootstrap.beta, [0.025, 0.975])
    tolerance = 0.1 * (high - low)
    assert result.beta.low == pytest.approx(low, abs=tolerance)
    assert result.beta.high == pytest.approx(high, abs=tolerance)
    assert "cross document ends" in result.beta.method


@pytest.mark.parametrize(("beta", "length"), [(0.9, 1000), (0.5, 4000), (1.5, 300)])
def test_sequential_limit_leaves_norms_that_are_short_by_about_a_quarter(beta, length):
    """C = t^-beta minus its mean over the pairs of a document, as removing composition gives."""
    t = np.arange(1, length)
    fraction = 2 * (length - t) / (length * (length - 1.0))
    removed = fraction @ t**-beta
    lags = np.array([1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256])
    norm = np.abs(lags**-beta - removed)
    limit = sequential_limit(lags, norm, np.full(50, length))
    assert limit is not None
    short = removed / lags**-beta
    assert short[lags <= limit[0]].max() < 0.35  # the mean is estimated from the measured lags only
    assert short[lags > limit[0]].min() > 0.15


def test_sequential_limit_of_short_memory_and_of_short_documents():
    lags = 2 ** np.arange(8)
    fast = np.where(lags < 16, np.exp(-lags / 2.0), np.nan)
    assert sequential_limit(lags, fast, np.full(10, 10**6))[0] == 8
    assert sequential_limit(lags, 0.5 ** lags.astype(float), np.full(10, 10**9))[0] <= 32
    long = sequential_limit(lags, lags**-1.0, np.full(10, 10**7))
    assert long is None
    short = sequential_limit(lags, lags**-3.0, np.full(10, 100))
    assert short[0] <= 25
    assert sequential_limit(lags, lags**-1.0, np.array([1, 1])) is None


def test_cross_fit_and_plug_in_bracket_the_truth_at_few_tokens():
    """Vocabulary of 64, 100 000 tokens: noise as large as the norm at the last lag."""
    world = BroadcastTree.with_beta(0.9, 64, 2, 10)
    lags = [1, 2, 4, 8]
    exact = world.norms(lags, "document")
    plug_in, crossfit, covered = [], [], []
    for seed in range(12):
        result = ngramstat.correlations(
            world.corpus(100_000, seed=seed), lags=lags, boundary="document", replicates=199,
            seed=seed, singular_values=1, threads=1,
        )  # fmt: skip
        plug_in.append(result.norm)
        crossfit.append(result.norm_crossfit)
        inside = (result.norm_low <= exact) & (exact <= result.norm_high)
        covered += inside[np.isfinite(result.norm_debiased)].tolist()
    assert (np.mean(plug_in, axis=0) > exact).all()
    assert (np.mean(crossfit, axis=0) < exact).all()
    assert np.mean(plug_in, axis=0)[-1] > 1.2 * exact[-1]
    assert np.mean(crossfit, axis=0)[-1] < 0.95 * exact[-1]
    assert np.mean(covered) >= 0.85


def test_nulls_are_bit_identical_over_threads_and_memory(threads, any_limit):
    corpus = ngramstat.Corpus.from_arrays(
        zipf(400, 30_000, seed=7), vocab_size=400, document_ends=np.arange(1000, 30_001, 1000)
    )
    options = {"lags": [1, 5], "replicates": 9, "vocab_top": 300}
    result = ngramstat.correlations(corpus, **options, threads=threads, memory_limit=200_000)
    assert result.to_dict() == ngramstat.correlations(corpus, **options, threads=1).to_dict()
    alone = ngramstat.correlations(corpus, **{**options, "lags": [5]}, threads=1)
    assert alone.permutation_floor[0] == result.permutation_floor[1]
    assert alone.position_norm[0] == result.position_norm[1]


def test_default_lags_have_pairs_inside_short_documents():
    """Three tokens and their separator: lag 3 reaches the separator alone, which is in no pair."""
    tokens = np.tile(np.array([1, 2, 3, 0], np.uint16), 500)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=4, document_ends=np.arange(4, 2001, 4), separator=0
    )
    assert default_lags(corpus, Boundary.DOCUMENT) == (1, 2)
    result = ngramstat.correlations(corpus, boundary="document", replicates=0)
    assert result.lags.tolist() == [1, 2]
