"""A run as one HTML file: opens offline, light and dark, on paper and on a phone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ngramstat.report.exponent_rows import exponent_row
from ngramstat.report.figure_index import figures_of
from ngramstat.report.markup import (
    document,
    download,
    figure,
    fold,
    number,
    section,
    span,
    table,
    text_of,
)
from ngramstat.report.theories import plot_theories, theories_section
from ngramstat.report.top_tokens import rows_near, type_text
from ngramstat.results import CorrelationResult, Prediction, Result, RunResult, TheoriesResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_page"]

# Columns of the tables that people read; the downloads have all of them.
_LAG_COLUMNS = ("lag", "pairs", "norm_debiased", "norm_low", "norm_high", "noise_floor",
                "norm_sequential_debiased", "composition_norm", "valid")  # fmt: skip
_CONTEXT_COLUMNS = ("context", "plug_in", "held_out", "limit", "limit_low", "limit_high",
                    "resolved", "tokens_needed")  # fmt: skip
_MARKS = {True: ("passed", "✓ passed"), False: ("failed", "✗ failed"), None: ("unknown", "? open")}


def render_page(run: RunResult, theories: TheoriesResult | None = None) -> str:
    """The report of a run.

    Parameters
    ----------
    run : RunResult
        Parts that were not computed are left out. Without matplotlib there are no pictures, and
        the page says so.
    theories : TheoriesResult, optional
        The panel of other theories for the same corpus.

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
    if theories is not None:
        sections.append(_theories(theories))
    sections += [_card(run), _data(run, theories)]
    return document(f"ngramstat: {name}", name, "ngramstat report", "\n".join(sections))


# --- pieces ----------------------------------------------------------------------------------


_DESCRIPTIONS = {
    "correlations": "Norms of C(t) against lag with their intervals, the noise floor, the window "
    "of the fit with its interval, and excluded lags in grey.",
    "residuals": "Norms over the fitted law with their intervals, at the lags that were fitted and "
    "at those that were not.",
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
        figure(draw, name, _DESCRIPTIONS[name.split("-")[0]])
        for name, draw in figures_of(run).items()
        if name.startswith(names)
    )


# --- sections --------------------------------------------------------------------------------


def _verdict(run: RunResult) -> str:
    found = run.exponents
    rows = [exponent_row(name, exponent) for name, exponent in found.items()]
    levels = sorted({100 * e.level for e in found.values()})
    interval = f"interval at {levels[0]:g} %" if len(levels) == 1 else "interval"
    return section(
        "Verdict",
        f'<p class="verdict">{_meaning(run)}</p>',
        table(["exponent", "value", interval, "window", "status"], rows, stacked=True),
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
        said.append(f"α cannot be reported from this text: {text_of(alpha.reason)}.")
    correlations = run.correlations
    if correlations is not None:
        beta = correlations.beta
        if beta.reportable and beta.value is not None and beta.window is not None:
            said.append(
                f"Correlations fall as t<sup>−{beta.value:.2f}</sup> between lags "
                f"{beta.window[0]:g} and {beta.window[1]:g}."
            )
        elif not beta.reportable:
            said.append(f"β cannot be reported: {text_of(beta.reason)}.")
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
    parts = [_figures(run, "correlations", "residuals", "spectrum")]
    parts.append(_loadings(result))
    parts.append(fold("All lags", _columns(result, _LAG_COLUMNS)))
    lead = (
        "C(t) is the covariance of tokens t apart; its norm says how much the text t tokens ago "
        "tells about the next token."
    )
    return section("Correlations", *parts, lead=lead)


def _loadings(result: CorrelationResult) -> str:
    """Which types carry the first singular vectors at a few lags."""
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
                    f"{_type(result, int(i))}&nbsp;<small>{v:+.2f}</small>"
                    for i, v in zip(types[row, k], values[row, k], strict=True)
                    if i >= 0
                )
                for types, values in (
                    (left, result.left_loadings),
                    (right, result.right_loadings),
                )
            ]
            size = "" if result.singular_values is None else number(
                float(result.singular_values[row, k])
            )  # fmt: skip
            rows.append([f"lag {result.lags[row]}", str(k + 1), size, *sides])
    return table(
        ["", "vector", "singular value", "types to the left", "types to the right"],
        rows,
        caption="What correlates: the types that weigh most in the first singular vectors. Types "
        "with one sign to the left go with those of the same sign to the right.",
        stacked=True,
    )


