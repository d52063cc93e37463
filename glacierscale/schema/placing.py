"""Where rasters lie, in the words of CF: attributes of their axes, and a variable that holds the reference system."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from glacierscale.schema.form import Schema

if TYPE_CHECKING:
    import xarray as xr

GRID_MAPPING = "spatial_ref"
"""Variable that holds the coordinate reference system of rasters, by the name that rioxarray and GDAL give it."""


def grid_of(kind: Schema, crs_wkt: str) -> dict[str, dict[str, Any]]:
    """Attributes that place the rasters of a store.

    Parameters
    ----------
    kind : Schema
        Of a store with one grid, (y, x).
    crs_wkt : str
        Coordinate reference system of the grid as well-known text.

    Returns
    -------
    dict
        By variable: every raster, the axes, the vertices of outlines, and `GRID_MAPPING`, which the schema lacks.
    """
    rasters = [name for name, variable in kind.variables.items() if variable.dims == ("y", "x")]
    described = _described(crs_wkt)
    vertices = {f"vertex_{name}": {"units": described[name]["units"]} for name in ("x", "y")}
    return {name: {"grid_mapping": GRID_MAPPING} for name in rasters} | described | vertices


def placed(patch: xr.Dataset) -> xr.Dataset:
    """Rasters of one glacier with coordinates on the ground, which rioxarray reprojects or writes as GeoTIFF.

    Every glacier of a store of patches or maps lies in a projection of its own, so that a store has no coordinates in
    metres.

    Parameters
    ----------
    patch : xarray.Dataset
        One glacier of a store of patches, maps of the balance or maps of ice, such as ``maps.isel(glacier=0)``.

    Returns
    -------
    xarray.Dataset
        The same with ``x`` and ``y`` in metres east and north of the patch's centre, and ``spatial_ref``, the
        transverse Mercator projection about it.

    Raises
    ------
    ValueError
        If it is no patch, or holds more than one glacier.
    """
    import numpy as np

    if "resolution" not in patch or patch["resolution"].ndim:
        raise ValueError(
            f"a dataset with the dimensions {dict(patch.sizes)} came; expected one glacier of a store of patches or "
            "maps: choose it with isel(glacier=...) first."
        )
    side, lon, lat = (float(patch[name]) for name in ("resolution", "centre_lon", "centre_lat"))
    described = _described(f"+proj=tmerc +lat_0={lat} +lon_0={lon} +k=1 +datum=WGS84")
    rows, columns = patch.sizes["y"], patch.sizes["x"]
    north, east = ((rows - 1) / 2 - np.arange(rows)) * side, (np.arange(columns) - (columns - 1) / 2) * side
    coordinates = {
        "y": ("y", north, described["y"] | {"long_name": "north of the patch's centre"}),
        "x": ("x", east, described["x"] | {"long_name": "east of the patch's centre"}),
        GRID_MAPPING: ((), np.int32(0), described[GRID_MAPPING]),
    }
    found = patch.assign_coords(coordinates)
    for raster in found.data_vars.values():
        if raster.dims[-2:] == ("y", "x"):
            raster.attrs["grid_mapping"] = GRID_MAPPING
    return found


def _described(crs: str) -> dict[str, dict[str, Any]]:
    """Attributes of both axes and of the grid mapping of a coordinate reference system."""
    import pyproj

    known = pyproj.CRS.from_user_input(crs)
    with warnings.catch_warnings():
        # CF has no word for some parameters; ``crs_wkt``, which readers prefer, has all.
        warnings.filterwarnings("ignore", category=UserWarning)
        mapping, axes = known.to_cf(), {axis["axis"]: axis for axis in known.cs_to_cf()}
    found = {
        name: {
            "standard_name": axes[name.upper()]["standard_name"],
            "units": axes[name.upper()]["units"].replace("metre", "m"),
            "axis": name.upper(),
        }
        for name in ("x", "y")
    }
    return found | {GRID_MAPPING: {"long_name": "coordinate reference system"} | mapping}
