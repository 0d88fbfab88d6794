"""The answer of a run at the beginning of its page, with the evidence and the forecasts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ngramstat.report.markup import fold, section, table, text_of
from ngramstat.report.text import count
from ngramstat.results import Answer, ForecastPoint, Rung

__all__ = ["answer_block", "evidence_section", "forecast_section"]

_EVIDENCE = {
    "curves": "models trained on this text",
    "reader": "a pretrained model that reads it",
    "counts": "counts of the text alone",
    "counted": "the counting learner itself",
    "limits": "second opinion: entropies extrapolated to infinite data",
}
_ROUTES = {
    "alpha": "α of the answer, from measured losses on",
    "curves": "the curves of the text, without any exponent",
    "fit": "free fit of measured losses",
}
# Sentences in the answer itself; the rest is folded below it.
_REASONS, _STEPS = 3, 2
_SENTENCE = 320


def answer_block(answer: Answer) -> str:
    """The answer in at most ten lines: alpha, what it means, what it rests on, what to do next."""
    reasons, more_reasons = answer.because[:_REASONS], answer.because[_REASONS:]
    steps, more_steps = answer.next[:_STEPS], answer.next[_STEPS:]
    parts = [
        f'<p class="value">{_value(answer)}</p>',
        f"<p>{_meaning(answer)}</p>",
    ]
    parts += [f"<p>{text_of(_sentence(reason))}</p>" for reason in reasons]
    if steps:
        items = "".join(f"<li>{_step(step)}</li>" for step in steps)
        parts.append(f"<p>What would narrow it:</p><ul>{items}</ul>")
    more = [f"<p>{text_of(_sentence(reason))}</p>" for reason in more_reasons]
    more += [f"<p>{_step(step)}</p>" for step in more_steps]
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
    interval = f"{answer.low:.2f} to {answer.high:.2f}"
    if answer.alpha is None:
        return f"α between {answer.low:.2f} and {answer.high:.2f}"
    return f"α = {answer.alpha:.3f} <small>({interval})</small>"


def _meaning(answer: Answer) -> str:
    """What the numbers say of losses, what they rest on, and how sure that is."""
    if answer.low is None or answer.high is None:
        return "Neither the correlations nor the losses of this text allow a statement."
    # A limit is subtracted where entropies were extrapolated; else the loss itself falls.
    loss = "the loss above its limit" if answer.protocol == "shifted" else "the loss"
    gains = f"{_gain(answer.low)} to {_gain(answer.high)} %"
    sure = f"{100 * answer.level:g} % interval"
    if answer.alpha is None:
        law = (
            f"Ten times as many training tokens lower {loss} by {gains} ({sure}; no value within "
            "it is preferred)."
        )
    else:
        law = (
            f"Ten times as many training tokens lower {loss} by about {_gain(answer.alpha)} % "
            f"({gains}, {sure})."
        )
    learner = _EVIDENCE.get(answer.rung, answer.rung)
    if answer.learner and answer.rung != "counts":
        learner += f": {answer.learner}"
    at = "" if answer.tokens is None else f", near {count(answer.tokens)} training tokens"
    return text_of(f"{law} This rests on {learner}{at}.")


def _gain(alpha: float) -> str:
    """By how many per cent ten times the tokens lower a loss."""
    return f"{100 * (1 - 10.0**-alpha):.0f}"


def _sentence(text: str) -> str:
    """A sentence with a capital; one that is very long ends early, and is whole in run.json."""
    shown = text[:1].upper() + text[1:]
    if len(shown) > _SENTENCE:
        shown = shown[:_SENTENCE].rsplit(" ", 1)[0] + " …"
    return shown if shown.endswith((".", "…", "?", "!")) else f"{shown}."


def _step(step: str) -> str:
    """A command as code, with the words around it as text."""
    found = re.match(r"(?s)(.*?)`([^`]+)`(.*)", step)
    if found is not None:
        before, command, after = found.groups()
        return f"{text_of(before)}<code>{text_of(command)}</code>{text_of(after)}"
    if step.startswith(("ngramstat ", "pip ")):
        command, bracket, rest = step.partition(" (")
        after = f"<br><small>{text_of(rest.removesuffix(')'))}</small>" if bracket else ""
        return f"<code>{text_of(command)}</code>{after}"
    return text_of(step)


def evidence_section(rungs: Sequence[Rung]) -> str:
    """The table of everything that bears on alpha, the best first."""
    rows = [_evidence_row(rung) for rung in rungs]
    if not rows:
        return ""
    notes = [
        f"<p class='note'><b>{text_of(_EVIDENCE.get(rung.rung, rung.rung))}</b>: "
        f"{text_of(_sentence(rung.reason))}</p>"
        for rung in rungs
        if rung.reason
    ]
    return section(
        "What the answer stands on",
        table(
            ["evidence", "α", "training tokens", "slope of its own losses", "usable"],
            rows,
            stacked=True,
        ),
        fold("Why not", "".join(notes)) if notes else "",
        lead="Everything that bears on α, the best evidence first; the answer is the first usable "
        "line. Where a learner's own losses are known, the last but one column is their slope: it "
        "should agree with α.",
    )


def _evidence_row(rung: Rung) -> list[str]:
    name = f"<b>{text_of(_EVIDENCE.get(rung.rung, rung.rung))}</b>"
    if rung.learner:
        name += f"<br><small>{text_of(rung.learner)}</small>"
    usable = '<span class="passed">yes</span>'
    if not rung.reportable:
        usable = '<span class="failed">no</span>'
    return [
        name,
        _interval(rung.alpha, rung.low, rung.high),
        "" if rung.tokens is None else count(rung.tokens),
        _interval(rung.shown, rung.shown_low, rung.shown_high),
        usable,
    ]


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "" if value is None else f"{value:.3f}"
    if value is None:
        return f"{low:.3f} to {high:.3f}"
    return f"{value:.3f} <small>[{low:.3f}, {high:.3f}]</small>"


def forecast_section(points: Sequence[ForecastPoint]) -> str:
    """Expected losses at the requested sizes, by route; the recommended route is marked."""
    if not points:
        return ""
    rows = [_forecast_row(point) for point in sorted(points, key=lambda point: point.tokens)]
    notes = list(dict.fromkeys(point.reason for point in points if point.reason))
    return section(
        "Forecast",
        table(
            ["training tokens", "route", "loss (nats per token)", "change against now",
             "context worth having"],
            rows,
            stacked=True,
        ),
        *(f'<p class="note">{text_of(_sentence(note))}</p>' for note in notes),
        lead="Expected losses with the band of a newly measured one. Values in parentheses are not "
        "supported by backtests on this text's own curves.",
    )  # fmt: skip


def _forecast_row(point: ForecastPoint) -> list[str]:
    route = text_of(_ROUTES.get(point.route, point.route))
    if point.recommended:
        route = f"<b>{route}</b> <small>(recommended)</small>"
    loss = "–"
    if point.loss is not None:
        loss = f"{point.loss:.3f}"
        if point.low is not None and point.high is not None:
            loss += f" <small>[{point.low:.3f}, {point.high:.3f}]</small>"
        if not point.reportable:
            loss = f"({loss})"
    change = "" if point.change is None else f"{100 * point.change:+.1f} %".replace("-", "−")
    context = "" if point.context is None else f"{count(point.context)} tokens"
    return [f"<b>{count(point.tokens)}</b>", route, loss, change, context]
