"""The exponents by the protocol of the paper, with the paper's own values beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ngramstat.results.base import Result, Window
from ngramstat.results.curves import Collapse
from ngramstat.results.exponent import Exponent

__all__ = ["AlphaOfFirst", "GammaAtSize", "PaperProtocol", "PaperValue"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GammaAtSize(Result):
    """gamma of the losses by context at one number of training tokens.

    Attributes
    ----------
    tokens : float
        Training tokens P.
    gamma : Exponent
        Raw slope (no limit subtracted).
    """

    tokens: float
    gamma: Exponent


@dataclass(frozen=True, kw_only=True, eq=False)
class AlphaOfFirst(Result):
    """Raw alpha of the first points of the lower envelope of the losses over context lengths.

    Attributes
    ----------
    points : int
        Number m of training-set sizes fitted, from the smallest on.
    tokens : float
        Training tokens of the last of them.
    context : int
        Context length of the best loss at that size.
    loss : float
        That loss, nats per token.
    alpha : float
        Minus the log-log slope, no limit subtracted.
    error, low, high : float
        Standard error and interval from the scatter about the line (Student's t).
    resampled_error, resampled_low, resampled_high : float
        The same from resampled points.
    """

    points: int
    tokens: float
    context: int
    loss: float
    alpha: float
    error: float
    low: float
    high: float
    resampled_error: float
    resampled_low: float
    resampled_high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperValue(Result):
    """A number of the paper (Cagnetta et al. 2026), for comparison.

    Attributes
    ----------
    quantity : str
        ``beta``, ``gamma``, ``alpha`` (measured) or ``alpha_predicted``.
    corpus : str
    value : float
    error : float or None
        Standard error.
    low, high : float or None
        95% interval.
    window : (float, float) or None
        First and last lag, context or number of training tokens.
    tokens : float or None
        Training tokens, of gamma.
    points : int or None
        Number of points fitted.
    source : str
        Where it stands.
    """

    quantity: str
    corpus: str
    value: float
    error: float | None = None
    low: float | None = None
    high: float | None = None
    window: Window | None = None
    tokens: float | None = None
    points: int | None = None
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperProtocol(Result):
    """beta, gamma and alpha as the paper takes them: raw slopes with equal weights at finite P.

    Attributes
    ----------
    beta : Exponent
        Equal weights over lags 1..192, or as far as they go.
    gamma : tuple of GammaAtSize
        At the largest and second largest number of training tokens of the user's curves.
    alpha : Exponent or None
        Predicted: gamma at the largest number of tokens / (2 beta), errors by eq. 56.
    alpha_measured : Exponent or None
        Raw slope of the lower envelope over all sizes.
    alpha_of_first : tuple of AlphaOfFirst
        The same of the first m sizes.
    collapse : Collapse or None
        Raw, with these gamma and beta.
    missing : tuple of str
        What could not be computed, and what it would take.
    paper : tuple of PaperValue
        The paper's own values.
    """

    _axis: ClassVar[str | None] = None

    beta: Exponent
    gamma: tuple[GammaAtSize, ...] = ()
    alpha: Exponent | None = None
    alpha_measured: Exponent | None = None
    alpha_of_first: tuple[AlphaOfFirst, ...] = ()
    collapse: Collapse | None = None
    missing: tuple[str, ...] = ()
    paper: tuple[PaperValue, ...] = ()

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        header = ["quantity", "value", "low", "high", "window", "source"]
        rows: list[list[Any]] = [_row("beta", self.beta)]
        rows += [_row(f"gamma at {g.tokens:.4g} tokens", g.gamma) for g in self.gamma]
        rows += [
            _row(name, exponent)
            for name, exponent in (
                ("alpha, predicted", self.alpha),
                ("alpha, measured", self.alpha_measured),
            )
            if exponent is not None
        ]
        rows += [
            [f"alpha of the first {a.points}", a.alpha, a.low, a.high, None, "this run"]
            for a in self.alpha_of_first
        ]
        rows += [
            [f"{v.quantity}, {v.corpus}", v.value, v.low, v.high, v.window, v.source]
            for v in self.paper
        ]
        return header, rows


def _row(name: str, exponent: Exponent) -> list[Any]:
    return [name, exponent.value, exponent.low, exponent.high, exponent.window, "this run"]
