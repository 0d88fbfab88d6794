"""The answer to "how will loss fall with data on this text?", and forecasts of losses."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.errors import InputError
from ngramstat.results.base import Result

__all__ = ["FORECAST_ROUTES", "RUNGS", "Answer", "ForecastPoint", "Rung"]

# What an answer can stand on, best first.
RUNGS = ("curves", "reader", "counts")
FORECAST_ROUTES = ("alpha", "curves", "fit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rung(Result):
    """What one learner says about alpha: predicted from its losses by context, and shown by them.

    Attributes
    ----------
    rung : str
        ``curves``: losses of trained models of the user or of `validate`; ``reader``: losses of a
        pretrained model; ``counts``: bounds from counts; ``counted``: the counted learner's own
        slope; ``limits``: entropies extrapolated to infinitely many tokens.
    learner : str
        What reads the text, in words.
    alpha, low, high : float or None
        gamma / (2 beta) and its total interval; bounds have no single value.
    level : float
    tokens : float or None
        Training tokens P of the learner; None for bounds, or where unknown.
    window : (float, float) or None
        Contexts that gamma is taken over, in tokens.
    gamma_by_size : (float, float) or None
        gamma of the learner's smallest and largest number of training tokens.
    lags : (float, float) or None
        Lags that beta is taken over.
    protocol : str
        ``raw`` (no limit subtracted, as in the paper), ``bounds`` or ``shifted``.
    reportable : bool
        Whether every part of this rung can be reported.
    reason : str or None
        Why not.
    shown, shown_low, shown_high : float or None
        Raw slope of the learner's own losses against training tokens, with its interval.
    shown_tokens : (float, float) or None
        Range of training tokens of that slope.
    shown_reportable : bool
        Whether that slope passes the checks of a power law.
    agrees : bool or None
        Whether the predicted and the shown interval overlap; None where either is unknown.
    """

    rung: str
    learner: str
    alpha: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    tokens: float | None = None
    window: tuple[float, float] | None = None
    gamma_by_size: tuple[float, float] | None = None
    lags: tuple[float, float] | None = None
    protocol: str = "raw"
    reportable: bool = False
    reason: str | None = None
    shown: float | None = None
    shown_low: float | None = None
    shown_high: float | None = None
    shown_tokens: tuple[float, float] | None = None
    shown_reportable: bool = False
    agrees: bool | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer(Result):
    """The best available answer: alpha with its total interval, and what it stands on.

    Attributes
    ----------
    alpha, low, high, level, rung, tokens, learner, window, lags, protocol, reportable, reason
        Of the best rung that has an interval; see `Rung`.
    because : tuple of str
        Sentences: what the answer rests on, and what weakens it.
    next : tuple of str
        What would take it a rung higher, as commands.
    rungs : tuple of Rung
        All that was found, best first, the one of the answer included.
    """

    alpha: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    rung: str = "counts"
    tokens: float | None = None
    learner: str = ""
    window: tuple[float, float] | None = None
    lags: tuple[float, float] | None = None
    protocol: str = "bounds"
    reportable: bool = False
    reason: str | None = None
    because: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = ()

    def _check(self) -> None:
        if self.rung not in RUNGS:
            raise InputError(f"Answer.rung: not one of {', '.join(RUNGS)}: {self.rung[:60]!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastPoint(Result):
    """Expected loss at one number of training tokens by one route, nats per token.

    Attributes
    ----------
    tokens : float
    route : str
        ``alpha``: alpha of the answer, anchored at measured losses; ``curves``: the entropies and
        ||C(t)|| of the text, without any exponent; ``fit``: a free fit of measured losses.
    learner : str
        Whose loss, in words.
    loss, low, high : float or None
        With the band of a newly measured loss.
    level : float
        Of the band.
    change : float or None
        Relative to the loss of the same route at the largest measured size (negative: a gain), or
        at the tokens of the corpus where no loss was measured.
    context : float or None
        Context worth having with so many tokens.
    recommended : bool
        Whether this is the route to go by.
    reportable : bool
        Whether backtests support its band.
    reason : str or None
        Why not.
    """

    tokens: float
    route: str
    learner: str = ""
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    change: float | None = None
    context: float | None = None
    recommended: bool = False
    reportable: bool = False
    reason: str | None = None

    def _check(self) -> None:
        if self.route not in FORECAST_ROUTES:
            raise InputError(
                f"ForecastPoint.route: not one of {', '.join(FORECAST_ROUTES)}: {self.route[:60]!r}"
            )
