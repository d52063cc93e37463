"""Stores of evolving glaciers as a report reads them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.store import Store

SCENARIOS = {"rcp26": 0.005, "rcp26_plus_2k": 0.009, "rcp26_plus_4k": 0.02}
"""Name, and share of the volume that is lost in a year."""
MEMBERS = 5
YEARS = np.arange(2003, 2101, dtype="int32")
DENSITY = 900.0
STAMP = Stamp(verb="evolve", options={"method": "delta_h"}, inputs={})


def ids(glaciers: int = 12) -> list[str]:
    """Identifiers of the glaciers."""
    return [f"RGI60-11.{n:05d}" for n in range(glaciers)]


def arrays(glaciers: int = 12, years: np.ndarray = YEARS, aside: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Volumes that decay, the smaller a glacier the faster, with areas by volume-area scaling; one array a variable."""
    rng = np.random.default_rng(4)
    members, size = len(SCENARIOS) * MEMBERS, np.geomspace(1.8e7, 8e4, glaciers)  # m2
    start = 0.034e9 * (size / 1e6) ** 1.375
    rate = np.repeat(list(SCENARIOS.values()), MEMBERS) * rng.normal(1, 0.07, members)
    of_size = (size / size[0]) ** -0.18
    time = np.arange(years.size)
    wobble = rng.normal(0, 0.25, (members, 1, years.size)).cumsum(-1)
    wobble -= wobble[..., :1]
    volume = start[:, None] * np.exp(-rate[:, None, None] * of_size[:, None] * (time + 1.5 * wobble + 0.008 * time**2))
    volume = np.minimum.accumulate(np.where(volume < 0.02 * start[:, None], 0.0, volume), axis=-1)
    area = size[:, None] * (volume / start[:, None]) ** (1 / 1.375)
    change = np.diff(volume, axis=-1, prepend=volume[..., :1])
    before = np.concatenate([area[..., :1], area[..., :-1]], axis=-1)
    gone = np.where((volume == 0).any(-1), years[(volume == 0).argmax(-1)], 0)
    found = {
        "glacier_id": np.array(ids(glaciers)),
        "unit_id": np.array(ids(glaciers)),
        "subregion": np.array(["north", "south"])[np.arange(glaciers) % 2],
        "lon": rng.uniform(10.7, 11.0, glaciers),
        "lat": rng.uniform(46.75, 46.95, glaciers),
        "area_m2": size,
        "area": area,
        "volume": volume,
        "smb": np.divide(DENSITY * change, before, out=np.zeros_like(change), where=before > 0),
        "runoff": np.maximum(-DENSITY * change, 0),
        "sea_level": (volume[..., :1] - volume) * DENSITY / 1000 / 3.625e14,
        "year_gone": gone,
        "set_aside": np.array(["no thickness" if n in aside else "" for n in range(glaciers)]),
    }
    for name in ("area", "volume", "smb", "runoff", "sea_level"):
        found[name][:, list(aside)] = np.nan
    return found


def store(
    url: str, *, years: np.ndarray = YEARS, aside: tuple[int, ...] = (), stamp: Stamp = STAMP, glaciers: int = 12
) -> Store:
    """A store of evolving glaciers, in blocks of five."""
    made = Store(url, schema.EVOLUTION)
    static = _members(years)
    made.declare(static, stamp, sizes={"glacier": glaciers}, chunks={"glacier": 5})
    _write(made, arrays(glaciers, years, aside), dict(static.sizes) | {"glacier": glaciers})
    return made


def _members(years: np.ndarray) -> xr.Dataset:
    static = {
        "hydro_year": ("hydro_year", years),
        "scenario": ("member", np.repeat(list(SCENARIOS), MEMBERS)),
        "model_member": ("member", np.tile(np.arange(MEMBERS, dtype="int32"), len(SCENARIOS))),
    }
    return xr.Dataset(static, attrs={"region": "Oetztal Alps"})


SNAPSHOTS = (2003, 2025, 2050, 2075, 2100)


def maps(
    url: str, names: list[str], areas: list[float], *, cells: int = 48, stamp: Stamp | None = None,
    snapshots: tuple[int, ...] = SNAPSHOTS,
) -> Store:  # fmt: skip
    """A store of thickness: tongues in a valley that falls to the south, shrinking from below."""
    row, column = np.indices((cells, cells))
    across = (column - cells / 2 + 0.5) / (cells / 5)
    bed = 2600.0 + 900 * (1 - row / cells) + 120 * across**2 + 30 * np.sin(column / 4.0)
    pairs = [(name, year) for name in SCENARIOS for year in snapshots]
    thick = np.zeros((len(pairs), cells, cells))
    for place, (name, year) in enumerate(pairs):
        length = 0.85 * np.exp(-SCENARIOS[name] * (year - 2003))
        along = np.clip((row / cells - 0.05) / length, 0, 1)
        thick[place] = np.clip(220 * length * np.sqrt(along * (1 - along)) * 2 * (1 - across**2), 0, None)
    cover = (thick > 2).astype(float)
    thick *= cover
    static = _members(YEARS).assign(
        snapshot_year=("snapshot", np.array([year for _, year in pairs], "int32")),
        snapshot_scenario=("snapshot", np.array([name for name, _ in pairs])),
    )
    made = Store(url, schema.ICE_MAPS)
    sizes = {"glacier": len(names), "y": cells, "x": cells}
    made.declare(static, stamp or Stamp(verb="map_ice", options={}, inputs={}), sizes=sizes)
    n = len(names)
    found = {
        "glacier_id": np.array(names),
        "unit_id": np.array(names),
        "subregion": np.full(n, ""),
        "area_m2": np.array(areas),
        "resolution": np.full(n, 100.0),
        "bed": np.broadcast_to(bed, (n, cells, cells)),
        "surface": np.broadcast_to(bed + thick[0], (n, cells, cells)),
        "thickness": np.broadcast_to(thick[:, None], (len(pairs), n, cells, cells)),
        "ice_fraction": np.broadcast_to(cover[:, None], (len(pairs), n, cells, cells)),
        "set_aside": np.full(n, ""),
    } | {name: np.full(n, 10.0) for name in ("lon", "lat", "centre_lon", "centre_lat")}
    _write(made, found, dict(static.sizes) | sizes)
    return made


def _write(made: Store, found: dict[str, np.ndarray], sizes: dict[str, int]) -> None:
    """Write a store; what a drawing does not read is zero."""
    for name, wanted in made.schema.variables.items():
        if "glacier" in wanted.dims and name not in found:
            found[name] = np.zeros([sizes[dim] for dim in wanted.dims])
    for block in made.unfinished():
        part = {}
        for name, values in found.items():
            axis = made.schema.variables[name].dims.index("glacier")
            part[name] = np.take(values, np.arange(values.shape[axis])[block.slice], axis=axis)
        made.write(block, part)
