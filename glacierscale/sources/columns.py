"""Climates without a grid of latitude and longitude: of one station, or of massifs by elevation band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

CELL_DEG = 0.02
"""Side of the cells that the climate of massifs is laid out on, about 2 km: the distance between glaciers."""

_TIMES = {"time", "valid_time"}


def station(fields: xr.Dataset, lon: float | None = None, lat: float | None = None) -> xr.Dataset:
    """The monthly climate of one place, as OGGM writes it, on a grid of one cell.

    Parameters
    ----------
    fields : xarray.Dataset
        ``temp`` (time) degC and ``prcp`` (time) kg m-2; the attribute ``ref_hgt`` (m), and ``ref_pix_lon`` and
        ``ref_pix_lat`` (degree) where the file states them.
    lon, lat : float, optional
        Where the place is, for files that do not state it.

    Returns
    -------
    xarray.Dataset
        ``temp``, ``prcp`` (time, lat, lon) and ``hgt`` (lat, lon), as HISTALP has them.
    """
    missing = [name for name in ("temp", "prcp") if name not in fields]
    missing += [] if "ref_hgt" in fields.attrs else ["the attribute ref_hgt"]
    if missing:
        raise ValueError(
            f"the climate lacks {', '.join(missing)}; it has {', '.join(map(str, fields.variables))}. Check the "
            "convention in the catalogue."
        )
    lon, lat = fields.attrs.get("ref_pix_lon", lon), fields.attrs.get("ref_pix_lat", lat)
    if lon is None or lat is None:
        raise ValueError("the climate does not state where it is; give `lon` and `lat` in the catalogue.")
    cell = fields[["temp", "prcp"]].expand_dims(lat=[float(lat)], lon=[float(lon)])
    height = np.full((1, 1), float(fields.attrs["ref_hgt"]), np.float32)
    found: xr.Dataset = cell.assign(hgt=(("lat", "lon"), height, {"units": "m"}))
    return found


def massifs(datasets: Sequence[xr.Dataset], outlines: gpd.GeoDataFrame, inventories: pd.DataFrame | None) -> xr.Dataset:
    """The climate of massifs by elevation band (S2M, Vernay et al. 2022), where the glaciers are.

    Each cell takes the massif and the mean elevation of the nearest glacier, between the bands of flat ground below and
    above it; beyond the highest or the lowest band temperature goes on as between the last two, precipitation stays.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        Files of SAFRAN's meteorology (``FORCING_*.nc``): ``Tair`` (K), ``Rainf`` and ``Snowf`` (kg m-2 s-1), each
        (time, Number_of_points), hourly to monthly; ``ZS`` (m), ``massif_number`` and, where there is sloping ground,
        ``slope`` (degree), each (Number_of_points). Several files follow each other in time; the last hour of one,
        06:00 on the first of August, is the first of the next.
    outlines : geopandas.GeoDataFrame
        With ``climate_zone``, the number of the massif.
    inventories : pandas.DataFrame
        ``glacier_id`` and ``mean_elevation`` (m).

    Returns
    -------
    xarray.Dataset
        ``temp`` (K), ``prcp`` (kg m-2 s-1), each (time, lat, lon), monthly means, and ``hgt`` (lat, lon), as HISTALP
        names them. Months at the ends that are less than nine tenths told are left out.

    Raises
    ------
    ValueError
        For missing variables, and glaciers without a massif or an elevation.
    """
    if inventories is None or "climate_zone" not in outlines.columns:
        raise ValueError(
            "the climate of massifs needs outlines that state the SAFRAN massif (massif_SAF) and an inventory of mean "
            "elevations; catalogue them, or a climate on a grid."
        )
    points = [_flat(fields) for fields in datasets]
    order = np.argsort([fields["time"].values[0] for fields in points])
    fields = xr.concat([points[number] for number in order], "time", data_vars="minimal", coords="minimal")
    fields = _monthly(fields.drop_duplicates("time"))
    height = outlines["glacier_id"].map(inventories.groupby("glacier_id")["mean_elevation"].mean()).to_numpy(float)
    lower, upper, share = _around(outlines, height, fields)
    of_cell, lat, lon = _nearest(outlines)

    def at_cells(name: str, share: npt.NDArray[np.float64]) -> xr.DataArray:
        values = fields[name].values
        of_glacier = values[:, lower] * (1 - share) + values[:, upper] * share
        return xr.DataArray(of_glacier[:, of_cell].astype(np.float32), dims=("time", "lat", "lon"))

    rain = at_cells("Rainf", np.clip(share, 0, 1)) + at_cells("Snowf", np.clip(share, 0, 1))
    return xr.Dataset(
        {
            "temp": at_cells("Tair", share).assign_attrs(units="K"),
            "prcp": rain.assign_attrs(units="kg m-2 s-1"),
            "hgt": (("lat", "lon"), height[of_cell].astype(np.float32), {"units": "m"}),
        },
        coords={"time": fields["time"].values, "lat": lat, "lon": lon},
    )


def _flat(fields: xr.Dataset) -> xr.Dataset:
    """Points of flat ground, the massif of each named ``massif``."""
    missing = [name for name in ("Tair", "Rainf", "Snowf", "ZS", "massif_number") if name not in fields]
    if missing:
        raise ValueError(
            f"the climate of massifs lacks {', '.join(missing)}; it has {', '.join(map(str, fields.variables))}."
        )
    for name, unit in (("Tair", "K"), ("Rainf", "kg/m2/s"), ("Snowf", "kg/m2/s")):
        said = str(fields[name].attrs.get("units", unit)).replace(" m-2 s-1", "/m2/s")
        if said != unit:
            raise ValueError(f"{name} is in {said!r}; expected {unit!r}, as S2M writes it. Convert it first.")
    (dim,) = set(map(str, fields["Tair"].dims)) - _TIMES
    chosen = fields[["Tair", "Rainf", "Snowf", "ZS"]].assign(massif=fields["massif_number"])
    return chosen.isel({dim: np.flatnonzero(fields["slope"].values == 0)}) if "slope" in fields else chosen


def _monthly(fields: xr.Dataset) -> xr.Dataset:
    """Means of months; months at the ends that lack more than a tenth are dropped, inside they are refused."""
    time = fields["time"].values
    series = [name for name in fields.data_vars if "time" in fields[name].dims]
    means = fields.drop_dims("time").merge(fields[series].resample(time="MS").mean())
    step = np.median(np.diff(time)) if len(time) > 1 else np.timedelta64(31, "D")
    if step > np.timedelta64(27, "D"):
        return means
    months = means["time"].values.astype("datetime64[M]")
    count = np.bincount((time.astype("datetime64[M]") - months[0]).astype(int), minlength=len(months))
    told = count * (step / np.timedelta64(1, "D")) >= 0.9 * means["time"].dt.days_in_month.values
    kept = np.flatnonzero(told)
    if not len(kept):
        raise ValueError(f"the climate of massifs has no whole month between {time[0]} and {time[-1]}.")
    inside = slice(kept[0], kept[-1] + 1)
    gaps = months[inside][~told[inside]]
    if len(gaps):
        raise ValueError(
            f"the climate of massifs lacks more than a tenth of {len(gaps)} months, such as {gaps[0]}; files have to "
            "follow each other without a gap. Add the missing ones."
        )
    return means.isel(time=inside)


def _around(
    outlines: gpd.GeoDataFrame, height: npt.NDArray[np.float64], fields: xr.Dataset
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_], npt.NDArray[np.float64]]:
    """`_between` for the points of a climate; refuses glaciers that it does not reach."""
    zone, massif = outlines["climate_zone"].to_numpy(int), fields["massif"].values.astype(int)
    lost = ~np.isin(zone, massif) | ~np.isfinite(height)
    if lost.any():
        names = ", ".join(outlines["glacier_id"][lost].head(4))
        raise ValueError(
            f"{int(lost.sum())} glaciers ({names}) have no massif of the climate ({sorted(set(massif.tolist()))}) or "
            "no mean elevation; narrow the region (bounds, subregions), or add the massif."
        )
    return _between(zone, height, massif, fields["ZS"].values.astype(float))


def _between(
    zone: npt.NDArray[np.int_],
    height: npt.NDArray[np.float64],
    massif: npt.NDArray[np.int_],
    band: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_], npt.NDArray[np.float64]]:
    """Points below and above each glacier, and how much the upper one counts; outside 0..1 beyond the bands."""
    lower, upper = np.zeros(len(zone), int), np.zeros(len(zone), int)
    for number in np.unique(zone):
        point = np.flatnonzero(massif == number)
        point = point[np.unique(band[point], return_index=True)[1]]  # ascending, one of each height
        mine = np.flatnonzero(zone == number)
        above = np.clip(np.searchsorted(band[point], height[mine]), min(1, len(point) - 1), len(point) - 1)
        lower[mine], upper[mine] = point[np.maximum(above - 1, 0)], point[above]
    step = band[upper] - band[lower]
    return lower, upper, np.where(step > 0, (height - band[lower]) / np.where(step > 0, step, 1), 0.0)


def _nearest(
    outlines: gpd.GeoDataFrame,
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Glacier nearest to each cell (lat, lon), and the cells' latitudes and longitudes."""
    from scipy.spatial import KDTree

    west, south, east, north = outlines.total_bounds
    lon, lat = (
        CELL_DEG * np.arange(np.floor(low / CELL_DEG) - 1, np.ceil(high / CELL_DEG) + 2)
        for low, high in ((west, east), (south, north))
    )
    narrow = np.cos(np.radians(lat.mean()))
    tree = KDTree(np.column_stack([outlines["lon"] * narrow, outlines["lat"]]))
    cells = np.stack(np.broadcast_arrays(lon[None, :] * narrow, lat[:, None]), axis=-1)
    return tree.query(cells)[1], lat, lon
