"""Published ice thickness and the elevation models it belongs to -> thickness and its surface on the terrain's grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.schema import CUBE
from glacierscale.sources import terrain

if TYPE_CHECKING:
    import geopandas as gpd

LOWEST_M, HIGHEST_M = -1.0, 5000.0
"""What lies between them is ice or noise around none; the thickest ice on Earth is 4.9 km (Fretwell et al. 2013)."""

MOST_DISCARDED = 0.05
"""Share of the cells with ice, at most, that may hold other numbers; where there are more, the raster is another."""

MOST_UNKNOWN = 0.01
"""Share of the cells with ice, at most, that may lack an elevation, as some do where a model ends at the ice."""

MOST_OUTSIDE = 0.05
"""Share of a raster's volume, at most, that may lie more than a cell outside of all outlines."""

_APART = 0.01  # of a cell: rounding of coordinates


@dataclass(frozen=True, kw_only=True)
class Field:
    """Ice thickness of one raster, with the elevation of its surface where there is one."""

    name: str
    """Name of the raster"""
    thickness: xr.DataArray
    """(y, x) m float32, with a CRS; 0 where there is no ice, NaN where a number was discarded"""
    surface: xr.DataArray | None
    """(y, x) m on the same cells"""
    discarded: int
    """How many cells held a number that is no thickness"""


def fields(
    rasters: Sequence[tuple[str, xr.DataArray]],
    surfaces: Sequence[tuple[str, xr.DataArray]] = (),
    *,
    crs: str | None = None,
    surface_crs: str | None = None,
    shifted: Sequence[str] = (),
    highest_m: float = HIGHEST_M,
) -> list[Field]:
    """Check thickness rasters and pair them with their elevation models by the number in their names.

    Parameters
    ----------
    rasters : sequence of (name, xarray.DataArray)
        (y, x) or (band=1, y, x) m of ice, 0 or no value where there is none.
    surfaces : sequence of (name, xarray.DataArray)
        Elevation, m, of the surface that each of them refers to, on the same grid; empty where there are none.
    crs, surface_crs : str, optional
        CRS of rasters that carry none (``"EPSG:32632"``); a tag in the file has precedence.
    shifted : sequence of str
        Numbers of rasters whose elevation model is known to lie on another grid: it is resampled, bilinearly.
    highest_m : float
        Values above it or below `LOWEST_M` are discarded; what remains negative is noise around 0 and becomes 0.

    Raises
    ------
    ValueError
        For an elevation model that is missing or lies on other cells, elevations unknown on ice, or many values that
        are no thickness.
    """
    by_number = {number_of(name): (name, raster) for name, raster in surfaces}
    if len(by_number) < len(surfaces) or len({number_of(name) for name, _ in rasters}) < len(rasters):
        raise ValueError("several rasters have the same number in their names; expected one of each glacier.")
    made = []
    for name, raster in rasters:
        values, discarded = _cleaned(terrain.plane_of(raster, name, crs), name, highest_m)
        number, surface = number_of(name), None
        if surfaces:
            if len(rasters) == len(surfaces) == 1:
                number = number_of(surfaces[0][0])
            if number not in by_number:
                raise ValueError(
                    f"{name} has no elevation model numbered {number!r}; expected one of each thickness raster. "
                    "Add it, or leave out the elevation models: then the terrain is the surface."
                )
            other, dem = by_number[number]
            surface = _surface(
                values, terrain.plane_of(dem, other, surface_crs), name, other, number_of(name) in shifted
            )
        made.append(Field(name=name, thickness=values, surface=surface, discarded=discarded))
    return made


def number_of(name: str) -> str:
    """Longest run of digits in a name, ``00897`` of ``RGI60-11.00897_thickness``; the name where it has none."""
    return max(re.findall(r"\d+", name), key=len, default=name)


