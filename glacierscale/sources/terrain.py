"""Published rasters -> surface elevation and what lies on it on one north-up grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.schema import CUBE

if TYPE_CHECKING:
    import geopandas as gpd

Window = tuple[slice, slice]
"""Rows and columns of a grid."""

NODATA = (-9999.0, -32768.0, -99999.0)
"""Numbers taken as "no value" even where the raster does not tag them; no land surface or ice lies there."""

ELEVATION_LIMITS_M = (-500.0, 9000.0)
"""Below the Dead Sea shore (-430 m) and above Mount Everest (8849 m): not an elevation in metres."""


def normalize_dem(raster: xr.DataArray, *, crs: str | None = None) -> xr.DataArray:
    """Bring a digital elevation model to the cube's form.

    Parameters
    ----------
    raster : xarray.DataArray
        (y, x) or (band=1, y, x) m, with a CRS that rioxarray finds; dask-backed input stays lazy and is streamed once
        for the checks.
    crs : str, optional
        CRS of a raster that carries none (``"EPSG:32632"``); a tag in the file has precedence.

    Returns
    -------
    xarray.DataArray
        ``elevation`` (y, x) float32 m, NaN for no value: the tagged nodata, and `NODATA` whether tagged or not (0 only
        if tagged). Rows run north to south (y descending) and columns west to east, as in a GeoTIFF.
        ``attrs["crs_wkt"]`` holds the CRS.

    Raises
    ------
    ValueError
        For a missing CRS, uneven spacing, values that are no elevations, or no value at all.
    """
    what = str(raster.name or "the elevation raster")
    plane = plane_of(raster, what, crs)
    values = masked(plane)
    found = xr.Dataset({"low": values.min(), "high": values.max(), "count": values.count()}).compute()
    if int(found["count"]) == 0:
        raise ValueError(f"{what} holds no value at all, only nodata; check the file and its nodata tag.")
    low, high = ELEVATION_LIMITS_M
    if float(found["low"]) < low or float(found["high"]) > high:
        raise ValueError(
            f"{what} runs from {float(found['low']):g} to {float(found['high']):g}; expected elevations in metres "
            f"between {low:g} and {high:g}. Suspect an untagged nodata value or the unit (feet, decimetres)."
        )
    return _described(_north_up(values), plane.rio.crs.to_wkt())


def mosaic(
    rasters: Sequence[xr.DataArray], outlines: gpd.GeoDataFrame, *, resolution_m: float, crs: str | None = None
) -> xr.DataArray:
    """Join elevation models of single glaciers on one grid around all outlines.

    Parameters
    ----------
    rasters : sequence of xarray.DataArray
        (y, x) or (band=1, y, x) m, in any CRS and resolution, as for `normalize_dem`. Grids may be shifted against each
        other by parts of a cell.
    outlines : geopandas.GeoDataFrame
        With a geometry in any CRS.
    resolution_m : float
        Side of the cells, in the unit of the first raster's CRS, which is that of the grid.
    crs : str, optional
        CRS of rasters that carry none.

    Returns
    -------
    xarray.DataArray
        As `normalize_dem` returns it: means over what falls into a cell, then over rasters that overlap; NaN where none
        says anything.
    """
    parts = [normalize_dem(raster, crs=crs) for raster in rasters]
    wkt = parts[0].attrs["crs_wkt"]
    west, south, east, north = outlines.to_crs(wkt).total_bounds
    first = np.floor(np.array([west, south]) / resolution_m - 5) * resolution_m
    count = np.ceil((np.array([east, north]) - first) / resolution_m).astype(int) + 5
    x, y = (start + resolution_m * (np.arange(n) + 0.5) for start, n in zip(first, count, strict=True))
    grid = xr.DataArray(np.zeros((len(y), len(x)), np.float32), coords={"y": y[::-1], "x": x}, dims=("y", "x"))
    grid = grid.rio.write_crs(wkt)
    total, number = np.zeros(grid.shape), np.zeros(grid.shape, np.int32)
    for part in parts:
        values = part.rio.write_crs(part.attrs["crs_wkt"])
        window = window_of(values, grid)
        if window is not None:
            means = moved(values, grid, window)
            total[window] += np.nan_to_num(means)
            number[window] += np.isfinite(means)
    if not number.any():
        raise ValueError(
            f"none of the {len(parts)} elevation rasters touches an outline; check their CRS and the region."
        )
    joined = np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)
    return _described(xr.DataArray(joined, coords={"y": grid["y"].values, "x": x}, dims=("y", "x")), wkt)


def _described(elevation: xr.DataArray, wkt: str) -> xr.DataArray:
    variable = CUBE.variables["elevation"]
    elevation = elevation.rename("elevation")
    elevation.attrs = {"units": variable.units, "long_name": variable.long_name, "crs_wkt": wkt}
    return elevation


def onto_grid(rasters: Sequence[xr.DataArray], template: xr.DataArray, *, crs: str | None = None) -> xr.DataArray:
    """Join rasters of something that ice has, such as its speed, on the elevation grid.

    Parameters
    ----------
    rasters : sequence of xarray.DataArray
        (y, x) or (band=1, y, x), in any CRS and resolution.
    template : xarray.DataArray
        (y, x), as `normalize_dem` returns it.
    crs : str, optional
        CRS of rasters that carry none (``"EPSG:32632"``); a tag in the file has precedence.

    Returns
    -------
    xarray.DataArray
        (y, x) float32, means over the template's cells; the largest value where rasters overlap (one says 0 where its
        neighbour has ice), NaN where no raster says anything.

    Raises
    ------
    ValueError
        Where a raster has no CRS and none is given, or none touches the grid.
    """
    grid = plane_of(template, "the template")
    out, touched = np.full(grid.shape, np.nan, np.float32), False
    for number, raster in enumerate(rasters):
        values = masked(plane_of(raster, str(raster.name or f"raster {number}"), crs))
        window = window_of(values, grid)
        if window is not None:
            out[window], touched = np.fmax(out[window], moved(values, grid, window)), True
    if not touched:
        raise ValueError(f"none of the {len(rasters)} rasters touches the grid; check their CRS and the region.")
    return xr.DataArray(out, dims=("y", "x"), coords={axis: grid[axis].values for axis in ("y", "x")})


def moved(values: xr.DataArray, grid: xr.DataArray, window: Window) -> npt.NDArray[np.float32]:
    """Means of what is known (not NaN) over the cells of a window of another grid: (y, x), NaN where nothing is."""
    from rasterio.enums import Resampling

    target = grid.isel(y=window[0], x=window[1])
    means = values.rio.write_nodata(np.nan).rio.reproject_match(target, resampling=Resampling.average)
    return np.asarray(means.values, np.float32)


def plane_of(raster: xr.DataArray, what: str, crs: str | None = None) -> xr.DataArray:
    """Two-dimensional raster with evenly spaced axes, its CRS readable through ``.rio``."""
    import rioxarray  # noqa: F401 - registers the accessor

    if "band" in raster.dims:
        if raster.sizes["band"] != 1:
            raise ValueError(f"{what} has {raster.sizes['band']} bands; expected one. Select a band in the catalogue.")
        raster = raster.isel(band=0, drop=True)
    if set(raster.dims) != {"y", "x"} or not {"y", "x"} <= set(raster.coords):
        raise ValueError(f"{what} has dimensions {tuple(raster.dims)}; expected y and x with coordinates.")
    for axis in ("y", "x"):
        steps = np.diff(raster[axis].values)
        if len(steps) == 0 or not np.allclose(steps, steps.mean(), rtol=1e-3, atol=0):
            raise ValueError(
                f"{what} is not evenly spaced along {axis} (steps {steps.min(initial=np.inf):g} to "
                f"{steps.max(initial=-np.inf):g}); expected a regular grid of at least 2 cells. Resample it first."
            )
    raster = raster.transpose("y", "x")
    if raster.rio.crs is None and raster.attrs.get("crs_wkt"):
        raster = raster.rio.write_crs(raster.attrs["crs_wkt"])
    if raster.rio.crs is None and crs is not None:
        raster = _with_crs(raster, what, crs)
    if raster.rio.crs is None:
        raise ValueError(
            f"{what} has no CRS; expected one that states what x and y are. Write it into the file (gdal_edit -a_srs), "
            "or name it in the catalogue: crs='EPSG:32632'."
        )
    return raster


def _with_crs(raster: xr.DataArray, what: str, crs: str) -> xr.DataArray:
    from pyproj.exceptions import CRSError

    try:
        tagged: xr.DataArray = raster.rio.write_crs(crs)
    except CRSError as error:
        raise ValueError(
            f"{what} has no CRS, and the one that is given is unknown: {crs!r}; expected one such as 'EPSG:32632'. "
            "Correct it in the catalogue."
        ) from error
    return tagged


def masked(plane: xr.DataArray) -> xr.DataArray:
    """Values as float32 with NaN for no value; an undecoded scale and offset is applied."""
    tag: Any = plane.rio.nodata
    values = plane.astype(np.float64)
    missing = ~np.isfinite(values) | values.isin(NODATA) | (np.abs(values) > 1e30)
    if tag is not None and not np.isnan(tag):
        missing = missing | (values == float(tag))
    scale, offset = float(plane.attrs.get("scale_factor", 1.0)), float(plane.attrs.get("add_offset", 0.0))
    return (values.where(~missing) * scale + offset).astype(np.float32)


def _north_up(values: xr.DataArray) -> xr.DataArray:
    if values["y"].values[0] < values["y"].values[-1]:
        values = values.isel(y=slice(None, None, -1))
    if values["x"].values[0] > values["x"].values[-1]:
        values = values.isel(x=slice(None, None, -1))
    return values.drop_vars([name for name in values.coords if name not in ("x", "y")])


def window_of(raster: xr.DataArray, grid: xr.DataArray) -> Window | None:
    """Rows and columns of the grid that the raster may touch, so that only they are resampled."""
    from rasterio.warp import transform_bounds

    west, south, east, north = transform_bounds(raster.rio.crs, grid.rio.crs, *raster.rio.bounds())
    slices = []
    for axis, low, high in (("y", south, north), ("x", west, east)):
        cells = grid[axis].values
        step = abs(float(cells[1] - cells[0]))
        inside = np.flatnonzero((cells >= low - step) & (cells <= high + step))
        if not len(inside):
            return None
        first = min(int(inside[0]), len(cells) - 2)
        slices.append(slice(first, max(int(inside[-1]) + 1, first + 2)))
    return slices[0], slices[1]
