"""Results for people: terminal text and figures."""

from __future__ import annotations

from ngramstat.report.figures import plot_correlations, plot_entropies, plot_run
from ngramstat.report.summary import summarize

__all__ = ["plot_correlations", "plot_entropies", "plot_run", "summarize"]
