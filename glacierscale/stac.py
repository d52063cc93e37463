"""What a run made as a STAC collection with an item for each store, for catalogues of data on the web.

Every value comes from the stores themselves, so that the same run writes the same bytes; links are relative, so that
the folder may be moved or published whole.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import provenance, schema
from glacierscale.headlines import NAME as HEADLINES
from glacierscale.headlines import finished
from glacierscale.region import Region, seamless
from glacierscale.store import Files, Store

if TYPE_CHECKING:
    import pystac
    import xarray as xr

FOLDER = "stac"
"""Folder of the collection, beside the stores."""

_STORES = ("cube.zarr", "features.zarr", "patches_*.zarr", "smb.zarr", "smb_map_*.zarr", "ice.zarr", "ice_map_*.zarr")
_ZARR, _ICECHUNK = "application/vnd.zarr; version=3", "application/vnd.icechunk"
_EDGE_DEGREES = 0.05  # beside the centres of outlines: about 5 km


def write_stac(out: str, region: Region) -> None:
    """Write ``stac/collection.json`` and an item for every finished store of a run.

    Parameters
    ----------
    out : str
        Folder or URL of the run.
    region : Region
        Which glaciers and years.
    """
    files = Files.at(out)
    names = [name for name in files.stores("*.zarr") if any(fnmatchcase(name, pattern) for pattern in _STORES)]
    places = {name: provenance.join(out, name) for name in names}
    items = [_item(name, Store.at(place), region) for name, place in places.items() if finished(place)]
    collection = _collection(region, items, with_headlines=bool(files.version(HEADLINES)))
    documents = {"collection": _document(collection, items)} | {item.id: _document(item, items) for item in items}
    for name, document in documents.items():
        text = json.dumps(document, indent=1, sort_keys=True).encode()
        if files.read(f"{FOLDER}/{name}.json") != text:
            files.write(f"{FOLDER}/{name}.json", text)


def _item(name: str, store: Store, region: Region) -> pystac.Item:
    """One store."""
    import pystac
    from pystac.extensions.datacube import DatacubeExtension
    from pystac.extensions.projection import ProjectionExtension

    dataset = store.open()
    bbox = _bbox(dataset)
    start, end = _period(dataset, region)
    item = pystac.Item(
        id=name.removesuffix(".zarr"),
        geometry=_polygon(bbox),
        bbox=bbox,
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={
            "title": str(dataset.attrs["title"]),
            "description": f"{store.schema.title} of {region.name}. {dataset.attrs['source']}.",
            "license": "other",
        },
        collection=_slug(region),
    )
    asset = pystac.Asset(
        href=f"../{name}",
        title=store.schema.title,
        media_type=_ICECHUNK if store.url.startswith("icechunk") else _ZARR,
        roles=["data"],
        description=dataset.attrs["source"],
    )
    item.add_asset("data", asset)
    cube = DatacubeExtension.ext(item, add_if_missing=True)
    cube.properties.update(_cube(dataset, store.schema, bbox))
    if {"x", "y"} <= store.schema.variables.keys() and dataset.sizes["x"]:
        projection = ProjectionExtension.ext(item, add_if_missing=True)
        projection.apply(
            wkt2=str(dataset.attrs["terrain_crs_wkt"]),
            shape=[dataset.sizes["y"], dataset.sizes["x"]],
            transform=_transform(dataset),
        )
    return item


def _collection(region: Region, items: list[pystac.Item], *, with_headlines: bool) -> pystac.Collection:
    """The whole run."""
    import pystac

    boxes = np.array([item.bbox for item in items])
    starts, ends = zip(
        *((item.common_metadata.start_datetime, item.common_metadata.end_datetime) for item in items), strict=True
    )
    around = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    collection = pystac.Collection(
        id=_slug(region),
        title=f"Glaciers of {region.name}",
        description=f"What glacierscale made of {region.name}: stores in Zarr, one item each.",
        license="other",
        extent=pystac.Extent(
            pystac.SpatialExtent([around]),
            pystac.TemporalExtent([[min(filter(None, starts)), max(filter(None, ends))]]),
        ),
    )
    if with_headlines:
        title = "Outlines with the headline results of every glacier"
        parquet = pystac.Asset(href=f"../{HEADLINES}", title=title, media_type=pystac.MediaType.PARQUET, roles=["data"])
        collection.add_asset("glaciers", parquet)
    return collection


def _document(content: pystac.Item | pystac.Collection, items: list[pystac.Item]) -> dict[str, Any]:
    """An item or the collection as JSON, with links inside their folder."""
    import pystac

    told = content.to_dict(include_self_link=False, transform_hrefs=False)
    if isinstance(content, pystac.Item):
        links = [("root", "collection"), ("parent", "collection"), ("collection", "collection")]
    else:
        links = [("root", "collection"), *(("item", item.id) for item in items)]
    kind = {"collection": "application/json"}
    told["links"] = [
        {"rel": rel, "href": f"./{name}.json", "type": kind.get(name, "application/geo+json")} for rel, name in links
    ]
    return told


def _cube(dataset: xr.Dataset, kind: schema.Schema, bbox: list[float]) -> dict[str, Any]:
    """Dimensions and variables in the words of the datacube extension."""
    used = {dim for variable in kind.variables.values() for dim in variable.dims if dim in dataset.sizes}
    dimensions = {dim: _dimension(dataset, dim) for dim in sorted(used)}
    dimensions |= {
        "longitude": {"type": "spatial", "axis": "x", "extent": [bbox[0], bbox[2]], "reference_system": 4326},
        "latitude": {"type": "spatial", "axis": "y", "extent": [bbox[1], bbox[3]], "reference_system": 4326},
    }
    return {"cube:dimensions": dimensions, "cube:variables": dict(_variables(dataset, kind))}


def _dimension(dataset: xr.Dataset, dim: str) -> dict[str, Any]:
    """One dimension with the first and last of its values, as the extension demands, or else of its positions."""
    size = dataset.sizes[dim]
    values = dataset[dim].values if dim in dataset.variables else np.arange(size)
    if values.dtype.kind not in "iufM":
        values = np.arange(size)
    if not size:
        return {"type": "count", "extent": [None, None], "description": "0 entries"}
    if values.dtype.kind == "M":
        ends = [np.datetime_as_string(end, unit="s") + "Z" for end in (values.min(), values.max())]
        return {"type": "temporal", "extent": ends, "description": f"{size} entries"}
    return {"type": "count", "extent": [values.min().item(), values.max().item()], "description": f"{size} entries"}


def _variables(dataset: xr.Dataset, kind: schema.Schema) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each variable with its dimensions, unit and what it is."""
    for name, variable in kind.variables.items():
        if name in dataset.variables:
            role = "auxiliary" if name in (*schema.IDENTITY, *variable.dims) else "data"
            told = {"type": role, "dimensions": list(variable.dims), "description": variable.long_name}
            yield name, told | ({"unit": variable.units} if variable.units else {})


