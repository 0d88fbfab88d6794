"""Exponents with their intervals and alternatives, and the conditions they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from ngramstat.errors import InputError
from ngramstat.results.base import FloatVector, JsonObject, Result, Window

__all__ = [
    "Alternative",
    "AlternativeKind",
    "Exponent",
    "ExponentDifference",
    "Gate",
    "IntervalParts",
    "Replicates",
]


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


class AlternativeKind(StrEnum):
    """What an alternative estimate changes; code looks alternatives up by these words."""

    # beta: the two stages of a decay that was split, and what the split depends on.
    FIRST_STAGE = "first_stage"
    SECOND_STAGE = "second_stage"
    SINGLE_LAW = "single_law"
    BREAK_RANGE = "break_range"
    # The sides of a break that was not split off.
    BEFORE_BREAK = "before_break"
    AFTER_BREAK = "after_break"
    # beta: other windows, weights and points.
    WINDOW_RANGE = "window_range"
    AUTOMATIC_WINDOW = "automatic_window"
    EQUAL_WEIGHTS = "equal_weights"
    HALF_WINDOW = "half_window"
    PAPER_WINDOW = "paper_window"
    WITHOUT_PEAKS = "without_peaks"
    LAG_JACKKNIFE = "lag_jackknife"
    DOCUMENT_JACKKNIFE = "document_jackknife"
    # The paper's protocol: its two errors, and other windows and weights.
    FIT_ERROR = "fit_error"
    RESAMPLED_POINTS = "resampled_points"
    SECOND_HALF = "second_half"
    DEFAULT_PROTOCOL = "default_protocol"
    PLUG_IN_NORM = "plug_in_norm"
    # gamma of the limits: the other of its two estimators, and variants of the fits.
    OTHER_ESTIMATOR = "other_estimator"
    WITHOUT_CORRECTION = "without_correction"
    FREE_CORRECTION = "free_correction"
    WITHOUT_FIRST_DROP = "without_first_drop"
    WITHOUT_LAST_DROP = "without_last_drop"
    SHIFTED = "shifted"
    # gamma at one corpus size.
    LOCAL_SLOPE = "local_slope"
    LONGER_WINDOW = "longer_window"
    AT_SIZE = "at_size"
    OTHER_WINDOW = "other_window"
    # alpha of measured losses.
    FIRST_POINTS = "first_points"
    ALL_SIZES = "all_sizes"
    # Exponents of other theories.
    DOUBLING = "doubling"
    FREQUENCY_WINDOW = "frequency_window"
    RANDOM_FEATURES = "random_features"
    # Read from a file of an earlier version that does not say.
    OTHER = "other"


# Files written before alternatives had a kind tell them apart by the first words of `method`, or by
# the last ones where it begins with the method of the exponent.
_EARLIER_WORDING = {
    "first stage": AlternativeKind.FIRST_STAGE,
    "second stage": AlternativeKind.SECOND_STAGE,
    "single power law over": AlternativeKind.SINGLE_LAW,
    "range over where the first stage may end": AlternativeKind.BREAK_RANGE,
    "before the best break": AlternativeKind.BEFORE_BREAK,
    "after the best break": AlternativeKind.AFTER_BREAK,
    "range over reasonable windows": AlternativeKind.WINDOW_RANGE,
    "single power law, automatic window": AlternativeKind.AUTOMATIC_WINDOW,
    "equal weights": AlternativeKind.EQUAL_WEIGHTS,
    "first half of the window": AlternativeKind.HALF_WINDOW,
    "the paper's window": AlternativeKind.PAPER_WINDOW,
    "without local peaks": AlternativeKind.WITHOUT_PEAKS,
    "leave-one-lag-out jackknife": AlternativeKind.LAG_JACKKNIFE,
    "document jackknife": AlternativeKind.DOCUMENT_JACKKNIFE,
    "weighted fit of log(H_{n-1} - H_n)": AlternativeKind.OTHER_ESTIMATOR,
    "raw OLS of log H_n": AlternativeKind.OTHER_ESTIMATOR,
    "without the correction c/n": AlternativeKind.WITHOUT_CORRECTION,
    "with a free correction c/n": AlternativeKind.FREE_CORRECTION,
    "without the first drop": AlternativeKind.WITHOUT_FIRST_DROP,
    "without the last drop": AlternativeKind.WITHOUT_LAST_DROP,
    "shifted:": AlternativeKind.SHIFTED,
    "local slope": AlternativeKind.LOCAL_SLOPE,
    "longer window": AlternativeKind.LONGER_WINDOW,
    "doubling to": AlternativeKind.DOUBLING,
    "seen": AlternativeKind.FREQUENCY_WINDOW,
    "random features": AlternativeKind.RANDOM_FEATURES,
}
_EARLIER_ENDINGS = {
    " points": AlternativeKind.FIRST_POINTS,
    ", all sizes": AlternativeKind.ALL_SIZES,
}


def _kind_of_earlier_wording(method: object) -> AlternativeKind:
    if isinstance(method, str):
        for words, kind in _EARLIER_WORDING.items():
            if method.startswith(words):
                return kind
        for words, kind in _EARLIER_ENDINGS.items():
            if method.endswith(words):
                return kind
    return AlternativeKind.OTHER


@dataclass(frozen=True, kw_only=True, eq=False)
class IntervalParts(Result):
    """What the interval of an exponent is made of, each part as an interval around the value.

    Attributes
    ----------
    documents : (float, float) or None
        Sampling error over documents, part of the total.
    lags : (float, float) or None
        Choice of single lags beyond their sampling errors, part of the total; in the paper's
        protocol and for a raw gamma, the whole scatter of the lags or contexts about the line.
    window : (float, float) or None
        Smallest and largest estimate over the admissible windows; of beta beside the total, not in
        it, of a raw gamma at one number of training tokens part of the total.
    """

    documents: Window | None = None
    lags: Window | None = None
    window: Window | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Alternative(Result):
    """Another estimate of the same exponent.

    Attributes
    ----------
    kind : AlternativeKind
        What it changes, as a fixed word.
    method : str
        The same as a sentence, for people.
    value, low, high : float or None
        Point estimate and interval, at the level of the exponent; for the `..._range` kinds the
        interval runs from the smallest to the largest estimate.
    window : (float, float) or None
        First and last lag, context or number of tokens used, inclusive.
    points : int or None
        Number of points fitted.
    parts : IntervalParts or None
        What the interval consists of, where it has several parts.
    extra : dict
        Further numbers of that kind. In JSON they stand beside the other fields:

        - fits of beta: `r2`; of a stage also `delta_bic`, `reportable` and `reason`;
        - `window_range`: `windows` (their number), `window_of_low`, `window_of_high`;
        - `break_range`: `breaks` (the ends tried);
        - `without_peaks`: `peaks` (the lags left out);
        - `document_jackknife`: `standard_error`, `ratio` (to that of the bootstrap);
        - `shifted`: `identifiable`, `entropy_rate`;
        - `at_size`: `tokens` (training tokens of the learner with this slope).
    """

    kind: AlternativeKind
    method: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    window: Window | None = None
    points: int | None = None
    parts: IntervalParts | None = None
    extra: JsonObject = field(default_factory=dict)

    def _check(self) -> None:
        clash = sorted(set(self.extra) & set(self._hints()))
        if clash:
            raise InputError(f"Alternative.extra: {clash[0]!r} is the name of a field")

    @property
    def identifiable(self) -> bool:
        """Of a shifted law: whether the data tell the exponent from H_inf."""
        return bool(self.extra.get("identifiable"))

    @property
    def entropy_rate(self) -> float | None:
        """H_inf of a shifted law, nats per token; None where it is not identifiable."""
        rate = self.extra.get("entropy_rate")
        return float(rate) if isinstance(rate, int | float) else None

    def to_dict(self) -> dict[str, Any]:
        """One flat JSON object: the fields, and beside them the `extra` numbers."""
        data = super().to_dict()
        extra: dict[str, Any] = data.pop("extra")
        return data | extra

    @classmethod
    def _read(cls, data: Any, where: str) -> Self:
        if not isinstance(data, Mapping):
            return super()._read(data, where)
        names = cls._hints().keys() - {"extra"}
        fields = {name: value for name, value in data.items() if name in names}
        extra = {name: value for name, value in data.items() if name not in fields}
        kind = fields.pop("kind", _kind_of_earlier_wording(data.get("method")))
        return super()._read({"kind": kind, **fields, "extra": extra}, where)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exponent(Result):
    """A fitted exponent with its interval, its window and its alternatives.

    Attributes
    ----------
    value, low, high : float or None
        Point estimate and total interval at confidence `level`; None if not computable.
    level : float
        Confidence level of the interval, in (0, 1).
    window : (float, float) or None
        First and last lag or context (tokens) used in the fit, inclusive.
    points : int
        Number of points fitted.
    method : str
        How value and interval were computed.
    reportable : bool
        Whether every gate was passed. A value that is not reportable is shown only with `reason`.
    reason : str or None
        Why it is not reportable.
    weights : (points,) float64 or None
        Weights of the squared residuals in the fit, mean 1; None: equal, or not a fit.
    parts : IntervalParts or None
        The parts of the interval, as far as they are known.
    alternatives : tuple of Alternative
        Other estimates of the same exponent.
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
    parts: IntervalParts | None = None
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
        alternatives: Sequence[Alternative] = (),
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

    def alternatives_of(self, *kinds: AlternativeKind) -> tuple[Alternative, ...]:
        """The alternatives of these kinds, in their order."""
        return tuple(other for other in self.alternatives if other.kind in kinds)

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

    def marked_summary(self) -> str:
        """`summary`; of an exponent that is not reportable in parentheses, with the reason."""
        if self.reportable:
            return self.summary()
        value = "" if self.value is None else f"({self.summary()}) "
        return f"{value}not reportable: {self.reason}"

    def __repr__(self) -> str:
        shown = self.summary() if self.reportable or self.value is None else f"({self.summary()})"
        lines = [f"Exponent: {shown}", f"  method: {self.method}"]
        if self.reportable:
            lines.append("  reportable: yes")
        else:
            lines.append(f"  NOT reportable: {self.reason}")
        for other in self.alternatives:
            window = other.window
            where = f", window {window[0]:g}..{window[1]:g}" if window else ""
            interval = ""
            if other.low is not None and other.high is not None:
                interval = f" [{_number(other.low)}, {_number(other.high)}]"
            text = f"{_number(other.value)}{interval}"
            # What varies a refused fit is no better than it.
            text = text if self.reportable else f"({text})"
            lines.append(f"  or {text}{where}: {other.method}")
        return "\n".join(lines)

    def _summary(self) -> dict[str, Any]:
        numbers = {"": self.value, "_low": self.low, "_high": self.high}
        present = {name: value for name, value in numbers.items() if value is not None}
        return {**present, "_reportable": int(self.reportable)}

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
            row = [other.method, other.value, other.low, other.high]
            rows.append([*row, text(other.window), other.points, self.reportable, self.reason])
        return header, rows


