"""Forecasts of losses: expected loss at given numbers of training tokens by three named routes.

``alpha`` and ``fit`` continue measured losses, with and without alpha of the answer; ``curves``
starts from the entropies and ||C(t)|| of the text, and needs no loss (docs/theory.md 14.5). Every
route is tested on the learner's own curve: later sizes from earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import check_positive
from ngramstat.exponents.intervals import standard_error
from ngramstat.prediction.forecast_routes import (
    Band,
    MeasuredLosses,
    by_alpha,
    by_curves,
    by_fit,
)
from ngramstat.prediction.gates import copies_gate
from ngramstat.prediction.horizon_loss import (
    LEARNER_FACTOR,
    Entropies,
    bounded_entropies,
    horizons_of,
    part_beyond,
    read_entropies,
)
from ngramstat.prediction.horizons import Curve, noise_constant
from ngramstat.prediction.learner_curves import LearnerCurves
from ngramstat.prediction.measured import (
    checked_losses,
    losses_of_all_contexts,
    lower_envelope,
)
from ngramstat.prediction.user_curves import counted_curves
from ngramstat.results import (
    Answer,
    CorrelationResult,
    EntropyResult,
    ForecastBacktest,
    ForecastPoint,
)
from ngramstat.runtime.numbers import count_text

__all__ = ["BACKTEST_FACTORS", "MIN_BACKTEST_SIZES", "Forecast", "forecast"]

Floats = NDArray[np.float64]

# What benchmarks/forecast.py tests: prefixes of so many sizes or more, up to so many times the
# tokens; the text's curves, which bound the decay, also farther.
MIN_BACKTEST_SIZES = 3
BACKTEST_FACTORS = (2.0, 4.0, 8.0)
_TESTED_FACTOR = {"fit": 8.0, "alpha": 8.0, "curves": 64.0}
# Sizes of counted curves are sums of documents, and users' sizes need no common ratio.
_TOLERANCE = 1.2
# Without a word about the models: long enough that the context hardly limits the loss.
_DEFAULT_CONTEXT = 1024
# What still longer contexts add to the mean loss over a window is far below every band.
_LONGEST_CONTEXT = 1 << 16
# Routes by their errors in the backtests of published losses, best first.
_PREFERENCE = ("curves", "alpha", "fit")
# A route whose bands hold fewer of the later losses of this very learner is not to be trusted.
_LEAST_INSIDE = 2 / 3
# A loss of which more depends on extrapolated norms, relative, is not supported by any test.
_MOST_BEYOND = 0.1
# The most training tokens of published losses that the text alone was compared with.
_MOST_TOKENS = 5.3e8
# Equal losses have slopes of this size, by rounding.
_ROUNDING = 1e-9
_TRAINED = "a model that has yet to be trained"


@dataclass(frozen=True)
class Forecast:
    """Expected losses, and how each route did on losses that are known.

    Attributes
    ----------
    points : tuple of ForecastPoint
        By tokens, then route.
    backtests : tuple of ForecastBacktest
    """

    points: tuple[ForecastPoint, ...] = ()
    backtests: tuple[ForecastBacktest, ...] = ()


def forecast(
    correlations: CorrelationResult,
    entropies: EntropyResult,
    *,
    tokens: Sequence[float],
    losses: Sequence[tuple[float, float]] = (),
    curves: Sequence[LearnerCurves] = (),
    reader: LearnerCurves | None = None,
    answer: Answer | None = None,
    context: int | None = None,
) -> Forecast:
    """Expected losses at `tokens`, with bands, by the three routes.

    Losses to start from are those given, else the lower envelope of `curves` over their contexts,
    else those of the counted learner. For the latter the route ``curves`` is about another
    learner: a model that has yet to be trained.

    Parameters
    ----------
    correlations, entropies : CorrelationResult, EntropyResult
        Of the same corpus.
    tokens : sequence of float
        Numbers of training tokens.
    losses : sequence of (float, float)
        (training tokens, loss in nats per token) of the user's models.
    curves : sequence of LearnerCurves
        Losses of models trained on this text.
    reader : LearnerCurves, optional
        Losses of a pretrained model on this text.
    answer : Answer, optional
        Where alpha comes from.
    context : int, optional
        Context of the models, in tokens; by default the largest of `curves`, or 1,024.

    Raises
    ------
    InputError
        For numbers of tokens or losses that are not positive and finite, or two losses at the same
        number of tokens.
    """
    targets = np.array(sorted({float(p) for p in tokens}), dtype=np.float64)
    check_positive("tokens", targets)
    if len(targets) == 0:
        return Forecast()
    routes = _Routes(correlations, entropies, losses, curves, reader, answer, context)
    backtests = routes.backtests()
    points = [
        point
        for route in _PREFERENCE
        for point in _points(routes, route, targets, [b for b in backtests if b.route == route])
    ]
    return Forecast(_recommended(points, backtests, routes.measured), tuple(backtests))


class _Routes:
    """The three routes of one text, applied to all sizes of its losses or to the first ones."""

    def __init__(
        self,
        correlations: CorrelationResult,
        entropies: EntropyResult,
        losses: Sequence[tuple[float, float]],
        curves: Sequence[LearnerCurves],
        reader: LearnerCurves | None,
        answer: Answer | None,
        context: int | None,
    ) -> None:
        self.correlations, self.entropies = correlations, entropies
        self.level = correlations.beta.level
        # Models without context show nothing of how it helps.
        curves = [c for c in curves if c.table.context.max() > 0]
        self.curves, self.reader = curves, reader
        longest = max((int(c.table.context.max()) for c in curves), default=_DEFAULT_CONTEXT)
        self.context = longest if context is None else context
        self.measured = _measured(losses, curves, entropies, self.context)
        self.alpha = _alpha(answer, trained=self.measured is None or self.measured.trained)
        kappa = noise_constant(correlations.noise_floor, correlations.pairs)
        self.kappa = kappa
        contexts = self.context
        if self.measured is not None and self.measured.trained:
            contexts = max(contexts, int(self.measured.contexts.max()))
        contexts = min(contexts, _LONGEST_CONTEXT)
        self.horizons = None if kappa is None else horizons_of(correlations, kappa, contexts)
        self._text_curves: dict[float, Entropies | None] = {}

    @property
    def anchored(self) -> bool:
        """Whether the route of the text's curves starts from measured losses, too."""
        return self.measured is not None and self.measured.trained

    @property
    def now(self) -> float:
        """Training tokens that changes are relative to."""
        if self.measured is not None:
            return float(self.measured.tokens[-1])
        return float(self.entropies.training_tokens or self.correlations.pairs.max())

    def learner(self, route: str) -> str:
        if self.measured is None or (route == "curves" and not self.anchored):
            return _TRAINED
        return self.measured.learner

    def text_curves(self, until: float) -> Entropies | None:
        """The best source of H_n: a reader, or brackets, with losses of at most `until` tokens."""
        if until not in self._text_curves:
            self._text_curves[until] = self._find_text_curves(until)
        return self._text_curves[until]

    def _find_text_curves(self, until: float) -> Entropies | None:
        if self.horizons is None:
            return None
        if self.reader is not None:
            zero = _unigram(self.entropies)
            table = self.reader.table
            found = None
            if zero is not None:
                found = read_entropies(
                    table.context, table.loss, zero, self.horizons, self.reader.name
                )
            if found is not None:
                return found
        n, low, high, source = _brackets(self.entropies, self.curves, until)
        return bounded_entropies(n, low, high, self.horizons, source)

    def refused(self, route: str) -> str | None:
        """Why a route gives no loss at all, or None."""
        if route == "curves":
            if self.horizons is None:
                return "fewer than three lags have a norm above the noise"
            if self.text_curves(math.inf) is None:
                return "the entropies after 0 and 1 tokens are not bounded"
            return None
        if self.measured is None:
            return "no measured losses"
        if route == "alpha" and self.alpha.value is None:
            return self.alpha.reason
        if route == "fit" and len(self.measured.tokens) < 2:
            return "one loss, two needed"
        return None

    def band(self, route: str, measured: MeasuredLosses | None, targets: Floats,
             contexts: Sequence[int]) -> Band:  # fmt: skip
        """The band of a route that is not refused."""
        if route == "curves":
            until = math.inf if measured is None else float(measured.tokens[-1])
            curves = self.text_curves(until)
            assert curves is not None
            assert self.horizons is not None
            return by_curves(
                self.horizons, curves, measured if self.anchored else None, targets, contexts,
                level=self.level,
            )  # fmt: skip
        assert measured is not None
        if route == "fit":
            return by_fit(measured, targets, level=self.level)
        assert self.alpha.value is not None
        return by_alpha(measured, targets, self.alpha.value, self.alpha.error, level=self.level)

    def backtests(self) -> list[ForecastBacktest]:
        """Every route on every prefix of the measured losses; alpha is held fixed."""
        out: list[ForecastBacktest] = []
        measured = self.measured
        if measured is None:
            return out
        routes = _PREFERENCE if self.anchored else ("alpha", "fit")
        for route in routes:
            if self.refused(route) is None:
                outcomes = [o for case in _cases(measured) for o in self._outcomes(route, *case)]
                out += [
                    _summary(route, measured.learner, factor, outcomes, self.level)
                    for factor in BACKTEST_FACTORS
                    if any(o[0] == factor for o in outcomes)
                ]
        return out

    def _outcomes(
        self, route: str, sizes: int, later: list[tuple[float, int]]
    ) -> Iterator[tuple[float, bool, float]]:
        """(factor, inside, relative error) of the later losses, from the first `sizes`."""
        measured = self.measured
        assert measured is not None
        rows = [row for _, row in later]
        contexts = [int(measured.contexts[row]) for row in rows]
        if route == "curves" and self.text_curves(float(measured.tokens[sizes - 1])) is None:
            return
        band = self.band(route, measured.until(sizes), measured.tokens[rows], contexts)
        truth = measured.losses[rows]
        inside = (band.low <= truth) & (truth <= band.high)
        for i, (factor, _) in enumerate(later):
            yield factor, bool(inside[i]), float(band.loss[i] / truth[i] - 1)

    def worth_having(self, tokens: float) -> float | None:
        """Context of which a learner has learned half, in tokens: n*(P / c)."""
        if self.kappa is None:
            return None
        c = self.correlations
        curve = Curve(
            c.lags, c.best_norm, c.valid, self.kappa, c.beta, documents_end=c.document_reach
        )
        return curve.horizon(tokens / LEARNER_FACTOR).lag


