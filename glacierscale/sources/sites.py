"""Stake sites without outline, terrain or climate grid -> the small outlines, surface and cells their table implies.

A table of stakes may state all that a model of points needs: position, elevation, slope, aspect, and the climate of
the reanalysis cell. These functions lay it out on the grids of the cube, so that stakes take the way of glaciers.
"""

from __future__ import annotations

import re

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import xarray as xr
from pyproj import Transformer

from glacierscale.region import MONTHS
from glacierscale.schema import CUBE
from glacierscale.sources.climate import TEMPERATURE_LIMITS_DEGC
from glacierscale.units import convert

SIDE_M = 300.0
"""Side of the square that stands for a site."""

REACH_M = 2000.0
"""How far from a site its surface is continued, so that a patch around it is filled."""

CELL_M = 50.0
"""Cell of the surface."""

CLIMATE_CELL_DEG = 0.1
"""Cell of ERA5-Land; centres are multiples of it (Munoz-Sabater et al. 2021, doi 10.5194/essd-13-4349-2021)."""

_SITE = ["RGIId", "POINT_ID", "POINT_LAT", "POINT_LON"]
_SURFACE = [*_SITE, "POINT_ELEVATION", "slope", "aspect"]
_COLUMN = re.compile(rf"(t2m|tp)_({'|'.join(MONTHS)})(_?)")

Floats = npt.NDArray[np.float64]


def outlines(table: pd.DataFrame) -> gpd.GeoDataFrame:
    """Draw a square of `SIDE_M` around every distinct site. The squares are no glacier outlines.

    Parameters
    ----------
    table : pandas.DataFrame
        ``RGIId``, ``POINT_ID``, ``POINT_LAT``, ``POINT_LON``; a site may be in many rows.

    Returns
    -------
    geopandas.GeoDataFrame
        ``glacier_id`` (``RGI60-06.00228_d01``: the sites of a glacier are its parts and share its observations),
        ``name`` and ``geometry``, in the UTM zone of the sites: the form ``"glacierscale"`` of `sources.outlines`.
    """
    sites = _sites(table, _SITE)
    x, y, crs = _projected(sites)
    number = sites.groupby("RGIId").cumcount() + 1
    half = SIDE_M / 2
    return gpd.GeoDataFrame(
        {
            "glacier_id": sites["RGIId"] + "_d" + number.astype(str).str.zfill(2),
            "name": sites["POINT_ID"],
        },
        geometry=shapely.box(x - half, y - half, x + half, y + half),
        crs=crs,
    )


def surface(table: pd.DataFrame) -> xr.DataArray:
    """Lay the plane through each site's elevation, slope and aspect onto one grid.

    Parameters
    ----------
    table : pandas.DataFrame
        As for `outlines`, with ``POINT_ELEVATION`` (m; the mean where it changes from year to year), ``slope``
        and ``aspect`` (radians; the aspect is the way down, clockwise from north).

    Returns
    -------
    xarray.DataArray
        ``elevation`` (y, x) m of cells of `CELL_M` in the UTM zone of the sites: the plane of the nearest site within
        `REACH_M`, NaN elsewhere.
    """
    sites = _sites(table, _SURFACE)
    for name in ("slope", "aspect"):
        if not sites[name].between(0, np.pi / 2 if name == "slope" else 2 * np.pi).all():
            raise ValueError(f"{name} of the sites runs to {sites[name].abs().max():g}; expected radians.")
    x, y, crs = _projected(sites)
    axes = [CELL_M * np.arange(np.floor((v.min() - REACH_M) / CELL_M), (v.max() + REACH_M) / CELL_M) for v in (x, y)]
    columns, rows = axes[0] + CELL_M / 2, axes[1][::-1] + CELL_M / 2
    nearest, elevation = np.full((2, len(rows), len(columns)), [[[REACH_M]], [[np.nan]]])
    for site in range(len(sites)):
        east, north = columns[None, :] - x[site], rows[:, None] - y[site]
        distance = np.hypot(east, north)
        aspect = sites["aspect"][site]
        down = (east * np.sin(aspect) + north * np.cos(aspect)) * np.tan(sites["slope"][site])
        here = distance <= nearest
        elevation[here] = (sites["POINT_ELEVATION"][site] - down)[here]
        nearest[here] = distance[here]
    coords = {"y": rows, "x": columns}
    plane = xr.DataArray(elevation, dims=("y", "x"), coords=coords, name="elevation", attrs={"units": "m"})
    import rioxarray  # noqa: F401 - registers the accessor

    written: xr.DataArray = plane.rio.write_crs(crs)
    return written


