"""The answer: alpha with a total interval, from the best evidence at hand, and what it stands on.

Three kinds of evidence, best first (docs/estimators.md): losses of models trained on this text,
losses of a pretrained model that reads it, and bounds from counts, which always exist where tokens
are correlated. Each of the first two gives gamma as the paper takes it, the raw slope of the losses
against context at one number of training tokens (Cagnetta et al. 2026, figure 1), and is checked on
its own learner: gamma / (2 beta) against the slope that the same losses show against training
tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.entropy_bounds import gamma_bounds
from ngramstat.exponents.raw_gamma import raw_gamma
from ngramstat.prediction.alpha import part_reasons
from ngramstat.prediction.gates import composition_reasons
from ngramstat.prediction.learner_curves import LearnerCurves, rank
from ngramstat.prediction.measured import (
    alpha_of_losses,
    losses_of_all_contexts,
    lower_envelope,
)
from ngramstat.prediction.user_curves import counted_curves, gamma_at_largest
from ngramstat.results import (
    RUNGS,
    AlternativeKind,
    Answer,
    CorrelationResult,
    EntropyResult,
    Exponent,
    Rung,
)
from ngramstat.runtime.numbers import count_text

__all__ = ["answer_of", "beta_range", "ratio_interval"]

Floats = NDArray[np.float64]

# Contexts whose entropies counts bound usefully: those of the paper's fit on WikiText-103.
_BOUNDS_WINDOW = (1, 3)
# A pretrained model is not limited by this text, so its losses show H(n) as far as horizons reach:
# to some tens of tokens (docs/theory.md 2.1).
_READER_WINDOW = (1, 63)
# Stages and windows of a beta that does not pass its checks: any of them may be the one that holds.
_OTHER_BETAS = (
    AlternativeKind.FIRST_STAGE,
    AlternativeKind.SECOND_STAGE,
    AlternativeKind.WINDOW_RANGE,
    AlternativeKind.BREAK_RANGE,
)
# Fits to the first lags of a decay.
_EARLY_BETAS = (AlternativeKind.BEFORE_BREAK, AlternativeKind.HALF_WINDOW)
# A growth of gamma that two digits show.
_VISIBLE_GROWTH = 0.01
_COUNTED = "the counted learner (a mixture of n-grams)"


def answer_of(
    correlations: CorrelationResult,
    entropies: EntropyResult,
    *,
    limits: Exponent,
    curves: Sequence[LearnerCurves] = (),
    reader: LearnerCurves | None = None,
    next_steps: Sequence[str] = (),
) -> Answer:
    """The best answer that both halves of a run and losses of models allow.

    Parameters
    ----------
    correlations, entropies : CorrelationResult, EntropyResult
        Of the same corpus.
    limits : Exponent
        alpha from entropies extrapolated to infinitely many tokens: a second opinion.
    curves : sequence of LearnerCurves
        Of models trained on this text.
    reader : LearnerCurves, optional
        Losses of a pretrained model on this text.
    next_steps : sequence of str
        What would take the answer a rung higher.
    """
    beta = correlations.beta
    failed = composition_reasons(correlations)
    if failed:
        reasons = failed if beta.reason is None else [beta.reason, *failed]
        beta = replace(beta, reportable=False, reason="; ".join(reasons))
    # By the loss at the most training tokens; a rung that can be used goes before one that cannot.
    trained = sorted((_trained(c, beta) for c in sorted(curves, key=rank)), key=_preference)
    bounds = _bounds(entropies, beta)
    counted = _counted(entropies, beta)
    found = [
        *trained,
        *([] if reader is None else [_of_reader(reader, beta)]),
        bounds,
        counted,
        _limits(limits),
    ]
    best = _best(trained, found, counted)
    return Answer(
        **{f.name: getattr(best, f.name) for f in fields(Answer) if hasattr(best, f.name)},
        because=tuple(_because(best, beta, counted) + _outside(best, bounds)),
        next=tuple(next_steps),
        rungs=tuple([best] * (best not in found) + found),
    )


def _best(trained: Sequence[Rung], found: Sequence[Rung], counted: Rung) -> Rung:
    """The best of what was found, or what its learner shows.

    Trained models whose losses fall otherwise than predicted, or of which nothing can be predicted,
    are themselves the better evidence of how losses fall. Without anything else the slope of the
    counted learner is all that is left.
    """
    for rung in trained:
        if _is_usable(rung) and rung.agrees is not False:
            return rung
        if rung.shown is not None and rung.shown > 0:
            return _as_shown(rung)
    usable = [rung for rung in found if rung.rung in RUNGS and _is_usable(rung)]
    return usable[0] if usable else replace(_as_shown(counted), rung="counts")


# --- the rungs ---------------------------------------------------------------------------------


def _trained(curves: LearnerCurves, beta: Exponent) -> Rung:
    """gamma of the largest training set, checked on the slope that the losses show."""
    tokens, gamma = gamma_at_largest(curves.table, level=beta.level)
    shown = _shown(*losses_of_all_contexts(curves.table), beta.level)
    rung = _ratio("curves", curves.name, gamma, beta, tokens)
    sizes = [o.value for o in gamma.alternatives_of(AlternativeKind.AT_SIZE) if o.value is not None]
    if len(sizes) > 1:
        rung = replace(rung, gamma_by_size=(sizes[0], sizes[-1]))
    rung = _checked(rung, shown)
    if rung.agrees is None:
        unchecked = (
            "losses at fewer than four numbers of training tokens do not show whether these models "
            "follow gamma / (2 beta), and gamma usually still grows"
        )
        reason = unchecked if rung.reason is None else f"{rung.reason}; {unchecked}"
        rung = replace(rung, reportable=False, reason=reason)
    return rung


def _of_reader(reader: LearnerCurves, beta: Exponent) -> Rung:
    """gamma over the contexts that learners of this text may come to use, some tens of tokens."""
    table = reader.table
    used = table.context >= 1
    tokens = float(table.tokens[0])
    last = min(int(table.context.max()), _READER_WINDOW[1])
    gamma = raw_gamma(
        table.context[used],
        table.loss[used],
        errors=None if table.error is None else table.error[used],
        window=(_READER_WINDOW[0], max(last, _READER_WINDOW[0] + 1)),
        level=beta.level,
    )
    return _ratio("reader", reader.name, gamma, beta, None if math.isnan(tokens) else tokens)


def _counted(entropies: EntropyResult, beta: Exponent) -> Rung:
    """The counted learner's own slope, predicted and shown."""
    table = counted_curves(entropies)
    tokens = None if entropies.training_tokens is None else float(entropies.training_tokens)
    rung = _ratio("counted", _COUNTED, entropies.gamma_finite, beta, tokens)
    if table is None:
        return rung
    # A learner may ignore tokens: its loss is the smallest over its contexts.
    return _checked(rung, _shown(table.tokens, table.loss, beta.level))


