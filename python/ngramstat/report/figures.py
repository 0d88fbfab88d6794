"""Figures of norms and entropies.

Every figure shows what its numbers are based on: the noise floor or the bracket, the window of the
fit, its interval, and the points that were left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import NgramstatError
from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Colour,
    Curve,
    Floats,
    Mark,
    Panel,
    Rule,
    Window,
    side_by_side,
)
from ngramstat.report.chart_plot import draw_chart, draw_panel
from ngramstat.report.fits import fitted_points, middle_of_fit
from ngramstat.report.notes import sequential_rise
from ngramstat.results import AlternativeKind, CorrelationResult, EntropyResult, Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "correlations_chart",
    "entropies_chart",
    "law_marks",
    "law_name",
    "plot_correlations",
    "plot_entropies",
    "plot_run",
    "positive",
]

_STREAM = {
    "stream": "pairs run across the ends of documents",
    "document": "pairs stay inside documents",
}
_CONTEXTS = {
    "stream": "contexts run across the ends of documents",
    "document": "contexts stay inside documents",
}


def law_name(symbol: str, exponent: Exponent) -> str:
    """Name of a fitted line: the exponent with its interval, and whether it is reportable."""
    if exponent.value is None:
        return ""
    text = f"fit, {symbol} = {exponent.value:.3f}"
    if exponent.low is not None and exponent.high is not None:
        text += f" [{exponent.low:.3f}, {exponent.high:.3f}] at {100 * exponent.level:g} %"
    return text if exponent.reportable else f"{text} (not reportable)"


def law_marks(
    x: Floats,
    y: Floats,
    exponent: Exponent,
    symbol: str,
    *,
    valid: NDArray[np.bool_] | None = None,
    shown: bool = True,
) -> list[Mark]:
    """The window, the fitted line, and its interval as a fan around the middle of the fit.

    `valid` marks the points in the window that the fit may use.
    """
    if exponent.value is None or exponent.window is None:
        return []
    low, high = exponent.window
    used = fitted_points(x, y, exponent.window, valid)
    if not used.any():
        return []
    centre_x, centre_y = middle_of_fit(x[used], y[used], exponent.weights)
    line_x = np.geomspace(low, high, 30) if high > low else np.array([low])

    def curve(slope: float) -> Floats:
        out: Floats = centre_y * (line_x / centre_x) ** -slope
        return out

    name = law_name(symbol, exponent)
    marks: list[Mark] = [
        Window(name=f"window of the fit, {low:g} to {high:g}", low=low, high=high, group=name,
               shown=shown)
    ]  # fmt: skip
    if exponent.low is not None and exponent.high is not None:
        ends = curve(exponent.low), curve(exponent.high)
        marks.append(
            Area(group=name, shown=shown, colour="red", x=line_x,
                 low=np.minimum(*ends), high=np.maximum(*ends))
        )  # fmt: skip
    marks.append(
        Curve(name=name, shown=shown, colour="red", x=line_x, y=curve(exponent.value), marker="",
              stroke="solid" if exponent.reportable else "dashed")
    )  # fmt: skip
    return marks


def positive(values: NDArray[Any] | None) -> Floats | None:
    """Values that a logarithmic axis can show, with NaN for the others; None if there are none."""
    if values is None:
        return None
    out = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return out if np.isfinite(out).any() else None


def _rows(values: Floats | None, keep: NDArray[np.bool_]) -> Floats | None:
    return None if values is None else values[keep]


# --- correlations -----------------------------------------------------------------------------


def correlations_chart(result: CorrelationResult) -> Chart:
    """Norms of C(t) against lag, on logarithmic axes."""
    lags = result.lags.astype(np.float64)
    marks: list[Mark] = [
        *law_marks(lags, result.best_norm, result.beta, "β", valid=result.valid),
        *_noise_floors(lags, result),
        *_second_stage(lags, result),
        *_other_norms(lags, result),
        *_norm(lags, result),
    ]
    curves = [positive(v) for v in (result.best_norm, result.noise_floor, result.norm,
                                    result.permutation_floor)]  # fmt: skip
    shown = [values for values in curves if values is not None]
    limits = None
    if shown:
        limits = (0.5 * min(float(np.nanmin(v)) for v in shown),
                  2.0 * max(float(np.nanmax(v)) for v in shown))  # fmt: skip
    rise = sequential_rise(result)
    return Chart(
        title="How strongly tokens at a distance are correlated",
        description="Norm of the covariance C(t) of tokens that are t apart, with its interval, "
        "the power law fitted to it, and the norm that noise alone would show (shaded); "
        f"{_STREAM[str(result.boundary)]}.",
        notes=() if rise is None else (rise,),
        panels=(
            Panel(
                x=Axis(label="distance between the tokens (lag t)"),
                y=Axis(label="norm of the covariance, ‖C(t)‖ (probability)", limits=limits),
                marks=marks,
            ),
        ),
    )


def _noise_floors(lags: Floats, result: CorrelationResult) -> list[Mark]:
    """The norms that noise alone would show, down to the end of the axis."""
    marks: list[Mark] = []
    floor, shuffled = positive(result.noise_floor), positive(result.permutation_floor)
    if floor is not None:
        marks.append(
            Area(name="noise alone", colour="grey", x=lags, low=floor / 1e3, high=floor)
        )  # fmt: skip
    if shuffled is not None:
        marks.append(
            Curve(name="sequential norm of shuffled documents", colour="green", shown=False, x=lags,
                  y=shuffled, marker="", stroke="dotted")
        )  # fmt: skip
    return marks


def _second_stage(lags: Floats, result: CorrelationResult) -> list[Mark]:
    """The slower stage beyond the headline's window, where the fit split one off."""
    marks: list[Mark] = []
    norm = result.best_norm
    for other in result.beta.alternatives_of(AlternativeKind.SECOND_STAGE):
        window, value = other.window, other.value
        if window is None or value is None:
            continue
        used = (lags >= window[0]) & (lags <= window[1]) & (norm > 0)
        if not used.any() or window[0] >= window[1]:
            continue
        centre_x, centre_y = middle_of_fit(lags[used], norm[used])
        line_x = np.array(window, dtype=np.float64)
        marks.append(
            Curve(
                name=f"second stage, exponent {value:.2f}"
                + ("" if result.beta.reportable else " (not reportable)"),
                colour="purple", shown=False, x=line_x, marker="", stroke="dashed",
                y=centre_y * (line_x / centre_x) ** -value,
            )
        )  # fmt: skip
    return marks


