"""Maps of the balance, one store for each size of patch, streamed block by block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.models.bundle import SMBModel
from glacierscale.models.mapping import PARAMETERS, maps
from glacierscale.store import Block, Store

_BLOCK_BYTES = 2**27


def write(
    model: SMBModel, place: str, features: Store, patches: Store, *, to: str | Path, net: str, seasonal: bool
) -> Store:
    """Map every glacier of one store of patches.

    Parameters
    ----------
    model : SMBModel
    place : str
        Where the model lies, as the stamp names it.
    features, patches : Store
    to : str or Path
        Folder or URL of the maps.
    net : str
        Raster network.
    seasonal : bool
        Winter balances too.

    Returns
    -------
    Store
        The maps. Blocks that exist are kept.
    """
    inputs = {"features": features, "patches": patches}
    stamp = provenance.Stamp(
        verb="map",
        options={"net": net, "seasonal": seasonal},
        inputs={"model": provenance.Input(url=place, fingerprint=model.stamp.fingerprint)}
        | {
            name: provenance.Input(url=provenance.relative(store.url, to), fingerprint=store.fingerprint())
            for name, store in inputs.items()
        },
    )
    store = Store(str(to), schema.MAPS)
    if store.is_complete(stamp):
        return store
    source, rasters = features.open(), patches.open()
    static = xr.Dataset(
        {
            "hydro_year": ("hydro_year", source.hydro_year.values),
            "parameter": ("parameter", np.array(list(PARAMETERS))),
            "parameter_units": ("parameter", np.array(list(PARAMETERS.values()))),
        },
        attrs={name: source.attrs[name] for name in ("region", "hemisphere")} | {"net": net},
    )
    size = rasters.sizes["x"]
    per_glacier = 4 * size**2 * source.sizes["hydro_year"] * (1 + seasonal)
    store.declare(
        static,
        stamp,
        sizes={"glacier": rasters.sizes["glacier"], "y": size, "x": size},
        chunks={"glacier": max(1, min(schema.MAPS.blocks["glacier"], _BLOCK_BYTES // per_glacier))},
        without=() if seasonal else ("winter_map",),
    )

    def work(block: Block) -> None:
        part = rasters.isel(glacier=block.slice).load()
        identity = (*schema.IDENTITY, *schema.PLACEMENT)
        arrays = {name: part[name].values for name in identity} | {"set_aside": _reasons(part, source)}
        part = part.assign(set_aside=("glacier", arrays["set_aside"]))
        store.write(block, arrays | maps(model.rasters[net], part, source, seasonal=seasonal))

    compute.map_blocks(work, store.missing(), label=f"map {size} cells, blocks")
    return store


def _reasons(patches: xr.Dataset, features: xr.Dataset) -> np.ndarray:
    """Why glaciers were set aside, when their patches or their features were made."""
    own = schema.text(patches.set_aside.values)
    before = schema.text(features.set_aside.values)[patches.feature_row.values]
    return np.where(own != "", own, before)