@dataclass(frozen=True, kw_only=True, eq=False)
class ExponentDifference(Result):
    """Exponents of two curves, fitted to the same lags with the same weights.

    Attributes
    ----------
    first, second : float
        Both exponents.
    difference, low, high : float
        First less second, and its interval at `level`; no interval without replicates.
    level : float
    window : (float, float)
        First and last lag that both curves have, inclusive.
    points : int
        Number of lags.
    """

    first: float
    second: float
    difference: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    window: Window
    points: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate(Result):
    """One condition of the theory, checked.

    Attributes
    ----------
    name : str
        Short name of the gate.
    passed : bool or None
        None where the data cannot decide it.
    value, threshold : float or None
        The number compared and what it was compared with.
    meaning : str
        What the gate requires, in one sentence.
    """

    name: str
    passed: bool | None
    value: float | None = None
    threshold: float | None = None
    meaning: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicates(Result):
    """Exponents of every bootstrap replicate, from which combinations get their joint error.

    If two of these have the same `seed` and `clusters`, row r of both is the same resampling of
    documents. All vectors have one length, NaN where a replicate has no such exponent; None where
    an exponent was not computed.

    Attributes
    ----------
    seed : int
        Of the resampling.
    clusters : int
        Number of groups of documents that were resampled.
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
        vectors = {name: getattr(self, name) for name in names}
        lengths = {name: len(value) for name, value in vectors.items() if value is not None}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Replicates: its vectors have different lengths, {lengths}")
