"""Where glaciers lie on the map, and how they are drawn at a scale: outlines, dots, or shares of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely

from glacierscale.exploration import mercator
from glacierscale.exploration.atlas import Atlas, Hillshade
from glacierscale.exploration.frame import Box

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Kind = Literal["outlines", "dots", "image"]

MOST_OUTLINES, MOST_DOTS, MOST_DOTS_IN_VIEW = 1500, 20_000, 5000
"""Outlines drawn at once; glaciers of which all are dots; and dots drawn at once where there are more."""

READABLE_PX, CELL_PX = 4.0, 3
"""Width of the middle glacier from which outlines say more than dots; side of a cell of the image."""


@dataclass(frozen=True, eq=False)
class Places:
    """Glaciers of an atlas in the metres of the map."""

    atlas: Atlas

    @cached_property
    def centre(self) -> float:
        """Longitude in the middle, in degrees."""
        return mercator.centre_of(self.atlas.glaciers.lon.to_numpy())

    @cached_property
    def xy(self) -> tuple[Floats, Floats]:
        """Of every glacier."""
        rows = self.atlas.glaciers
        return mercator.to_metres(rows.lon.to_numpy(), rows.lat.to_numpy(), self.centre)

    @cached_property
    def size_px(self) -> Floats:
        """Width of the dot of every glacier: grows with the logarithm of its area."""
        area = np.nan_to_num(self.atlas.glaciers.area_km2.to_numpy(float), nan=0.1)
        small = 0.75 if len(area) > 2000 else 1.0
        size: Floats = small * np.clip(8 + 3 * np.log10(np.maximum(area, 1e-3)), 4, 18)
        return size

    @cached_property
    def width_m(self) -> Floats:
        """Root of the area of every glacier, in metres of the map."""
        wide: Floats = 1000 * np.sqrt(self.atlas.glaciers.area_km2.to_numpy(float)) * mercator.stretch(self.xy[1])
        return wide

    @cached_property
    def hillshade(self) -> Hillshade | None:
        """Light on the terrain behind; read when it is first asked for."""
        return self.atlas.hillshade()

    def outlines(self, rows: Ints, pixel_m: float) -> npt.NDArray[np.object_] | None:
        """Outlines of some glaciers, simplified to what is seen at a scale; None where there are none."""
        ground_m = pixel_m / float(mercator.stretch(np.nanmean(self.xy[1][rows])))
        table = self.atlas.outlines(rows.tolist(), tolerance_m=0.4 * ground_m)
        if table is None:
            return None
        shapes: npt.NDArray[np.object_] = np.full(len(self.atlas.glaciers), None, object)
        shapes[table["glacier"].to_numpy(int)] = shapely.transform(
            table.geometry.to_numpy(),
            lambda at: np.column_stack(mercator.to_metres(at[:, 0], at[:, 1], self.centre)),
        )
        return shapes[rows]

    def home(self) -> Box:
        """Box around all glaciers, with a margin."""
        x, y = (values[np.isfinite(values)] for values in self.xy)
        if not x.size:
            return -1e6, -1e6, 1e6, 1e6
        around = max(0.03 * np.ptp(x), 0.03 * np.ptp(y), 0.6 * float(np.nanmax(self.width_m)), 2000.0)
        return x.min() - around, y.min() - around, x.max() + around, y.max() + around

    def box_of(self, row: int) -> Box:
        """Box around one glacier with its neighbourhood."""
        x, y, around = self.xy[0][row], self.xy[1][row], max(4 * self.width_m[row], 4000.0)
        return x - around, y - around, x + around, y + around

    def within(self, box: Box, margin: float = 0.1) -> Ints:
        """Rows of the glaciers in a box, and of some around it."""
        left, low, right, top = box
        wide, high = margin * (right - left), margin * (top - low)
        x, y = self.xy
        return np.flatnonzero((x > left - wide) & (x < right + wide) & (y > low - high) & (y < top + high))

    def nearest(self, x_m: float, y_m: float, tolerance_m: float) -> int | None:
        """Row of the glacier with the nearest centre, if it is within a tolerance."""
        lon, lat = mercator.to_degrees(x_m, y_m)
        row = self.atlas.nearest(float(lon), float(lat))
        away = np.hypot(self.xy[0][row] - x_m, self.xy[1][row] - y_m)
        return row if away <= tolerance_m else None


@dataclass(frozen=True, eq=False)
class Image:
    """Cells of a view, (y, x) from the south."""

    box: Box
    """What they cover."""
    mean: npt.NDArray[np.float32]
    """Mean of the values of the glaciers in a cell, NaN without one"""
    count: npt.NDArray[np.int32]
    """How many glaciers have a value in a cell"""


@dataclass(frozen=True, eq=False)
class Detail:
    """How glaciers are drawn in a view."""

    kind: Kind
    rows: Ints
    """Those that are sent to the browser."""
    shapes: npt.NDArray[np.object_] | None = None
    """Their outlines."""
    pixel_m: float = np.inf
    """Scale that the outlines are made for."""
    image: Image | None = None
    """Cells that stand for the glaciers."""

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.shapes)

    def under(self, x_m: float, y_m: float, tolerance_m: float) -> int | None:
        """Row of the glacier whose outline holds a point, or else passes within a tolerance."""
        if self.shapes is None:
            return None
        point = shapely.Point(x_m, y_m)
        inside = self._tree.query(point, predicate="within")
        found = inside if len(inside) else self._tree.query_nearest(point, max_distance=tolerance_m)
        return int(self.rows[found[0]]) if len(found) else None

    def serves(self, rows: Ints, pixel_m: float) -> bool:
        """Whether these outlines are all that another view needs."""
        return self.kind == "outlines" and self.pixel_m < 3 * pixel_m and bool(np.isin(rows, self.rows).all())


def detail(places: Places, view: Box, pixel_m: float, before: Detail) -> Detail:
    """Choose how glaciers are drawn; reads the outlines that are needed.

    Parameters
    ----------
    places : Places
        All glaciers.
    view : tuple of float
        What is seen, metres of the map.
    pixel_m : float
        Length of a pixel.
    before : Detail
        What is drawn now; it stays where it can.
    """
    rows = places.within(view)
    if len(rows) and len(rows) <= MOST_OUTLINES and np.nanmedian(places.width_m[rows]) / pixel_m >= READABLE_PX:
        if before.serves(rows, pixel_m):
            return before
        around = places.within(view, margin=0.6)
        rows = around if len(around) <= MOST_OUTLINES else rows
        shapes = places.outlines(rows, pixel_m)
        if shapes is not None:
            return Detail("outlines", rows, shapes, pixel_m)
    everything = len(places.size_px)
    if everything <= MOST_DOTS:
        return before if before.kind == "dots" and len(before.rows) else Detail("dots", np.arange(everything))
    return Detail("dots", rows) if len(rows) <= MOST_DOTS_IN_VIEW else Detail("image", rows)


def rings(shapes: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Outlines as bokeh takes them: x and y by glacier, by part, by ring."""
    xs, ys = [], []
    for shape in shapes:
        parts = [[part.exterior, *part.interiors] for part in getattr(shape, "geoms", [shape]) if part is not None]
        at = [[np.round(shapely.get_coordinates(ring)[:-1], 1).T.tolist() for ring in part] for part in parts]
        xs.append([[ring[0] for ring in part] for part in at])
        ys.append([[ring[1] for ring in part] for part in at])
    return xs, ys


def shaded(places: Places, values: Floats, view: Box, pixels: tuple[int, int]) -> Image:
    """Glaciers of a view by cells of some pixels."""
    import datashader
    import pandas as pd

    left, low, right, top = view
    canvas = datashader.Canvas(
        plot_width=max(pixels[0] // CELL_PX, 1),
        plot_height=max(pixels[1] // CELL_PX, 1),
        x_range=(left, right),
        y_range=(low, top),
    )
    table = pd.DataFrame({"x": places.xy[0], "y": places.xy[1], "value": values})
    told = datashader.summary(mean=datashader.mean("value"), count=datashader.count("value"))
    cells = canvas.points(table, "x", "y", told)
    return Image(view, cells["mean"].to_numpy().astype("f4"), cells["count"].to_numpy().astype("i4"))
