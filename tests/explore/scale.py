"""Runs of any size with known values: a cube, balances and evolving glaciers, made in seconds.

Outlines are those of the synthetic range; every other number follows from a formula, so that tests know what to expect.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import xarray as xr

from glacierscale import schema, synthetic
from glacierscale.cube import IngestOptions, writing
from glacierscale.cube.reading import Sources
from glacierscale.provenance import Input, Stamp
from glacierscale.region import HydroYears, Region
from glacierscale.sources import outlines
from glacierscale.sources import terrain as relief
from glacierscale.store import Store

YEARS = np.arange(1991, 2021, dtype="int32")
FUTURE = np.arange(2003, 2101, dtype="int32")
SCENARIOS = {"ssp126": 0.006, "ssp245": 0.012, "ssp585": 0.025}
"""Name, and share of the volume that is lost in a year."""
MEMBERS = 10
RESIDUAL = 300.0
"""Noise beside the spread of the members, kg m-2."""
MODEL = {"model": Input(url="model", fingerprint="of the model")}


def make(
    folder: str | Path,
    glaciers: int = 10_000,
    *,
    aside: tuple[int, ...] = (),
    years: npt.NDArray[np.int32] = YEARS,
    stores: tuple[str, ...] = ("cube", "smb", "ice"),
    per_block: dict[str, int] | None = None,
    terrain: bool = False,
    **synthetic_options: Any,
) -> str:
    """Write cube.zarr, smb.zarr and ice.zarr of a synthetic range into a folder or URL, and return it.

    Parameters
    ----------
    folder : str or Path
        Where to.
    glaciers : int
        How many; the stores of 10,000 take some 500 MB.
    aside : tuple of int
        Glaciers that were set aside.
    years : numpy.ndarray
        Hydrological years of the balances.
    stores : tuple of str
        Which of the three.
    per_block : dict
        Glaciers to a block by store, where they differ from the schema's.
    terrain : bool
        Whether the cube has some; it takes a second for 400 glaciers.
    **synthetic_options
        Of `synthetic.SyntheticOptions`, as where the range lies.
    """
    options = synthetic.SyntheticOptions(glaciers=glaciers, observed=min(3, glaciers), **synthetic_options)
    shapes = outlines.normalize(synthetic.outlines(options), "rgi6")
    who = {name: shapes[name].to_numpy() for name in ("glacier_id", "unit_id", "subregion", "lon", "lat", "area_m2")}
    who["subregion"] = np.array(["north", "south"])[np.arange(glaciers) % 2]
    who["set_aside"] = np.array(["no climate there" if n in aside else "" for n in range(glaciers)])
    chunks = per_block or {}
    if "cube" in stores:
        ground = relief.normalize_dem(synthetic.terrain(options)) if terrain else None
        lon, lat = options.place
        flat = pyproj.CRS(f"+proj=laea +lon_0={lon} +lat_0={lat}").to_wkt()
        crs_wkt = flat if ground is None else ground.attrs["crs_wkt"]
        _cube(f"{folder}/cube.zarr", shapes, chunks.get("cube", 512), ground, crs_wkt)
    if "smb" in stores:
        known = who | {"lasting_share": 0.1 * (np.arange(glaciers) % 4)}
        _write(
            f"{folder}/smb.zarr", schema.RECONSTRUCTION, _balance_axes(years), known, balances, chunks.get("smb", 512)
        )
    if "ice" in stores:
        _write(f"{folder}/ice.zarr", schema.EVOLUTION, _future_axes(), who, courses, chunks.get("ice", 32))
    return str(folder)


def balances(who: dict[str, Any], axes: xr.Dataset, first: int) -> dict[str, npt.NDArray[Any]]:
    """Balances of a block that begins with a glacier: its number, the year and the member decide them, kg m-2."""
    glacier, year = np.arange(first, first + len(who["lon"])), axes.hydro_year.values
    mean = -500.0 + 300.0 * np.sin(glacier)[:, None] + 400.0 * np.sin(1.7 * year) - 10.0 * (year - year[0])
    off = 50.0 * (np.arange(MEMBERS) - (MEMBERS - 1) / 2)
    member = mean + off[:, None, None]
    member[:, who["set_aside"] != ""] = np.nan
    std = np.hypot(member.std(0), RESIDUAL)
    return {"smb": member.mean(0), "smb_std": std, "smb_member": member}


def courses(who: dict[str, Any], axes: xr.Dataset, first: int) -> dict[str, npt.NDArray[Any]]:
    """Glaciers of a block that decay, members at different pace; those with an odd number in 60 years or so."""
    glacier, time = np.arange(first, first + len(who["lon"])), np.arange(axes.sizes["hydro_year"])
    rate = np.array([SCENARIOS[name] for name in axes.scenario.values.tolist()]) * (1 + 0.02 * axes.model_member.values)
    area0 = who["area_m2"].astype(float)[:, None]
    left = np.clip(1 - rate[:, None, None] * (1 + 0.2 * (glacier % 2))[:, None] * time, 0, None)
    left[:, who["set_aside"] != ""] = np.nan
    area, volume = area0 * left, 50.0 * area0 * left**1.5
    change = np.diff(volume, axis=-1, prepend=volume[..., :1])
    gone = np.where((left == 0).any(-1), axes.hydro_year.values[(left == 0).argmax(-1)], 0)
    return {
        "area": area,
        "volume": volume,
        "smb": np.divide(900 * change, area, out=np.zeros_like(area), where=area > 0) + 0 * left,
        "runoff": -900 * change,
        "sea_level": (volume[..., :1] - volume) * 0.9 / 3.625e14,
        "year_gone": gone,
        "thickness_estimated": np.ones(len(glacier)),
    }


def _balance_axes(years: npt.NDArray[np.int32]) -> xr.Dataset:
    axes = xr.Dataset({"hydro_year": ("hydro_year", years)}, attrs={"region": "Range of scale", "net": "mlp"})
    return axes.assign_attrs(members=MEMBERS)


def _future_axes() -> xr.Dataset:
    return xr.Dataset(
        {
            "hydro_year": ("hydro_year", FUTURE),
            "scenario": ("member", np.repeat(list(SCENARIOS), MEMBERS)),
            "model_member": ("member", np.tile(np.arange(MEMBERS, dtype="int32"), len(SCENARIOS))),
        },
        attrs={"region": "Range of scale"},
    )


def _write(url: str, kind: schema.Schema, axes: xr.Dataset, who: dict[str, Any], make: Any, per_block: int) -> None:
    """Write a store block by block."""
    verb = "reconstruct" if kind is schema.RECONSTRUCTION else "evolve"
    store, count = Store(url, kind), len(who["lon"])
    sizes = {"glacier": count} | ({} if "member" in axes.sizes else {"member": MEMBERS})
    without = [name for name, variable in kind.variables.items() if variable.optional and name != "lasting_share"]
    stamp = Stamp(verb=verb, options={"glaciers": count}, inputs=MODEL)
    early = [name for name in (*schema.IDENTITY, "lasting_share") if name in who]
    known = axes.assign({name: ("glacier", who[name]) for name in early})
    store.declare(known, stamp, sizes=sizes, chunks={"glacier": per_block}, without=without)
    for block in store.missing():
        part = {name: values[block.slice] for name, values in who.items()}
        store.write(block, part | make(part, axes, block.start))


def _cube(url: str, shapes: Any, per_block: int, terrain: xr.DataArray | None, crs_wkt: str) -> None:
    """A cube of outlines, observations and perhaps terrain with next to no climate, as `ingest` writes it."""
    years = HydroYears(int(YEARS[0]), int(YEARS[-1]))
    months = pd.date_range(f"{years.first_month}-01", f"{years.last_month}-01", freq="MS").as_unit("ns")
    cell = {"time": ("time", months), "clim_lat": ("clim_lat", [47.0]), "clim_lon": ("clim_lon", [10.0])}
    nothing = np.zeros((len(months), 1, 1), "float32")
    dims = ("time", "clim_lat", "clim_lon")
    fields = {"temp": (dims, nothing), "precip": (dims, nothing), "clim_height": (dims[1:], nothing[0])}
    sources = Sources(
        outlines=shapes,
        crs_wkt=crs_wkt,
        elevation=terrain,
        climate=xr.Dataset(fields, coords=cell),
        last_year_with_climate=years.last,
        observations=observations(shapes.unit_id.to_numpy(str)),
        inventories=None,
    )
    stamp = Stamp(verb="ingest", options={"glaciers": len(shapes)}, inputs={})
    region = Region("Range of scale", years=years)
    writing.write(Store(url, schema.CUBE), sources, region, stamp, IngestOptions(glaciers_per_block=per_block))


def observations(unit_id: npt.NDArray[np.str_]) -> pd.DataFrame:
    """Two annual balances, a winter balance, a stake and a geodetic decade of the first unit; one year of the next."""
    rows = [
        (unit_id[0], "annual", 2001, -700.0, 100.0, "2000-10-01", "2001-10-01", np.nan),
        (unit_id[0], "annual", 2000, 250.0, 100.0, "1999-10-01", "2000-10-01", np.nan),
        (unit_id[0], "winter", 2001, 1200.0, 150.0, "2000-10-01", "2001-05-01", np.nan),
        (unit_id[0], "point", 2001, -2500.0, 200.0, "2000-10-01", "2001-10-01", 2750.0),
        (unit_id[0], "geodetic", 2010, -900.0, 120.0, "2000-10-01", "2010-10-01", np.nan),
        (unit_id[min(1, len(unit_id) - 1)], "annual", 2005, -300.0, 90.0, "2004-10-01", "2005-10-01", np.nan),
    ]
    names = ("unit_id", "kind", "year", "value", "sigma", "start", "end", "elevation")
    table = pd.DataFrame(rows, columns=[f"obs_{name}" for name in names])
    dates = {name: pd.to_datetime(table[name]).astype("datetime64[ns]") for name in ("obs_start", "obs_end")}
    return table.assign(**dates, obs_lon=np.nan, obs_lat=np.nan)
