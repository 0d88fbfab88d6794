"""Figures of norms and entropies. matplotlib is imported on first use (extra ``plot``).

Every figure shows what its numbers are based on: the noise floor or the bracket, the window of the
fit, its interval, and the points that were left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import NgramstatError
from ngramstat.report.axes import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PURPLE,
    RED,
    WINDOW,
    add_legend,
    integer_ticks,
    new_axes,
    new_figure,
    plain_ticks,
)
from ngramstat.report.fits import fitted_points, middle_of_fit
from ngramstat.results import AlternativeKind, CorrelationResult, EntropyResult, Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_correlations", "plot_entropies", "plot_run"]

Floats = NDArray[np.float64]


def _label(symbol: str, exponent: Exponent) -> str:
    if exponent.value is None:
        return ""
    text = rf"${symbol} = {exponent.value:.3f}$"
    if exponent.low is not None and exponent.high is not None:
        text += f" [{exponent.low:.3f}, {exponent.high:.3f}] at {100 * exponent.level:g}%"
    return text if exponent.reportable else f"{text} (not reportable)"


def _draw_fit(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    exponent: Exponent,
    symbol: str,
    colour: str,
    valid: NDArray[np.bool_] | None = None,
) -> None:
    """The window, the fitted line, and its interval as a fan around the middle of the fit.

    `valid` marks the points in the window that the fit may use.
    """
    if exponent.value is None or exponent.window is None:
        return
    low, high = exponent.window
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    used = fitted_points(xs, ys, exponent.window, valid)
    if not used.any():
        return
    ax.axvspan(low, high, color=WINDOW, zorder=0, label=f"window {low:g}..{high:g}")
    centre_x, centre_y = middle_of_fit(xs[used], ys[used], exponent.weights)
    line_x = np.geomspace(low, high, 50) if high > low else np.array([low])

    def curve(slope: float) -> Floats:
        out: Floats = centre_y * (line_x / centre_x) ** -slope
        return out

    style = "-" if exponent.reportable else (0, (4, 3))
    ax.plot(
        line_x,
        curve(exponent.value),
        color=colour,
        linestyle=style,
        linewidth=1.4,
        zorder=3,
        label=_label(symbol, exponent),
    )
    if exponent.low is not None and exponent.high is not None:
        ax.fill_between(
            line_x,
            np.minimum(curve(exponent.low), curve(exponent.high)),
            np.maximum(curve(exponent.low), curve(exponent.high)),
            color=colour,
            alpha=0.18,
            linewidth=0,
            zorder=2,
        )


def _draw_second_stage(ax: Axes, lags: Floats, result: CorrelationResult) -> None:
    """The slower stage beyond the headline's window, where the fit split one off."""
    for other in result.beta.alternatives_of(AlternativeKind.SECOND_STAGE):
        window, value = other.window, other.value
        if window is None or value is None:
            continue
        norm = result.best_norm
        used = (lags >= window[0]) & (lags <= window[1]) & (norm > 0)
        if not used.any() or window[0] >= window[1]:
            continue
        centre_x, centre_y = middle_of_fit(lags[used], norm[used])
        line_x = np.array(window, dtype=np.float64)
        ax.plot(
            line_x,
            centre_y * (line_x / centre_x) ** -value,
            color=RED,
            linestyle="--",
            linewidth=1,
            zorder=3,
            label=f"second stage, exponent {value:.2f}"
            + ("" if result.beta.reportable else " (not reportable)"),
        )


def _positive(values: NDArray[Any] | None) -> Floats | None:
    """Values that a logarithmic axis can show, with NaN for the others; None if there are none."""
    if values is None:
        return None
    out = np.where(np.isfinite(values) & (values > 0), values, np.nan)
    return out if np.isfinite(out).any() else None


