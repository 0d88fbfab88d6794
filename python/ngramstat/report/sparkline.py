"""Curves as one line of text each, for the terminal."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ngramstat.results import RunResult

__all__ = ["sparkline", "sparklines"]

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: ArrayLike) -> str:
    """One bar per value, scaled from the smallest to the largest; a blank for NaN."""
    x = np.asarray(values, dtype=np.float64)
    known = np.isfinite(x)
    if not known.any():
        return " " * len(x)
    low, high = float(x[known].min()), float(x[known].max())
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        _BARS[round((v - low) * scale)] if ok else " " for v, ok in zip(x, known, strict=True)
    )


def sparklines(run: RunResult) -> str:
    """Correlations and entropies at a glance; empty if nothing was measured."""
    lines = []
    if run.correlations is not None:
        norm = run.correlations.best_norm
        logs = np.log(norm, where=norm > 0, out=np.full(len(norm), np.nan))
        lags = run.correlations.lags
        lines.append(
            f"  log ||C(t)||  {sparkline(logs)}  lags {lags[0]}..{lags[-1]}, "
            f"{norm[0]:.2g} .. {norm[-1]:.2g}"
        )
    if run.entropies is not None:
        held_out = run.entropies.held_out
        entropies = run.entropies.plug_in if held_out is None else held_out
        context = run.entropies.context
        lines.append(
            f"  H(n)          {sparkline(entropies)}  contexts {context[0]}..{context[-1]}, "
            f"{entropies[0]:.2f} .. {entropies[-1]:.2f} nats"
        )
    return "\n".join(lines) + "\n\n" if lines else ""
