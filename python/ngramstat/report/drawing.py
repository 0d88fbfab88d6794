"""Draws any result that has a figure: one door to the plot functions of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngramstat.errors import InputError
from ngramstat.report.figures import plot_correlations, plot_entropies, plot_run
from ngramstat.report.horizon import plot_horizon
from ngramstat.report.theories import plot_theories
from ngramstat.report.validation import plot_validation
from ngramstat.results import (
    CorrelationResult,
    EntropyResult,
    Prediction,
    Result,
    RunResult,
    TheoriesResult,
    ValidationResult,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]


def plot(result: Result, ax: Axes | None = None) -> Axes | Figure:
    """Draw a result with matplotlib (extra ``plot``).

    Parameters
    ----------
    result : CorrelationResult, EntropyResult, TheoriesResult, Prediction, RunResult or \
ValidationResult
    ax : matplotlib Axes, optional
        Where to draw one of the first three; by default in a new figure. The other results make a
        figure of their own.

    Returns
    -------
    matplotlib Axes or Figure
        Axes for the first three, a Figure for the others.

    Raises
    ------
    InputError
        The result has no figure, has nothing to draw, or makes a figure of its own and `ax` was
        given.
    NgramstatError
        matplotlib is not installed.
    """
    match result:
        case CorrelationResult():
            return plot_correlations(result, ax)
        case EntropyResult():
            return plot_entropies(result, ax)
        case TheoriesResult():
            return plot_theories(result, ax)
    if ax is not None:
        raise InputError(f"ax: a {type(result).__name__} makes a figure of its own; leave it out")
    match result:
        case Prediction():
            return plot_horizon(result)
        case RunResult():
            return plot_run(result)
        case ValidationResult():
            return plot_validation(result)
    raise InputError(f"result: a {type(result).__name__} has no figure")
