"""Predicted and measured alpha compared: consistent, inconsistent, or indeterminate."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.results import Comparison, Exponent, Gate

__all__ = ["compare", "conclude"]

# An interval wider than this multiple of its value agrees with anything.
_MAX_WIDTH = 1.0


def compare(name: str, predicted: Exponent, measured: Exponent) -> Comparison:
    """Whether two intervals overlap, where both exponents can be reported."""

    def comparison(outcome: str, reason: str) -> Comparison:
        return Comparison(
            name=name, predicted=predicted, measured=measured, outcome=outcome, reason=reason
        )

    for what, exponent in (("predicted", predicted), ("measured", measured)):
        if not exponent.reportable:
            return comparison("indeterminate", f"{what} alpha is not reportable: {exponent.reason}")
        assert exponent.value is not None
        assert exponent.low is not None
        assert exponent.high is not None
        if exponent.high - exponent.low > _MAX_WIDTH * abs(exponent.value):
            return comparison(
                "indeterminate", f"the interval of the {what} alpha is wider than its value"
            )
    a, b = predicted, measured
    text = f"predicted {_interval(a)}, measured {_interval(b)}"
    assert a.low is not None
    assert a.high is not None
    assert b.low is not None
    assert b.high is not None
    overlap = a.low <= b.high and b.low <= a.high
    return comparison("consistent" if overlap else "inconsistent", text)


def conclude(comparisons: Sequence[Comparison], gates: Sequence[Gate]) -> tuple[str, str]:
    """(outcome, meaning) of all comparisons, given the gates that must hold.

    Where a gate failed, neither agreement nor disagreement tests the theory.
    """
    decided = [c for c in comparisons if c.outcome != "indeterminate"]
    if not decided:
        reasons = _listed(comparisons) or "nothing to compare"
        return "indeterminate", f"No comparison can be made ({reasons})."
    failed = _names(gates, passed=False)
    if failed:
        outcomes = ", ".join(f"{c.name} {c.outcome}" for c in decided)
        return (
            "indeterminate",
            f"The exponents would be: {outcomes}; but these gates failed: {failed}.",
        )
    unknown = _names(gates, passed=None)
    not_known = f" Not known: {unknown}." if unknown else ""
    differing = [c for c in decided if c.outcome == "inconsistent"]
    if differing:
        meaning = f"Predicted and measured alpha differ ({_listed(differing)}).{not_known}"
        return "inconsistent", meaning
    return "consistent", f"Predicted and measured alpha agree ({_listed(decided)}).{not_known}"


def _listed(comparisons: Sequence[Comparison]) -> str:
    return "; ".join(f"{c.name}: {c.reason}" for c in comparisons)


def _names(gates: Sequence[Gate], *, passed: bool | None) -> str:
    return ", ".join(gate.name for gate in gates if gate.passed is passed)


def _interval(exponent: Exponent) -> str:
    return f"{exponent.value:.3f} [{exponent.low:.3f}, {exponent.high:.3f}]"
