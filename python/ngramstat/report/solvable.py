"""The solvable model as text and as a figure."""

from __future__ import annotations

import numpy as np

from ngramstat.report.chart import (
    Axis,
    Chart,
    Curve,
    Mark,
    Panel,
    Rule,
    Window,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.text import wrap
from ngramstat.results.solvable import MapResult, SolvableResult

__all__ = ["ALL_LEARNED", "BEST_RATIO", "FOLLOWS", "solvable_chart", "summarize_solvable"]

# Within this distance a simulated spectrum follows the planar one, and within this factor of 1 the
# best budget has as many features as samples.
FOLLOWS, BEST_RATIO = 0.05, 1.3
# Losses below this, in units of the labels' variance, are rounding.
ALL_LEARNED = 1e-9
_NAMES = {"linear": "linear", "relu": "ReLU", "tanh": "tanh"}


def summarize_solvable(result: SolvableResult) -> str:
    """The results as plain text."""
    latents, features = result.settings["latents"], result.settings["features"]
    lines = ["SOLVABLE MODEL  ridge regression on N random features of M latents, from T samples"]
    lines += wrap(
        f"{latents} latents, of {result.settings['source']}; their variances fall with the rank as "
        f"I^-{result.decay:.2f} at the end, and a random direction is spread over "
        f"{result.effective_dimension:.1f} of them.",
        indent=2,
    )
    for one in result.maps:
        lines.append("")
        lines.append(f"{_NAMES[one.feature_map]} features")
        lines += wrap(_spectrum_words(one, latents, features), indent=2)
        lines += wrap(_loss_words(one), indent=2)
        lines += wrap(_split_words(one), indent=2)
    return "\n".join(lines) + "\n"


def _spectrum_words(one: MapResult, latents: int, features: int) -> str:
    if one.off is None or one.slope is None:
        return (
            f"spectrum: {latents} eigenvalues of {features} features, and none beyond: the power "
            "law of the latents ends with them"
        )
    verdict = "follows" if one.off <= FOLLOWS else "does not follow"
    beyond = one.spectrum.rank >= 1.1 * latents
    beyond &= one.spectrum.rank <= features / 2
    ratios = one.spectrum.simulated[beyond] / one.spectrum.extended[beyond]
    return (
        f"spectrum: from rank {int(one.spectrum.rank[beyond][0])} to "
        f"{int(one.spectrum.rank[beyond][-1])} of {features} it {verdict} planar theory "
        f"(at most {100 * one.off:.1f} % off) and falls as k^-{one.slope:.2f}; it is "
        f"{ratios.min():.2g} to {ratios.max():.2g} of the latents' power law, continued"
    )


def _loss_words(one: MapResult) -> str:
    known = np.isfinite(one.losses.planar)
    ratio = one.losses.simulated[known] / one.losses.planar[known]
    peak = int(np.argmax(one.losses.simulated / one.losses.best_ridge))
    slopes = -np.diff(np.log(np.maximum(one.growth, 1e-30))) / np.diff(np.log(one.sizes))
    learned = one.growth[1:] < ALL_LEARNED
    shown = ", ".join(
        "all learned" if done else f"{slope:.2f}"
        for slope, done in zip(slopes, learned, strict=True)
    )
    return (
        f"loss without ridge at {one.losses.features} features: {ratio.min():.2f} to "
        f"{ratio.max():.2f} times planar theory; the best ridge divides it by up to "
        f"{one.losses.simulated[peak] / one.losses.best_ridge[peak]:.1f}, at "
        f"{one.losses.samples[peak]} samples. Exponents of the loss with the best ridge at N = T, "
        f"between {', '.join(map(str, one.sizes))}: {shown}"
    )


def _split_words(one: MapResult) -> str:
    if not one.splits:
        return "best split of a budget: not computed, as the sizes are too small"
    shown = ", ".join(
        f"{split.ratio:.2f} ({split.simulated_ratio:.2f}) at N T = {split.budget:.0f}"
        for split in one.splits
    )
    ratios = [x for split in one.splits for x in (split.ratio, split.simulated_ratio)]
    near = all(1 / BEST_RATIO <= ratio <= BEST_RATIO for ratio in ratios)
    verdict = "as many features as samples" if near else "not as many features as samples"
    return (
        "best split of a budget with the best ridge, by planar theory (by simulation): "
        f"N / T = {shown}: {verdict}"
    )


def solvable_chart(result: SolvableResult) -> Chart:
    """Spectra, losses against samples, losses at N = T, and the best splits."""
    latents = int(result.settings["latents"])
    spectra: list[Mark] = [Rule(at=latents, colour="grey", name="number of latents")]
    losses: list[Mark] = []
    growth: list[Mark] = [Rule(at=latents, colour="grey", name="number of latents")]
    splits: list[Mark] = [
        Window(low=1 / BEST_RATIO, high=BEST_RATIO, horizontal=True),
        Rule(at=1.0, horizontal=True, colour="grey", stroke="solid"),
    ]
    for k, one in enumerate(result.maps):
        name, colour, marker = _NAMES[one.feature_map], curve_colour(k), curve_marker(k)
        ranks = one.spectrum.rank.astype(np.float64)
        spectra += [
            Curve(name=f"{name}, planar theory", colour=colour, marker="", x=ranks,
                  y=one.spectrum.planar),
            Curve(name=f"{name}, simulated", colour=colour, marker=marker, stroke="", x=ranks,
                  y=one.spectrum.simulated),
            Curve(name=f"{name}, power law continued", colour=colour, marker="", stroke="dotted",
                  x=ranks[ranks >= latents / 2], y=one.spectrum.extended[ranks >= latents / 2]),
        ]  # fmt: skip
        each = one.losses
        samples = each.samples / each.features
        losses += [
            Curve(name=f"{name}, planar theory", colour=colour, marker="", x=samples,
                  y=each.planar),
            Curve(name=f"{name}, simulated", colour=colour, marker=marker, stroke="", x=samples,
                  y=each.simulated, low=each.simulated - 2 * each.error,
                  high=each.simulated + 2 * each.error),
            Curve(name=f"{name}, best ridge", colour=colour, marker="", stroke="dashed", x=samples,
                  y=each.best_ridge),
        ]  # fmt: skip
        left = one.growth > ALL_LEARNED
        growth.append(
            Curve(name=f"{name}, best ridge", colour=colour, marker=marker, stroke="dashed",
                  x=one.sizes[left].astype(np.float64), y=one.growth[left])
        )  # fmt: skip
        budgets = floats([split.budget for split in one.splits])
        splits.append(
            Curve(name=f"{name}, planar theory", colour=colour, marker="", x=budgets,
                  y=floats([split.ratio for split in one.splits]))
        )  # fmt: skip
        splits.append(
            Curve(name=f"{name}, simulated", colour=colour, marker=marker, stroke="",
                  x=budgets,
                  y=floats([split.simulated_ratio for split in one.splits]))
        )  # fmt: skip
    return Chart(
        title="The solvable model",
        description="Eigenvalues of the covariance of features; test losses against samples, at "
        "N = T, and the best split of a budget N T.",
        notes=("Losses are in units of the variance of the labels.",),
        panels=(
            Panel(title="Spectrum of the features", x=Axis(label="rank"), marks=spectra,
                  y=Axis(label="eigenvalue / N")),
            Panel(title="Loss against samples", x=Axis(label="T / N, samples by features"),
                  y=Axis(label="test loss"), marks=losses),
            Panel(title="Loss at N = T", x=Axis(label="N = T"), y=Axis(label="test loss"),
                  marks=growth),
            Panel(title="Best split of a budget", x=Axis(label="budget N T"),
                  y=Axis(label="best N / T", limits=(0.5, 2.0)), marks=splits),
        ),
    )  # fmt: skip