def _error_bars(y: Floats, low: Floats | None, high: Floats | None) -> Floats | None:
    if low is None or high is None:
        return None
    return np.vstack([np.maximum(y - low, 0), np.maximum(high - y, 0)])


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
    ax = new_axes(ax)
    lags = result.lags.astype(np.float64)
    ax.set_xscale("log")
    ax.set_yscale("log")
    _draw_fit(ax, lags, result.best_norm, result.beta, r"\beta", RED, result.valid)
    _draw_second_stage(ax, lags, result)
    _draw_noise_floor(ax, lags, result)
    _draw_other_norms(ax, lags, result)
    _draw_norm(ax, lags, result)
    ax.set_xlabel("lag $t$ (tokens)")
    ax.set_ylabel("operator norm of $C(t)$ (probability)")
    ax.set_title(f"Token correlations, boundary: {result.boundary}", fontsize=10)
    add_legend(ax)
    return ax


def _draw_noise_floor(ax: Axes, lags: Floats, result: CorrelationResult) -> None:
    """The norms that noise alone would show; sets the limits of the y axis first."""
    floor, shuffled = _positive(result.noise_floor), _positive(result.permutation_floor)
    shown = [
        values
        for values in (_positive(result.best_norm), floor, _positive(result.norm), shuffled)
        if values is not None
    ]
    if shown:
        top = 2.0 * max(float(np.nanmax(v)) for v in shown)
        bottom = 0.5 * min(float(np.nanmin(v)) for v in shown)
        ax.set_ylim(bottom, top)
        if floor is not None:
            ax.fill_between(lags, bottom, floor, color=LIGHT, alpha=0.35, linewidth=0, zorder=1)
            ax.plot(lags, floor, color=GREY, linewidth=1, linestyle=":", label="noise floor")
    if shuffled is not None:
        ax.plot(
            lags, shuffled, color=GREEN, linewidth=1, linestyle=":",
            label="shuffled inside documents",
        )  # fmt: skip


def _draw_other_norms(ax: Axes, lags: Floats, result: CorrelationResult) -> None:
    """The sequential, cross-fit and plug-in norms, where they were computed."""
    sequential = result.norm_sequential_debiased
    if sequential is None:
        sequential = result.norm_sequential
    plug_in = None if result.norm_debiased is None else result.norm
    for norms, label, colour, marker in (
        (sequential, "sequential (composition removed)", GREEN, "s"),
        (result.norm_crossfit, "cross-fit (two halves), biased down", ORANGE, "^"),
        (plug_in, "plug-in, biased up", GREY, "v"),
    ):
        values = _positive(norms)
        if values is not None:
            ax.plot(
                lags, values, color=colour, marker=marker, markersize=3.5, linewidth=0.8,
                alpha=0.9, zorder=3, label=label,
            )  # fmt: skip


def _draw_norm(ax: Axes, lags: Floats, result: CorrelationResult) -> None:
    """The headline norm with its interval; lags too near the noise floor are open and grey."""
    norm = _positive(result.best_norm)
    if norm is None:
        return
    bars = _error_bars(norm, result.norm_low, result.norm_high)
    for keep, colour, face, label in (
        (result.valid, BLUE, BLUE, r"$\|C(t)\|_\mathrm{op}$"),
        (~result.valid, GREY, "white", "excluded: too near the floor"),
    ):
        if keep.any():
            ax.errorbar(
                lags[keep], norm[keep], yerr=None if bars is None else bars[:, keep], fmt="o",
                color=colour, markerfacecolor=face, markersize=5, elinewidth=1, capsize=2,
                zorder=4, label=label,
            )  # fmt: skip


