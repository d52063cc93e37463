"""Who the glaciers are, and how one of them is found: by its identifier, its name or a point."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale import schema
from glacierscale.exploration.opening import Source, Sources
from glacierscale.exploration.reading import Floats
from glacierscale.region import seamless

MOST_FOUND = 50
"""Glaciers that are told of one search."""
_TOLD = ("glacier_name", "unit_id", "subregion", "lon", "lat", "area_m2", "set_aside")


def glaciers(sources: Sources) -> pd.DataFrame:
    """Who the glaciers are, from the stores that lead."""
    leading = next(iter(sources))
    told = sources.of[leading.store.schema.name]
    names = [name for name in _TOLD if all(name in source.data for source in told)]
    with ThreadPoolExecutor(len(names)) as pool:  # far away, the wait is all
        columns = dict(zip(names, pool.map(partial(_gathered, told), names), strict=True))
    unit, area = columns.pop("unit_id"), columns.pop("area_m2").astype(float)
    called = columns.pop("glacier_name", np.full(len(unit), ""))
    aside = columns.pop("set_aside", np.full(len(unit), ""))
    return pd.DataFrame(
        {
            "glacier_id": sources.ids,
            "name": np.where((called == "") & (unit != sources.ids), unit, called),
            **columns,
            "lon": seamless(columns["lon"].astype(float)),
            "area_km2": area / 1e6,
            "set_aside": aside,
        }
    )


def _gathered(told: Sequence[Source], name: str) -> npt.NDArray[np.generic]:
    """A variable (glacier,) of the atlas from one store, or from several that have some of the glaciers each."""
    found: npt.NDArray[np.generic] | None = None
    for source in told:
        values = source.data[name].values
        values = schema.text(values).astype(object) if values.dtype.kind in "TUO" else values
        found = np.empty(len(source.position), values.dtype) if found is None else found
        there = source.position >= 0
        found[there] = values[source.position[there]]
    if found is None:
        raise LookupError(f"no store has {name}.")
    return found


def find(words: Sequence[Sequence[str]], text: str) -> list[int]:
    """Rows whose words (in small letters) hold a text, 50 at most; those that end in it as a number come first."""
    sought = text.strip().casefold()
    if not sought:
        return []
    whole = re.compile(rf"(?:^|\b0*){re.escape(sought)}$")
    ranked = [
        (not any(whole.search(word) for word in own), row)
        for row, own in enumerate(words)
        if any(sought in word for word in own)
    ]
    return [row for _, row in sorted(ranked)[:MOST_FOUND]]


def nearest(lons: Floats, lats: Floats, lon: float, lat: float) -> int:
    """Row of the point that is nearest on the sphere, degrees."""
    return int(np.nanargmax(_on_sphere(lons, lats) @ _on_sphere(lon, lat)))


def _on_sphere(lon: npt.ArrayLike, lat: npt.ArrayLike) -> Floats:
    """Points of the unit sphere, (..., 3)."""
    east, north = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)
