"""The cross-fitted norm: its moments against dense matrices, and its bias on known spectra."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import ngramstat
from designs import design_of
from ngramstat import kernels
from ngramstat.covariance.cross_fit import CrossFit, CrossFitting
from ngramstat.covariance.fold_passes import (
    FoldForms,
    FoldProducts,
    HalfVectors,
    ShuffledPairs,
    rounded_to_16_bits,
)
from ngramstat.kernels import Documents, PairLabel
from ngramstat.sampling.design import FOLDS, SamplingDesign
from ngramstat.synthetic import BroadcastTree, IndependentTokens, MarkovChain, RareTables


def small_corpus(documents: int = 60, length: int = 40, v: int = 5, seed: int = 0):
    chain = MarkovChain.random(v, concentration=0.3, rules_seed=seed, document_length=length)
    return chain.corpus(documents * length, seed=seed)


def cross_fits(design, lag, vectors, sequential=None, *, across, threads=1):
    """Those of C(t) and of the sequential covariance, by both passes over the tokens.

    `sequential` are the latter's vectors and the pairs that it subtracts.
    """
    kinds, products = [vectors], None
    if sequential is not None:
        kinds.append(sequential[0])
        products, _ = sequential[1].products(sequential[0])
    pairs, documents = design.pairs_at(lag), design.documents
    first = FoldProducts.of(pairs, documents, kinds, products, across=across, threads=threads)
    fitting = CrossFitting(first, kinds)
    shuffled = None if sequential is None else (sequential[1], first.shuffled[2])
    forms = FoldForms.of(
        pairs, documents, fitting.weighted, shuffled, across=across, threads=threads
    )
    return fitting.fits(forms)


def cross_fit(design, lag, vectors, *, across, norm=math.inf, threads=1) -> CrossFit:
    """Of C(t) alone."""
    halves = HalfVectors(*vectors, norm)
    fit, absent = cross_fits(design, lag, halves, across=across, threads=threads)
    assert math.isnan(absent.crossfit)
    return fit


def fold_covariance(
    design: SamplingDesign, fold: int, lag: int, *, stream: bool, sequential: bool = False
):
    """(C, pairs) of one fold, by loops.

    Tokens are centred by the marginals of the other folds of the half; with `sequential`, the mean
    of the pairs over all shuffles inside documents is subtracted instead.
    """
    corpus, documents = design.corpus, design.documents
    v = corpus.vocab_size
    joint, others = np.zeros((v, v)), np.zeros((v, v))
    shuffled = np.zeros((v, v))
    if stream:
        starts, ends = documents.starts, documents.ends
        limits = np.full(len(documents), corpus.n_tokens)
    else:
        starts, ends = documents.content_starts, documents.content_ends
        limits = ends
    half = design.documents.folds // (FOLDS // 2)
    for d in np.flatnonzero((half == fold // (FOLDS // 2)) & (design.documents.folds != fold)):
        for i in range(starts[d], ends[d]):
            if i + lag < limits[d]:
                others[corpus.tokens[i], corpus.tokens[i + lag]] += 1
    for d in np.flatnonzero(design.documents.folds == fold):
        for i in range(starts[d], ends[d]):
            if i + lag < limits[d]:
                joint[corpus.tokens[i], corpus.tokens[i + lag]] += 1
        length = ends[d] - starts[d]
        if length > lag:
            counts = np.bincount(corpus.tokens[starts[d] : ends[d]], minlength=v)
            ordered = np.outer(counts, counts) - np.diag(counts)
            shuffled += (length - lag) / (length * (length - 1)) * ordered
    n = joint.sum()
    if n == 0:
        return joint, 0.0
    if sequential:
        return (joint - shuffled) / n, n
    p, q = others.sum(axis=1) / others.sum(), others.sum(axis=0) / others.sum()
    rows, columns = np.eye(v) - p, np.eye(v) - q  # one-hot tokens, centred
    return sum(
        joint[i, j] / n * np.outer(rows[i], columns[j]) for i in range(v) for j in range(v)
    ), n


def brute_force(design, lag, left, right, *, stream, sequential=False):
    """(u^T C v, estimate of the norm, its jackknife error) by sums over distinct folds."""
    parts = [
        fold_covariance(design, k, lag, stream=stream, sequential=sequential) for k in range(FOLDS)
    ]
    sides = [range(FOLDS // 2), range(FOLDS // 2, FOLDS)]

    def moments(side, u, v, left_out=None):
        folds = [k for k in side if k != left_out]
        total = sum(parts[k][1] for k in folds)
        first = sum(parts[k][1] * (u @ parts[k][0] @ v) for k in folds) / total
        third = cube = weight = 0.0
        for a, b, c in itertools.permutations(folds, 3):
            w = parts[a][1] * parts[b][1] * parts[c][1]
            third += w * (u @ parts[a][0] @ parts[b][0].T @ parts[c][0] @ v)
            cube += w * math.prod(u @ parts[k][0] @ v for k in (a, b, c))
            weight += w
        return first, third / weight, cube / weight

    def norm(halves):
        ratios = [1 + (t - c) / max(c, f**3 / 2) for f, t, c in halves]
        return sum(f for f, _, _ in halves) / sum(max(r, 0.7) ** -0.5 for r in ratios)

    # The folds of a half meet the vectors of the other half.
    vectors = [(left[1], right[1]), (left[0], right[0])]
    all_folds = [moments(side, *uv) for side, uv in zip(sides, vectors, strict=True)]
    first = np.mean(all_folds, axis=0)[0]
    value = norm(all_folds)
    variance = 0.0
    for h in (0, 1):
        total = sum(parts[k][1] for k in sides[h])
        used = [k for k in sides[h] if parts[k][1] > 0]
        half_variance = 0.0
        for k in used:
            changed = list(all_folds)
            changed[h] = moments(sides[h], *vectors[h], left_out=k)
            deviation = value - norm(changed)
            half_variance += ((1 - parts[k][1] / total) * deviation) ** 2
        variance += len(used) / (len(used) - 1) * half_variance
    return first, value, math.sqrt(variance)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
@pytest.mark.parametrize("lag", [1, 2])
def test_moments_equal_sums_over_distinct_folds(stream, lag):
    corpus = small_corpus()
    boundary = "stream" if stream else "document"
    design = design_of(corpus, boundary=boundary, seed=3)
    rng = np.random.default_rng(1)
    chain = MarkovChain.random(5, concentration=0.3, rules_seed=0, document_length=40)
    exact = chain.covariance(lag, "document")
    u, _, vt = np.linalg.svd(exact)
    left = np.stack([u[:, 0] + 0.1 * rng.standard_normal(5) for _ in range(2)])
    right = np.stack([vt[0] + 0.1 * rng.standard_normal(5) for _ in range(2)])
    fit = cross_fit(design, lag, (left, right), across=stream, threads=2)
    first, value, error = brute_force(design, lag, left, right, stream=stream)
    assert fit.crossfit == pytest.approx(first, rel=1e-10)
    # The vectors of the last step are rounded to 16 bits.
    assert fit.debiased == pytest.approx(value, rel=1e-5)
    assert fit.debiased_error == pytest.approx(error, rel=1e-5)
    assert fit.crossfit_error > 0
    assert 8 < fit.freedom <= 14


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
def test_sequential_moments_equal_sums_over_distinct_folds(stream):
    """Documents of unequal lengths and topics, with sequence inside."""
    rng = np.random.default_rng(6)
    documents = []
    for _ in range(70):
        favourite = rng.integers(4)
        start = rng.integers(0, 4, rng.integers(6, 40))
        documents.append(np.repeat(np.where(rng.random(len(start)) < 0.4, favourite, start), 2))
    corpus = ngramstat.Corpus.from_arrays(
        np.concatenate(documents).astype(np.uint16),
        vocab_size=4,
        document_ends=np.cumsum([len(d) for d in documents]),
    )
    design = design_of(corpus, boundary="stream" if stream else "document", seed=2)
    spans, lag = design.documents, 1
    lengths = (spans.ends - spans.starts).astype(float)
    vectors = rng.standard_normal((2, 2, 4)) * 0.2 + np.array([1.0, -1.0, 0.5, -0.5])
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    others = vectors[:, ::-1] + 0.1 * rng.standard_normal((2, 2, 4))
    halves = HalfVectors(*vectors)
    counts = kernels.count_document_tokens(corpus.tokens, 4, spans)
    rates = np.maximum(lengths - lag, 0) / (lengths * (lengths - 1))
    x = rng.standard_normal(4)
    shuffled = ShuffledPairs(counts, rates, design.documents.folds)
    _, projected = shuffled.products(halves, x)
    rows, columns, numbers = counts.to_coo()
    by_document = np.bincount(rows, weights=numbers[0] * x[columns], minlength=len(lengths))
    np.testing.assert_allclose(projected[:, 0], by_document, rtol=1e-12)
    plain, fit = cross_fits(
        design, lag, HalfVectors(*others), (halves, shuffled), across=stream, threads=2
    )
    # One pass serves both: C(t) is what it is without the sequential covariance.
    assert plain == cross_fit(design, lag, tuple(others), across=stream)
    first, value, error = brute_force(design, lag, *vectors, stream=False, sequential=True)
    assert fit.crossfit == pytest.approx(first, rel=1e-10)
    # The vectors of the last step are rounded to 16 bits, their products with documents to float32.
    assert fit.debiased == pytest.approx(value, rel=1e-5)
    assert fit.debiased_error == pytest.approx(error, rel=1e-5)


def test_the_debiased_norm_is_bounded_by_its_bracket():
    """By the plug-in norm above, and by an error of the cross-fitted norm below."""
    corpus = small_corpus()
    design = design_of(corpus, boundary="document", seed=3)
    rng = np.random.default_rng(1)
    u, _, vt = np.linalg.svd(MarkovChain.random(5, concentration=0.3).covariance(1, "document"))
    noisy = [x + 0.3 * rng.standard_normal((2, 5)) for x in (u[:, 0], vt[0])]
    left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in noisy)
    free = cross_fit(design, 1, (left, right), across=False)
    assert free.debiased > 1.05 * free.crossfit
    norm = 1.02 * free.crossfit
    bounded = cross_fit(design, 1, (left, right), across=False, norm=norm)
    assert bounded.debiased == pytest.approx(norm, rel=1e-12)
    # Where the plug-in norm is the smaller one, the cross-fitted norm is the upper bound.
    low = cross_fit(design, 1, (left, right), across=False, norm=0.98 * free.crossfit)
    assert low.debiased == pytest.approx(low.crossfit, rel=1e-12)
    # Vectors without signal: the power iteration would leave the bracket below.
    for seed in range(40):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((2, 2, 5))
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        fit = cross_fit(design, 4, tuple(vectors), across=False)
        if fit.crossfit > 0:
            assert fit.debiased >= fit.crossfit - fit.crossfit_error * (1 + 1e-12)
        else:
            assert math.isnan(fit.debiased)


def test_few_documents_that_carry_the_norm_do_not_bias_it():
    """A hundredth of the documents are tables: twenty of them carry C(t) at lag 8."""
    world, lag, draws = RareTables(document_length=100), 8, 60
    exact = world.norms([lag], "document")[0]
    norms = []
    for seed in range(draws):
        corpus = world.corpus(200_000, seed=seed)
        c = ngramstat.correlations(corpus, lags=[lag], boundary="document", replicates=0,
                                   singular_values=1, seed=seed, threads=1)  # fmt: skip
        assert c.norm_debiased[0] <= max(c.norm_crossfit[0], c.norm[0])
        norms.append((c.norm[0], c.norm_debiased[0]))
    plug_in, debiased = np.mean(norms, axis=0)
    # The number of tables is the same for both and averages out of the difference.
    assert debiased < plug_in
    assert abs(debiased - exact) < 0.03 * exact + 2 * np.std(norms, axis=0)[1] / math.sqrt(draws)


def test_topics_are_not_sequence_at_any_vocabulary_size():
    """Composition alone: lags are valid and sequential lags are not, in small vocabularies too."""
    for v in (4, 30):
        world = IndependentTokens(v, 0.5, topics=6, concentration=8.0, document_length=50)
        c = ngramstat.correlations(
            world.corpus(60_000, seed=v), lags=[1, 2, 4, 8, 16], boundary="document",
            replicates=199,
        )  # fmt: skip
        assert c.valid.all()
        assert c.beta_sequential.value is None
        assert "no lag exceeds the noise floor" in str(c.beta_sequential.reason)
        assert not c.beta.reportable


def test_folds_without_pairs_are_ignored():
    """At this lag only some documents are long enough to have pairs."""
    rng = np.random.default_rng(2)
    lengths = np.where(np.arange(200) % 3 == 0, 30, 4)
    tokens = np.repeat(rng.integers(0, 3, lengths.sum() // 2 + 1), 2)[: lengths.sum()]
    corpus = ngramstat.Corpus.from_arrays(
        tokens.astype(np.uint16), vocab_size=3, document_ends=np.cumsum(lengths)
    )
    design = design_of(corpus, boundary="document", seed=0)
    vectors = np.linalg.svd(rng.standard_normal((2, 3, 3)))[0][:, :, 0]
    fit = cross_fit(design, 5, (vectors, vectors), across=False)
    first, _ = brute_force_first(design, 5, vectors)
    assert fit.crossfit == pytest.approx(first, rel=1e-10, abs=1e-14)
    # No document is longer than this lag.
    none = cross_fit(design, 31, (vectors, vectors), across=False)
    assert math.isnan(none.debiased)
    assert math.isnan(none.crossfit)


def brute_force_first(design, lag, vectors):
    halves = []
    for h in (0, 1):
        u = vectors[1 - h]
        parts = [
            fold_covariance(design, k, lag, stream=False)
            for k in range(h * FOLDS // 2, (h + 1) * FOLDS // 2)
        ]
        total = sum(n for _, n in parts)
        halves.append(sum(n * (u @ c @ u) for c, n in parts) / total)
    return np.mean(halves), halves


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("simd", ["scalar", "avx2", "avx512"])
def test_class_products_equal_the_reference(monkeypatch, simd, token_dtype, threads, kinds, across):
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        kernels.simd_level()
    except ValueError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(4)
    n, v, lag = 3001, 9, 4
    tokens = rng.integers(0, v, n).astype(token_dtype)
    ends = np.append(np.sort(rng.choice(np.arange(2, n, 2), 40, replace=False)), n)
    starts = np.concatenate([[0], ends[:-1]])
    # A separator at both sides of the content.
    content_starts, content_ends = starts + 1, np.maximum(ends - 1, starts + 1)
    classes = rng.integers(0, 6, len(ends)).astype(np.uint8)
    documents = Documents(
        ends, content_starts=content_starts, content_ends=content_ends, folds=classes, n_folds=6
    )
    u, w = rng.integers(-5, 6, (2, kinds, 2, v)).astype(float)
    a, b = rng.integers(-5, 6, (2, kinds, 2, v, kernels.BLOCK_SIZE)).astype(np.int16)
    pairs = kernels.PairsAtLag(tokens, v, lag)
    arguments = {"across": across, "by": PairLabel.fold, "threads": threads}
    products = kernels.multiply_pairs_by_class(pairs, u, w, documents, **arguments)
    forms = kernels.bilinear_forms_by_class(pairs, a, b, documents, **arguments)
    counts = kernels.count_pairs_by_class(pairs, documents, **arguments)
    of_pairs, sums, *_ = kernels.sum_pairs_by_document(
        pairs, u[:, 0], w[:, 0], documents, across=across, threads=threads
    )
    for kind in range(kinds):
        joints = np.zeros((6, v, v))
        for d in range(len(ends)):
            stream = across and kind == 0
            first, last = (starts, ends) if stream else (content_starts, content_ends)
            i = np.arange(first[d], min(last[d], (n if stream else last[d]) - lag))
            np.add.at(joints[classes[d]], (tokens[i], tokens[i + lag]), 1)
            assert of_pairs[kind, d] == len(i)
            assert sums[kind, d] == np.sum(u[kind, 0][tokens[i]] * w[kind, 0][tokens[i + lag]])
        for k, joint in enumerate(joints):
            s = k // 3
            assert np.array_equal(products[0][kind, k], joint @ w[kind, s])
            assert np.array_equal(products[1][kind, k], joint.T @ u[kind, s])
            assert np.array_equal(products[2][kind, k], joint.sum(axis=1))
            assert np.array_equal(products[3][kind, k], joint.sum(axis=0))
            form = a[kind, s].T.astype(float) @ joint @ b[kind, s]
            assert np.array_equal(forms[kind, k], form)
        if kind == 0:
            assert np.array_equal(counts, [joints.sum(axis=2), joints.sum(axis=1)])


@pytest.mark.parametrize("largest", [-32768, 32767])
def test_forms_of_a_token_with_many_pairs_do_not_overflow(largest, threads):
    """Sums of 16-bit integers outgrow 32 bits after 65,535 pairs of a token."""
    tokens = np.zeros(300_000, np.uint16)
    tokens[-1] = 1
    documents = Documents([len(tokens)], folds=[0], n_folds=2)
    a = np.ones((1, 2, 2, kernels.BLOCK_SIZE), np.float32)
    b = np.full(a.shape, largest, np.int16)
    forms = kernels.bilinear_forms_by_class(
        kernels.PairsAtLag(tokens, 2, 1), a, b, documents,
        across=True, by=PairLabel.fold, threads=threads,
    )  # fmt: skip
    assert np.array_equal(forms[0, 0], np.full(forms.shape[2:], 299_999.0 * largest))
    assert not forms[0, 1].any()


def test_vectors_of_16_bits_are_what_they_are_rounded_to():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((2, 50, kernels.BLOCK_SIZE)) * 10.0 ** rng.integers(-6, 9, 8)
    vectors[0, :, 1] = 0.0
    # The largest entry would be rounded up to the next power of two.
    vectors[1, :, 2] = np.linspace(-1, 1 - 1e-7, 50)
    rounded = rounded_to_16_bits(vectors)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    assert (np.abs(rounded - vectors) <= largest * 2.0**-15).all()
    assert np.array_equal(rounded_to_16_bits(rounded), rounded)


@pytest.mark.parametrize("transposed", [False, True])
def test_products_without_a_table_equal_the_reference(token_dtype, threads, transposed):
    rng = np.random.default_rng(5)
    n, v, lag = 3001, 9, 4
    tokens = rng.integers(0, v, n).astype(token_dtype)
    ends = np.append(np.sort(rng.choice(np.arange(1, n), 40, replace=False)), n)
    starts = np.concatenate([[0], ends[:-1]])
    classes = rng.integers(0, 3, len(ends)).astype(np.uint8)
    x = rng.integers(-5, 6, (v, kernels.BLOCK_SIZE)).astype(float)
    weights = np.array([2.0, 0.0, -3.0, 1.0])
    documents = Documents(ends, folds=classes, n_folds=4)
    for across, limits in ((False, ends), (True, np.full(len(ends), n))):
        result = kernels.multiply_pairs(
            kernels.PairsAtLag(tokens, v, lag), x, weights, documents, across=across,
            by=PairLabel.fold, transposed=transposed, threads=threads,
        )  # fmt: skip
        joint = np.zeros((v, v))
        for start, end, limit, k in zip(starts, ends, limits, classes, strict=True):
            for i in range(start, min(end, limit - lag)):
                joint[tokens[i], tokens[i + lag]] += weights[k]
        assert np.array_equal(result, (joint.T if transposed else joint) @ x)


def test_products_without_a_table_refuse_bad_sizes():
    tokens, documents = np.array([0, 1, 2, 1], np.uint16), Documents.single(4)
    arguments = {"across": True, "by": PairLabel.half}
    x = np.ones((3, kernels.BLOCK_SIZE))
    with pytest.raises(IndexError, match="token 2 at position 2"):
        kernels.multiply_pairs(
            kernels.PairsAtLag(tokens, 2, 1), x[:2], np.ones(2), documents, **arguments
        )
    with pytest.raises(ValueError, match="vocab_size, 8"):
        kernels.multiply_pairs(
            kernels.PairsAtLag(tokens, 3, 1), x[:2], np.ones(2), documents, **arguments
        )
    with pytest.raises(ValueError, match="one weight per class"):
        kernels.multiply_pairs(
            kernels.PairsAtLag(tokens, 3, 1), x, np.ones(3), documents, **arguments
        )


@pytest.mark.parametrize(
    "world",
    [
        BroadcastTree.with_beta(0.9, 8, 2, 9),  # seven equal singular values
        IndependentTokens(40, 1.0, topics=3, concentration=30.0, document_length=60),
        MarkovChain.random(12, concentration=0.5, rules_seed=3, document_length=200),
    ],
    ids=["equal values", "two values", "one large value"],
)
def test_the_debiased_norm_is_unbiased_where_the_plug_in_norm_is_not(world):
    lag, draws = 4, 100
    exact = world.norms([lag], "document")[0]
    plug_in, debiased, inside = [], [], 0
    for seed in range(draws):
        corpus = world.corpus(60_000, seed=seed)
        c = ngramstat.correlations(corpus, lags=[lag], boundary="document", replicates=199,
                                   singular_values=1, seed=seed, threads=1)  # fmt: skip
        plug_in.append(c.norm[0])
        debiased.append(c.norm_debiased[0])
        inside += c.norm_low[0] <= exact <= c.norm_high[0]
    error = np.std(debiased) / math.sqrt(draws)
    assert abs(np.mean(debiased) - exact) < 4 * error + 0.01 * exact
    if isinstance(world, BroadcastTree):
        assert np.mean(plug_in) - exact > 0.15 * exact
    assert inside >= 0.85 * draws


def test_lags_without_correlation_are_valid_at_the_stated_rate():
    """Independent tokens of few distinct values, where the norm scatters most: one lag in 1000."""
    valid = []
    for seed in range(60):
        world = IndependentTokens(2 + seed % 6, 0.5, document_length=50)
        c = ngramstat.correlations(
            world.corpus(20_000, seed=seed), lags=[1, 2, 3, 5, 8, 13], boundary="document",
            replicates=49, singular_values=1, seed=seed, threads=1,
        )  # fmt: skip
        valid.append(c.valid)
    # 360 lags at a rate of 1e-3 (up to 3e-3 where the halves are two vectors of one sign).
    assert np.sum(valid) <= 4


def test_too_few_documents_are_named_as_the_reason():
    corpus = small_corpus(documents=5, length=400)
    c = ngramstat.correlations(corpus, lags=[1, 2, 3], boundary="document", replicates=99)
    assert not c.valid.any()
    assert np.isnan(c.norm_debiased).all()
    assert not c.beta.reportable
    assert "too few documents" in str(c.beta.reason)


@pytest.mark.parametrize("token_dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize(
    ("by", "across"),
    [
        (PairLabel.fold, True),
        (PairLabel.fold, False),
        (PairLabel.half, True),
        (PairLabel.half_and_position, False),
    ],
)
def test_pairs_of_classes_follow_from_their_tokens(token_dtype, by, across):
    rng = np.random.default_rng(5)
    n, v = 4000, 11
    tokens = rng.integers(0, v, n).astype(token_dtype)
    ends = np.append(np.sort(rng.choice(np.arange(2, n, 2), 25, replace=False)), n)
    starts = np.concatenate([[0], ends[:-1]])
    documents = Documents(
        ends,
        content_starts=starts + 1,
        content_ends=np.maximum(ends - 1, starts + 1),
        folds=rng.integers(0, 4, len(ends)).astype(np.uint8),
        n_folds=4,
    )
    options = {"across": across, "by": by}
    of_class = kernels.count_tokens_by_class(tokens, v, documents, **options, threads=2)
    for lag in (1, 2, 3, 7, 30, 100, 500, n - 1, n, 2 * n):
        pairs = kernels.PairsAtLag(tokens, v, lag)
        expected = kernels.count_pairs_by_class(pairs, documents, **options)
        for threads in (1, 3):
            counts = kernels.count_pairs_by_class(
                pairs, documents, **options, tokens_by_class=of_class, threads=threads
            )
            np.testing.assert_array_equal(counts[0], expected[0])
            np.testing.assert_array_equal(counts[1], expected[1])
    with pytest.raises(ValueError, match="n_classes, vocab_size"):
        kernels.count_pairs_by_class(pairs, documents, **options, tokens_by_class=of_class[1:])
    tokens[5] = v
    with pytest.raises(IndexError, match="5"):
        kernels.count_tokens_by_class(tokens, v, documents, **options)