def _other_norms(lags: Floats, result: CorrelationResult) -> list[Mark]:
    """The sequential, cross-fit and plug-in norms, where they were computed."""
    sequential = result.norm_sequential_debiased
    if sequential is None:
        sequential = result.norm_sequential
    plug_in = None if result.norm_debiased is None else result.norm
    found: tuple[tuple[Floats | None, str, Colour, Any], ...] = (
        (sequential, "sequential: inside documents, their composition removed", "green", "square"),
        (result.norm_crossfit, "cross-fit of two halves (biased down)", "orange", "up"),
        (plug_in, "plug-in: noise not removed (biased up)", "grey", "down"),
    )
    marks: list[Mark] = []
    for norms, name, colour, marker in found:
        values = positive(norms)
        if values is not None:
            marks.append(
                Curve(name=name, colour=colour, marker=marker, shown=False, x=lags, y=values)
            )
    return marks


def _norm(lags: Floats, result: CorrelationResult) -> list[Mark]:
    """The headline norm with its interval; lags too near the noise floor are open and grey."""
    norm = positive(result.best_norm)
    if norm is None:
        return []
    marks: list[Mark] = []
    for keep, colour, name in (
        (result.valid, "blue", "‖C(t)‖, noise removed"),
        (~result.valid, "grey", "too near the noise: not used"),
    ):
        if (keep & np.isfinite(norm)).any():
            marks.append(
                Curve(
                    name=name, group="norm", colour=colour,  # type: ignore[arg-type]
                    x=lags[keep], y=norm[keep], low=_rows(result.norm_low, keep),
                    high=_rows(result.norm_high, keep), stroke="", filled=colour == "blue",
                )
            )  # fmt: skip
    return marks