def _cases(measured: MeasuredLosses) -> Iterator[tuple[int, list[tuple[float, int]]]]:
    """(sizes, [(factor, row)]) of every prefix with later losses at the factors."""
    p = measured.tokens
    for sizes in range(MIN_BACKTEST_SIZES, len(p)):
        later = [
            (factor, row)
            for factor in BACKTEST_FACTORS
            for row in range(sizes, len(p))
            if 1 / _TOLERANCE < p[row] / p[sizes - 1] / factor < _TOLERANCE
        ]
        if later:
            yield sizes, later


def _summary(
    route: str,
    learner: str,
    factor: float,
    outcomes: Sequence[tuple[float, bool, float]],
    level: float,
) -> ForecastBacktest:
    chosen = [(inside, abs(error)) for at, inside, error in outcomes if at == factor]
    return ForecastBacktest(
        route=route,
        learner=learner,
        factor=factor,
        cases=len(chosen),
        inside=sum(inside for inside, _ in chosen),
        level=level,
        median_error=float(np.median([error for _, error in chosen])),
        largest_error=max(error for _, error in chosen),
    )


# --- what the routes start from ----------------------------------------------------------------


def _measured(
    losses: Sequence[tuple[float, float]],
    curves: Sequence[LearnerCurves],
    entropies: EntropyResult,
    context: int,
) -> MeasuredLosses | None:
    """Losses given, or the envelope of the curves, or the counted learner's."""
    if losses:
        p, y = checked_losses(losses, needed=1)
        return MeasuredLosses(p, y, np.full(len(p), context), "your models")
    if curves:
        return _envelope(curves)
    table = counted_curves(entropies)
    if table is None:
        return None
    rows = lower_envelope(table.tokens, table.loss)
    return MeasuredLosses(
        table.tokens[rows], table.loss[rows], table.context[rows].astype(np.int64),
        "the counted learner (Kneser-Ney)", trained=False,
    )  # fmt: skip


