"""The map of all glaciers: built once, then coloured, refined and marked in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource, CustomJS, CustomJSHover, HoverTool

from glacierscale.exploration import layers, looks, mercator
from glacierscale.exploration.atlas import Hillshade
from glacierscale.exploration.frame import Frame, graticule
from glacierscale.exploration.layers import Detail, Places
from glacierscale.exploration.looks import Scale

Floats = npt.NDArray[np.floating]

_TOOLS = "pan,wheel_zoom,reset"
_PATIENCE_PX = 10
_IMAGE = ("image", "x", "y", "dw", "dh")
_GREYS = {False: (196, 250), True: (36, 84)}
"""Of the terrain in shade and light on light and dark paper: colours of glaciers are to stand out."""
_TOOLTIP = """
<div style="font-family: inherit; line-height: 1.35">
<b>@name</b><div style="opacity: 0.7">@under</div>@value{custom}</div>
"""
_CELL = """
<div style="font-family: inherit; line-height: 1.35">
@image{custom}<div style="opacity: 0.7">@count{custom}</div></div>
"""
_SAID = f"""{looks.SAID}
const unit = of.data.text[0]
return !isFinite(value) ? number : unit == "" ? value.toFixed(0) : number + " " + unit
"""
_SOME = "export default (args, tool, {value}) => value > 0"
_COUNTED = 'return value == 1 ? "1 glacier" : "mean of " + value + " glaciers"'


class Chart:
    """Glaciers of an atlas as outlines, dots or an image, whichever can be read at the scale."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.frame = Frame(places.home(), tools=_TOOLS, active_scroll="wheel_zoom", sizing_mode="stretch_both",
                           min_height=300, min_width=200, name="map")  # fmt: skip
        graticule(self.frame)
        self._values: Floats = np.full(len(places.atlas.glaciers), np.nan)
        self._unit = ColumnDataSource({"text": [""]})
        self._detail, self._dark = Detail("dots", np.arange(0)), False
        self._ramp, self._cells = looks.Ramp(), looks.Ramp(hidden=True)
        self._draw()
        self.bar = looks.colour_bar(self._ramp)
        self.frame.figure.add_layout(self.bar, "below")

    def _draw(self) -> None:
        """Glyphs from the ground up: relief, cells, outlines, dots, what is chosen."""
        plot, colour = self.frame.figure, {"field": "value", "transform": self._ramp.mapper}
        self.relief = ColumnDataSource({name: [] for name in _IMAGE})
        self.cells = ColumnDataSource({name: [] for name in (*_IMAGE, "count")})
        at = {name: name for name in _IMAGE}
        plot.image_rgba(**at, source=self.relief)
        self._image = plot.image(**at, source=self.cells, color_mapper=self._cells.mapper)
        empty: dict[str, Any] = {name: [] for name in ("value", "name", "under")}
        self.outlines = ColumnDataSource({"xs": [], "ys": [], **empty})
        self.dots = ColumnDataSource({"x": [], "y": [], "size": [], **empty})
        edge = {"line_color": looks.EDGE, "line_alpha": 0.55}
        self._glyphs = [
            plot.multi_polygons("xs", "ys", source=self.outlines, fill_color=colour, line_width=0.7, **edge),
            plot.scatter("x", "y", size="size", source=self.dots, fill_color=colour, line_width=0.5, **edge),
        ]
        self.chosen = ColumnDataSource({"xs": [], "ys": []})
        self.ring = ColumnDataSource({"x": [], "y": [], "size": []})
        for width, ink in ((5.0, looks.PAPER), (2.2, looks.INK)):
            plot.multi_polygons("xs", "ys", source=self.chosen, fill_color=None, line_color=ink, line_width=width)
            plot.scatter("x", "y", size="size", source=self.ring, fill_color=None, line_color=ink, line_width=width)
        said = CustomJSHover(code=_SAID, args={"of": self._unit})
        counted = CustomJSHover(code=_COUNTED)
        follow: dict[str, Any] = {"point_policy": "follow_mouse"}
        plot.add_tools(
            HoverTool(renderers=self._glyphs, tooltips=_TOOLTIP, formatters={"@value": said}, **follow),
            HoverTool(
                renderers=[self._image], tooltips=_CELL, formatters={"@image": said, "@count": counted},
                filters={"@count": CustomJS(code=_SOME)}, **follow,
            ),
        )  # fmt: skip

    def shade(self, light: Hillshade | None) -> None:
        """Lay terrain behind the glaciers."""
        if light is None:
            return
        (left, right), (low, top) = mercator.to_metres(
            [light.west, light.east], [light.south, light.north], self.places.centre
        )
        # Rows of a Mercator map are not evenly spaced in latitude.
        count = len(light.shade)
        northing = low + (np.arange(count) + 0.5) * (top - low) / count
        lat = mercator.to_degrees(np.zeros(count), northing)[1]
        rows = np.clip((light.north - lat) / (light.north - light.south) * count, 0, count - 1).astype(int)
        shown = light.shade[rows]
        least, most = _GREYS[self._dark]
        grey = np.uint32(least + (most - least) * np.clip(np.nan_to_num(shown), 0, 1))
        alpha = np.where(np.isfinite(shown), np.uint32(255), np.uint32(0))
        image = (alpha << 24 | grey << 16 | grey << 8 | grey).astype(np.uint32)
        self.relief.data = {"image": [image], "x": [left], "y": [low], "dw": [right - left], "dh": [top - low]}

    def darken(self, dark: bool) -> None:
        """Draw on dark paper, or on light."""
        self._dark = dark
        looks.repaint(self.frame.figure, dark)
        if self.relief.data["image"]:
            self.shade(self.places.hillshade)

    @property
    def drawn(self) -> Detail:
        """How glaciers are drawn now."""
        return self._detail

    def colour(self, values: Floats, label: str, unit: str) -> None:
        """Give every glacier another value; the scale stays."""
        self._values = values
        if self.bar.title != looks.titled(label, unit):
            self.bar.title = looks.titled(label, unit)
            self._unit.data = {"text": [looks.units(unit)]}
        if self._detail.kind != "image":  # cells are averaged beside the page, by `look`
            source = self.outlines if self._detail.kind == "outlines" else self.dots
            source.data.update({"value": self._painted(self._detail.rows)})

    def scale(self, scale: Scale) -> None:
        """Give the colours other ends."""
        if self._ramp.turn(scale):
            for drawn in self._glyphs:
                drawn.glyph.fill_color = {"field": "value", "transform": self._ramp.mapper}
            self.bar.color_mapper = self._ramp.mapper
        if self._cells.turn(scale):
            self._image.glyph.color_mapper = self._cells.mapper

    def _painted(self, rows: layers.Ints) -> npt.NDArray[np.float32]:
        return self._values[rows].astype(np.float32)

    def _columns(self, rows: layers.Ints) -> dict[str, Any]:
        table = self.places.atlas.glaciers.iloc[rows]
        ids = table["glacier_id"].tolist()
        names = table["name"].tolist()
        under = [one if name else "" for name, one in zip(names, ids, strict=True)]
        names = [name or one for name, one in zip(names, ids, strict=True)]
        return {"name": names, "under": under, "value": self._painted(rows)}

    def refine(self, found: Detail) -> None:
        """Draw glaciers in another way, or others of them."""
        before, self._detail = self._detail, found
        if found.image is not None:
            self._shade(found.image)
        elif found is not before and (found.shapes is not None or not _same_dots(found, before)):
            self._place(found)
        if found.kind != before.kind:
            for kind, source in (("outlines", self.outlines), ("dots", self.dots), ("image", self.cells)):
                if kind != found.kind and kind == before.kind:
                    source.data = {name: [] for name in source.data}

    def _place(self, found: Detail) -> None:
        if found.shapes is not None:
            xs, ys = layers.rings(list(found.shapes))
            self.outlines.data = {"xs": xs, "ys": ys} | self._columns(found.rows)
            return
        x, y = (values[found.rows] for values in self.places.xy)
        self.dots.data = {"x": x, "y": y, "size": self.places.size_px[found.rows]} | self._columns(found.rows)

    def _shade(self, image: layers.Image) -> None:
        left, low, right, top = image.box
        at = {"x": [left], "y": [low], "dw": [right - left], "dh": [top - low]}
        self.cells.data = {"image": [image.mean], "count": [image.count], **at}

    def mark(self, row: int | None) -> None:
        """Draw a line around the glacier that is chosen."""
        shapes = [] if self._detail.shapes is None else self._detail.shapes[self._detail.rows == row].tolist()
        xs, ys = layers.rings(shapes)
        self.chosen.data = {"xs": xs, "ys": ys}
        at = [] if shapes or row is None else [row]
        self.ring.data = {
            "x": self.places.xy[0][at],
            "y": self.places.xy[1][at],
            "size": self.places.size_px[at] + 6,
        }

    def look(self) -> Detail:
        """How glaciers are best drawn in what is seen; reads, so it belongs in a thread."""
        view, pixel = self.frame.view, self.frame.pixel
        found = layers.detail(self.places, view, pixel, self._detail)
        if found.kind != "image":
            return found
        return replace(found, image=layers.shaded(self.places, self._values, view, self.frame.pixels))

    def approach(self, row: int) -> None:
        """Show a glacier that is out of sight or too small to be seen."""
        left, low, right, top = self.frame.view
        x, y = self.places.xy[0][row], self.places.xy[1][row]
        seen = left < x < right and low < y < top
        if not (seen and self.places.width_m[row] / self.frame.pixel >= layers.READABLE_PX):
            self.frame.fit(self.places.box_of(row))

    def glacier_at(self, x_m: float, y_m: float) -> int | None:
        """Row of the glacier under a click, with the patience that a finger needs."""
        tolerance = _PATIENCE_PX * self.frame.pixel
        if self._detail.shapes is not None:
            return self._detail.under(x_m, y_m, tolerance)
        return self.places.nearest(x_m, y_m, tolerance)


def _same_dots(one: Detail, other: Detail) -> bool:
    return one.kind == other.kind == "dots" and np.array_equal(one.rows, other.rows)
