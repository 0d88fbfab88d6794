"""The measurements at all lags as one result: validity, intervals, replicates, and beta."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.covariance.boundary_effect import boundary_effect
from ngramstat.covariance.cross_fit import MIN_FOLDS, CrossFit
from ngramstat.covariance.lag_limits import (
    MAX_OF_DOCUMENT,
    LagLimit,
    crossing_limit,
    document_reach,
    sequential_limit,
)
from ngramstat.covariance.measurement import LagMeasurement, TopTokens, most_frequent
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.covariance.periodicity import find_periods
from ngramstat.errors import NgramstatError
from ngramstat.exponents.decay import METHOD, beta_exponent, replicate_exponents
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.exponents.decay_difference import exponent_difference
from ngramstat.exponents.decay_sensitivity import raised_lags
from ngramstat.exponents.distributions import normal_quantile, student_quantile
from ngramstat.exponents.intervals import percentile_interval
from ngramstat.exponents.paper_protocol import paper_beta
from ngramstat.exponents.point_errors import law_of_points
from ngramstat.kernels import token_counts
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    BoundaryEffect,
    CorrelationResult,
    Exponent,
    ExponentDifference,
    Periodicity,
    PeriodicStructures,
    Replicates,
    VocabCut,
)
from ngramstat.sampling.design import FOLDS, SamplingDesign

__all__ = ["FALSE_POSITIVE_RATE", "VALID_RATIO", "assemble_correlations"]

Floats = NDArray[np.float64]

# A norm belongs to the corpus if it is this many times what noise alone would show
# (docs/theory.md 4).
VALID_RATIO = 1.5
# Without any correlation the cross-fitted norm of a lag passes its test at this rate.
FALSE_POSITIVE_RATE = 1e-3
# Entries of C(t) are differences of probabilities: what is smaller than this is rounding.
_ROUNDING = 1e-13
# A norm whose residual is more than this fraction of it is not known well enough to be used.
_MAX_RESIDUAL = 1e-2


def assemble_correlations(
    design: SamplingDesign,
    options: CorrelationOptions,
    measured: Sequence[LagMeasurement],
    periodic: Sequence[Periodicity] | None = None,
) -> CorrelationResult:
    """One result from the measurements at all lags, with the fits of beta.

    The periodic structures of the corpus are looked for here if they are not given.
    """
    if [m.lag for m in measured] != list(options.lags):
        raise NgramstatError("the measured lags are not those of the options")
    columns = _shared_columns(measured)
    plain = _plain_series(options, measured, columns)
    sequential = _sequential_series(options, measured, columns)
    low, high = _norm_intervals(plain.replicates, options.level)
    limits = _lag_limits(design, options, sequential)
    periodic = find_periods(design.corpus) if periodic is None else tuple(periodic)
    beta = _beta(design, options, plain, limits[0], plug_in=columns["norm"])
    beta = _with_corpus(beta, plain.decay(options), design, periodic)
    beta_sequential = _beta(design, options, sequential, limits[1], is_measured=options.sequential)
    beta_sequential = _with_corpus(beta_sequential, sequential.decay(options), design, periodic)
    reach = None if design.are_blocks else document_reach(design.content_lengths)
    return CorrelationResult(
        lags=np.array(options.lags, dtype=np.int64),
        **columns,
        norm_low=low,
        norm_high=high,
        norm_crossfit=plain.cross_fits.crossfit,
        norm_debiased=plain.cross_fits.debiased,
        norm_sequential_debiased=sequential.cross_fits.debiased,
        valid=plain.valid,
        valid_sequential=sequential.valid,
        crossing_share=_crossing_fractions(design, options),
        periodic=PeriodicStructures(structures=periodic) if periodic else None,
        boundary_effect=_boundary_effect(design, options, columns, beta),
        document_reach=None if reach is None else reach[0],
        longest_document=None if reach is None else reach[1],
        vocab_cut=_vocab_cut(design.corpus, options, measured, columns["norm"]),
        **_top_tokens(design.corpus, measured),
        **_spans_of_documents(design, columns["top_documents"]),
        beta=beta,
        beta_sequential=beta_sequential,
        composition_effect=_composition_effect(options, plain, sequential, beta, limits[1]),
        bootstrap=_bootstrap(design, options, plain, sequential, (beta, beta_sequential)),
        boundary=design.boundary.value,
        documents_are_blocks=design.are_blocks,
    )


def _shared_columns(measured: Sequence[LagMeasurement]) -> dict[str, Any]:
    """Fields that a lag's measurement and the result share by name, one entry a lag."""
    shared = {f.name for f in dataclasses.fields(LagMeasurement)}
    shared &= {f.name for f in dataclasses.fields(CorrelationResult)}
    columns: dict[str, Any] = {}
    for name in shared:
        values = [getattr(m, name) for m in measured]
        if isinstance(values[0], np.ndarray):
            # Small vocabularies have fewer singular values than were asked for.
            length = min(len(value) for value in values)
            columns[name] = np.stack([value[:length] for value in values])
        else:
            dtype = np.uint64 if isinstance(values[0], int) else np.float64
            columns[name] = np.array(values, dtype=dtype)
    return columns