def _cleaned(plane: xr.DataArray, name: str, highest_m: float) -> tuple[xr.DataArray, int]:
    """Thickness with 0 for no ice and NaN for what is none, and how many cells that are."""
    values = terrain.masked(plane).fillna(0.0)
    wrong = (values < LOWEST_M) | (values > highest_m)
    discarded, filled = int(wrong.sum()), int((values != 0).sum())
    if discarded > MOST_DISCARDED * filled:
        raise ValueError(
            f"{name}: {discarded} of {filled} cells that are not 0 lie below {LOWEST_M:g} or above {highest_m:g}, from "
            f"{float(values.min()):g} to {float(values.max()):g}; expected ice thickness in m, 0 where there is none. "
            "Check its sign, unit and nodata tag, or set highest_m in the catalogue."
        )
    return values.clip(min=0.0).where(~wrong), discarded


def _surface(ice: xr.DataArray, dem: xr.DataArray, name: str, other: str, may_shift: bool) -> xr.DataArray:
    """Elevation on the cells of the thickness."""
    from rasterio.enums import Resampling

    values = terrain.masked(dem)
    apart = _apart(ice, dem)
    if apart and not may_shift:
        raise ValueError(
            f"{name} and {other} {apart}; expected the same cells, or the ice lies on another glacier's slopes. Take "
            f"the elevation model that belongs to it, or, if both lie where they should, set shifted: "
            f"['{number_of(name)}'] in the catalogue's entry of the elevation models, and it is resampled."
        )
    if apart:
        values = values.rio.write_nodata(np.nan).rio.reproject_match(ice, resampling=Resampling.bilinear)
    values = values.assign_coords({axis: ice[axis].values for axis in ("y", "x")})
    iced = ice > 0
    low, high = terrain.ELEVATION_LIMITS_M
    values = values.where((values >= low) & (values <= high))
    unknown = int((values.isnull() & iced).sum())
    if unknown > MOST_UNKNOWN * int(iced.sum()):
        raise ValueError(
            f"{other}: {unknown} of {int(iced.sum())} cells with ice of {name} have no elevation between {low:g} and "
            f"{high:g} m; expected the surface of all ice, without which its bed is unknown. Check its nodata tag and "
            "unit, or leave out the elevation models."
        )
    return values


def _apart(ice: xr.DataArray, dem: xr.DataArray) -> str:
    """How two grids differ, in words; empty where they do not."""
    if ice.rio.crs != dem.rio.crs:
        return f"have different CRS ({_named(ice)} and {_named(dem)})"
    if ice.shape != dem.shape:
        return "have {} x {} and {} x {} cells".format(*ice.shape, *dem.shape)
    gaps = {}
    for axis in ("x", "y"):
        here, there = ice[axis].values, dem[axis].values
        cell = (here[-1] - here[0]) / (len(here) - 1)
        gaps[axis] = max(abs(there[0] - here[0]), abs(there[-1] - here[-1])) / abs(cell)
    if max(gaps.values()) <= _APART:
        return ""
    return f"lie {gaps['x']:.3g} cells apart in x and {gaps['y']:.3g} in y"


def _named(plane: xr.DataArray) -> str:
    return str(plane.rio.crs.to_string()).split("[")[0] or "none"


def check_inside(
    found: Sequence[Field], outlines: gpd.GeoDataFrame, cell_m: float, *, beyond: Sequence[str] = ()
) -> None:
    """Refuse ice outside of all outlines, which is displaced or of glaciers that the outlines lack.

    Parameters
    ----------
    found : sequence of Field
    outlines : geopandas.GeoDataFrame
        Of all glaciers that ice may belong to.
    cell_m : float
        Ice so near to an outline counts as inside: what the cells of the terrain cannot tell.
    beyond : sequence of str
        Numbers of rasters that are known to reach beyond the outlines; patches cut off what does.

    Raises
    ------
    ValueError
        If more than `MOST_OUTSIDE` of the volume of another raster lies outside.
    """
    from rasterio.features import rasterize
    from scipy import ndimage

    shapes: dict[str, gpd.GeoSeries] = {}
    for field in found:
        ice, plane = field.thickness.fillna(0.0).values.astype(float), field.thickness.rio
        wkt = plane.crs.to_wkt()
        shapes[wkt] = shapes[wkt] if wkt in shapes else outlines.geometry.to_crs(wkt)
        near = shapes[wkt].cx[slice(*plane.bounds()[::2]), slice(*plane.bounds()[1::2])]
        inside = np.zeros(ice.shape, bool)
        if len(near):
            marked = rasterize(near, out_shape=ice.shape, transform=plane.transform(), all_touched=True, dtype="uint8")
            side = abs(plane.resolution()[0]) * (111_195.0 if plane.crs.is_geographic else 1.0)
            inside = ndimage.binary_dilation(marked, np.ones((3, 3)), iterations=max(1, round(cell_m / side)))
        share = float(ice[~inside].sum() / max(ice.sum(), 1e-9))
        if share > MOST_OUTSIDE and number_of(field.name) not in beyond:
            raise ValueError(
                f"{field.name}: {100 * share:.1f} % of the ice volume lies outside of all outlines, more than a cell "
                f"away; expected at most {100 * MOST_OUTSIDE:g} %. Check the CRS of both and that the outlines hold "
                "this glacier; if they end at a border and ice does not, set "
                f"beyond: ['{number_of(field.name)}'] in the catalogue's entry of the thickness, and it is cut off."
            )


