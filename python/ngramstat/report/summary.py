"""A run as compact terminal text: the exponents first, then the tables behind them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.report.notes import curve_notes, interval_parts
from ngramstat.report.paper import paper_lines
from ngramstat.report.text import (
    CURVE_SOURCES,
    GATE_MARKS,
    count,
    estimate,
    exponent_number,
    gate_text,
    marked,
    plain,
    scope,
    slope_by_size,
    table,
    wrap,
)
from ngramstat.report.top_documents import carrying_lags
from ngramstat.report.top_tokens import rows_near, token_text
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    Collapse,
    ContextPoint,
    CorrelationResult,
    CurvesResult,
    EntropyResult,
    Exponent,
    HorizonPoint,
    LossFit,
    LossPoint,
    Prediction,
    RunResult,
    StagePoint,
)

__all__ = ["plan_table", "summarize"]

_MISSING = "-"


def plan_table(plan: Mapping[str, Any]) -> str:
    """The result of `ngramstat plan` (`Plan.to_dict`) as a table."""

    def size(number: float) -> str:
        return f"{number / 1e9:.2f} GB" if number else _MISSING

    def minutes(seconds: float | None) -> str:
        if seconds is None:
            return _MISSING
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"

    rows = [["", "passes", "memory", "at least", "temporary disk", "time"]]
    rows += [
        [
            stage["name"],
            f"{stage['passes']}",
            size(stage["memory_bytes"]),
            size(stage["least_memory_bytes"]),
            size(stage["disk_bytes"]),
            minutes(stage["seconds"]),
        ]
        for stage in plan["stages"]
    ]
    rows.append(
        ["all", "", size(plan["memory_bytes"]), "", size(plan["disk_bytes"]),
         minutes(plan["seconds"])]
    )  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    limit = f"Memory limit {size(plan['memory_limit_bytes'])}, {plan['threads']} threads."
    return "\n".join([*lines, "", limit])


def summarize(run: RunResult) -> str:
    """The run as plain text, at most 100 columns wide, without control codes.

    Parameters
    ----------
    run : RunResult
        Parts that were not computed are left out.

    Returns
    -------
    str
        Exponents, corpus, correlations, entropies, prediction and settings, ending in a newline.
    """
    blocks = [_exponents(run), _corpus_card(run)]
    if run.correlations is not None:
        blocks.append(
            [
                *_correlations(run.correlations),
                *_top_documents(run.correlations),
                *_top_tokens(run.correlations),
            ]
        )
    if run.entropies is not None:
        blocks.append(_entropies(run.entropies))
    if run.prediction is not None:
        blocks.append(_prediction(run.prediction))
    blocks.append(_settings(run))
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return plain(text) + "\n"


# --- exponents ---------------------------------------------------------------------------------


_SYMBOLS = {
    "beta": ("beta", "||C(t)|| ~ t^-beta"),
    "beta_sequential": ("beta, sequential", "document composition removed"),
    "gamma": ("gamma", "H_n - H_inf ~ n^-gamma, limit curve"),
    "gamma_finite": ("gamma, finite", "held-out slope at this corpus size"),
    "alpha": ("alpha", "gamma / (2 beta)"),
    "alpha_finite": ("alpha, finite", "from gamma, finite"),
}


def _exponents(run: RunResult) -> list[str]:
    lines = ["EXPONENTS"]
    exponents = run.exponents
    if not exponents:
        return [*lines, "  none computed"]
    levels = {e.level for e in exponents.values() if e.low is not None}
    if len(levels) == 1:
        lines[0] += f" (intervals at {100 * levels.pop():g}%)"
    for name, exponent in exponents.items():
        label, meaning = _SYMBOLS[name]
        row = f"  {label:<17} {estimate(exponent):<23} {scope(exponent):<19} {meaning}"
        lines.append(row.rstrip())
        lines += _exponent_details(name, exponent)
    lines += _parentheses(e for e in exponents.values() if e.value is not None)
    lines += wrap(
        "Intervals of beta hold the sampling of documents and the choice of lags, those of gamma "
        "what their method says. Other uncertainties are in the alternatives and in the conditions "
        "below.",
        indent=2,
    )
    return lines


def _exponent_details(name: str, exponent: Exponent) -> list[str]:
    """Why it is not reportable, the parts of its interval, and the alternatives."""
    lines: list[str] = []
    if not exponent.reportable:
        lines += wrap(f"not reportable: {exponent.reason}", indent=20)
    sizes = slope_by_size(exponent)
    if sizes:
        lines += wrap(sizes, indent=20)
    if name not in ("beta", "gamma"):
        return lines
    parts = interval_parts(exponent)
    if parts:
        lines += wrap(marked(parts, reportable=exponent.reportable), indent=20)
    others = [
        marked(text, reportable=exponent.reportable)
        for other in exponent.alternatives
        # The headline is the first stage: its numbers stand above already.
        if other.kind is not AlternativeKind.FIRST_STAGE and (text := _alternative(other))
    ]
    if others:
        lines += wrap("or " + "; ".join(others), indent=20)
    return lines


def _parentheses(shown: Iterable[Any]) -> list[str]:
    """What parentheses mean, if any of these results needs them."""
    if all(result.reportable for result in shown):
        return []
    return wrap("(in parentheses: computed, but not reportable)", indent=2)


def _alternative(other: Alternative) -> str | None:
    value, low, high, window = other.value, other.low, other.high, other.window
    if value is None:
        return None
    text = exponent_number(value)
    if low is not None and high is not None:
        text += f" [{exponent_number(low)}, {exponent_number(high)}]"
    if window is not None:
        text += f" on {window[0]:g}..{window[1]:g}"
    return f"{text} ({other.method})"


# --- corpus and settings ---------------------------------------------------------------------


def _corpus_card(run: RunResult) -> list[str]:
    corpus = run.corpus
    lines = ["CORPUS"]
    if "path" in corpus:
        lines += wrap(f"{corpus['path']}", indent=2)
    facts = [
        f"{count(corpus[key])} {label}"
        for key, label in (("tokens", "tokens"), ("documents", "documents"))
        if corpus.get(key) is not None
    ]
    if corpus.get("vocab_size") is not None:
        facts.append(f"vocabulary {count(corpus['vocab_size'])}")
    facts += [
        f"{key} {corpus[key]}"
        for key in ("dtype", "format", "boundary")
        if corpus.get(key) is not None
    ]
    if isinstance(corpus.get("sha256"), str):
        facts.append(f"sha256 {corpus['sha256'][:12]}")
    lines += wrap(", ".join(facts), indent=2)
    parts = [part for part in (run.correlations, run.entropies) if part is not None]
    if any(part.documents_are_blocks for part in parts):
        known = corpus.get("documents")
        few = f"only {count(known)} document{'s' * (known > 1)}" if known else "no document ends"
        lines += wrap(f"the store has {few}: equal blocks stood in for documents", indent=2)
    return lines if len(lines) > 1 else []


# Options that change numbers; the others are in run.json.
_SETTINGS = (
    "boundary",
    "protocol",
    "lags",
    "vocab_top",
    "max_context",
    "held_out",
    "level",
    "replicates",
    "seed",
    "window",
)
_LONGEST_VALUE = 24
_PROVENANCE = ("version", "commit", "backend", "threads", "seconds")


def _settings(run: RunResult) -> list[str]:
    facts = [
        f"{name} {_value(source[name])[:_LONGEST_VALUE]}"
        for names, source in ((_SETTINGS, run.settings), (_PROVENANCE, run.provenance))
        for name in names
        if source.get(name) is not None
    ]
    return ["SETTINGS", *wrap(", ".join(facts), indent=2)] if facts else []


def _value(value: Any) -> str:
    """A setting in a few characters; run.json has it in full."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > 6:
            return f"{_value(value[0])}..{_value(value[-1])} ({len(value)})"
        return "[" + " ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{k}={_value(v)}" for k, v in value.items()) + "}"
    return str(value)


