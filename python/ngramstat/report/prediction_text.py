"""What a run predicts, as terminal text: conditions, horizons, expected losses, users' curves."""

from __future__ import annotations

from collections.abc import Sequence

from ngramstat.report.cells import intervals, lag_text, marked_cells, nats, percent
from ngramstat.report.paper import paper_lines
from ngramstat.report.text import (
    CURVE_SOURCES,
    GATE_MARKS,
    count,
    estimate,
    exponent_number,
    gate_text,
    marked,
    scope,
    slope_by_size,
    table,
    wrap,
)
from ngramstat.results import (
    Collapse,
    ContextPoint,
    CurvesResult,
    HorizonPoint,
    LossFit,
    LossPoint,
    Prediction,
    StagePoint,
)

__all__ = ["conditions", "reach"]


def conditions(result: Prediction) -> list[str]:
    """The conditions of the formula, the collapse of the curves, and the user's curves."""
    lines = ["CONDITIONS of alpha = gamma / (2 beta)"]
    for gate in result.gates:
        lines += wrap(
            f"{GATE_MARKS[gate.passed]}  {gate.name}: {gate_text(gate)}", indent=2, hang=11
        )
    for collapse in result.collapse:
        lines += wrap(_collapse(collapse), indent=2, hang=2)
    if result.curves is not None:
        lines += _curves(result.curves)
    if result.paper is not None:
        lines += paper_lines(result.paper)
    return lines


def reach(result: Prediction, *, losses: bool = True) -> list[str]:
    """What is expected at the requested numbers of training tokens; empty where none were.

    Parameters
    ----------
    result : Prediction
    losses : bool
        Whether to show the losses that measured ones imply, which a forecast says better.
    """
    lines: list[str] = []
    for point in result.horizon:
        lines += wrap(f"{count(point.tokens)} tokens resolve {_horizon(point)}", indent=2)
    for length in result.context_length:
        lines += wrap(_context_length(length), indent=2, hang=2)
    for stage in result.stage:
        if stage.stage != "single":
            lines += wrap(_stage(stage), indent=2, hang=2)
    if losses and result.loss_fit is not None:
        lines += _expected_losses(result.loss_fit, result.loss_curve)
    return ["AT MORE TOKENS", *lines] if lines else []


def _horizon(point: HorizonPoint) -> str:
    if point.lag is None:
        return "no lag"
    text = f"lags up to {_bound(point.lag, at_least=point.at_least)}"
    if point.low is not None and point.high is not None:
        text += f" [{lag_text(point.low)}, {lag_text(point.high)}]"
    text += ", extrapolated" * point.extrapolated
    if point.at_documents:
        text += ", where documents end (beyond it fewer than 1% of the tokens have a partner in "
        text += "their own document)"
    return text + (f" ({point.reason})" if point.reason else "")


def _bound(lag: float, *, at_least: bool) -> str:
    return ("at least " if at_least else "") + lag_text(lag)


def _context_length(point: ContextPoint) -> str:
    head = f"context worth training at {count(point.tokens)} tokens: "
    if point.limit is None or point.high is None:
        return head + "none; no lag is resolved"
    text = head + _useful(point.low, point.high, at_least=point.at_least)
    text += ", extrapolated" * point.extrapolated + ", where documents end" * point.at_documents
    # A lower bound of n* gives no upper bound of the useful context.
    if point.at_least:
        return text
    return (
        f"{text}; beyond {lag_text(point.limit)} pairs of tokens show nothing more (three or more "
        "tokens together may)"
    )


def _useful(low: float | None, high: float, *, at_least: bool) -> str:
    """The band of useful contexts; of its ends, one or both may be known from one side only."""
    top = lag_text(high)
    if low is None:
        if at_least:
            return f"unknown; from less than the first lag to {top} or more tokens"
        return f"at most {top} tokens"
    if lag_text(low) == top:
        return f"{_bound(high, at_least=at_least)} tokens"
    return f"between {lag_text(low)} and {top}{' or more' * at_least} tokens"


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
        return f"{nats(value)} (no interval)"
    return f"{nats(value)} [{nats(low)}, {nats(high)}]"


def _collapse(result: Collapse) -> str:
    text = (
        f"collapse of {CURVE_SOURCES[result.source]} curves, {result.protocol} "
        f"(H_inf {result.entropy_rate:.3g}): "
    )
    at = f"at gamma {result.gamma:.3f}, beta {result.beta:.3f}"
    if not result.reportable:
        at = f"at ({at[3:]}; not reportable: {result.reason or 'not known'})"
    if result.quality is None:
        return f"{text}unknown {at}, only {percent(result.overlap)} of the points overlap"
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
        ("limit", [nats(x) for x in result.limit]),
        ("interval", intervals(result.limit_low, result.limit_high, nats)),
        ("identified", ["yes" if v else "no" for v in result.identifiable]),
        ("delta", [nats(x) for x in result.delta]),
        ("delta's interval", intervals(result.delta_low, result.delta_high, nats)),
    ]
    refused = {"limit", "interval", "delta", "delta's interval"}
    columns = [
        (name, marked_cells(cells, result.identifiable) if name in refused else cells)
        for name, cells in columns
    ]
    lines = ["", "CURVES  losses of your models in nats per token, L = limit + A P^-delta"]
    for note in result.table.notes:
        lines += wrap(note, indent=2, hang=2)
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