def onto_grid(found: Sequence[Field], template: xr.DataArray) -> xr.Dataset:
    """Mosaic ice thickness and its surface on the elevation grid.

    Volume is kept: thickness is the mean over a whole cell, so its sum weighted by the area of the cells is that of the
    rasters. Where rasters share a cell, as glaciers do along a divide, their ice adds up; where they hold the same ice
    it counts once, as their mean.

    Parameters
    ----------
    found : sequence of Field
    template : xarray.DataArray
        (y, x) m, as `terrain.normalize_dem` returns it.

    Returns
    -------
    xarray.Dataset
        ``thickness`` (y, x) float32 m, NaN where no raster says anything; ``ice_surface`` (y, x) m, mean of the
        elevation models over the cells with ice, NaN elsewhere, where the fields have surfaces. Attributes
        ``thickness_discarded``, how many cells of rasters held no thickness, and ``ice_surface_offset_m``, the median
        of the terrain minus the surface.

    Raises
    ------
    ValueError
        If no raster touches the grid.
    """
    grid = terrain.plane_of(template, "the template")
    depth, share, height, weight = (np.zeros(grid.shape) for _ in range(4))
    known = np.zeros(grid.shape, bool)
    for field in found:
        window = terrain.window_of(field.thickness, grid)
        if window is None:
            continue
        iced = (field.thickness > 0).astype(np.float32).where(field.thickness.notnull())
        mean, part = terrain.moved(field.thickness, grid, window), terrain.moved(iced, grid, window)
        known[window] |= np.isfinite(mean)
        depth[window] += np.nan_to_num(mean)
        share[window] += np.nan_to_num(part)
        if field.surface is not None:
            above = part * terrain.moved(field.surface, grid, window)
            height[window] += np.nan_to_num(above)
            weight[window] += np.where(np.isfinite(above), part, 0.0)
    if not known.any():
        raise ValueError(
            f"none of the {len(found)} thickness rasters touches the grid; check their CRS and the region."
        )
    joined = {"thickness": np.where(known, depth / np.maximum(share, 1.0), np.nan)}
    attrs: dict[str, float] = {"thickness_discarded": sum(field.discarded for field in found)}
    if any(field.surface is not None for field in found):
        joined["ice_surface"] = np.where(weight > 0, height / np.where(weight > 0, weight, 1.0), np.nan)
        offset = template.values - joined["ice_surface"]
        if np.isfinite(offset).any():
            attrs["ice_surface_offset_m"] = round(float(np.nanmedian(offset)), 2)
    return xr.Dataset({name: _described(values, name, grid) for name, values in joined.items()}, attrs=attrs)


def _described(values: npt.NDArray[np.floating], name: str, grid: xr.DataArray) -> xr.DataArray:
    variable = CUBE.variables[name]
    attrs = {"units": variable.units, "long_name": variable.long_name}
    coords = {axis: grid[axis].values for axis in ("y", "x")}
    return xr.DataArray(values.astype(np.float32), dims=("y", "x"), coords=coords, attrs=attrs)
