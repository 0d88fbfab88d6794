"""Simulations of the solvable model against its planar formula.

    python benchmarks/solvable_model.py

Losses on a grid of sizes, exponents, and the peak and the plateau of the loss against samples.
Takes a few minutes. Writes benchmarks/results/solvable_model.json and solvable-model.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.theories.solvable import (
    SolvableModel,
    best_ridge,
    finite_size_factor,
    planar_loss,
    simulate,
    spectrum,
)

HERE = Path(__file__).resolve().parent
# alpha, N, T, ridge: the grid of docs/theory.md 7, 1000 latents.
GRID = [
    (0.5, 50, 200, 0.0), (0.5, 200, 50, 0.0), (0.5, 100, 400, 0.0), (0.5, 100, 120, 0.0),
    (1.0, 50, 200, 0.0), (1.0, 100, 400, 0.0), (1.0, 100, 120, 0.0), (1.0, 100, 100, 1e-2),
    (1.0, 100, 100, 1e-3), (1.0, 50, 200, 1e-2), (0.5, 50, 200, 1e-2),
]  # fmt: skip
LATENTS = 1000
ALPHAS = (0.3, 0.7, 1.0)
SIZES = (8, 16, 32, 64)
MANY = 400_000


def grid() -> list[dict[str, Any]]:
    rows = []
    for alpha, features, samples, ridge in GRID:
        model = SolvableModel(spectrum(alpha, LATENTS), features, samples, ridge)
        simulated, error = simulate(model, draws=60, teachers=64, seed=5)
        planar = planar_loss(model)
        corrected = planar * (finite_size_factor(features, samples) if ridge == 0 else 1.0)
        rows.append({
            "alpha": alpha, "features": features, "samples": samples, "ridge": ridge,
            "simulated": LATENTS * simulated, "error": LATENTS * error, "planar": LATENTS * planar,
            "ratio": simulated / planar, "ratio_with_finite_sizes": simulated / corrected,
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def exponents() -> list[dict[str, Any]]:
    rows = []
    for alpha in ALPHAS:
        lam = spectrum(alpha, MANY)
        for which in ("data", "parameters"):
            losses = []
            for n in SIZES:
                shape = (4 * n, n) if which == "data" else (n, 4 * n)
                model = SolvableModel(lam, *shape)
                losses.append(simulate(model, draws=5, teachers=64, seed=n)[0])
            x = np.log(np.array(SIZES) + 0.5)
            slope = float(-np.polyfit(x, np.log(losses), 1)[0])
            rows.append({"alpha": alpha, "exponent": which, "sizes": SIZES, "losses": losses,
                         "slope": slope, "off": slope - alpha})  # fmt: skip
            print({k: v for k, v in rows[-1].items() if k != "losses"}, flush=True)
    return rows


def curve() -> dict[str, Any]:
    """Loss against samples at 50 features and 300 latents: a peak at 50 samples, then a plateau."""
    lam = spectrum(1.0, 300)
    samples = [10, 20, 30, 40, 45, 48, 50, 52, 55, 60, 80, 120, 200, 400, 1000, 4000]
    simulations = [
        simulate(SolvableModel(lam, 50, t), draws=60, teachers=16, seed=t) for t in samples
    ]
    dense = np.unique(np.geomspace(8, 4000, 200).astype(int))
    planar = [300 * planar_loss(SolvableModel(lam, 50, int(t))) for t in dense]
    best = [300 * best_ridge(SolvableModel(lam, 50, int(t)))[1] for t in samples]
    return {
        "samples": samples, "simulated": [300 * loss for loss, _ in simulations],
        "error": [300 * error for _, error in simulations], "dense": dense.tolist(),
        "planar": [p if np.isfinite(p) else None for p in planar], "best_ridge": best,
    }  # fmt: skip


def draw(rows: list[dict[str, Any]], one: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    planar = [np.nan if p is None else p for p in one["planar"]]
    left.loglog(one["dense"], planar, label="planar formula, no ridge")
    left.errorbar(one["samples"], one["simulated"], one["error"], fmt="o", ms=4, color="k",
                  label="simulation")  # fmt: skip
    left.loglog(one["samples"], one["best_ridge"], "--", label="planar, best ridge")
    left.axvline(50, color="0.7", lw=1)
    left.set_xlabel("samples T (N = 50 features, 300 latents, alpha = 1)")
    left.set_ylabel("300 E")
    left.legend(fontsize=8)
    for row in rows:
        style = "o-" if row["exponent"] == "data" else "s--"
        label = f"alpha {row['alpha']}, {row['exponent']}: {row['slope']:.3f}"
        losses = np.array(row["losses"]) / row["losses"][0]
        right.loglog(row["sizes"], losses, style, ms=4, label=label)
    right.set_xlabel("samples or features, four times as many of the other")
    right.set_ylabel("loss, relative to the first")
    right.legend(fontsize=8)
    figure.savefig(HERE / "solvable-model.png", dpi=110)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    result = {"grid": grid(), "exponents": exponents(), "curve": curve()}
    path = HERE / "results" / "solvable_model.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    draw(result["exponents"], result["curve"])


if __name__ == "__main__":
    main()
