"""The conditions under which alpha = gamma / (2 beta) holds, each with the number compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from ngramstat.exponents.criteria import MAX_COPIES, MAX_HALF_WIDTH, MIN_SPAN
from ngramstat.exponents.decay_verdict import lag_choice
from ngramstat.exponents.learning_limit import LimitFit
from ngramstat.results import (
    ContextPoint,
    CorrelationResult,
    EntropyResult,
    Exponent,
    ExponentDifference,
    Gate,
    HorizonPoint,
    StagePoint,
)

__all__ = [
    "HORIZON_GATE",
    "composition_reasons",
    "context_gate",
    "copies_gate",
    "exponent_gates",
    "fast_learning_gate",
    "lag_gates",
    "stage_gate",
]

# The name by which the figure of horizons finds this gate; its threshold is half of the context.
HORIZON_GATE = "horizon inside the context"

_MIN_DECADES = math.log10(MIN_SPAN)
# beta may change by this much when the composition of documents is removed: the size of the paper's
# errors of beta.
_MAX_DIFFERENCE = 0.1
# A model whose context is this many horizons long is limited by data, not by its context.
_CONTEXT_PER_HORIZON = 2.0


def exponent_gates(correlations: CorrelationResult, entropies: EntropyResult) -> list[Gate]:
    """Whether each exponent may be reported."""
    return [
        Gate(
            name=name,
            passed=exponent.reportable,
            # A refused value stands at its exponent alone, with the reason.
            value=exponent.value if exponent.reportable else None,
            meaning="its fit passes every check"
            if exponent.reportable
            else f"its fit must pass every check, but: {exponent.reason}",
        )
        for name, exponent in (
            ("beta", correlations.beta),
            ("gamma", entropies.gamma),
            ("gamma_finite", entropies.gamma_finite),
        )
    ]


def copies_gate(entropies: EntropyResult) -> Gate:
    """Whether the held-out text is new to the learner; unknown in files of older versions."""
    share = entropies.held_out_copies
    return Gate(
        name="held-out copies",
        passed=None if share is None else share <= MAX_COPIES,
        value=share,
        threshold=MAX_COPIES,
        meaning="few of the held-out tokens stand in the training text, in passages of "
        f"{entropies.copy_tokens or 32} tokens or more: copies are predicted at almost no loss",
    )


def lag_gates(correlations: CorrelationResult) -> list[Gate]:
    """Whether the decay of ||C(t)|| is one that the theory can use."""
    beta = correlations.beta
    decades = None if beta.window is None else math.log10(beta.window[1] / beta.window[0])
    gates = [
        Gate(
            name="decades of lags",
            passed=decades is not None and decades >= _MIN_DECADES,
            value=decades,
            threshold=_MIN_DECADES,
            meaning="the power law of ||C(t)|| holds over at least one decade of lags",
        ),
        _stability_gate(beta),
    ]
    gates.append(_composition_gate(correlations.composition_effect))
    return gates


def composition_reasons(correlations: CorrelationResult) -> list[str]:
    """Why document composition forbids any alpha: the one gate on lags that beta leaves open."""
    gate = _composition_gate(correlations.composition_effect)
    if gate.passed is not False:
        return []
    return [f"{gate.name}: the difference is {gate.value:.3f}, {gate.threshold:.3g} allowed"]


def _composition_gate(effect: ExponentDifference | None) -> Gate:
    """Whether beta stays the same with the composition of documents removed, on the same lags.

    It passes where the whole interval of the difference is allowed, so that a poor measurement does
    not pass more easily than a good one, and fails where the difference itself is not allowed.
    """
    meaning = "beta is the same with the composition of documents removed from C(t)"
    passed: bool | None = None
    if effect is None:
        meaning += "; too few lags have both norms"
    else:
        first, last = effect.window
        meaning += f", {effect.second:.3f} and {effect.first:.3f} on lags {first:g}..{last:g}"
        if last < MIN_SPAN * first:
            meaning += ", less than a decade"
        elif abs(effect.difference) > _MAX_DIFFERENCE:
            passed = False
        elif effect.low is not None and effect.high is not None:
            meaning += f"; the difference is {effect.low:.3f} to {effect.high:.3f}"
            if max(-effect.low, effect.high) <= _MAX_DIFFERENCE:
                passed = True
    return Gate(
        name="document composition",
        passed=passed,
        value=None if effect is None else abs(effect.difference),
        threshold=_MAX_DIFFERENCE,
        meaning=meaning,
    )


def _stability_gate(beta: Exponent) -> Gate:
    """Whether beta depends on single lags or on the exact end of its window."""
    change = lag_choice(beta.value, beta.parts, beta.alternatives)
    return Gate(
        name="choice of lags",
        passed=None if change is None else change <= MAX_HALF_WIDTH,
        value=change,
        threshold=MAX_HALF_WIDTH,
        meaning="beta changes by at most a third of its value when single lags are left out or the "
        "end of the first stage is moved; its interval includes the former",
    )


def fast_learning_gate(fits: Mapping[int, LimitFit], alpha: Exponent, source: str) -> Gate:
    """Whether the learner gains within its horizon faster than the horizon grows.

    Parameters
    ----------
    fits : mapping of context to LimitFit
        Learning curves of contexts of at least 1.
    alpha : Exponent
        gamma / (2 beta), with its interval.
    source : str
        Whose curves these are: ``user's``, or ``counted``. How fast Kneser-Ney learns says nothing
        of another learner, so counted curves leave the gate open.
    """
    name = "fast learning"
    meaning = "alpha_D is the smaller of delta and gamma / (2 beta)"
    threshold = alpha.value if alpha.reportable else None
    if source == "counted":
        return Gate(
            name=name,
            passed=None,
            meaning=f"{meaning}; delta, the exponent of a learner's gains within its horizon, "
            "needs learning curves of that learner (--curves): those of the counted one do not "
            "decide it",
        )
    known = {
        n: (fit.delta, fit.delta_low, fit.delta_high)
        for n, fit in fits.items()
        if n >= 1 and None not in (fit.delta, fit.delta_low, fit.delta_high)
    }
    if not known:
        return Gate(
            name=name,
            passed=None,
            threshold=threshold,
            meaning=f"{meaning}; delta, the exponent of a learner's gains within its horizon, "
            "needs learning curves of four sizes over a decade of tokens",
        )
    slowest = min(known, key=lambda n: known[n][0] or 0.0)
    listed = ", ".join(
        f"{d:.3f} [{low:.3f}, {high:.3f}] at n = {n}" for n, (d, low, high) in known.items()
    )
    passed = _all_faster(known.values(), alpha)
    return Gate(
        name=name,
        passed=passed,
        value=known[slowest][0],
        threshold=threshold,
        meaning=f"{meaning}; every delta_n of the {source} curves must exceed the latter, by "
        f"intervals: {listed}"
        + ("" if alpha.reportable else f"; alpha is not reportable: {alpha.reason}"),
    )


def _all_faster(
    deltas: Iterable[tuple[float | None, float | None, float | None]], alpha: Exponent
) -> bool | None:
    """Whether every (delta, low, high) exceeds alpha, by intervals; None where that is open."""
    if not alpha.reportable or alpha.low is None or alpha.high is None:
        return None
    ends = [(low, high) for _, low, high in deltas]
    if all(low is not None and low > alpha.high for low, _ in ends):
        return True
    if any(high is not None and high < alpha.low for _, high in ends):
        return False
    return None


def context_gate(points: tuple[HorizonPoint, ...], context: int | None) -> Gate:
    """Whether the horizon of the largest number of tokens lies well inside the context."""
    name = HORIZON_GATE
    meaning = f"n*(P) is at most 1/{_CONTEXT_PER_HORIZON:g} of the context of the model"
    if context is None or not points:
        missing = "the context (--context)" if context is None else "tokens (--tokens)"
        return Gate(
            name=name,
            passed=None,
            threshold=None if context is None else context / _CONTEXT_PER_HORIZON,
            meaning=f"{meaning}; needs {missing}",
        )
    point = max(points, key=lambda p: p.tokens)
    largest = context / _CONTEXT_PER_HORIZON
    # The interval decides; a lower bound can fail the gate but not pass it.
    passed: bool | None = None
    if point.lag is None or (not point.at_least and max(point.lag, point.high or 0.0) <= largest):
        passed = True
    elif (point.lag if point.low is None else point.low) > largest:
        passed = False
    note = " (n* is a lower bound)" if point.at_least else ""
    note += " (n* is extrapolated)" if point.extrapolated else ""
    note += " (documents end there)" if point.at_documents else ""
    return Gate(
        name=name,
        passed=passed,
        value=point.lag,
        threshold=largest,
        meaning=f"{meaning}, {context:,} tokens, at P = {point.tokens:.3g}{note}",
    )


def _window_gate(
    bands: tuple[ContextPoint, ...], beta: Exponent, end: float, name: str, meaning: str
) -> Gate:
    """Whether horizons lie inside the window of beta, where valid lags follow beyond it."""
    beyond = [b for b in bands if b.low is not None and b.low > end]
    partly = [b for b in bands if b.high is not None and b.high > end]
    text = f"the window of beta ends at lag {end:g}, and the decay beyond it was not fitted"
    if beyond or partly:
        listed = ", ".join(f"{b.tokens:.3g}" for b in beyond or partly)
        text += f"; horizons lie {'' if beyond else 'partly '}beyond it at P = {listed}"
    return Gate(
        name=name,
        passed=False if beyond else None if partly else True,
        value=beta.value,
        meaning=f"{meaning}: {text}",
    )


def stage_gate(
    points: tuple[StagePoint, ...],
    beta: Exponent,
    bands: tuple[ContextPoint, ...] = (),
    last_lag: float = 0.0,
) -> Gate:
    """Whether beta belongs to the lags that a learner reaches at the requested tokens.

    Parameters
    ----------
    points : tuple of StagePoint
    beta : Exponent
    bands : tuple of ContextPoint
        A learner's horizons at the same numbers of tokens.
    last_lag : float
        The last valid lag. Where the window of a single stage ends before it, the decay beyond the
        window is another one.
    """
    name = "stage of beta"
    meaning = "the horizons that a learner reaches lie in the stage of the decay beta was fitted to"
    if not points or not beta.reportable:
        missing = "a reportable beta" if points else "tokens (--tokens)"
        return Gate(name=name, passed=None, meaning=f"{meaning}; needs {missing}")
    listed = ", ".join(f"{p.stage} stage at P = {p.tokens:.3g}" for p in points)
    if points[0].stage == "single":
        listed = "there is one stage"
        if beta.window is not None and beta.window[1] < last_lag:
            return _window_gate(bands, beta, beta.window[1], name, meaning)
    return _stages_gate(points, beta, name, f"{meaning}: {listed}")


def _stages_gate(points: Sequence[StagePoint], beta: Exponent, name: str, meaning: str) -> Gate:
    """Whether all points lie in the stage of beta; open where some are between two stages."""
    undecided = [p for p in points if p.stage == "indeterminate"]
    other_stage = [p for p in points if p.stage != "indeterminate" and p.beta != beta.value]
    return Gate(
        name=name,
        passed=False if other_stage else None if undecided else True,
        value=(other_stage or undecided or list(points))[0].beta,
        threshold=beta.value,
        meaning=meaning,
    )