# --- tables ----------------------------------------------------------------------------------


def _correlations(result: CorrelationResult) -> list[str]:
    interval = result.norm_low is not None and result.norm_high is not None
    columns: list[tuple[str, list[str]]] = [
        ("lag", [str(int(t)) for t in result.lags]),
        ("norm", _milli(result.norm)),
    ]
    if result.norm_debiased is not None:
        columns.append(("debiased", _milli(result.norm_debiased)))
    if interval:
        columns.append(("interval", _intervals(result.norm_low, result.norm_high, _one_milli)))
    columns.append(("floor", _milli(result.noise_floor)))
    for label, values in (
        ("cross-fit", result.norm_crossfit),
        ("sequential", result.norm_sequential),
    ):
        if values is not None:
            columns.append((label, _milli(values)))
    if result.crossing_share is not None:
        columns.append(("crossing", [_percent(x) for x in result.crossing_share]))
    columns.append(("valid", ["yes" if v else "no" for v in result.valid]))
    for label, values in (
        ("shuffled", result.permutation_floor),
        ("composition", result.composition_norm),
        ("position", result.position_norm),
    ):
        if values is not None:
            columns.append((label, _milli(values)))
    title = f"CORRELATIONS  ||C(t)|| x 1e-3, lags in tokens, boundary {result.boundary}"
    cut = result.vocab_cut
    note: list[str] = []
    if cut is not None:
        # Next to every norm: by how much the norm over the whole vocabulary can be larger.
        columns.insert(2, ("cut, at most +", _milli(cut.bound)))
        note = wrap(
            f"Restricted to the {cut.top:,} most frequent vocabulary items: "
            f"{_percent(cut.dropped_mass)} of the tokens are dropped, and the norm over the whole "
            'vocabulary exceeds "norm" by at most the column next to it.',
            indent=2,
        )
    return [title, *note, *table(columns), *_notes_on_curve(result)]