def _limits(alpha: Exponent) -> Rung:
    return Rung(
        rung="limits",
        learner="entropies extrapolated to infinitely many tokens",
        alpha=alpha.value,
        low=alpha.low,
        high=alpha.high,
        level=alpha.level,
        protocol="shifted",
        reportable=alpha.reportable,
        reason=alpha.reason,
    )


def _bounds(entropies: EntropyResult, beta: Exponent) -> Rung:
    """Every gamma that the brackets of H_n allow, over every beta of its total interval."""
    gammas = None
    if entropies.low is not None and entropies.high is not None:
        for window in (_BOUNDS_WINDOW, (_BOUNDS_WINDOW[0], _BOUNDS_WINDOW[1] - 1)):
            gammas = gamma_bounds(entropies.context, entropies.low, entropies.high, window=window)
            if gammas is not None:
                break
    betas = beta_range(beta)
    low = high = None
    reasons = []
    if gammas is None:
        reasons.append("the entropies after 1 to 3 tokens are not bounded from both sides")
    if betas is None:
        reasons.append(f"beta has no interval: {beta.reason}")
    elif betas[0] <= 0:
        reasons.append("the interval of beta reaches zero: alpha has no upper bound")
    elif gammas is not None:
        low, high = max(gammas[0], 0.0) / (2 * betas[1]), gammas[1] / (2 * betas[0])
    if not beta.reportable and betas is not None:
        reasons.append(f"beta: {beta.reason}")
    return Rung(
        rung="counts",
        learner="counts of this text",
        low=low,
        high=high,
        level=beta.level,
        window=None if gammas is None else (float(window[0]), float(window[1])),
        lags=beta.window,
        protocol="bounds",
        reportable=not reasons,
        reason="; ".join(reasons) or None,
    )


def _as_shown(rung: Rung) -> Rung:
    """What the losses of a learner show, instead of what is predicted of them."""
    return replace(
        rung,
        alpha=rung.shown,
        low=rung.shown_low,
        high=rung.shown_high,
        window=None,
        lags=None,
        protocol="measured",
        reportable=rung.shown_reportable,
        reason=None
        if rung.shown_reportable
        else "the losses do not show one power law over a decade of training tokens",
    )


