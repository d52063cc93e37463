"""Ice cells of glaciers as the raster networks see them: their neighbourhood, height, radiation and area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.models.form import SPAN_M
from glacierscale.region import WINTER_MONTHS
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

RADIATION_W_M2 = 200.0
"""Potential radiation that the radiation share of melt refers to: the order of a mid-latitude annual mean."""

_SCALES: Mapping[str, tuple[float, float]] = {
    "height": (0.0, SPAN_M),
    "elevation": (0.0, 500.0),
    "slope": (15.0, 15.0),
    "sin_aspect": (0.0, 1.0),
    "cos_aspect": (0.0, 1.0),
    "curvature": (0.0, 5e-3),
    "ice_fraction": (0.5, 0.5),
    "thickness": (50.0, 50.0),
    "velocity": (10.0, 20.0),
    "margin_distance": (200.0, 300.0),
    "radiation": (200.0, 60.0),
    "shade": (0.0, 0.5),
}
"""Centre and scale of every static input. They are fixed numbers, not fitted ones: nothing leaks between folds.

``height`` is elevation above the outline's mean, ``elevation`` above the region's, ``radiation`` the annual mean and
``shade`` how much more of it falls in the winter half.
"""

INPUTS = tuple(_SCALES)
"""Static inputs in order; a region without thickness or velocity has those two at their centre."""

_NEEDED = ("elevation", "slope", "sin_aspect", "cos_aspect", "curvature", "ice_fraction", "margin_distance")


class Ground(Protocol):
    """Ice cells of outlines, in memory as a `Surface` or in stores; cells of one outline follow one another."""

    @property
    def unit_id(self) -> npt.NDArray[np.str_]:
        """(outline,) observed glacier it belongs to."""
        ...

    @property
    def feature_row(self) -> Ints:
        """(outline,) its position in the features."""
        ...

    @property
    def cells(self) -> Ints:
        """(outline,) how many cells it has."""
        ...

    def take(self, outlines: Ints) -> Surface:
        """Some of the outlines, ascending."""
        ...


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Ice cells of some outlines."""

    context: Floats
    """(cell, input) scaled neighbourhood, float32"""
    elevation: Floats
    """(cell,) m"""
    mean_elevation: Floats
    """(cell,) m, of the cell's outline"""
    radiation: Floats
    """(cell, month) relative to `RADIATION_W_M2`, minus 1"""
    area: Floats
    """(cell,) m2 of ice"""
    row: Ints
    """(cell,) in the patch"""
    column: Ints
    """(cell,)"""
    outline: Ints
    """(cell,) number of the outline, ascending"""
    unit_id: npt.NDArray[np.str_]
    """(outline,) observed glacier it belongs to"""
    feature_row: Ints
    """(outline,) its position in the features"""
    centre_lon: Floats
    """(outline,) degrees, of the patch"""
    centre_lat: Floats
    """(outline,)"""
    resolution: Floats
    """(outline,) m"""
    size: Ints
    """(outline,) cells of a side of the patch"""

    @property
    def cells(self) -> Ints:
        """(outline,) how many cells it has."""
        return np.bincount(self.outline, minlength=len(self.unit_id))

    @classmethod
    def concatenate(cls, parts: Sequence[Surface]) -> Surface:
        """The outlines of several surfaces in order."""
        joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)}
        before = np.cumsum([0, *(len(part.unit_id) for part in parts)])
        joined["outline"] = np.concatenate([part.outline + n for part, n in zip(parts, before, strict=False)])
        return cls(**joined)

    def take(self, outlines: Ints) -> Surface:
        """Some of the outlines, ascending."""
        cells = np.isin(self.outline, outlines)
        along = {f.name: getattr(self, f.name) for f in fields(self)}
        of_cell = {name: v[cells] for name, v in along.items() if len(v) == len(self.outline) and name in _OF_CELL}
        of_outline = {name: v[outlines] for name, v in along.items() if name not in _OF_CELL}
        of_cell["outline"] = np.searchsorted(outlines, of_cell["outline"])
        return Surface(**of_cell, **of_outline)


_OF_CELL = ("context", "elevation", "mean_elevation", "radiation", "area", "row", "column", "outline")


