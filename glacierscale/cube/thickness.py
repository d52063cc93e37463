"""Ice thickness of a catalogue, with the surface it belongs to, on the terrain's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from glacierscale.cube.weather import in_memory_if_small
from glacierscale.features.sampling import is_geographic
from glacierscale.sources import thickness

if TYPE_CHECKING:
    import geopandas as gpd

    from glacierscale.catalog import Entry


def ice(
    chosen: dict[str, list[Entry]], elevation: xr.DataArray | None, outlines: gpd.GeoDataFrame, named: Any
) -> xr.Dataset | None:
    """``thickness`` and ``ice_surface`` (y, x) of the entries of roles thickness and thickness_dem, as far as given.

    Parameters
    ----------
    chosen : dict
        Entries by role. Metadata of a thickness entry may state ``highest_m``, above which values are none, and
        ``beyond``, the numbers of rasters whose ice is known to reach beyond the outlines; metadata of its elevation
        models ``shifted``, the numbers of those known to lie on another grid.
    elevation : xarray.DataArray, optional
        The terrain.
    outlines : geopandas.GeoDataFrame
        Of all glaciers of the catalogue, of other regions too.
    named : callable
        Calls a function so that its errors name the entry.
    """
    entries, dems = chosen["thickness"], chosen["thickness_dem"]
    if not entries or elevation is None:
        return None
    if len(entries) > 1 or len(dems) > 1:
        names = ", ".join(entry.name for entry in [*entries, *dems])
        raise ValueError(
            f"{names} are several entries of role thickness or thickness_dem; expected one of each. Give the others "
            "another role, such as thickness_field."
        )
    return named(entries[0], _read, entries[0], dems[0] if dems else None, elevation, outlines)  # type: ignore[no-any-return]


def _read(entry: Entry, dem: Entry | None, elevation: xr.DataArray, outlines: gpd.GeoDataFrame) -> xr.Dataset:
    """Checked rasters of an entry on the terrain's grid."""
    highest = entry.metadata.get("highest_m", thickness.HIGHEST_M)
    if isinstance(highest, bool) or not isinstance(highest, int | float) or not highest > 0:
        raise ValueError(f"highest_m is {highest!r}; expected the most ice that is plausible, in m, such as 550.")
    found = thickness.fields(
        _parts(entry),
        [] if dem is None else _parts(dem),
        crs=entry.metadata.get("crs"),
        surface_crs=None if dem is None else dem.metadata.get("crs"),
        shifted=_numbers(dem, "shifted"),
        highest_m=highest,
    )
    thickness.check_inside(found, outlines, _cell_m(elevation), beyond=_numbers(entry, "beyond"))
    return thickness.onto_grid(found, elevation)


def _parts(entry: Entry) -> list[tuple[str, xr.DataArray]]:
    return [(name, in_memory_if_small(part)) for name, part in entry.parts()]


def _numbers(entry: Entry | None, name: str) -> list[str]:
    """Numbers of rasters in an entry's metadata."""
    stated = [] if entry is None else entry.metadata.get(name, [])
    if not (isinstance(stated, list) and all(isinstance(one, str) for one in stated)):
        raise ValueError(f"{name} is {stated!r}; expected a list of numbers in quotes, such as ['03643'].")
    return stated


def _cell_m(elevation: xr.DataArray) -> float:
    """Length of the terrain's cells along y, about."""
    step = float(np.abs(np.diff(elevation["y"].values)).mean())
    return step * 111_195.0 if is_geographic(elevation.attrs["crs_wkt"]) else step