def _bbox(dataset: xr.Dataset) -> list[float]:
    """West, south, east, north around outlines or their centres; east is below west across the antimeridian."""
    outlined = "vertex_lon" in dataset.variables and dataset.sizes["vertex"]
    names, edge = (("vertex_lon", "vertex_lat"), 0.0) if outlined else (("lon", "lat"), _EDGE_DEGREES)
    lon, lat = seamless(dataset[names[0]].values), dataset[names[1]].values
    corners = [lon.min() - edge, max(lat.min() - edge, -90.0), lon.max() + edge, min(lat.max() + edge, 90.0)]
    west, south, east, north = (round(float(corner), 5) for corner in corners)
    return [west if west <= 180 else west - 360, south, east if east <= 180 else east - 360, north]


def _polygon(bbox: list[float]) -> dict[str, Any]:
    """A box as GeoJSON, cut in two at the antimeridian."""
    west, south, east, north = bbox
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in spans]
    whole = len(rings) == 1
    return {"type": "Polygon" if whole else "MultiPolygon", "coordinates": rings[0] if whole else rings}


def _period(dataset: xr.Dataset, region: Region) -> tuple[datetime, datetime]:
    """First and last moment that a store tells of: its hydrological years, or those of the region."""
    stored = "hydro_year" in dataset.variables
    years = dataset.hydro_year.values.tolist() if stored else [region.years.first, region.years.last]
    first, last, day = (10, 9, 30) if region.years.hemisphere == "north" else (4, 3, 31)
    return datetime(years[0] - 1, first, 1, tzinfo=UTC), datetime(years[-1], last, day, tzinfo=UTC)


def _transform(dataset: xr.Dataset) -> list[float]:
    """Affine transform of the terrain's cells, as the projection extension wants it."""
    x, y = dataset.x.values, dataset.y.values
    dx = float(x[1] - x[0]) if len(x) > 1 else 1.0
    dy = float(y[1] - y[0]) if len(y) > 1 else -1.0
    return [dx, 0.0, float(x[0]) - dx / 2, 0.0, dy, float(y[0]) - dy / 2]


def _slug(region: Region) -> str:
    """A region's name as an identifier."""
    plain = unicodedata.normalize("NFKD", region.name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "region"
