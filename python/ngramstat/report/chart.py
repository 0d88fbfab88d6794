"""Description of a figure without any drawing: panels with axes, and the marks on them.

The same description is drawn as SVG for the pages (`chart_svg`), where marks can be switched on and
off, and with matplotlib for figure files and notebooks (`chart_plot`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "CURVE_COLOURS",
    "Area",
    "Axis",
    "Chart",
    "Colour",
    "Curve",
    "Heat",
    "Label",
    "Mark",
    "Marker",
    "Panel",
    "Rule",
    "Stroke",
    "Window",
    "curve_colour",
    "curve_marker",
    "floats",
    "side_by_side",
]

Floats = NDArray[np.float64]
Colour = Literal["ink", "blue", "red", "green", "purple", "orange", "indigo", "grey", "window"]
Marker = Literal["", "circle", "square", "diamond", "up", "down", "plus", "star"]
Stroke = Literal["", "solid", "dashed", "dotted", "dashdot"]

# Colours and markers of several curves in one panel, in this order.
CURVE_COLOURS: tuple[Colour, ...] = ("blue", "red", "green", "purple", "orange", "indigo", "grey")
_CURVE_MARKERS: tuple[Marker, ...] = ("circle", "square", "diamond", "up", "down", "plus")


def curve_colour(k: int) -> Colour:
    """Colour of the k-th of several curves in one panel, from 0."""
    return CURVE_COLOURS[k % len(CURVE_COLOURS)]


def curve_marker(k: int) -> Marker:
    """Marker of the k-th of several curves in one panel, from 0."""
    return _CURVE_MARKERS[k % len(_CURVE_MARKERS)]


def floats(values: ArrayLike) -> Floats:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis.

    Attributes
    ----------
    label : str
        What it shows, in words, with the unit.
    log : bool
    limits : (low, high), optional
        By default from the marks.
    at : tuple of float
        Values that get a tick, as far as labels fit; by default round numbers.
    names : tuple of str
        Of a vertical, not logarithmic axis of categories 0, 1, 2, ... counted from the top: their
        names.
    """

    label: str
    log: bool = True
    limits: tuple[float, float] | None = None
    at: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something drawn in a panel.

    Attributes
    ----------
    name : str
        For the legend; marks without a name have no entry of their own.
    colour : Colour
    group : str
        Marks of one group are shown and hidden together, in all panels of a figure; by default the
        name.
    shown : bool
        Whether a page shows the mark at first.
    """

    name: str = ""
    colour: Colour = "blue"
    group: str = ""
    shown: bool = True

    @property
    def key(self) -> str:
        return self.group or self.name

    def extent(self) -> tuple[Floats, Floats]:
        """x and y that the axes have to include."""
        return np.empty(0), np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Curve(Mark):
    """Points with intervals, joined by a line or not.

    Attributes
    ----------
    x, y : (points,) float64
        Points that are not finite, or not positive on a logarithmic axis, are left out.
    low, high, left, right : (points,) float64 or None
        Ends of the intervals of y and of x.
    stroke : Stroke
    marker : Marker
    filled : bool
        Whether markers are filled.
    faint : bool
        Whether it is drawn faint: not reportable.
    """

    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    left: Floats | None = None
    right: Floats | None = None
    stroke: Stroke = "solid"
    marker: Marker = "circle"
    filled: bool = True
    faint: bool = False

    def extent(self) -> tuple[Floats, Floats]:
        return self.x, self.y


@dataclass(frozen=True, kw_only=True)
class Area(Mark):
    """The area between two curves; with `across` x and y are exchanged."""

    x: Floats
    low: Floats
    high: Floats
    across: bool = False

    def extent(self) -> tuple[Floats, Floats]:
        ends = np.concatenate([self.low, self.high])
        return (ends, self.x) if self.across else (self.x, ends)


@dataclass(frozen=True, kw_only=True)
class Window(Mark):
    """A range of one axis, over the whole of the other."""

    low: float
    high: float
    horizontal: bool = False
    colour: Colour = "window"

    def extent(self) -> tuple[Floats, Floats]:
        ends = floats([self.low, self.high])
        return (np.empty(0), ends) if self.horizontal else (ends, np.empty(0))


@dataclass(frozen=True, kw_only=True)
class Rule(Mark):
    """A line across the panel at one value of x, or of y where it is horizontal."""

    at: float
    horizontal: bool = False
    stroke: Stroke = "dashed"

    def extent(self) -> tuple[Floats, Floats]:
        at = floats(self.at)
        return (np.empty(0), at) if self.horizontal else (at, np.empty(0))


@dataclass(frozen=True, kw_only=True)
class Label(Mark):
    """A few words at a point of the panel; `end` means that they end there."""

    x: float
    y: float
    text: str
    end: bool = False


@dataclass(frozen=True, kw_only=True)
class Heat(Mark):
    """Values on a grid, (rows, columns), as colours; what is not finite stays empty.

    Attributes
    ----------
    x, y : float64
        Evenly spaced centres of columns and rows.
    values : (rows, columns) float64
    scale : str
        What the colours show, in words.
    """

    x: Floats
    y: Floats
    values: Floats
    scale: str

    def edges(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top."""
        ends: list[float] = []
        for centres in (self.x, self.y):
            half = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) / 2
            ends += [float(centres[0] - half), float(centres[-1] + half)]
        return ends[0], ends[1], ends[2], ends[3]

    def range(self) -> tuple[float, float]:
        known = self.values[np.isfinite(self.values)]
        return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Two axes and the marks between them, the first at the back."""

    x: Axis
    y: Axis
    marks: Sequence[Mark]
    title: str = ""

    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Limits of x and y: those of the axes, or else all marks with a margin."""
        extents = [mark.extent() for mark in self.marks]
        heat = next((mark for mark in self.marks if isinstance(mark, Heat)), None)
        if heat is not None:
            left, right, bottom, top = heat.edges()
            return (left, right), (bottom, top)
        xs = np.concatenate([np.empty(0), *(x for x, _ in extents)])
        ys = np.concatenate([np.empty(0), *(y for _, y in extents)])
        if self.y.names:
            return _limits(self.x, xs), (len(self.y.names) - 0.5, -0.5)
        return _limits(self.x, xs), _limits(self.y, ys)