def plot_entropies(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """Conditional entropies against context, on logarithmic axes; context 0 is at the left end.

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
    ax = new_axes(ax)
    # A logarithmic axis has no 0: the unigram is drawn at 1/2, with the tick label 0.
    context = np.where(result.context == 0, 0.5, result.context.astype(np.float64))
    ax.set_xscale("log")
    ax.set_yscale("log")
    held_out, limit = _positive(result.held_out), _positive(result.estimate)
    if result.gamma.value is not None and limit is not None:
        _draw_fit(ax, context, limit, result.gamma, r"\gamma", RED)
    elif held_out is not None:
        _draw_fit(ax, context, held_out, result.gamma_finite, r"\gamma_\mathrm{finite}", RED)
    _draw_counted_entropies(ax, context, result)
    _draw_estimates(ax, context, result)
    if held_out is not None:
        ax.errorbar(
            context, held_out,
            yerr=_error_bars(held_out, result.held_out_low, result.held_out_high), fmt="D-",
            color=ORANGE, markersize=3.5, linewidth=0.9, elinewidth=1, capsize=2, zorder=3,
            label="held-out $L_n$ (bounds from above)",
        )  # fmt: skip
    _limit_entropy_axis(ax, result)
    ticks = [(x, f"{n}") for x, n in zip(context, result.context, strict=True)]
    integer_ticks(ax, ticks)
    plain_ticks(ax)
    ax.set_xlabel("context $n$ (tokens; 0 is the unigram)")
    ax.set_ylabel("conditional entropy (nats per token)")
    ax.set_title(f"Next-token entropies, boundary: {result.boundary}", fontsize=10)
    add_legend(ax)
    return ax


def _draw_counted_entropies(ax: Axes, context: Floats, result: EntropyResult) -> None:
    """The bracket of H_n, and the entropies of the counts."""
    low, high = _positive(result.low), _positive(result.high)
    if low is not None and high is not None:
        ax.fill_between(
            context, low, high, color=BLUE, alpha=0.16, linewidth=0, zorder=1,
            label="bracket of $H_n$",
        )  # fmt: skip
    for entropies, label, colour, style in (
        (result.plug_in, "plug-in (biased low)", GREY, ":"),
        (result.miller_madow, "Miller-Madow", GREEN, "--"),
        (result.chao_shen, "Chao-Shen", PURPLE, "-."),
    ):
        values = _positive(entropies)
        if values is not None:
            ax.plot(
                context, values, color=colour, linestyle=style, linewidth=1.1, marker=".",
                markersize=3, zorder=2, label=label,
            )  # fmt: skip


def _draw_estimates(ax: Axes, context: Floats, result: EntropyResult) -> None:
    """The estimates of H_n; contexts that are not resolved are open."""
    limit = _positive(result.estimate)
    if limit is None:
        return
    for keep, face, label in (
        (result.resolved, BLUE, "$H_n$, resolved"),
        (~result.resolved, "white", "not resolved: middle of the bracket"),
    ):
        if (keep & np.isfinite(limit)).any():
            ax.plot(
                context[keep], limit[keep], "o", color=BLUE, markerfacecolor=face,
                markersize=5.5, zorder=4, label=label,
            )  # fmt: skip


def _limit_entropy_axis(ax: Axes, result: EntropyResult) -> None:
    """Limits of the y axis.

    At large n the plug-in entropy and the lower end of the bracket fall towards zero; they must not
    compress the other curves.
    """
    low, high = _positive(result.low), _positive(result.high)
    curves = (_positive(result.held_out), _positive(result.estimate), high)
    shown = [values for values in curves if values is not None]
    if not shown:
        return
    top = 1.15 * max(float(np.nanmax(v)) for v in shown)
    bottom = min(float(np.nanmin(v)) for v in shown)
    if low is not None:
        bottom = max(min(bottom, float(np.nanmin(low))), bottom / 2)
    ax.set_ylim(0.75 * bottom, top)


def plot_run(run: RunResult) -> Figure:
    """Both halves of a run side by side; a half that was not computed is left out.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed, or the run has neither half.
    """
    n_parts = (run.correlations is not None) + (run.entropies is not None)
    if n_parts == 0:
        raise NgramstatError("the run has neither correlations nor entropies: nothing to draw")
    figure, axes = new_figure(n_parts)
    if run.correlations is not None:
        plot_correlations(run.correlations, axes[0])
    if run.entropies is not None:
        plot_entropies(run.entropies, axes[-1])
    return figure
