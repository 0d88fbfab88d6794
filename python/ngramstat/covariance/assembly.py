"""Norms over lags put together: validity, replicates, how far the lags reach, and beta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.covariance.cross_fit import MIN_FOLDS, CrossFit
from ngramstat.covariance.measurement import CorrelationOptions, LagMeasurement, most_frequent
from ngramstat.errors import NgramstatError
from ngramstat.exponents.bootstrap import percentile_interval
from ngramstat.exponents.decay import METHOD, beta_exponent, replicate_exponents
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.kernels import token_counts
from ngramstat.results import CorrelationResult, Exponent, Replicates, VocabCut
from ngramstat.sampling.documents import (
    FOLDS,
    DocumentBootstrap,
    Units,
    statistical_units,
)

__all__ = [
    "FALSE_SHARE",
    "VALID_RATIO",
    "assemble_correlations",
    "crossing_reach",
    "sequential_reach",
]

Floats = NDArray[np.float64]

# A norm is the corpus's own if it is this many times what noise alone would show (docs/theory.md 4).
VALID_RATIO = 1.5
# Without any correlation the cross-fitted norm of a lag passes its test in this share of the cases.
FALSE_SHARE = 1e-3
# Entries of C(t) are differences of probabilities: what is smaller than this is rounding.
_ROUNDING = 1e-13
# A norm whose residual is more than this share of it is not known well enough to be used.
_LARGEST_RESIDUAL = 1e-2
# Lags of the stream at which more of the pairs than this cross document ends are not fitted: they
# are short by about this share, as tokens of different documents are hardly correlated. Over two
# decades up to this share the slope is .06 too large, over one .1: the size of the paper's errors.
_MAX_CROSSING = 0.25
# What removing the composition takes from every lag may be at most the third part of what it
# leaves: the norm is then short by a quarter at the most.
_MIN_LEFT = 3.0
# Of a document's pairs, at least this share counts as beyond what the sum over lags has seen.
_MIN_UNSEEN = 0.25
# And lags are at most this share of a typical document, whose ends hold few pairs and many effects
# of position.
_MAX_OF_DOCUMENT = 0.25


def assemble_correlations(
    corpus: Corpus, options: CorrelationOptions, measured: Sequence[LagMeasurement]
) -> CorrelationResult:
    """One result from the measurements at all lags, with the fits of beta."""
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    lags = np.array([m.lag for m in measured], dtype=np.int64)
    if lags.tolist() != list(options.lags):
        raise NgramstatError("the measured lags are not those of the options")

    def column(name: str) -> Floats:
        return np.array([getattr(m, name) for m in measured], dtype=np.float64)

    norm, floor = column("norm"), column("noise_floor")
    sequential = column("norm_sequential")
    settled = column("residual") <= _LARGEST_RESIDUAL * norm
    fits = _Fits([m.cross_fit for m in measured], floor)
    shuffled_floor = column("permutation_floor")
    # The sequential norm has to stand clear of both nulls.
    sequential_fits = _Fits(
        [m.cross_fit_sequential for m in measured], np.fmax(floor, shuffled_floor)
    )
    valid = fits.valid & (norm > _ROUNDING) & settled
    valid_sequential = sequential_fits.valid & (np.nan_to_num(sequential) > _ROUNDING)
    replicates = fits.replicates(np.stack([m.replicates for m in measured], axis=1), norm, options)
    sequential_replicates = sequential_fits.replicates(
        np.stack([m.sequential_replicates for m in measured], axis=1), sequential, options
    )
    intervals = np.array(
        [
            percentile_interval(np.maximum(r, 0.0), options.level)
            if np.isfinite(r).all()
            else (np.nan, np.nan)
            for r in replicates.T
        ]
    )
    n = corpus.n_tokens
    crossing = np.array(
        [units.crossing_pairs(lag) / max(n - lag, 1) for lag in options.lags]
        if options.boundary == "stream" and not units.are_blocks
        else np.zeros(len(lags))
    )
    beta = _beta(lags, fits, valid, replicates, units, options, crossing_reach(lags, crossing))
    beta_sequential = _beta(
        lags,
        sequential_fits,
        valid_sequential,
        sequential_replicates,
        units,
        options,
        sequential_reach(lags, sequential_fits.debiased, units.content_lengths),
        measured=options.sequential,
    )
    left_types = np.stack([m.left.types for m in measured])
    right_types = np.stack([m.right.types for m in measured])
    k = min(len(m.singular_values) for m in measured)
    return CorrelationResult(
        lags=lags,
        pairs=np.array([m.pairs for m in measured], dtype=np.uint64),
        norm=norm,
        norm_low=intervals[:, 0],
        norm_high=intervals[:, 1],
        norm_sequential=sequential,
        composition_norm=column("composition_norm"),
        position_norm=column("position_norm"),
        position_floor=column("position_floor"),
        norm_sequential_debiased=sequential_fits.debiased,
        norm_crossfit=fits.crossfit,
        norm_debiased=fits.debiased,
        noise_floor=floor,
        permutation_floor=shuffled_floor,
        analytic_floor=column("analytic_floor"),
        valid_sequential=valid_sequential,
        vocab_cut=_vocab_cut(corpus, options, norm, column("full_norm")),
        frobenius=column("frobenius"),
        singular_values=np.stack([m.singular_values[:k] for m in measured]),
        left_types=left_types,
        left_loadings=np.stack([m.left.values for m in measured]),
        right_types=right_types,
        right_loadings=np.stack([m.right.values for m in measured]),
        type_texts=_texts(corpus, left_types, right_types),
        residual=column("residual"),
        valid=valid,
        crossing_share=crossing,
        separator_share=column("separator_share"),
        beta=beta,
        beta_sequential=beta_sequential,
        bootstrap=Replicates(
            seed=options.seed,
            clusters=DocumentBootstrap(
                len(units.spans), options.replicates, options.seed
            ).n_clusters,
            beta=replicate_exponents(beta, lags, fits.debiased, replicates),
            beta_sequential=replicate_exponents(
                beta_sequential, lags, sequential_fits.debiased, sequential_replicates
            ),
        )
        if options.replicates > 0
        else None,
        boundary=options.boundary,
        documents_are_blocks=units.are_blocks,
    )


def _texts(corpus: Corpus, *types: NDArray[np.int64]) -> dict[str, str] | None:
    """What the named types stand for; None without a tokenizer."""
    if corpus.tokenizer_path is None:
        return None
    ids = np.unique(np.concatenate([part.ravel() for part in types]))
    ids = ids[ids >= 0]
    return dict(zip(map(str, ids.tolist()), corpus.decode(ids), strict=True))


def _vocab_cut(
    corpus: Corpus, options: CorrelationOptions, norm: Floats, full_norm: Floats
) -> VocabCut | None:
    if options.vocab_top is None:
        return None
    kept = most_frequent(corpus, options.vocab_top)
    counts = token_counts(corpus.tokens, corpus.vocab_size)
    return VocabCut(
        top=int(kept.sum()),
        dropped_mass=float(counts[~kept].sum() / corpus.n_tokens),
        full_norm=full_norm,
        # A principal submatrix never has the larger norm; what rounding says else is none.
        bound=np.maximum(full_norm - norm, 0.0),
    )


def crossing_reach(lags: NDArray[np.int64], crossing: Floats) -> tuple[float, str] | None:
    """Largest lag before too many pairs cross document ends, and why no more; None for all."""
    return _before(
        lags,
        crossing > _MAX_CROSSING,
        f"more than {100 * _MAX_CROSSING:.0f} % of the pairs there cross document ends and are "
        "hardly correlated (boundary document keeps inside)",
    )


def sequential_reach(
    lags: NDArray[np.int64], norm: Floats, lengths: NDArray[np.int64]
) -> tuple[float, str] | None:
    """Largest lag at which document lengths hardly touch the sequential norms, and why no more.

    The mean over all shuffles of a document holds the pairs of all its lags, so that removing it
    takes M = sum_t v_t C(t) from C at every lag, v_t the share of a document's pairs at lag t;
    where C(t) is below M the sequential covariance turns round. M is estimated from the sequential
    norms s(t) = C(t) - M themselves: with S and V the sums of v_t s(t) and v_t up to the lag T
    where the norm is least, so has not turned round yet, and C ~ 1 / t beyond it,

        M = S + V M + G (s(T) + M),  G = sum over t > T of v_t T / t.

    Parameters
    ----------
    lags : (n,) int64
    norm : (n,) float64
        Sequential norms, NaN where lost in the noise.
    lengths : (n_documents,) int64
        Tokens of each document, without separators.

    Returns
    -------
    (lag, reason) or None
        None where no measured lag has to be left out.
    """
    lengths = np.sort(lengths[lengths > 1]).astype(np.float64)
    if len(lengths) == 0:
        return None
    # Half of the tokens lie in documents at most this long.
    typical = float(lengths[np.searchsorted(np.cumsum(lengths), lengths.sum() / 2)])
    short = lags <= _MAX_OF_DOCUMENT * typical
    reach = _before(
        lags,
        ~short,
        f"documents are typically {typical:,.0f} tokens long, and lags beyond a quarter of that "
        "are shaped by their ends",
    )
    if not short.any():
        return reach
    known, heights = lags[short], np.nan_to_num(norm[short])
    falling = slice(0, int(np.argmin(heights)) + 1)
    last = int(known[falling][-1])
    grid = np.arange(1, last + 1)
    share = 2 * np.array([np.maximum(1 - t / lengths, 0.0).sum() for t in known[falling]])
    share /= float((lengths - 1).sum())
    weights = np.interp(grid, known[falling], share)
    curve = np.interp(np.log(grid), np.log(known[falling]), heights[falling])
    # v_t T / t, in the limit of many lags: 2 (L - t) / L^2, by its integral.
    ratio = np.maximum(lengths / last, 1.0)
    tail = float((2 * last * (np.log(ratio) - 1 + 1 / ratio)).sum() / lengths.sum())
    left = 1 - float(weights.sum()) - tail
    removed = (float(weights @ curve) + tail * heights[falling][-1]) / max(left, _MIN_UNSEEN)
    lost = _before(
        known,
        heights < _MIN_LEFT * removed,
        "documents are so short there that removing their composition takes more than a quarter of "
        "the norm",
    )
    return reach if lost is None else lost


def _before(lags: NDArray[np.int64], bad: NDArray[np.bool_], why: str) -> tuple[float, str] | None:
    if not bad.any():
        return None
    first = int(bad.argmax())
    return (float(lags[first - 1]) if first else 0.0), why


def _beta(
    lags: NDArray[np.int64],
    fits: _Fits,
    valid: NDArray[np.bool_],
    replicates: Floats,
    units: Units,
    options: CorrelationOptions,
    longest: tuple[float, str] | None,
    measured: bool = True,
) -> Exponent:
    if not measured:
        return Exponent.refused(
            "not measured (--no-sequential)",
            method=METHOD.format("debiased norm"),
            level=options.level,
        )
    if not fits.enough.any():
        return Exponent.refused(
            f"too few documents for independent folds of them: {len(units.spans)}, where "
            f"{MIN_FOLDS} of about equal length with pairs at these lags are needed",
            method=METHOD.format("debiased norm"),
            level=options.level,
        )
    return beta_exponent(
        MeasuredDecay(lags, fits.debiased, valid, replicates=replicates, left_out=fits.left_out),
        window=options.window,
        level=options.level,
        quantity="debiased norm",
        longest=longest,
    )


class _Fits:
    """The cross-fits of one covariance at all lags; arrays are (n_lags,)."""

    def __init__(self, fits: Sequence[CrossFit], floor: Floats) -> None:
        self.fits = fits
        self.debiased = np.array([fit.debiased for fit in fits])
        self.crossfit = np.array([fit.crossfit for fit in fits])
        self.left_out = (
            np.array([fit.left_out or (np.nan,) * FOLDS for fit in fits])
            .reshape(len(fits), FOLDS)
            .T
        )
        # Whether there were documents enough to cross-fit.
        self.enough = np.isfinite(self.crossfit)
        with np.errstate(invalid="ignore"):
            significant = self.crossfit >= [self._significance(fit) for fit in fits]
            self.valid = significant & (self.debiased >= VALID_RATIO * floor)

    @staticmethod
    def _significance(fit: CrossFit) -> float:
        """What u^T C v exceeds by chance, without any correlation, in FALSE_SHARE of the cases."""
        from scipy.stats import t as student

        if not fit.freedom >= 1:
            return float("nan")
        return float(student.isf(FALSE_SHARE, fit.freedom)) * fit.crossfit_error

    def replicates(
        self, fixed_vectors: Floats, norm: Floats, options: CorrelationOptions
    ) -> Floats:
        """Replicates of the debiased norm, (n_replicates, n_lags).

        The document bootstrap holds the vectors fixed; what their own noise adds is known from the
        jackknife of the debiased norm, whose few degrees of freedom widen it.
        """
        from scipy.stats import norm as normal
        from scipy.stats import t as student

        count = len(fixed_vectors)
        tail = (1 - options.level) / 2
        spread = fixed_vectors.std(axis=0, ddof=1) if count > 1 else np.zeros(len(norm))
        out = np.full_like(fixed_vectors, np.nan)
        for k, fit in enumerate(self.fits):
            if not (np.isfinite(fit.debiased_error) and fit.freedom >= 1):
                continue
            wider = float(student.isf(tail, fit.freedom) / normal.isf(tail)) * fit.debiased_error
            extra = float(np.sqrt(max(wider**2 - spread[k] ** 2, 0.0)))
            rng = np.random.default_rng([options.seed, 5, options.lags[k]])
            noise = extra * rng.standard_normal(count)
            out[:, k] = fit.debiased + (fixed_vectors[:, k] - norm[k]) + noise
        return out
