"""Tables of decade means per glacier -> the outlines, climate grid and inventory that they imply.

The climate of such a table is that of a 10' cell, one vector of twelve means for each decade, and its glaciers have
attributes but no geometry. These functions lay both out in the form of the cube: every year of a decade has the same
twelve months, and a disc of the glacier's area stands for its outline.

The cells' own height is not in the table, but follows from its sum of positive temperatures, which was computed after
the temperatures had been moved to the glacier's height by a known rate (`SOURCE_RATE_K_M`, of the wrong sign).
"""

from __future__ import annotations

from itertools import pairwise

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import xarray as xr

from glacierscale.schema import CUBE
from glacierscale.units import WGS84_ECCENTRICITY2, WGS84_RADIUS_M

CELL_DEG = 1 / 6
"""Side of a climate cell: 10 minutes, as of CRU CL 2.0 (New et al. 2002, doi 10.3354/cr021001), onto which OGGM brings
the anomalies of CRU TS."""

SOURCE_RATE_K_M = 0.006
"""What the table's author added per metre of height between cell and glacier; the atmosphere does the opposite."""

VERTICES = 32
"""Vertices of a disc."""

RGI_YEAR = 2000

OTHERS_ALLOWED = 0.05
"""Share of glaciers, those on the edge between two cells, that may have the climate of the neighbouring one."""

_MONTHS = [f"{month:02d}" for month in range(1, 13)]
_TABLE = ["rgi_id", "period", "zmed", "PDD", *(f"{v}_{m}" for v in ("temp", "prcp") for m in _MONTHS)]
_ATTRIBUTES = ["RGIId", "CenLon", "CenLat", "Area", "Zmin", "Zmax", "Zmed", "Slope", "Aspect"]

Floats = npt.NDArray[np.float64]


def discs(attributes: pd.DataFrame) -> gpd.GeoDataFrame:
    """Draw a disc of each glacier's area around its centre. The discs are no glacier outlines.

    Parameters
    ----------
    attributes : pandas.DataFrame
        Attribute table of the RGI 6.0, its geometry left out: ``RGIId``, ``CenLon``, ``CenLat`` (degrees), ``Area``
        (km2), ``Zmin``, ``Zmax``, ``Zmed`` (m), ``Slope`` and ``Aspect`` (degrees), and what else it has.

    Returns
    -------
    geopandas.GeoDataFrame
        The same table with ``geometry`` in degrees, for `sources.outlines.normalize` with ``"rgi6"``.

    Raises
    ------
    ValueError
        If a column is missing, or a glacier has no position or area.
    """
    _require(attributes, _ATTRIBUTES, "attribute table")
    table = pd.DataFrame(attributes.drop(columns="geometry", errors="ignore")).reset_index(drop=True)
    lon, lat, area = (table[name].to_numpy(np.float64) for name in ("CenLon", "CenLat", "Area"))
    bad = ~(np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) < 90) & (area > 0))
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} glaciers such as {table['RGIId'][bad].iloc[0]} have no position or no area; drop them."
        )
    angle = 2 * np.pi * np.arange(VERTICES) / VERTICES
    radius_m = np.sqrt(area * 1e6 / (VERTICES / 2 * np.sin(2 * np.pi / VERTICES)))
    flat = 1 - WGS84_ECCENTRICITY2 * np.sin(np.radians(lat)) ** 2
    along = np.degrees(radius_m / (WGS84_RADIUS_M / np.sqrt(flat) * np.cos(np.radians(lat))))
    up = np.degrees(radius_m / (WGS84_RADIUS_M * (1 - WGS84_ECCENTRICITY2) / flat**1.5))
    corners = np.stack([lon[:, None] + along[:, None] * np.cos(angle), lat[:, None] + up[:, None] * np.sin(angle)], -1)
    return gpd.GeoDataFrame(table, geometry=shapely.polygons(corners), crs="EPSG:4326")


