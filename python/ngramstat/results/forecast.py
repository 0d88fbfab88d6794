"""How well forecasts of losses did on losses that are known, and losses by model size."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.errors import InputError
from ngramstat.results.answer import FORECAST_ROUTES
from ngramstat.results.base import Result, Window

__all__ = ["ForecastBacktest", "ModelSizeFit", "ModelSizeTerm"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ForecastBacktest(Result):
    """Later losses of a curve predicted from its first sizes, three or more, by one route.

    Attributes
    ----------
    route : str
        As in `ForecastPoint`.
    learner : str
        Whose losses, in words.
    factor : float
        Tokens of the predicted loss, in units of the largest size used.
    cases : int
        Number of predictions.
    inside : int
        How many bands held the measured loss.
    level : float
        Nominal coverage of the bands.
    median_error, largest_error : float
        Of the absolute relative errors.
    """

    route: str
    learner: str
    factor: float
    cases: int
    inside: int
    level: float = 0.95
    median_error: float
    largest_error: float

    def _check(self) -> None:
        if self.route not in FORECAST_ROUTES:
            raise InputError(f"ForecastBacktest.route: unknown: {self.route[:60]!r}")
        if not 0 <= self.inside <= self.cases:
            raise InputError("ForecastBacktest.inside: must lie in 0 .. cases")


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSizeTerm(Result):
    """One parameter of `ModelSizeFit` with its profile-likelihood interval.

    An end is None where the likelihood does not bound the parameter.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSizeFit(Result):
    """L(N, D) = E + A / N^a + B / D^b fitted to losses by model size N and training tokens D.

    Attributes
    ----------
    limit, a, b : ModelSizeTerm or None
        E in nats per token, the exponent of the parameters, and that of the training tokens: alpha
        of a law with a limit.
    scale_parameters, scale_tokens : float or None
        A and B; None, as the terms before, where nothing could be fitted.
    level : float
    scatter : float or None
        Root-mean-square residual of log L; None without more losses than parameters of the law.
    points : int
        Number of losses.
    parameters, tokens : (float, float)
        Their ranges.
    reportable : bool
    reason : str or None
    """

    limit: ModelSizeTerm | None = None
    a: ModelSizeTerm | None = None
    b: ModelSizeTerm | None = None
    scale_parameters: float | None = None
    scale_tokens: float | None = None
    level: float = 0.95
    scatter: float | None = None
    points: int
    parameters: Window
    tokens: Window
    reportable: bool = False
    reason: str | None = None