def _envelope(curves: Sequence[LearnerCurves]) -> MeasuredLosses | None:
    """The smallest loss of every number of tokens over learners of all contexts."""
    p, y, last = [], [], []
    for learner in curves:
        sizes, means = losses_of_all_contexts(learner.table)
        p.append(sizes)
        y.append(means)
        last.append(np.full(len(sizes), int(learner.table.context.max())))
    tokens, losses, contexts = np.concatenate(p), np.concatenate(y), np.concatenate(last)
    if len(tokens) == 0:
        return None
    rows = lower_envelope(tokens, losses)
    table = curves[0].table
    # Losses of one context alone are those of models with this context, over all their positions.
    alone = len(np.unique(table.context)) == 1
    name = curves[0].name
    if len(curves) > 1:
        name = f"the best of {len(curves)} kinds of models at every size"
    return MeasuredLosses(
        tokens[rows], losses[rows], contexts[rows], name,
        first=1 if alone else int(table.context.min()),
    )  # fmt: skip


@dataclass(frozen=True)
class _Alpha:
    """alpha with its standard error; `reason` says why it does not hold, or is absent."""

    value: float | None
    error: float
    reason: str | None


def _alpha(answer: Answer | None, *, trained: bool) -> _Alpha:
    """Of the answer; for the losses of the counted learner, of the counted learner.

    Where gamma / (2 beta) of a learner contradicts the slope of its own losses, that slope.
    """
    if answer is None:
        return _Alpha(None, 0.0, "no answer for alpha")
    if trained:
        # A slope measured on the counted learner says nothing of a trained one.
        if answer.rung == "counts" and answer.protocol == "measured":
            return _Alpha(None, 0.0, "no alpha of trained models")
        return _of_ends(
            answer.alpha, answer.low, answer.high, answer.level,
            None if answer.reportable else answer.reason or "not certain",
        )  # fmt: skip
    rung = next((r for r in answer.rungs if r.rung == "counted"), None)
    if rung is None:
        return _Alpha(None, 0.0, "no alpha of the counted learner")
    if rung.agrees is False:
        return _of_ends(rung.shown, rung.shown_low, rung.shown_high, rung.level, None)
    return _of_ends(
        rung.alpha, rung.low, rung.high, rung.level, None if rung.reportable else rung.reason
    )


