"""The norm of C(t) without the bias of noise: cross-fitting over folds of the documents.

The largest singular value of an estimated matrix is biased up, since its vectors follow the noise:
by about noise^2 / norm where the leading value stands alone, and by the noise itself where many are
equal. Vectors u, v from one half of the documents do not know the noise of the other half, but then
u^T C v is too small, as they are not the true ones. The remedy is one step of the power iteration
with independent copies of C in every factor,

    norm^2 = u^T C_a C_b^T C_c v / u^T C_d v,

which multiplies the true component of u v^T by norm^2 and leaves nothing of what lies where C is
zero: exact to all orders for C of rank one and for C with equal singular values, and nearly so in
between (spectra that fall slowly keep a downward bias of second order, noise^2 / norm^2 times the
share of near-equal values). a, b, c, d run over distinct folds of the half that u, v do not
come from. The error is a jackknife over the folds. A fold of few documents has marginals of
its own, and less their product its pairs would miss the composition of those documents; so its
tokens are centred by the marginals of the half's other folds. This estimator is our own;
`benchmarks/calibration.md` has its bias and coverage on worlds of known answer.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.kernels import (
    BLOCK_SIZE,
    CountMatrix,
    PairLabel,
    bilinear_sums_by_class,
    multiply_pairs_by_class,
)
from ngramstat.linear_algebra.lanczos import as_block
from ngramstat.sampling.documents import FOLDS, Units

__all__ = ["MIN_FOLDS", "CrossFit", "ShuffledPairs", "cross_fit"]

Floats = NDArray[np.float64]

_HALF = FOLDS // 2
# In each half: distinct folds in three factors, and one more to leave out.
_MIN_PER_HALF = 4
MIN_FOLDS = 2 * _MIN_PER_HALF

assert _HALF <= BLOCK_SIZE


@dataclass(frozen=True)
class CrossFit:
    """What cross-fitting finds at one lag; NaN where there are too few documents or no signal.

    Attributes
    ----------
    crossfit, crossfit_error : float
        Mean of u^T C v over both halves (biased down), and its standard error.
    debiased, debiased_error : float
        Estimate of the norm, and its jackknife standard error.
    freedom : float
        Degrees of freedom of both errors.
    left_out : tuple of float
        The debiased norm with each of the FOLDS left out, those of half 0 first; empty where
        there is none.
    """

    crossfit: float = math.nan
    crossfit_error: float = math.nan
    debiased: float = math.nan
    debiased_error: float = math.nan
    freedom: float = math.nan
    left_out: tuple[float, ...] = ()

    def to_array(self) -> Floats:
        """All numbers in one array."""
        *numbers, left_out = astuple(self)
        return np.array([*numbers, *left_out])

    @classmethod
    def from_array(cls, values: Floats) -> CrossFit:
        """What `to_array` was made of."""
        names = [f.name for f in fields(cls)][:-1]
        numbers = dict(zip(names, values.tolist(), strict=False))
        return cls(**numbers, left_out=tuple(values[len(names) :].tolist()))


@dataclass(frozen=True)
class ShuffledPairs:
    """What shuffling inside documents leaves of their pairs, fold by fold (docs/theory.md 4).

    K_b = sum over documents d of fold b of rate_d (c_d c_d^T - diag c_d), c_d the counts of the
    document's tokens: the mean number of pairs over all shuffles.

    Attributes
    ----------
    counts : CountMatrix
        c, (n_documents, V).
    rates : (n_documents,) float64
        Pairs at the lag divided by all ordered pairs, L (L - 1).
    folds : (n_documents,) uint8
    """

    counts: CountMatrix
    rates: Floats
    folds: NDArray[np.uint8]
    threads: int = 1

    def _by_fold(self, per_document: Floats) -> Floats:
        """sum of x_d c_d over the documents of each fold, (FOLDS, V)."""
        found = []
        for h in (0, 1):
            lanes = np.zeros((len(per_document), BLOCK_SIZE))
            mine = np.flatnonzero(self.folds // _HALF == h)
            lanes[mine, self.folds[mine] % _HALF] = per_document[mine]
            product = self.counts.multiply_transposed(lanes, 1.0, 0.0, self.threads)
            found.append(product[:, :_HALF].T)
        return np.concatenate(found)

    def multiply(self, x: Floats, weights: Floats) -> Floats:
        """K_b x_h for x of shape (2, V), h the half of b; `weights` is sum of rate_d c_d."""
        projected = self.counts.multiply(as_block(*x), 1.0, 0.0, self.threads)
        own = projected[np.arange(len(self.rates)), self.folds // _HALF]
        half = np.repeat([0, 1], _HALF)
        product: Floats = self._by_fold(self.rates * own) - weights * x[half]
        return product

    def weights(self) -> Floats:
        """sum of rate_d c_d, (FOLDS, V)."""
        return self._by_fold(self.rates)

    def bilinear(self, a: Floats, b: Floats, weights: Floats) -> Floats:
        """The sums of `bilinear_sums_by_class` with K_b for the pairs, (FOLDS, 5, BLOCK_SIZE)."""
        out = np.zeros((FOLDS, 5, BLOCK_SIZE))
        for h in (0, 1):
            left = self.counts.multiply(np.ascontiguousarray(a[h]), 1.0, 0.0, self.threads)
            right = self.counts.multiply(np.ascontiguousarray(b[h]), 1.0, 0.0, self.threads)
            a_sum, b_sum = a[h].sum(axis=1), b[h].sum(axis=1)
            for k in range(_HALF):
                fold = h * _HALF + k
                mine = self.folds == fold
                x, y, rate = left[mine], right[mine], self.rates[mine]
                m = weights[fold]
                out[fold] = [
                    rate @ (x * y) - m @ (a[h] * b[h]),
                    (rate * x.sum(axis=1)) @ y - (m * a_sum) @ b[h],
                    (rate * y.sum(axis=1)) @ x - (m * b_sum) @ a[h],
                    (rate * x[:, k]) @ y - (m * a[h][:, k]) @ b[h],
                    (rate * y[:, k]) @ x - (m * b[h][:, k]) @ a[h],
                ]
        return out


def cross_fit(
    corpus: Corpus,
    units: Units,
    lag: int,
    left: Floats,
    right: Floats,
    *,
    stream: bool,
    shuffled: ShuffledPairs | None = None,
    kept: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> CrossFit:
    """Cross-fitted norm of C(t) at one lag.

    Parameters
    ----------
    corpus : Corpus
    units : Units
    lag : int
    left, right : (2, V) float64
        Leading singular vectors u, v of C(t) from each half of the documents.
    stream : bool
        Pairs run across the units' ends.
    shuffled : ShuffledPairs, optional
        Take these off the pairs, in place of the product of marginals: the sequential covariance.
    kept : (V,) bool, optional
        Types that C(t) is restricted to; `left` and `right` are zero at the others.
    """
    documents = units.documents
    # The folds of a half are measured with the other half's vectors.
    u, v = left[::-1], right[::-1]
    jv, ju, left_counts, right_counts = multiply_pairs_by_class(
        corpus.tokens,
        corpus.vocab_size,
        lag,
        u,
        v,
        documents,
        across=stream,
        by=PairLabel.fold,
        threads=threads,
    )
    pairs = left_counts.sum(axis=1).astype(np.float64)
    half = np.repeat([0, 1], _HALF)
    # Per pair; a fold without pairs has zeros everywhere and no weight.
    scale = np.divide(1.0, pairs, out=np.zeros_like(pairs), where=pairs > 0)[:, None]
    if shuffled is None:
        p, q = left_counts * scale, right_counts * scale
        p_off, q_off = p - _others(left_counts), q - _others(right_counts)
        p_off, q_off = p_off * (scale > 0), q_off * (scale > 0)
        # C v of each fold, and C^T u; sum of (e_i - p') (e_j - q')^T over its pairs, p' and q'
        # the others' marginals, is J - p q^T + (p - p') (q - q')^T.
        w = jv * scale - p * _dot(q, v[half]) + p_off * _dot(q_off, v[half])
        z = ju * scale - q * _dot(p, u[half]) + q_off * _dot(p_off, u[half])
    else:
        expected = shuffled.weights()
        w = (jv - shuffled.multiply(v, expected)) * scale
        z = (ju - shuffled.multiply(u, expected)) * scale
    if kept is not None:
        w, z = w * kept, z * kept
    x = np.sum(w * u[half], axis=1)

    # Rounded, which moves vectors that are estimates anyway; all below is of what they then are.
    short_a, short_b = (_lanes(pairs[:, None] * part).astype(np.float32) for part in (w, z))
    sums = bilinear_sums_by_class(
        corpus.tokens,
        corpus.vocab_size,
        lag,
        short_a,
        short_b,
        documents,
        across=stream,
        by=PairLabel.fold,
        threads=threads,
    )
    a, b = short_a.astype(np.float64), short_b.astype(np.float64)
    if shuffled is None:
        sums = sums * scale[:, :, None] - _marginal_sums(p, q, a, b)
        sums += _marginal_sums(p_off, q_off, a, b)
    else:
        sums = (sums - shuffled.bilinear(a, b, expected)) * scale[:, :, None]
    halves = [_Half(pairs[half == h], x[half == h], sums[half == h][:, :, :_HALF]) for h in (0, 1)]
    if min(part.folds for part in halves) < _MIN_PER_HALF:
        return CrossFit()
    return _combine(halves)


def _dot(rows: Floats, vectors: Floats) -> Floats:
    found: Floats = np.sum(rows * vectors, axis=1)[:, None]
    return found


def _others(counts: NDArray[np.uint64]) -> Floats:
    """Marginal of the other folds of each fold's half, (FOLDS, V)."""
    by_half = counts.reshape(2, _HALF, -1)
    rest = (by_half.sum(axis=1, keepdims=True) - by_half).reshape(FOLDS, -1)
    found: Floats = rest / np.maximum(rest.sum(axis=1), 1.0)[:, None]
    return found


