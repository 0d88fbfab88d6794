"""An HTML page that compares several runs: their exponents in one plane and in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ngramstat.report.chart import (
    Axis,
    Chart,
    Curve,
    Floats,
    Label,
    Mark,
    Panel,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.chart_plot import draw_chart
from ngramstat.report.chart_svg import chart_figure
from ngramstat.report.exponent_rows import SYMBOLS
from ngramstat.report.markup import document, fold, number, section, table, text_of
from ngramstat.report.text import count, marked
from ngramstat.results import Answer, Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparability", "plane_chart", "plot_plane", "render_comparison"]

_CONTOURS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
_PADDING = 1.3
# A line of equal alpha shorter than this part of the plane is left out; its label ends at this part
# of the line.
_SHORT, _LABEL_AT, _LABEL_BELOW = 0.12, 0.93, 0.92
# Corpora whose sizes differ by more than this factor are not compared at their own sizes.
_SIZES = 1.5


def _pairs(run: RunResult) -> list[tuple[str, Exponent, Exponent]]:
    """(kind, beta, gamma) of a run; gamma is that of the limits, or at the corpus's size."""
    if run.correlations is None or run.entropies is None:
        return []
    beta = run.correlations.beta
    return [
        ("limit", beta, run.entropies.gamma), ("finite", beta, run.entropies.gamma_finite)
    ]  # fmt: skip


def plane_chart(runs: Sequence[tuple[str, RunResult]]) -> Chart:
    """beta against gamma with lines of equal alpha = gamma / (2 beta).

    Filled markers are the gamma of the limits, open ones the gamma of the held-out curve at the
    corpus's size; the bars are intervals. A pair is faint unless both exponents are reportable.

    Parameters
    ----------
    runs : sequence of (name, RunResult)
    """
    points = [mark for k, (name, run) in enumerate(runs) for mark in _points(name, run, k)]
    xs = [float(mark.x[0]) for mark in points]
    ys = [float(mark.y[0]) for mark in points]
    x_limits = (min(xs) / _PADDING, max(xs) * _PADDING) if xs else (0.3, 2.0)
    y_limits = (min(ys) / _PADDING, max(ys) * _PADDING) if ys else (0.1, 1.0)
    marks: list[Mark] = [*_contours(x_limits, y_limits), *points]
    return Chart(
        title="Decay of correlations and of entropies",
        description="Every run with its intervals: filled where γ is that of the limits, open "
        "where it is the slope at the run's own size, faint where an exponent is not reportable. "
        "Along a line α = γ / (2β) is the same. Losses fall slowly with data at the lower right, "
        "and fast at the upper left.",
        panels=(
            Panel(
                x=Axis(label="β: how fast correlations fall with distance", log=False,
                       limits=x_limits),
                y=Axis(label="γ: how fast entropy falls with context", log=False, limits=y_limits),
                marks=marks,
            ),
        ),
    )  # fmt: skip


def _points(name: str, run: RunResult, k: int) -> list[Curve]:
    """The pairs of exponents of a run."""
    out: list[Curve] = []
    for kind, beta, gamma in _pairs(run):
        if beta.value is None or gamma.value is None or beta.value <= 0 or gamma.value <= 0:
            continue
        ends: list[Floats | None] = []
        for exponent in (beta, gamma):
            known = exponent.low is not None and exponent.high is not None
            ends += [
                floats(end) if known and end is not None else None
                for end in (exponent.low, exponent.high)
            ]
        out.append(
            Curve(
                name="" if out else name, group=name,
                colour=curve_colour(k),
                marker=curve_marker(k),
                x=floats(beta.value), y=floats(gamma.value),
                left=ends[0], right=ends[1], low=ends[2], high=ends[3],
                filled=kind == "limit", faint=not (beta.reportable and gamma.reportable), stroke="",
            )
        )  # fmt: skip
    return out


def _contours(x_range: tuple[float, float], y_range: tuple[float, float]) -> list[Mark]:
    """Lines of equal alpha, labelled inside the frame, near where they leave it."""
    marks: list[Mark] = []
    for alpha in _CONTOURS:
        # Where the line y = 2 alpha x enters and leaves the plane.
        first = max(x_range[0], y_range[0] / (2 * alpha))
        last = min(x_range[1], y_range[1] / (2 * alpha))
        if last - first < _SHORT * (x_range[1] - x_range[0]):
            continue
        x = floats([first, last])
        marks.append(Curve(colour="grey", x=x, y=2 * alpha * x, marker="", stroke="dotted"))
        # Below the upper end of the frame by the height of the label, on the side with room for it.
        below = y_range[0] + _LABEL_BELOW * (y_range[1] - y_range[0])
        at = min(first + _LABEL_AT * (last - first), below / (2 * alpha))
        in_left_half = at < (x_range[0] + x_range[1]) / 2
        marks.append(
            Label(
                colour="grey",
                x=at,
                y=2 * alpha * at,
                text=f"α = {alpha:g}",
                end=not in_left_half,
            )
        )
    return marks