def _notes_on_curve(result: CorrelationResult) -> list[str]:
    """What in the corpus shapes the curve: periodic structure, and pairs across documents."""
    return [line for note in curve_notes(result) for line in wrap(f"note: {note}", indent=2)]


def _top_documents(result: CorrelationResult) -> list[str]:
    """The documents that carry much of the norm, where few do."""
    lags = carrying_lags(result)
    if not lags:
        return []
    unit = "block" if result.documents_are_blocks else "document"
    lines = ["", f"WHICH {unit.upper()}S CARRY IT  few {unit}s carry much of the norm"]
    for at in lags:
        named = [
            f"{unit} {d.number} {_percent(d.share)} (tokens {d.start:,} to {d.end - 1:,})"
            for d in at.documents
        ]
        named.append(f"half of the norm is carried by {100 * at.for_half:.2g}% of the {unit}s")
        lines += wrap(f"{f'lag {at.lag}':<9} {'; '.join(named)}", indent=2, hang=10)
    lines += wrap(
        f"({unit}s are numbered from 0; look at them, and measure without those that do not "
        "belong to the text)",
        indent=2,
    )
    return lines


# The top tokens are shown at the measured lags nearest to these.
_SHOWN_LAGS = (1, 10, 100)
_SHOWN_TOKENS = 8


def _top_tokens(result: CorrelationResult) -> list[str]:
    """The tokens with the largest entries in the first singular vectors, at a few lags."""
    left, right = result.left_types, result.right_types
    if left is None or right is None or left.size == 0:
        return []
    assert result.left_loadings is not None
    assert result.right_loadings is not None
    lines = ["", "WHAT CORRELATES  tokens with the largest entries in the first singular vectors"]
    for row in rows_near(result, _SHOWN_LAGS):
        for name, tokens, values in (
            ("left", left[row, 0], result.left_loadings[row, 0]),
            ("right", right[row, 0], result.right_loadings[row, 0]),
        ):
            words = [
                f"{_token_text(result, int(i))} {v:+.2f}"
                for i, v in zip(tokens[:_SHOWN_TOKENS], values, strict=False)
                if i >= 0
            ]
            head = f"lag {result.lags[row]}" if name == "left" else ""
            lines += wrap(f"{head:<9} {name:<5} {', '.join(words)}", indent=2, hang=16)
    return lines


def _token_text(result: CorrelationResult, token: int) -> str:
    text = token_text(result, token)
    return str(token) if text is None else json.dumps(text[:20], ensure_ascii=False)


def _entropies(result: EntropyResult) -> list[str]:
    title = f"ENTROPIES  H_n in nats per token, boundary {result.boundary}"
    notes = [*_split_sizes(result), *_copies(result)]
    if result.mixture_used is not None:
        notes.append(_held_out_predictor(result.context[result.mixture_used], result.tuning_tokens))
    lines = [title, *table(_entropy_columns(result))]
    if result.estimate is not None and not result.resolved.all():
        lines += wrap("(in parentheses: not resolved; the middle of the bracket)", indent=2)
    if notes:
        lines += wrap(", ".join(notes), indent=2)
    if not result.resolved.all():
        lines += wrap("(in parentheses: not resolved, only the bracket is known)", indent=2)
    return [*lines, *_learning(result)]