def beta_range(beta: Exponent) -> tuple[float, float] | None:
    """The total interval of beta, and where it is not reportable, what else it may be.

    Of a beta that does not pass its checks any stage or window may be the one that holds, so their
    estimates belong to the range. Where that reaches zero, as in documents whose later parts decay
    no further, the early part of the decay is all that a learner of limited horizon can use: the
    range is then that of the fits to the first lags alone.

    Returns
    -------
    (float, float) or None
        None where beta has no interval.
    """
    if beta.low is None or beta.high is None:
        return None
    ends = [beta.low, beta.high]
    if not beta.reportable:
        if beta.parts is not None and beta.parts.window is not None:
            ends += beta.parts.window
        ends += _ends(beta, _OTHER_BETAS)
        early = _ends(beta, _EARLY_BETAS)
        if min(ends) <= 0 < min(early, default=0.0):
            ends = early
    return min(ends), max(ends)


def _ends(beta: Exponent, kinds: Sequence[AlternativeKind]) -> list[float]:
    """All estimates and interval ends of these alternatives."""
    others = beta.alternatives_of(*kinds)
    return [end for o in others for end in (o.low, o.value, o.high) if end is not None]


def ratio_interval(
    gamma: tuple[float, float, float], beta: tuple[float, float, float]
) -> tuple[float, float]:
    """Interval of gamma / (2 beta), each given as (value, low, high).

    Relative errors in quadrature, each side with the ends that matter for it (eq. 56 of Cagnetta et
    al. 2026 for small errors). An end of gamma at zero makes the lower end zero, one of beta the
    upper end infinite.
    """
    value = gamma[0] / (2 * beta[0])

    def distance(first: float, second: float) -> float:
        if min(first, second) <= 0:
            return math.inf
        return abs(math.log(first / second))

    down = math.hypot(distance(gamma[0], gamma[1]), distance(beta[2], beta[0]))
    up = math.hypot(distance(gamma[2], gamma[0]), distance(beta[0], beta[1]))
    return value * math.exp(-down), value * math.exp(up) if math.isfinite(up) else math.inf


def _ratio(rung: str, learner: str, gamma: Exponent, beta: Exponent, tokens: float | None) -> Rung:
    """gamma / (2 beta) with the total intervals of both."""
    reasons = part_reasons(gamma, beta)
    alpha = low = high = None
    betas = beta_range(beta)
    if gamma.value is not None and beta.value is not None and beta.value > 0 and gamma.value > 0:
        alpha = gamma.value / (2 * beta.value)
        if gamma.low is not None and gamma.high is not None and betas is not None:
            low, high = ratio_interval((gamma.value, gamma.low, gamma.high), (beta.value, *betas))
            if not math.isfinite(high):
                low = high = None
                reasons.append("the interval of beta reaches zero: alpha has no upper bound")
    return Rung(
        rung=rung,
        learner=learner,
        alpha=alpha,
        low=low,
        high=high,
        level=beta.level,
        tokens=tokens,
        window=gamma.window,
        lags=beta.window,
        reportable=not reasons and low is not None,
        reason="; ".join(reasons) or (None if low is not None else "no interval"),
    )


def _shown(tokens: Floats, losses: Floats, level: float) -> Exponent:
    """Raw slope of a learner's losses against its training tokens, by the lower envelope."""
    rows = lower_envelope(tokens, losses)
    return alpha_of_losses(tokens[rows], losses[rows], level=level)


def _checked(rung: Rung, shown: Exponent) -> Rung:
    """The rung with the slope that its learner shows, and whether the two agree."""
    if shown.value is None or shown.low is None or shown.high is None:
        return rung
    agrees = None
    if rung.low is not None and rung.high is not None:
        agrees = rung.low <= shown.high and shown.low <= rung.high
    reason = rung.reason
    if agrees is False:
        # Refused from now on, and so marked wherever the reason is shown.
        predicted = f"({rung.alpha:.3f} [{rung.low:.3f}, {rung.high:.3f}])"
        measured = f"{shown.value:.3f} [{shown.low:.3f}, {shown.high:.3f}]"
        measured = measured if shown.reportable else f"({measured})"
        against = (
            f"gamma / (2 beta) = {predicted}, but the losses of this learner fall with {measured}"
        )
        reason = against if reason is None else f"{against}; {reason}"
    return replace(
        rung,
        shown=shown.value,
        shown_low=shown.low,
        shown_high=shown.high,
        shown_tokens=shown.window,
        shown_reportable=shown.reportable,
        agrees=agrees,
        reportable=rung.reportable and agrees is not False,
        reason=reason,
    )


def _preference(rung: Rung) -> tuple[bool, bool]:
    return not (rung.reportable or rung.shown_reportable), rung.low is None and rung.shown is None


