"""A run as compact terminal text: the exponents first, then the tables behind them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.report.answer import answer_block
from ngramstat.report.cells import (
    MISSING,
    intervals,
    marked_cells,
    milli,
    nats,
    nats_column,
    one_milli,
    percent,
)
from ngramstat.report.forecast import forecast_lines
from ngramstat.report.notes import curve_notes, interval_parts
from ngramstat.report.paper import paper_lines
from ngramstat.report.prediction_text import conditions, reach
from ngramstat.report.text import (
    count,
    estimate,
    exponent_number,
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
    CorrelationResult,
    EntropyResult,
    Exponent,
    RunResult,
)

__all__ = ["plan_table", "summarize", "summarize_prediction"]


def plan_table(plan: Mapping[str, Any]) -> str:
    """The result of `ngramstat plan` (`Plan.to_dict`) as a table."""

    def size(number: float) -> str:
        return f"{number / 1e9:.2f} GB" if number else MISSING

    def minutes(seconds: float | None) -> str:
        if seconds is None:
            return MISSING
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"

    rows = [["", "passes", "peak memory", "smallest limit", "temporary disk", "time"]]
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
    limit = (
        f"Memory limit {size(plan['memory_limit_bytes'])}; times on {plan['threads']} otherwise "
        "idle cores."
    )
    return "\n".join([*lines, "", limit])


def summarize(run: RunResult, *, full: bool = True) -> str:
    """The run as plain text, at most 100 columns wide but for commands, without control codes.

    Parameters
    ----------
    run : RunResult
        Parts that were not computed are left out.
    full : bool
        False: of a run with an answer only that, what is expected at the requested sizes, the
        exponents by the paper's protocol where they were asked for, and the corpus.

    Returns
    -------
    str
        Answer, exponents, corpus, correlations, entropies, prediction and settings, ending in a
        newline.
    """
    answer = answer_block(run, full=full)
    if answer and not full:
        expected = forecast_lines(run, full=False)
        return _text([answer, expected, _paper_protocol(run), _corpus_card(run)])
    blocks = [answer, forecast_lines(run), _exponents(run), _at_sizes(run), _corpus_card(run)]
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
        blocks.append(conditions(run.prediction))
    blocks.append(_settings(run))
    return _text(blocks)


def summarize_prediction(run: RunResult, *, full: bool = True) -> str:
    """What `predict` has to say of a run: answer and expectations, and with `full` all conditions.

    Raises
    ------
    InputError
        The run has no prediction.
    """
    if run.prediction is None:
        raise InputError("the run has no prediction; `ngramstat predict` makes one")
    blocks = [answer_block(run, full=full), forecast_lines(run, full=full), _at_sizes(run)]
    blocks.append(conditions(run.prediction) if full else _paper_protocol(run))
    return _text(blocks)


def _paper_protocol(run: RunResult) -> list[str]:
    """The exponents by the paper's protocol, which are there only where they were asked for."""
    paper = None if run.prediction is None else run.prediction.paper
    return [] if paper is None else paper_lines(paper)[1:]


def _text(blocks: Sequence[Sequence[str]]) -> str:
    return plain("\n\n".join("\n".join(block) for block in blocks if block)) + "\n"


def _at_sizes(run: RunResult) -> list[str]:
    """What is expected at the requested numbers of training tokens."""
    return [] if run.prediction is None else reach(run.prediction, losses=not run.forecast)


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
        ("norm", milli(result.norm)),
    ]
    if result.norm_debiased is not None:
        columns.append(("debiased", milli(result.norm_debiased)))
    if interval:
        columns.append(("interval", intervals(result.norm_low, result.norm_high, one_milli)))
    columns.append(("floor", milli(result.noise_floor)))
    for label, values in (
        ("cross-fit", result.norm_crossfit),
        ("sequential", result.norm_sequential),
    ):
        if values is not None:
            columns.append((label, milli(values)))
    if result.crossing_share is not None:
        columns.append(("crossing", [percent(x) for x in result.crossing_share]))
    columns.append(("valid", ["yes" if v else "no" for v in result.valid]))
    for label, values in (
        ("shuffled", result.permutation_floor),
        ("composition", result.composition_norm),
        ("position", result.position_norm),
    ):
        if values is not None:
            columns.append((label, milli(values)))
    title = f"CORRELATIONS  ||C(t)|| x 1e-3, lags in tokens, boundary {result.boundary}"
    cut = result.vocab_cut
    note: list[str] = []
    if cut is not None:
        # Next to every norm: by how much the norm over the whole vocabulary can be larger.
        columns.insert(2, ("cut, at most +", milli(cut.bound)))
        note = wrap(
            f"Restricted to the {cut.top:,} most frequent vocabulary items: "
            f"{percent(cut.dropped_mass)} of the tokens are dropped, and the norm over the whole "
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
            f"{unit} {d.number} {percent(d.share)} (tokens {d.start:,} to {d.end - 1:,})"
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
        ("H_n", marked_cells(nats_column(result.estimate), result.resolved)),
        ("bracket", intervals(result.low, result.high, nats)),
        ("resolved", ["yes" if v else "no" for v in result.resolved]),
        ("held-out", nats_column(result.held_out)),
        ("interval", intervals(result.held_out_low, result.held_out_high, nats)),
        ("Kneser-Ney", nats_column(result.held_out_kneser_ney)),
        ("plug-in", nats_column(result.plug_in)),
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
        ("at P", [nats(x) for x in curve.held_out[-1]]),
        (
            "extrapolated",
            [
                nats(x) if ok else "not identifiable"
                for x, ok in zip(result.limit, known, strict=True)
            ],
        ),
        ("interval", intervals(result.limit_low, result.limit_high, nats)),
        ("delta", marked_cells(_numbers(result.delta), known)),
        (
            "delta's interval",
            marked_cells(intervals(result.delta_low, result.delta_high, exponent_number), known),
        ),
    ]
    lines += table([(name, values) for name, values in columns if values])
    if result.delta is not None and np.any(np.isfinite(result.delta) & ~known):
        lines += wrap("(in parentheses: of a fit without an identifiable limit)", indent=2)
    return lines


def _numbers(values: NDArray[Any] | None, form: str = "{:.2f}") -> list[str]:
    if values is None:
        return []
    return [form.format(float(x)) if math.isfinite(x) else MISSING for x in values]
