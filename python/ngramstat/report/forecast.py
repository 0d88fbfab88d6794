"""Terminal text of the forecast: one table of losses to expect, and how the routes were tested."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.report.text import count, exponent_number, marked, table, wrap
from ngramstat.results import ForecastBacktest, ForecastPoint, ModelSizeFit, RunResult

__all__ = ["ROUTES", "forecast_lines", "model_size_lines"]

# What each route starts from, in words.
ROUTES = {
    "alpha": "measured losses, their slope informed by alpha",
    "curves": "entropies and ||C(t)|| of the text, one constant of the learner, no exponent",
    "fit": "measured losses alone",
}
_RECOMMENDED = "*"


def forecast_lines(run: RunResult, *, full: bool = True) -> list[str]:
    """The table with its notes; empty without a forecast.

    Parameters
    ----------
    run : RunResult
    full : bool
        False: only the route to go by, and how it was tested.
    """
    points, backtests = run.forecast, run.forecast_backtests
    if not full:
        points = tuple(p for p in points if p.recommended)
        routes = {p.route for p in points}
        backtests = tuple(b for b in backtests if b.route in routes)
    lines = _table(points)
    if lines:
        lines += _backtests(backtests)
    if lines and not full and len(points) < len(run.forecast):
        lines += wrap("--full shows the other routes", indent=2)
    if run.model_size is not None:
        lines += ([""] if lines else []) + model_size_lines(run.model_size)
    return lines


def _table(points: Sequence[ForecastPoint]) -> list[str]:
    if not points:
        return []
    lines = [f"FORECAST  expected loss, nats per token ({_RECOMMENDED} the route to go by)"]
    shown = [p for p in points if p.loss is not None]
    if shown:
        lines += table(
            [
                ("tokens", [count(p.tokens) for p in shown]),
                ("route", [p.route + _RECOMMENDED * p.recommended for p in shown]),
                ("loss", [marked(f"{p.loss:.3f}", reportable=p.reportable) for p in shown]),
                (
                    f"{100 * shown[0].level:g}% band",
                    [
                        marked(f"{p.low:.3f} to {p.high:.3f}", reportable=p.reportable)
                        for p in shown
                    ],
                ),
                ("change", ["" if p.change is None else f"{100 * p.change:+.0f}%" for p in shown]),
                ("context worth having, tokens", [_context(p) for p in shown]),
            ]
        )
        lines += wrap(
            "change: against the loss of the same route at the largest measured size", indent=2
        )
    for route in ROUTES:
        lines += _notes(route, [p for p in points if p.route == route])
    return lines


def _notes(route: str, points: Sequence[ForecastPoint]) -> list[str]:
    """What a route starts from, whose losses it is about, and where it is not tested."""
    if not points:
        return []
    learner = f" of {points[0].learner}" if points[0].learner else ""
    lines = wrap(f"{route}: {ROUTES[route]}; losses{learner}", indent=2, hang=2)
    what = "none" if points[0].loss is None else "in parentheses"
    for reason, tokens in _reasons(points):
        at = "" if len(tokens) == len(points) else f" at {', '.join(tokens)} tokens"
        lines += wrap(f"{what}{at}: {reason}", indent=4, hang=2)
    return lines


def _reasons(points: Sequence[ForecastPoint]) -> list[tuple[str, list[str]]]:
    """Each reason once, with the numbers of tokens that it is about."""
    found: dict[str, list[str]] = {}
    for p in points:
        if p.reason is not None:
            found.setdefault(p.reason, []).append(count(p.tokens))
    return list(found.items())


def _context(point: ForecastPoint) -> str:
    return "-" if point.context is None else count(round(point.context))


def _backtests(backtests: Sequence[ForecastBacktest]) -> list[str]:
    """Each route's predictions of later sizes from earlier ones, in one line."""
    lines = []
    for route in dict.fromkeys(b.route for b in backtests):
        chosen = [b for b in backtests if b.route == route]
        tests = "; ".join(
            f"{b.factor:g} times the tokens: median error {100 * b.median_error:.1f} %, "
            f"{b.inside} of {b.cases} inside"
            for b in chosen
        )
        lines += wrap(f"tested on {chosen[0].learner}, {route}: {tests}", indent=2, hang=2)
    return lines


def model_size_lines(fit: ModelSizeFit) -> list[str]:
    """The law of model size and tokens, in words."""
    lines = [
        "MODEL SIZE  L(N, D) = E + A/N^a + B/D^b, N parameters, D training tokens "
        f"({fit.points} losses)"
    ]
    terms = []
    for name, term in (("E", fit.limit), ("a", fit.a), ("b", fit.b)):
        if term is None:
            return lines + wrap(f"not fitted: {fit.reason}", indent=2, hang=2)
        ends = [
            "no bound" if end is None else exponent_number(end) for end in (term.low, term.high)
        ]
        terms.append(f"{name} = {exponent_number(term.value)} [{ends[0]}, {ends[1]}]")
    lines += wrap(marked("; ".join(terms), reportable=fit.reportable), indent=2, hang=2)
    if fit.reason is not None:
        lines += wrap(f"in parentheses: {fit.reason}", indent=2, hang=2)
    lines += wrap(
        "b is the alpha of a law with a limit: larger than the raw slope that alpha, finite stands "
        "for",
        indent=2,
        hang=2,
    )
    return lines
