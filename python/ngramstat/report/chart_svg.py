"""A chart as HTML: an SVG for wide screens and one for phones, and a legend that switches curves.

Colours are classes of the page's style sheet, which has them for light and dark. What is hidden and
shown follows from check boxes by the style sheet alone, without scripts.
"""

from __future__ import annotations

import base64
import math
import struct
import textwrap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Curve,
    Floats,
    Heat,
    Label,
    Mark,
    Panel,
    Rule,
    Window,
)
from ngramstat.report.chart_ticks import minor_ticks, tick_label, ticks
from ngramstat.report.markup import text_of

__all__ = ["NARROW", "WIDE", "Screen", "chart_figure"]


@dataclass(frozen=True)
class Screen:
    """How a chart is laid out, in pixels of a screen that shows it at full size."""

    name: str
    width: int
    columns: int
    height: int
    text: float


# A phone of 375 pixels leaves 343 for the figure; on one of 320, text has 11 pixels yet.
NARROW = Screen("narrow", 343, 1, 270, 13.5)
WIDE = Screen("wide", 720, 2, 360, 13.0)

# Mean and largest width of a character, of its size.
_CHARACTER, _DIGIT = 0.52, 0.6
_GAP = 26
_MARKER = 3.6
_SCALE_WIDTH = 14


def chart_figure(chart: Chart, name: str) -> str:
    """The chart as an HTML figure; `name` begins every id inside."""
    groups = chart.groups()
    drawings = "".join(_drawing(chart, name, screen, groups) for screen in (WIDE, NARROW))
    caption = "".join(f"<p>{text_of(words)}</p>" for words in (chart.description, *chart.notes))
    return (
        f'<figure class="chart" id="figure-{name}"><h3>{text_of(chart.title)}</h3>\n'
        f"{drawings}\n{_legend(chart, groups)}<figcaption>{caption}</figcaption></figure>"
    )


# --- legend -----------------------------------------------------------------------------------


def _legend(chart: Chart, groups: Sequence[str]) -> str:
    """Entries of the groups; those that are hidden at first are folded."""
    members: dict[str, list[Mark]] = {key: [] for key in groups}
    for mark in chart.entries():
        members[mark.key].append(mark)
    if not members:
        return ""
    shown: list[str] = []
    hidden: list[str] = []
    for k, marks in enumerate(members.values()):
        words = "".join(f"<span>{_swatch(m)} {text_of(m.name)}</span>" for m in marks)
        if len(members) == 1:
            return f'<div class="legend">{words}</div>'
        box = f'<input type="checkbox" class="t{k}"{" checked" if marks[0].shown else ""}>'
        entry = f'<label>{box}<span class="words">{words}</span></label>'
        (shown if marks[0].shown else hidden).append(entry)
    more = ""
    if hidden:
        more = (
            f'<details class="more"><summary>More to show ({len(hidden)})</summary>'
            f'<div class="legend">{"".join(hidden)}</div></details>'
        )
    return f'<div class="legend">{"".join(shown)}</div>{more}'


def _swatch(mark: Mark) -> str:
    """How a mark looks, in one line of text."""
    inside = ""
    match mark:
        case Curve():
            inside = (_path("line", mark.stroke, "M1,7H27") if mark.stroke else "") + _markers(
                mark, [(14.0, 7.0)]
            )
        case Rule():
            inside = _path("line", mark.stroke, "M1,7H27")
        case Window():
            inside = '<path class="win" d="M1,1H27V13H1z"/>'
        case Area():
            inside = '<path class="area" d="M1,1H27V13H1z"/>'
    faint = " faint" if isinstance(mark, Curve) and mark.faint else ""
    return (
        f'<svg class="swatch c-{mark.colour}{faint}" width="28" height="14" aria-hidden="true">'
        f"{inside}</svg>"
    )


# --- layout -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """Where the data of a panel lie, and how to get there."""

    panel: Panel
    left: float
    top: float
    width: float
    height: float
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]

    def x(self, values: Floats | float) -> Floats:
        """Horizontal positions; NaN for what the axis cannot show."""
        return self.left + self.width * _fraction(self.panel.x, self.x_limits, values)

    def y(self, values: Floats | float) -> Floats:
        return self.top + self.height * (1 - _fraction(self.panel.y, self.y_limits, values))


def _fraction(axis: Axis, limits: tuple[float, float], values: Floats | float) -> Floats:
    v = np.atleast_1d(np.asarray(values, dtype=np.float64))
    low, high = limits
    if axis.log:
        v = np.log(np.where(np.isfinite(v) & (v > 0), v, np.nan))
        low, high = math.log(low), math.log(high)
    # Far outside is as good as just outside, and keeps the numbers short.
    out: Floats = np.clip((v - low) / (high - low), -3.0, 4.0)
    return out


