"""Exponents with their intervals and doubts, and the conditions they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ngramstat.errors import InputError
from ngramstat.results.base import Alternative, FloatVector, Result, Window

__all__ = ["Exponent", "Gate", "Replicates"]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exponent(Result):
    """A fitted exponent with its interval, its window and its doubts.

    Attributes
    ----------
    value, low, high : float or None
        Point estimate and interval at confidence `level`; None if not computable.
    level : float
        Confidence level of the interval, in (0, 1).
    window : (float, float) or None
        First and last lag or context (tokens) used in the fit, inclusive.
    points : int
        Number of points fitted.
    method : str
        How value and interval were made.
    reportable : bool
        Whether every gate was passed. A value that is not reportable is shown only with `reason`.
    reason : str or None
        Why it is not reportable.
    weights : (points,) float64 or None
        Weights of the squared residuals in the fit, mean 1; None: equal, or not a fit.
    alternatives : tuple of dict
        Other estimates of the same exponent, each with `method`, `value`, `low`, `high`,
        `window`, `points` and sometimes further numbers.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    window: Window | None = None
    points: int = 0
    method: str
    reportable: bool
    reason: str | None = None
    weights: FloatVector | None = None
    alternatives: tuple[Alternative, ...] = ()

    def _check(self) -> None:
        if not 0 < self.level < 1:
            raise InputError(f"Exponent.level: needs a number in (0, 1), got {self.level:g}")
        if self.points < 0:
            raise InputError(f"Exponent.points: cannot be negative, got {self.points}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise InputError("Exponent.low: is above Exponent.high")
        if self.reportable and (self.value is None or self.low is None or self.high is None):
            raise InputError("Exponent.reportable: a reportable exponent needs value, low and high")
        if not self.reportable and not self.reason:
            raise InputError("Exponent.reason: an exponent that is not reportable needs a reason")

    @classmethod
    def refused(
        cls,
        reason: str,
        *,
        method: str,
        level: float = 0.95,
        alternatives: Sequence[Mapping[str, Any]] = (),
    ) -> Exponent:
        """An exponent without a value, and why."""
        return cls(
            value=None,
            level=level,
            method=method,
            reportable=False,
            reason=reason,
            alternatives=tuple(alternatives),
        )

    def summary(self) -> str:
        """Value, interval and window in one line."""
        if self.value is None:
            return "none"
        text = f"{self.value:.3f}"
        if self.low is not None and self.high is not None:
            text += f" [{_number(self.low)}, {_number(self.high)}] at {100 * self.level:g}%"
        if self.window is not None:
            text += f", window {self.window[0]:g}..{self.window[1]:g}"
        # alpha has no points of its own: it combines two fits.
        return text + (f", {self.points} points" if self.points else "")

    def __repr__(self) -> str:
        lines = [f"Exponent: {self.summary()}", f"  method: {self.method}"]
        if self.reportable:
            lines.append("  reportable: yes")
        else:
            lines.append(f"  NOT reportable: {self.reason}")
        for other in self.alternatives:
            window = other.get("window")
            where = f", window {window[0]:g}..{window[1]:g}" if window else ""
            value = other.get("value")
            interval = ""
            if other.get("low") is not None and other.get("high") is not None:
                interval = f" [{_number(other['low'])}, {_number(other['high'])}]"
            lines.append(f"  or {_number(value)}{interval}{where}: {other['method']}")
        return "\n".join(lines)

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["method", "value", "low", "high", "window", "points", "reportable", "reason"]

        def text(window: Sequence[float] | None) -> str | None:
            return None if window is None else f"{window[0]:g}..{window[1]:g}"

        rows: list[list[Any]] = [
            [
                self.method,
                self.value,
                self.low,
                self.high,
                text(self.window),
                self.points,
                self.reportable,
                self.reason,
            ]
        ]
        for other in self.alternatives:
            row = [other.get(key) for key in ("method", "value", "low", "high")]
            rows.append([*row, text(other.get("window")), other.get("points"), None, None])
        return header, rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate(Result):
    """One condition of the theory, checked: ``passed`` is None where it cannot be known.

    Attributes
    ----------
    name : str
        Short name of the gate.
    passed : bool or None
        True, False, or None when the data at hand cannot decide it.
    value, threshold : float or None
        The number compared and what it was compared with.
    meaning : str
        What the gate asks, in one sentence.
    """

    name: str
    passed: bool | None
    value: float | None = None
    threshold: float | None = None
    meaning: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates(Result):
    """Exponents of every bootstrap replicate, so that combinations keep their joint error.

    Row r of two of these with the same `seed` and `clusters` is the same resampling of documents.
    All vectors have one length, NaN where a replicate has no such exponent; None where an exponent
    was not computed.

    Attributes
    ----------
    seed : int
        Of the resampling.
    clusters : int
        Groups of documents that were resampled.
    beta, beta_sequential, gamma, gamma_finite : (n_replicates,) float64 or None
    """

    seed: int
    clusters: int
    beta: FloatVector | None = None
    beta_sequential: FloatVector | None = None
    gamma: FloatVector | None = None
    gamma_finite: FloatVector | None = None

    def _check(self) -> None:
        names = ("beta", "beta_sequential", "gamma", "gamma_finite")
        found = {name: getattr(self, name) for name in names}
        lengths = {name: len(value) for name, value in found.items() if value is not None}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Replicates: its vectors have different lengths, {lengths}")
