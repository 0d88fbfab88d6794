"""The answer of a run in plain words: what alpha is, how sure that is, and what would narrow it."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.report.text import count, marked, table, wrap
from ngramstat.results import Answer, Rung, RunResult

__all__ = [
    "answer_block",
    "answer_sentences",
    "gain",
    "headline",
    "rung_rows",
    "rung_table",
    "with_numbers",
]

_RUNG_NAMES = {
    "curves": "trained models, predicted",
    "reader": "pretrained reader, predicted",
    "counts": "counts alone, range",
    "counted": "n-gram learner, predicted",
    "limits": "limit form, a second opinion",
}
_MEASURED_NAMES = {"curves": "trained models, measured", "counts": "n-gram learner, measured"}
_HEAD = ("evidence", "alpha", "tokens", "slope of its losses", "checks")
# Of the answer; sentences that do not fit are in run.json and on the page.
_MOST_LINES = 11


def answer_block(run: RunResult, *, full: bool = True) -> list[str]:
    """The answer in at most ten lines of words, the commands that would narrow it, and the rungs.

    With `full` also why a rung did not pass its checks. Empty for a run without an answer.
    """
    answer = run.answer
    if answer is None:
        return []
    step: list[str] = []
    for command, _, purpose in (text.partition(" (") for text in answer.next[:1]):
        told = f"To narrow it: {purpose.removesuffix(')')}:" if purpose else "To narrow it:"
        # The command is not wrapped, so that it can be copied.
        step = [*wrap(told, indent=2), f"    {command}"]
    lines = ["ANSWER  how fast does the loss of a language model fall with data on this text?"]
    for sentence in answer_sentences(answer):
        more = wrap(sentence, indent=2)
        if len(lines) > 1 and len(lines) + len(more) + len(step) > _MOST_LINES:
            break
        lines += more
    evidence = rung_table(answer.rungs, full=full)
    return [*lines, *step, *([""] if evidence else []), *evidence]


def answer_sentences(answer: Answer) -> list[str]:
    """What alpha is, and how sure that is."""
    return [headline(answer), *(f"{_upper(sentence)}" for sentence in answer.because)]


def headline(answer: Answer) -> str:
    """One sentence: alpha, its interval, what it stands on, and what ten times the tokens give."""
    if answer.low is None or answer.high is None:
        return "Nothing can be said of alpha: neither correlations nor losses can be used."
    level = f"{100 * answer.level:g}% interval"
    law = "loss ~ P^-alpha, P the number of training tokens"
    if answer.alpha is None:
        ends = f"{answer.low:.3f} to {answer.high:.3f}"
        ends = ends if answer.reportable else f"({ends}, a check failed)"
        return (
            f"From this text alone, alpha lies in {ends} ({law}; {level}, no value in it is "
            "preferred). Ten times as many training tokens then lower the loss by "
            f"{gain(answer.low)} to {gain(answer.high)}."
        )
    value = f"{answer.alpha:.3f} [{answer.low:.3f}, {answer.high:.3f}]"
    value = f"{value} ({level})" if answer.reportable else f"({value}, {level}, a check failed)"
    gains = (
        f"Ten times as many training tokens then lower the loss by about {gain(answer.alpha)} "
        f"({gain(answer.low)} to {gain(answer.high)}); the gain shrinks as the tokens grow."
    )
    if answer.protocol == "measured":
        shown = answer.rungs[0].shown_tokens if answer.rungs else None
        span = "" if shown is None else f" from {count(shown[0])} to {count(shown[1])} tokens"
        text = f"the losses of {answer.learner} fall as P^-alpha with alpha = {value}{span}"
        if answer.rung == "counts":
            return f"alpha cannot be predicted for this text; {text}, P the number of tokens."
        return f"{_upper(text)}, P the number of training tokens. {gains}"
    at = "" if answer.tokens is None else f" near {count(answer.tokens)} training tokens"
    return f"alpha is {value}{at} ({law}), from {answer.learner}. {gains}"


def gain(alpha: float) -> str:
    """By how much ten times the tokens lower the loss."""
    return f"{100 * (1 - 10.0**-alpha):.2g}%"


def rung_table(rungs: Sequence[Rung], *, full: bool = True) -> list[str]:
    """All evidence that has numbers, one line each, and with `full` why checks did not pass."""
    shown = with_numbers(rungs)
    if not shown:
        return []
    rows = rung_rows(shown)
    width = max(len(row[0]) for row in rows)
    cells = [[row[0].ljust(width), *row[1:]] for row in rows]
    lines = table([(name, [row[k] for row in cells]) for k, name in enumerate(_HEAD)])
    if all(rung.reportable for rung in shown):
        return lines
    if not full:
        return lines + wrap("(in parentheses: did not pass its checks; --full says why)", indent=2)
    lines += wrap("(in parentheses: did not pass its checks)", indent=2)
    for rung, row in zip(shown, rows, strict=True):
        if rung.reason is not None:
            lines += wrap(f"{row[0]}: {rung.reason}", indent=4, hang=2)
    return lines


def with_numbers(rungs: Sequence[Rung]) -> list[Rung]:
    """The evidence that has anything to show."""
    return [r for r in rungs if not (r.alpha is None and r.low is None and r.shown is None)]


def rung_rows(rungs: Sequence[Rung]) -> list[list[str]]:
    """Cells of the table of evidence: name, alpha, tokens, shown slope, whether it can be used."""
    return [
        [
            (_MEASURED_NAMES if rung.protocol == "measured" else _RUNG_NAMES).get(
                rung.rung, rung.rung
            ),
            marked(_interval(rung.alpha, rung.low, rung.high), reportable=rung.reportable),
            "-" if rung.tokens is None else count(rung.tokens),
            marked(
                _interval(rung.shown, rung.shown_low, rung.shown_high),
                reportable=rung.shown_reportable,
            ),
            "passed" if rung.reportable else "not passed",
        ]
        for rung in rungs
    ]


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "" if value is None else f"{value:.3f}"
    if value is None:
        return f"{low:.3f} to {high:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
