"""Maps of one glacier on its patch, in metres from the patch's centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glacierscale import schema
from glacierscale.exploration.opening import Sources
from glacierscale.exploration.quantities import Quantity, factor
from glacierscale.exploration.reading import Floats, mean_of

if TYPE_CHECKING:
    import xarray as xr

_KINDS = {"ice_": schema.ICE_MAPS, "patch:": schema.PATCHES}
"""Kind of store that a map is from, by how its name begins; other maps are of the balance."""
_TERRAIN = ("elevation", "ice_surface", "ice_bed", "patch:elevation", "patch:ice_surface", "patch:slope")
"""What the ground has off the ice too."""


def raster(sources: Sources, wanted: Quantity, glacier: int, year: int | None, scenario: str) -> xr.DataArray | None:
    """One map of one glacier, see `Atlas.raster`."""
    kind = next((kind for begin, kind in _KINDS.items() if wanted.name.startswith(begin)), schema.MAPS)
    source = next((each for each in sources.all(kind) if each.position[glacier] >= 0), None)
    if source is None:
        return None
    data = source.data.isel(glacier=int(source.position[glacier]))
    read = {schema.MAPS.name: _of_maps, schema.ICE_MAPS.name: _of_ice, schema.PATCHES.name: _of_patch}[kind.name]
    values = read(data, wanted, wanted.years[-1] if wanted.years and year is None else year, scenario)
    return _placed(values, data, wanted)


def _of_maps(data: xr.Dataset, wanted: Quantity, year: int | None, _: str) -> Floats:
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


def _of_ice(data: xr.Dataset, wanted: Quantity, year: int | None, scenario: str) -> Floats:
    if not wanted.years:
        return data[wanted.name.removeprefix("ice_")].values
    names, years = schema.text(data.snapshot_scenario.values), data.snapshot_year.values
    at = int(np.flatnonzero((names == (scenario or wanted.scenarios[0])) & (years == year))[0])
    shot = data[["thickness", "ice_fraction"]].isel(snapshot=at)
    share = shot["ice_fraction"].values
    values = shot["thickness"].values if wanted.name == "ice_thickness" else 100.0 * share
    return np.where(share > 0, values, np.nan)


def _of_patch(data: xr.Dataset, wanted: Quantity, _: int | None, __: str) -> Floats:
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


def _placed(values: Floats, data: xr.Dataset, wanted: Quantity) -> xr.DataArray:
    """Values with metres east and north of the patch's centre, row 0 in the north."""
    place = data[["resolution", "centre_lon", "centre_lat"]].reset_coords(drop=True)
    told = {"long_name": wanted.label, "units": wanted.units, "resolution_m": float(place["resolution"])}
    drawn = place.assign({wanted.name: (("y", "x"), values.astype(np.float32, copy=False), told)})
    return schema.placed(drawn)[wanted.name]
