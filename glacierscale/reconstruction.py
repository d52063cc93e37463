"""Stage 4, reconstruct: model + features -> surface mass balance of every glacier and year, streamed by blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.models.bundle import SMBModel, spread
from glacierscale.store import Block, Store


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions:
    """What is predicted."""

    net: str = ""
    """Net that predicts all glaciers; empty takes the one that wins with years held out for observed glaciers and the
    one that wins with glaciers held out for the others."""


def reconstruct(
    model: SMBModel | str | Path,
    features: str | Path | Store,
    *,
    to: str | Path,
    options: ReconstructOptions = ReconstructOptions(),
) -> Store:
    """Predict every glacier in every year by the members that were trained on all rows.

    Parameters
    ----------
    model : SMBModel, str or Path
        A model or its folder.
    features : str, Path or Store
        Features of the glaciers to predict, observed or not.
    to : str or Path
        Folder or URL of the reconstruction.
    options : ReconstructOptions
        How.

    Returns
    -------
    Store
        The reconstruction: ``smb``, ``smb_std`` and ``smb_member`` in kg m-2 per hydrological year. Blocks that exist
        are kept.
    """
    place = "model" if isinstance(model, SMBModel) else provenance.relative(model, to)
    model = model if isinstance(model, SMBModel) else SMBModel.load(model)
    near, far = (options.net or best for best in (model.best_observed, model.best_unobserved))
    source = Store.at(features, schema.FEATURES)
    stamp = provenance.Stamp(
        verb="reconstruct",
        options=provenance.options_dict(options),
        inputs={
            "model": provenance.Input(url=place, fingerprint=model.stamp.fingerprint),
            "features": provenance.Input(url=provenance.relative(source.url, to), fingerprint=source.fingerprint()),
        },
    )
    store = Store(str(to), schema.RECONSTRUCTION)
    if store.is_complete(stamp):
        return store
    dataset = source.open()
    model.refuse_other_recipe(dataset)
    attributes = {name: dataset.attrs[name] for name in ("region", "hemisphere")}
    attributes["net"] = near if near == far else f"{near} for observed glaciers, {far} for the others"
    static = xr.Dataset({"hydro_year": ("hydro_year", dataset.hydro_year.values)}, attrs=attributes)
    per_block = source.blocks()[0].stop
    # One block first: how many members there are is the net's affair.
    head, _ = model.reconstruct(dataset.isel(glacier=slice(0, 1)).load(), options.net)
    sizes = {"glacier": dataset.sizes["glacier"], "member": len(head)}
    store.declare(static, stamp, sizes=sizes, chunks={"glacier": per_block})

    def work(block: Block) -> None:
        store.write(block, arrays_of(model, dataset.isel(glacier=block.slice).load(), options.net))

    compute.map_blocks(work, store.missing(), label="reconstruct, blocks")
    return store


def arrays_of(model: SMBModel, features: xr.Dataset, net: str) -> dict[str, npt.NDArray[Any]]:
    """Every stored variable of a (loaded) block of features."""
    members, residual = model.reconstruct(features, net)
    return {name: features[name].values for name in ("glacier_id", "unit_id", "lon", "lat", "area_m2")} | {
        "smb": members.mean(axis=0),
        "smb_std": np.hypot(spread(members), residual[:, None]),
        "smb_member": members,
    }