def _entropy_columns(result: EntropyResult) -> list[tuple[str, list[str]]]:
    """Columns of the table; the bias-corrected entropies are only in run.json, to save width."""
    contexts = ("context", [str(int(n)) for n in result.context])
    columns = [
        ("H_n", _marked_cells(_nats_column(result.estimate), result.resolved)),
        ("bracket", _intervals(result.low, result.high, _nats)),
        ("resolved", ["yes" if v else "no" for v in result.resolved]),
        ("held-out", _nats_column(result.held_out)),
        ("interval", _intervals(result.held_out_low, result.held_out_high, _nats)),
        ("Kneser-Ney", _nats_column(result.held_out_kneser_ney)),
        ("plug-in", _nats_column(result.plug_in)),
    ]
    return [contexts, *((name, cells) for name, cells in columns if cells)]


def _split_sizes(result: EntropyResult) -> list[str]:
    sizes = (
        (result.training_tokens, "training tokens"),
        (result.held_out_tokens, "held-out tokens"),
        (result.held_out_documents, "held-out documents"),
    )
    return [f"{count(value)} {label}" for value, label in sizes if value is not None]


def _copies(result: EntropyResult) -> list[str]:
    share = result.held_out_copies
    if not share:
        return []
    return [f"{100 * share:.2g} % of the held-out tokens are copies of training text"]


def _held_out_predictor(mixture_contexts: NDArray[Any], tuning_tokens: int | None) -> str:
    if not len(mixture_contexts):
        return "held-out: Kneser-Ney, which the mixture of contexts did not improve on"
    contexts = ", ".join(str(int(n)) for n in mixture_contexts)
    return (
        f"held-out: mixture of contexts at n = {contexts}, its weights fitted on "
        f"{count(tuning_tokens)} training tokens"
    )


def _learning(result: EntropyResult) -> list[str]:
    """Limits of the learning curves; empty without at least two sizes."""
    curve = result.learning_curve
    if curve is None or len(curve.tokens) < 2 or result.limit is None:
        return []
    known = np.isfinite(result.limit)
    first, last = (count(int(curve.tokens[k])) for k in (0, -1))
    lines = [
        "",
        *wrap(
            f"LEARNING CURVES of Kneser-Ney  L_n(P) = H_n + A P^-delta, {len(curve.tokens)} sizes, "
            f"P = {first} .. {last} tokens",
            indent=0,
        ),
    ]
    columns = [
        ("context", [str(int(n)) for n in result.context]),
        ("at P", [_nats(x) for x in curve.held_out[-1]]),
        (
            "extrapolated",
            [
                _nats(x) if ok else "not identifiable"
                for x, ok in zip(result.limit, known, strict=True)
            ],
        ),
        ("interval", _intervals(result.limit_low, result.limit_high, _nats)),
        ("delta", _marked_cells(_numbers(result.delta), known)),
        (
            "delta's interval",
            _marked_cells(_intervals(result.delta_low, result.delta_high, exponent_number), known),
        ),
    ]
    lines += table([(name, values) for name, values in columns if values])
    if result.delta is not None and np.any(np.isfinite(result.delta) & ~known):
        lines += wrap("(in parentheses: of a fit without an identifiable limit)", indent=2)
    return lines


def _marked_cells(cells: list[str], reportable: NDArray[np.bool_]) -> list[str]:
    """Cells of a column, in parentheses where they cannot be reported."""
    if not cells:
        return []
    return [
        cell if cell == _MISSING else marked(cell, reportable=bool(ok))
        for cell, ok in zip(cells, reportable, strict=True)
    ]


def _numbers(values: NDArray[Any] | None, form: str = "{:.2f}") -> list[str]:
    if values is None:
        return []
    return [form.format(float(x)) if math.isfinite(x) else _MISSING for x in values]


def _prediction(result: Prediction) -> list[str]:
    lines = ["PREDICTION  alpha = gamma / (2 beta), under these conditions"]
    for gate in result.gates:
        lines += wrap(
            f"{GATE_MARKS[gate.passed]}  {gate.name}: {gate_text(gate)}", indent=2, hang=11
        )
    for point in result.horizon:
        lines += wrap(f"{count(point.tokens)} tokens resolve {_horizon(point)}", indent=2)
    for length in result.context_length:
        lines += wrap(_context_length(length), indent=2, hang=2)
    for stage in result.stage:
        if stage.stage != "single":
            lines += wrap(_stage(stage), indent=2, hang=2)
    if result.loss_fit is not None:
        lines += _expected_losses(result.loss_fit, result.loss_curve)
    for collapse in result.collapse:
        lines += wrap(_collapse(collapse), indent=2, hang=2)
    if result.curves is not None:
        lines += _curves(result.curves)
    if result.paper is not None:
        lines += paper_lines(result.paper)
    return lines


