"""Results for people: terminal text, figures and HTML pages."""

from __future__ import annotations

from ngramstat.report.drawing import plot
from ngramstat.report.figures import plot_correlations, plot_entropies, plot_run
from ngramstat.report.summary import summarize

__all__ = ["plot", "plot_correlations", "plot_entropies", "plot_run", "summarize"]