def surface_of(patches: xr.Dataset, reference_elevation_m: float, kernel: int) -> Surface:
    """Ice cells of a (loaded) run of patches of one size; glaciers that are set aside have none.

    Parameters
    ----------
    patches : xarray.Dataset
        A checked Patches dataset or a slice of one along glacier.
    reference_elevation_m : float
        Mean elevation of the region's ice.
    kernel : int
        Side of the neighbourhood, cells.

    Raises
    ------
    ValueError
        If a channel is missing, or a glacier that is not set aside has NaN on its ice.
    """
    usable = np.flatnonzero(text(patches.set_aside.values) == "")
    patches = patches.isel(glacier=usable)
    names = text(patches.channel.values).tolist()
    absent = sorted(set(_NEEDED) - set(names))
    if absent:
        raise ValueError(f"the patches lack the channels {absent}; they have {names}. Rasterize again.")
    raster = {name: patches.rasters.values[:, number] for number, name in enumerate(names)}
    radiation = patches.radiation.values
    fraction = raster["ice_fraction"]
    glacier, row, column = np.nonzero(~(fraction <= 0))  # NaN too, to be refused
    _refuse_nan(text(patches.glacier_id.values), glacier, row, column, raster | {"radiation": radiation.mean(axis=1)})

    area = (fraction * (patches.resolution.values**2)[:, None, None])[glacier, row, column]
    height = raster["elevation"][glacier, row, column]
    count = len(usable)
    mean = np.bincount(glacier, area * height, count) / np.bincount(glacier, area, count)
    annual, months = radiation.mean(axis=1), np.split(radiation, [WINTER_MONTHS], axis=1)
    winter = months[0].sum(axis=1) - months[1].sum(axis=1)
    raster |= {
        "height": raster["elevation"] - mean[:, None, None],
        "elevation": raster["elevation"] - reference_elevation_m,
        "radiation": annual,
        "shade": winter / np.maximum(annual * 12, 1e-6) + 0.3,
    }
    return Surface(
        context=_neighbourhoods(raster, glacier, row, column, kernel),
        elevation=height.astype(np.float32),
        mean_elevation=mean[glacier].astype(np.float32),
        radiation=(radiation[glacier, :, row, column] / RADIATION_W_M2 - 1).astype(np.float32),
        area=area.astype(np.float64),
        row=row,
        column=column,
        outline=glacier,
        unit_id=text(patches.unit_id.values),
        feature_row=patches.feature_row.values.astype(np.int64),
        centre_lon=patches.centre_lon.values,
        centre_lat=patches.centre_lat.values,
        resolution=patches.resolution.values.astype(float),
        size=np.full(count, patches.sizes["x"]),
    )


def _neighbourhoods(raster: Mapping[str, Floats], glacier: Ints, row: Ints, column: Ints, kernel: int) -> Floats:
    """Scaled inputs around every cell: (cell, channel x kernel x kernel) float32; unknown values at their centre."""
    half = kernel // 2
    parts = []
    for name, (centre, scale) in _SCALES.items():
        if name not in raster:
            parts.append(np.zeros((len(glacier), kernel**2), np.float32))
            continue
        scaled = np.nan_to_num((raster[name] - centre) / scale, nan=0.0).astype(np.float32)
        padded = np.pad(np.clip(scaled, -4, 4), [(0, 0), (half, half), (half, half)], mode="edge")
        window = [padded[glacier, row + dy, column + dx] for dy in range(kernel) for dx in range(kernel)]
        parts.append(np.stack(window, axis=1))
    return np.concatenate(parts, axis=1)


def _refuse_nan(
    ids: npt.NDArray[np.str_], glacier: Ints, row: Ints, column: Ints, raster: Mapping[str, Floats]
) -> None:
    for name in (*_NEEDED, "radiation"):
        unknown = ~np.isfinite(raster[name][glacier, row, column])
        if unknown.any():
            who = ids[glacier[unknown][0]]
            raise ValueError(
                f"channel {name!r} is NaN on {unknown.sum()} ice cells, the first of {who}; expected numbers on all "
                "ice. Rasterize again, with terrain that covers the glacier, or leave the glacier out."
            )
