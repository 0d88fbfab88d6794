"""Our models' losses and slopes on TinyStories beside the paper's: a figure and a table.

    python benchmarks/validation/against_paper.py

Reads text/validation.json, paper_losses.json and ../paper_values.json; writes
text/against-paper.png and text/against-paper.md. Tokenizers differ, so slopes are compared, over
the same numbers of training tokens.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.results import LearnerSlopes, ValidationResult

HERE = Path(__file__).resolve().parent
NAMES = {"gpt2": "learned positions", "gpt2-rotary": "rotary positions"}
COLOURS = {"gpt2": "tab:blue", "gpt2-rotary": "tab:red"}
# Ranges of training tokens that slopes are compared over.
RANGES = ((1 << 18, 1 << 21), (1 << 18, 1 << 20), (1 << 16, 1 << 20))


def raw_slope(tokens: list[float], losses: list[float], low: float, high: float) -> float | None:
    """Minus the log-log slope over a range of tokens; None unless it begins and ends there."""
    # Whole documents bring our numbers of tokens slightly above.
    p, y = np.array(tokens), np.array(losses)
    inside = (p > 0.98 * low) & (p < 1.02 * high)
    if inside.sum() < 2 or p[inside][0] > 1.02 * low or p[inside][-1] < 0.98 * high:
        return None
    return -float(np.polyfit(np.log(p[inside]), np.log(y[inside]), 1)[0])


def curves(result: ValidationResult, theirs: dict[str, Any]) -> list[tuple[str, list, list]]:
    """(name, tokens, losses) of our learners and of theirs."""
    ours = [
        (
            f"ours, {NAMES[s.model]}, T = {s.context}",
            [x.tokens for x in s.sizes],
            [x.loss for x in s.sizes],
        )
        for s in result.slopes
    ]
    return ours + [
        (f"the paper, {c['name']}", [float(p) for p in c["tokens"]], c["loss"])
        for c in theirs["curves"]
    ]


def table(result: ValidationResult, theirs: dict[str, Any], values: dict[str, Any]) -> str:
    """The slopes in Markdown."""
    heads = [f"2^{low.bit_length() - 1} to 2^{high.bit_length() - 1}" for low, high in RANGES]
    lines = ["Raw slopes of the mean losses, −d ln L / d ln P, over the same training tokens:", ""]
    lines += ["| models | " + " | ".join(heads) + " |", "|---|" + "---|" * len(RANGES)]
    for name, tokens, losses in curves(result, theirs):
        slopes = [raw_slope(tokens, losses, low, high) for low, high in RANGES]
        lines.append(f"| {name} | " + " | ".join("–" if s is None else f"{s:.3f}" for s in slopes))
        lines[-1] += " |"
    lines += [
        "",
        "γ, the raw slope of L_n(P) over n = 1 … 15, and γ/(2β), with their intervals:",
        "",
    ]
    lines += ["| models | P | loss | local slope | γ | γ/(2β) |", "|---|---|---|---|---|---|"]
    for learner in result.slopes:
        for size in learner.sizes:
            local = "–" if size.local is None else f"{size.local:.3f}"
            lines.append(
                f"| ours, {NAMES[learner.model]}, T = {learner.context} | {size.tokens:,.0f} | "
                f"{size.loss:.3f} | {local} | {interval(size.gamma)} | {interval(size.predicted)} |"
            )
    beta = values["beta"]["value"]
    for row in values["gamma"]:
        if row["corpus"] == "TinyStories":
            lines.append(
                f"| the paper, learned positions, T = 128 | {row['tokens']:,} | – | – | "
                f"{row['value']:.3f} ± {row['error']:.3f} | {row['value'] / (2 * beta):.3f} |"
            )
    return "\n".join(lines) + "\n"


def interval(exponent: Any) -> str:
    if exponent.value is None:
        return "–"
    if exponent.low is None:
        return f"{exponent.value:.3f}"
    return f"{exponent.value:.3f} [{exponent.low:.3f}, {exponent.high:.3f}]"


def draw(result: ValidationResult, theirs: dict[str, Any], values: dict[str, Any]) -> None:
    """Losses against training tokens, and gamma against training tokens."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
    for learner in result.slopes:
        draw_ours(left, right, learner)
    for curve, colour in zip(theirs["curves"], ("tab:blue", "tab:red"), strict=True):
        left.plot(
            curve["tokens"], curve["loss"], color=colour, marker="s", markerfacecolor="white",
            linestyle="--", label=f"the paper, 98 M parameters, {curve['name']}",
        )  # fmt: skip
    left.set(
        xscale="log", yscale="log", xlabel="training tokens P",
        ylabel="held-out loss, mean over all positions (nats per token)",
        title="Losses: parallel lines fall alike\n(tokenizers differ, so heights do not compare)",
    )  # fmt: skip
    left.yaxis.set_major_formatter(ScalarFormatter())
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_yticks([1.2, 1.5, 2, 2.5, 3, 3.5, 4])
    rows = [row for row in values["gamma"] if row["corpus"] == "TinyStories"]
    right.errorbar(
        [row["tokens"] for row in rows], [row["value"] for row in rows],
        yerr=[2 * row["error"] for row in rows], color="tab:blue", marker="s",
        markerfacecolor="white", linestyle="none", capsize=3,
        label="the paper, learned positions",
    )  # fmt: skip
    right.set(
        xscale="log", xlabel="training tokens P", ylim=(0, 0.4),
        ylabel="γ: slope of the losses by context, n = 1 to 15",
        title="γ grows with P: our models are on the way to the paper's\n"
        "(bars: errors of the losses and other windows of n)",
    )  # fmt: skip
    for axes in (left, right):
        axes.grid(color="0.9")
        axes.legend(fontsize=8)
    figure.savefig(HERE / "text" / "against-paper.png", dpi=110)


def draw_ours(left: Any, right: Any, learner: LearnerSlopes) -> None:
    name = f"ours, {NAMES[learner.model]}, T = {learner.context}"
    colour = COLOURS[learner.model]
    tokens = [size.tokens for size in learner.sizes]
    left.plot(
        tokens, [size.loss for size in learner.sizes], color=colour, marker="o", label=name
    )  # fmt: skip
    gammas = np.array([size.gamma.value for size in learner.sizes])
    low = np.array([size.gamma.low for size in learner.sizes])
    high = np.array([size.gamma.high for size in learner.sizes])
    right.errorbar(
        tokens, gammas, yerr=[gammas - low, high - gammas], color=colour, marker="o", capsize=3,
        label=name,
    )  # fmt: skip


def main() -> None:
    result = ValidationResult.load(HERE / "text" / "validation.json")
    theirs = json.loads((HERE / "paper_losses.json").read_text(encoding="utf-8"))
    values = json.loads((HERE.parent / "paper_values.json").read_text(encoding="utf-8"))
    (HERE / "text" / "against-paper.md").write_text(table(result, theirs, values), "utf-8")
    draw(result, theirs, values)


if __name__ == "__main__":
    main()
