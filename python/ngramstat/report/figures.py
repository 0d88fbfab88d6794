"""Figures of norms and entropies. matplotlib is imported on first use (extra ``plot``).

Every figure shows what the numbers rest on: the noise floor or the bracket, the window of the fit,
its interval, and the points that were left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import NgramstatError
from ngramstat.results import AlternativeKind, CorrelationResult, EntropyResult, Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "logarithmic",
    "middle_of_fit",
    "new_figure",
    "plot_correlations",
    "plot_entropies",
    "plot_run",
]

Floats = NDArray[np.float64]

# Okabe and Ito's palette: told apart by every common form of colour vision, and in grey.
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
_GREY, _LIGHT = "#7f7f7f", "#b8b8b8"
_WINDOW = "#f7f3e6"
_LABEL_SIZE = 8.5


def _new_axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones in a figure that belongs to no window."""
    if ax is not None:
        return ax
    return new_figure(1)[1][0]


def new_figure(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side that belongs to no window.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    # Without pyplot: no global list of open figures, no backend, no display.
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NgramstatError(
            "figures need matplotlib, which is not installed: pip install 'ngramstat[plot]'"
        ) from error
    figure = Figure(figsize=(6.2 * panels, 4.8), layout="constrained", dpi=120)
    axes = figure.subplots(1, panels, squeeze=False)
    return figure, list(axes[0])


def logarithmic(ax: Axes) -> None:
    """Logarithmic scales both ways, with a faint grid."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(True, which="major", color="#dddddd", linewidth=0.5)


def _label(symbol: str, exponent: Exponent) -> str:
    if exponent.value is None:
        return ""
    text = rf"${symbol} = {exponent.value:.3f}$"
    if exponent.low is not None and exponent.high is not None:
        text += f" [{exponent.low:.3f}, {exponent.high:.3f}] at {100 * exponent.level:g}%"
    return text if exponent.reportable else f"{text} (not reportable)"


def middle_of_fit(x: Floats, y: Floats, weights: Floats | None = None) -> tuple[float, float]:
    """The point that a fitted line goes through: the mean of the fitted points in log-log.

    x, y : (points,); `weights` are those of the fit, which count if they are of these points.
    """
    if weights is not None and len(weights) != len(x):
        weights = None
    return (
        float(np.exp(np.average(np.log(x), weights=weights))),
        float(np.exp(np.average(np.log(y), weights=weights))),
    )


def _draw_fit(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    exponent: Exponent,
    symbol: str,
    colour: str,
    valid: NDArray[np.bool_] | None = None,
) -> None:
    """Window shading, fitted line and the fan of its interval about the middle of the fit.

    `valid` are the points that a fit may use, of all those in the window.
    """
    if exponent.value is None or exponent.window is None:
        return
    low, high = exponent.window
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        used = (xs >= low) & (xs <= high) & (ys > 0) & np.isfinite(ys)
    if valid is not None:
        used &= valid
    if not used.any():
        return
    ax.axvspan(low, high, color=_WINDOW, zorder=0, label=f"window {low:g}..{high:g}")
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
            color=_RED,
            linestyle="--",
            linewidth=1,
            zorder=3,
            label=f"second stage, exponent {value:.2f}",
        )


def _positive(values: NDArray[Any] | None) -> Floats | None:
    """Values a logarithmic axis can show, the others NaN; None if there are none."""
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
        What to draw.
    ax : matplotlib Axes, optional
        Where; a new figure if not given.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    ax = _new_axes(ax)
    lags = result.lags.astype(np.float64)
    norm = _positive(result.best_norm)
    sequential = result.norm_sequential_debiased
    if sequential is None:
        sequential = result.norm_sequential
    ax.set_xscale("log")
    ax.set_yscale("log")
    _draw_fit(ax, lags, result.best_norm, result.beta, r"\beta", _RED, result.valid)
    _draw_second_stage(ax, lags, result)

    floor = _positive(result.noise_floor)
    shown = [
        v
        for v in (norm, floor, _positive(result.norm), _positive(result.permutation_floor))
        if v is not None
    ]
    if shown:
        top = 2.0 * max(float(np.nanmax(v)) for v in shown)
        bottom = 0.5 * min(float(np.nanmin(v)) for v in shown)
        ax.set_ylim(bottom, top)
        if floor is not None:
            ax.fill_between(lags, bottom, floor, color=_LIGHT, alpha=0.35, linewidth=0, zorder=1)
            ax.plot(lags, floor, color=_GREY, linewidth=1, linestyle=":", label="noise floor")
    shuffled = _positive(result.permutation_floor)
    if shuffled is not None:
        ax.plot(
            lags, shuffled, color=_GREEN, linewidth=1, linestyle=":",
            label="shuffled inside documents",
        )  # fmt: skip
    for values, label, colour, marker in (
        (_positive(sequential), "sequential (composition removed)", _GREEN, "s"),
        (_positive(result.norm_crossfit), "cross-fit (two halves), biased down", _ORANGE, "^"),
        (
            None if result.norm_debiased is None else _positive(result.norm),
            "plug-in, biased up",
            _GREY,
            "v",
        ),
    ):
        if values is not None:
            ax.plot(
                lags, values, color=colour, marker=marker, markersize=3.5, linewidth=0.8,
                alpha=0.9, zorder=3, label=label,
            )  # fmt: skip
    if norm is not None:
        bars = _error_bars(norm, result.norm_low, result.norm_high)
        for keep, colour, face, label in (
            (result.valid, _BLUE, _BLUE, r"$\|C(t)\|_\mathrm{op}$"),
            (~result.valid, _GREY, "white", "excluded: too near the floor"),
        ):
            if keep.any():
                ax.errorbar(
                    lags[keep],
                    norm[keep],
                    yerr=None if bars is None else bars[:, keep],
                    fmt="o",
                    color=colour,
                    markerfacecolor=face,
                    markersize=5,
                    elinewidth=1,
                    capsize=2,
                    zorder=4,
                    label=label,
                )
    ax.set_xlabel("lag $t$ (tokens)")
    ax.set_ylabel("operator norm of $C(t)$ (probability)")
    ax.set_title(f"Token correlations, boundary: {result.boundary}", fontsize=10)
    _finish(ax)
    return ax


def plot_entropies(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """Conditional entropies against context, on logarithmic axes; context 0 stands at the left.

    Parameters
    ----------
    result : EntropyResult
        What to draw.
    ax : matplotlib Axes, optional
        Where; a new figure if not given.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    ax = _new_axes(ax)
    # A logarithmic axis has no 0: the unigram stands one half-step left of context 1, and says so.
    context = np.where(result.context == 0, 0.5, result.context.astype(np.float64))
    ax.set_xscale("log")
    ax.set_yscale("log")
    held_out = _positive(result.held_out)
    limit = _positive(result.limit)
    if result.gamma.value is not None and limit is not None:
        _draw_fit(ax, context, limit, result.gamma, r"\gamma", _RED)
    elif held_out is not None:
        _draw_fit(ax, context, held_out, result.gamma_finite, r"\gamma_\mathrm{finite}", _RED)
    low, high = _positive(result.limit_low), _positive(result.limit_high)
    if low is not None and high is not None:
        ax.fill_between(
            context, low, high, color=_BLUE, alpha=0.16, linewidth=0, zorder=1,
            label="bracket of $H_n$",
        )  # fmt: skip
    for values, label, colour, style in (
        (_positive(result.plug_in), "plug-in (biased low)", _GREY, ":"),
        (_positive(result.miller_madow), "Miller-Madow", _GREEN, "--"),
        (_positive(result.chao_shen), "Chao-Shen", _PURPLE, "-."),
    ):
        if values is not None:
            ax.plot(
                context, values, color=colour, linestyle=style, linewidth=1.1, marker=".",
                markersize=3, zorder=2, label=label,
            )  # fmt: skip
    if limit is not None:
        for keep, face, label in (
            (result.resolved, _BLUE, "limit $H_n$, resolved"),
            (~result.resolved, "white", "limit, not resolved"),
        ):
            if (keep & np.isfinite(limit)).any():
                ax.plot(
                    context[keep], limit[keep], "o", color=_BLUE, markerfacecolor=face,
                    markersize=5.5, zorder=4, label=label,
                )  # fmt: skip
    if held_out is not None:
        ax.errorbar(
            context,
            held_out,
            yerr=_error_bars(held_out, result.held_out_low, result.held_out_high),
            fmt="D-",
            color=_ORANGE,
            markersize=3.5,
            linewidth=0.9,
            elinewidth=1,
            capsize=2,
            zorder=3,
            label="held-out $L_n$ (bounds from above)",
        )
    # Plug-in and bracket fall towards nothing at large n; they must not squeeze the rest.
    solid = [v for v in (held_out, limit, high) if v is not None]
    if solid:
        top = 1.15 * max(float(np.nanmax(v)) for v in solid)
        least = min(float(np.nanmin(v)) for v in solid)
        if low is not None:
            least = max(min(least, float(np.nanmin(low))), least / 2)
        ax.set_ylim(0.75 * least, top)
    ticks = [(x, f"{n}") for x, n in zip(context, result.context, strict=True)]
    _integer_ticks(ax, ticks)
    _plain_ticks(ax)
    ax.set_xlabel("context $n$ (tokens; 0 is the unigram)")
    ax.set_ylabel("conditional entropy (nats per token)")
    ax.set_title(f"Next-token entropies, boundary: {result.boundary}", fontsize=10)
    _finish(ax)
    return ax


def plot_run(run: RunResult) -> Figure:
    """Both halves of a run side by side; a half that was not computed is left out.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed, or the run has neither half.
    """
    parts = [part for part in (run.correlations, run.entropies) if part is not None]
    if not parts:
        raise NgramstatError("the run has neither correlations nor entropies: nothing to draw")
    figure, axes = new_figure(len(parts))
    for part, ax in zip(parts, axes, strict=True):
        part.plot(ax)
    return figure


def _integer_ticks(ax: Axes, ticks: list[tuple[float, str]]) -> None:
    """Name every context on the axis, thinning where the labels would touch."""
    from matplotlib.ticker import NullLocator

    kept: list[tuple[float, str]] = []
    for x, label in ticks:
        if not kept or x >= 1.18 * kept[-1][0]:
            kept.append((x, label))
    ax.set_xticks([x for x, _ in kept], [label for _, label in kept])
    ax.xaxis.set_minor_locator(NullLocator())


def _plain_ticks(ax: Axes) -> None:
    """Plain numbers on a logarithmic axis of less than two decades, where powers are too few."""
    from matplotlib.ticker import NullLocator

    low, high = ax.get_ylim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for steps in ((1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 6, 8), (1, 2, 5), (1,)):
        ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(ticks) <= 10:
            break
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.yaxis.set_minor_locator(NullLocator())


def _finish(ax: Axes) -> None:
    ax.grid(True, which="major", color="#dddddd", linewidth=0.5, zorder=0)
    ax.tick_params(labelsize=_LABEL_SIZE)
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        # Falling curves leave the lower left free.
        ax.legend(handles, labels, loc="lower left", fontsize=7.5, framealpha=0.9)
