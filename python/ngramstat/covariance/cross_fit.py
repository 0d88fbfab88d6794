"""The norm of C(t) without the bias of noise: cross-fitting over folds of the documents.

The largest singular value of an estimated matrix is biased upwards, because its singular vectors
follow the noise: by about noise^2 / norm where the leading singular value is isolated, and by the
noise itself where many singular values are equal. Vectors u, v estimated from one half of the
documents are independent of the noise in the other half, but F = u^T C v is then too small, because
u and v are not the true singular vectors. The remedy is one step of the power iteration with an
independent estimate of C in every factor,

    norm^2 = u^T C C^T C v / u^T C v = F^2 T / F^3,    T = u^T C C^T C v.

The step multiplies the true component of u v^T by norm^2 and removes, in the mean, the components
on which C is zero. It is exact to all orders for C of rank one and for C with equal singular
values, and nearly unbiased in between: spectra that fall slowly keep a downward bias of second
order, noise^2 / norm^2 times the fraction of nearly equal values.

F is the mean of u^T C_d v over all folds d of the half that u, v do not come from; T is that of
u^T C_a C_b^T C_c v over all ordered triples of distinct folds a, b, c. F^3 is the mean of
(u^T C_a v) (u^T C_b v) (u^T C_c v) over *the same triples*. Then whatever multiplies the covariance
of a whole fold, such as the number of its documents that are tables, cancels in T / F^3, and the
norm is linear in it, as F is. The root of T / F alone would be biased down by 3/4 of the relative
variance of F in one half: by a tenth where twenty documents carry the covariance.

sqrt(F^3 / T) is the cosine between u v^T and the true vectors: F is the norm times it. The norm is
the mean F of both halves over the mean cosine of both, so that a half whose u, v missed the true
ones, and show noise, counts for little.

The estimate is at most the larger of the cross-fitted and the plug-in norm, and at least the
smaller one less the standard error of F: what lies further out is noise.

`CrossFitting` takes these steps for both halves:

1. one pass over the tokens gives the products w_b = C_b v and z_b = C_b^T u of every fold b, and
   so the first moments u^T C_b v = u^T w_b;
2. a second pass gives w_c^T C_b z_a = u^T C_a C_b^T C_c v of all folds a, b, c of a half, and so
   the third moment over distinct folds (`_HalfMoments`);
3. both halves are averaged, and a jackknife over the folds gives the standard errors (`_combine`).

C_b, the covariance of fold b, is not J_b - p_b q_b^T with the fold's own joint and marginals. A
fold holds few documents, so its own marginals follow the composition of those documents, and
subtracting their product would remove the covariance that this composition causes. The tokens of
a fold are therefore centred by the marginals of the other folds of its half.

The same two passes serve the sequential covariance.

The estimator is our own; `benchmarks/calibration.md` has its bias and coverage on synthetic worlds
whose norms are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.covariance.fold_passes import (
    FOLDS_PER_HALF,
    FoldForms,
    FoldProducts,
    HalfVectors,
    rounded_to_16_bits,
)
from ngramstat.kernels import BLOCK_SIZE
from ngramstat.sampling.design import FOLDS

__all__ = ["MIN_FOLDS", "CrossFit", "CrossFitting"]

Floats = NDArray[np.float64]

_HALF_OF_FOLD = np.repeat([0, 1], FOLDS_PER_HALF)
# The third moment needs three distinct folds, and the jackknife leaves one more out.
_MIN_FOLDS_PER_HALF = 4
MIN_FOLDS = 2 * _MIN_FOLDS_PER_HALF

# The mean cube of u^T C_b v over triples of folds is taken as at least this part of the cube of the
# mean: below it, half of the covariance lies in one or two folds.
_LEAST_CUBE = 0.5
# T / F^3 is at least one but for noise, and is taken as at least this.
_LEAST_RATIO = 0.7


@dataclass(frozen=True)
class CrossFit:
    """Cross-fitted norm at one lag; NaN where there are too few documents or no signal.

    Attributes
    ----------
    crossfit, crossfit_error : float
        Mean of u^T C v over both halves (biased downwards), and its standard error.
    debiased, debiased_error : float
        Estimate of the norm, and its jackknife standard error.
    freedom : float
        Degrees of freedom of both errors.
    left_out : tuple of float
        The debiased norm with each of the FOLDS left out, the folds of half 0 first; empty where
        no norm was estimated.
    """

    crossfit: float = math.nan
    crossfit_error: float = math.nan
    debiased: float = math.nan
    debiased_error: float = math.nan
    freedom: float = math.nan
    left_out: tuple[float, ...] = ()


class CrossFitting:
    """The cross-fits of C(t) and of the sequential covariance at one lag, between two passes.

    Parameters
    ----------
    products : FoldProducts
        Of the first pass.
    kinds : sequence of HalfVectors
        Of C(t), and of the sequential covariance if that is measured.
    vocab_mask : (V,) bool, optional
        Vocabulary items that both are restricted to.

    Attributes
    ----------
    weighted : (2, n_kinds, 2, V, BLOCK_SIZE) float32
        w and z of every fold times its pairs, as the second pass takes them: z in 16 bits.
    """

    def __init__(
        self,
        products: FoldProducts,
        kinds: Sequence[HalfVectors],
        vocab_mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self._kinds, self._pairs = kinds, products.pairs
        self._covariances: list[_FoldCovariances | _SequentialFoldCovariances] = [
            _FoldCovariances.of(products.left_counts[0], products.right_counts[0], self._pairs[0])
        ]
        if len(kinds) > 1:
            shuffled_v, shuffled_u, diagonals = products.shuffled
            self._covariances.append(
                _SequentialFoldCovariances(
                    shuffled_v, shuffled_u, diagonals, _per_pair(self._pairs[1])
                )
            )
        vocab_size = products.joint_v.shape[2]
        self._first = []
        self.weighted = np.zeros((2, len(kinds), 2, vocab_size, BLOCK_SIZE), np.float32)
        for k, covariance in enumerate(self._covariances):
            u, v = kinds[k].of_other_half
            joint = products.joint_v[k], products.joint_u[k]
            w, z = _products(covariance, joint, (u, v), vocab_mask)
            self._first.append(np.sum(w * u[_HALF_OF_FOLD], axis=1))
            self.weighted[0, k] = _as_half_blocks(self._pairs[k][:, None] * w)
            self.weighted[1, k] = rounded_to_16_bits(_as_half_blocks(self._pairs[k][:, None] * z))

    def fits(self, forms: FoldForms) -> tuple[CrossFit, CrossFit]:
        """Both cross-fits, from the third moments w_c^T C_b z_a.

        w is of single precision, z of 16 bits. Rounding changes both by far less than their
        noise; but the centring has to use the same rounded vectors as the pass over the tokens.
        """
        fits = [
            _fit(
                covariance,
                self._pairs[k],
                self._first[k],
                (forms.joint[k], forms.shuffled),
                self.weighted[:, k],
                self._kinds[k].norm,
            )
            for k, covariance in enumerate(self._covariances)
        ]
        return fits[0], fits[1] if len(fits) > 1 else CrossFit()


def _products(
    covariance: _FoldCovariances | _SequentialFoldCovariances,
    joint: tuple[Floats, Floats],
    vectors: tuple[Floats, Floats],
    vocab_mask: NDArray[np.bool_] | None,
) -> tuple[Floats, Floats]:
    """w_b = C_b v and z_b = C_b^T u of every fold b, from J_b v and J_b^T u, (FOLDS, V) each."""
    u, v = vectors
    w = covariance.multiply(joint[0], v)
    z = covariance.multiply_transposed(joint[1], u)
    return (w, z) if vocab_mask is None else (w * vocab_mask, z * vocab_mask)


def _fit(
    covariance: _FoldCovariances | _SequentialFoldCovariances,
    pairs: Floats,
    first: Floats,
    forms: tuple[Floats, Floats],
    weighted: NDArray[np.float32],
    norm: float,
) -> CrossFit:
    """One of the cross-fits from its moments; NaN where too few folds have pairs."""
    if np.count_nonzero(pairs.reshape(2, -1), axis=1).min() < _MIN_FOLDS_PER_HALF:
        return CrossFit()
    moments = covariance.bilinear(forms, *weighted.astype(np.float64))
    halves = [h == _HALF_OF_FOLD for h in (0, 1)]
    return _combine([_HalfMoments(pairs[h], first[h], moments[h]) for h in halves], norm)


@dataclass(frozen=True)
class _FoldCovariances:
    """The covariance C_b of each fold, with tokens centred by the marginals of the other folds.

    With J_b the joint of fold b, p, q its own marginals and p', q' those of the other folds of its
    half, the mean of (e_i - p') (e_j - q')^T over the pairs (i, j) of the fold is

        C_b = J_b - p q^T + (p - p') (q - q')^T.

    Attributes
    ----------
    per_pair : (FOLDS, 1) float64
        One over the pairs of the fold.
    p, q : (FOLDS, V) float64
    p_offset, q_offset : (FOLDS, V) float64
        p - p' and q - q'.
    """

    per_pair: Floats
    p: Floats
    q: Floats
    p_offset: Floats
    q_offset: Floats

    @classmethod
    def of(
        cls, left_counts: NDArray[np.uint64], right_counts: NDArray[np.uint64], pairs: Floats
    ) -> _FoldCovariances:
        """From the pairs of each fold by left and by right token, (FOLDS, V)."""
        per_pair = _per_pair(pairs)
        p, q = left_counts * per_pair, right_counts * per_pair
        p_offset = p - _marginals_of_other_folds(left_counts)
        q_offset = q - _marginals_of_other_folds(right_counts)
        # A fold without pairs has no covariance, whatever the marginals of the others.
        counted = per_pair > 0
        return cls(per_pair, p, q, p_offset * counted, q_offset * counted)

    def multiply(self, joint_v: Floats, v: Floats) -> Floats:
        """C_b v of every fold, (FOLDS, V), from the sums of its pairs, and v (2, V) by half."""
        v = v[_HALF_OF_FOLD]
        product: Floats = (
            joint_v * self.per_pair
            - self.p * _row_dots(self.q, v)
            + self.p_offset * _row_dots(self.q_offset, v)
        )
        return product

    def multiply_transposed(self, joint_u: Floats, u: Floats) -> Floats:
        """C_b^T u of every fold, (FOLDS, V), from the sums of its pairs, and u (2, V) by half."""
        u = u[_HALF_OF_FOLD]
        product: Floats = (
            joint_u * self.per_pair
            - self.q * _row_dots(self.p, u)
            + self.q_offset * _row_dots(self.p_offset, u)
        )
        return product

    def bilinear(self, forms: tuple[Floats, Floats], a: Floats, b: Floats) -> Floats:
        """a_c^T C_b b_k of every fold b, from those of its pairs."""
        joint, _ = forms
        moments = joint * self.per_pair[:, :, None] - _rank_one_forms(self.p, self.q, a, b)
        moments += _rank_one_forms(self.p_offset, self.q_offset, a, b)
        return moments


@dataclass(frozen=True)
class _SequentialFoldCovariances:
    """The sequential covariance C_b of each fold: its pairs minus their mean over shuffles.

    Attributes
    ----------
    shuffled_v, shuffled_u, diagonals : (FOLDS, V) float64
        Of `ShuffledPairs.products`.
    per_pair : (FOLDS, 1) float64
        One over the pairs of the fold.
    """

    shuffled_v: Floats
    shuffled_u: Floats
    diagonals: Floats
    per_pair: Floats

    def multiply(self, joint_v: Floats, v: Floats) -> Floats:
        """C_b v of every fold, (FOLDS, V), from the sums of its pairs, and v (2, V) by half."""
        shuffled = self.shuffled_v - self.diagonals * v[_HALF_OF_FOLD]
        product: Floats = (joint_v - shuffled) * self.per_pair
        return product

    def multiply_transposed(self, joint_u: Floats, u: Floats) -> Floats:
        """C_b^T u of every fold; the mean over shuffles is symmetric."""
        shuffled = self.shuffled_u - self.diagonals * u[_HALF_OF_FOLD]
        product: Floats = (joint_u - shuffled) * self.per_pair
        return product

    def bilinear(self, forms: tuple[Floats, Floats], a: Floats, b: Floats) -> Floats:
        """a_c^T C_b b_k of every fold b, from those of its pairs and of their mean."""
        joint, shuffled = forms
        moments: Floats = (joint - shuffled) * self.per_pair[:, :, None]
        return moments


def _per_pair(pairs: Floats) -> Floats:
    """One over the pairs of each fold, (FOLDS, 1); zero for a fold without pairs."""
    return np.divide(1.0, pairs, out=np.zeros_like(pairs), where=pairs > 0)[:, None]


def _row_dots(a: Floats, b: Floats) -> Floats:
    """The dot product of each row of a with that of b, as a column."""
    dots: Floats = np.sum(a * b, axis=1)[:, None]
    return dots


def _marginals_of_other_folds(counts: NDArray[np.uint64]) -> Floats:
    """Marginal of the other folds of each fold's half, (FOLDS, V)."""
    by_half = counts.reshape(2, FOLDS_PER_HALF, -1)
    others = (by_half.sum(axis=1, keepdims=True) - by_half).reshape(FOLDS, -1)
    marginals: Floats = others / np.maximum(others.sum(axis=1), 1.0)[:, None]
    return marginals