def _of_ends(
    value: float | None, low: float | None, high: float | None, level: float, reason: str | None
) -> _Alpha:
    """alpha with its standard error; between bounds every value is as likely."""
    if low is None or high is None:
        return _Alpha(None, 0.0, "no alpha with an interval")
    if value is None:
        value, error = (low + high) / 2, (high - low) / math.sqrt(12)
    else:
        error = standard_error(low, high, level)
    if value <= 0:
        return _Alpha(None, 0.0, "alpha is not positive")
    return _Alpha(value, error, None if reason is None else f"alpha: {reason}")


def _unigram(entropies: EntropyResult) -> float | None:
    """H_0, from the bracket of no context."""
    if entropies.low is None or entropies.high is None or entropies.context[0] != 0:
        return None
    return float(entropies.low[0] + entropies.high[0]) / 2


def _brackets(
    entropies: EntropyResult, curves: Sequence[LearnerCurves], until: float
) -> tuple[Floats, Floats, Floats, str]:
    """Context and both ends of H_n; losses of models also bound it from above."""
    low: dict[int, float] = {}
    high: dict[int, float] = {}
    if entropies.low is not None and entropies.high is not None:
        for n, a, b in zip(entropies.context, entropies.low, entropies.high, strict=True):
            low[int(n)], high[int(n)] = float(a), float(b)
    source = "brackets of H_n from counts"
    for learner in curves:
        table = learner.table
        if len(np.unique(table.context)) == 1:
            continue  # the mean loss of models of this context
        source = "brackets of H_n from counts and your models"
        rows = table.tokens <= until
        for n, y in zip(table.context[rows].tolist(), table.loss[rows].tolist(), strict=True):
            if n >= 1:
                high[n] = min(high.get(n, math.inf), y)
    contexts = np.array(sorted(high), dtype=np.float64)
    ends = np.array([(low.get(int(n), 0.0), high[int(n)]) for n in contexts]).reshape(-1, 2)
    # What a model has reached also counts against a lower end, which has an error of its own.
    return contexts, np.minimum(ends[:, 0], ends[:, 1]), ends[:, 1], source


# --- points ------------------------------------------------------------------------------------


def _points(
    routes: _Routes, route: str, targets: Floats, backtests: Sequence[ForecastBacktest]
) -> list[ForecastPoint]:
    learner, contexts = routes.learner(route), [routes.context] * len(targets)
    refused = routes.refused(route)
    if refused is not None:
        return [
            ForecastPoint(
                tokens=float(p), route=route, learner=learner, reason=refused,
                context=routes.worth_having(float(p)),
            )
            for p in targets
        ]  # fmt: skip
    band = routes.band(route, routes.measured, targets, contexts)
    now = routes.band(route, routes.measured, np.array([routes.now]), [routes.context])
    points = []
    for i, p in enumerate(targets.tolist()):
        reason = _not_falling(routes.measured) or _reason(routes, route, p, backtests)
        if reason is None and _above(routes.measured, learner, p, float(band.low[i])):
            reason = "the whole band lies above the last measured loss"
        points.append(
            ForecastPoint(
                tokens=p,
                route=route,
                learner=learner,
                loss=float(band.loss[i]),
                low=float(band.low[i]),
                high=float(band.high[i]),
                level=routes.level,
                change=float(band.loss[i] / now.loss[0] - 1),
                context=routes.worth_having(p),
                reportable=reason is None,
                reason=reason,
            )
        )
    return points


