"""Figures whose two axes have one scale: what fits is kept in the middle, whatever the size of the window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bokeh.events import Reset
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTicker, CustomJSTickFormatter, Range1d
from bokeh.plotting import figure

from glacierscale.exploration import looks
from glacierscale.units import WGS84_RADIUS_M

Box = tuple[float, float, float, float]
"""West, south, east, north in the coordinates of a figure."""

_FIT = """
const w = plot.inner_width, h = plot.inner_height
if (!(w > 10 && h > 10)) return
const [left, low, right, top] = ["left", "low", "right", "top"].map((side) => home.data[side][0])
const x = plot.x_range, y = plot.y_range
const moved = cb_obj === plot && home.fitted != null && Math.abs(home.fitted - x.start) > 1e-6 * (right - left)
const scale = moved ? (x.end - x.start) / home.width : Math.max((right - left) / w, (top - low) / h)
const [east, north] = moved ? [(x.start + x.end) / 2, (y.start + y.end) / 2] : [(left + right) / 2, (low + top) / 2]
if (!moved) home.fitted = east - scale * w / 2
home.width = w
x.setv({start: east - scale * w / 2, end: east + scale * w / 2})
y.setv({start: north - scale * h / 2, end: north + scale * h / 2})
seen.data = {width: [w], height: [h]}
"""
"""Show all of `home`, or what was looked at before the window changed its size, in equal scales."""

_TICKS = """
const lo = cb_data.start, hi = cb_data.end, radius = %(radius)r
const degrees = (m) => %(degrees)s
const metres = (d) => %(metres)s
const span = degrees(hi) - degrees(lo)
const step = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45].find((s) => span / s <= 5) ?? 90
const found = []
for (let k = Math.ceil(degrees(lo) / step); k * step <= degrees(hi); k++) found.push(metres(k * step))
return found
"""

_LABELS = """
const degrees = (m) => %(degrees)s, radius = %(radius)r
const step = ticks.length > 1 ? Math.abs(degrees(ticks[1]) - degrees(ticks[0])) : 0.01
const places = Math.max(0, Math.ceil(-Math.log10(step) - 1e-6))
const d = %(wrapped)s
const size = Math.abs(d).toFixed(places)
return size + "°" + (Number(size) === 0 ? "" : d < 0 ? "%(negative)s" : "%(positive)s")
"""

_ALONG = {
    "x": {
        "degrees": "m / radius * 180 / Math.PI",
        "metres": "d * Math.PI / 180 * radius",
        "wrapped": "((degrees(tick) + 180) % 360 + 360) % 360 - 180",
        "negative": " W",
        "positive": " E",
    },
    "y": {
        "degrees": "Math.asin(Math.tanh(m / radius)) * 180 / Math.PI",
        "metres": "Math.atanh(Math.sin(Math.max(-89.9, Math.min(89.9, d)) * Math.PI / 180)) * radius",
        "wrapped": "degrees(tick)",
        "negative": " S",
        "positive": " N",
    },
}


class Frame:
    """A figure in equal scales, the box that it shows at first, and how many pixels it has."""

    def __init__(self, box: Box, **shown: Any) -> None:
        left, low, right, top = box
        self.figure = figure(
            x_range=Range1d(left, right),
            y_range=Range1d(low, top),
            toolbar_location="right",
            toolbar_inner=True,
            background_fill_color=looks.GROUND,
            border_fill_color=None,
            outline_line_color=looks.RULE,
            **shown,
        )
        self._quieten()
        self.home = ColumnDataSource(_sides(box))
        self.seen = ColumnDataSource({"width": [600], "height": [600]})
        fit = CustomJS(args={"plot": self.figure, "home": self.home, "seen": self.seen}, code=_FIT)
        self.figure.js_on_change("inner_width", fit)
        self.figure.js_on_change("inner_height", fit)
        self.figure.js_on_event(Reset, CustomJS(args=dict(fit.args), code=_FIT.replace("cb_obj === plot", "false")))
        self.home.js_on_change("data", fit)
        self.figure.toolbar.logo = None
        self.figure.toolbar.autohide = True

    def _quieten(self) -> None:
        self.figure.grid.grid_line_color = looks.GRID
        axis = self.figure.axis
        axis.axis_line_color = axis.minor_tick_line_color = None
        axis.major_tick_line_color = looks.RULE
        axis.major_label_text_color = axis.axis_label_text_color = looks.SOFT
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font_style = "normal"

    def fit(self, box: Box) -> None:
        """Show another box, whole."""
        self.home.data = _sides(box)

    @property
    def view(self) -> Box:
        """What is seen."""
        x, y = self.figure.x_range, self.figure.y_range
        return float(x.start), float(y.start), float(x.end), float(y.end)

    @property
    def pixel(self) -> float:
        """Length of a pixel in the coordinates of the figure."""
        left, _, right, _ = self.view
        return (right - left) / max(self.pixels[0], 1)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the ground in pixels."""
        return int(self.seen.data["width"][0]), int(self.seen.data["height"][0])


def _sides(box: Box) -> Mapping[str, list[float]]:
    return {side: [float(value)] for side, value in zip(("left", "low", "right", "top"), box, strict=True)}


def graticule(frame: Frame) -> None:
    """Label the axes of a Mercator map in degrees; works across the antimeridian."""
    for axis, direction in ((frame.figure.xaxis, "x"), (frame.figure.yaxis, "y")):
        words = _ALONG[direction] | {"radius": WGS84_RADIUS_M}
        axis.ticker = CustomJSTicker(major_code=_TICKS % words)
        axis.formatter = CustomJSTickFormatter(code=_LABELS % words)
    frame.figure.xgrid.ticker = frame.figure.xaxis[0].ticker
    frame.figure.ygrid.ticker = frame.figure.yaxis[0].ticker