@dataclasses.dataclass(frozen=True)
class _NormSeries:
    """One of the two norms over the lags, with all that the fit of its exponent needs."""

    cross_fits: _CrossFits
    valid: NDArray[np.bool_]
    replicates: Floats

    def decay(self, options: CorrelationOptions) -> MeasuredDecay:
        """The debiased norms over the lags, to be fitted."""
        return MeasuredDecay(
            np.array(options.lags, dtype=np.int64),
            self.cross_fits.debiased,
            self.valid,
            replicates=self.replicates,
            left_out=self.cross_fits.left_out,
        )


def _plain_series(
    options: CorrelationOptions,
    measured: Sequence[LagMeasurement],
    columns: dict[str, Any],
) -> _NormSeries:
    """||C(t)||: it has to exceed the noise floor, and its triplet to have converged."""
    norm = columns["norm"]
    fits = _CrossFits([m.cross_fit for m in measured], columns["noise_floor"])
    converged = columns["residual"] <= _MAX_RESIDUAL * norm
    replicates = np.stack([m.replicates for m in measured], axis=1)
    return _NormSeries(
        fits,
        fits.valid & (norm > _ROUNDING) & converged,
        fits.replicates(replicates, norm, options),
    )


def _sequential_series(
    options: CorrelationOptions,
    measured: Sequence[LagMeasurement],
    columns: dict[str, Any],
) -> _NormSeries:
    """The sequential norm: it has to exceed both nulls."""
    norm = columns["norm_sequential"]
    floor = np.fmax(columns["noise_floor"], columns["permutation_floor"])
    fits = _CrossFits([m.cross_fit_sequential for m in measured], floor)
    replicates = np.stack([m.sequential_replicates for m in measured], axis=1)
    return _NormSeries(
        fits,
        fits.valid & (np.nan_to_num(norm) > _ROUNDING),
        fits.replicates(replicates, norm, options),
    )


def _norm_intervals(replicates: Floats, level: float) -> tuple[Floats, Floats]:
    """(low, high) of the norm at every lag, (n_lags,) each; NaN without replicates."""
    intervals = [
        percentile_interval(np.maximum(r, 0.0), level) if np.isfinite(r).all() else (np.nan, np.nan)
        for r in replicates.T
    ]
    low, high = np.array(intervals).T
    return low, high


def _crossing_fractions(design: SamplingDesign, options: CorrelationOptions) -> Floats:
    """Fraction of the pairs at each lag whose tokens lie in different documents, (n_lags,)."""
    if not design.boundary.across or design.are_blocks:
        return np.zeros(len(options.lags))
    n = design.corpus.n_tokens
    return np.array([design.crossing_pairs(lag) / max(n - lag, 1) for lag in options.lags])


def _boundary_effect(
    design: SamplingDesign, options: CorrelationOptions, columns: dict[str, Any], beta: Exponent
) -> BoundaryEffect | None:
    """Whether the other boundary gives another curve."""
    lags, floor = np.array(options.lags, dtype=np.int64), columns["noise_floor"]
    # The noise floor of the pairs inside documents follows from the number of pairs.
    inside = np.array([max(_pairs_inside(design, lag), 1) for lag in options.lags])
    across = np.maximum(design.corpus.n_tokens - lags, 1)
    factor = np.sqrt(across / inside) if design.boundary.across else np.sqrt(inside / across)
    return boundary_effect(
        lags,
        columns["norm"],
        columns["norm_other_boundary"],
        (floor, floor * factor),
        design.boundary,
        beta,
    )


def _pairs_inside(design: SamplingDesign, lag: int) -> int:
    return design.corpus.n_tokens - lag - design.crossing_pairs(lag)


