"""Stage 5, evolve: model + cube -> geometry of every glacier under future climates, streamed by blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.evolution.options import EvolveOptions, Scenario
from glacierscale.models.bundle import SMBModel
from glacierscale.store import Block, Store

if TYPE_CHECKING:
    from glacierscale.evolution.inputs import Inputs

__all__ = ["EvolveOptions", "Scenario", "evolve"]

_NO_PATCH = "no patch: rasterize has none of this glacier; rasterize the same cube again."
_BYTES_OF_VALUE = 60
"""Peak bytes of what is told of a glacier, member and year, read once and packed."""


def evolve(
    model: SMBModel | str | Path,
    cube: str | Path | Store,
    *,
    to: str | Path,
    features: str | Path | Store | None = None,
    patches: str | Path | None = None,
    options: EvolveOptions = EvolveOptions(),
) -> Store:
    """Let every glacier evolve under future climates, its balance told by the model on the surface of the day.

    Parameters
    ----------
    model : SMBModel, str or Path
        A model or its folder.
    cube : str, Path or Store
        A cube with scenarios and ice thickness.
    to : str or Path
        Folder or URL of the evolution. Maps of the ice go beside it, one store ``ice_map_*.zarr`` for each size of
        patch, and sums over glaciers, ``ice_totals.parquet``.
    features : str, Path or Store
        Features of the cube's glaciers; None looks for ``features.zarr`` beside the cube.
    patches : str or Path
        Folder that `rasterize` filled; None looks beside the cube.
    options : EvolveOptions
        How.

    Returns
    -------
    Store
        The evolution: ``area``, ``volume``, ``smb``, ``runoff`` and ``sea_level`` of every member, glacier and year.
        Blocks that exist are kept. The thickness of a glacier that its source does not know is estimated, as
        ``thickness_estimated`` says; a glacier without ice at the start is set aside with the reason.

    Raises
    ------
    ValueError
        If the cube has no such scenario or one is shorter than asked, if the patches have no thickness, if the first
        year is none of the features', or if the stores are not of the same glaciers.
    """
    from glacierscale.evolution import totals
    from glacierscale.evolution.inputs import Inputs

    inputs = Inputs.at(model, cube, features, patches, to)
    places = [provenance.join(to, f"../{_name_of_map(found)}") for found in inputs.patches]
    maps = _simulate(inputs, places, options)
    store = Store(str(to), schema.EVOLUTION)
    stamp = inputs.stamp("evolve", options, inputs.patches, to)
    if not store.is_complete(stamp):
        _gather(store, stamp, inputs.features.open(), maps, options.glaciers_per_block)
    totals.write(store, to=provenance.join(to, ".."))
    return store


def write_map(
    model: SMBModel | str | Path,
    cube: str | Path,
    features: str | Path,
    patches: str | Path,
    *,
    to: str | Path,
    options: EvolveOptions,
) -> Store:
    """Let the glaciers of one store of patches evolve, as `evolve` does with those of all.

    Parameters
    ----------
    model : SMBModel, str or Path
    cube, features, patches : str or Path
    to : str or Path
        Folder or URL of the store of ice maps.
    options : EvolveOptions
    """
    from glacierscale.evolution.inputs import Inputs

    inputs = Inputs.at(model, cube, features, [Store.at(patches, schema.PATCHES)], to)
    return _simulate(inputs, [str(to)], options)[0]


def _name_of_map(patches: Store) -> str:
    return PurePosixPath(patches.url).name.replace("patches", "ice_map")


def _simulate(inputs: Inputs, places: Sequence[str], options: EvolveOptions) -> list[Store]:
    """Stores of ice maps, one for each store of patches, finished."""
    stores = [Store(place, schema.ICE_MAPS) for place in places]
    stamps = [
        inputs.stamp("map_ice", options, [found], place) for found, place in zip(inputs.patches, places, strict=True)
    ]
    done = [store.is_complete(stamp) for store, stamp in zip(stores, stamps, strict=True)]  # refuses before it writes
    if all(done):
        return stores
    from glacierscale.evolution import patchwise
    from glacierscale.evolution.setting import Setting

    features = inputs.features.open()
    setting = Setting.of(inputs.model, inputs.cube.open(), features, options)
    parts = [
        patchwise.Part(store, stamp, found.open())
        for found, store, stamp, finished in zip(inputs.patches, stores, stamps, done, strict=True)
        if not finished
    ]
    patchwise.write(parts, setting, features, most=options.glaciers_per_block)
    return stores


def _gather(store: Store, stamp: provenance.Stamp, features: xr.Dataset, maps: Sequence[Store], most: int) -> None:
    """Write what the stores of ice maps tell of every glacier, in the order of the features."""
    opened = [found.open() for found in maps]
    course = opened[0][["hydro_year", "scenario", "model_member"]].load()
    static = features[schema.identity(features)].load().merge(course)
    static.attrs = {name: opened[0].attrs[name] for name in ("region", "hemisphere", "net", "method")}
    rows = [part.feature_row.values for part in opened]
    blocks = _Blocks(features, tuple(opened), tuple(rows))
    values = static.sizes["member"] * static.sizes["hydro_year"]
    with store.hold() as held:
        store.declare(static, stamp, sizes={"glacier": features.sizes["glacier"]}, chunks={"glacier": most})
        job = compute.Job(blocks.load, blocks.compute, store.write)
        needs = most * values * _BYTES_OF_VALUE
        compute.run(job, store.missing(), label="evolve, blocks", bytes_each=needs, check=held.check)


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of glaciers of all sizes."""

    features: xr.Dataset
    maps: tuple[xr.Dataset, ...]
    rows: tuple[npt.NDArray[np.integer], ...]
    """Positions of each store's glaciers in the features."""

    def load(self, block: Block) -> list[xr.Dataset]:
        """What each store tells of these glaciers."""
        names = [*_told(), "feature_row"]
        here = [np.flatnonzero((row >= block.start) & (row < block.stop)) for row in self.rows]
        return [part[names].isel(glacier=mine).load() for part, mine in zip(self.maps, here, strict=True) if len(mine)]

    def compute(self, block: Block, loaded: list[xr.Dataset]) -> dict[str, npt.NDArray[Any]]:
        """Every stored variable."""
        own = self.features[[*schema.identity(self.features), "set_aside"]].isel(glacier=block.slice).load()
        length, first = block.stop - block.start, self.maps[0]
        reason = schema.text(own.set_aside.values).astype(object)
        out: dict[str, npt.NDArray[Any]] = {}
        for name in (told for told in _told() if told != "set_aside"):
            sizes = [length if dim == "glacier" else first.sizes[dim] for dim in first[name].dims]
            out[name] = np.full(sizes, np.nan if first[name].dtype.kind == "f" else 0, first[name].dtype)
        mapped = np.zeros(length, bool)
        for part in loaded:
            at = part.feature_row.values - block.start
            mapped[at] = True
            reason[at] = schema.text(part.set_aside.values)
            for name in out:
                out[name][(at,) if out[name].ndim == 1 else (slice(None), at)] = part[name].values
        reason[~mapped & (reason == "")] = _NO_PATCH
        identity = {name: own[name].values for name in schema.identity(own)}
        return {**identity, **out, "set_aside": schema.text(reason)}


def _told() -> list[str]:
    """Variables of each glacier that both kinds of store have, identity aside."""
    both = schema.EVOLUTION.variables
    return [name for name, variable in both.items() if "glacier" in variable.dims and name not in schema.IDENTITY]