def _limits(axis: Axis, values: Floats) -> tuple[float, float]:
    if axis.limits is not None:
        return axis.limits
    known = values[np.isfinite(values)]
    if axis.log:
        known = np.log(known[known > 0])
    if not len(known):
        return (1.0, 10.0) if axis.log else (0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or (0.5 if axis.log else 0.05 * abs(low) or 1.0)
    low, high = low - margin, high + margin
    return (float(np.exp(low)), float(np.exp(high))) if axis.log else (low, high)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure.

    Attributes
    ----------
    title : str
        Says in a few words what it shows.
    description : str
        What is drawn, for the caption and for screen readers.
    panels : tuple of Panel
    notes : tuple of str
        What has to be known to read it, in sentences.
    """

    title: str
    description: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = field(default=())

    def entries(self) -> Iterator[Mark]:
        """One mark for every entry of the legend, in order of drawing."""
        seen: set[str] = set()
        for panel in self.panels:
            for mark in panel.marks:
                if mark.name and mark.name not in seen:
                    seen.add(mark.name)
                    yield mark

    def groups(self) -> list[str]:
        """Keys of all groups of marks that have an entry, in order."""
        return list(dict.fromkeys(mark.key for mark in self.entries()))


def side_by_side(charts: Sequence[Chart]) -> Chart:
    """One chart with the panels of all, under the titles of their charts."""
    panels = [
        replace(panel, title=panel.title or chart.title)
        for chart in charts
        for panel in chart.panels
    ]
    return Chart(
        title=", ".join(chart.title for chart in charts),
        description=" ".join(chart.description for chart in charts),
        panels=tuple(panels),
        notes=tuple(note for chart in charts for note in chart.notes),
    )
