"""A small store of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import xarray as xr

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.schema import Schema, Variable
from glacierscale.store import Store, layout

SIZE = 2
RECIPE = {"bands": 20, "years": [1991, None], "pooled": True}


def values(name: str, variable: Variable) -> Any:
    """Something that fits a variable; axes run on."""
    shape = [SIZE] * len(variable.dims)
    if variable.dtype == "string":
        return np.array([f"{name} {number}" for number in range(SIZE)])
    number = np.arange(np.prod(shape)).reshape(shape)
    if variable.dtype == "datetime64[ns]":
        return np.datetime64("2000-10-01", "ns") + number * np.timedelta64(31, "D")
    return (number + 1).astype(variable.dtype)


def declared(kind: Schema, url: str, crs: str = "EPSG:32632") -> Store:
    """A store of a kind with all its variables, optional ones too, whose blocks are still missing."""
    store = Store(url, kind)
    own = {name: variable for name, variable in kind.variables.items() if layout.block_dim(kind, variable) is None}
    placed = {"terrain_crs_wkt": pyproj.CRS(crs).to_wkt()} if kind is schema.CUBE else {}
    static = xr.Dataset(
        {name: (variable.dims, values(name, variable)) for name, variable in own.items()},
        attrs={"region": "test", "recipe": RECIPE} | placed,
    )
    verb = next(verb for verb, written in schema.WRITTEN_BY.items() if written is kind)
    sizes = {dim: SIZE for variable in kind.variables.values() for dim in variable.dims}
    return store.declare(static, Stamp(verb=verb, options={}, inputs={}), sizes=sizes)


def filled(kind: Schema, url: str, crs: str = "EPSG:32632") -> Store:
    """The same with its blocks, those that are missing."""
    store = declared(kind, url, crs)
    for block in store.unfinished():
        store.write(block, {name: values(name, variable) for name, variable in kind.variables.items()})
    return store