def plot_correlations(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Norms of C(t) against lag, on logarithmic axes.

    Parameters
    ----------
    result : CorrelationResult
    ax : matplotlib Axes, optional
        By default new axes in a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    return draw_panel(correlations_chart(result), ax)


# --- entropies --------------------------------------------------------------------------------


def entropies_chart(result: EntropyResult) -> Chart:
    """Conditional entropies against context, on logarithmic axes; context 0 is a line across."""
    # A logarithmic axis has no 0.
    keep = result.context >= 1
    context = result.context[keep].astype(np.float64)

    def of(values: NDArray[Any] | None) -> Floats | None:
        return None if values is None else positive(values[keep])

    held_out, estimate = of(result.held_out), of(result.estimate)
    marks: list[Mark] = []
    if result.gamma.value is not None and estimate is not None:
        marks += law_marks(context, estimate, result.gamma, "γ", shown=False)
    elif held_out is not None:
        marks += law_marks(context, held_out, result.gamma_finite, "γ at this size", shown=False)
    low, high = of(result.low), of(result.high)
    if low is not None and high is not None:
        marks.append(
            Area(name="bracket of H(n)", group="entropies", colour="blue", x=context, low=low,
                 high=high)
        )  # fmt: skip
    marks += _unigram(result)
    for entropies, name, colour, stroke in (
        (result.plug_in, "counts alone (biased low)", "grey", "dotted"),
        (result.miller_madow, "counts, corrected after Miller and Madow", "green", "dashed"),
        (result.chao_shen, "counts, corrected after Chao and Shen", "purple", "dashdot"),
    ):
        values = of(entropies)
        if values is not None:
            marks.append(
                Curve(name=name, colour=colour, stroke=stroke,  # type: ignore[arg-type]
                      shown=False, x=context, y=values, marker="")
            )  # fmt: skip
    if held_out is not None:
        marks.append(
            Curve(name="held-out loss (bounds H(n) from above)", colour="orange", marker="diamond",
                  x=context, y=held_out, low=of(result.held_out_low), high=of(result.held_out_high))
        )  # fmt: skip
    marks += _estimates(context, estimate, result.resolved[keep])
    return Chart(
        title="How well context predicts the next token",
        description="Entropy H(n) of the next token given the n tokens before it: the bracket "
        "between counts (below) and held-out losses (above); "
        f"{_CONTEXTS[str(result.boundary)]}.",
        panels=(
            Panel(
                x=Axis(label="tokens of context, n", at=tuple(context.tolist())),
                y=Axis(label="entropy or loss (nats per token)",
                       limits=_entropy_limits(held_out, estimate, low, high)),
                marks=marks,
            ),
        ),
    )  # fmt: skip


def _unigram(result: EntropyResult) -> list[Mark]:
    """The entropy without context, as a line across."""
    at = np.flatnonzero(result.context == 0)
    value = float(result.estimate[at[0]]) if len(at) and result.estimate is not None else np.nan
    if not (np.isfinite(value) and value > 0):
        return []
    return [Rule(name=f"without context: {value:.2f} nats", colour="grey", shown=False, at=value,
                 horizontal=True)]  # fmt: skip


def _estimates(context: Floats, estimate: Floats | None, resolved: NDArray[np.bool_]) -> list[Mark]:
    """The estimates of H(n); contexts that are not resolved are open."""
    if estimate is None:
        return []
    return [
        Curve(name=name, group="entropies", x=context[keep], y=estimate[keep], stroke="",
              filled=filled)
        for keep, filled, name in (
            (resolved, True, "H(n)"),
            (~resolved, False, "not resolved: middle of the bracket"),
        )
        if (keep & np.isfinite(estimate)).any()
    ]  # fmt: skip


def _entropy_limits(
    held_out: Floats | None, estimate: Floats | None, low: Floats | None, high: Floats | None
) -> tuple[float, float] | None:
    """Limits of the y axis.

    At large n the plug-in entropy and the lower end of the bracket fall towards zero; they must not
    compress the other curves.
    """
    shown = [values for values in (held_out, estimate, high) if values is not None]
    if not shown:
        return None
    top = 1.15 * max(float(np.nanmax(v)) for v in shown)
    bottom = min(float(np.nanmin(v)) for v in shown)
    if low is not None:
        bottom = max(min(bottom, float(np.nanmin(low))), bottom / 2)
    return 0.85 * bottom, top


def plot_entropies(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """Conditional entropies against context, on logarithmic axes; context 0 is a line across.

    Parameters
    ----------
    result : EntropyResult
    ax : matplotlib Axes, optional
        By default new axes in a new figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    return draw_panel(entropies_chart(result), ax)


def plot_run(run: RunResult) -> Figure:
    """Both halves of a run side by side; a half that was not computed is left out.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed, or the run has neither half.
    """
    charts = []
    if run.correlations is not None:
        charts.append(correlations_chart(run.correlations))
    if run.entropies is not None:
        charts.append(entropies_chart(run.entropies))
    if not charts:
        raise NgramstatError("the run has neither correlations nor entropies: nothing to draw")
    return draw_chart(side_by_side(charts))