def _as_half_blocks(rows: Floats) -> Floats:
    """(FOLDS, V) as (2, V, BLOCK_SIZE): the folds of a half are the columns of its block."""
    size = rows.shape[1]
    blocks = np.zeros((2, size, BLOCK_SIZE))
    blocks[:, :, :FOLDS_PER_HALF] = rows.reshape(2, FOLDS_PER_HALF, size).transpose(0, 2, 1)
    return blocks


def _rank_one_forms(p: Floats, q: Floats, a: Floats, b: Floats) -> Floats:
    """a_c^T p q^T b_k of each fold, (FOLDS, BLOCK_SIZE, BLOCK_SIZE)."""
    n = FOLDS_PER_HALF
    pa = np.concatenate([p[:n] @ a[0], p[n:] @ a[1]])
    qb = np.concatenate([q[:n] @ b[0], q[n:] @ b[1]])
    forms: Floats = pa[:, :, None] * qb[:, None, :]
    return forms


class _HalfMoments:
    """Moments of u^T C v over the folds of one half, from all folds or with one left out.

    Folds are weighted by their pairs.

    Parameters
    ----------
    pairs : (folds,) float64
    first : (folds,) float64
        u^T C_b v.
    forms : (folds, BLOCK_SIZE, BLOCK_SIZE) float64
        w_c^T C_b z_a by b, c, a, with w and z multiplied by the pairs of their folds.
    """

    def __init__(self, pairs: Floats, first: Floats, forms: Floats) -> None:
        self.fractions = pairs / max(pairs.sum(), 1.0)
        self._pairs, self._first = pairs, first
        # Rows: the middle fold b. Column k of each array, with sums over all folds j:
        #   same_fold    w_k^T C_b z_k
        #   any_left     sum_j w_j^T C_b z_k
        #   any_right    sum_j w_k^T C_b z_j
        #   middle_left  w_b^T C_b z_k
        #   middle_right w_k^T C_b z_b
        b = np.arange(len(pairs))
        forms = forms[:, : len(pairs), : len(pairs)]
        self._same_fold = np.einsum("bkk->bk", forms)
        self._any_left, self._any_right = forms.sum(axis=1), forms.sum(axis=2)
        self._middle_left, self._middle_right = forms[b, b, :], forms[b, :, b]
        # Sum over distinct folds c, a other than b of w_c^T C_b z_a: the sum over all c and a,
        # minus those with a = b, with c = b and with c = a, which all contain a = c = b.
        self._distinct = (
            self._any_left.sum(axis=1)
            - self._any_left[b, b]
            - self._any_right[b, b]
            + 2 * self._same_fold[b, b]
            - self._same_fold.sum(axis=1)
        )

    def moments(self, left_out: int | None = None) -> tuple[float, float, float]:
        """(F, T, F^3): u^T C v, and over triples of distinct folds u^T C C^T C v and the cube."""
        pairs, used = self._pairs, np.ones(len(self._pairs), dtype=bool)
        distinct = self._distinct
        if left_out is not None:
            d = left_out
            used[d] = False
            # Subtract the triples that have fold d as a, then those that have it as c. The row
            # b = d is dropped by `used`.
            distinct = (
                distinct
                - (self._any_left[:, d] - self._middle_left[:, d] - self._same_fold[:, d])
                - (self._any_right[:, d] - self._middle_right[:, d] - self._same_fold[:, d])
            )
        n = pairs[used]
        first = n * self._first[used]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = float(np.divide(first.sum(), n.sum()))
            triples = _sum_over_triples(n)
            third = float(np.divide(n @ distinct[used], triples))
            cube = float(np.divide(_sum_over_triples(first), triples))
        return mean, third, cube

    def error_of_first(self) -> float:
        """Standard error of u^T C v over the folds."""
        mean = float(self.fractions @ self._first)
        return self._error_from_influence(self.fractions * (self._first - mean))

    def jackknife_error(self, estimate: float, left_out: Floats) -> float:
        """Standard error of an estimate from its values with each fold left out."""
        return self._error_from_influence((1 - self.fractions) * (estimate - left_out))

    def _error_from_influence(self, influence: Floats) -> float:
        """Root of the summed squares over the m folds with pairs, times m / (m - 1)."""
        influence = influence[self._pairs > 0]
        m = len(influence)
        return math.sqrt(m / (m - 1) * float(influence @ influence))

    @property
    def freedom(self) -> float:
        """Effective number of folds, less one."""
        return 1.0 / float(self.fractions @ self.fractions) - 1.0


