"""Figures as inline SVG: themed by the page's style sheet, with unique ids."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

# Colours that are replaced by those of the page's theme. No figure uses the first two for data.
_INK, _PAPER = "#010203", "#fdfefc"
_THEMED = {
    _INK: "var(--ink)",
    "#000000": "var(--ink)",
    _PAPER: "var(--paper)",
    "#ffffff": "var(--paper)",
    "#dddddd": "var(--rule)",
    "#b8b8b8": "var(--faint)",
    "#f7f3e6": "var(--window)",
    "#0072b2": "var(--blue)",
}


@contextmanager
def _themed() -> Iterator[None]:
    from matplotlib import rc_context

    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color",
           "ytick.color", "legend.labelcolor")  # fmt: skip
    paper = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    settings: dict[Any, Any] = {name: _INK for name in ink} | {name: _PAPER for name in paper}
    # Text stays text, so that it can be searched, copied and read aloud.
    with rc_context(settings | {"svg.fonttype": "none", "svg.hashsalt": "ngramstat"}):
        yield


def inline_svg(draw: Callable[[], Figure], *, name: str, description: str) -> str:
    """The figure that `draw` returns, as an SVG element.

    Parameters
    ----------
    draw : callable
        Returns a matplotlib Figure.
    name : str
        Prefix of every id inside, so that ids are unique on the page.
    description : str
        What the figure shows, for screen readers.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    with _themed():
        figure = draw()
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'\b(id|xlink:href)="(#?)', rf'\1="\2{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    for colour, themed in _THEMED.items():
        text = re.sub(re.escape(colour), themed, text, flags=re.I)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    label = html.escape(description, quote=True)
    head = (
        f'<svg class="figure" role="img" aria-label="{label}" viewBox="0 0 {size[1]} {size[2]}" '
        f'style="max-width:{float(size[1]):.0f}pt" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + text[text.index(">") + 1 :]
