"""Inputs of the report: a reconstruction, held-out predictions and their scores."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.reporting import kinds as kinds_module
from glacierscale.reporting import rasters
from glacierscale.store import Store

SVG = "{http://www.w3.org/2000/svg}"
YEARS = np.arange(1953, 2015)


def reconstruction(glaciers: int = 20, members: int = 4, residual: float = 250.0) -> xr.Dataset:
    rng = np.random.default_rng(glaciers)
    member = rng.normal(-400, 500, (1, glaciers, YEARS.size)) + rng.normal(0, 80, (members, glaciers, YEARS.size))
    values = {
        "smb": member.mean(0),
        "smb_std": np.sqrt(member.var(0) + residual**2),
        "smb_member": member,
        "glacier_id": [f"RGI60-11.{n:05d}" for n in range(glaciers)],
        "unit_id": [f"RGI60-11.{n:05d}" for n in range(glaciers)],
        "subregion": [""] * glaciers,
        "lon": rng.uniform(10.7, 11.0, glaciers),
        "lat": rng.uniform(46.75, 46.95, glaciers),
        "area_m2": rng.uniform(2e5, 2e7, glaciers),
        "hydro_year": YEARS,
        "set_aside": [""] * glaciers,
    }
    wanted = schema.RECONSTRUCTION.variables
    arrays = {
        name: xr.Variable(
            wanted[name].dims,
            np.asarray(value) if wanted[name].dtype == "string" else np.asarray(value, dtype=wanted[name].dtype),
            {"units": wanted[name].units} if wanted[name].units else {},
        )
        for name, value in values.items()
    }
    return xr.Dataset(arrays, attrs={"region": "Oetztal Alps", "net": "mlp"})


def predictions(data: xr.Dataset) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    ids = data.glacier_id.values.astype(str)[:3]
    rows = [
        ("logo", model, name, name, int(year), observed, observed + rng.normal(0, 300), 300.0)
        for name in ids
        for year in YEARS[:15]
        for observed in [rng.normal(-400, 500)]
        for model in ("lasso", "mlp", "temperature_index")
    ]
    names = ["scheme", "model", "fold", "glacier_id", "hydro_year", "observed", "predicted", "std"]
    return pd.DataFrame(rows, columns=names)


def scores(difference: tuple[float, float, float] = (-30.0, -50.0, -10.0), mlp: float = 310.0) -> pd.DataFrame:
    rows = [("logo", m, "rmse", v, v - 30, v + 30, 45) for m, v in
            {"lasso": 350.0, "mlp": mlp, "temperature_index": 340.0}.items()]  # fmt: skip
    rows += [("logo", "mlp", "coverage90", 0.8, 0.7, 0.9, 45), ("logo", "lasso", "coverage90", 0.95, 0.9, 1.0, 45)]
    rows += [("logo", "mlp", "rmse_difference_to_temperature_index", *difference, 45)]
    return pd.DataFrame(rows, columns=["scheme", "model", "metric", "value", "low", "high", "n"])


GRADIENT, BALANCED = 6.0, 3000.0


def surface_store(url: str, ids: list[str], areas: list[float], *, cells: int = 32, aside: tuple[str, ...] = (),
                  stamp: provenance.Stamp | None = None, ice: np.ndarray | None = None) -> Store:  # fmt: skip
    """A store of maps of tilted planes under round glaciers: 6 kg m-2 per m from 3000 m on, a year's offset on top.

    Rows climb to the north by 20 m; the years 2000 to 2004 add -500, -1500, 0, 1000 and -500 kg m-2.
    """
    years, n = np.arange(2000, 2005, dtype="int32"), len(ids)
    row, column = np.indices((cells, cells))
    elevation = 3000.0 + 20.0 * (cells / 2 - 0.5 - row)
    round_ice = (np.hypot(row - cells / 2 + 0.5, column - cells / 2 + 0.5) < cells / 4).astype(float)
    ice = round_ice if ice is None else ice
    on_ice = np.where(ice > 0, 1.0, np.nan)
    offset = np.array([-500.0, -1500.0, 0.0, 1000.0, -500.0])[:, None, None]
    smb = (GRADIENT * (elevation - BALANCED) + offset) * on_ice
    static = xr.Dataset(
        {
            "hydro_year": ("hydro_year", years),
            "parameter": ("parameter", np.array(["snow_factor", "temperature_bias"])),
            "parameter_units": ("parameter", np.array(["kg m-2 K-1 day-1", "K"])),
        },
        attrs={"region": "Range"},
    )
    store = Store(url, schema.MAPS)
    stamp = stamp or provenance.Stamp(verb="map", options={}, inputs={})
    store.declare(static, stamp, sizes={"glacier": n, "y": cells, "x": cells}, without=["winter_map"])
    parameters = np.stack([np.full_like(elevation, 4.0), (elevation - BALANCED) / 1000]) * on_ice
    arrays = {
        "glacier_id": np.array(ids),
        "unit_id": np.array([name.split("_d")[0] for name in ids]),
        "subregion": np.full(len(ids), ""),
        "area_m2": np.array(areas),
        "resolution": np.full(n, 100.0),
        "set_aside": np.array(["no climate there" if name in aside else "" for name in ids]),
        "elevation": np.broadcast_to(elevation, (n, cells, cells)),
        "ice_fraction": np.broadcast_to(ice, (n, cells, cells)),
        "smb_map": np.broadcast_to(smb, (n, *smb.shape)),
        "smb_map_std": np.broadcast_to(200.0 * on_ice, (n, cells, cells)),
        "parameters": np.broadcast_to(parameters, (n, *parameters.shape)),
    } | {name: np.full(n, 10.0) for name in ("lon", "lat", "centre_lon", "centre_lat")}
    for block in store.unfinished():
        store.write(block, {name: values[block.slice] for name, values in arrays.items()})
    return store


def tables() -> dict[str, pd.DataFrame]:
    """Tables of a raster run: two observed bands profiles, scores by kind, constraints and what drives the balance."""
    bands = [
        (scheme, model, "a", "G1", "band", year, z, 6.0 * (z - 3000), 6.0 * (z - 3000) * slope, 300.0)
        for scheme in ("logo", "loyo")
        for model, slope in (("hybrid", 0.9), ("temperature_index", 0.5))
        for year in (2000, 2001)
        for z in (2825.0, 2875.0, 2925.0, 3025.0)
    ]
    kinds = [
        (scheme, model, kind, metric, value + 100 * (model != "hybrid") * (metric == "rmse"), 40)
        for scheme in ("logo", "loyo")
        for model in ("hybrid", "temperature_index")
        for kind in ("annual", "band")
        for metric, value in (("rmse", 310.0), ("bias", -20.0), ("R2", 0.7), ("coverage_50", 0.48))
    ]
    rows = {
        "predictions_by_kind": bands,
        "scores_by_kind": kinds,
        "constraints": [("hybrid", "dsmb_dt <= 0", 0.9999, "1", 900), ("cnn", "dsmb_dt <= 0", 0.913, "1", 900)],
        "sensitivities": [(m, g, -700.0 - n, 80.0 + n) for n, g in enumerate("abc")
                          for m in ("hybrid", "temperature_index")],
        "importance": [("hybrid", "logo", name, value) for name, value in (("slope", 20.0), ("elevation", 200.0))],
        "climate_range": [("temp", "degC", -10.0, 8.0, -11.0, 9.5, 0.021), ("precip", "kg m-2", 0.0, 9.0, 1.0, 8.0, 0)],
    }  # fmt: skip
    return {name: pd.DataFrame(rows[name], columns=list(columns)) for name, columns in kinds_module.TABLES.items()}


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """Makers of the inputs, each called with what a test wants otherwise."""
    makers = {"reconstruction": reconstruction, "predictions": predictions, "scores": scores}
    return SimpleNamespace(**makers, surface_store=surface_store, tables=tables, years=YEARS)


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> list[rasters.Surface]:
    """Two glaciers of a store, cut for drawing."""
    store = surface_store(str(tmp_path_factory.mktemp("surfaces") / "smb_map_032.zarr"), ["G1", "G2"], [2e6, 1e6])
    return rasters.surfaces([store.open()], set(), 4)


def marks(svg: str, gid: str) -> int:
    """Number of shapes drawn in a named group."""
    groups = [group for group in ET.fromstring(svg).iter(f"{SVG}g") if group.get("id", "").endswith(f"-{gid}")]
    assert len(groups) == 1, f"{len(groups)} groups called {gid}"
    used = len(list(groups[0].iter(f"{SVG}use")))
    return used or len([p for p in groups[0].iter(f"{SVG}path") if p.get("id") is None])


def texts(svg: str) -> set[str]:
    return {"".join(text.itertext()).strip() for text in ET.fromstring(svg).iter(f"{SVG}text")}


@pytest.fixture(scope="session")
def drawing() -> SimpleNamespace:
    """Readers of a drawing: how many marks a group has, and all texts."""
    return SimpleNamespace(marks=marks, texts=texts)
