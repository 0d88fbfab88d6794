"""A run as one HTML file: opens offline, light and dark, on paper and on a phone."""

from __future__ import annotations

import base64
import csv
import functools
import html
import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ngramstat.exponents.imported import counted_curves
from ngramstat.report.collapse import plot_collapse
from ngramstat.report.figures import plot_correlations, plot_entropies
from ngramstat.report.horizon import plot_horizon
from ngramstat.report.learning import plot_learning
from ngramstat.report.spectrum import plot_spectrum
from ngramstat.report.style import STYLE
from ngramstat.report.svg import inline_svg
from ngramstat.results import (
    CorrelationResult,
    Exponent,
    Prediction,
    Result,
    RunResult,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figures_of", "render_page"]

# Columns of the tables that people read; the downloads have all of them.
_LAG_COLUMNS = ("lag", "pairs", "norm_debiased", "norm_low", "norm_high", "noise_floor",
                "norm_sequential_debiased", "composition_norm", "valid")  # fmt: skip
_CONTEXT_COLUMNS = ("context", "plug_in", "held_out", "limit", "limit_low", "limit_high",
                    "resolved", "tokens_needed")  # fmt: skip
_SYMBOLS = {
    "beta": ("β", "‖C(t)‖ ~ t^−β: how fast correlations fall with distance"),
    "beta_sequential": ("β, sequential", "the same with the documents' composition removed"),
    "gamma": ("γ", "H(n) − H∞ ~ n^−γ: how fast the next token becomes predictable"),
    "gamma_finite": ("γ, finite", "slope of the held-out curve at this corpus size"),
    "alpha": ("α", "γ / (2β): how fast loss falls with training tokens"),
    "alpha_finite": ("α, finite", "from γ, finite"),
}
_MARKS = {True: ("passed", "✓ passed"), False: ("failed", "✗ failed"), None: ("unknown", "? open")}


def render_page(run: RunResult) -> str:
    """The report of a run.

    Parameters
    ----------
    run : RunResult
        Parts that were not computed are left out. Without matplotlib there are no pictures, and
        the page says so.

    Returns
    -------
    str
        HTML without scripts and without anything to fetch.
    """
    name = str(run.corpus.get("path") or "a corpus")
    sections = [_verdict(run)]
    if run.correlations is not None:
        sections.append(_correlations(run))
    if run.entropies is not None:
        sections.append(_entropies(run))
    if run.prediction is not None:
        sections.append(_horizons(run))
        sections.append(_gates(run.prediction))
    sections += [_card(run), _data(run)]
    title = f"ngramstat: {name}"
    body = "\n".join(sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header><p class="eyebrow">ngramstat report</p><h1>{_text(name)}</h1></header>
<main>
{body}
</main>
</body>
</html>
"""


# --- pieces ----------------------------------------------------------------------------------


def _text(value: object) -> str:
    """Anything as text of the page: no markup and no control codes get through."""
    shown = "".join(c if c.isprintable() else "�" for c in str(value))
    return html.escape(shown, quote=True)


def _number(value: Any) -> str:
    """The numbers of run.json with five figures at most."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.5g}"


def _section(title: str, *parts: str, lead: str = "") -> str:
    shown = f'<p class="lead">{lead}</p>' if lead else ""
    inside = "\n".join(part for part in (shown, *parts) if part)
    anchor = "".join(c if c.isalnum() else "-" for c in title.lower())
    return f'<section id="{anchor}"><h2>{_text(title)}</h2>\n{inside}\n</section>'


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    stacked: bool = False,
) -> str:
    """Cells are HTML already. Wide tables scroll in their own box, not the page.

    `stacked`: on a narrow screen every row is a block, its cells labelled by all headers but the
    first.
    """
    labels = ["", *header[1:]] if stacked else []
    head = "".join(f"<th scope='col'>{cell}</th>" for cell in header)

    def cell(k: int, content: str) -> str:
        label = f' data-label="{labels[k]}"' if labels else ""
        return f"<td{label}>{content}</td>"

    body = "\n".join(
        "<tr>" + "".join(cell(k, c) for k, c in enumerate(row)) + "</tr>" for row in rows
    )
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    label = _text(caption or header[0] or "table")
    kind = "scroll stack" if stacked else "scroll"
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{label}"><table>{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _fold(summary: str, content: str) -> str:
    return f"<details><summary>{_text(summary)}</summary>\n{content}\n</details>"


def _figure(draw: Callable[[], Figure], name: str, description: str) -> str:
    if importlib.util.find_spec("matplotlib") is None:
        return (
            '<p class="note">No picture: matplotlib is not installed '
            "(pip install 'ngramstat[plot]').</p>"
        )
    drawn = inline_svg(draw, name=name, description=description)
    return f"<figure>{drawn}<figcaption>{_text(description)}</figcaption></figure>"


def figures_of(run: RunResult) -> dict[str, Callable[[], Figure]]:
    """What draws each figure of a run, by name, in reading order.

    Drawing raises NgramstatError without matplotlib.
    """
    found: dict[str, Callable[[], Figure]] = {}
    correlations, entropies, prediction = run.correlations, run.entropies, run.prediction
    if correlations is not None:
        found["correlations"] = _of_axes(plot_correlations, correlations)
        if correlations.singular_values is not None:
            found["spectrum"] = _of_axes(plot_spectrum, correlations)
    if entropies is not None:
        found["entropies"] = _of_axes(plot_entropies, entropies)
        curve = entropies.learning_curve
        if curve is not None and len(curve.tokens) > 1:
            found["learning"] = _of_axes(plot_learning, entropies)
    if prediction is not None:
        if any(point.tokens is not None for point in prediction.threshold):
            found["horizon"] = functools.partial(plot_horizon, prediction)
        tables = {"imported": None if prediction.curves is None else prediction.curves.table}
        if entropies is not None:
            tables["counted"] = counted_curves(entropies)
        for collapse in prediction.collapse:
            table = tables.get(collapse.source)
            if table is not None:
                name = f"collapse-{collapse.source}-{collapse.protocol}"
                found[name] = functools.partial(plot_collapse, table, collapse)
    return found


_DESCRIPTIONS = {
    "correlations": "Norms of C(t) against lag with their intervals, the noise floor, the window "
    "of the fit with its interval, and excluded lags in grey.",
    "spectrum": "The leading singular values at every lag beside the noise floor.",
    "entropies": "Next-token entropies against context: the bracket of counts below and held-out "
    "losses above, and the window of the fit.",
    "learning": "Held-out losses against training tokens for every context, and their limits.",
    "horizon": "Training tokens that resolve each lag, what a learner needs, and the sizes asked "
    "for.",
    "collapse": "Scaling collapse of learning curves, before and after rescaling, and how sharply "
    "it picks the exponents.",
}


def _figures(run: RunResult, *names: str) -> str:
    """The figures whose names begin so."""
    return "\n".join(
        _figure(draw, name, _DESCRIPTIONS[name.split("-")[0]])
        for name, draw in figures_of(run).items()
        if name.startswith(names)
    )


def _of_axes(plot: Callable[[Any], Axes], result: Any) -> Callable[[], Figure]:
    def draw() -> Figure:
        return plot(result).get_figure(root=True)  # type: ignore[return-value]

    return draw


def _exponent_row(name: str, exponent: Exponent) -> list[str]:
    symbol, meaning = _SYMBOLS[name]
    value = "–" if exponent.value is None else f"{exponent.value:.4g}"
    interval = "–"
    if exponent.low is not None and exponent.high is not None:
        interval = f"{exponent.low:.4g} to {exponent.high:.4g}"
    status = '<span class="passed">reportable</span>'
    if not exponent.reportable:
        value = f"({value})" if exponent.value is not None else value
        status = f'<span class="failed">not reportable</span>: {_text(exponent.reason)}'
    window = ""
    if exponent.window is not None:
        window = f"{exponent.window[0]:g} to {exponent.window[1]:g}"
    return [f"<b>{symbol}</b><br><small>{_text(meaning)}</small>", f"<b>{value}</b>",
            interval, window, status]  # fmt: skip


# --- sections --------------------------------------------------------------------------------


def _verdict(run: RunResult) -> str:
    found = run.exponents
    rows = [_exponent_row(name, exponent) for name, exponent in found.items()]
    levels = sorted({100 * e.level for e in found.values()})
    interval = f"interval at {levels[0]:g} %" if len(levels) == 1 else "interval"
    return _section(
        "Verdict",
        f'<p class="verdict">{_meaning(run)}</p>',
        _table(["exponent", "value", interval, "window", "status"], rows, stacked=True),
        '<p class="note">Intervals hold the sampling error over documents. What else moves a value '
        "stands among the conditions below and in the alternatives of run.json.</p>",
    )


def _meaning(run: RunResult) -> str:
    """What the numbers mean, in sentences."""
    said: list[str] = []
    alpha = None if run.prediction is None else run.prediction.alpha
    if alpha is not None and alpha.reportable and alpha.value is not None:
        assert alpha.low is not None
        assert alpha.high is not None
        drops = [100 * (1 - 10**-a) for a in (alpha.value, alpha.low, alpha.high)]
        said.append(
            f"Ten times the tokens take {drops[0]:.0f} % (between {drops[1]:.0f} and "
            f"{drops[2]:.0f} %) off what the loss has above its limit: α = {alpha.value:.3f}."
        )
    elif alpha is not None:
        said.append(f"α cannot be reported from this text: {_text(alpha.reason)}.")
    correlations = run.correlations
    if correlations is not None:
        beta = correlations.beta
        if beta.reportable and beta.value is not None and beta.window is not None:
            said.append(
                f"Correlations fall as t<sup>−{beta.value:.2f}</sup> between lags "
                f"{beta.window[0]:g} and {beta.window[1]:g}."
            )
        elif not beta.reportable:
            said.append(f"β cannot be reported: {_text(beta.reason)}.")
    if run.prediction is not None:
        for point in run.prediction.horizon:
            if point.lag is not None:
                more = " at least" if point.at_least else ""
                said.append(
                    f"{point.tokens:.3g} training tokens resolve lags up to{more} "
                    f"{point.lag:,.0f}; what lies beyond is noise to them."
                )
    if run.entropies is not None and run.entropies.resolved is not None:
        resolved = run.entropies.context[run.entropies.resolved]
        if len(resolved):
            said.append(f"H(n) is resolved up to {int(resolved.max())} tokens of context.")
    return " ".join(said) or "Nothing was computed."


def _correlations(run: RunResult) -> str:
    assert run.correlations is not None
    result = run.correlations
    parts = [_figures(run, "correlations", "spectrum")]
    parts.append(_loadings(result))
    parts.append(_fold("All lags", _columns(result, _LAG_COLUMNS)))
    lead = (
        "C(t) is the covariance of tokens t apart; its norm says how much the text t tokens ago "
        "tells about the next token."
    )
    return _section("Correlations", *parts, lead=lead)


def _loadings(result: CorrelationResult) -> str:
    """Which types carry the first singular vectors at a few lags."""
    left, right = result.left_types, result.right_types
    if left is None or right is None:
        return ""
    assert result.left_loadings is not None
    assert result.right_loadings is not None
    lags = result.lags.astype(np.float64)
    shown = sorted(
        {int(np.abs(np.log(lags / lag)).argmin()) for lag in (1, 2, 10, 100) if lag <= lags[-1]}
    )
    rows = []
    for row in shown:
        for k in range(left.shape[1]):
            sides = [
                ", ".join(
                    f"{_type(result, int(i))}&nbsp;<small>{v:+.2f}</small>"
                    for i, v in zip(types[row, k], values[row, k], strict=True)
                    if i >= 0
                )
                for types, values in (
                    (left, result.left_loadings),
                    (right, result.right_loadings),
                )
            ]
            size = "" if result.singular_values is None else _number(
                float(result.singular_values[row, k])
            )  # fmt: skip
            rows.append([f"lag {result.lags[row]}", str(k + 1), size, *sides])
    return _table(
        ["", "vector", "singular value", "types to the left", "types to the right"],
        rows,
        caption="What correlates: the types that weigh most in the first singular vectors. Types "
        "with one sign to the left go with those of the same sign to the right.",
        stacked=True,
    )


def _type(result: CorrelationResult, token: int) -> str:
    text = None if result.type_texts is None else result.type_texts.get(str(token))
    shown = f"#{token}" if text is None else str(text)
    if len(shown) > 24:
        shown = shown[:23] + "…"
    return f"<code>{_text(shown.replace(' ', '·'))}</code>"


def _entropies(run: RunResult) -> str:
    assert run.entropies is not None
    result = run.entropies
    parts = [_figures(run, "entropies", "learning")]
    parts.append(_fold("All contexts", _columns(result, _CONTEXT_COLUMNS)))
    lead = (
        "H(n) is the entropy of the next token given n tokens, in nats. It is bracketed from below "
        "by counting and from above by held-out losses."
    )
    return _section("Entropies", *parts, lead=lead)


def _horizons(run: RunResult) -> str:
    assert run.prediction is not None
    prediction = run.prediction
    parts = [_figures(run, "horizon", "collapse")]
    if prediction.horizon:
        rows = [
            [_number(p.tokens), _number(p.lag), _range(p.low, p.high),
             " ".join(["at least"] * p.at_least + ["extrapolated"] * p.extrapolated) or "measured"]
            for p in prediction.horizon
        ]  # fmt: skip
        head = ["training tokens", "lags resolved up to", "interval", "how"]
        parts.append(_table(head, rows))
    parts.append(
        _fold(
            "Tokens that resolve each lag",
            _table(
                ["lag", "tokens"],
                [[str(p.lag), _number(p.tokens)] for p in prediction.threshold],
            ),
        )
    )
    lead = "P training tokens resolve correlations only as far as these stand clear of noise."
    return _section("Horizons", *parts, lead=lead)


def _gates(prediction: Prediction) -> str:
    rows = []
    for gate in prediction.gates:
        kind, mark = _MARKS[gate.passed]
        numbers = ["" if v is None else _number(v) for v in (gate.value, gate.threshold)]
        rows.append([f'<span class="{kind}">{mark}</span>', _text(gate.name), _text(gate.meaning),
                     *numbers])  # fmt: skip
    return _section(
        "Conditions",
        _table(["", "gate", "what it asks", "value", "threshold"], rows, stacked=True),
        lead="α = γ/(2β) is derived under conditions. Where one fails, the number is not reported.",
    )


def _card(run: RunResult) -> str:
    def listed(title: str, values: Mapping[str, Any]) -> str:
        rows = "".join(
            f"<dt>{_text(key)}</dt><dd>{_text(_plain(value))}</dd>" for key, value in values.items()
        )
        return f"<h3>{title}</h3><dl>{rows}</dl>"

    return _section(
        "Corpus and run",
        '<div class="cards">',
        *(
            f"<div>{listed(title, values)}</div>"
            for title, values in (
                ("Corpus", run.corpus),
                ("Settings", run.settings),
                ("Provenance", run.provenance),
            )
        ),
        "</div>",
    )


def _data(run: RunResult) -> str:
    links = [_link("run.json", "application/json", json.dumps(run.to_dict(), allow_nan=False))]
    for name, part in (
        ("correlations.csv", run.correlations),
        ("entropies.csv", run.entropies),
        ("prediction.csv", run.prediction),
    ):
        if part is not None:
            links.append(_link(name, "text/csv", _csv(part)))
    items = "".join(f"<li>{link}</li>" for link in links)
    return _section("Data", f"<ul>{items}</ul>", lead="All numbers, inside this file.")


def _columns(result: Result, wanted: Sequence[str]) -> str:
    header, rows = result._rows()
    places = [header.index(name) for name in wanted if name in header]
    return _table(
        [_text(header[i].replace("_", " ")) for i in places],
        [[_number(row[i]) for i in places] for row in rows],
    )


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _plain(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return "–" if value is None else str(value)


def _csv(result: Result) -> str:
    header, rows = result._rows()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if v is None or v != v else v for v in row])
    return text.getvalue()


def _link(name: str, kind: str, content: str) -> str:
    data = base64.b64encode(content.encode()).decode()
    return f'<a download="{name}" href="data:{kind};base64,{data}">{name}</a>'
