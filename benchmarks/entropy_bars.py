"""Entropies of a finished run: gain of the mixture, limits, and predictions of learning curves.

    python benchmarks/entropy_bars.py RUN [--output FILE] [--picture docs/learning.png]

Gains are reductions of perplexity relative to Kneser-Ney, with standard errors over held-out
documents. Limits and predictions use the training sizes up to 26 M tokens (or up to a quarter of
the largest size, if that is more), and are compared with the limits from all sizes and with the
loss measured at the largest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import ngramstat
from ngramstat.entropy.kneser_ney import HeldOutLosses
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.ngram_models.mixture import MixtureLosses
from ngramstat.report.learning import plot_learning
from ngramstat.results import RunResult
from ngramstat.runtime.files import read_arrays
from ngramstat.stages.codec import from_arrays

Value = TypeVar("Value")

_SMALL_SIZES = 26e6


def _part(run: Path, kind: str, value: type[Value]) -> Value:
    (path,) = (run / "parts").glob(f"{kind}-*.npz")
    return from_arrays(value, read_arrays(path))


def gains(run: Path) -> list[dict[str, Any]]:
    """Fraction by which the perplexity of the mixture is below that of Kneser-Ney, by context."""
    held_out = _part(run, "held-out", HeldOutLosses)
    mixture = _part(run, "mixture", MixtureLosses)
    tokens = held_out.tokens
    rows = []
    for n in range(1, held_out.losses.shape[1]):
        saved = held_out.losses[:, n] - mixture.losses[:, n - 1]
        mean = saved.sum() / tokens.sum()
        documents = len(tokens)
        spread = saved - mean * tokens
        error = np.sqrt(documents / (documents - 1) * (spread**2).sum()) / tokens.sum()
        rows.append(
            {
                "context": n,
                "kneser_ney": float(held_out.losses[:, n].sum() / tokens.sum()),
                "mixture": float(mixture.losses[:, n - 1].sum() / tokens.sum()),
                "gain": float(1 - np.exp(-mean)),
                "gain_error": float(np.exp(-mean) * error),
            }
        )
    return rows


def predictions(run: Path) -> list[dict[str, Any]]:
    """Limits from small sizes and from all sizes, and the predicted and measured last loss."""
    entropies = RunResult.load(run / "run.json").entropies
    assert entropies is not None
    curve = entropies.learning_curve
    assert curve is not None
    assert curve.error is not None
    assert entropies.held_out_low is not None
    assert entropies.held_out_high is not None
    is_small = curve.tokens <= max(_SMALL_SIZES, curve.tokens[-1] / 4)
    common = (entropies.held_out_high - entropies.held_out_low) / 4
    rows = []
    for n in range(1, curve.held_out.shape[1]):

        def fit(sizes: Any, column: int = n) -> LimitFit:
            return learning_limit(
                curve.tokens[sizes],
                curve.held_out[sizes, column],
                curve.error[sizes, column],
                common_error=float(common[column]),
            )

        small, full = fit(is_small), fit(np.ones(len(is_small), bool))
        predicted = small.at(float(curve.tokens[-1]))
        measured = float(curve.held_out[-1, n])
        rows.append(
            {
                "context": n,
                "largest_small_size": int(curve.tokens[is_small][-1]),
                "small": [small.limit, small.low, small.high, small.identifiable],
                "whole": [full.limit, full.low, full.high, full.identifiable],
                "small_covers_whole": bool(
                    small.low is not None
                    and small.high is not None
                    and full.limit is not None
                    and small.low <= full.limit <= small.high
                ),
                "predicted": None if predicted is None else predicted[0],
                "measured": measured,
                "off": None if predicted is None else predicted[0] / measured - 1,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "entropy_bars.json"
    )
    parser.add_argument("--picture", type=Path, help="file for a figure of the learning curves")
    arguments = parser.parse_args()
    run = RunResult.load(arguments.run / "run.json")
    table = {
        "version": ngramstat.__version__,
        "provenance": dict(run.provenance),
        "tokens": run.corpus["tokens"],
        "gains": gains(arguments.run),
        "predictions": predictions(arguments.run),
    }
    print(json.dumps(table, indent=2))
    if arguments.picture is not None and run.entropies is not None:
        axes = plot_learning(run.entropies)
        axes.figure.savefig(arguments.picture, dpi=130)
    arguments.output.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
