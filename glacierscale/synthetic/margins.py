"""Outlines and dated inventories of the synthetic glaciers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glacierscale.synthetic.glaciers import Forms, forms, knot_fraction, projected
from glacierscale.synthetic.options import Floats, SyntheticOptions, block, uniform
from glacierscale.synthetic.projection import degrees, to_degrees
from glacierscale.synthetic.relief import hypsometry

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

OUTLINE_YEAR = 2000
"""Year the outlines show; area in that year's inventory is theirs."""

INVENTORY_YEARS = (1985, 2000, 2015)
"""Years of the dated inventories."""

RETREAT_PER_YEAR = (0.001, 0.006)
"""Limits of the area a glacier loses in a year, as a fraction of its area in the year of the outlines."""


def glacier_id(number: int) -> str:
    """Identifier of a glacier in the manner of the RGI; numbers count from 0."""
    return f"RGI60-99.{number + 1:05d}"


def glacier_ids(start: int, stop: int) -> np.ndarray:
    """Identifiers of glaciers start..stop (glacier) of text."""
    return np.array([glacier_id(number) for number in range(start, stop)], dtype=object)


def _rings(form: Forms) -> tuple[Floats, Floats, np.ndarray]:
    counts = 2 * form.knots
    index = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    knots = form.knots[index]
    down = place <= knots  # the right margin from head to tongue, then the left one back
    knot = np.where(down, place, 2 * knots - place)
    offset = np.where(down, form.right_m[index, knot], form.left_m[index, knot])
    x, y = projected(form.spread(index), knot_fraction(knot, knots), offset)
    return x, y, counts


def vertices(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> tuple[Floats, Floats, np.ndarray]:
    """Vertices of a block of outlines, without geometry objects.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    vertex_x, vertex_y : numpy.ndarray
        (vertex) m in the terrain's projection, one counter-clockwise ring per glacier; the first vertex is not
        repeated at the end.
    counts : numpy.ndarray
        (glacier) vertices of each ring, 60 to 200.
    """
    return _rings(forms(options, start, stop))


def outlines(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> gpd.GeoDataFrame:
    """Outlines of a block of glaciers with the columns of the Randolph Glacier Inventory 6.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    geopandas.GeoDataFrame
        EPSG:4326, cut at the antimeridian; ``Area`` in km2, ``Zmin``, ``Zmax``, ``Zmed`` in m, ``Slope`` and
        ``Aspect`` (direction of flow) in degrees.
    """
    import geopandas as gpd
    import shapely

    start, stop = block(options, start, stop)
    form, ice = forms(options, start, stop), hypsometry(options, start, stop)
    x, y, counts = _rings(form)
    lon, lat = degrees(options, x, y)
    index = np.repeat(np.arange(stop - start), counts)
    first = np.cumsum(counts) - counts
    # shapely closes each ring only if asked: repeat its first vertex after its last
    order = np.insert(np.arange(len(index)), np.cumsum(counts), first)
    rings = shapely.linearrings(
        np.column_stack([lon[order], lat[order]]), indices=np.repeat(np.arange(len(counts)), counts + 1)
    )
    centre_lon, centre_lat = to_degrees(options).transform(form.x_m, form.y_m)
    ids = glacier_ids(start, stop)
    return gpd.GeoDataFrame(
        {
            "RGIId": ids,
            "Name": np.array([f"Glacier {i + 1}" for i in range(start, stop)], dtype=object),
            "CenLon": np.asarray(centre_lon),
            "CenLat": np.asarray(centre_lat),
            "Area": form.area_m2 / 1e6,
            "BgnDate": np.full(
                stop - start, f"{OUTLINE_YEAR}{'0901' if options.hemisphere == 'north' else '0301'}", dtype=object
            ),
            "Zmin": ice.lowest_m,
            "Zmax": ice.highest_m,
            "Zmed": ice.median_m,
            "Slope": ice.slope_deg,
            "Aspect": np.degrees(form.aspect),
        },
        geometry=_cut(shapely.polygons(rings)),
        crs=4326,
        index=np.arange(start, stop),
    )


def _cut(polygons: np.ndarray) -> np.ndarray:
    """Polygons whose longitudes run on over the antimeridian, cut there: parts on both sides, as in the RGI."""
    import shapely

    bounds = shapely.bounds(polygons)
    polygons = polygons.copy()
    for number in np.flatnonzero((bounds[:, 0] < -180) | (bounds[:, 2] > 180)):
        parts: list[shapely.Polygon] = []
        for turn in (-360.0, 0.0, 360.0):
            part = shapely.intersection(polygons[number], shapely.box(turn - 180, -90, turn + 180, 90))
            moved = shapely.transform(part, lambda lonlat, turn=turn: lonlat - [turn, 0])
            parts += [piece for piece in shapely.get_parts(moved) if piece.area > 0]
        whole = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
        polygons[number] = shapely.orient_polygons(whole)
    return polygons


def inventories(options: SyntheticOptions, start: int = 0, stop: int | None = None) -> pd.DataFrame:
    """Dated inventories of a block of glaciers.

    The inventory of 2000 holds the outlines; the others differ by a steady retreat of 0.1 to 0.6 % of that area a year,
    by tongues that rise, and by margins that steepen. The true mass balance stays that of the outlines: none of these
    changes enters it.

    Parameters
    ----------
    options : SyntheticOptions
        The range.
    start, stop : int
        Glaciers of the block; all by default.

    Returns
    -------
    pandas.DataFrame
        ``glacier_id``, ``year``, ``area_m2``, ``mean_elevation`` and ``max_elevation`` in m, ``slope20`` in degrees;
        one row per glacier and inventory.
    """
    import pandas as pd

    start, stop = block(options, start, stop)
    form, ice = forms(options, start, stop), hypsometry(options, start, stop)
    low, high = RETREAT_PER_YEAR
    rate = low + (high - low) * uniform(options, "retreat", start, stop, 1)[:, 0]
    lost = rate[:, None] * (np.array(INVENTORY_YEARS) - OUTLINE_YEAR)  # (glacier, inventory)
    span = (ice.highest_m - ice.lowest_m)[:, None]
    return pd.DataFrame(
        {
            "glacier_id": np.repeat(glacier_ids(start, stop), len(INVENTORY_YEARS)),
            "year": np.tile(np.array(INVENTORY_YEARS), stop - start),
            "area_m2": (form.area_m2[:, None] * (1 - lost)).ravel(),
            "mean_elevation": (ice.mean_m[:, None] + 0.3 * lost * span).ravel(),
            "max_elevation": (ice.highest_m[:, None] - 0.02 * lost * span).ravel(),
            "slope20": (ice.slope20_deg[:, None] * (1 + 0.5 * lost)).ravel(),
        }
    )
