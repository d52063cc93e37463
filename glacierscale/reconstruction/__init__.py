"""Stage 4, reconstruct: model + features -> surface mass balance of every glacier and year, streamed by blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.models.bundle import SMBModel
from glacierscale.models.held_out import spread
from glacierscale.reconstruction.gapfilling import NAMES, Filling
from glacierscale.reconstruction.options import ReconstructOptions
from glacierscale.store import Block, Files, Store

__all__ = ["ReconstructOptions", "reconstruct"]

Floats = npt.NDArray[np.floating]

_BYTES_OF_VALUE, _BYTES_OF_BALANCE = 22, 6
"""Peak bytes of a value of a glacier in a year, and of a member's balance of a pixel of a patch in a year."""


def reconstruct(
    model: SMBModel | str | Path,
    features: str | Path | Store,
    *,
    to: str | Path,
    patches: str | Path | None = None,
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
        Folder or URL of the reconstruction. Maps go beside it, one store ``smb_map_*.zarr`` for each size of patch.
    patches : str or Path
        Folder that `rasterize` filled, for models with a raster network; None looks beside the features.
    options : ReconstructOptions
        How.

    Returns
    -------
    Store
        The reconstruction: ``smb``, ``smb_std`` and ``smb_member`` in kg m-2 per hydrological year. Blocks that exist
        are kept.

    Raises
    ------
    ValueError
        If the model has no such net, or the features were computed in another way than those it was trained on.
    StampMismatch
        If the place holds a reconstruction that was made otherwise.
    """
    place = "" if isinstance(model, SMBModel) else provenance.relative(model, to)  # one in memory lies nowhere
    model = model if isinstance(model, SMBModel) else SMBModel.load(Files.at(model))
    near, far = (options.net or best for best in (model.best_observed, model.best_unobserved))
    source = Store.at(features, schema.FEATURES)
    rasters = {net for net in (near, far) if net in model.rasters}
    drawn = next((net for net in (options.net, "hybrid", "cnn") if net in model.rasters), "")
    needed = rasters or options.seasonal or (drawn and options.maps)
    folder = patches or provenance.join(source.url, "..")
    stores = Store.all_in(folder, "patches_*.zarr", schema.PATCHES) if needed else ()
    if options.seasonal and not drawn:
        raise ValueError(f"seasonal asks for a raster network; the model has {sorted(model.nets)}. Train a hybrid.")
    stamp = _stamp(place, model, source, stores, to, options)
    store = Store(str(to), schema.RECONSTRUCTION)
    if drawn and options.maps:
        from glacierscale.reconstruction import maps

        for found in stores:
            beside = provenance.join(to, f"../{PurePosixPath(found.url).name.replace('patches', 'smb_map')}")
            maps.write(model, place, source, found, to=beside, net=drawn, seasonal=options.seasonal)
    if not store.is_complete(stamp):
        # Which glaciers a block has is asked for each block, so it is read once.
        opened = [rasters.assign(feature_row=rasters.feature_row.load()) for rasters in (s.open() for s in stores)]
        _write(store, stamp, model, source, opened, options, drawn)
    return store


def _stamp(
    place: str, model: SMBModel, source: Store, patches: Sequence[Store], to: str | Path, options: ReconstructOptions
) -> provenance.Stamp:
    """What decides a reconstruction."""
    stores = {"features": source, **{PurePosixPath(found.url).stem: found for found in patches}}
    return provenance.Stamp(
        verb="reconstruct",
        options=provenance.options_dict(options),
        inputs={"model": provenance.Input(url=place, fingerprint=model.fingerprint)}
        | {
            name: provenance.Input(url=provenance.relative(found.url, to), fingerprint=found.fingerprint())
            for name, found in stores.items()
        },
    )


def _write(
    store: Store,
    stamp: provenance.Stamp,
    model: SMBModel,
    source: Store,
    patches: Sequence[xr.Dataset],
    options: ReconstructOptions,
    drawn: str,
) -> None:
    """Declare the reconstruction and write what is missing."""
    dataset = source.open()
    model.refuse_other_recipe(dataset)
    near, far = (options.net or best for best in (model.best_observed, model.best_unobserved))
    kept = ("region", "hemisphere", "last_year_with_climate")
    attributes: dict[str, Any] = {name: dataset.attrs[name] for name in kept if name in dataset.attrs}
    attributes["net"] = near if near == far else f"{near} for observed glaciers, {far} for the others"
    static = dataset[[*schema.identity(dataset), "hydro_year"]].load()
    observed = np.isin(schema.text(static.unit_id.values), model.unit_id)
    (seen, _), (_, unseen) = (model.lasting_share.get(net, (0.0, 0.0)) for net in (near, far))
    static = static.assign(lasting_share=("glacier", np.where(observed, seen, unseen)))
    static.attrs = attributes
    members = max(model.members_of(net) for net in (near, far))
    glaciers = source.blocks()[0].stop
    blocks = _Blocks(model, dataset, tuple(patches), near, far, members, drawn if options.seasonal else "")
    if options.gapfill:
        trends = {net: partial(blocks.mean, net) for net in dict.fromkeys([near, far])}
        filling = Filling.of(model.plain, dataset, trends)
        blocks, static = replace(blocks, filling=filling), static.assign_attrs(filling.attributes())
    absent = (*(() if options.seasonal else ("smb_winter",)), *(() if options.gapfill else NAMES))
    with store.hold() as held:
        store.declare(
            static,
            stamp,
            sizes={"glacier": dataset.sizes["glacier"], "member": members},
            chunks={"glacier": glaciers},
            without=absent,
        )
        job = compute.Job(blocks.load, blocks.compute, store.write, gpu=blocks.by_raster())
        needs = blocks.block_bytes(glaciers)
        compute.run(job, store.missing(), label="reconstruct, blocks", bytes_each=needs, check=held.check)


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of glaciers."""

    model: SMBModel
    features: xr.Dataset
    patches: tuple[xr.Dataset, ...]
    near: str
    far: str
    members: int
    seasonal: str
    """Raster network of the winter balance; empty where none is wanted."""
    filling: Filling | None = None
    """What fills gaps; None where that is not wanted."""

    def load(self, block: Block) -> _Loaded:
        return self._some(np.arange(block.start, block.stop))

    def _some(self, glaciers: npt.NDArray[np.integer]) -> _Loaded:
        """Some glaciers, by their ascending positions."""
        features = self.features.isel(glacier=glaciers).load()
        parts = []
        for patches in self.patches:
            mine = np.flatnonzero(np.isin(patches.feature_row.values, glaciers))
            if len(mine):
                part = patches.isel(glacier=mine).load()
                row = np.searchsorted(glaciers, part.feature_row.values)
                parts.append(part.assign(feature_row=("glacier", row)))
        return _Loaded(features, tuple(parts))

    def mean(self, net: str, glaciers: npt.NDArray[np.integer]) -> Floats:
        """What gaps are filled around: ensemble mean of some glaciers, without what nets leave in like years.

        (glacier, hydro_year) kg m-2, NaN for those that were set aside.
        """
        whole = _Block(self.model.plain, self._some(glaciers))
        found = whole.annual(net).mean(axis=0)
        return np.where((whole.reason == "")[:, None], found, np.nan)

    def compute(self, _: Block, loaded: _Loaded) -> dict[str, npt.NDArray[Any]]:
        whole = _Block(self.model, loaded)
        arrays = whole.arrays(self.near, self.far, self.members)
        if self.filling is not None:
            observed = np.isin(schema.text(loaded.features.unit_id.values), self.model.unit_id)
            net = np.where(observed, self.near, self.far)
            alone = arrays
            if self.model.plain is not self.model:
                alone = _Block(self.model.plain, loaded).arrays(self.near, self.far, self.members)
            arrays |= self.filling.arrays(loaded.features, net, alone["smb"], alone["smb_std"])
        if self.seasonal:
            arrays["smb_winter"] = whole.raster(self.seasonal, "winter").mean(axis=0)
        return arrays

    def by_raster(self) -> bool:
        """Whether a raster network predicts."""
        return bool(self.seasonal or {self.near, self.far} & self.model.rasters.keys())

    def block_bytes(self, glaciers: int) -> int:
        """Peak memory of one block of a number of glaciers in work, about."""
        years = self.features.sizes["hydro_year"]
        row = self.features.sizes["predictor"] + 24 + self.members
        total = glaciers * years * row * _BYTES_OF_VALUE
        total += self.filling.bytes(glaciers) if self.filling is not None else 0
        for patches in self.patches:
            most = _most_together(patches.feature_row.values // glaciers)
            cells = most * patches.sizes["x"] ** 2
            total += cells * (2 * self.members * years * _BYTES_OF_BALANCE + patches.sizes["channel"] * _BYTES_OF_VALUE)
        return total


@dataclass(frozen=True)
class _Loaded:
    """A run of glaciers in memory."""

    features: xr.Dataset
    patches: tuple[xr.Dataset, ...]
    """One of each size that the glaciers need, ``feature_row`` counted from the first glacier of the run."""


class _Block:
    """A run of glaciers, predicted by any net of a model."""

    def __init__(self, model: SMBModel, loaded: _Loaded) -> None:
        self.model, self.features, self.patches = model, loaded.features, loaded.patches
        self.reason = schema.text(self.features.set_aside.values).astype(object)

    def arrays(self, near: str, far: str, members: int) -> dict[str, npt.NDArray[Any]]:
        """Every stored variable, observed glaciers by the one net and the others by the other."""
        observed = np.isin(schema.text(self.features.unit_id.values), self.model.unit_id)
        found = _repeated(self.annual(near), members)
        if far != near and not observed.all():
            found = np.where(observed[:, None], found, _repeated(self.annual(far), members))
        residual = np.where(observed, self.model.residual_of(near), self.model.unseen_std[far])
        found = np.where((self.reason == "")[:, None], found, np.nan)
        mean = found.mean(axis=0)
        std = np.hypot(spread(found), residual[:, None])
        blind = self.features.hydro_year.values > self.features.attrs.get("last_year_with_climate", np.inf)
        if blind.any():  # a mean climate knows nothing of what sets its year apart
            std[:, blind] = np.hypot(std[:, blind], _interannual(mean[:, ~blind])[:, None])
        return {name: self.features[name].values for name in schema.identity(self.features)} | {
            "set_aside": schema.text(self.reason),
            "smb": mean,
            "smb_std": np.where(np.isfinite(mean), std, np.nan),
            "smb_member": found,
        }

    def annual(self, net: str) -> Floats:
        """Balance by every member of a net: (member, glacier, hydro_year) kg m-2."""
        return self.raster(net, "annual") if net in self.model.rasters else self.model.reconstruct(self.features, net)

    def raster(self, net: str, season: str) -> Floats:
        """The same by a raster network: means over the cells of each patch, NaN for glaciers without one."""
        from glacierscale.models import mapping

        own = self.model.rasters[net]
        count, years = self.features.sizes["glacier"], self.features.sizes["hydro_year"]
        out = np.full((own.members, count, years), np.nan)
        for part in self.patches:
            at = part.feature_row.values
            reason = schema.text(part.set_aside.values)
            self.reason[at] = np.where(self.reason[at] == "", reason, self.reason[at])
            part = part.assign(set_aside=("glacier", schema.text(self.reason[at])))
            found = mapping.glaciers(own, part, self.features)
            if found is not None:
                out[:, found.surface.feature_row] = found.mean(getattr(found, season))
        return out


def _interannual(balance: Floats) -> Floats:
    """Standard deviation over the years that have a value, zero where none has: (glacier, year) -> (glacier,)."""
    known = np.isfinite(balance)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, balance, 0.0).sum(axis=1) / count
    std: Floats = np.sqrt((np.where(known, balance - mean[:, None], 0.0) ** 2).sum(axis=1) / count)
    return std


def _most_together(group: npt.NDArray[np.integer]) -> int:
    """Size of the largest group of equal numbers."""
    return int(np.unique(group, return_counts=True)[1].max(initial=0))


def _repeated(found: Floats, members: int) -> Floats:
    """The members over again until there are enough: nets may have different numbers of them."""
    return found[np.arange(members) % len(found)]