def inventory(attributes: pd.DataFrame) -> pd.DataFrame:
    """Topography of the attribute table, in the form ``"glacierscale"`` of `sources.observations.inventories`.

    Parameters
    ----------
    attributes : pandas.DataFrame
        As for `discs`.

    Returns
    -------
    pandas.DataFrame
        The median elevation stands for the mean one, which the RGI lacks, and the mean slope for that of the tongue;
        an aspect of -9 is unknown. The year is that for which the RGI aims where the table has no date (Pfeffer et al.
        2014, doi 10.3189/2014JoG13J176); a catalogue may state a better one.
    """
    _require(attributes, _ATTRIBUTES, "attribute table")
    aspect = attributes["Aspect"].astype(np.float64)
    return pd.DataFrame(
        {
            "glacier_id": attributes["RGIId"].astype(str),
            "year": RGI_YEAR,
            "area_m2": attributes["Area"].astype(np.float64) * 1e6,
            "mean_elevation": attributes["Zmed"].astype(np.float64),
            "max_elevation": attributes["Zmax"].astype(np.float64),
            "min_elevation": attributes["Zmin"].astype(np.float64),
            "slope20": attributes["Slope"].astype(np.float64),
            "aspect": aspect.where(aspect.between(0, 360)),
        }
    ).reset_index(drop=True)