def plot_plane(runs: Sequence[tuple[str, RunResult]]) -> Figure:
    """beta against gamma with lines of equal alpha = gamma / (2 beta).

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    return draw_chart(plane_chart(runs))


# --- what is comparable -----------------------------------------------------------------------


# Properties of a run, and what a difference in them does to a comparison.
_PROPERTIES: tuple[tuple[Callable[[RunResult], str], str], ...] = (
    (
        lambda run: str(run.corpus.get("boundary") or ""),
        "the boundaries differ ({}): on short documents β and the norms differ for that reason "
        "alone; measure all runs with one --boundary",
    ),
    (
        lambda run: _range(run.settings.get("lags")),
        "the lags differ ({}): β is a slope over its lags, so give all runs the same --lags and "
        "--beta-window",
    ),
    (
        lambda run: _window(run.exponents.get("beta")),
        "the windows of β differ ({}): compare the slopes only where they overlap",
    ),
    (
        lambda run: _window(run.exponents.get("gamma_finite")),
        "the windows of γ differ ({} tokens of context)",
    ),
    (
        lambda run: _size(run.corpus.get("vocab_size")),
        "the vocabularies differ in size ({}), so the tokenizers differ: a lag, a context and a "
        "nat per token then mean other stretches of text; tokenize all texts with one tokenizer",
    ),
)


def comparability(runs: Sequence[tuple[str, RunResult]]) -> list[str]:
    """What differs between the runs, and what it does to a comparison, in sentences."""
    sentences = []
    for value, text in _PROPERTIES:
        distinct = list(dict.fromkeys(filter(None, (value(run) for _, run in runs))))
        if len(distinct) > 1:
            sentences.append(text.format("; ".join(distinct)))
    sizes = [float(run.corpus["tokens"]) for _, run in runs if run.corpus.get("tokens")]
    if sizes and max(sizes) > _SIZES * min(sizes):
        shown = ", ".join(count(size) for size in sizes)
        sentences.append(
            f"the corpora differ in size ({shown} tokens): slopes at the run's own size (γ, "
            "finite) and lags beyond the noise of the smaller one are not comparable; cut the "
            "larger ones"
        )
    if not sentences:
        sentences.append(
            "boundary, lags, windows, vocabulary size and corpus size agree: the exponents can "
            "be compared, if the vocabularies come from one tokenizer, which a run does not record"
        )
    return [sentence[0].upper() + sentence[1:] + "." for sentence in sentences]


def _size(vocabulary: Any) -> str:
    return "" if vocabulary is None else number(vocabulary)


def _range(lags: Any) -> str:
    return f"{lags[0]} to {lags[-1]}, {len(lags)} of them" if lags else ""


def _window(exponent: Exponent | None) -> str:
    if exponent is None or exponent.window is None:
        return ""
    return f"{exponent.window[0]:g} to {exponent.window[1]:g}"


def render_comparison(runs: Sequence[tuple[str, RunResult]]) -> str:
    """The page that compares several runs.

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Returns
    -------
    str
        HTML without scripts or external resources.
    """
    rows = []
    for name, run in runs:
        exponents = run.exponents
        cells = [f"<b>{text_of(name)}</b>", number(run.corpus.get("tokens")),
                 number(run.corpus.get("vocab_size"))]  # fmt: skip
        cells.append(_answer(run.answer))
        cells += [_cell(exponents.get(symbol)) for symbol in SYMBOLS]
        rows.append(cells)
    head = [
        "run",
        "tokens",
        "vocabulary",
        "α, the answer",
        *(symbol for symbol, _ in SYMBOLS.values()),
    ]
    reasons = [
        [text_of(name), SYMBOLS[symbol][0], text_of(exponent.reason)]
        for name, run in runs
        for symbol, exponent in run.exponents.items()
        if not exponent.reportable
    ]
    names = ", ".join(name for name, _ in runs)
    comparable = "".join(f"<li>{text_of(sentence)}</li>" for sentence in comparability(runs))
    body = "\n".join(
        [
            section(
                "Exponents",
                chart_figure(plane_chart(runs), "plane"),
                table(head, rows, stacked=True),
            ),
            section("What is comparable", f"<ul>{comparable}</ul>"),
            section(
                "Not reportable",
                fold(
                    f"Why {len(reasons)} exponents in parentheses are not reportable",
                    table(["run", "exponent", "reason"], reasons, stacked=True),
                ),
            )
            if reasons
            else "",
        ]
    )
    return document(f"ngramstat: {names}", f"{len(runs)} runs", "ngramstat comparison", body)


def _answer(answer: Answer | None) -> str:
    if answer is None or answer.low is None or answer.high is None:
        return "–"
    ends = f"{answer.low:.3f} to {answer.high:.3f}"
    value = ends if answer.alpha is None else f"{answer.alpha:.3f} <small>[{ends}]</small>"
    return f"<b>{marked(value, reportable=answer.reportable)}</b>"


def _cell(exponent: Exponent | None) -> str:
    if exponent is None or exponent.value is None:
        return "–"
    text = f"{exponent.value:.4g}"
    if exponent.low is not None and exponent.high is not None:
        text += f" <small>[{exponent.low:.4g}, {exponent.high:.4g}]</small>"
    return text if exponent.reportable else f"({text})"
