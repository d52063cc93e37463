"""Write checked sources into a cube: one block of glaciers, climate rows or terrain rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.cube.options import IngestOptions
from glacierscale.cube.reading import Sources
from glacierscale.region import Region
from glacierscale.sources import outlines
from glacierscale.store import Block, Store

if TYPE_CHECKING:
    import pandas as pd

_DATED = {"area_m2": "inventory_area_m2", "mean_elevation": "inventory_mean_elevation"}
_DATED |= {"max_elevation": "inventory_max_elevation", "slope20": "inventory_slope20"}


def write(store: Store, sources: Sources, region: Region, stamp: provenance.Stamp, options: IngestOptions) -> None:
    """Declare the cube and write every block that is missing."""
    vertices = outlines.to_vertices(sources.outlines, sources.elevation.attrs["crs_wkt"])
    fields = sources.climate
    along = {name: values for name, values in vertices.items() if name in ("vertex_start", "vertex_count")}
    shapes = sources.outlines
    along |= {
        "glacier_id": shapes.glacier_id.to_numpy(str),
        "unit_id": shapes.unit_id.to_numpy(str),
        "lon": shapes.lon.to_numpy(),
        "lat": shapes.lat.to_numpy(),
        "area_m2": shapes.area_m2.to_numpy(),
    }
    years, dated = _dated(sources.inventories, along["glacier_id"])
    static = xr.Dataset(
        {name: ("vertex", values) for name, values in vertices.items() if name not in along}
        | {name: ("observation", sources.observations[name].to_numpy()) for name in schema.OBSERVATIONS}
        | {
            "time": ("time", fields.time.values),
            "clim_lat": ("clim_lat", fields.clim_lat.values),
            "clim_lon": ("clim_lon", fields.clim_lon.values),
            "x": ("x", sources.elevation.x.values),
            "y": ("y", sources.elevation.y.values),
            "inventory_year": ("inventory", years),
        },
        attrs={
            "region": region.name,
            "first_hydro_year": region.years.first,
            "last_hydro_year": region.years.last,
            "hemisphere": region.years.hemisphere,
            "terrain_crs_wkt": sources.elevation.attrs["crs_wkt"],
            "observations_left_out": sources.left_out,
        },
    )
    store.declare(
        static,
        stamp,
        sizes={"glacier": len(shapes)},
        chunks={"glacier": options.glaciers_per_block},
        without=[name for name in ("thickness", "velocity") if getattr(sources, name) is None],
    )

    def work(block: Block) -> None:
        part = block.slice
        if block.dim == "glacier":
            arrays = {name: values[part] for name, values in (along | dated).items()}
        elif block.dim == "clim_lat":
            rows = fields.isel(clim_lat=part)
            arrays = {name: rows[name].values for name in ("temp", "precip", "clim_height")}
        else:
            rasters = {name: getattr(sources, name) for name in ("elevation", "thickness", "velocity")}
            arrays = {name: raster.isel(y=part).values for name, raster in rasters.items() if raster is not None}
        store.write(block, arrays)

    compute.map_blocks(work, store.unfinished(), label="ingest, blocks")


def _dated(
    table: pd.DataFrame | None, ids: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.int32], dict[str, npt.NDArray[np.floating]]]:
    """Inventories as years (inventory,) and arrays (glacier, inventory), NaN where one lacks a glacier."""
    if table is None or table.empty:
        return np.zeros(0, np.int32), {stored: np.zeros((len(ids), 0), np.float32) for stored in _DATED.values()}
    years = np.sort(table.year.unique()).astype(np.int32)
    arrays = {}
    for name, stored in _DATED.items():
        wide = table.pivot(index="glacier_id", columns="year", values=name).reindex(index=ids, columns=years)
        arrays[stored] = wide.to_numpy(np.float32)
    return years, arrays
