"""Estimates of H(n) with their brackets: from counts below, from held-out losses above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.counts import ROUNDING, extrapolate, group_losses, plug_in
from ngramstat.exponents.criteria import RESOLVED_FRACTION
from ngramstat.exponents.learning_limit import LimitFit
from ngramstat.kernels import NgramStatistics
from ngramstat.sampling.bootstrap import DocumentBootstrap

__all__ = ["Bracket", "bracket_entropies", "tokens_needed"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """Estimates of H_n with all that the fits of gamma need; arrays of (n_contexts,).

    Attributes
    ----------
    limit : float64
        Best estimate.
    low, high : float64
        Bracket around it.
    uncertainty : float64
        How far the estimate may be off for bias; half the bracket where the bias is not under
        control.
    resolved : bool
        Whether the bracket is narrow beside the drop H_{n-1} - H_n.
    replicates : (n_replicates, n_contexts) float64
        Of the estimate, over documents.
    drop_error : float64
        Standard error of each drop; infinite where its bias is not under control.
    """

    limit: Floats
    low: Floats
    high: Floats
    uncertainty: Floats
    resolved: NDArray[np.bool_]
    replicates: Floats
    drop_error: Floats


def bracket_entropies(
    counts: NgramStatistics,
    bootstrap: DocumentBootstrap,
    level: float,
    loss: Floats,
    loss_high: Floats,
    fits: list[LimitFit],
) -> Bracket:
    """Bracket H_n for every context.

    Where the bias of counting is under control (`extrapolate`), H_n is the extrapolated estimate,
    and its bracket the sampling error over documents and the uncertainty of the bias in quadrature,
    capped by the held-out loss. Elsewhere the bracket runs from the first-order estimate below to
    the upper end of the held-out interval above (a cross-entropy is never below the entropy), and
    `limit` is midway between the two estimates.

    Parameters
    ----------
    counts : NgramStatistics
    bootstrap : DocumentBootstrap
        Of all documents, whose clusters are the groups of `counts`.
    level : float
        Confidence level of the brackets.
    loss, loss_high : (n_contexts,) float64
        Held-out loss and the upper end of its interval.
    fits : list of LimitFit
        Limits of the learning curves, by context.
    """
    extrapolated = extrapolate(counts)
    losses, targets = group_losses(counts), counts.group_targets.astype(np.float64)
    below, above = bootstrap.ratio_half_widths(losses, targets, level)
    trusted = extrapolated.trusted
    estimate, uncertainty = extrapolated.estimate, extrapolated.uncertainty
    with np.errstate(invalid="ignore"):
        # Noise may lift the first-order estimate above the loss, which is never below H_n.
        low = np.where(
            trusted,
            estimate - np.hypot(below, uncertainty),
            np.fmin(extrapolated.lower, loss) - below,
        )
        high = np.where(
            trusted,
            np.minimum(estimate + np.hypot(above, uncertainty), np.fmax(loss_high, estimate)),
            np.fmax(loss_high, low),
        )
        limit = np.where(trusted, estimate, np.fmax((extrapolated.lower + loss) / 2, low))
    _narrow_by_learning_limits(limit, low, high, ~trusted, fits)
    low = np.maximum(low, 0.0)
    limit, high = np.fmax(limit, low), np.maximum(high, low)

    drops = _drops(counts, limit)
    # The sampling error that H_n and H_{n-1} share cancels in the drop.
    steps = bootstrap.ratio_half_widths(np.diff(losses, axis=1), targets, level)
    spread = np.append((below + above)[:1], sum(steps)) / 2
    with np.errstate(invalid="ignore"):
        width = np.where(trusted, np.hypot(spread, uncertainty), high - low)
    # Without a drop, as after the end of a period, there is nothing to compare the width with.
    resolved = (width <= RESOLVED_FRACTION * drops) & (drops > ROUNDING)
    return Bracket(
        limit=limit,
        low=low,
        high=high,
        uncertainty=np.where(trusted, uncertainty, (high - low) / 2),
        resolved=resolved,
        replicates=limit + _deviations(counts, bootstrap),
        # `spread` is the half-width of an interval, about two standard errors.
        drop_error=np.hypot(spread, np.where(trusted, uncertainty, np.inf)) / 2,
    )


def _deviations(counts: NgramStatistics, bootstrap: DocumentBootstrap) -> Floats:
    """Plug-in entropies of resampled documents less those of all, (n_replicates, n_contexts)."""
    sums = bootstrap.cluster_sums(
        np.column_stack([group_losses(counts), counts.group_targets.astype(np.float64)])
    )
    # A replicate without a target says nothing.
    sums = sums[sums[:, -1] > 0]
    deviations: Floats = sums[:, :-1] / sums[:, -1:] - plug_in(counts.whole)
    return deviations


def _narrow_by_learning_limits(
    limit: Floats,
    low: Floats,
    high: Floats,
    contexts: NDArray[np.bool_],
    fits: list[LimitFit],
) -> None:
    """Narrows brackets, in place, by limits of learning curves whose intervals meet them."""
    for n in np.flatnonzero(contexts):
        fit = fits[n]
        if fit.identifiable and fit.low is not None and fit.high is not None:
            if fit.low < high[n] and fit.high > low[n]:
                low[n], high[n] = max(low[n], fit.low), min(high[n], fit.high)
            if fit.limit is not None:
                limit[n] = min(max(fit.limit, low[n]), high[n])


def _drops(counts: NgramStatistics, limit: Floats) -> Floats:
    """H_{n-1} - H_n for every n, (n_contexts,).

    H_0 has no context before it: it is compared with the larger of the drop to it, from the log of
    the number of distinct tokens, and the drop from it.
    """
    drops = limit[:-1] - limit[1:]
    distinct = max(int(counts.whole.ngrams[0][:, 1].sum()), 1)
    first = max(np.log(distinct) - limit[0], drops[0] if len(drops) else 0.0)
    return np.concatenate([[first], drops])


def tokens_needed(bracket: Bracket, fits: list[LimitFit]) -> Floats:
    """Tokens at which the held-out loss would resolve each context, (n_contexts,).

    By its learning curve: where the excess of the loss over its limit is RESOLVED_FRACTION of the
    drop. NaN for contexts that are resolved, and where the curve does not tell.
    """
    needed = np.full(len(fits), np.nan)
    for n in range(1, len(fits)):
        drop = bracket.limit[n - 1] - bracket.limit[n]
        if bracket.resolved[n] or not (drop > ROUNDING and fits[n].limit is not None):
            continue
        reached = fits[n].tokens_to_reach(RESOLVED_FRACTION * drop)
        if reached is not None and np.isfinite(reached[0]):
            needed[n] = reached[0]
    return needed
