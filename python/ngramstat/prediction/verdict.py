"""Predicted and measured alpha side by side: consistent, inconsistent, or not to be decided."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.results import Comparison, Exponent, Gate

__all__ = ["compare", "conclude"]

# An interval wider than this share of its value agrees with anything.
_WIDEST = 1.0


def compare(name: str, predicted: Exponent, measured: Exponent) -> Comparison:
    """Whether two intervals overlap, where both exponents can be reported."""

    def found(outcome: str, reason: str) -> Comparison:
        return Comparison(
            name=name, predicted=predicted, measured=measured, outcome=outcome, reason=reason
        )

    for what, exponent in (("predicted", predicted), ("measured", measured)):
        if not exponent.reportable:
            return found("indeterminate", f"{what} alpha is not reportable: {exponent.reason}")
        assert exponent.value is not None
        assert exponent.low is not None
        assert exponent.high is not None
        if exponent.high - exponent.low > _WIDEST * abs(exponent.value):
            return found(
                "indeterminate", f"the interval of the {what} alpha is wider than its value"
            )
    a, b = predicted, measured
    text = f"predicted {_interval(a)}, measured {_interval(b)}"
    assert a.low is not None
    assert a.high is not None
    assert b.low is not None
    assert b.high is not None
    overlap = a.low <= b.high and b.low <= a.high
    return found("consistent" if overlap else "inconsistent", text)


def conclude(comparisons: Sequence[Comparison], gates: Sequence[Gate]) -> tuple[str, str]:
    """(outcome, meaning) of all comparisons, given the gates that have to hold.

    Where a gate failed, neither agreement nor difference says anything about the theory.
    """
    decided = [c for c in comparisons if c.outcome != "indeterminate"]
    if not decided:
        reasons = "; ".join(f"{c.name}: {c.reason}" for c in comparisons) or "nothing to compare"
        return "indeterminate", f"No comparison can be made ({reasons})."
    failed = [gate.name for gate in gates if gate.passed is False]
    if failed:
        seen = ", ".join(f"{c.name} {c.outcome}" for c in decided)
        return (
            "indeterminate",
            f"The exponents would be: {seen}; but these gates failed: {', '.join(failed)}.",
        )
    unknown = [gate.name for gate in gates if gate.passed is None]
    hedge = f" Not known: {', '.join(unknown)}." if unknown else ""
    against = [c for c in decided if c.outcome == "inconsistent"]
    if against:
        listed = "; ".join(f"{c.name}: {c.reason}" for c in against)
        return "inconsistent", f"Predicted and measured alpha differ ({listed}).{hedge}"
    listed = "; ".join(f"{c.name}: {c.reason}" for c in decided)
    return "consistent", f"Predicted and measured alpha agree ({listed}).{hedge}"


def _interval(exponent: Exponent) -> str:
    return f"{exponent.value:.3f} [{exponent.low:.3f}, {exponent.high:.3f}]"
