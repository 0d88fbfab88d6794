"""The conditions under which alpha = gamma / (2 beta) holds, each with the number compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ngramstat.exponents.criteria import MIN_SPAN
from ngramstat.exponents.learning_limit import LimitFit
from ngramstat.results import (
    AlternativeKind,
    CorrelationResult,
    EntropyResult,
    Exponent,
    Gate,
    HorizonPoint,
    StagePoint,
)

__all__ = [
    "HORIZON_GATE",
    "context_gate",
    "exponent_gates",
    "fast_learning_gate",
    "lag_gates",
    "stage_gate",
]

# The name by which the figure of horizons finds this gate; its threshold is half of the context.
HORIZON_GATE = "horizon inside the context"

_MIN_DECADES = math.log10(MIN_SPAN)
# beta from raw norms and from norms without document composition should agree within this, or
# within the interval.
_MAX_DIFFERENCE = 0.1
# Relative error of beta from the choice of lags, which alpha inherits. The paper's own, from a
# bootstrap over lags, is 17% on WikiText-103 and 7% on TinyStories.
_MAX_SENSITIVITY = 0.15
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


def lag_gates(correlations: CorrelationResult) -> list[Gate]:
    """Whether the decay of ||C(t)|| is one that the theory can use."""
    beta, sequential = correlations.beta, correlations.beta_sequential
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
    difference = allowed = None
    if sequential is not None and sequential.value is not None and beta.value is not None:
        difference = abs(sequential.value - beta.value)
        allowed = _MAX_DIFFERENCE
        if beta.low is not None and beta.high is not None:
            allowed = max(allowed, (beta.high - beta.low) / 2)
    gates.append(
        Gate(
            name="document composition",
            passed=None if difference is None or allowed is None else difference <= allowed,
            value=difference,
            threshold=allowed,
            meaning="beta is the same with the composition of documents removed from C(t)",
        )
    )
    return gates


def _stability_gate(beta: Exponent) -> Gate:
    """Whether beta depends on single lags or on the exact end of its window."""
    changes = [
        (other.high - other.low) / 2
        for other in beta.alternatives_of(
            AlternativeKind.BREAK_RANGE, AlternativeKind.LAG_JACKKNIFE
        )
        if other.low is not None and other.high is not None
    ]
    change = None
    if changes and beta.value is not None and beta.value > 0:
        change = max(changes) / beta.value
    return Gate(
        name="choice of lags",
        passed=None if change is None else change <= _MAX_SENSITIVITY,
        value=change,
        threshold=_MAX_SENSITIVITY,
        meaning="beta changes by a small fraction of its value when single lags are left out or "
        "the break is moved; its interval includes only the sampling error",
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


def stage_gate(points: tuple[StagePoint, ...], beta: Exponent) -> Gate:
    """Whether beta belongs to the lags that a learner reaches at the requested tokens."""
    name = "stage of beta"
    meaning = "the horizons that a learner reaches lie in the stage of the decay beta was fitted to"
    if not points:
        return Gate(name=name, passed=None, meaning=f"{meaning}; needs tokens (--tokens)")
    listed = ", ".join(f"{p.stage} stage at P = {p.tokens:.3g}" for p in points)
    if points[0].stage == "single":
        listed = "there is one stage"
    undecided = [p for p in points if p.stage == "indeterminate"]
    other_stage = [p for p in points if p.stage != "indeterminate" and p.beta != beta.value]
    return Gate(
        name=name,
        passed=False if other_stage else None if undecided else True,
        value=(other_stage or undecided or list(points))[0].beta if beta.reportable else None,
        threshold=beta.value if beta.reportable else None,
        meaning=f"{meaning}: {listed}",
    )
