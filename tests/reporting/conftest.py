"""Inputs of the report: a reconstruction, held-out predictions and their scores."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale import schema

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
        "lon": rng.uniform(10.7, 11.0, glaciers),
        "lat": rng.uniform(46.75, 46.95, glaciers),
        "area_m2": rng.uniform(2e5, 2e7, glaciers),
        "hydro_year": YEARS,
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


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """Makers of the inputs, each called with what a test wants otherwise."""
    return SimpleNamespace(reconstruction=reconstruction, predictions=predictions, scores=scores, years=YEARS)


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
