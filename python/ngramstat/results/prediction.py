"""alpha, its conditions, and what follows from it at given numbers of training tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import DrawableResult, FloatVector, Result
from ngramstat.results.curves import Collapse, CurvesResult
from ngramstat.results.exponent import Exponent, Gate
from ngramstat.results.paper import PaperProtocol

__all__ = [
    "ContextPoint",
    "HorizonPoint",
    "LossFit",
    "LossPoint",
    "Prediction",
    "StagePoint",
    "ThresholdPoint",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class HorizonPoint(Result):
    """The largest lag n*(P) that `tokens` training tokens resolve.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    lag : float or None
        Horizon in tokens; None if no lag is resolved.
    low, high : float or None
        Its interval: within the measured lags from the intervals of the norms, beyond them from the
        ends of the interval of beta.
    extrapolated : bool
        True where `lag` lies beyond the measured lags and depends on the fitted beta.
    at_least : bool
        True where `lag` is only a lower bound and no measurement shows how far the horizon extends.
    at_documents : bool
        True where `lag` is not where the norm meets the noise but where documents end: at larger
        lags, fewer than one pair in a hundred lies inside a document.
    reason : str or None
        Why a horizon is only a lower bound.
    """

    tokens: float
    lag: float | None = None
    low: float | None = None
    high: float | None = None
    extrapolated: bool = False
    at_least: bool = False
    at_documents: bool = False
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ThresholdPoint(Result):
    """Tokens P*_n needed to resolve one lag; None where its norm is not valid."""

    lag: int
    tokens: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextPoint(Result):
    """Context lengths that a model can learn to use from `tokens` training tokens.

    A learner needs 10 to 1000 times the tokens that counting needs to resolve a lag, so its horizon
    lies between n*(P / 1000) and n*(P / 10). Beyond n*(P) itself, pairs of tokens show nothing;
    correlations of three or more tokens are not covered by this limit.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    low, high : float or None
        The learner's band, tokens; None where no lag is resolved.
    limit : float or None
        n*(P), the horizon of counting.
    extrapolated, at_least, at_documents : bool
        Whether that holds for `high` or `limit`, as in `HorizonPoint`.
    """

    tokens: float
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    extrapolated: bool = False
    at_least: bool = False
    at_documents: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class StagePoint(Result):
    """Which stage of the decay of ||C(t)|| holds at the horizons of a learner with P tokens.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    stage : str
        ``single`` where the decay has one stage; else ``first``, ``second``, or ``indeterminate``
        where the learner's band of horizons spans both.
    beta, alpha : float or None
        Of that stage; of the first stage where it is indeterminate.
    alpha_low, alpha_high : float or None
        Interval of `alpha`.
    other_beta, other_alpha, other_low, other_high : float or None
        The same of the other stage.
    reportable, other_reportable : bool
        Whether the alpha of that stage is reportable; if not, so are not the betas and alphas here.
    reason, other_reason : str or None
        Why not.
    """

    tokens: float
    stage: str
    beta: float | None = None
    alpha: float | None = None
    alpha_low: float | None = None
    alpha_high: float | None = None
    other_beta: float | None = None
    other_alpha: float | None = None
    other_low: float | None = None
    other_high: float | None = None
    reportable: bool = False
    reason: str | None = None
    other_reportable: bool = False
    other_reason: str | None = None

    def _check(self) -> None:
        if self.stage not in ("single", "first", "second", "indeterminate"):
            raise InputError(f"StagePoint.stage: not a stage: {self.stage[:60]!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class LossPoint(Result):
    """Expected loss at one number of training tokens, nats per token, with its band.

    Attributes
    ----------
    tokens, loss : float
    low, high : float or None
        Band of a newly measured loss.
    reportable : bool
        Whether bands this far ahead, from so many losses, are known to hold.
    reason : str or None
        Why not.
    """

    tokens: float
    loss: float
    low: float | None = None
    high: float | None = None
    reportable: bool = False
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LossFit(Result):
    """The curve through measured losses that expected losses are taken from.

    Attributes
    ----------
    tokens, loss : (n_losses,) float64
        The measured losses.
    alpha : str or None
        Which exponent was used: ``alpha`` or ``alpha_finite``; None where no reportable one applies
        and the losses alone decide.
    form : str
        ``shifted``: ``limit + B P^-alpha``, with the alpha of the limits. ``raw``: no limit, a
        local slope informed by the raw alpha. ``losses``: the local slope of the losses alone.
    limit, limit_low, limit_high : float or None
        Loss at infinite P, between 0 and the smallest loss; only of the shifted form.
    slope, slope_low, slope_high : float or None
        Minus d log L / d log P at the largest measured size; not of the shifted form.
    scatter : float or None
        Standard error of single losses about the curve, nats; None for two losses and a limit.
    reportable : bool
        Whether expected losses can be reported (each point says so, too).
    reason : str or None
        Why they cannot.
    alpha_not_used : str or None
        Why no predicted alpha was used.
    """

    _axis: ClassVar[str | None] = "tokens"

    tokens: FloatVector
    loss: FloatVector
    alpha: str | None = None
    form: str = "shifted"
    limit: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    slope: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    scatter: float | None = None
    reportable: bool = False
    reason: str | None = None
    alpha_not_used: str | None = None

    def _check(self) -> None:
        if self.form not in ("shifted", "raw", "losses"):
            raise InputError(f"LossFit.form: not a form: {self.form[:60]!r}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction(DrawableResult):
    """Data-scaling exponent alpha_D = gamma / (2 beta), its conditions, horizons and thresholds.

    Attributes
    ----------
    alpha, alpha_finite : Exponent
        From `EntropyResult.gamma` and from `EntropyResult.gamma_finite`.
    gates : tuple of Gate
        Conditions under which the formula holds.
    horizon : tuple of HorizonPoint
        Largest resolved lag at the requested numbers of training tokens.
    threshold : tuple of ThresholdPoint
        Tokens needed to resolve each measured lag.
    kappa : float or None
        Noise constant used for both: the floor is kappa / sqrt(pairs).
    context_length : tuple of ContextPoint
        Context lengths that can be learned at the requested numbers of tokens.
    stage : tuple of StagePoint
        Which stage of the decay of ||C(t)|| holds at these numbers.
    loss_curve : tuple of LossPoint
        Expected loss at these numbers, given measured losses.
    loss_fit : LossFit or None
        The fitted curve from which these losses are taken.
    collapse : tuple of Collapse
        Of the counted learner's curves and of the user's.
    curves : CurvesResult or None
        Limits and exponents of the user's curves.
    paper : PaperProtocol or None
        Exponents by the paper's protocol, where it was asked for.
    """

    alpha: Exponent
    alpha_finite: Exponent
    gates: tuple[Gate, ...] = ()
    horizon: tuple[HorizonPoint, ...] = ()
    threshold: tuple[ThresholdPoint, ...] = ()
    kappa: float | None = None
    context_length: tuple[ContextPoint, ...] = ()
    stage: tuple[StagePoint, ...] = ()
    loss_curve: tuple[LossPoint, ...] = ()
    loss_fit: LossFit | None = None
    collapse: tuple[Collapse, ...] = ()
    curves: CurvesResult | None = None
    paper: PaperProtocol | None = None

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["quantity", "value", "low", "high", "reportable", "reason"]
        rows: list[list[Any]] = [
            [name, e.value, e.low, e.high, e.reportable, e.reason]
            for name, e in (("alpha", self.alpha), ("alpha_finite", self.alpha_finite))
        ]
        rows += [
            [f"horizon at {p.tokens:.4g} tokens", p.lag, p.low, p.high, not p.at_least, p.reason]
            for p in self.horizon
        ]
        rows += [
            [f"loss at {p.tokens:.4g} tokens", p.loss, p.low, p.high, p.reportable, p.reason]
            for p in self.loss_curve
        ]
        return header, rows

    def __repr__(self) -> str:
        lines = ["Prediction", f"alpha: {self.alpha!r}", f"alpha_finite: {self.alpha_finite!r}"]
        lines += [f"gate failed: {g.name}: {g.meaning}" for g in self.gates if g.passed is False]
        for point in self.horizon:
            lags = "no lag" if point.lag is None else f"lags up to {point.lag:.4g}"
            note = " at least" * point.at_least + ", extrapolated" * point.extrapolated
            note += ", where documents end" * point.at_documents
            lines.append(f"{point.tokens:.4g} tokens resolve {lags}{note}")
        return "\n".join(lines)
