"""Open the chosen entries of a catalogue and bring them into the checked vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.cube.options import IngestOptions
from glacierscale.region import HydroYears, Region
from glacierscale.sources import climate, observations, outlines, sites, terrain

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from glacierscale.catalog import Catalog, Entry

MARGIN_CELLS = 4
"""Terrain kept around the outermost glaciers, for slopes at their margins."""

SMALL_BYTES = 2**28
"""Climate up to this size is read whole."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A catalogue's data in the checked vocabulary, still lazy where they are large."""

    outlines: gpd.GeoDataFrame
    """glacier_id, unit_id, lon, lat, area_m2, geometry"""
    elevation: xr.DataArray
    """(y, x) m, with attribute crs_wkt"""
    thickness: xr.DataArray | None
    """(y, x) m on the same grid"""
    velocity: xr.DataArray | None = None
    """(y, x) m per year on the same grid"""
    climate: xr.Dataset
    """temp, precip, clim_height"""
    observations: pd.DataFrame
    """columns of `schema.OBSERVATIONS`"""
    left_out: str = ""
    """how many observations of the region's glaciers were left out, and why"""
    inventories: pd.DataFrame | None
    """glacier_id, year, area_m2, mean_elevation, max_elevation, slope20"""


def choose(catalog: Catalog, options: IngestOptions) -> dict[str, list[Entry]]:
    """Entries of a catalogue by role, one data set each for climate and outlines."""
    chosen = {}
    for role, wanted in (("climate", options.climate), ("outlines", options.outlines)):
        entries = catalog.select(role)
        datasets = sorted({str(entry.metadata.get("dataset", entry.name)) for entry in entries})
        if not entries or (wanted and wanted not in datasets) or (not wanted and len(datasets) > 1):
            raise ValueError(
                f"the catalogue {catalog.name} offers {role} of {datasets or 'no data set'}; "
                f"asked for {wanted or 'the only one'}. Name one in the option `{role}`."
            )
        name = wanted or datasets[0]
        chosen[role] = [e for e in entries if e.metadata.get("dataset", e.name) == name]
        if role == "climate":
            chosen[role] += catalog.select("climate_invariant", name)
    for role in ("terrain", "observations", "thickness", "velocity", "links", "inventory", "profiles"):
        chosen[role] = catalog.select(role)
    if len(chosen["terrain"]) != 1:
        raise ValueError(
            f"the catalogue {catalog.name} has {len(chosen['terrain'])} entries of role terrain, expected one."
        )
    return chosen