def _type(result: CorrelationResult, token: int) -> str:
    text = type_text(result, token)
    shown = f"#{token}" if text is None else text
    if len(shown) > 24:
        shown = shown[:23] + "…"
    # Blanks have to be seen.
    for blank, mark in ((" ", "·"), ("\n", "⏎"), ("\t", "⇥")):
        shown = shown.replace(blank, mark)
    return f"<code>{text_of(shown)}</code>"


def _entropies(run: RunResult) -> str:
    assert run.entropies is not None
    result = run.entropies
    parts = [_figures(run, "entropies", "learning")]
    parts.append(fold("All contexts", _columns(result, _CONTEXT_COLUMNS)))
    lead = (
        "H(n) is the entropy of the next token given n tokens, in nats. It is bracketed from below "
        "by counting and from above by held-out losses."
    )
    return section("Entropies", *parts, lead=lead)


def _horizons(run: RunResult) -> str:
    assert run.prediction is not None
    prediction = run.prediction
    parts = [_figures(run, "horizon", "collapse")]
    if prediction.horizon:
        rows = [
            [number(p.tokens), number(p.lag), span(p.low, p.high),
             " ".join(["at least"] * p.at_least + ["extrapolated"] * p.extrapolated) or "measured"]
            for p in prediction.horizon
        ]  # fmt: skip
        head = ["training tokens", "lags resolved up to", "interval", "how"]
        parts.append(table(head, rows))
    parts.append(
        fold(
            "Tokens that resolve each lag",
            table(
                ["lag", "tokens"],
                [[str(p.lag), number(p.tokens)] for p in prediction.threshold],
            ),
        )
    )
    lead = "P training tokens resolve correlations only as far as these stand clear of noise."
    return section("Horizons", *parts, lead=lead)


def _gates(prediction: Prediction) -> str:
    rows = []
    for gate in prediction.gates:
        kind, mark = _MARKS[gate.passed]
        numbers = ["" if v is None else number(v) for v in (gate.value, gate.threshold)]
        shown = f'<span class="{kind}">{mark}</span>'
        rows.append([shown, text_of(gate.name), text_of(gate.meaning), *numbers])
    return section(
        "Conditions",
        table(["", "gate", "what it asks", "value", "threshold"], rows, stacked=True),
        lead="α = γ/(2β) is derived under conditions. Where one fails, the number is not reported.",
    )


def _theories(result: TheoriesResult) -> str:
    def draw() -> Figure:
        return plot_theories(result).get_figure(root=True)  # type: ignore[return-value]

    text = "Exponents by theory with their intervals, hollow where they cannot be reported."
    return theories_section(result, figure(draw, "theories", text))


def _card(run: RunResult) -> str:
    def listed(title: str, values: Mapping[str, Any]) -> str:
        rows = "".join(
            f"<dt>{text_of(key)}</dt><dd>{text_of(_plain(value))}</dd>"
            for key, value in values.items()
        )
        return f"<h3>{title}</h3><dl>{rows}</dl>"

    return section(
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
        found = json.dumps(theories.to_dict(), allow_nan=False)
        links.append(download("theories.json", "application/json", found))
    items = "".join(f"<li>{link}</li>" for link in links)
    return section("Data", f"<ul>{items}</ul>", lead="All numbers, inside this file.")


def _columns(result: Result, wanted: Sequence[str]) -> str:
    header, rows = result._rows()
    places = [header.index(name) for name in wanted if name in header]
    return table(
        [text_of(header[i].replace("_", " ")) for i in places],
        [[number(row[i]) for i in places] for row in rows],
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