def _horizon(point: HorizonPoint) -> str:
    if point.lag is None:
        return "no lag"
    text = f"lags up to {_bound(point.lag, at_least=point.at_least)}"
    if point.low is not None and point.high is not None:
        text += f" [{_lag(point.low)}, {_lag(point.high)}]"
    text += ", extrapolated" * point.extrapolated
    if point.at_documents:
        text += ", where documents end (beyond it fewer than 1% of the tokens have a partner in "
        text += "their own document)"
    return text + (f" ({point.reason})" if point.reason else "")


def _bound(lag: float, *, at_least: bool) -> str:
    return ("at least " if at_least else "") + _lag(lag)


def _context_length(point: ContextPoint) -> str:
    head = f"context worth training at {count(point.tokens)} tokens: "
    if point.limit is None or point.high is None:
        return head + "none; no lag is resolved"
    low = "less than the first lag" if point.low is None else _lag(point.low)
    text = f"{head}between {low} and {_bound(point.high, at_least=point.at_least)} tokens"
    text += ", extrapolated" * point.extrapolated + ", where documents end" * point.at_documents
    # A lower bound of n* gives no upper bound of the useful context.
    if point.at_least:
        return text
    return (
        f"{text}; beyond {_lag(point.limit)} pairs of tokens show nothing more (three or more "
        "tokens together may)"
    )


def _stage(point: StagePoint) -> str:
    names = {"first": "second", "second": "first", "indeterminate": "second"}
    this = "first" if point.stage == "indeterminate" else point.stage

    def part(
        name: str, beta: float | None, alpha: tuple[float | None, ...], reason: str | None
    ) -> str:
        if beta is None:
            return f"{name} stage unknown"
        text = f"beta {exponent_number(beta)}"
        value, low, high = alpha
        if value is not None:
            text += f", alpha {exponent_number(value)}"
        if low is not None and high is not None:
            text += f" [{exponent_number(low)}, {exponent_number(high)}]"
        if reason is not None:
            text = f"({text}) not reportable: {reason}"
        return f"{name} stage {text}"

    one = part(
        this,
        point.beta,
        (point.alpha, point.alpha_low, point.alpha_high),
        None if point.reportable else point.reason or "not known",
    )
    other = part(
        names[point.stage],
        point.other_beta,
        (point.other_alpha, point.other_low, point.other_high),
        None if point.other_reportable else point.other_reason or "not known",
    )
    if point.stage == "indeterminate":
        return f"at {count(point.tokens)} tokens (stage indeterminate): {one}; or {other}"
    return f"at {count(point.tokens)} tokens: {one}; not {other}"


def _expected_losses(fit: LossFit, points: Sequence[LossPoint]) -> list[str]:
    forms = {
        "shifted": "L_inf + B P^-alpha with alpha",
        "raw": "their local slope, informed by alpha, finite (no limit)",
        "losses": "their local slope alone, without alpha",
    }
    title = f"expected losses, {len(fit.tokens)} measured ones continued by {forms[fit.form]}"
    lines = wrap(title, indent=2)
    if fit.alpha_not_used is not None:
        lines += wrap(f"alpha is not used: {fit.alpha_not_used}", indent=4)
    if fit.reason is not None:
        lines += wrap(f"not reportable: {fit.reason}", indent=4)
    for name, band in (
        ("L_inf", (fit.limit, fit.limit_low, fit.limit_high)),
        ("local slope at the largest size", (fit.slope, fit.slope_low, fit.slope_high)),
    ):
        if band[0] is not None:
            text = marked(_with_band(band[0], *band[1:]), reportable=fit.reportable)
            lines += wrap(f"{name} {text}", indent=4)
    for point in points:
        reportable = fit.reportable and point.reportable
        text = marked(_with_band(point.loss, point.low, point.high), reportable=reportable)
        text = f"{count(point.tokens)} tokens: {text} nats"
        if point.reason is not None and point.reason != fit.reason:
            text += f", not reportable: {point.reason}"
        lines += wrap(text, indent=4, hang=4)
    return lines


