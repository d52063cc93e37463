"""What is known of the surface: terrain of one raster or of many, and dated inventories tied to the outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from glacierscale.cube.weather import in_memory_if_small
from glacierscale.sources import decades, observations, sites, terrain
from glacierscale.sources.polygons import ground_covered

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from glacierscale.catalog import Entry

MOSAIC_M = 50.0
"""Side of the cells that several rasters are joined on, unless the catalogue says otherwise (`resolution_m`)."""

ENOUGH = 0.9
"""Share of an outline that has to have an elevation for the slope of its tongue to be left to the terrain."""


def surface(entry: Entry, shapes: gpd.GeoDataFrame) -> xr.DataArray:
    """Normalized terrain: of one raster, or of several on one grid; planes through the sites of a table of stakes.

    Attribute ``rasters`` counts them.
    """
    if entry.convention == "stake_sites":
        return terrain.normalize_dem(sites.surface(entry.open())).assign_attrs(rasters=1)
    crs = entry.metadata.get("crs")
    parts = [in_memory_if_small(part) for _, part in entry.parts()]
    if len(parts) == 1:
        return terrain.normalize_dem(parts[0], crs=crs).assign_attrs(rasters=1)
    side = float(entry.metadata.get("resolution_m", MOSAIC_M))
    return terrain.mosaic(parts, shapes, crs=crs, resolution_m=side).assign_attrs(rasters=len(parts))


def _table(entry: Entry) -> tuple[pd.DataFrame, str]:
    """An inventory and its convention."""
    if entry.convention == "rgi6_attributes":
        return decades.inventory(entry.open()), "glacierscale"
    return entry.open(), entry.convention


def dated(
    entries: list[Entry], shapes: gpd.GeoDataFrame, outlines_entry: Entry, elevation: xr.DataArray | None, named: Any
) -> pd.DataFrame | None:
    """Dated topography of the outlines, from every inventory of the catalogue and from their own attributes.

    What an entry states goes before what later ones of the same year do, and the attributes of the outlines come last.
    Slopes of the tongue that neither an inventory nor the terrain tells are estimated from height and length.
    """
    tables = [
        named(
            entry,
            observations.inventories,
            *_table(entry),
            outlines=shapes,
            year=entry.metadata.get("inventory_year"),
        )
        for entry in entries
    ]
    own = named(outlines_entry, observations.of_outlines, shapes, outlines_entry.metadata.get("inventory_year"))
    table = observations.merged(tables if own is None else [*tables, own])
    if table is None or "mean_slope" not in shapes.columns:
        return table
    slope = shapes.set_index("glacier_id")["mean_slope"]
    stated = table["glacier_id"][table["slope20"].notna()]
    told = np.zeros(len(shapes), bool) if elevation is None else ground_covered(elevation, shapes) >= ENOUGH
    wanted = ~told | shapes["glacier_id"].isin(stated).to_numpy()
    return observations.estimated_slope20(table, slope[wanted])
