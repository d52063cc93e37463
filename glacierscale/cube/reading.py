"""Open the chosen entries of a catalogue and bring them into the checked vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
import xarray as xr

from glacierscale.cube import curves, scenarios
from glacierscale.cube.options import IngestOptions
from glacierscale.cube.thickness import ice
from glacierscale.cube.topography import dated, surface
from glacierscale.cube.weather import grid_bounds, in_memory_if_small, in_years, observed_years, weather
from glacierscale.region import HydroYears, Region, seamless
from glacierscale.sources import decades, observations, outlines, sites, terrain

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from glacierscale.catalog import Catalog, Entry

MARGIN_CELLS = 4
"""Terrain kept around the outermost glaciers, for slopes at their margins."""

_ROLES = (
    *("terrain", "thickness", "thickness_dem", "velocity", "elevation_change", "elevation_change_dem"),
    *("observations", "profiles", "links", "inventory"),
)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A catalogue's data in the checked vocabulary, still lazy where they are large."""

    outlines: gpd.GeoDataFrame
    """glacier_id, unit_id, lon, lat, area_m2, geometry"""
    crs_wkt: str
    """CRS of the terrain, or of metres around the outlines where there is none"""
    elevation: xr.DataArray | None
    """(y, x) m, with attribute crs_wkt"""
    ice: xr.Dataset | None = None
    """thickness and ice_surface (y, x) m on the same grid, as far as known"""
    thinning: xr.Dataset | None = None
    """own curves of thinning against height (glacier, thinning_height), as far as known"""
    velocity: xr.DataArray | None = None
    """(y, x) m per year on the same grid"""
    climate: xr.Dataset
    """temp, precip, clim_height"""
    scenarios: xr.Dataset | None = None
    """the cube's variables of future climates"""
    last_year_with_climate: int
    """last hydrological year whose months are no climatology"""
    observations: pd.DataFrame
    """columns of `schema.OBSERVATIONS`"""
    left_out: str = ""
    """how many observations of the region's glaciers were left out, and why"""
    inventories: pd.DataFrame | None
    """glacier_id, year and topography, one row a glacier and year"""


