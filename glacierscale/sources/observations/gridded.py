"""Maps of mass balance, read as one point observation for every block of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from glacierscale.sources.observations.geodetic import DAYS_PER_YEAR
from glacierscale.sources.observations.table import DEFAULT_SIGMA_KG_M2, table_of
from glacierscale.units import convert

Floats = npt.NDArray[np.float64]


def gridded_smb(
    raster: xr.DataArray,
    *,
    unit_id: str,
    units: str | None,
    period: Sequence[Any] | None,
    sigma: float | None = None,
    every: int = 1,
    elevation: xr.DataArray | None = None,
    hemisphere: str = "north",
) -> pd.DataFrame:
    """Points of a map of the mean annual balance over some years.

    Parameters
    ----------
    raster : xarray.DataArray
        (y, x) or (band=1, y, x), in any CRS that rioxarray finds; no value (nodata, NaN) off the glacier.
    unit_id : str
        The glacier that the map shows.
    units : str
        Unit of one year's balance (``"m w.e."``, ``"kg m-2"``).
    period : sequence of two dates
        First and last day over which the map is a mean; an end on the first of a month closes the month before.
    sigma : float, optional
        Standard error of one year's balance, in `units`; that of a stake (`DEFAULT_SIGMA_KG_M2`) where left out. Errors
        of a map are common to all its years, so that of the whole period is the number of years times it.
    every : int
        Side of a block in cells. A block is the mean of its cells, at their mean position; one with values in less than
        half of its cells is left out.
    elevation : xarray.DataArray, optional
        (y, x) m with attribute ``crs_wkt``, as `sources.terrain.normalize_dem` returns it: gives each point the
        elevation of the cell it lies in. NaN where left out, and off its grid.
    hemisphere : {"north", "south"}
        Which hydrological year the last day lies in.

    Returns
    -------
    pandas.DataFrame
        Observations of kind ``"point"``: the total over the period, which is the mean times its years.
        ``attrs["sparse_blocks"]`` counts blocks left out.

    Raises
    ------
    ValueError
        If the period or the unit is missing or wrong, or the map has no CRS, several bands or no value.
    """
    start, end = _dates(period)
    if not units:
        raise ValueError("the map of mass balance states no unit; give one in the catalogue: `units: m w.e.`.")
    lon, lat, mean, sparse = _blocks(_plane(raster), every)
    last = end - pd.Timedelta(days=1) if end.day == 1 else end
    years = float(((last - start).days + 1) / DAYS_PER_YEAR)
    yearly = DEFAULT_SIGMA_KG_M2["point"] if sigma is None else float(convert(sigma, units, "kg m-2", name="sigma"))
    height = np.full(len(mean), np.nan) if elevation is None else _sampled(elevation, lon, lat)
    table = table_of(
        {
            "obs_unit_id": np.full(len(mean), unit_id, object),
            "obs_kind": "point",
            "obs_year": np.int32(last.year + (last.month > (9 if hemisphere == "north" else 3))),
            "obs_value": convert(mean, units, "kg m-2", name="the map of mass balance") * years,
            "obs_sigma": yearly * years,
            "obs_start": start,
            "obs_end": end,
            "obs_elevation": height,
            "obs_lon": lon,
            "obs_lat": lat,
        }
    )
    table.attrs["sparse_blocks"] = sparse
    return table


def _dates(period: Sequence[Any] | None) -> tuple[pd.Timestamp, pd.Timestamp]:
    if period is None or isinstance(period, str) or len(period) != 2:
        raise ValueError(
            f"the map of mass balance states the period {period!r}; expected its first and last day. Give them in the "
            "catalogue: `period: [2006-10-01, 2011-09-30]`."
        )
    start, end = (pd.Timestamp(day) for day in period)
    if not start < end:
        raise ValueError(f"the period of the map ends ({end:%Y-%m-%d}) before it starts ({start:%Y-%m-%d}).")
    return start, end


def _plane(raster: xr.DataArray) -> xr.DataArray:
    """The values (y, x), NaN for no value, with a CRS."""
    import rioxarray  # noqa: F401 - registers the accessor

    if raster.sizes.get("band", 1) != 1:
        raise ValueError(f"the map of mass balance has {raster.sizes['band']} bands; expected one.")
    plane = (raster.isel(band=0, drop=True) if "band" in raster.dims else raster).transpose("y", "x")
    if plane.rio.crs is None:
        raise ValueError("the map of mass balance has no CRS; write it into the file (gdal_edit -a_srs).")
    tag = plane.rio.nodata
    values = plane.astype(np.float64)
    return values if tag is None or np.isnan(tag) else values.where(values != float(tag))


def _blocks(plane: xr.DataArray, every: int) -> tuple[Floats, Floats, Floats, int]:
    """Longitude, latitude, value (block,) of every block of which half has values, and how many have less."""
    import pyproj

    if not isinstance(every, int) or every < 1:
        raise ValueError(f"blocks of every={every!r} cells; expected a whole number of at least 1.")
    values = plane.values
    row, column = np.nonzero(np.isfinite(values))
    across = -(-values.shape[1] // every)
    number, block = np.unique((row // every) * across + column // every, return_inverse=True)
    count = np.bincount(block, minlength=len(number))
    kept = count >= every * every / 2
    if not kept.any():
        raise ValueError("the map of mass balance holds no value, or none that fills half a block; check its nodata.")

    def mean(of_cells: npt.ArrayLike) -> Floats:
        return (np.bincount(block, np.asarray(of_cells, np.float64), len(number)) / count)[kept]

    degrees = pyproj.Transformer.from_crs(plane.rio.crs, "EPSG:4326", always_xy=True)
    lon, lat = degrees.transform(mean(plane.x.values[column]), mean(plane.y.values[row]))
    return lon, lat, mean(values[row, column]), int((~kept).sum())


def _sampled(elevation: xr.DataArray, lon: Floats, lat: Floats) -> Floats:
    """Elevation of the cell each point lies in, NaN off the grid: (point,) m."""
    import pyproj

    x, y = pyproj.Transformer.from_crs("EPSG:4326", elevation.attrs["crs_wkt"], always_xy=True).transform(lon, lat)
    at, inside = [], np.ones(len(lon), bool)
    for centres, wanted in ((elevation.y.values, y), (elevation.x.values, x)):
        place = np.round((wanted - centres[0]) / (centres[1] - centres[0])).astype(int)
        inside &= (place >= 0) & (place < len(centres))
        at.append(np.clip(place, 0, len(centres) - 1))
    return np.where(inside, np.asarray(elevation.values)[at[0], at[1]], np.nan)
