"""Brackets of H(n): from counts below, from held-out losses above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.counts import ROUNDING, extrapolate, group_losses, plug_in
from ngramstat.exponents.criteria import MAX_COPIES, RESOLVED_FRACTION
from ngramstat.kernels import NgramStatistics
from ngramstat.sampling.bootstrap import DocumentBootstrap

__all__ = ["Bracket", "bracket_entropies"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """Estimates of H_n with all that the fits of gamma need; arrays of (n_contexts,).

    Attributes
    ----------
    estimate : float64
        Best estimate inside the bracket.
    low, high : float64
        The bracket; neither end rises with n.
    uncertainty : float64
        How far the estimate may be off for bias; half the bracket where the bias is not under
        control.
    resolved : bool
        Whether the bracket is narrow beside the drop H_{n-1} - H_n.
    replicates : (n_replicates, n_contexts) float64
        Of the estimate, over documents.
    drop_error : float64
        Standard error of each drop; infinite where its bias is not under control.
    other_text : bool
        Whether the held-out text is of another kind than the counted one, so that its losses are no
        upper ends.
    """

    estimate: Floats
    low: Floats
    high: Floats
    uncertainty: Floats
    resolved: NDArray[np.bool_]
    replicates: Floats
    drop_error: Floats
    other_text: bool


def bracket_entropies(
    counts: NgramStatistics,
    bootstrap: DocumentBootstrap,
    level: float,
    loss: Floats,
    loss_high: Floats,
    copies: float,
) -> Bracket:
    """Bracket H_n for every context, by counts from below and by held-out losses from above.

    Where the bias of counting is under control (`extrapolate`), H_n is the extrapolated estimate,
    and its bracket the sampling error over documents and the uncertainty of the bias in quadrature,
    capped by the held-out loss. Elsewhere the bracket runs from the lower end that counts prove to
    the upper end of the held-out interval (a cross-entropy is never below the entropy), and the
    estimate is its middle.

    Parameters
    ----------
    counts : NgramStatistics
    bootstrap : DocumentBootstrap
        Of all documents, whose clusters are the groups of `counts`.
    level : float
        Confidence level of the brackets.
    loss, loss_high : (n_contexts,) float64
        Held-out loss, over targets like those of `counts`, and the upper end of its interval.
    copies : float
        Fraction of held-out tokens inside passages that stand in the training text, too. Above
        MAX_COPIES upper ends are those of the tokens that are no copies, at most the loss over
        1 - copies, and no context but n = 0 is resolved.
    """
    extrapolated = extrapolate(counts)
    losses, targets = group_losses(counts), counts.group_targets.astype(np.float64)
    below, above = bootstrap.ratio_half_widths(losses, targets, level)
    estimate, uncertainty = extrapolated.estimate, extrapolated.uncertainty
    # Copies repeat n-grams that nobody has drawn again; single tokens are frequent enough to be
    # unaffected.
    trusted = extrapolated.trusted & _without_copies(len(loss), copies)
    limits = _usable_losses(loss, loss_high, copies, estimate[0] - np.hypot(below, uncertainty)[0])
    with np.errstate(invalid="ignore"):
        # Noise may lift the lower end above the loss, which is never below H_n.
        low = np.where(
            trusted,
            estimate - np.hypot(below, uncertainty),
            np.fmin(extrapolated.lower, limits.loss) - below,
        )
        high = np.where(
            trusted,
            np.minimum(estimate + np.hypot(above, uncertainty), np.fmax(limits.high, estimate)),
            np.fmax(limits.high, low),
        )
    low, high = _non_increasing(np.maximum(low, 0.0), np.maximum(high, 0.0), trusted)
    # Between the ends, and not above the estimate with less context.
    middle = np.fmin((low + high) / 2, np.fmin.accumulate(np.where(trusted, estimate, np.inf)))
    estimate = np.where(trusted, np.clip(estimate, low, high), np.fmax(middle, low))

    drops = _drops(counts, estimate)
    # The sampling error that H_n and H_{n-1} share cancels in the drop.
    steps = bootstrap.ratio_half_widths(np.diff(losses, axis=1), targets, level)
    spread = np.append((below + above)[:1], sum(steps)) / 2
    with np.errstate(invalid="ignore"):
        width = np.where(trusted, np.hypot(spread, uncertainty), high - low)
    # Without a drop, as after the end of a period, there is nothing to compare the width with.
    resolved = (width <= RESOLVED_FRACTION * drops) & (drops > ROUNDING) & limits.usable
    return Bracket(
        estimate=estimate,
        low=low,
        high=high,
        uncertainty=np.where(trusted, uncertainty, (high - low) / 2),
        resolved=resolved,
        replicates=estimate + _deviations(counts, bootstrap),
        # `spread` is the half-width of an interval, about two standard errors.
        drop_error=np.hypot(spread, np.where(trusted, uncertainty, np.inf)) / 2,
        other_text=limits.other_text,
    )


@dataclass(frozen=True)
class _UpperLimits:
    """Held-out losses as far as they bound H_n, infinite where not; arrays of (n_contexts,).

    `usable` are the contexts that may be resolved.
    """

    loss: Floats
    high: Floats
    usable: NDArray[np.bool_]
    other_text: bool


def _without_copies(n_contexts: int, copies: float) -> NDArray[np.bool_]:
    """Contexts whose counts and losses copies leave usable: n = 0, or all."""
    usable: NDArray[np.bool_] = (np.arange(n_contexts) == 0) | (copies <= MAX_COPIES)
    return usable


def _usable_losses(loss: Floats, loss_high: Floats, copies: float, lowest: float) -> _UpperLimits:
    """What the losses bound, given the copies and a lower end of H_0 by counts."""
    usable = _without_copies(len(loss), copies)
    # The loss without context is never below H_0, unless the held-out text is of another kind: by
    # twice its interval, or four standard errors, which random documents do not differ by.
    if 2 * loss_high[0] - loss[0] < lowest:
        unknown = np.full(len(loss), np.inf)
        return _UpperLimits(unknown, unknown, np.zeros(len(loss), bool), True)
    # Copies make losses too low. The tokens that are no copies cost at most the whole loss.
    high = np.where(usable, loss_high, loss_high / max(1 - copies, 1e-9))
    return _UpperLimits(loss, high, usable, False)


def _non_increasing(low: Floats, high: Floats, trusted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The same brackets, consistent over n: H_n does not rise with n.

    So a lower end also holds for all smaller n, and an upper end for all larger n: brackets between
    counts and losses are narrowed to that. Intervals of trusted estimates share their noise, and
    the narrowest intersection of many would miss the truth more often than each does; where they
    contradict the order of H_n by chance, they are widened to it instead.
    """
    low = np.where(trusted, low, np.fmax.accumulate(low[::-1])[::-1])
    high = np.where(trusted, high, np.fmin.accumulate(high))
    high = np.fmax(high, low)
    return np.fmin.accumulate(low), np.fmax.accumulate(high[::-1])[::-1]


def _deviations(counts: NgramStatistics, bootstrap: DocumentBootstrap) -> Floats:
    """Plug-in entropies of resampled documents less those of all, (n_replicates, n_contexts)."""
    sums = bootstrap.cluster_sums(
        np.column_stack([group_losses(counts), counts.group_targets.astype(np.float64)])
    )
    # A replicate without a target says nothing.
    sums = sums[sums[:, -1] > 0]
    deviations: Floats = sums[:, :-1] / sums[:, -1:] - plug_in(counts.whole)
    return deviations


def _drops(counts: NgramStatistics, estimate: Floats) -> Floats:
    """H_{n-1} - H_n for every n, (n_contexts,).

    H_0 has no context before it: it is compared with the larger of the drop to it, from the log of
    the number of distinct tokens, and the drop from it.
    """
    drops = estimate[:-1] - estimate[1:]
    distinct = max(int(counts.whole.ngrams[0][:, 1].sum()), 1)
    first = max(np.log(distinct) - estimate[0], drops[0] if len(drops) else 0.0)
    return np.concatenate([[first], drops])