def _is_usable(rung: Rung) -> bool:
    """Whether its interval is finite and its learner, if that decides, learns from more tokens."""
    if rung.agrees is False and rung.shown is not None and rung.shown <= 0:
        return False
    ends = (rung.low, rung.high)
    return all(end is not None and math.isfinite(end) for end in ends)


# --- in words ----------------------------------------------------------------------------------


def _because(best: Rung, beta: Exponent, counted: Rung) -> list[str]:
    """What the answer rests on, and what weakens it."""
    if best.protocol == "measured":
        return [_why_measured(best, beta)]
    sentences = [_basis(best, beta)]
    if best.agrees is not None:
        sentences.append(_agreement(best))
    if not best.reportable and best.agrees is not False:
        sentences.append(f"Uncertain beyond its interval, as a check failed: {best.reason}.")
    if best.rung == "counts" and counted.agrees is False:
        sentences.append(
            f"The n-gram learner that counts the text is no guide: {_predicted_and_shown(counted)}."
        )
    return sentences


def _outside(best: Rung, bounds: Rung) -> list[str]:
    """Whether trained models or a reader contradict what counts allow."""
    if best is bounds or not (_is_usable(best) and _is_usable(bounds)):
        return []
    assert best.low is not None
    assert best.high is not None
    assert bounds.low is not None
    assert bounds.high is not None
    if best.low <= bounds.high and bounds.low <= best.high:
        return []
    allowed = f"{bounds.low:.3f} to {bounds.high:.3f}"
    if not bounds.reportable:
        allowed = f"({allowed})"
    return [f"It lies outside the range that counts of the text allow, {allowed}."]


def _why_measured(best: Rung, beta: Exponent) -> str:
    if best.rung == "counts":
        nothing = (
            "correlations between tokens show no usable decay (beta: "
            f"{beta.reason or 'its interval reaches zero'}), so that nothing can be predicted."
        )
        if best.alpha is None:
            return nothing
        return (
            f"{nothing} What is given is how the losses of an n-gram learner fall with the tokens "
            "it counts; a language model may differ."
        )
    if best.agrees is None:
        return (
            "This is measured. Nothing can be predicted of these models: correlations between "
            f"tokens or their losses by context have no usable exponent (beta: "
            f"{beta.reason or 'measured'})."
        )
    sentence = (
        "This is measured. Predicted would be gamma / (2 beta) of the same models, which differs "
        "(see the table): the theory does not describe this learner at these sizes"
    )
    by_size = best.gamma_by_size
    if by_size is not None and by_size[1] - by_size[0] > _VISIBLE_GROWTH:
        sentence += (
            f", as its gamma still grows with the training tokens, from {by_size[0]:.2f} to "
            f"{by_size[1]:.2f}"
        )
    return f"{sentence}."


def _basis(best: Rung, beta: Exponent) -> str:
    betas = beta_range(beta)
    assert betas is not None
    assert best.window is not None
    correlation = (
        f"correlations between tokens fall with their distance with an exponent beta of "
        f"{betas[0]:.2f} to {betas[1]:.2f}; alpha = gamma / (2 beta)"
    )
    contexts = f"{best.window[0]:g} to {best.window[1]:g} tokens of context"
    if best.rung == "counts":
        assert best.low is not None
        assert best.high is not None
        gammas = [best.low * 2 * betas[1], best.high * 2 * betas[0]]
        return (
            f"Counting proves only a range: over {contexts} the entropy of the next token falls "
            f"with an exponent gamma of {gammas[0]:.2f} to {gammas[1]:.2f}, and {correlation}."
        )
    size = "" if best.tokens is None else f" after {count_text(best.tokens)} training tokens"
    assert best.alpha is not None
    gamma = best.alpha * 2 * (beta.value or math.nan)
    return (
        f"The loss of {best.learner}{size} falls over {contexts} with an exponent gamma of "
        f"{gamma:.3f}, and {correlation}."
    )


def _agreement(best: Rung) -> str:
    return f"Prediction and measured losses agree: {_predicted_and_shown(best)}."


def _predicted_and_shown(rung: Rung) -> str:
    assert rung.shown is not None
    assert rung.shown_tokens is not None
    span = " to ".join(count_text(tokens) for tokens in rung.shown_tokens) + " tokens"
    predicted = "nothing" if rung.alpha is None else f"{rung.alpha:.3f}"
    if rung.alpha is not None and not rung.reportable:
        predicted = f"({predicted})"
    shown = f"{rung.shown:.3f} [{rung.shown_low:.3f}, {rung.shown_high:.3f}]"
    if not rung.shown_reportable:
        shown = f"({shown})"
    return f"predicted is {predicted}, and its losses fall with {shown} from {span}"
