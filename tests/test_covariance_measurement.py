"""C(t) of corpora whose covariances are known, and its numerics against SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.linalg import LinearOperator, svds

import ngramstat
import reference
from designs import design_of
from ngramstat import kernels
from ngramstat.boundary import Boundary
from ngramstat.covariance.measurement import measure_lags
from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.operators import Composition, PairStatistics
from ngramstat.covariance.options import CorrelationOptions, default_lags
from ngramstat.kernels import Documents
from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.sampling.design import SamplingDesign
from ngramstat.synthetic import MarkovChain

# docs/theory.md 12.4: a chain with eigenvalues below one, so C(t) falls exponentially.
MARKOV = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
MARKOV_NORMS = {1: 0.2485190559, 2: 0.1566574239, 4: 0.0617373578, 8: 0.0090345126}


def markov_chain(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cumulative = np.cumsum(MARKOV, axis=1)
    draws = rng.random(n)
    tokens = np.empty(n, np.uint16)
    state = 0
    for i in range(n):
        state = int(np.searchsorted(cumulative[state], draws[i]))
        tokens[i] = min(state, 2)
    return tokens


def zipf(vocab_size: int, n: int, seed: int, shift: float = 2.7) -> np.ndarray:
    p = 1.0 / (np.arange(vocab_size) + 1 + shift)
    rng = np.random.default_rng(seed)
    return rng.choice(vocab_size, n, p=p / p.sum()).astype(np.uint16)


def spans_of(ends: list[int], seed: int = 0) -> Documents:
    array = np.array(ends)
    halves = np.random.default_rng(seed).integers(0, 2, len(ends)).astype(np.uint8)
    return Documents(array, folds=halves)


def dense_joint(counts: kernels.PairCounts, channels: slice = slice(None)) -> np.ndarray:
    out = np.zeros(counts.within.shape)
    for matrix in (counts.within, counts.across):
        rows, columns, numbers = matrix.to_coo()
        np.add.at(out, (rows, columns), numbers[channels].sum(axis=0).astype(np.float64))
    return out


def test_markov_norms_equal_the_theory():
    corpus = ngramstat.Corpus.from_arrays(markov_chain(400_000, seed=1), vocab_size=3)
    result = ngramstat.correlations(corpus, lags=list(MARKOV_NORMS), replicates=199)
    # The standard error of an entry is about sqrt(p_max / P) ~ 1e-3, inflated by the correlation
    # time of the chain (about 3 tokens).
    for norm, expected in zip(result.norm, MARKOV_NORMS.values(), strict=True):
        assert norm == pytest.approx(expected, abs=4e-3)
    assert result.documents_are_blocks
    inside = (result.norm_low <= list(MARKOV_NORMS.values())) & (
        result.norm_high >= list(MARKOV_NORMS.values())
    )
    assert inside[:3].all()


@pytest.mark.parametrize("vocab_size", [7, 150, 1000], ids=lambda v: f"V={v}")
def test_operators_equal_dense_matrices(vocab_size):
    tokens = zipf(vocab_size, 20_011, seed=2)
    spans = spans_of([3000, 9000, 12_345, 20_011], seed=1)
    (counts,) = kernels.count_pairs(tokens, vocab_size, spans, [3])
    statistics = PairStatistics(counts, across=True, threads=2)
    x = np.random.default_rng(0).standard_normal((vocab_size, kernels.BLOCK_SIZE))
    halves = [reference.covariance(dense_joint(counts, slice(h, h + 1))) for h in (0, 1)]
    for operator, matrix in (
        (statistics.covariance(), reference.covariance(dense_joint(counts))),
        (statistics.covariance(0), halves[0]),
        (statistics.covariance(1), halves[1]),
        (statistics.half_difference(), (halves[0] - halves[1]) / 2),
    ):
        np.testing.assert_allclose(operator.multiply(x), matrix @ x, atol=1e-13)
        np.testing.assert_allclose(operator.multiply_transposed(x), matrix.T @ x, atol=1e-13)
        expected = np.linalg.svd(matrix, compute_uv=False)
        result = leading_singular_triplets(operator, 3, tolerance=1e-9)
        np.testing.assert_allclose(result.values, expected[:3], rtol=1e-9)
        assert result.residual <= 1e-8 * expected[0]
    full = reference.covariance(dense_joint(counts))
    assert statistics.frobenius() == pytest.approx(np.linalg.norm(full), rel=1e-9)


def test_the_last_half_step_of_a_search_counts():
    """Triplets of a search that stopped early: exact from the left, with a bound for the rest."""
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((400, 260)) @ np.diag(0.97 ** np.arange(260))

    class Dense:
        shape = matrix.shape

        def multiply(self, x):
            return matrix @ x

        def multiply_transposed(self, x):
            return matrix.T @ x

    true = np.linalg.svd(matrix, compute_uv=False)
    for tolerance in (0.3, 0.1, 1e-2, 1e-4):
        found = leading_singular_triplets(Dense(), 3, tolerance=tolerance, value_change=np.inf)
        np.testing.assert_allclose(matrix.T @ found.left, found.values * found.right, atol=1e-12)
        rest = matrix @ found.right[:, 0] - found.values[0] * found.left[:, 0]
        assert np.linalg.norm(rest) <= found.residual * (1 + 1e-9)
        assert np.abs(true - found.values[0]).min() <= found.residual
        assert (found.values <= true[:3] * (1 + 1e-12)).all()


@pytest.mark.parametrize("distinct", [2, 5, 30])
def test_low_rank_in_a_large_vocabulary(distinct):
    """Few vocabulary items occur: the Krylov space is exhausted after a step or two."""
    rng = np.random.default_rng(11)
    tokens = (rng.integers(0, distinct, 30_000) * 17).astype(np.uint16)
    tokens[1::2] = tokens[::2]
    (counts,) = kernels.count_pairs(tokens, 1000, spans_of([14_000, 30_000]), [1])
    statistics = PairStatistics(counts, across=True)
    expected = np.linalg.svd(reference.covariance(dense_joint(counts)), compute_uv=False)
    result = leading_singular_triplets(statistics.covariance(), 8)
    np.testing.assert_allclose(result.values, expected[:8], atol=1e-15, rtol=1e-9)
    assert result.residual < 1e-15


def test_rows_and_columns_of_the_covariance_sum_to_zero():
    tokens = zipf(50, 5000, seed=3)
    (counts,) = kernels.count_pairs(tokens, 50, spans_of([2000, 5000]), [7])
    operator = PairStatistics(counts, across=True).covariance()
    ones = np.ones((50, kernels.BLOCK_SIZE))
    np.testing.assert_allclose(operator.multiply(ones), 0, atol=1e-15)
    np.testing.assert_allclose(operator.multiply_transposed(ones), 0, atol=1e-15)


def test_composition_is_the_mean_over_shuffles_inside_documents():
    """docs/theory.md 4: against every within-document permutation, averaged by brute force."""
    rng = np.random.default_rng(4)
    tokens = rng.integers(0, 4, 60).astype(np.uint16)
    spans = spans_of([12, 20, 45, 60])
    lag = 3
    starts, lengths = spans.starts, spans.ends - spans.starts
    expected = np.zeros((4, 4))
    pairs = np.maximum(lengths - lag, 0)
    for start, length, number in zip(starts, lengths, pairs, strict=True):
        document = tokens[start : start + length]
        for i in range(length):
            for j in range(length):
                if i != j:
                    weight = number / (length * (length - 1))
                    expected[document[i], document[j]] += weight / pairs.sum()
    per_pair = pairs / (lengths * (lengths - 1.0)) / pairs.sum()
    composition = Composition.of(kernels.count_document_tokens(tokens, 4, spans), per_pair)
    eye = np.eye(4, kernels.BLOCK_SIZE)
    np.testing.assert_allclose(composition.multiply(eye)[:, :4], expected, atol=1e-14)
    np.testing.assert_allclose(composition.marginal(), expected.sum(axis=1), atol=1e-14)


def test_topics_are_composition_not_sequence():
    """Documents of independent tokens, each with its own unigram distribution."""
    rng = np.random.default_rng(5)
    topics = rng.dirichlet(np.full(30, 0.3), 8)
    documents = [rng.choice(30, 2000, p=topics[rng.integers(8)]) for _ in range(150)]
    corpus = ngramstat.Corpus.from_arrays(
        np.concatenate(documents).astype(np.uint16),
        vocab_size=30,
        document_ends=np.arange(1, 151) * 2000,
    )
    result = ngramstat.correlations(corpus, lags=[1, 2, 4, 8, 16, 32], boundary="document")
    assert result.valid.all()
    np.testing.assert_allclose(result.norm, result.composition_norm, rtol=0.1)
    assert (result.norm_sequential < 2.5 * result.noise_floor).all()
    assert (result.norm_sequential < result.norm / 5).all()
    assert not result.beta.reportable


def test_independent_tokens_have_no_valid_lag():
    corpus = ngramstat.Corpus.from_arrays(zipf(1000, 300_000, seed=6), vocab_size=1000)
    result = ngramstat.correlations(corpus, lags=[1, 2, 4, 8, 16, 32, 64])
    assert not result.valid.any()
    assert not result.beta.reportable
    # The difference of the halves, the norm itself and the analytic edge all measure the same
    # noise, which at this size fluctuates by about 10 % from lag to lag.
    np.testing.assert_allclose(result.noise_floor, result.norm, rtol=0.25)
    np.testing.assert_allclose(result.analytic_floor, result.norm, rtol=0.25)
    assert result.noise_floor.mean() == pytest.approx(result.norm.mean(), rel=0.05)
    assert (np.abs(result.norm_crossfit) < result.norm).all()


@pytest.mark.parametrize(
    ("p", "kappa"),
    [
        (1 / np.arange(1, 8193), 0.438),
        (1 / (np.arange(1, 8193) + 2.7), 0.235),
        (np.ones(8192), 2 / np.sqrt(8192)),
    ],
    ids=["zipf", "shifted", "uniform"],
)
def test_noise_edge_equals_the_theory(p, kappa):
    p = p / p.sum()
    assert noise_edge(p, p) == pytest.approx(kappa, abs=5e-4)


def test_results_are_bit_identical_over_threads_dtypes_and_memory(threads, token_dtype, any_limit):
    tokens = zipf(400, 30_001, seed=7).astype(token_dtype)
    ends = np.append(np.arange(1000, 30_001, 1000), 30_001)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=400, document_ends=ends)
    options = {"lags": [1, 5, 20], "replicates": 99}
    result = ngramstat.correlations(corpus, **options, threads=threads, memory_limit=200_000)
    plain = ngramstat.Corpus.from_arrays(
        tokens.astype(np.uint16), vocab_size=400, document_ends=ends
    )
    assert result.to_dict() == ngramstat.correlations(plain, **options, threads=1).to_dict()


def test_a_lag_does_not_depend_on_the_others():
    corpus = ngramstat.Corpus.from_arrays(zipf(300, 20_000, seed=8), vocab_size=300)
    both = ngramstat.correlations(corpus, lags=[2, 9], replicates=99)
    alone = ngramstat.correlations(corpus, lags=[9], replicates=99)
    assert both.norm[1] == alone.norm[0]
    assert both.norm_sequential[1] == alone.norm_sequential[0]


def test_document_boundary_counts_only_pairs_inside():
    tokens = np.array([1, 2, 0, 1, 2, 0] * 20, dtype=np.uint16)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=3, document_ends=np.arange(3, 121, 3), separator=0
    )
    design = design_of(corpus, boundary="document", seed=0)
    assert (design.documents.content_ends - design.documents.content_starts).tolist() == [2] * 40
    options = CorrelationOptions(lags=(1,), boundary="document", replicates=9)
    (inside,) = measure_lags(SamplingDesign(corpus, options), options, [1])
    assert inside.pairs == 40
    assert inside.separator_share == 0
    options = CorrelationOptions(lags=(1,), replicates=9)
    (stream,) = measure_lags(SamplingDesign(corpus, options), options, [1])
    assert stream.pairs == 119
    assert stream.separator_share == pytest.approx((39 + 40) / 119)
    options = CorrelationOptions(lags=(2,), boundary="document")
    with pytest.raises(ngramstat.InputError, match="lag 2: no pairs of tokens that far apart"):
        list(measure_lags(SamplingDesign(corpus, options), options, [2]))


def test_halves_share_the_tokens_evenly():
    rng = np.random.default_rng(9)
    lengths = rng.integers(1, 500, 300)
    corpus = ngramstat.Corpus.from_arrays(
        np.zeros(lengths.sum(), np.uint16), vocab_size=1, document_ends=np.cumsum(lengths)
    )
    spans = design_of(corpus, boundary="stream", seed=3).documents
    first = lengths[spans.halves == 0].sum()
    assert abs(first - lengths.sum() / 2) <= 500


def test_default_lags_are_short_in_short_corpora():
    def lags(n: int, document: int = 0) -> tuple[int, ...]:
        ends = np.arange(document, n + 1, document) if document else None
        corpus = ngramstat.Corpus.from_arrays(
            np.zeros(n, np.uint16), vocab_size=1, document_ends=ends
        )
        return default_lags(corpus, Boundary.DOCUMENT if document else Boundary.STREAM)

    assert lags(15) == (1,)
    assert lags(1000)[-1] == 80
    assert lags(100_000)[-1] == 512
    assert lags(100_000, document=100)[-1] == 80


def test_a_corpus_of_one_distinct_token_has_no_covariance():
    corpus = ngramstat.Corpus.from_arrays(np.zeros(5000, np.uint16), vocab_size=1)
    run = ngramstat.measure(corpus, max_context=2)
    assert not run.correlations.valid.any()
    np.testing.assert_allclose(run.correlations.norm, 0, atol=1e-14)
    np.testing.assert_allclose(run.entropies.plug_in, 0, atol=1e-12)
    assert not any(e.reportable for e in run.exponents.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lags": []}, "increasing integers"),
        ({"lags": [2, 1]}, "increasing integers"),
        ({"lags": [0, 1]}, "increasing integers"),
        ({"lags": [1], "boundary": "paragraph"}, "expected one of stream, document"),
        ({"lags": [1], "boundary": "document"}, "has no documents to stay inside"),
        ({"lags": [1], "level": 1.5}, "level=1.5"),
        ({"lags": [1], "singular_values": 9}, "singular_values=9"),
        ({"lags": [1], "threads": 0}, "threads=0"),
        ({"lags": [1], "memory_limit": "lots"}, "memory limit 'lots'"),
    ],
)
def test_bad_options_are_named(options, words):
    corpus = ngramstat.Corpus.from_arrays(np.zeros(50, np.uint16), vocab_size=2)
    with pytest.raises(ngramstat.InputError, match=words):
        ngramstat.correlations(corpus, **options)


def scipy_norm(tokens: np.ndarray, vocab_size: int, lag: int) -> float:
    """The largest singular value by SciPy's ARPACK, from counts made with NumPy."""
    keys = tokens[:-lag].astype(np.int64) * vocab_size + tokens[lag:]
    keys, numbers = np.unique(keys, return_counts=True)
    joint = coo_array(
        (numbers / numbers.sum(), (keys // vocab_size, keys % vocab_size)),
        shape=(vocab_size, vocab_size),
    ).tocsr()
    p, q = np.asarray(joint.sum(axis=1)).ravel(), np.asarray(joint.sum(axis=0)).ravel()
    operator = LinearOperator(
        joint.shape,
        matvec=lambda v: joint @ v.ravel() - p * (q @ v.ravel()),
        rmatvec=lambda u: joint.T @ u.ravel() - q * (p @ u.ravel()),
        dtype=np.float64,
    )
    return float(svds(operator, k=1, tol=1e-12, rng=np.random.default_rng(0))[1][0])


def test_norms_equal_scipy_svds_at_ten_lags(corpora, tmp_path):
    """On real text, with independent counts (1e-6 is required)."""
    corpus = ngramstat.tokenize(
        [corpora / "wikipedia-en" / "sample.jsonl.xz"], tmp_path / "c", vocab_size=4096
    )
    lags = [1, 2, 3, 5, 8, 13, 21, 55, 144, 377]
    result = ngramstat.correlations(corpus, lags=lags, replicates=0)
    expected = [scipy_norm(np.asarray(corpus.tokens), corpus.vocab_size, lag) for lag in lags]
    np.testing.assert_allclose(result.norm, expected, rtol=1e-8)
    # That of vectors in single precision; the norm is known to its square.
    assert (result.residual <= 2e-5 * result.norm).all()


def test_other_results_do_not_depend_on_the_sequential_covariance():
    tokens = zipf(60, 30_000, seed=9)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=60, document_ends=np.arange(500, 30_001, 500)
    )
    both = ngramstat.correlations(corpus, lags=[1, 2, 3], replicates=49)
    plain = ngramstat.correlations(corpus, lags=[1, 2, 3], replicates=49, sequential=False)
    for name in ("norm", "norm_debiased", "norm_crossfit", "noise_floor", "analytic_floor"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(both, name))
    assert plain.beta == both.beta
    assert np.isnan(plain.norm_sequential).all()
    assert np.isnan(plain.permutation_floor).all()
    assert plain.beta_sequential.reason == "not measured (--no-sequential)"
    assert np.isfinite(both.norm_sequential).all()


@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_matrix_free_norms_equal_those_from_counts(boundary, threads):
    tokens = zipf(300, 30_000, seed=9)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=300, document_ends=np.arange(500, 30_001, 500)
    )
    options = {
        "lags": [1, 7], "replicates": 49, "sequential": False, "boundary": boundary,
        "vocab_top": 250,
    }  # fmt: skip
    counted = ngramstat.correlations(corpus, **options)
    matrix_free = ngramstat.correlations(corpus, **options, matrix_free=True, threads=threads)
    for name in ("pairs", "crossing_share", "separator_share"):
        np.testing.assert_array_equal(getattr(matrix_free, name), getattr(counted, name))
    for name in ("norm", "singular_values"):
        np.testing.assert_allclose(getattr(matrix_free, name), getattr(counted, name), rtol=1e-7)
    # The vectors of halves are known to a thousandth: what that changes is far below the noise.
    np.testing.assert_allclose(
        matrix_free.norm_crossfit, counted.norm_crossfit, rtol=0, atol=0.02 * counted.norm.min()
    )
    np.testing.assert_allclose(matrix_free.noise_floor, counted.noise_floor, rtol=1e-3)
    assert np.isnan(matrix_free.frobenius).all()
    again = ngramstat.correlations(corpus, **options, matrix_free=True, threads=1)
    assert again.to_dict() == matrix_free.to_dict()
    with pytest.raises(ngramstat.InputError, match="needs sequential=False"):
        ngramstat.correlations(corpus, lags=[1], matrix_free=True)


