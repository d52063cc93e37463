"""The glaciers of one store of patches through all years: what is simulated, with maps, streamed block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from glacierscale import compute, provenance, schema
from glacierscale.evolution import geometry
from glacierscale.evolution.coupling import Local
from glacierscale.evolution.geometry import Ice
from glacierscale.evolution.moving import by_curve, by_flow
from glacierscale.evolution.setting import Setting
from glacierscale.evolution.simulation import VALUES_AT_ONCE, Glacier, Run, nodes_of, shape_at_start, simulate
from glacierscale.evolution.site import Site
from glacierscale.evolution.thickness import scaled_thickness
from glacierscale.store import Block, Store

Floats = npt.NDArray[np.floating]

NO_ICE = "gone at the start: no cell of its patch has ice; check the thickness that was catalogued, or leave it out."
ROOM_CELLS = 5
"""How far around its first extent ice may flow, cells of the patch."""

_COPIES, _BYTES_OF_CELL_AT_WORK = 3, 400
"""Copies of what is stored as it is packed, and peak bytes of a cell of a row of those worked on together."""

_NODES, _BYTES_OF_TERMS = 150, 16
"""Elevations of a tall glacier at which both terms of its balance are kept for every scenario and year."""


SERIES = ("area", "volume", "smb", "runoff", "sea_level")
"""What is told of every glacier, member and year."""

_MAPS, _GROUND = ("thickness", "ice_fraction"), ("surface", "bed")

_Loaded = tuple[xr.Dataset, xr.Dataset, list[Floats | None]]


class Part(NamedTuple):
    """One store of patches and the store of ice maps that is made of it."""

    store: Store
    stamp: provenance.Stamp
    patches: xr.Dataset
    """Lazy"""


class _Block(NamedTuple):
    """A block of one of the parts."""

    part: int
    block: Block
    store: str

    def __str__(self) -> str:
        return f"{self.block} of {self.store}"


def write(parts: Sequence[Part], setting: Setting, features: xr.Dataset, *, most: int) -> None:
    """Run every glacier of some stores of patches, all their blocks side by side, writing what is missing.

    Parameters
    ----------
    parts : sequence of Part
    setting : Setting
    features : xarray.Dataset
        Lazy.
    most : int
        Glaciers in a block at most.
    """
    works = _Works(
        tuple(_Blocks(setting, features, part.patches) for part in parts), tuple(part.store for part in parts)
    )
    with ExitStack() as stack:
        held = [stack.enter_context(part.store.hold()) for part in parts]
        for part in parts:
            size = part.patches.sizes["x"]
            sizes = {"glacier": part.patches.sizes["glacier"], "y": size, "x": size}
            static = _static(setting, features, part.patches)
            part.store.declare(static, part.stamp, sizes=sizes, chunks={"glacier": most})

        def check() -> None:
            for one in held:
                one.check()

        job = compute.Job(works.load, works.compute, works.write)
        left = [
            _Block(number, block, PurePosixPath(part.store.url).name)
            for number, part in enumerate(parts)
            for block in part.store.missing()
        ]
        left.sort(key=lambda one: -parts[one.part].patches.sizes["x"])  # the longest first
        needs = max(blocks.block_bytes(most) for blocks in works.blocks)
        compute.run(job, left, label="evolve patches, blocks", bytes_each=needs, check=check)


def _static(setting: Setting, features: xr.Dataset, patches: xr.Dataset) -> xr.Dataset:
    """What tells glaciers, members, years and snapshots of a store of ice maps."""
    scenarios = len(setting.futures.wanted)
    names = [own.name for own in setting.futures.wanted]
    static = patches[[*schema.identity(patches), *schema.PLACEMENT, "feature_row"]].load()
    static = static.assign(setting.static()).assign(
        snapshot_year=("snapshot", np.tile(np.array(setting.snapshots, np.int32), scenarios)),
        snapshot_scenario=("snapshot", np.repeat(np.array(names), len(setting.snapshots))),
    )
    static.attrs = {name: features.attrs[name] for name in ("region", "hemisphere")}
    return static.assign_attrs(net=setting.net, method=setting.method)


@dataclass(frozen=True)
class _Works:
    """Steps of the work on a block of any part."""

    blocks: tuple[_Blocks, ...]
    stores: tuple[Store, ...]

    def load(self, one: _Block) -> _Loaded:
        """See `_Blocks`."""
        return self.blocks[one.part].load(one.block)

    def compute(self, one: _Block, loaded: _Loaded) -> dict[str, npt.NDArray[Any]]:
        """See `_Blocks`."""
        return self.blocks[one.part].compute(one.block, loaded)

    def write(self, one: _Block, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """To the store of the part."""
        self.stores[one.part].write(one.block, arrays)


@dataclass(frozen=True)
class _Blocks:
    """Steps of the work on a block of patches."""

    setting: Setting
    features: xr.Dataset
    patches: xr.Dataset

    def load(self, block: Block) -> _Loaded:
        """Patches, and the features and own curves of their glaciers, one each."""
        wanted = [*schema.identity(self.patches), *schema.PLACEMENT, "feature_row", "channel", "rasters", "set_aside"]
        part = self.patches[wanted].isel(glacier=block.slice).load()
        rows = part.feature_row.values
        return part, self.features.isel(glacier=rows).load(), self.setting.own_curves(rows)

    def compute(self, block: Block, loaded: _Loaded) -> dict[str, npt.NDArray[Any]]:
        """Every stored variable."""
        part, features, curves = loaded
        early, late = (schema.text(source.set_aside.values) for source in (features, part))
        reason = np.where(early != "", early, late).astype(object)
        out = self._blank(block.stop - block.start)
        observed = np.isin(schema.text(features.unit_id.values), self.setting.model.unit_id)
        glaciers: dict[int, tuple[Glacier, dict[str, Floats]]] = {}
        for number in np.flatnonzero(reason == "").tolist():
            rasters, out["thickness_estimated"][number] = channels(part, number)
            around = ROOM_CELLS if self.setting.method == "sia" else None
            ice = geometry.of_patch(rasters, float(part.resolution.values[number]), around=around)
            if not ice.bed.numel():
                reason[number] = NO_ICE
                continue
            seen, own = bool(observed[number]), curves[number]
            glaciers[number] = glacier_of(self.setting, ice, features, number, observed=seen, own=own), rasters
        runs = run(self.setting, [glacier for glacier, _ in glaciers.values()])
        for (number, (glacier, rasters)), found in zip(glaciers.items(), runs, strict=True):
            for name, values in self._stored(found, glacier.ice, rasters).items():
                out[name][(number,) if name in _GROUND else (slice(None), number)] = values
        identity = {name: part[name].values for name in (*schema.identity(part), *schema.PLACEMENT, "feature_row")}
        return {**identity, **out, "set_aside": schema.text(reason)}

    def _blank(self, glaciers: int) -> dict[str, npt.NDArray[Any]]:
        """Variables of glaciers that are set aside."""
        setting, size = self.setting, self.patches.sizes["x"]
        scenarios = len(setting.futures.wanted)
        rows, maps = (scenarios * setting.members, glaciers), (glaciers, size, size)
        return {
            **{name: np.full((*rows, len(setting.years)), np.nan) for name in SERIES},
            "year_gone": np.zeros(rows, np.int32),
            "thickness_estimated": np.zeros(glaciers, np.int32),
            **{name: np.full((scenarios * len(setting.snapshots), *maps), np.nan, np.float32) for name in _MAPS},
            **{name: np.full(maps, np.nan, np.float32) for name in _GROUND},
        }

    def _stored(self, run: Run, ice: Ice, rasters: Mapping[str, Floats]) -> dict[str, npt.NDArray[Any]]:
        """What is stored of one glacier."""
        thickness = np.divide(run.thickness, run.covered, out=np.zeros_like(run.thickness), where=run.covered > 0)
        maps = {"thickness": thickness, "ice_fraction": run.covered}
        surface, depth = geometry.surface_and_depth(rasters)
        return {
            **{name: getattr(run, name) for name in SERIES},
            "year_gone": run.year_gone(self.setting.years),
            **{name: _on_patch(ice, values) for name, values in maps.items()},
            "surface": surface,
            "bed": surface - depth,
        }

    def block_bytes(self, glaciers: int) -> int:
        """Peak memory of one block of a number of glaciers in work, about."""
        stored = sum(values.nbytes for values in self._blank(1).values())
        terms = len(self.setting.futures.wanted) * len(self.setting.years) * _NODES * _BYTES_OF_TERMS
        return glaciers * (stored * _COPIES + terms) + VALUES_AT_ONCE * _BYTES_OF_CELL_AT_WORK


def glacier_of(
    setting: Setting, ice: Ice, features: xr.Dataset, number: int, *, observed: bool, own: Floats | None = None
) -> Glacier:
    """One glacier of a (loaded) block of features, ready to run.

    Parameters
    ----------
    setting : Setting
    ice : Ice
        Of the glacier.
    features : xarray.Dataset
    number : int
        Its position in them.
    observed : bool
        Whether the model was trained on it.
    own : (point,), optional
        Its curve of thinning; None takes that of its size class.
    """
    net, nodes = setting.near if observed else setting.far, nodes_of(ice)
    local = Local.of(
        setting.model,
        net,
        Site.of(features, number, int(setting.years[0])),
        setting.futures.weather(features, number, setting.years),
        nodes,
        shape_at_start(ice, nodes).at_nodes,
    )
    return Glacier(ice=ice, local=local, members=setting.members_of[net], own=own)


def run(setting: Setting, glaciers: Sequence[Glacier]) -> list[Run]:
    """Run glaciers with patches of one size."""
    move_of = by_curve if setting.method == "delta_h" else by_flow
    return simulate(setting.model, glaciers, move_of, setting.course)


def channels(patches: xr.Dataset, glacier: int) -> tuple[dict[str, Floats], bool]:
    """Rasters (y, x) of one glacier of a (loaded) block of patches by name, and whether its thickness is estimated.

    It is where the source of thickness does not know the glacier.
    """
    names = schema.text(patches.channel.values).tolist()
    rasters = dict(zip(names, patches.rasters.values[glacier], strict=True))
    fraction = rasters["ice_fraction"]
    estimated = bool(np.isnan(rasters["thickness"][fraction > 0]).all() and (fraction > 0).any())
    if estimated:
        side = float(patches.resolution.values[glacier])
        rasters["thickness"] = scaled_thickness(fraction, rasters["margin_distance"], side)
    return rasters, estimated


def _on_patch(ice: Ice, values: Floats) -> Floats:
    """Snapshots of every scenario on the patch, no ice where there is no cell: (scenario x snapshot, y, x)."""
    flat = torch.from_numpy(values.reshape(-1, 1, values.shape[-1]))
    return geometry.to_grid(ice, flat, 0.0).numpy()
