"""Maps of one glacier on its patch, in metres from the patch's centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glacierscale import schema
from glacierscale.exploration.opening import Sources
from glacierscale.exploration.quantities import Raster, factor
from glacierscale.exploration.reading import Floats, mean_of

if TYPE_CHECKING:
    import xarray as xr

_KIND = {"ice": schema.ICE_MAPS, "patch": schema.PATCHES}
_TERRAIN = ("elevation", "ice_surface", "ice_bed", "patch:elevation", "patch:ice_surface", "patch:slope")
"""What the ground has off the ice too."""


def raster(sources: Sources, wanted: Raster, glacier: int, year: int | None, scenario: str) -> xr.DataArray | None:
    """One map of one glacier, see `Atlas.raster`."""
    kind = _KIND.get(wanted.name.replace(":", "_").partition("_")[0], schema.MAPS)
    source = next((each for each in sources.all(kind) if each.position[glacier] >= 0), None)
    if source is None:
        return None
    data = source.data.isel(glacier=int(source.position[glacier]))
    read = {schema.MAPS.name: _of_maps, schema.ICE_MAPS.name: _of_ice, schema.PATCHES.name: _of_patch}[kind.name]
    values = read(data, wanted, wanted.years[-1] if wanted.years and year is None else year, scenario)
    return _placed(values, data, wanted)


def _of_maps(data: xr.Dataset, wanted: Raster, year: int | None, _: str) -> Floats:
    scale = factor("kg m-2", wanted.name)[0]
    if wanted.name == "elevation":
        return data["elevation"].values
    if wanted.name.startswith("parameter:"):
        at = schema.text(data.parameter.values).tolist().index(wanted.name.partition(":")[2])
        return data["parameters"].isel(parameter=at).values
    if wanted.name == "smb_map_mean":
        return mean_of(data["smb_map"].values) * scale
    found = data[wanted.name]
    if year is not None:
        found = found.isel(hydro_year=int(np.flatnonzero(data.hydro_year.values == year)[0]))
    scaled: Floats = found.values * scale
    if wanted.name == "smb_map_std":
        scaled = np.where(data["ice_fraction"].values > 0, scaled, np.nan)
    return scaled


def _of_ice(data: xr.Dataset, wanted: Raster, year: int | None, scenario: str) -> Floats:
    if not wanted.years:
        return data[wanted.name.removeprefix("ice_")].values
    names, years = schema.text(data.snapshot_scenario.values), data.snapshot_year.values
    at = int(np.flatnonzero((names == (scenario or wanted.scenarios[0])) & (years == year))[0])
    shot = data[["thickness", "ice_fraction"]].isel(snapshot=at)
    share = shot["ice_fraction"].values
    values = shot["thickness"].values if wanted.name == "ice_thickness" else 100.0 * share
    return np.where(share > 0, values, np.nan)


def _of_patch(data: xr.Dataset, wanted: Raster, _: int | None, __: str) -> Floats:
    name = wanted.name.partition(":")[2]
    channel = schema.text(data.channel.values).tolist()
    if name == "radiation":
        values: Floats = data["radiation"].values.mean(0)
    else:
        values = data["rasters"].isel(channel=channel.index(name)).values
    if wanted.name in _TERRAIN or "ice_fraction" not in channel:
        return values
    ice = data["rasters"].isel(channel=channel.index("ice_fraction")).values
    return np.where(ice > 0, values, np.nan)


def _placed(values: Floats, data: xr.Dataset, wanted: Raster) -> xr.DataArray:
    """Values with metres east and north of the patch's centre, row 0 in the north."""
    import xarray as xr

    rows, columns = values.shape
    side, lon, lat = (float(data[name]) for name in ("resolution", "centre_lon", "centre_lat"))
    axis = {"units": "m"}
    return xr.DataArray(
        values.astype(np.float32, copy=False),
        dims=("y", "x"),
        coords={
            "y": ("y", ((rows - 1) / 2 - np.arange(rows)) * side, axis | {"long_name": "north of the patch's centre"}),
            "x": ("x", (np.arange(columns) - (columns - 1) / 2) * side, axis | {"long_name": "east of its centre"}),
        },
        name=wanted.name,
        attrs={
            "long_name": wanted.label,
            "units": wanted.units,
            "crs": f"+proj=tmerc +lat_0={lat} +lon_0={lon} +k=1 +ellps=WGS84",
            "resolution_m": side,
        },
    )