def test_top_tokens_equal_those_of_the_dense_vectors():
    world = MarkovChain.random(
        vocab_size=20, order=1, concentration=0.3, rules_seed=1, document_length=100
    )
    corpus = world.corpus(20_000, seed=1)
    lags = [1, 2, 4]
    result = ngramstat.correlations(corpus, lags=lags, sequential=False, replicates=50)
    tokens = np.asarray(corpus.tokens).astype(int)
    for row, lag in enumerate(lags):
        joint = np.zeros((20, 20))
        np.add.at(joint, (tokens[:-lag], tokens[lag:]), 1)
        joint /= joint.sum()
        u, _, vt = np.linalg.svd(joint - np.outer(joint.sum(axis=1), joint.sum(axis=0)))
        for k in range(3):
            sign = np.sign(u[np.abs(u[:, k]).argmax(), k])
            for vector, types, loadings in (
                (sign * u[:, k], result.left_types[row, k], result.left_loadings[row, k]),
                (sign * vt[k], result.right_types[row, k], result.right_loadings[row, k]),
            ):
                assert types.tolist() == np.argsort(-np.abs(vector))[:12].tolist()
                np.testing.assert_allclose(loadings, vector[types], atol=1e-6)
    assert result.type_texts is None
    few = MarkovChain.random(vocab_size=5, order=1, concentration=1.0, rules_seed=1,
                             document_length=100).corpus(5000, seed=1)  # fmt: skip
    padded = ngramstat.correlations(few, lags=[1], sequential=False, replicates=50)
    assert (padded.left_types[0, :, 5:] == -1).all()
    assert (padded.left_loadings[0, :, 5:] == 0).all()


