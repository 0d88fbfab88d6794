"""What `measure` says of these sources: exponents that must be refused, and the measured slope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ngramstat
from benchmarks.graphs.cases import Case

__all__ = ["EXPONENTS", "measure_draw"]

EXPONENTS = ("beta", "beta_sequential", "gamma", "alpha")
_TOKENS = 200_000
_LAGS = (1, 2, 3, 4, 6, 8, 12)


def measure_draw(case: Case, text: Path | None, draw: int) -> dict[str, Any]:
    """One draw of the source and of its tokens, measured: which exponents are reported."""
    corpus = case.world(text, draw).corpus(_TOKENS, seed=5000 + draw)
    run = ngramstat.measure(
        corpus, lags=_LAGS, max_context=5, boundary="document", predictor="kneser-ney",
        replicates=199, seed=draw, threads=1, progress=False,
    )  # fmt: skip
    assert run.correlations is not None
    assert run.entropies is not None
    assert run.prediction is not None
    exponents = {
        "beta": run.correlations.beta,
        "beta_sequential": run.correlations.beta_sequential,
        "gamma": run.entropies.gamma,
        "alpha": run.prediction.alpha,
    }
    shown = [
        {
            "rung": rung.rung, "value": rung.shown, "low": rung.shown_low,
            "high": rung.shown_high, "tokens": rung.shown_tokens,
            "reportable": rung.shown_reportable,
        }
        for rung in run.answer.rungs if rung.shown is not None
    ] if run.answer is not None else []  # fmt: skip
    return {
        "draw": draw,
        "reported": {name: e.reportable for name, e in exponents.items()},
        "value": {name: e.value for name, e in exponents.items()},
        "reason": {name: e.reason for name, e in exponents.items()},
        "shown": shown,
    }