def _lag_limits(
    design: SamplingDesign, options: CorrelationOptions, sequential: _NormSeries
) -> tuple[LagLimit | None, LagLimit | None]:
    """How far the fits of beta and of the sequential beta may go."""
    lags = np.array(options.lags, dtype=np.int64)
    return (
        crossing_limit(lags, _crossing_fractions(design, options)),
        sequential_limit(lags, sequential.cross_fits.debiased, design.content_lengths),
    )


def _beta(
    design: SamplingDesign,
    options: CorrelationOptions,
    series: _NormSeries,
    longest: LagLimit | None,
    *,
    is_measured: bool = True,
    plug_in: Floats | None = None,
) -> Exponent:
    method = METHOD.format("debiased norm")
    if not is_measured:
        return Exponent.refused(
            "not measured (--no-sequential)", method=method, level=options.level
        )
    if not series.cross_fits.enough.any():
        return Exponent.refused(
            f"too few documents for independent folds of them: {len(design.documents)}, where "
            f"{MIN_FOLDS} of about equal length with pairs at these lags are needed",
            method=method,
            level=options.level,
        )
    # The paper has no sequential covariance.
    as_in_paper = options.protocol == "paper" and plug_in is not None
    fit = paper_beta if as_in_paper else beta_exponent
    beta = fit(
        series.decay(options),
        window=options.window,
        level=options.level,
        quantity="debiased norm",
        longest=longest,
    )
    if plug_in is None or not as_in_paper:
        return beta
    return _with_plug_in(beta, np.array(options.lags, dtype=np.int64), plug_in)


def _with_plug_in(beta: Exponent, lags: NDArray[np.int64], norm: Floats) -> Exponent:
    """The exponent with that of the plain norms, which the paper fits, among its alternatives."""
    if beta.window is None:
        return beta
    inside = (lags >= beta.window[0]) & (lags <= beta.window[1]) & (norm > 0)
    law = law_of_points(lags[inside], norm[inside], level=beta.level)
    plain = Alternative(
        kind=AlternativeKind.PLUG_IN_NORM,
        method="plain norms, their noise included, as in the paper; interval of the lags alone",
        value=law.exponent,
        low=law.widest[0],
        high=law.widest[1],
        window=law.window,
        points=law.points,
        extra={"standard_error": law.error},
    )
    return dataclasses.replace(beta, alternatives=(*beta.alternatives, plain))


def _with_corpus(
    beta: Exponent, decay: MeasuredDecay, design: SamplingDesign, periodic: Sequence[Periodicity]
) -> Exponent:
    """The exponent with the reasons against it that lie in the corpus.

    Blocks that are no documents withdraw it; a periodic structure is named where it was refused and
    its norms have a peak at the period.
    """
    reasons = [] if beta.reason is None else [beta.reason]
    blocks = None if beta.window is None else _blocks_reason(design, beta.window[1])
    if blocks is not None:
        reasons.append(blocks)
    if reasons and periodic:
        curve = decay.curve(beta.level)
        curve = curve.where(curve.valid)
        for found in periodic:
            near = [found.repeats_at(lag) for lag in curve.lags.tolist()]
            lags = raised_lags(curve, np.array(near, dtype=bool))
            if lags:
                listed = ", ".join(map(str, lags))
                reasons.append(
                    f"the norm has a peak at lag {listed}: {found.finding}; {found.remedy}"
                )
    return dataclasses.replace(beta, reportable=not reasons, reason="; ".join(reasons) or None)


def _blocks_reason(design: SamplingDesign, last_lag: float) -> str | None:
    """Why the spread of blocks of the stream is no error of an exponent; None where it is one."""
    if not design.are_blocks:
        return None
    if design.too_few_documents is not None:
        return (
            f"the corpus has {design.too_few_documents} documents: blocks of them stand in, which "
            "do not show how documents differ"
        )
    length = design.corpus.n_tokens / len(design.documents)
    if last_lag <= MAX_OF_DOCUMENT * length:
        return None
    return (
        f"blocks of {length:,.0f} tokens stand in for documents, and at lags beyond a quarter of "
        "that they depend on each other"
    )


def _composition_effect(
    options: CorrelationOptions,
    plain: _NormSeries,
    sequential: _NormSeries,
    beta: Exponent,
    longest: LagLimit | None,
) -> ExponentDifference | None:
    """beta with and without the composition of documents, on the same lags."""
    if beta.window is None or not options.sequential:
        return None
    return exponent_difference(
        plain.decay(options),
        sequential.decay(options),
        beta.window,
        longest=None if longest is None else longest[0],
        level=options.level,
    )