def _reason(
    routes: _Routes, route: str, tokens: float, backtests: Sequence[ForecastBacktest]
) -> str | None:
    """Why no backtest supports a band, or None."""
    measured = routes.measured
    if route == "curves":
        assert routes.horizons is not None
        curves = routes.text_curves(math.inf)
        assert curves is not None
        beyond = part_beyond(routes.horizons, curves, tokens, routes.context)
        if beyond > _MOST_BEYOND:
            return _mostly_beyond(beyond, routes.horizons.last_lag)
        if not routes.anchored:
            if tokens > _MOST_TOKENS * _TOLERANCE:
                return (
                    "without losses of models, the entropies far beyond 5 tokens of context are "
                    f"extrapolated; tested up to {count_text(_MOST_TOKENS)} tokens"
                )
            return None
    assert measured is not None
    factor, tested = tokens / float(measured.tokens[-1]), _TESTED_FACTOR[route]
    if factor > tested * _TOLERANCE:
        return (
            f"{factor:.3g} times the largest measured size; bands are tested up to {tested:g} times"
        )
    if route == "fit" and len(measured.tokens) < MIN_BACKTEST_SIZES:
        return f"{len(measured.tokens)} losses; bands are tested from {MIN_BACKTEST_SIZES} on"
    if not measured.trained and copies_gate(routes.entropies).passed is False:
        return "text with many near copies, where losses of counts fall faster and faster"
    if _fails(backtests):
        cases, inside = sum(b.cases for b in backtests), sum(b.inside for b in backtests)
        return f"its bands held {inside} of {cases} later losses of this learner"
    return routes.alpha.reason if route == "alpha" else None


def _mostly_beyond(part: float, last_lag: float) -> str:
    """How much of the loss rests on extrapolated norms; `part_beyond` can exceed 1."""
    percent = round(100 * part)
    share = "all" if percent >= 100 else f"{percent} %"
    return (
        f"{share} of the loss depends on what is learned beyond lag {last_lag:g}, the last with a "
        "norm above the noise"
    )


def _fails(backtests: Sequence[ForecastBacktest]) -> bool:
    """Whether the bands of a route missed too many later losses of this learner."""
    cases, inside = sum(b.cases for b in backtests), sum(b.inside for b in backtests)
    return cases >= MIN_BACKTEST_SIZES and inside < _LEAST_INSIDE * cases


def _not_falling(measured: MeasuredLosses | None) -> str | None:
    """Why losses of trained models support nothing; one loss does not tell."""
    if measured is None or not measured.trained or len(measured.tokens) < 2:
        return None
    slope = np.polyfit(np.log(measured.tokens), np.log(measured.losses), 1)[0]
    if slope < -_ROUNDING:
        return None
    return "the measured losses do not fall with the number of tokens"


def _above(
    measured: MeasuredLosses | None, learner: str, tokens: float, loss: float | None
) -> bool:
    """Whether more tokens are said to give the measured learner a larger loss than it has."""
    if measured is None or loss is None or learner != measured.learner:
        return False
    last = float(measured.losses[-1]) * (1 + _ROUNDING)
    return tokens > float(measured.tokens[-1]) and loss > last


def _recommended(
    points: Sequence[ForecastPoint],
    backtests: Sequence[ForecastBacktest],
    measured: MeasuredLosses | None,
) -> tuple[ForecastPoint, ...]:
    """By tokens, with one route of each number of tokens marked.

    Reportable ones come first, then those whose loss does not rise above the last measured one,
    then those that did not fail on known losses; among equals, the fixed order decides.
    """
    failing = {r for r in _PREFERENCE if _fails([b for b in backtests if b.route == r])}
    out: list[ForecastPoint] = []
    for tokens in sorted({p.tokens for p in points}):
        here = [p for p in points if p.tokens == tokens]
        best = min(
            (p for p in here if p.loss is not None),
            key=lambda p: (
                not p.reportable,
                _above(measured, p.learner, p.tokens, p.loss),
                p.route in failing,
                _PREFERENCE.index(p.route),
            ),
            default=None,
        )
        out += [replace(p, recommended=p is best) for p in here]
    return tuple(out)
