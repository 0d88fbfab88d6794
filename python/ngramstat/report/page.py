"""A run as one HTML file that opens offline: light and dark, printable, readable on a phone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ngramstat.report.answer_page import answer_block, evidence_section, forecast_section
from ngramstat.report.chart_svg import chart_figure
from ngramstat.report.exponent_rows import exponent_row
from ngramstat.report.figure_index import charts_of
from ngramstat.report.markup import (
    document,
    download,
    fold,
    number,
    section,
    table,
    text_of,
)
from ngramstat.report.notes import curve_notes
from ngramstat.report.text import count
from ngramstat.report.theories import theories_chart, theories_section
from ngramstat.report.top_documents import carrying_lags
from ngramstat.report.top_tokens import rows_near, token_text
from ngramstat.results import (
    CorrelationResult,
    EntropyResult,
    Exponent,
    HorizonPoint,
    Prediction,
    Result,
    RunResult,
    TheoriesResult,
)

__all__ = ["render_page"]

# Columns of the tables on the page; the downloads have all columns.
_LAG_COLUMNS = ("lag", "pairs", "norm_debiased", "norm_low", "norm_high", "noise_floor",
                "norm_sequential_debiased", "composition_norm", "valid")  # fmt: skip
_CONTEXT_COLUMNS = ("context", "plug_in", "held_out", "low", "high",
                    "resolved", "limit", "limit_low", "limit_high")  # fmt: skip
# Their heads in words.
_HEADS = {
    "lag": "lag t", "norm_debiased": "norm", "norm_low": "from", "norm_high": "to",
    "noise_floor": "noise alone", "norm_sequential_debiased": "sequential norm",
    "composition_norm": "of composition", "valid": "used", "context": "context n",
    "plug_in": "counts alone", "held_out": "held-out loss", "low": "H(n) from", "high": "to",
    "limit": "limit of the learning curve", "limit_low": "from", "limit_high": "to",
}  # fmt: skip
_MARKS = {True: ("passed", "✓ passed"), False: ("failed", "✗ failed"), None: ("unknown", "? open")}


def render_page(run: RunResult, theories: TheoriesResult | None = None) -> str:
    """The report of a run.

    Parameters
    ----------
    run : RunResult
        Parts that were not computed are left out.
    theories : TheoriesResult, optional
        The panel of other theories for the same corpus.

    Returns
    -------
    str
        HTML without scripts or external resources.
    """
    name = str(run.corpus.get("path") or "a corpus")
    sections = []
    if run.answer is not None:
        sections += [answer_block(run.answer), evidence_section(run.answer.rungs)]
    else:
        sections.append(_verdict(run))
    sections.append(forecast_section(run))
    if run.correlations is not None:
        sections.append(_correlations(run))
    if run.entropies is not None:
        sections.append(_entropies(run))
    if run.prediction is not None:
        sections.append(_horizons(run))
    if run.answer is not None:
        sections.append(
            section("Exponents", fold("All exponents with their windows", _exponents(run)))
        )
    if run.prediction is not None:
        sections.append(_gates(run.prediction))
    if theories is not None:
        sections.append(_theories(theories))
    sections += [_card(run), _data(run, theories)]
    body = "\n".join(filter(None, sections))
    return document(f"ngramstat: {name}", name, _eyebrow(run), body)


def _eyebrow(run: RunResult) -> str:
    """The corpus in one line."""
    parts = ["ngramstat report"]
    for key, unit in (("tokens", "tokens"), ("documents", "documents")):
        if run.corpus.get(key) is not None:
            parts.append(f"{count(run.corpus[key])} {unit}")
    if run.corpus.get("vocab_size") is not None:
        parts.append(f"vocabulary of {count(run.corpus['vocab_size'])}")
    return " · ".join(parts)


# --- figures ----------------------------------------------------------------------------------


def _figures(run: RunResult, *names: str) -> str:
    """The figures of a run whose names begin with one of `names`."""
    return "\n".join(
        chart_figure(chart, name)
        for name, chart in charts_of(run).items()
        if name.startswith(names)
    )


# --- sections --------------------------------------------------------------------------------


def _verdict(run: RunResult) -> str:
    """The beginning of a page of a run without an answer."""
    return section("Verdict", f'<p class="answer">{_meaning(run)}</p>', _exponents(run))


def _exponents(run: RunResult) -> str:
    exponents = run.exponents
    rows = [exponent_row(name, exponent) for name, exponent in exponents.items()]
    levels = sorted({100 * e.level for e in exponents.values()})
    interval = f"interval at {levels[0]:g} %" if len(levels) == 1 else "interval"
    return (
        table(["exponent", "value", interval, "window", "status"], rows, stacked=True)
        + '<p class="note">Intervals of β hold the sampling of documents and the choice of lags, '
        "those of γ what their method says. Other uncertainties are in the conditions below and in "
        "the alternatives of run.json.</p>"
    )


def _meaning(run: RunResult) -> str:
    """What the numbers mean, in sentences of HTML."""
    sentences: list[str] = []
    if run.prediction is not None:
        sentences.append(_meaning_of_alpha(run.prediction.alpha))
    if run.correlations is not None:
        sentences.append(_meaning_of_beta(run.correlations.beta))
    if run.prediction is not None:
        sentences += map(_meaning_of_horizon, run.prediction.horizon)
    if run.entropies is not None:
        sentences.append(_meaning_of_resolved(run.entropies))
    return " ".join(filter(None, sentences)) or "Nothing was computed."


def _meaning_of_alpha(alpha: Exponent) -> str:
    if not alpha.reportable or alpha.value is None:
        return f"α cannot be reported from this corpus: {text_of(alpha.reason)}."
    assert alpha.low is not None
    assert alpha.high is not None
    value, low, high = (100 * (1 - 10**-x) for x in (alpha.value, alpha.low, alpha.high))
    return (
        f"Ten times as many training tokens reduce the loss above its limit by {value:.0f} % "
        f"(between {low:.0f} and {high:.0f} %): α = {alpha.value:.3f}."
    )


def _meaning_of_beta(beta: Exponent) -> str:
    if not beta.reportable:
        return f"β cannot be reported: {text_of(beta.reason)}."
    if beta.value is None or beta.window is None:
        return ""
    return (
        f"Correlations fall as t<sup>−{beta.value:.2f}</sup> between lags {beta.window[0]:g} and "
        f"{beta.window[1]:g}."
    )


def _meaning_of_horizon(point: HorizonPoint) -> str:
    if point.lag is None:
        return ""
    if point.at_least:
        return (
            f"{point.tokens:.3g} training tokens resolve correlations at least up to lag "
            f"{point.lag:,.0f}."
        )
    if point.at_documents:
        return (
            f"{point.tokens:.3g} training tokens resolve correlations up to lag {point.lag:,.0f}, "
            "where documents end."
        )
    return (
        f"{point.tokens:.3g} training tokens resolve correlations up to lag {point.lag:,.0f}"
        f"{' (extrapolated)' if point.extrapolated else ''}; at larger lags pairs of tokens show "
        "only noise."
    )


def _meaning_of_resolved(entropies: EntropyResult) -> str:
    resolved = entropies.context[entropies.resolved]
    if not len(resolved):
        return ""
    longest = int(resolved.max())
    return f"H(n) is resolved up to {longest} token{'' if longest == 1 else 's'} of context."


def _correlations(run: RunResult) -> str:
    assert run.correlations is not None
    result = run.correlations
    parts = [f'<p class="note">{text_of(note)}.</p>' for note in curve_notes(result)]
    parts += [_figures(run, "correlations"), _top_documents(result)]
    more = _figures(run, "residuals", "spectrum")
    if more:
        parts.append(fold("Residuals of the fit, and the spectrum", more))
    words = _top_tokens(result)
    if words:
        parts.append(fold("Which tokens correlate", words, long=True))
    parts.append(fold("All lags as a table", _columns(result, _LAG_COLUMNS), long=True))
    lead = (
        "How strongly is a token correlated with the token t positions earlier? The faster this "
        "falls with distance (exponent β), the less there is to learn from long contexts."
    )
    return section("Correlations", *parts, lead=lead)


def _top_documents(result: CorrelationResult) -> str:
    """The documents that carry much of the norm, where few do."""
    lags = carrying_lags(result)
    if not lags:
        return ""
    unit = "block" if result.documents_are_blocks else "document"
    rows = [
        [
            f"lag {at.lag}",
            str(d.number),
            f"{100 * d.share:.3g} %",
            f"{d.start:,} to {d.end - 1:,}",
            f"{100 * at.for_half:.2g} %" if k == 0 else "",
        ]
        for at in lags
        for k, d in enumerate(at.documents)
    ]
    return table(
        ["", f"{unit} (from 0)", "share of the norm", "tokens", f"{unit}s that carry half"],
        rows,
        caption=f"Few {unit}s carry much of the norm. Look at them: if they do not belong to the "
        "text, measure without them.",
        stacked=True,
    )


def _top_tokens(result: CorrelationResult) -> str:
    """The tokens with the largest entries in the first singular vectors, at a few lags."""
    left, right = result.left_types, result.right_types
    if left is None or right is None:
        return ""
    assert result.left_loadings is not None
    assert result.right_loadings is not None
    rows = []
    for row in rows_near(result, (1, 2, 10, 100)):
        for k in range(left.shape[1]):
            sides = [
                ", ".join(
                    f"{_token(result, int(i))}&nbsp;<small>{v:+.2f}</small>"
                    for i, v in zip(tokens[row, k], values[row, k], strict=True)
                    if i >= 0
                )
                for tokens, values in (
                    (left, result.left_loadings),
                    (right, result.right_loadings),
                )
            ]
            size = "" if result.singular_values is None else number(
                float(result.singular_values[row, k])
            )  # fmt: skip
            rows.append([f"lag {result.lags[row]}", str(k + 1), size, *sides])
    return table(
        ["", "vector", "singular value", "tokens to the left", "tokens to the right"],
        rows,
        caption="What correlates: the tokens with the largest entries in the first singular "
        "vectors. A token to the left is followed at this lag by tokens of the same sign to the "
        "right more often than by chance.",
        stacked=True,
    )


def _token(result: CorrelationResult, token: int) -> str:
    text = token_text(result, token)
    shown = f"#{token}" if text is None else text
    if len(shown) > 24:
        shown = shown[:23] + "…"
    # White space is made visible.
    for blank, mark in ((" ", "·"), ("\n", "⏎"), ("\t", "⇥")):
        shown = shown.replace(blank, mark)
    return f"<code>{text_of(shown)}</code>"


def _entropies(run: RunResult) -> str:
    assert run.entropies is not None
    result = run.entropies
    parts = [_figures(run, "entropies")]
    more = _figures(run, "learning")
    if more:
        parts.append(fold("Learning curves", more))
    parts.append(fold("All contexts as a table", _columns(result, _CONTEXT_COLUMNS), long=True))
    lead = (
        "How uncertain is the next token, given the n tokens before it? The faster this falls with "
        "context (exponent γ), the more a longer context helps. Counts bound it from below, "
        "held-out losses from above."
    )
    return section("Entropies", *parts, lead=lead)


def _horizons(run: RunResult) -> str:
    assert run.prediction is not None
    prediction = run.prediction
    parts = [_figures(run, "horizon")]
    if prediction.horizon:
        rows = [
            [_tokens(p.tokens), _tokens(p.lag), _lags(p),
             _source(p)]
            for p in prediction.horizon
        ]  # fmt: skip
        head = ["training tokens", "lags resolved up to", "interval", "source"]
        parts.append(table(head, rows, stacked=True))
    parts.append(
        fold(
            "Tokens that resolve each lag",
            table(
                ["lag", "tokens"],
                [[str(p.lag), _tokens(p.tokens)] for p in prediction.threshold],
            ),
            long=True,
        )
    )
    collapse = _figures(run, "collapse")
    if collapse:
        parts.append(fold("Scaling collapse of the learning curves", collapse))
    lead = (
        "P training tokens resolve correlations of pairs up to the lag where they exceed the noise "
        "floor. Beyond it, three or more tokens together may still tell something."
    )
    return section("Horizons", *parts, lead=lead)


def _tokens(value: float | None) -> str:
    return "–" if value is None else count(value)


def _lags(point: HorizonPoint) -> str:
    if point.low is None or point.high is None:
        return "–"
    return f"{count(point.low)} to {count(point.high)}"


def _source(point: HorizonPoint) -> str:
    """How a horizon was found."""
    words = ["at least"] * point.at_least + ["extrapolated"] * point.extrapolated
    words += ["where documents end"] * point.at_documents
    text = ", ".join(words) or "measured"
    return f"{text}: {text_of(point.reason)}" if point.reason else text


def _gates(prediction: Prediction) -> str:
    rows = []
    for gate in prediction.gates:
        kind, mark = _MARKS[gate.passed]
        numbers = ["" if v is None else number(v) for v in (gate.value, gate.threshold)]
        shown = f'<span class="{kind}">{mark}</span>'
        rows.append([shown, text_of(gate.name), text_of(gate.meaning), *numbers])
    failed = sum(gate.passed is False for gate in prediction.gates)
    unknown = sum(gate.passed is None for gate in prediction.gates)
    return section(
        "Conditions",
        fold(
            f"{len(prediction.gates)} conditions: {failed} failed, {unknown} open",
            table(["", "gate", "what it requires", "value", "threshold"], rows, stacked=True),
        ),
        lead="α = γ/(2β) from counts is derived under these conditions. If one fails, the α of "
        "the limits is not reported.",
    )


def _theories(result: TheoriesResult) -> str:
    return theories_section(result, chart_figure(theories_chart(result), "theories"))


def _stages(run: RunResult) -> dict[str, str]:
    """What each stage took; runs of earlier versions did not record it."""
    return {
        stage["name"]: f"{stage['seconds']:.1f} s, {stage['cpu_seconds']:.1f} s of CPU, "
        f"{stage['peak_rss_bytes'] / 1e6:,.0f} MB"
        for stage in run.provenance.get("stages", ())
    }


def _card(run: RunResult) -> str:
    def listed(title: str, values: Mapping[str, Any]) -> str:
        rows = "".join(
            f"<dt>{text_of(key)}</dt><dd>{text_of(_plain(value))}</dd>"
            for key, value in values.items()
        )
        return f"<h3>{title}</h3><dl>{rows}</dl>"

    cards = "".join(
        f"<div>{listed(title, values)}</div>"
        for title, values in (
            ("Corpus", run.corpus),
            ("Settings", run.settings),
            ("Provenance", {k: v for k, v in run.provenance.items() if k != "stages"}),
            ("Stages", _stages(run)),
        )
        if values
    )
    return section(
        "Corpus and run",
        fold("Settings and provenance", f'<div class="cards">{cards}</div>'),
    )


def _data(run: RunResult, theories: TheoriesResult | None) -> str:
    links = [download("run.json", "application/json", json.dumps(run.to_dict(), allow_nan=False))]
    for name, part in (
        ("correlations.csv", run.correlations),
        ("entropies.csv", run.entropies),
        ("prediction.csv", run.prediction),
    ):
        if part is not None:
            links.append(download(name, "text/csv", _csv(part)))
    if theories is not None:
        content = json.dumps(theories.to_dict(), allow_nan=False)
        links.append(download("theories.json", "application/json", content))
    items = "".join(f"<li>{link}</li>" for link in links)
    return section("Data", f"<ul>{items}</ul>", lead="All numbers, embedded in this file.")


def _columns(result: Result, names: Sequence[str]) -> str:
    header, rows = result._rows()
    columns = [header.index(name) for name in names if name in header]
    return table(
        [text_of(_HEADS.get(header[i], header[i].replace("_", " "))) for i in columns],
        [[number(row[i]) for i in columns] for row in rows],
    )


def _plain(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value)
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