def _sum_over_triples(x: Floats) -> float:
    """sum of x_a x_b x_c over ordered triples of distinct a, b, c."""
    total, squares = float(x.sum()), float(x @ x)
    return total**3 - 3 * total * squares + 2 * float(x @ x**2)


def _debiased(moments: Floats, largest: float) -> float:
    """The norm from (F, T, F^3) of both halves, (2, 3), at most `largest`; NaN where F <= 0."""
    total = float(moments[:, 0].sum())
    if not total > 0:
        return math.nan
    cosines = 0.0
    for first, third, cube in moments:
        if first > 0:
            # Few folds that differ much leave little of the cube, and the ratio is noise.
            squared = 1.0 + (third - cube) / max(cube, _LEAST_CUBE * first**3)
            cosines += 1.0 / math.sqrt(max(squared, _LEAST_RATIO))
    return min(total / cosines, largest)


def _combine(halves: list[_HalfMoments], norm: float) -> CrossFit:
    """The norm from the moments of both halves, and its jackknife over all folds."""
    moments = np.array([half.moments() for half in halves])
    first = float(moments[:, 0].mean())
    error_of_first = math.hypot(*(half.error_of_first() for half in halves)) / 2
    # The upper bound as a multiple of F: with a fold left out, both change by the same factor.
    largest = max(1.0, norm / first) if first > 0 else math.inf
    # The jackknife of the estimate without its lower bound, which would hide a part of its noise.
    centre = _debiased(moments, largest * first)
    variance = 0.0
    left_out: list[float] = []
    for h, half in enumerate(halves):
        norms = []
        for d in range(FOLDS_PER_HALF):
            # Leaving a fold out changes the moments of its own half only.
            changed = moments.copy()
            changed[h] = half.moments(d)
            norms.append(_debiased(changed, largest * float(changed[:, 0].mean())))
        variance += half.jackknife_error(centre, np.array(norms)) ** 2
        left_out += norms
    estimate = max(centre, min(first, norm) - error_of_first)
    return CrossFit(
        crossfit=first,
        crossfit_error=error_of_first,
        debiased=estimate if estimate > 0 else math.nan,
        debiased_error=math.sqrt(variance),
        freedom=sum(half.freedom for half in halves),
        left_out=tuple(estimate - centre + value for value in left_out),
    )
