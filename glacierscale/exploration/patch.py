"""A raster of one glacier in true proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool

from glacierscale.exploration import looks
from glacierscale.exploration.frame import Box, Frame
from glacierscale.exploration.looks import Scale

if TYPE_CHECKING:
    import xarray as xr


class Patch:
    """An image whose cells, place and colours are exchanged in place."""

    def __init__(self) -> None:
        self.frame = Frame(
            (0, 0, 1, 1), tools="pan,wheel_zoom,reset", active_scroll="wheel_zoom", sizing_mode="stretch_both",
            min_height=240, min_width=200, name="patch",
        )  # fmt: skip
        self._box: Box = (0, 0, 1, 1)
        plot = self.frame.figure
        plot.xaxis.axis_label, plot.yaxis.axis_label = "km east of the centre", "km north"
        self.source = ColumnDataSource({name: [] for name in ("image", "x", "y", "dw", "dh")})
        self._ramp = looks.Ramp(hidden=True)
        drawn = plot.image(
            image="image", x="x", y="y", dw="dw", dh="dh", source=self.source, color_mapper=self._ramp.mapper
        )
        self.bar = looks.colour_bar(self._ramp)
        plot.add_layout(self.bar, "below")
        said = CustomJSHover(code=f"{looks.SAID} return number")
        self._hover = HoverTool(renderers=[drawn], formatters={"@image": said})
        plot.add_tools(self._hover)

    def show(self, raster: xr.DataArray, largest: xr.DataArray, label: str, unit: str, scale: Scale) -> None:
        """Show a raster, (y, x) in metres with row 0 in the north and NaN off the ice, as large as another fits."""
        x, y, cells = raster["x"].to_numpy() / 1000, raster["y"].to_numpy()[::-1] / 1000, raster.to_numpy()[::-1]
        half = (x[-1] - x[0]) / max(len(x) - 1, 1) / 2
        box = x[0] - half, y[0] - half, x[-1] + half, y[-1] + half
        self._ramp.turn(scale)
        self.bar.title = looks.titled(label, unit)
        self._hover.tooltips = f"@image{{custom}} {looks.units(unit)}"
        self.source.data = {
            "image": [np.ascontiguousarray(cells, np.float32)],
            "x": [box[0]],
            "y": [box[1]],
            "dw": [box[2] - box[0]],
            "dh": [box[3] - box[1]],
        }
        self._look_at(_filled(largest, half))

    def _look_at(self, box: Box) -> None:
        if box != self._box:
            self._box = box
            self.frame.fit(box)

    def clear(self) -> None:
        """Show nothing."""
        self.source.data = {name: [] for name in self.source.data}


def _filled(raster: xr.DataArray, half_km: float) -> Box:
    """Box around the cells of a raster that have a value, with a margin; all of it where none has."""
    x, y, there = raster["x"].to_numpy() / 1000, raster["y"].to_numpy() / 1000, np.isfinite(raster.to_numpy())
    if there.any():
        x, y = x[there.any(axis=0)], y[there.any(axis=1)]
    margin = half_km + 0.04 * max(np.ptp(x), np.ptp(y))
    return float(x.min() - margin), float(y.min() - margin), float(x.max() + margin), float(y.max() + margin)
