"""Figures of the calibration: bias against signal over noise, coverage, exponents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.calibration.tables import tokens_label

__all__ = ["draw_figures"]

Summaries = list[dict[str, Any]]
# Draws that a coverage is shown from; at 40 its standard error is 3 per cent.
_MIN_DRAWS = 40
# Marker, colour, and vertical shift of each kind of coverage.
_COVERAGE_STYLE = {
    "norm": ("o", "C1", 0.2),
    "H(n)": ("s", "C3", 0.0),
    "beta": ("D", "C2", -0.2),
    "gamma": ("^", "C4", -0.3),
}


def draw_figures(summaries: Summaries, directory: Path) -> None:
    """Write the three figures into a directory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with_norms = sorted(
        {s["case"] for s in summaries if any(r["exact"] for r in s.get("norms", []))}
    )
    others = sorted({s["case"] for s in summaries} - set(with_norms))
    colours = {name: plt.get_cmap("tab20")(k % 20) for k, name in enumerate([*with_norms, *others])}
    _draw_bias(summaries, {name: colours[name] for name in with_norms}, directory)
    _draw_coverage(summaries, directory)
    _draw_exponents(summaries, colours, directory)


def _draw_bias(summaries: Summaries, colours: dict[str, Any], directory: Path) -> None:
    """Bias of three norms against the exact norm over the noise floor."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(15, 4.6), sharey=True, layout="constrained")
    kinds = (
        ("norm", "plug-in"), ("norm_crossfit", "cross-fitted"), ("norm_debiased", "debiased"),
    )  # fmt: skip
    for ax, (name, title) in zip(axes, kinds, strict=True):
        for s in summaries:
            if s["case"] not in colours:
                continue
            # A norm far below the noise floor cannot be estimated.
            rows = [
                r for r in s.get("norms", []) if r["exact"] and r[name]["bias"] is not None
                and s["draws"] >= 10 and r["exact_over_floor"] > 0.5
            ]  # fmt: skip
            ax.errorbar(
                [r["exact_over_floor"] for r in rows], [100 * r[name]["bias"] for r in rows],
                [200 * r[name]["bias_error"] for r in rows], fmt=".", lw=0.6, ms=4,
                color=colours[s["case"]], alpha=0.8,
            )  # fmt: skip
        ax.axhline(0, color="black", lw=0.8)
        ax.axvline(1.5, color="grey", ls="--", lw=0.8)
        ax.set(xscale="log", xlim=(0.5, None), ylim=(-60, 110), title=title,
               xlabel="exact norm / noise floor")  # fmt: skip
    axes[0].set_ylabel("bias of the norm, % (bars: 2 standard errors)")
    handles = [plt.Line2D([], [], color=colours[n], marker=".", label=n) for n in colours]
    fig.legend(handles=handles, loc="outside right", fontsize=7)
    fig.savefig(directory / "calibration-norms.png", dpi=110)
    plt.close(fig)


def _draw_coverage(summaries: Summaries, directory: Path) -> None:
    """Coverage of nominal 95 % intervals, one line for each case and size."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(10, 6.5), layout="constrained")
    labels: list[str] = []
    for s in summaries:
        points: list[tuple[str, float, int]] = []
        for kind, section in (("norm", "norms"), ("H(n)", "entropies")):
            points += [
                (kind, row["coverage"], row["covered_draws"])
                for row in s.get(section, [])
                if row["coverage"] is not None
                and row["covered_draws"] >= _MIN_DRAWS
                and row["exact"]
            ]
        for name in ("beta", "gamma"):
            e = s.get(name)
            if e and e["coverage"] is not None and e["covered_draws"] >= _MIN_DRAWS:
                points.append((name, e["coverage"], e["covered_draws"]))
        if not points:
            continue
        y = len(labels)
        labels.append(f"{s['case']}, {tokens_label(s['tokens'])}")
        for kind, (marker, colour, shift) in _COVERAGE_STYLE.items():
            xs = [100 * c for k, c, _ in points if k == kind]
            ax.plot(xs, [y + shift] * len(xs), marker, ms=4, color=colour,
                    label=kind if y == 0 else None, alpha=0.8)  # fmt: skip
    ax.axvspan(90, 99, color="green", alpha=0.12)
    ax.axvline(95, color="green", lw=0.8)
    ax.set(yticks=range(len(labels)), yticklabels=labels, xlim=(70, 101),
           xlabel="coverage of nominal 95 % intervals, % (band: 90 to 99)")  # fmt: skip
    handles = [
        plt.Line2D([], [], marker=marker, ls="", label=kind, color=colour)
        for kind, (marker, colour, _) in _COVERAGE_STYLE.items()
    ]
    ax.legend(handles=handles, loc="lower left")
    fig.savefig(directory / "calibration-coverage.png", dpi=110)
    plt.close(fig)


def _draw_exponents(summaries: Summaries, colours: dict[str, Any], directory: Path) -> None:
    """Mean error of beta and gamma, and their rms error, against the number of tokens."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for ax, name in zip(axes, ("beta", "gamma"), strict=True):
        shown = [s for s in summaries if s.get(name) and s[name]["mean_error_to_truth"] is not None]
        for k, s in enumerate(shown):
            e = s[name]
            x = s["tokens"] * 1.25 ** (k % 5 - 2)  # so that bars do not hide each other
            ax.errorbar(
                x, e["mean_error_to_truth"], e["rmse_to_target"], fmt="o", ms=4,
                color=colours[s["case"]], capsize=3,
            )  # fmt: skip
            ax.annotate(s["case"], (x, e["mean_error_to_truth"]), fontsize=6,
                        xytext=(4, 3), textcoords="offset points")  # fmt: skip
        ax.axhline(0, color="black", lw=0.8)
        bound = 0.03 if name == "beta" else 0.05
        ax.axhspan(-bound, bound, color="green", alpha=0.12)
        ax.set(xscale="log", xlabel="tokens (moved aside where points would meet)",
               ylabel=f"mean error of {name} (bars: rms error to its target)",
               title=f"{name}, reportable draws; band: {bound}")  # fmt: skip
    fig.savefig(directory / "calibration-exponents.png", dpi=110)
    plt.close(fig)