def _drawing(chart: Chart, name: str, screen: Screen, groups: Sequence[str]) -> str:
    columns = min(screen.columns, len(chart.panels))
    width = (screen.width - _GAP * (columns - 1)) / columns
    height = screen.height if columns == 1 else 0.75 * screen.height
    parts, top, below = [], 0.0, 0.0
    for k, panel in enumerate(chart.panels):
        if k % columns == 0:
            top = below
        left = (k % columns) * (width + _GAP)
        # The last panel may be alone in its row.
        wide = (
            screen.width
            if columns > 1 and k % columns == 0 and k + 1 == len(chart.panels)
            else width
        )
        drawn, end = _panel(
            panel, f"{name}-{screen.name}-{k}", (left, top, wide, height), screen, groups
        )
        parts.append(drawn)
        below = max(below, end + (14 if len(chart.panels) > 1 else 0))
    label = text_of(f"{chart.title}. {chart.description}")
    return (
        f'<svg class="plot {screen.name}" role="img" aria-label="{label}" '
        f'viewBox="0 0 {screen.width} {_n(below)}" font-size="{screen.text:g}">'
        f"{''.join(parts)}</svg>"
    )


def _panel(
    panel: Panel,
    name: str,
    box: tuple[float, float, float, float],
    screen: Screen,
    groups: Sequence[str],
) -> tuple[str, float]:
    """The panel as SVG, and where it ends."""
    left, top, width, height = box
    size = screen.text
    out: list[str] = []
    y = top
    for text, kind in ((panel.title, "title"), (panel.y.label, "axis")):
        for line in _wrapped(text, width, size):
            y += 1.3 * size
            out.append(f'<text class="{kind}" x="{_n(left)}" y="{_n(y)}">{text_of(line)}</text>')
    y += 0.6 * size
    x_limits, y_limits = panel.limits()
    heat = next((mark for mark in panel.marks if isinstance(mark, Heat)), None)
    y_ticks = [] if panel.y.names else ticks(panel.y, y_limits, height, text=size, along=False)
    room = max((len(label) for _, label in y_ticks), default=0) * _DIGIT * size + 9
    beside = 4 * _DIGIT * size + _SCALE_WIDTH + 18 if heat is not None else 8
    rows = len(panel.y.names)
    if rows:
        height, room = rows * 3.1 * size, 4
    frame = _Frame(panel, left + room, y, width - room - beside, height, x_limits, y_limits)
    x_ticks = ticks(panel.x, x_limits, frame.width, text=size, along=True)
    out += [_axes(frame, x_ticks, y_ticks, size, left, left + width)]
    out += [_marks(frame, name, groups)]
    if heat is not None:
        out.append(_scale(frame, heat, size))
    y += height + 1.5 * size
    words = panel.x.label if heat is None else f"{panel.x.label}. Colour: {heat.scale}"
    for line in _wrapped(words, width, size):
        y += 1.3 * size
        out.append(
            f'<text class="axis" x="{_n(left + width)}" y="{_n(y)}" text-anchor="end">'
            f"{text_of(line)}</text>"
        )
    return "".join(out), y + 0.5 * size


def _wrapped(text: str, width: float, size: float) -> list[str]:
    return textwrap.wrap(text, max(12, int(width / (_CHARACTER * size))))


def _axes(
    frame: _Frame,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    size: float,
    first: float,
    last: float,
) -> str:
    """Grid, ticks with their labels, names of categories, and the frame."""
    left, top = frame.left, frame.top
    right, bottom = left + frame.width, top + frame.height
    grid, small, texts = [], [], []
    for value, label in x_ticks:
        x = float(frame.x(value)[0])
        grid.append(f"M{_pair(x, top)}V{_n(bottom)}")
        half = _DIGIT * size * len(label) / 2
        at = min(max(x, first + half), last - half)
        texts.append(_text(label, at, bottom + 1.25 * size, "middle"))
    for value, label in y_ticks:
        y = float(frame.y(value)[0])
        grid.append(f"M{_pair(left, y)}H{_n(right)}")
        texts.append(_text(label, left - 6, y + 0.35 * size, "end"))
    for value in minor_ticks(frame.panel.x, frame.x_limits):
        x = float(frame.x(value)[0])
        small.append(f"M{_pair(x, bottom)}v-4")
    for value in minor_ticks(frame.panel.y, frame.y_limits):
        y = float(frame.y(value)[0])
        small.append(f"M{_pair(left, y)}h4")
    for row, label in enumerate(frame.panel.y.names):
        y = float(frame.y(row)[0])
        grid.append(f"M{_pair(left, y)}H{_n(right)}")
        texts.append(f'<text class="row" x="{_n(left + 4)}" y="{_n(y - 0.7 * size)}">'
                     f"{text_of(label)}</text>")  # fmt: skip
    return (
        f'<path class="grid" d="{"".join(grid)}"/>'
        f'<path class="frame" d="M{_n(left)},{_n(top)}H{_n(right)}V{_n(bottom)}H{_n(left)}z'
        f'{"".join(small)}"/>{"".join(texts)}'
    )