def _bootstrap(
    design: SamplingDesign,
    options: CorrelationOptions,
    plain: _NormSeries,
    sequential: _NormSeries,
    betas: tuple[Exponent, Exponent],
) -> Replicates | None:
    """Both exponents of every replicate, for joint errors with gamma."""
    if options.replicates == 0:
        return None
    lags = np.array(options.lags, dtype=np.int64)
    values = [
        replicate_exponents(beta, lags, series.cross_fits.debiased, series.replicates)
        for beta, series in zip(betas, (plain, sequential), strict=True)
    ]
    return Replicates(
        seed=options.seed,
        clusters=design.bootstrap.n_clusters,
        beta=values[0],
        beta_sequential=values[1],
    )


def _spans_of_documents(design: SamplingDesign, documents: NDArray[np.int64]) -> dict[str, Any]:
    """Where the documents that carry most of the norm stand in the corpus, (n_lags, k) each."""
    return {
        "top_document_starts": design.documents.starts[documents].astype(np.int64),
        "top_document_ends": design.documents.ends[documents].astype(np.int64),
    }


def _top_tokens(corpus: Corpus, measured: Sequence[LagMeasurement]) -> dict[str, Any]:
    """Fields of the vocabulary items that weigh most in the singular vectors, with their texts."""
    left, right = [m.left for m in measured], [m.right for m in measured]

    def stack(tokens: Sequence[TopTokens], name: str) -> NDArray[Any]:
        return np.stack([getattr(item, name) for item in tokens])

    types = stack(left, "types"), stack(right, "types")
    return {
        "left_types": types[0],
        "left_loadings": stack(left, "values"),
        "right_types": types[1],
        "right_loadings": stack(right, "values"),
        "type_texts": _texts(corpus, *types),
    }


def _texts(corpus: Corpus, *types: NDArray[np.int64]) -> dict[str, str] | None:
    """The text of each of these vocabulary items; None without a tokenizer."""
    if corpus.tokenizer_path is None:
        return None
    ids = np.unique(np.concatenate([part.ravel() for part in types]))
    ids = ids[ids >= 0]
    return dict(zip(map(str, ids.tolist()), corpus.decode(ids), strict=True))


def _vocab_cut(
    corpus: Corpus,
    options: CorrelationOptions,
    measured: Sequence[LagMeasurement],
    norm: Floats,
) -> VocabCut | None:
    """What restricting the vocabulary leaves out; None where it is not restricted."""
    if options.vocab_top is None:
        return None
    full_norm = np.array([m.full_norm for m in measured])
    vocab_mask = most_frequent(corpus, options.vocab_top)
    counts = token_counts(corpus.tokens, corpus.vocab_size)
    return VocabCut(
        top=int(vocab_mask.sum()),
        dropped_mass=float(counts[~vocab_mask].sum() / corpus.n_tokens),
        full_norm=full_norm,
        # A principal submatrix never has the larger norm; where it seems to, that is rounding.
        bound=np.maximum(full_norm - norm, 0.0),
    )


class _CrossFits:
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
            significant = self.crossfit >= [self._critical_value(fit) for fit in fits]
            self.valid = significant & (self.debiased >= VALID_RATIO * floor)

    @staticmethod
    def _critical_value(fit: CrossFit) -> float:
        """What u^T C v exceeds by chance, without any correlation, at FALSE_POSITIVE_RATE."""
        if not fit.freedom >= 1:
            return float("nan")
        return student_quantile(1 - 2 * FALSE_POSITIVE_RATE, fit.freedom) * fit.crossfit_error

    def replicates(
        self, fixed_vectors: Floats, norm: Floats, options: CorrelationOptions
    ) -> Floats:
        """Replicates of the debiased norm, (n_replicates, n_lags).

        The document bootstrap holds the vectors fixed; what their own noise adds is known from the
        jackknife of the debiased norm, whose few degrees of freedom widen it.
        """
        count, level = len(fixed_vectors), options.level
        spread = fixed_vectors.std(axis=0, ddof=1) if count > 1 else np.zeros(len(norm))
        out = np.full_like(fixed_vectors, np.nan)
        for k, fit in enumerate(self.fits):
            if not (np.isfinite(fit.debiased_error) and fit.freedom >= 1):
                continue
            wider = student_quantile(level, fit.freedom) / normal_quantile(level)
            wider *= fit.debiased_error
            extra = float(np.sqrt(max(wider**2 - spread[k] ** 2, 0.0)))
            rng = np.random.default_rng([options.seed, 5, options.lags[k]])
            noise = extra * rng.standard_normal(count)
            out[:, k] = fit.debiased + (fixed_vectors[:, k] - norm[k]) + noise
        return out