def climate(tables: list[pd.DataFrame], attributes: pd.DataFrame) -> xr.Dataset:
    """Lay the decade means of glaciers onto the climate cells that they were taken from.

    Parameters
    ----------
    tables : list of pandas.DataFrame
        ``rgi_id``, ``period`` (``"2000-2010"``), ``temp_01`` .. ``temp_12`` (degC) and ``prcp_01`` .. ``prcp_12`` (mm
        per month) from October to September, ``zmed`` (m, the glacier's height) and ``PDD`` (degC month; see
        `height_of_cells`). Periods follow one another without a gap or overlap.
    attributes : pandas.DataFrame
        ``RGIId``, ``CenLon``, ``CenLat`` (degrees).

    Returns
    -------
    xarray.Dataset
        ``temp``, ``precip``, ``clim_height`` as of `sources.climate.normalize`, on the cells around the glaciers and
        one more on each side, NaN where there is no glacier. The decade 2000-2010 is the hydrological years 2000 to
        2009, which all have the same twelve months. ``attrs["other_cell"]`` counts glaciers on the edge of two cells
        that the table gives the other cell's climate.

    Raises
    ------
    ValueError
        If columns or positions are missing, periods do not follow one another, or many glaciers of one cell disagree.
    """
    table = pd.concat(tables, ignore_index=True)
    _require(table, _TABLE, "table of decades")
    places = attributes.set_index("RGIId")[["CenLon", "CenLat"]].astype(np.float64)
    lost = sorted(set(table["rgi_id"]) - set(places.index))
    if lost:
        raise ValueError(f"the attribute table lacks {len(lost)} glaciers of the climate, such as {lost[0]}; add them.")
    if table.duplicated(["rgi_id", "period"]).any():
        raise ValueError("a glacier is in the table of decades twice in one period; keep one row.")
    lon, lat = (np.floor(table["rgi_id"].map(places[name]).to_numpy() / CELL_DEG) for name in ("CenLon", "CenLat"))
    axes = [np.arange(cells.min() - 1, cells.max() + 2) for cells in (lat, lon)]
    row, column = (lat - axes[0][0]).astype(int), (lon - axes[1][0]).astype(int)
    cell = row * len(axes[1]) + column
    values = table[_TABLE[4:]].to_numpy(np.float64)
    vector = np.unique(np.round(values, 6), axis=0, return_inverse=True)[1].ravel()
    first, last = _spans(table["period"])
    height_m = height_of_cells(values[:, :12], table["PDD"].to_numpy(np.float64), table["zmed"].to_numpy(np.float64))

    months = np.arange((first.min() - 1 - 1970) * 12 + 9, (last.max() - 1970) * 12 + 9)
    shape = (len(axes[0]), len(axes[1]))
    fields = np.full((2, len(months) // 12, 12, shape[0] * shape[1]), np.nan, np.float32)
    heights = np.full(shape[0] * shape[1], np.nan, np.float32)
    others = 0
    for period in np.unique(first):
        own = np.flatnonzero(first == period)
        chosen = _most_frequent(cell[own], vector[own])
        others += int((vector[own] != chosen[cell[own]]).sum())
        holder = own[vector[own] == chosen[cell[own]]]
        years = slice(period - first.min(), last[own[0]] - first.min() + 1)
        for number, variable in enumerate((values[:, :12], values[:, 12:])):
            fields[number, years, :, cell[holder]] = variable[holder][:, None, :]
        heights_now = pd.Series(height_m[holder]).groupby(cell[holder]).median()
        fresh = np.isnan(heights[heights_now.index])
        heights[heights_now.index[fresh]] = heights_now[fresh]
    _refuse_disagreement(others, len(table))
    return _dataset(fields.reshape(2, -1, *shape), heights.reshape(shape), months, axes, others)


def height_of_cells(temp_degc: Floats, positive_degc: Floats, glacier_m: Floats) -> Floats:
    """Height of the climate cell, from the sum of positive temperatures that the table's author moved to the glacier.

    That sum is the greatest of the sums of the k warmest months, k from 0 to 12, each moved by the rate times the
    difference of heights; so the difference is the least of those that each k would need.

    Parameters
    ----------
    temp_degc : (row, month)
        Means of the cell.
    positive_degc : (row,)
        Sum over months of the positive part of the temperature plus `SOURCE_RATE_K_M` times (glacier - cell).
    glacier_m : (row,)
        Height of the glacier.

    Returns
    -------
    numpy.ndarray
        (row,) m, NaN where the sum is 0, which says nothing.
    """
    warmest = np.cumsum(-np.sort(-temp_degc, axis=1), axis=1)
    needed = (positive_degc[:, None] - warmest) / (SOURCE_RATE_K_M * np.arange(1, temp_degc.shape[1] + 1))
    height: Floats = np.where(positive_degc > 0, glacier_m - needed.min(axis=1), np.nan)
    return height


def _spans(period: pd.Series) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """First and last hydrological year of each period, which together leave no gap: two (row,) arrays."""
    spelt = period.astype(str).str.extract(r"^(\d{4})-(\d{4})$")
    if spelt.isna().any(axis=None):
        raise ValueError(
            f"the period {period[spelt.isna().any(axis=1)].iloc[0]!r} is none; expected such as 2000-2010."
        )
    first, after = (spelt[side].astype(int).to_numpy() for side in (0, 1))
    spans = sorted(set(zip(first.tolist(), after.tolist(), strict=True)))
    if any(start >= end for start, end in spans) or any(a[1] != b[0] for a, b in pairwise(spans)):
        raise ValueError(f"the periods {spans} do not follow one another; expected each to begin where one ends.")
    return first, after - 1


def _most_frequent(cell: npt.NDArray[np.int_], vector: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    """The climate that most glaciers of each cell have: (cell,), -1 where there is no glacier."""
    count = pd.Series(1, index=range(len(cell))).groupby([cell, vector]).sum().sort_values(kind="stable")
    chosen = np.full(cell.max() + 1, -1)
    chosen[count.index.get_level_values(0)] = count.index.get_level_values(1)  # the last one written is the largest
    return chosen


def _refuse_disagreement(others: int, rows: int) -> None:
    if others > OTHERS_ALLOWED * rows:
        raise ValueError(
            f"{others} of {rows} rows have another climate than most glaciers of their cell of {CELL_DEG * 60:g} "
            "minutes; the table is not of that grid."
        )


def _dataset(
    fields: npt.NDArray[np.float32],
    height: npt.NDArray[np.float32],
    months: npt.NDArray[np.int_],
    axes: list[Floats],
    others: int,
) -> xr.Dataset:
    grid = ("time", "clim_lat", "clim_lon")
    known = np.isfinite(height)
    result = xr.Dataset(
        {
            "temp": (grid, np.where(known, fields[0], np.nan)),
            "precip": (grid, np.where(known, fields[1], np.nan)),
            "clim_height": (grid[1:], height),
        },
        coords={
            "time": months.astype("datetime64[M]").astype("datetime64[ns]"),
            "clim_lat": (axes[0] + 0.5) * CELL_DEG,
            "clim_lon": (axes[1] + 0.5) * CELL_DEG,
        },
        attrs={"climate_convention": "decades", "other_cell": others},
    )
    for name in ("temp", "precip", "clim_height"):
        result[name].attrs = {"units": CUBE.variables[name].units, "long_name": CUBE.variables[name].long_name}
    return result


def _require(table: pd.DataFrame, columns: list[str], what: str) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"the {what} lacks {', '.join(missing[:6])}; expected {', '.join(columns[:6])} and so on.")