def _with_band(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{_nats(value)} (no interval)"
    return f"{_nats(value)} [{_nats(low)}, {_nats(high)}]"


def _collapse(result: Collapse) -> str:
    text = (
        f"collapse of {CURVE_SOURCES[result.source]} curves, {result.protocol} "
        f"(H_inf {result.entropy_rate:.3g}): "
    )
    at = f"at gamma {result.gamma:.3f}, beta {result.beta:.3f}"
    if not result.reportable:
        at = f"at ({at[3:]}; not reportable: {result.reason or 'not known'})"
    if result.quality is None:
        return f"{text}unknown {at}, only {_percent(result.overlap)} of the points overlap"
    text += f"{result.quality:.2f} of the distance before rescaling {at}"
    if result.best_quality is not None:
        grids = (result.grid_gamma, result.best_gamma), (result.grid_beta, result.best_beta)
        edge = any(best in (grid[0], grid[-1]) for grid, best in grids)
        text += ", the best is at the edge of the grid" * edge
        best = (
            f"best {result.best_quality:.2f} at {result.best_gamma:.3f}, {result.best_beta:.3f}, "
            f"at most twice that for gamma {result.gamma_low:.3f}..{result.gamma_high:.3f}, "
            f"beta {result.beta_low:.3f}..{result.beta_high:.3f}"
        )
        # The grid is laid about the exponents.
        text += f"; {marked(best, reportable=result.reportable)}"
    return text


def _curves(result: CurvesResult) -> list[str]:
    columns: list[tuple[str, list[str]]] = [
        ("context", [str(int(n)) for n in result.context]),
        ("sizes", [str(int(n)) for n in result.points]),
        ("limit", [_nats(x) for x in result.limit]),
        ("interval", _intervals(result.limit_low, result.limit_high, _nats)),
        ("identified", ["yes" if v else "no" for v in result.identifiable]),
        ("delta", [_nats(x) for x in result.delta]),
        ("delta's interval", _intervals(result.delta_low, result.delta_high, _nats)),
    ]
    refused = {"limit", "interval", "delta", "delta's interval"}
    columns = [
        (name, _marked_cells(cells, result.identifiable) if name in refused else cells)
        for name, cells in columns
    ]
    lines = ["", "CURVES  losses of your models in nats per token, L = limit + A P^-delta"]
    lines += table(columns)
    if not result.identifiable.all():
        lines += wrap("(in parentheses: of a fit without an identifiable limit)", indent=2)
    for n, text in zip(result.context, result.reasons, strict=True):
        if text:
            lines += wrap(f"context {n}: {text}", indent=2, hang=2)
    lines += _curve_exponents(result)
    if result.largest_tokens is not None:
        lines += wrap(f"finite: from the losses at {count(result.largest_tokens)} tokens", indent=2)
    return lines


def _curve_exponents(result: CurvesResult) -> list[str]:
    lines: list[str] = []
    for name, exponent in (
        ("gamma", result.gamma),
        ("gamma, finite", result.gamma_finite),
        ("alpha", result.alpha),
        ("alpha, finite", result.alpha_finite),
    ):
        lines.append(f"  {name:<17} {estimate(exponent):<23} {scope(exponent)}".rstrip())
        if not exponent.reportable:
            lines += wrap(f"not reportable: {exponent.reason}", indent=20)
        sizes = slope_by_size(exponent)
        if sizes:
            lines += wrap(sizes, indent=20)
    return lines


# --- numbers ---------------------------------------------------------------------------------


def _one_milli(value: float) -> str:
    """A norm in units of 1e-3."""
    if not math.isfinite(value):
        return _MISSING
    scaled = 1e3 * value
    return f"{scaled:.4f}" if scaled == 0 or abs(scaled) >= 1e-3 else f"{scaled:.1e}"


def _milli(values: Iterable[float]) -> list[str]:
    return [_one_milli(float(x)) for x in values]


def _nats_column(values: NDArray[Any] | None) -> list[str]:
    """Cells of a column of entropies; empty if they were not computed."""
    return [] if values is None else [_nats(x) for x in values]


def _nats(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else _MISSING


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%" if math.isfinite(value) else _MISSING


def _intervals(
    low: NDArray[Any] | None, high: NDArray[Any] | None, text: Callable[[float], str]
) -> list[str]:
    if low is None or high is None:
        return []
    pairs = zip(low, high, strict=True)
    return [
        f"[{text(float(a))}, {text(float(b))}]"
        if math.isfinite(a) and math.isfinite(b)
        else _MISSING
        for a, b in pairs
    ]


def _lag(value: float) -> str:
    return count(float(value)) if value >= 100 else f"{value:.3g}"
