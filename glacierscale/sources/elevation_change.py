"""Published changes of elevation and the elevation models that go with them -> cells of single glaciers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from re import findall
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
import xarray as xr

from glacierscale.sources import terrain

if TYPE_CHECKING:
    import geopandas as gpd

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Change of elevation in one raster, of one glacier or of many."""

    name: str
    """Name of the raster"""
    change: xr.DataArray
    """(y, x) m, later minus earlier, with a CRS; NaN where unknown"""
    other: str
    """Name of its elevation model"""
    elevation: xr.DataArray
    """(y, x) m, NaN where unknown"""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What a survey knows inside one outline."""

    change_m: Floats
    """(cell,)"""
    elevation_m: Floats
    """(cell,)"""
    share: float
    """Of the outline's area that these cells are"""


def surveys(
    changes: Sequence[tuple[str, xr.DataArray]],
    elevations: Sequence[tuple[str, xr.DataArray]],
    *,
    crs: str | None = None,
    elevation_crs: str | None = None,
) -> list[Survey]:
    """Pair changes of elevation with their elevation models by the identifiers in their names.

    Parameters
    ----------
    changes : sequence of (name, xarray.DataArray)
        (y, x) or (band=1, y, x) m, later minus earlier.
    elevations : sequence of (name, xarray.DataArray)
        Elevation, m, at either date or their mean. One of each paired with the other, whatever their names.
    crs, elevation_crs : str, optional
        CRS of rasters that carry none (``"EPSG:32632"``); a tag in the file has precedence.

    Raises
    ------
    ValueError
        For a change without elevation model, two of one identifier, a CRS that is missing, or pairs of two CRS. Whether
        cells lie on one another is for the caller to check.
    """
    by_identifier = {identifier_of(name): (name, raster) for name, raster in elevations}
    if len(by_identifier) < len(elevations) or len({identifier_of(name) for name, _ in changes}) < len(changes):
        raise ValueError("several rasters have the same identifier in their names; expected one of each glacier.")
    if len(changes) == len(elevations) == 1:
        by_identifier = {identifier_of(changes[0][0]): elevations[0]}
    found = []
    for name, raster in changes:
        if identifier_of(name) not in by_identifier:
            raise ValueError(
                f"{name} has no elevation model with the identifier {identifier_of(name)!r}; expected one of each "
                "change of elevation. Add it to the entry of role elevation_change_dem, or leave out the change."
            )
        other, model = by_identifier[identifier_of(name)]
        change, elevation = terrain.plane_of(raster, name, crs), terrain.plane_of(model, other, elevation_crs)
        if change.rio.crs != elevation.rio.crs:
            raise ValueError(
                f"{name} and {other} have different CRS ({change.rio.crs} and {elevation.rio.crs}); expected one "
                "grid. Resample one onto the other."
            )
        found.append(Survey(name=name, change=terrain.masked(change), other=other, elevation=terrain.masked(elevation)))
    return found


def identifier_of(name: str) -> str:
    """Word of a name with the most digits, ``G006149E45143N`` of ``dh_G006149E45143N``; the name where none has any.

    Whole words count, as glaciers on one meridian share the longest run of digits.
    """
    words: list[str] = findall(r"[^\W_]+", name)
    best = max(words, key=_digits, default=name)
    return best if _digits(best) else name


def _digits(word: str) -> int:
    return sum(map(str.isdigit, word))


def inside(survey: Survey, outlines: gpd.GeoSeries) -> Iterator[tuple[int, Cells]]:
    """Positions of the outlines that hold known cells of a survey, with these cells.

    Parameters
    ----------
    survey : Survey
    outlines : geopandas.GeoSeries
        Polygons in the survey's CRS. A cell is inside where its centre is.
    """
    for position in np.sort(outlines.sindex.query(shapely.box(*survey.change.rio.bounds()))).tolist():
        found = _cells(survey, outlines.iloc[position])
        if len(found.change_m):
            yield position, found


def _cells(survey: Survey, outline: Any) -> Cells:
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    west, south, east, north = outline.bounds
    first, step, window = {}, {}, {}
    for axis, low, high in (("x", west, east), ("y", south, north)):
        centres = survey.change[axis].values
        step[axis] = float(centres[-1] - centres[0]) / (len(centres) - 1)
        near = np.flatnonzero((centres >= low) & (centres <= high))
        if not len(near):
            return Cells(change_m=np.zeros(0), elevation_m=np.zeros(0), share=0.0)
        window[axis] = slice(int(near[0]), int(near[-1]) + 1)
        first[axis] = float(centres[near[0]]) - step[axis] / 2
    change, elevation = (raster.isel(window).values.astype(float) for raster in (survey.change, survey.elevation))
    marked = rasterize(
        [outline],
        out_shape=change.shape,
        transform=Affine(step["x"], 0, first["x"], 0, step["y"], first["y"]),
        dtype="uint8",
    ).astype(bool)
    marked &= np.isfinite(change) & np.isfinite(elevation)
    share = float(marked.sum()) * abs(step["x"] * step["y"]) / outline.area
    return Cells(change_m=change[marked], elevation_m=elevation[marked], share=min(share, 1.0))
