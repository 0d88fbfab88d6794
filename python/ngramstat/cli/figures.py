"""Pictures that commands write, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["hint_at_pictures", "pictures_can_be_drawn", "save_figure"]


def pictures_can_be_drawn() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def hint_at_pictures() -> None:
    """Says how to get pictures where there were none."""
    if not pictures_can_be_drawn():
        click.echo("For pictures: pip install 'ngramstat[plot]'", err=True)


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure in the format that the name ends in; returns the path."""
    from ngramstat.runtime.files import atomic_write

    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    return path
