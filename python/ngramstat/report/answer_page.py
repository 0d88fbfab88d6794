"""The answer of a run at the beginning of its page, with the evidence and the forecasts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ngramstat.report.answer import headline, rung_rows, with_numbers
from ngramstat.report.forecast import ROUTES, model_size_lines
from ngramstat.report.markup import fold, section, table, text_of
from ngramstat.report.text import count, marked
from ngramstat.results import Answer, ForecastBacktest, ForecastPoint, Rung, RunResult

__all__ = ["answer_block", "evidence_section", "forecast_section"]

# Sentences in the block itself; further ones are folded below it.
_REASONS, _STEPS = 2, 1
_LETTERS = {"alpha": "α", "beta": "β", "gamma": "γ", "H_inf": "H∞"}


def answer_block(answer: Answer) -> str:
    """The answer in at most ten lines: alpha, what it means, what it rests on, what to do next."""
    parts = [f'<p class="value">{_value(answer)}</p>', f"<p>{_sentence(headline(answer))}</p>"]
    parts += [f"<p>{_sentence(reason)}</p>" for reason in answer.because[:_REASONS]]
    if answer.next:
        parts.append("<p>What would narrow it:</p>")
    parts += [_step(step) for step in answer.next[:_STEPS]]
    more = [f"<p>{_sentence(reason)}</p>" for reason in answer.because[_REASONS:]]
    more += [_step(step) for step in answer.next[_STEPS:]]
    if more:
        parts.append(fold("More about this answer", "".join(more)))
    inside = "\n".join(parts)
    return (
        '<section id="answer" class="answer"><h2>How fast does loss fall with data on this text?'
        f"</h2>\n{inside}\n</section>"
    )


def _value(answer: Answer) -> str:
    if answer.low is None or answer.high is None:
        return "α is unknown"
    if answer.alpha is None:
        ends = f"{answer.low:.3f} and {answer.high:.3f}"
        value = f"α between {marked(ends, reportable=answer.reportable)}"
    else:
        interval = f"<small>[{answer.low:.3f} to {answer.high:.3f}]</small>"
        value = f"α = {marked(f'{answer.alpha:.3f} {interval}', reportable=answer.reportable)}"
    if not answer.reportable:
        value += ' <small class="failed">not reportable</small>'
    return value


def _sentence(text: str) -> str:
    """A sentence as HTML, with a capital and with Greek letters."""
    # Before letters are replaced: the capital of a Greek letter is another symbol.
    shown = text[:1].upper() + text[1:] if text.split(" ")[0] not in _LETTERS else text
    shown = re.sub(r"\b(alpha|beta|gamma|H_inf)\b", lambda found: _LETTERS[found[1]], shown)
    return text_of(shown if shown.endswith((".", "?", "!")) else f"{shown}.")


def _step(step: str) -> str:
    """A command that can be copied, and what it gives."""
    command, _, purpose = step.partition(" (")
    shown = f"<pre><code>{text_of(command)}</code></pre>"
    return shown + (
        f'<p class="note">{_sentence(purpose.removesuffix(")"))}</p>' if purpose else ""
    )


# --- evidence ---------------------------------------------------------------------------------


def evidence_section(rungs: Sequence[Rung]) -> str:
    """The table of everything that bears on alpha, the best first."""
    rungs = with_numbers(rungs)
    if not rungs:
        return ""
    cells = rung_rows(rungs)
    rows = [
        [
            f"<b>{text_of(name)}</b>",
            *("" if cell == "-" else text_of(cell) for cell in (alpha, tokens, shown)),
            _check(rung),
        ]
        for rung, (name, alpha, tokens, shown, _) in zip(rungs, cells, strict=True)
    ]
    reasons = [
        f"<p><b>{text_of(row[0])}</b>: {_sentence(rung.reason)}</p>"
        for rung, row in zip(rungs, cells, strict=True)
        if rung.reason
    ]
    return section(
        "What the answer stands on",
        table(
            ["evidence", "α", "training tokens", "slope of its own losses", "checks"],
            rows,
            stacked=True,
        ),
        fold("Why checks were not passed", "".join(reasons)) if reasons else "",
        lead="Everything that bears on α, the best evidence first. Where a learner's own losses "
        "are known, their slope should agree with α. Numbers in parentheses did not pass the "
        "checks.",
    )


def _check(rung: Rung) -> str:
    if rung.reportable:
        return '<span class="passed">✓ passed</span>'
    return '<span class="failed">✗ not passed</span>'


# --- forecasts --------------------------------------------------------------------------------


def forecast_section(run: RunResult) -> str:
    """Expected losses at the requested sizes, by route; the recommended route is marked."""
    parts: list[str] = []
    if run.forecast:
        parts += _forecast(run.forecast)
    if run.forecast_backtests:
        parts.append(fold("How the routes did on losses that are known",
                          _backtests(run.forecast_backtests)))  # fmt: skip
    if run.model_size is not None:
        lines = "".join(
            f"<p>{text_of(line.strip())}</p>" for line in model_size_lines(run.model_size)
        )
        parts.append(fold("Losses by model size", lines))
    if not parts:
        return ""
    return section(
        "Forecast",
        *parts,
        lead="The loss to expect, with the band that a newly measured one should lie in.",
    )


def _forecast(points: Sequence[ForecastPoint]) -> list[str]:
    """The table of the recommended route, the other routes, and what the routes are."""
    shown = [point for point in points if point.loss is not None]
    best = [point for point in shown if point.recommended]
    parts = [_forecast_table(best or shown)] if shown else []
    notes = [_forecast_table(shown)] if len(shown) > len(best) > 0 else []
    for route in ROUTES:
        notes += _route_notes([point for point in points if point.route == route])
    return [*parts, fold("All routes, and what they start from", "".join(notes))]


def _route_notes(points: Sequence[ForecastPoint]) -> list[str]:
    """What one route starts from, whose losses it gives, and what weakens it."""
    if not points:
        return []
    first = points[0]
    learner = f" Losses of {text_of(first.learner)}." if first.learner else ""
    notes = [f"<p><b>{first.route}</b>: {_sentence(ROUTES[first.route])}{learner}</p>"]
    words = "No forecast" if first.loss is None else "In parentheses"
    reasons = dict.fromkeys(point.reason for point in points if point.reason is not None)
    notes += [f'<p class="note">{words}: {_sentence(reason)}</p>' for reason in reasons]
    return notes


def _forecast_table(points: Sequence[ForecastPoint]) -> str:
    band = f"{100 * points[0].level:g} % band"
    return table(
        ["training tokens", "route", "loss, nats per token", band, "change against now",
         "context worth having"],
        [_forecast_row(point) for point in points],
        stacked=True,
    )  # fmt: skip


def _forecast_row(point: ForecastPoint) -> list[str]:
    route = text_of(point.route)
    if point.recommended:
        route += " <small>(recommended)</small>"
    band = ""
    if point.low is not None and point.high is not None:
        band = marked(f"{point.low:.3f} to {point.high:.3f}", reportable=point.reportable)
    loss = "" if point.loss is None else marked(f"{point.loss:.3f}", reportable=point.reportable)
    change = "" if point.change is None else f"{100 * point.change:+.0f} %".replace("-", "−")
    context = "" if point.context is None else f"{count(round(point.context))} tokens"
    return [f"<b>{count(point.tokens)}</b>", route, loss, band, change, context]


def _backtests(backtests: Sequence[ForecastBacktest]) -> str:
    """Predictions of later sizes from earlier ones."""
    rows = [
        [text_of(b.route), text_of(b.learner), f"{b.factor:g}", f"{100 * b.median_error:.1f} %",
         f"{b.inside} of {b.cases}"]
        for b in backtests
    ]  # fmt: skip
    return table(
        ["route", "losses of", "times the tokens", "median error", "inside the band"],
        rows,
        stacked=True,
    )