def named(entry: Entry, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a reader; its errors name the entry."""
    try:
        return function(*args, **kwargs)
    except (ValueError, OSError) as error:
        cause = f" {error.__cause__}" if isinstance(error, OSError) and error.__cause__ else ""
        raise ValueError(f"entry {entry.name!r}: {error}{cause}") from error


def read(chosen: dict[str, list[Entry]], region: Region, options: IngestOptions) -> Sources:
    """Open and check every entry."""
    import pandas as pd

    shapes_entry = chosen["outlines"][0]
    shapes = within(named(shapes_entry, outlined, shapes_entry), region)

    terrain_entry = chosen["terrain"][0]
    elevation = named(terrain_entry, surface, terrain_entry)
    wkt = elevation.attrs["crs_wkt"]
    bounds = grid_bounds(elevation.x.values, elevation.y.values)
    named(shapes_entry, outlines.check_on_grid, shapes, bounds, "the terrain", crs=wkt)
    elevation = crop(elevation, shapes.to_crs(wkt).total_bounds)

    climate_entry = chosen["climate"][0]
    fields = named(climate_entry, weather, chosen["climate"], options.member)
    fields = in_years(fields, region.years, climate_entry.name)
    if fields.sizes["clim_lat"] > 1 and fields.sizes["clim_lon"] > 1:
        bounds = grid_bounds(fields.clim_lon.values, fields.clim_lat.values)
        named(shapes_entry, outlines.check_on_grid, shapes, bounds, f"the climate of entry {climate_entry.name!r}")

    def raster(role: str) -> xr.DataArray | None:
        """An optional raster on the terrain's grid."""
        if not chosen[role]:
            return None
        entry, crs = chosen[role][0], chosen[role][0].metadata.get("crs")
        onto: xr.DataArray = named(entry, terrain.onto_grid, [part for _, part in entry.parts()], elevation, crs=crs)
        return onto

    inventories = [
        named(entry, observations.inventories, entry.open(), entry.metadata["convention"])
        for entry in chosen["inventory"]
    ]
    table, left_out = observed(chosen, shapes, region.years, elevation)
    return Sources(
        outlines=shapes,
        elevation=elevation,
        thickness=raster("thickness"),
        velocity=raster("velocity"),
        climate=fields,
        observations=table,
        left_out=left_out,
        inventories=pd.concat(inventories, ignore_index=True) if inventories else None,
    )


def outlined(entry: Entry) -> gpd.GeoDataFrame:
    """Normalized outlines; squares around the sites of a table of stakes."""
    if entry.convention == "stake_sites":
        return outlines.normalize(sites.outlines(entry.open()), "glacierscale")
    return outlines.normalize(entry.open(), entry.convention)


def surface(entry: Entry) -> xr.DataArray:
    """Normalized terrain; planes through the sites of a table of stakes."""
    return terrain.normalize_dem(sites.surface(entry.open()) if entry.convention == "stake_sites" else entry.open())


def weather(entries: list[Entry], member: int | None) -> xr.Dataset:
    """Normalized climate; cells whose height is unknown get `height_m` of the catalogue, if it states one."""
    if entries[0].convention == "era5_land_columns":
        fields = sites.climate(entries[0].open())
    else:
        opened = [in_memory_if_small(entry.open()) for entry in entries]
        fields = climate.normalize(opened, entries[0].convention, member=member)
    stated = next((entry.metadata["height_m"] for entry in entries if "height_m" in entry.metadata), None)
    if stated is None:
        return fields
    if not isinstance(stated, int | float) or not -500 <= stated <= 9000:
        raise ValueError(f"height_m is {stated!r}; expected the height of the climate cells in m, -500 to 9000.")
    known = fields.clim_height
    return fields.assign(clim_height=known.fillna(np.float32(stated)).assign_attrs(known.attrs))


def in_memory_if_small(fields: xr.Dataset) -> xr.Dataset:
    """Read a small dataset now; one chunk a month, as some publishers write, would cost seconds at every pass."""
    return fields.load() if fields.nbytes <= SMALL_BYTES else fields


def within(shapes: gpd.GeoDataFrame, region: Region) -> gpd.GeoDataFrame:
    """Outlines whose centre lies in the region, neighbours next to each other: a block then reads one small window."""
    if region.bounds is not None:
        west, south, east, north = region.bounds
        along = (
            (shapes.lon >= west) & (shapes.lon <= east) if west <= east else (shapes.lon >= west) | (shapes.lon <= east)
        )
        shapes = shapes[along & (shapes.lat >= south) & (shapes.lat <= north)]
        if shapes.empty:
            raise ValueError(
                f"no glacier of the catalogue lies in the bounds {region.bounds}; check their order (W, S, E, N)."
            )
    where = "south" if (shapes.lat < 0).all() else "north" if (shapes.lat > 0).all() else region.years.hemisphere
    if len(shapes) and where != region.years.hemisphere:
        raise ValueError(
            f"all glaciers lie in the {where}, but the hydrological years are those of the {region.years.hemisphere}; "
            f"set the hemisphere of the region's years to {where!r}."
        )
    order = np.lexsort([shapes.glacier_id, shapes.hilbert_distance()])
    return shapes.iloc[order].reset_index(drop=True)


def grid_bounds(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> tuple[float, float, float, float]:
    """West, south, east, north of the outer cell edges of regular cell centres."""
    dx, dy = np.abs(np.diff(x)).mean() / 2, np.abs(np.diff(y)).mean() / 2
    return float(x.min() - dx), float(y.min() - dy), float(x.max() + dx), float(y.max() + dy)


def crop(elevation: xr.DataArray, bounds: npt.NDArray[np.floating]) -> xr.DataArray:
    """The part of the terrain around some bounds (west, south, east, north), a few cells more on each side."""
    parts = {}
    for dim, low, high in (("x", bounds[0], bounds[2]), ("y", bounds[1], bounds[3])):
        centres = elevation[dim].values
        cell = np.abs(np.diff(centres)).mean()
        inside = np.flatnonzero((centres >= low - cell) & (centres <= high + cell))
        parts[dim] = slice(max(inside.min() - MARGIN_CELLS, 0), inside.max() + 1 + MARGIN_CELLS)
    return elevation.isel(parts)


def in_years(fields: xr.Dataset, years: HydroYears, name: str) -> xr.Dataset:
    """The months of the region's hydrological years.

    Raises
    ------
    ValueError
        If the climate does not cover them.
    """
    first, last = np.datetime64(years.first_month), np.datetime64(years.last_month)
    months = fields.time.values.astype("datetime64[M]")
    if months[0] > first or months[-1] < last:
        raise ValueError(
            f"entry {name!r}: its climate covers {months[0]} to {months[-1]}, but the hydrological years "
            f"{years.first} to {years.last} need {first} to {last}. Choose other years or another climate."
        )
    return fields.isel(time=(months >= first) & (months <= last))


def observed(
    chosen: dict[str, list[Entry]], shapes: gpd.GeoDataFrame, years: HydroYears, elevation: xr.DataArray
) -> tuple[pd.DataFrame, str]:
    """Observations of the region's glaciers in its years, of every entry that has some; and what was left out."""
    import pandas as pd

    ids = [str(i) for i in shapes.glacier_id]
    links = [entry.open() for entry in chosen["links"]]

    def linked(reader: Callable[..., pd.DataFrame], data: Any, entry: Entry) -> pd.DataFrame:
        if not links:
            raise ValueError(f"entry {entry.name!r} needs an entry of role links, which the catalogue lacks.")
        return reader(data, links[0], ids)

    readers: dict[str, Callable[[Entry], pd.DataFrame]] = {
        "wgms": lambda e: linked(observations.wgms, [table for _, table in e.parts()], e),
        "wgms_profile": lambda e: linked(observations.wgms_profiles, dict(e.parts()), e),
        "alpgm_matrix": lambda e: linked(lambda t, k, _: observations.alpgm_matrix(t, k), e.open(), e),
        "norway_glacier_wide": lambda e: observations.norway_glacier_wide(e.open()),
        "norway_stakes": lambda e: observations.norway_stakes(e.open()),
        "norway_geodetic": lambda e: observations.geodetic_norway(e.open()),
        "iceland_stakes": lambda e: observations.iceland_stakes(e.open()),
        "gridded_smb": lambda e: observations.gridded_smb(e.open(), elevation=elevation, **mapped(e)),
        "hugonnet_decades": lambda e: observations.hugonnet_decades(e.open()),
        "glacierscale": lambda e: observations.glacierscale(e.open(), hemisphere=years.hemisphere),
    }
    tables = []
    for entry in [*chosen["observations"], *chosen["profiles"]]:
        if entry.convention not in readers:
            raise ValueError(
                f"entry {entry.name!r} has the convention {entry.convention!r}; expected one of {sorted(readers)}."
            )
        tables.append(named(entry, readers[entry.convention], entry))
    table = observations.check_observations(pd.concat(tables, ignore_index=True)) if tables else observations.empty()
    kept, reasons = observations.inside(table, years, shapes)
    return kept, "; ".join(reasons)


def mapped(entry: Entry) -> dict[str, Any]:
    """What the catalogue says about a map of mass balance."""
    found = entry.metadata
    if not found.get("unit_id"):
        raise ValueError("the map of mass balance names no glacier; give its id in the catalogue as `unit_id`.")
    stated = {name: found[name] for name in ("sigma", "every") if name in found}
    return stated | {"unit_id": found["unit_id"], "units": found.get("units"), "period": found.get("period")}