def _text(words: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{text_of(words)}</text>'


def _scale(frame: _Frame, heat: Heat, size: float) -> str:
    """The scale of colours beside the panel."""
    low, high = heat.range()
    x = frame.left + frame.width + 12
    image = _image(np.linspace(1, 0, 64)[:, None], x, frame.top, _SCALE_WIDTH, frame.height)
    texts = [
        f'<text x="{_n(x + _SCALE_WIDTH + 4)}" y="{_n(y)}">'
        f"{tick_label(float(f'{value:.2g}'))}</text>"
        for value, y in (
            (high, frame.top + 0.8 * size),
            ((low + high) / 2, frame.top + frame.height / 2 + 0.35 * size),
            (low, frame.top + frame.height),
        )
    ]
    return image + "".join(texts)


# --- marks ------------------------------------------------------------------------------------


def _marks(frame: _Frame, name: str, groups: Sequence[str]) -> str:
    clip = f"{name}-clip"
    box = (frame.left, frame.top, frame.width, frame.height)
    x, y, width, height = map(_n, box)
    out = [
        f'<clipPath id="{clip}"><rect x="{x}" y="{y}" width="{width}" height="{height}"/>'
        f'</clipPath><g clip-path="url(#{clip})">'
    ]
    for mark in frame.panel.marks:
        kinds = [f"c-{mark.colour}"]
        if mark.key in groups:
            kinds.append(f"g{groups.index(mark.key)}")
        if isinstance(mark, Curve) and mark.faint:
            kinds.append("faint")
        drawn = _DRAW[type(mark)](frame, mark)
        if drawn:
            out.append(f'<g class="{" ".join(kinds)}">{drawn}</g>')
    return "".join(out) + "</g>"


def _draw_curve(frame: _Frame, mark: Curve) -> str:
    x, y = frame.x(mark.x), frame.y(mark.y)
    known = np.isfinite(x) & np.isfinite(y)
    points = list(zip(x[known].tolist(), y[known].tolist(), strict=True))
    if not points:
        return ""
    out = []
    if mark.low is not None and mark.high is not None:
        out.append(_bars(x[known], frame, mark.low[known], mark.high[known], upright=True))
    if mark.left is not None and mark.right is not None:
        out.append(_bars(y[known], frame, mark.left[known], mark.right[known], upright=False))
    if mark.stroke and len(points) > 1:
        out.append(_path("line", mark.stroke, "M" + " ".join(_pair(*p) for p in points)))
    out.append(_markers(mark, points))
    return "".join(out)


def _bars(at: Floats, frame: _Frame, low: Floats, high: Floats, *, upright: bool) -> str:
    """Intervals with short bars at their ends."""
    ends = frame.y if upright else frame.x
    axis = frame.panel.y if upright else frame.panel.x
    limits = frame.y_limits if upright else frame.x_limits
    if axis.log:
        low = np.where(low > 0, low, min(limits) / 10)  # the bar leaves the panel
    parts = []
    for place, a, b in zip(at, ends(low), ends(high), strict=True):
        if not (np.isfinite(a) and np.isfinite(b)):
            continue
        p, first, second = float(place), float(a), float(b)
        if upright:
            parts.append(f"M{_pair(p, first)}V{_n(second)}")
            parts += [f"M{_pair(p - 3, end)}h6" for end in (first, second)]
        else:
            parts.append(f"M{_pair(first, p)}H{_n(second)}")
            parts += [f"M{_pair(end, p - 3)}v6" for end in (first, second)]
    return _path("bars", "", "".join(parts)) if parts else ""


def _markers(mark: Curve, points: Sequence[tuple[float, float]]) -> str:
    if not mark.marker:
        return ""
    shape = _SHAPES[mark.marker]
    path = "".join(shape(x, y) for x, y in points)
    return f'<path class="{"dot" if mark.filled else "open"}" d="{path}"/>'


def _polygon(*corners: tuple[float, float]) -> Callable[[float, float], str]:
    """Draws the polygon with these corners, in units of the size of markers."""

    def draw(x: float, y: float) -> str:
        return "M" + " ".join(_pair(x + _MARKER * a, y + _MARKER * b) for a, b in corners) + "z"

    return draw


def _circle(x: float, y: float) -> str:
    r, across = _n(_MARKER), _n(2 * _MARKER)
    left = _pair(x - _MARKER, y)
    return f"M{left}a{r},{r} 0 1 0 {across},0a{r},{r} 0 1 0 -{across},0"


_STAR = [
    ((1.6 if k % 2 == 0 else 0.7) * math.sin(math.pi * k / 5),
     -(1.6 if k % 2 == 0 else 0.7) * math.cos(math.pi * k / 5))
    for k in range(10)
]  # fmt: skip
_SHAPES: dict[str, Callable[[float, float], str]] = {
    "circle": _circle,
    "square": _polygon((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "diamond": _polygon((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "up": _polygon((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
    "down": _polygon((0, 1.2), (1.1, -0.9), (-1.1, -0.9)),
    "plus": _polygon((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
                     (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
    "star": _polygon(*_STAR),
}  # fmt: skip


def _draw_area(frame: _Frame, mark: Area) -> str:
    along, ends = (frame.y, frame.x) if mark.across else (frame.x, frame.y)
    at, low, high = along(mark.x), ends(mark.low), ends(mark.high)
    known = np.isfinite(at) & np.isfinite(low) & np.isfinite(high)
    if known.sum() < 2:
        return ""
    at = np.concatenate([at[known], at[known][::-1]])
    end = np.concatenate([low[known], high[known][::-1]])
    xs, ys = (end, at) if mark.across else (at, end)
    corners = " ".join(_pair(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
    return f'<path class="area" d="M{corners}z"/>'


def _draw_window(frame: _Frame, mark: Window) -> str:
    ends = np.array([mark.low, mark.high])
    kind = "win" if mark.colour == "window" else "area"
    if mark.horizontal:
        bottom, top = frame.y(ends)
        low, high = sorted((float(bottom), float(top)))
        sides = frame.left, frame.left + frame.width
    else:
        low, high = frame.top, frame.top + frame.height
        left, right = frame.x(ends)
        sides = float(left), float(right)
    return (
        f'<path class="{kind}" d="M{_pair(sides[0], low)}H{_n(sides[1])}V{_n(high)}'
        f'H{_n(sides[0])}z"/>'
    )


def _draw_rule(frame: _Frame, mark: Rule) -> str:
    if mark.horizontal:
        y = float(frame.y(mark.at)[0])
        return _path("line", mark.stroke, f"M{_pair(frame.left, y)}h{_n(frame.width)}")
    x = float(frame.x(mark.at)[0])
    return _path("line", mark.stroke, f"M{_pair(x, frame.top)}v{_n(frame.height)}")


def _draw_label(frame: _Frame, mark: Label) -> str:
    x, y = float(frame.x(mark.x)[0]), float(frame.y(mark.y)[0])
    anchor = "end" if mark.end else "start"
    return (
        f'<text class="label" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">'
        f"{text_of(mark.text)}</text>"
    )


def _draw_heat(frame: _Frame, mark: Heat) -> str:
    low, high = mark.range()
    values = (mark.values - low) / ((high - low) or 1.0)
    # Rows of an image begin at the top.
    return _image(values[::-1], frame.left, frame.top, frame.width, frame.height)


_DRAW: dict[type[Mark], Callable[[_Frame, Any], str]] = {
    Curve: _draw_curve,
    Area: _draw_area,
    Window: _draw_window,
    Rule: _draw_rule,
    Label: _draw_label,
    Heat: _draw_heat,
}


# --- images and numbers -----------------------------------------------------------------------

# From small to large values: yellow to dark blue, of one hue each for the colour-blind. Lightness
# falls evenly.
_COLOURS = np.array(
    [(255, 234, 70), (218, 196, 95), (179, 162, 114), (146, 134, 119), (125, 124, 120),
     (99, 101, 112), (72, 80, 108), (35, 62, 108), (0, 34, 78)], dtype=np.float64,
)  # fmt: skip


def _image(values: Floats, x: float, y: float, width: float, height: float) -> str:
    """An image of one pixel per value in 0 .. 1; transparent where there is none."""
    scaled = np.clip(np.nan_to_num(values), 0, 1) * (len(_COLOURS) - 1)
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    for channel in range(3):
        pixels[..., channel] = np.rint(
            np.interp(scaled, np.arange(len(_COLOURS)), _COLOURS[:, channel])
        )
    pixels[..., 3] = np.where(np.isfinite(values), 255, 0)
    data = base64.b64encode(_png(pixels)).decode()
    return (
        f'<image x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of (rows, columns, 4) bytes: red, green, blue, opacity."""
    rows, columns, _ = pixels.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    # Every row begins with the number of its filter: 0 is none.
    lines = b"".join(b"\0" + pixels[row].tobytes() for row in range(rows))
    head = struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def _path(kind: str, stroke: str, path: str) -> str:
    dashes = f" {stroke}" if stroke not in ("", "solid") else ""
    return f'<path class="{kind}{dashes}" d="{path}"/>'


def _pair(x: float, y: float) -> str:
    return f"{_n(x)},{_n(y)}"


def _n(value: float) -> str:
    """A length to a tenth of a pixel."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
