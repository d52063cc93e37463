"""Maps of the balance, one store for each size of patch, streamed block by block."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.models.bundle import SMBModel
from glacierscale.models.mapping import PARAMETERS, maps
from glacierscale.models.raster import RasterNet
from glacierscale.store import Block, Store

_BLOCK_BYTES = 2**27
_COPIES = 4
"""Maps of a block at once, as they are made and as they are packed, beside every member's balances."""


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
        inputs={"model": provenance.Input(url=place, fingerprint=model.fingerprint)}
        | {
            name: provenance.Input(url=provenance.relative(store.url, to), fingerprint=store.fingerprint())
            for name, store in inputs.items()
        },
    )
    store = Store(str(to), schema.MAPS)
    if store.is_complete(stamp):
        return store
    source, rasters = features.open(), patches.open()
    static = rasters[[*schema.identity(rasters), *schema.PLACEMENT]].load()
    static = static.assign(
        hydro_year=("hydro_year", source.hydro_year.values),
        parameter=("parameter", np.array(list(PARAMETERS))),
        parameter_units=("parameter", np.array(list(PARAMETERS.values()))),
    )
    static.attrs = {name: source.attrs[name] for name in ("region", "hemisphere")} | {"net": net}
    size = rasters.sizes["x"]
    per_glacier = 4 * size**2 * source.sizes["hydro_year"] * (1 + seasonal)
    glaciers = max(1, min(schema.MAPS.blocks["glacier"], _BLOCK_BYTES // per_glacier))
    blocks = _Blocks(model.rasters[net], source, rasters, seasonal)
    with store.hold() as held:
        store.declare(
            static,
            stamp,
            sizes={"glacier": rasters.sizes["glacier"], "y": size, "x": size},
            chunks={"glacier": glaciers},
            without=() if seasonal else ("winter_map",),
        )
        job = compute.Job(blocks.load, blocks.compute, store.write, gpu=True)
        needs = glaciers * (2 * blocks.net.members + _COPIES) * per_glacier
        label = f"map {size} cells, blocks"
        compute.run(job, store.missing(), label=label, bytes_each=needs, check=held.check)
    return store


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of patches."""

    net: RasterNet
    features: xr.Dataset
    patches: xr.Dataset
    seasonal: bool

    def load(self, block: Block) -> tuple[xr.Dataset, xr.Dataset]:
        """Patches, and the features of their glaciers, ``feature_row`` counted among these."""
        part = self.patches.isel(glacier=block.slice).load()
        order, row = np.unique(part.feature_row.values, return_inverse=True)
        return part.assign(feature_row=("glacier", row)), self.features.isel(glacier=order).load()

    def compute(self, _: Block, loaded: tuple[xr.Dataset, xr.Dataset]) -> dict[str, npt.NDArray[Any]]:
        """Every stored variable."""
        part, features = loaded
        identity = (*schema.identity(part), *schema.PLACEMENT)
        arrays = {name: part[name].values for name in identity} | {"set_aside": _reasons(part, features)}
        part = part.assign(set_aside=("glacier", arrays["set_aside"]))
        return arrays | maps(self.net, part, features, seasonal=self.seasonal)


def _reasons(patches: xr.Dataset, features: xr.Dataset) -> np.ndarray:
    """Why glaciers were set aside, when their patches or their features were made."""
    own = schema.text(patches.set_aside.values)
    before = schema.text(features.set_aside.values)[patches.feature_row.values]
    return np.where(own != "", own, before)