@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_shares_of_documents_equal_sums_over_their_pairs(boundary):
    """Ordinary documents with two tables, which carry the norm and are named."""
    lag, length, v = 3, 50, 6
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, v, (60, length))
    tokens[[17, 41]] = np.arange(length) % 3
    corpus = ngramstat.Corpus.from_arrays(
        tokens.reshape(-1).astype(np.uint16), vocab_size=v,
        document_ends=length * np.arange(1, 61),
    )  # fmt: skip
    result = ngramstat.correlations(
        corpus, lags=[1, lag], boundary=boundary, sequential=False, replicates=50
    )
    x = tokens.reshape(-1)
    pairs = [
        (d, x[i], x[i + lag])
        for d in range(60)
        for i in range(d * length, (d + 1) * length)
        if i + lag < (len(x) if boundary == "stream" else (d + 1) * length)
    ]
    joint = np.zeros((v, v))
    for _, a, b in pairs:
        joint[a, b] += 1 / len(pairs)
    p, q = joint.sum(axis=1), joint.sum(axis=0)
    u, s, vt = np.linalg.svd(joint - np.outer(p, q))
    parts = np.zeros(60)
    for d, a, b in pairs:
        parts[d] += (u[a, 0] - u[:, 0] @ p) * (vt[0, b] - vt[0] @ q) / len(pairs)
    assert parts.sum() == pytest.approx(s[0], rel=1e-9)
    order = np.argsort(-parts)
    assert set(order[:2]) == {17, 41}
    assert result.top_documents[1].tolist() == order[:5].tolist()
    np.testing.assert_allclose(result.top_document_shares[1], parts[order[:5]] / s[0], rtol=1e-6)
    half = 1 + int(np.flatnonzero(np.cumsum(parts[order]) >= s[0] / 2)[0])
    assert result.documents_for_half[1] == half / 60
    assert result.top_document_starts[1].tolist() == [length * d for d in order[:5]]
    assert result.top_document_ends[1].tolist() == [length * (d + 1) for d in order[:5]]


def test_shares_of_documents_where_nothing_correlates():
    one = ngramstat.Corpus.from_arrays(
        np.zeros(400, np.uint16), vocab_size=2, document_ends=np.arange(10, 401, 10)
    )
    result = ngramstat.correlations(one, lags=[1], sequential=False, replicates=0)
    assert np.isnan(result.top_document_shares).all()
    assert np.isnan(result.documents_for_half).all()
