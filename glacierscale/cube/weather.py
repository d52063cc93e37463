"""Climate of a catalogue: read, described by the catalogue where files do not, and cut to the region's years."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.region import HydroYears
from glacierscale.sources import climate, columns, decades, sites

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from glacierscale.catalog import Entry

Fields = TypeVar("Fields", xr.Dataset, xr.DataArray)

SMALL_BYTES = 2**28
"""Climate up to this size is read whole."""

CLIMATOLOGY_YEARS = 30


def weather(
    entries: list[Entry], member: int | None, shapes: gpd.GeoDataFrame, heights: pd.DataFrame | None
) -> xr.Dataset:
    """Normalized climate; cells whose height is unknown get `height_m` of the catalogue, if it states one."""
    convention, about = entries[0].convention, entries[0].metadata
    if convention == "era5_land_columns":
        fields = sites.climate(entries[0].open())
    elif convention == "decades":
        places = [entry.open() for entry in entries if entry.convention == "rgi6_attributes"]
        if not places:
            raise ValueError(
                "decades need the places of their glaciers: an entry of role climate_invariant, rgi6_attributes."
            )
        fields = decades.climate([e.open() for e in entries if e.convention == convention], places[0])
    elif convention == "oggm_climate":
        found = in_memory_if_small(entries[0].open())
        fields = climate.normalize([columns.station(found, about.get("lon"), about.get("lat"))], "histalp")
    elif convention == "s2m":
        opened = [in_memory_if_small(entry.open()) for entry in entries]
        fields = climate.normalize([columns.massifs(opened, shapes, heights)], "histalp")
    else:
        opened = [in_memory_if_small(entry.open()) for entry in entries]
        fields = climate.normalize(opened, convention, member=member)
    stated = next((entry.metadata["height_m"] for entry in entries if "height_m" in entry.metadata), None)
    if stated is None:
        return fields
    if not isinstance(stated, int | float) or not -500 <= stated <= 9000:
        raise ValueError(f"height_m is {stated!r}; expected the height of the climate cells in m, -500 to 9000.")
    known = fields.clim_height
    return fields.assign(clim_height=known.fillna(np.float32(stated)).assign_attrs(known.attrs))


def in_memory_if_small(fields: Fields) -> Fields:
    """Read a small dataset now; one chunk a month, as some publishers write, would cost seconds at every pass."""
    return fields.load() if fields.nbytes <= SMALL_BYTES else fields


def in_years(
    fields: xr.Dataset, years: HydroYears, name: str, end: Literal["refuse", "climatology"] = "refuse"
) -> tuple[xr.Dataset, int]:
    """The months of the region's hydrological years.

    Parameters
    ----------
    fields : xarray.Dataset
        (time, clim_lat, clim_lon)
    years : HydroYears
    name : str
        The entry, for messages.
    end : {"refuse", "climatology"}
        What becomes of months after the end of the climate: an error, or the mean of that calendar month over the last
        `CLIMATOLOGY_YEARS` years of the climate (all, if it has fewer).

    Returns
    -------
    fields : xarray.Dataset
    last_year_with_climate : int
        Last hydrological year whose months all are the climate's own.

    Raises
    ------
    ValueError
        If the climate does not cover them.
    """
    first, last = np.datetime64(years.first_month), np.datetime64(years.last_month)
    months = fields.time.values.astype("datetime64[M]")
    known = years.last - max(0, -(-int((last - months[-1]).astype(int)) // 12))
    if months[0] > first or known < years.first or (months[-1] < last and end == "refuse"):
        remedy = "Choose other years or another climate"
        if months[0] <= first and known >= years.first:
            remedy += f"; years after {known} can be filled with means (climate_end: climatology)"
        raise ValueError(
            f"entry {name!r}: its climate covers {months[0]} to {months[-1]}, but the hydrological years "
            f"{years.first} to {years.last} need {first} to {last}. {remedy}."
        )
    here = fields.isel(time=(months >= first) & (months <= last))
    if months[-1] >= last:
        return here, known
    recent = fields.isel(time=slice(-12 * CLIMATOLOGY_YEARS, None))
    means = recent.groupby("time.month").mean("time")
    wanted = np.arange(months[-1] + 1, last + 1).astype("datetime64[ns]")
    number = xr.DataArray(wanted, dims="time", coords={"time": wanted}).dt.month
    own = ["temp", "precip"]
    filled = xr.concat([here[own], means[own].sel(month=number).drop_vars("month")], "time", join="exact")
    filled = filled.assign({name: filled[name].astype(np.float32).transpose(*here[name].dims) for name in own})
    return here.drop_dims("time").assign({name: filled[name] for name in own}), known


def grid_bounds(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> tuple[float, float, float, float]:
    """West, south, east, north of the outer cell edges of regular cell centres."""
    dx, dy = np.abs(np.diff(x)).mean() / 2, np.abs(np.diff(y)).mean() / 2
    return float(x.min() - dx), float(y.min() - dy), float(x.max() + dx), float(y.max() + dy)


def observed_years(years: HydroYears, last_year_with_climate: int) -> tuple[HydroYears, dict[str, Any]]:
    """Years whose observations a model can learn from, and how to say why others are left out."""
    if last_year_with_climate == years.last:
        return years, {}
    return HydroYears(years.first, last_year_with_climate, years.hemisphere), {
        "because": "the climate ends there; catalogue a longer one to use them"
    }