def choose(catalog: Catalog, options: IngestOptions) -> dict[str, list[Entry]]:
    """Entries of a catalogue by role, one data set each for climate and outlines."""
    chosen = {}
    for role, wanted in (("climate", options.climate), ("outlines", options.outlines)):
        entries = catalog.select(role)
        # Where none is named, a future is none of those that the climate may be.
        usable = [entry for entry in entries if wanted or not entry.metadata.get("scenario")]
        datasets = sorted({scenarios.dataset_of(entry) for entry in usable})
        if not usable or (wanted and wanted not in datasets) or (not wanted and len(datasets) > 1):
            raise ValueError(
                f"the catalogue {catalog.name} offers {role} of {datasets or 'no data set'}; "
                f"asked for {wanted or 'the only one'}. Name one in the option `{role}`."
            )
        name = wanted or datasets[0]
        chosen[role] = [e for e in entries if e.metadata.get("dataset", e.name) == name]
        if role == "climate":
            chosen[role] += catalog.select("climate_invariant", name)
    for role in _ROLES:
        chosen[role] = catalog.select(role)
    chosen["scenarios"] = scenarios.choose(catalog, options.scenarios)
    if len(chosen["terrain"]) > 1:
        raise ValueError(
            f"the catalogue {catalog.name} has {len(chosen['terrain'])} entries of role terrain, expected one or none."
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
    shapes_entry = chosen["outlines"][0]
    everywhere = named(shapes_entry, outlined, shapes_entry)
    shapes = within(everywhere, region)
    shapes = of_subregions(shapes, options.subregions, shapes_entry.name)
    elevation = ground(chosen, shapes)
    inventories = dated(chosen["inventory"], shapes, shapes_entry, elevation, named)
    if elevation is None and inventories is None:
        raise ValueError("the catalogue has neither an entry of role terrain nor an inventory; add one of them.")

    climate_entry = chosen["climate"][0]
    fields = named(climate_entry, weather, chosen["climate"], options.member, shapes, inventories)
    fields, known = in_years(fields, region.years, climate_entry.name, options.climate_end)
    if fields.sizes["clim_lat"] > 1 and fields.sizes["clim_lon"] > 1:
        bounds = grid_bounds(fields.clim_lon.values, fields.clim_lat.values)
        named(shapes_entry, outlines.check_on_grid, shapes, bounds, f"the climate of entry {climate_entry.name!r}")

    def raster(role: str) -> xr.DataArray | None:
        """An optional raster on the terrain's grid."""
        if not chosen[role] or elevation is None:
            return None
        entry, crs = chosen[role][0], chosen[role][0].metadata.get("crs")
        parts = [in_memory_if_small(part) for _, part in entry.parts()]
        onto: xr.DataArray = named(entry, terrain.onto_grid, parts, elevation, crs=crs)
        return onto

    table, left_out = observed(chosen, shapes, region.years, known, elevation)
    return Sources(
        outlines=shapes,
        crs_wkt=shapes.estimate_utm_crs().to_wkt() if elevation is None else elevation.attrs["crs_wkt"],
        elevation=elevation,
        ice=ice(chosen, elevation, everywhere, named),
        thinning=curves.thinning(chosen, shapes, everywhere, named),
        velocity=raster("velocity"),
        climate=fields,
        scenarios=scenarios.futures(chosen["scenarios"], shapes, named),
        last_year_with_climate=known,
        observations=table,
        left_out=left_out,
        inventories=inventories,
    )


def outlined(entry: Entry) -> gpd.GeoDataFrame:
    """Normalized outlines; squares around the sites of a table of stakes."""
    if entry.convention == "stake_sites":
        return outlines.normalize(sites.outlines(entry.open()), "glacierscale")
    if entry.convention == "rgi6_attributes":
        return outlines.normalize(decades.discs(entry.open()), "rgi6")
    return outlines.normalize(entry.open(), entry.convention)


def ground(chosen: dict[str, list[Entry]], shapes: gpd.GeoDataFrame) -> xr.DataArray | None:
    """Terrain around the outlines; None where the catalogue has none.

    It has to reach around all of them, unless it is joined of several rasters and inventories tell the topography of
    glaciers that have none.
    """
    if not chosen["terrain"]:
        return None
    entry, shapes_entry = chosen["terrain"][0], chosen["outlines"][0]
    elevation: xr.DataArray = named(entry, surface, entry, shapes)
    wkt = elevation.attrs["crs_wkt"]
    if elevation.attrs["rasters"] == 1 or not chosen["inventory"]:
        bounds = grid_bounds(elevation.x.values, elevation.y.values)
        named(shapes_entry, outlines.check_on_grid, shapes, bounds, "the terrain", crs=wkt)
    return crop(elevation, shapes.to_crs(wkt).total_bounds)


def of_subregions(shapes: gpd.GeoDataFrame, wanted: tuple[str, ...], name: str) -> gpd.GeoDataFrame:
    """Outlines of some massifs or other subregions; all where none is named."""
    there = shapes["subregion"].value_counts().drop("", errors="ignore")
    without = [one for one in wanted if one not in there.index]
    if without:
        raise ValueError(
            f"entry {name!r}: {', '.join(without)} has no glacier in the region; expected some of "
            f"{', '.join(map(str, there.index)) or 'none, as the outlines name no subregion'}. Correct `subregions`."
        )
    return shapes[shapes["subregion"].isin(wanted)].reset_index(drop=True) if wanted else shapes


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
    lon = seamless(shapes.lon.to_numpy())
    over = lon.max() > 180  # the box of an outline that is cut at the antimeridian reaches around the Earth
    placed = shapes.set_geometry(shapely.points(lon, shapes.lat)) if over else shapes
    order = np.lexsort([shapes.glacier_id, placed.hilbert_distance()])
    return shapes.iloc[order].reset_index(drop=True)


def crop(elevation: xr.DataArray, bounds: npt.NDArray[np.floating]) -> xr.DataArray:
    """The part of the terrain around some bounds (west, south, east, north), a few cells more on each side."""
    parts = {}
    for dim, low, high in (("x", bounds[0], bounds[2]), ("y", bounds[1], bounds[3])):
        centres = elevation[dim].values
        cell = np.abs(np.diff(centres)).mean()
        inside = np.flatnonzero((centres >= low - cell) & (centres <= high + cell))
        parts[dim] = slice(max(inside.min() - MARGIN_CELLS, 0), inside.max() + 1 + MARGIN_CELLS)
    return elevation.isel(parts)


def observed(
    chosen: dict[str, list[Entry]],
    shapes: gpd.GeoDataFrame,
    years: HydroYears,
    last_year_with_climate: int,
    elevation: xr.DataArray | None,
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
        "alpgm_matrix": lambda e: linked(lambda t, k, _: observations.alpgm_matrix(t, k, shapes), e.open(), e),
        "norway_glacier_wide": lambda e: observations.norway_glacier_wide(e.open()),
        "norway_stakes": lambda e: observations.norway_stakes(e.open()),
        "norway_geodetic": lambda e: observations.geodetic_norway(e.open()),
        "iceland_stakes": lambda e: observations.iceland_stakes(e.open()),
        "gridded_smb": lambda e: observations.gridded_smb(
            e.open(), elevation=elevation, hemisphere=years.hemisphere, **mapped(e)
        ),
        "hugonnet_decades": lambda e: observations.hugonnet_decades(e.open(), hemisphere=years.hemisphere),
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
    usable, why = observed_years(years, last_year_with_climate)
    kept, reasons = observations.inside(table, usable, shapes, **why)
    return kept, "; ".join(reasons)


def mapped(entry: Entry) -> dict[str, Any]:
    """What the catalogue says about a map of mass balance."""
    found = entry.metadata
    if not found.get("unit_id"):
        raise ValueError("the map of mass balance names no glacier; give its id in the catalogue as `unit_id`.")
    stated = {name: found[name] for name in ("sigma", "every") if name in found}
    return stated | {"unit_id": found["unit_id"], "units": found.get("units"), "period": found.get("period")}
