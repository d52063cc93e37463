"""Stage report: stores and tables -> one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import provenance, schema
from glacierscale.reporting import effects, evolution, ice_maps, kinds, rasters
from glacierscale.reporting.options import ReportOptions
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import geopandas as gpd
    import xarray as xr

_MAX_BACKGROUND_CELLS = 1_500_000


def report(
    smb: str | Path | Store,
    *,
    scores: str | Path,
    to: str | Path,
    cube: str | Path | Store | None = None,
    ice: str | Path | Store | None = None,
    options: ReportOptions = ReportOptions(),
) -> Path | str:
    """Make one self-contained HTML page of a reconstruction and its scores.

    Stores of maps, ``smb_map_*.zarr`` beside the reconstruction, and the tables of `kinds.TABLES` and `effects.TABLES`
    in the folder of the scores are shown where there are any.

    Parameters
    ----------
    smb : str, Path or Store
        A reconstruction.
    scores : str or Path
        Folder or URL that `evaluate` wrote.
    to : str or Path
        HTML file, on this machine or in a bucket.
    cube : str, Path or Store
        The cube, for outlines and relief on the map; without it glaciers are points.
    ice : str, Path or Store
        Glaciers under future climates; without it ``ice.zarr`` beside the reconstruction, if there is one. Maps of
        their thickness, ``ice_map_*.zarr``, lie beside it.
    options : ReportOptions
        What the page shows.

    Returns
    -------
    Path or str
        The page, a path or its URL. One made of the same inputs is kept.

    Raises
    ------
    FileNotFoundError
        If the tables of scores are missing.
    """
    page: Path | str = str(to) if "://" in str(to) else Path(to)
    folder, name = Files.at(provenance.join(to, "..")), PurePosixPath(page).name
    store, tables = Store.at(smb, schema.RECONSTRUCTION), _tables(Files.at(scores))
    source = None if cube is None else Store.at(cube, schema.CUBE)
    maps = rasters.map_stores(store)
    evolved = evolution.beside(store, ice)
    thick = [] if evolved is None else ice_maps.stores_beside(evolved)
    stores = [each for each in (store, source, *maps, evolved, *thick) if each is not None]
    stamp = provenance.Stamp(
        verb="report", options=provenance.options_dict(options), inputs=inputs(stores, tables, folder.url)
    )
    _refuse_strangers(store, tables["scores"], f"{scores}/scores.parquet", source, stores)
    mark = f"<!-- glacierscale {stamp.fingerprint} -->"
    if (folder.read(name) or b"").rstrip().endswith(mark.encode()):
        return page
    from glacierscale.reporting.facts import facts
    from glacierscale.reporting.page import render

    reconstruction, mapped = store.open(), [place.open() for place in maps]
    coming = None if evolved is None else evolved.open()
    dataset = None if source is None else source.open()
    read = {name: provenance.read_table(table) for name, table in tables.items()}
    html = render(
        reconstruction,
        read["predictions"],
        read["scores"],
        coefficients=read.get("coefficients"),
        more={name: read[name] for name in (*kinds.TABLES, *effects.TABLES) if name in read},
        rasters=rasters.surfaces(mapped, set(read["predictions"]["glacier_id"]), options.map_glaciers),
        future=None if coming is None or evolved is None else evolution.future(coming, evolved.stamp.options),
        thickness=ice_maps.thickness([place.open() for place in thick], options.thickness_of),
        aside=rasters.set_aside([each for each in (reconstruction, *mapped, coming) if each is not None]),
        outlines=None if dataset is None else outlines_of(dataset),
        elevation=None if dataset is None else background(dataset),
        facts=facts(store, source, evolved, stores=stores, folder=folder.url),
        title=options.title or f"Surface mass balance of {reconstruction.attrs['region']}",
    )
    folder.write(name, f"{html.rstrip()}\n{mark}\n".encode())
    return page


def inputs(stores: Sequence[Store], tables: Mapping[str, bytes], folder: str) -> dict[str, provenance.Input]:
    """Everything that decides what a page in a folder shows: its stores and tables with their fingerprints."""
    found = {
        PurePosixPath(store.url).stem
        if store.schema in (schema.MAPS, schema.ICE_MAPS)
        else store.schema.name: provenance.Input(
            url=provenance.relative(store.url, folder), fingerprint=store.fingerprint()
        )
        for store in stores
    }
    return found | {
        name: provenance.Input(url=name, fingerprint=provenance.digest(table)) for name, table in tables.items()
    }


def _refuse_strangers(smb: Store, scores: bytes, place: str, cube: Store | None, stores: Sequence[Store]) -> None:
    """Raise `ValueError` if scores, cube or other stores belong to another run than the reconstruction."""
    made = smb.stamp.inputs.get("model")
    scored = provenance.stamp_of_table(scores, place).inputs.get("model")
    if scored and made and scored.fingerprint != made.fingerprint:
        raise ValueError(f"{place} scores another model than the one that made {smb.url}; evaluate that one.")
    for store in stores:
        drawn = store.stamp.inputs.get("model")
        if drawn and made and drawn.fingerprint != made.fingerprint:
            does = "maps" if store.schema is schema.MAPS else "evolves by"
            told = "map" if store.schema is schema.MAPS else "evolve by"
            raise ValueError(f"{store.url} {does} another model than the one that made {smb.url}; {told} that one.")
    if cube is not None:
        own, other = (set(schema.text(store.open().glacier_id.values)) for store in (smb, cube))
        if not own <= other:
            lacks = f"{len(own - other)} glaciers of {smb.url}"
            raise ValueError(f"{cube.url} lacks {lacks}; give the cube that it was made of.")


def _tables(folder: Files) -> dict[str, bytes]:
    """Content of the tables of a folder that the page shows, by name."""
    names = ("predictions", "scores", "coefficients", *kinds.TABLES, *effects.TABLES)
    read = {name: folder.read(f"{name}.parquet") for name in names}
    absent = [f"{folder.url}/{name}.parquet" for name in ("predictions", "scores") if read[name] is None]
    if absent:
        raise FileNotFoundError(f"no {' and no '.join(absent)}; make them with `glacierscale evaluate`.")
    return {name: table for name, table in read.items() if table is not None}


def outlines_of(cube: xr.Dataset) -> gpd.GeoDataFrame:
    """Outlines of a cube as polygons in longitude and latitude, shells and holes told by their direction."""
    import geopandas as gpd
    import shapely

    ids = schema.text(cube.glacier_id.values)
    count = cube.vertex_count.values.astype(np.int64)
    glacier = np.repeat(np.arange(len(count)), count)
    lon, lat, ring = cube.vertex_lon.values, cube.vertex_lat.values, cube.vertex_ring.values
    starts = np.flatnonzero(np.append(True, (np.diff(ring) != 0) | (np.diff(glacier) != 0)))
    shapes: list[list[Any]] = [[] for _ in ids]
    for start, stop in zip(starts, np.append(starts[1:], len(lon)), strict=True):
        points = np.column_stack([lon[start:stop], lat[start:stop]])
        if shapely.is_ccw(shapely.linearrings(points)):
            shapes[glacier[start]].append((points, []))
        else:  # a hole follows its shell
            shapes[glacier[start]][-1][1].append(points)
    geometry = [shapely.MultiPolygon([shapely.Polygon(*part) for part in parts]) for parts in shapes]
    return gpd.GeoDataFrame({"glacier_id": ids}, geometry=geometry, crs="EPSG:4326")


def background(cube: xr.Dataset) -> xr.DataArray | None:
    """Terrain of a cube, thinned to what a map can show; None where it has none."""
    if "elevation" not in cube:
        return None
    step = int(np.ceil(np.sqrt(cube.sizes["y"] * cube.sizes["x"] / _MAX_BACKGROUND_CELLS)))
    thinned: xr.DataArray = cube.elevation.isel(y=slice(None, None, step), x=slice(None, None, step)).load()
    return thinned.assign_attrs(crs_wkt=cube.attrs["terrain_crs_wkt"])