def _lanes(rows: Floats) -> Floats:
    """(FOLDS, V) as (2, V, BLOCK_SIZE): a half's folds side by side."""
    size = rows.shape[1]
    out = np.zeros((2, size, BLOCK_SIZE))
    out[:, :, :_HALF] = rows.reshape(2, _HALF, size).transpose(0, 2, 1)
    return out


def _marginal_sums(p: Floats, q: Floats, a: Floats, b: Floats) -> Floats:
    """The sums of `bilinear_sums_by_class` with p q^T of each fold for the pairs."""
    pa = np.concatenate([p[:_HALF] @ a[0], p[_HALF:] @ a[1]])
    qb = np.concatenate([q[:_HALF] @ b[0], q[_HALF:] @ b[1]])
    rows = np.arange(FOLDS)
    own = rows % _HALF
    return np.stack(
        [
            pa * qb,
            pa.sum(axis=1, keepdims=True) * qb,
            pa * qb.sum(axis=1, keepdims=True),
            pa[rows, own][:, None] * qb,
            pa * qb[rows, own][:, None],
        ],
        axis=1,
    )


class _Half:
    """u^T C v and u^T C C^T C v over the folds of one half, whole and with each left out.

    Folds count by their pairs. `sums` are those of `bilinear_sums_by_class`, centred, of the
    vectors weighted by pairs.
    """

    def __init__(self, pairs: Floats, x: Floats, sums: Floats) -> None:
        self.folds = int(np.count_nonzero(pairs))
        self.shares = pairs / max(pairs.sum(), 1.0)
        self._pairs, self._x = pairs, x
        both, by_right, by_left, self._own_row, self._own_column = sums.transpose(1, 0, 2)
        self._both, self._by_right, self._by_left = both, by_right, by_left
        own = np.arange(len(pairs))
        # Sum over distinct folds c, a other than b of w_c^T C_b z_a.
        self._distinct = (
            by_right.sum(axis=1)
            - by_right[own, own]
            - by_left[own, own]
            + 2 * both[own, own]
            - both.sum(axis=1)
        )

    def moments(self, left_out: int | None = None) -> tuple[float, float]:
        """(u^T C v, u^T C C^T C v)."""
        pairs, kept = self._pairs, np.ones(len(self._pairs), dtype=bool)
        distinct = self._distinct
        if left_out is not None:
            d = left_out
            kept[d] = False
            # What fold d took part in as w_d or z_d, with every other fold b in the middle.
            distinct = (
                distinct
                - (self._by_right[:, d] - self._own_row[:, d] - self._both[:, d])
                - (self._by_left[:, d] - self._own_column[:, d] - self._both[:, d])
            )
        n = pairs[kept]
        total, squares = n.sum(), float(n @ n)
        weight = float(n @ ((total - n) ** 2 - (squares - n**2)))
        with np.errstate(invalid="ignore", divide="ignore"):
            first = float(np.divide(n @ self._x[kept], total))
            third = float(np.divide(n @ distinct[kept], weight))
        return first, third

    def error_of_first(self) -> float:
        """Standard error of u^T C v over the folds."""
        mean = float(self.shares @ self._x)
        return self._spread(self.shares * (self._x - mean))

    def spread(self, whole: float, left_out: Floats) -> float:
        """Jackknife standard error from a statistic's values with each fold left out."""
        return self._spread((1 - self.shares) * (whole - left_out))

    def _spread(self, influence: Floats) -> float:
        influence = influence[self._pairs > 0]
        m = len(influence)
        return math.sqrt(m / (m - 1) * float(influence @ influence))

    @property
    def freedom(self) -> float:
        """Effective number of folds, less one."""
        return 1.0 / float(self.shares @ self.shares) - 1.0


def _signed_norm(first: float, third: float) -> float:
    """Square root of third / first with its sign: no norm where negative, but it has an error."""
    if first == 0:
        return math.nan
    ratio = third / first
    return math.copysign(math.sqrt(abs(ratio)), ratio)


def _combine(halves: list[_Half]) -> CrossFit:
    moments = np.array([part.moments() for part in halves])
    first, third = moments.mean(axis=0)
    whole = _signed_norm(first, third)
    variance = 0.0
    left_out: list[float] = []
    for h, part in enumerate(halves):
        others = []
        for d in range(_HALF):
            changed = moments.copy()
            changed[h] = part.moments(d)
            others.append(_signed_norm(*changed.mean(axis=0)))
        variance += part.spread(whole, np.array(others)) ** 2
        left_out += others
    return CrossFit(
        crossfit=float(first),
        crossfit_error=math.hypot(*(part.error_of_first() for part in halves)) / 2,
        debiased=whole if first > 0 and third > 0 else math.nan,
        debiased_error=math.sqrt(variance),
        freedom=sum(part.freedom for part in halves),
        left_out=tuple(left_out),
    )