def climate(table: pd.DataFrame) -> xr.Dataset:
    """Lay monthly ERA5-Land climate, given as columns of a table of stakes, onto the cells it was taken from.

    Parameters
    ----------
    table : pandas.DataFrame
        ``YEAR``, ``POINT_LAT``, ``POINT_LON``, ``ALTITUDE_CLIMATE`` (m, height of the cell) and a column for each
        variable and month: ``t2m_oct`` .. ``t2m_sep`` (K) and ``tp_oct`` .. ``tp_sep`` (m per day, the mean of daily
        totals) of the hydrological year; a trailing ``_`` marks April to September before it (``t2m_apr_``) and October
        to December after it (``t2m_oct_``).

    Returns
    -------
    xarray.Dataset
        ``temp``, ``precip``, ``clim_height`` as of `sources.climate.normalize`, on the cells around the sites and one
        more on each side. The time axis is gapless from the first to the last month of the table; months and cells
        that no row speaks of are NaN. Negative precipitation becomes 0 (``attrs["precip_clipped"]`` counts it).

    Raises
    ------
    ValueError
        If a column is missing, or rows of one cell disagree.
    """
    wanted = {f"{variable}_{month}" for variable in ("t2m", "tp") for month in MONTHS}
    _require(table, sorted({"YEAR", "POINT_LAT", "POINT_LON", "ALTITUDE_CLIMATE"} | wanted))
    lat, lon = (np.round(table[name].to_numpy(np.float64) / CLIMATE_CELL_DEG) for name in ("POINT_LAT", "POINT_LON"))
    axes = [np.arange(cells.min() - 1, cells.max() + 2) for cells in (lat, lon)]
    row, column = (lat - axes[0][0]).astype(int), (lon - axes[1][0]).astype(int)
    height = np.full((len(axes[0]), len(axes[1])), np.nan)
    _put(height, (row, column), table["ALTITUDE_CLIMATE"].to_numpy(np.float64), "ALTITUDE_CLIMATE")
    time, fields = _series(table, row, column, height.shape)

    temp = convert(fields["t2m"], "K", "degC", name="t2m")
    low, high = TEMPERATURE_LIMITS_DEGC
    if np.nanmin(temp) < low or np.nanmax(temp) > high:
        raise ValueError(
            f"t2m runs from {np.nanmin(temp):.1f} to {np.nanmax(temp):.1f} degC after conversion; expected {low:g} to "
            f"{high:g}. The columns are in K."
        )
    days = ((time + 1).astype("datetime64[D]") - time.astype("datetime64[D]")).astype(np.float64)
    precip = convert(fields["tp"], "m w.e.", "kg m-2", name="tp") * days[:, None, None]
    grid = ("time", "clim_lat", "clim_lon")
    result = xr.Dataset(
        {
            "temp": (grid, temp.astype(np.float32)),
            "precip": (grid, np.maximum(precip, 0.0).astype(np.float32)),
            "clim_height": (grid[1:], height.astype(np.float32)),
        },
        coords={
            "time": time.astype("datetime64[ns]"),
            "clim_lat": np.round(axes[0] * CLIMATE_CELL_DEG, 6),
            "clim_lon": np.round(axes[1] * CLIMATE_CELL_DEG, 6),
        },
        attrs={"climate_convention": "era5_land_columns", "precip_clipped": int((precip < 0).sum())},
    )
    for name in ("temp", "precip", "clim_height"):
        result[name].attrs = {"units": CUBE.variables[name].units, "long_name": CUBE.variables[name].long_name}
    return result


def _series(
    table: pd.DataFrame, row: npt.NDArray[np.int_], column: npt.NDArray[np.int_], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.datetime64], dict[str, Floats]]:
    """Months of the table, gapless (time,), and its variables on the cells (time, clim_lat, clim_lon)."""
    columns = {str(name): found for name in table.columns if (found := _COLUMN.fullmatch(str(name)))}
    months = {name: _month(table["YEAR"], found[2], bool(found[3])) for name, found in columns.items()}
    first, last = min(m.min() for m in months.values()), max(m.max() for m in months.values())
    time = np.arange(first, last + 1).astype("datetime64[M]")
    fields = {variable: np.full((len(time), *shape), np.nan) for variable in ("t2m", "tp")}
    for name, found in columns.items():
        values = table[name].to_numpy(np.float64)
        _put(fields[found[1]], (months[name] - first, row, column), values, name)
    return time, fields


def _sites(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """One row a site, elevations averaged, in the order of glacier and name."""
    _require(table, columns)
    if table[columns].isna().any(axis=None) or table.empty:
        raise ValueError(f"sites need a value in each of {', '.join(columns)}; drop rows without, or fill them.")
    return table[columns].groupby(_SITE, as_index=False).mean()


def _require(table: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        raise ValueError(f"the table of stakes lacks {shown}; take the one that has them.")


def _projected(sites: pd.DataFrame) -> tuple[Floats, Floats, str]:
    """Positions in the UTM zone of the sites' mean: (site,) m twice, and the CRS."""
    lon, lat = sites["POINT_LON"].to_numpy(np.float64), sites["POINT_LAT"].to_numpy(np.float64)
    zone = int((lon.mean() + 180) // 6) % 60 + 1
    crs = f"EPSG:{(32600 if lat.mean() >= 0 else 32700) + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    return np.asarray(x), np.asarray(y), crs


def _month(year: pd.Series, name: str, beyond: bool) -> npt.NDArray[np.int64]:
    """Months since January 1970 of a month of hydrological years, or of the one next to them."""
    autumn = MONTHS.index(name) < 3
    calendar = year.to_numpy(np.int64) - (autumn != beyond)
    return np.asarray((calendar - 1970) * 12 + (MONTHS.index(name) + 9) % 12)


def _put(field: Floats, at: tuple[npt.NDArray[np.int64], ...], values: Floats, name: str) -> None:
    """Write values into a field, refusing those that contradict what it holds or one another."""
    told = np.isfinite(values)
    at = tuple(index[told] for index in at)
    for place, value, row in zip(zip(*at, strict=True), values[told], np.flatnonzero(told), strict=True):
        held = field[place]
        if np.isfinite(held) and abs(held - value) > 1e-5 * abs(value):
            raise ValueError(
                f"row {int(row)} gives {name} = {value:g} where another row of the same climate cell and month "
                f"gives {held:g}; stakes in one cell share its climate. Correct the table."
            )
        field[place] = value
