"""Figures that commands write if matplotlib is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figures_can_be_drawn", "hint_at_figures", "save_figure"]


def figures_can_be_drawn() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def hint_at_figures() -> None:
    """Print how to get figures if matplotlib is not installed."""
    if not figures_can_be_drawn():
        click.echo("For figures: pip install 'ngramstat[plot]'", err=True)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure in the format of the path's suffix; returns the path."""
    from ngramstat.runtime.files import atomic_write

    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    return path
