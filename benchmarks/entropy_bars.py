"""Bars of the entropies on a finished run: the mixture's gain, limits and predictions of curves.

    python benchmarks/entropy_bars.py RUN [--output FILE] [--picture docs/learning.png]

Gains are of perplexity against Kneser-Ney, with standard errors over held-out documents. Limits and
predictions are made from the sizes of at most 26 M tokens (or a quarter of the largest) and set
beside what all sizes give and what was measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import ngramstat
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.report.learning import plot_learning
from ngramstat.results import RunResult

_ENOUGH = 26e6


def _part(run: Path, kind: str) -> dict[str, np.ndarray]:
    (path,) = (run / "parts").glob(f"{kind}-*.npz")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def gains(run: Path) -> list[dict[str, Any]]:
    """Share by which the mixture's perplexity is below Kneser-Ney's, by context."""
    held_out, mixture = _part(run, "held-out"), _part(run, "mixture")
    tokens = held_out["tokens"]
    rows = []
    for n in range(1, held_out["losses"].shape[1]):
        saved = held_out["losses"][:, n] - mixture["losses"][:, n - 1]
        mean = saved.sum() / tokens.sum()
        documents = len(tokens)
        spread = saved - mean * tokens
        error = np.sqrt(documents / (documents - 1) * (spread**2).sum()) / tokens.sum()
        rows.append(
            {
                "context": n,
                "kneser_ney": float(held_out["losses"][:, n].sum() / tokens.sum()),
                "mixture": float(mixture["losses"][:, n - 1].sum() / tokens.sum()),
                "gain": float(1 - np.exp(-mean)),
                "gain_error": float(np.exp(-mean) * error),
            }
        )
    return rows


def predictions(run: Path) -> list[dict[str, Any]]:
    """Limits from small sizes beside those from all, and the largest size predicted."""
    entropies = RunResult.load(run / "run.json").entropies
    assert entropies is not None
    curve = entropies.learning_curve
    assert curve is not None
    assert curve.error is not None
    assert entropies.held_out_low is not None
    assert entropies.held_out_high is not None
    few = curve.tokens <= max(_ENOUGH, curve.tokens[-1] / 4)
    common = (entropies.held_out_high - entropies.held_out_low) / 4
    rows = []
    for n in range(1, curve.held_out.shape[1]):

        def fit(kept: Any, column: int = n) -> LimitFit:
            return learning_limit(
                curve.tokens[kept],
                curve.held_out[kept, column],
                curve.error[kept, column],
                common_error=float(common[column]),
            )

        small, whole = fit(few), fit(np.ones(len(few), bool))
        at = small.at(float(curve.tokens[-1]))
        measured = float(curve.held_out[-1, n])
        rows.append(
            {
                "context": n,
                "largest_small_size": int(curve.tokens[few][-1]),
                "small": [small.limit, small.low, small.high, small.identifiable],
                "whole": [whole.limit, whole.low, whole.high, whole.identifiable],
                "small_covers_whole": bool(
                    small.low is not None
                    and small.high is not None
                    and whole.limit is not None
                    and small.low <= whole.limit <= small.high
                ),
                "predicted": None if at is None else at[0],
                "measured": measured,
                "off": None if at is None else at[0] / measured - 1,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "entropy_bars.json"
    )
    parser.add_argument("--picture", type=Path, help="Learning curves, drawn.")
    arguments = parser.parse_args()
    run = RunResult.load(arguments.run / "run.json")
    found = {
        "version": ngramstat.__version__,
        "provenance": dict(run.provenance),
        "tokens": run.corpus["tokens"],
        "gains": gains(arguments.run),
        "predictions": predictions(arguments.run),
    }
    print(json.dumps(found, indent=2))
    if arguments.picture is not None and run.entropies is not None:
        axes = plot_learning(run.entropies)
        axes.figure.savefig(arguments.picture, dpi=130)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
