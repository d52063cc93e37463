"""How schema variables become Zarr arrays: chunks, codecs, encodings and attributes."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from glacierscale import provenance
from glacierscale.schema import LABELS, Schema, Variable, conventions, placing
from glacierscale.store import shards
from glacierscale.store.blocks import RECORDS, Block, StoreError
from glacierscale.store.objects import Objects

_TIME = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}
WHOLE = "glacierscale_whole"
"""Attribute that names the variables along blocks that the declaration wrote; stores of earlier versions lack it."""
_WHOLE_ENTRIES = 16384  # 128 KiB of float64: few objects for who reads all, and little too much for who reads a block


@dataclass(frozen=True)
class Layout:
    """The metadata of a store, read once for one operation."""

    wanted: Schema
    """Kind of store."""
    attributes: Mapping[str, Any]
    """Attributes of the root group; none where there is no store."""
    arrays: Mapping[str, Mapping[str, Any]]
    """Metadata of every array by name."""

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension."""
        return {
            dim: size
            for array in self.arrays.values()
            for dim, size in zip(array.get("dimension_names", ()), array["shape"], strict=True)
        }

    def blocks(self, dim: str) -> list[Block]:
        """Every block along a dimension, in order."""
        step, length = int(self.attributes["glacierscale_blocks"][dim]), self.sizes.get(dim, 0)
        return [Block(dim, start, min(start + step, length)) for start in range(0, length, step)]

    def has(self, block: Block) -> bool:
        """Whether a block is one of `blocks`."""
        if block.dim not in self.wanted.blocks:
            return False
        step, length = int(self.attributes["glacierscale_blocks"][block.dim]), self.sizes.get(block.dim, 0)
        return block.start in range(0, length, step) and block.stop == min(block.start + step, length)

    def all_blocks(self) -> list[Block]:
        """Every block along every dimension that a variable is written along."""
        return [block for dim in self.wanted.blocks if self.along(dim) for block in self.blocks(dim)]

    def undone(self, place: Objects, dim: str = "") -> list[Block]:
        """Blocks without a completion record, along one dimension or all."""
        blocks = self.blocks(dim) if dim else self.all_blocks()
        done = place.present(f"{RECORDS}/{block.name}.json" for block in blocks)
        return [block for block in blocks if f"{RECORDS}/{block.name}.json" not in done]

    def along(self, dim: str) -> dict[str, Variable]:
        """Variables that blocks along a dimension write."""
        names = self.arrays.keys() - set(self.attributes.get(WHOLE, ()))
        return {
            name: variable
            for name, variable in self.wanted.variables.items()
            if name in names and block_dim(self.wanted, variable) == dim
        }

    def shape(self, name: str, block: Block) -> tuple[int, ...]:
        """Shape of a block of a variable."""
        array = self.arrays[name]
        return tuple(
            block.stop - block.start if dim == block.dim else int(size)
            for dim, size in zip(array["dimension_names"], array["shape"], strict=True)
        )

    def keys(self, name: str, block: Block) -> list[str]:
        """Objects that hold a block of a variable: its chunks, or its one shard."""
        array = self.arrays[name]
        along = zip(
            array["dimension_names"], array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"], strict=True
        )
        spans = [
            range(block.start // chunk, -(-block.stop // chunk)) if dim == block.dim else range(-(-size // chunk))
            for dim, size, chunk in along
        ]
        return ["/".join((name, "c", *map(str, place))) for place in itertools.product(*spans)]

    def shards(self) -> dict[str, tuple[int, int]]:
        """Entries and chunks per shard of every array that has shards."""
        forms = {name: shards.form_of(array) for name, array in self.arrays.items()}
        return {name: (self.arrays[name]["shape"][0], form[0]) for name, form in forms.items() if form}


def create(
    wanted: Schema,
    static: xr.Dataset,
    attributes: Mapping[str, Any],
    sizes: Mapping[str, int],
    without: Collection[str],
    codec: shards.Codec,
) -> dict[str, bytes]:
    """All objects of a freshly declared store: metadata, and every array that no block writes, by key."""
    untold = {name for name in itertools.chain(*LABELS.values()) if name not in static.variables}
    variables = {
        name: variable
        for name, variable in wanted.variables.items()
        if name not in without and not (variable.optional and name in untold)
    }
    crs = attributes.get("terrain_crs_wkt")
    grid = placing.grid_of(wanted, crs) if crs else {}
    placed = {"coordinates": placing.GRID_MAPPING} if grid else {}
    whole = sorted(known_early(wanted, static) & variables.keys())
    told = {**attributes, **placed, "glacierscale_variables": sorted(variables), **({WHOLE: whole} if whole else {})}
    memory = MemoryStore()
    group = zarr.open_group(memory, mode="w", attributes=provenance.flat(told), zarr_format=3)
    for name, variable in variables.items():
        by_blocks = block_dim(wanted, variable) is not None and name not in whole
        if not by_blocks and name not in static.variables:
            raise StoreError(f"{name} must be given when a {wanted.name} store is declared.")
        shape = tuple(sizes[dim] for dim in variable.dims)
        lengths = dict.fromkeys(wanted.blocks, _WHOLE_ENTRIES) if name in whole else attributes["glacierscale_blocks"]
        block = tuple(_chunk(dim, sizes[dim], wanted, lengths) for dim in variable.dims)
        array = group.create_array(
            name,
            shape=shape,
            dtype=_stored_dtype(variable),
            chunks=(1, *block[1:]) if variable.sharded else block,
            shards=block if variable.sharded else None,
            compressors=[*(shards.compressors(codec) if variable.sharded else [ZstdCodec(level=1)]), Crc32cCodec()],
            dimension_names=variable.dims,
            fill_value=_fill_value(variable),
            attributes=_attributes_of(wanted, name, variable, variables) | grid.get(name, {}),
            config={"write_empty_chunks": True},
        )
        if not by_blocks:
            array[...] = encode(static[name].values, variable)
    if grid:
        group.create_array(
            placing.GRID_MAPPING,
            data=np.zeros((), np.int32),
            compressors=[Crc32cCodec()],
            attributes=grid[placing.GRID_MAPPING],
            config={"write_empty_chunks": True},
        )
    with warnings.catch_warnings():
        # Consolidated metadata is an extension of Zarr v3 that zarr-python, Icechunk and GDAL read.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(memory)
    return {key: value.to_bytes() for key, value in sorted(memory._store_dict.items())}


def root_attributes(
    wanted: Schema, given: Mapping[Any, Any], stamp: provenance.Stamp, chunks: Mapping[str, int]
) -> dict[str, Any]:
    """Attributes of the root group: CF's, the stamp, and how long blocks are along each dimension."""
    # Attributes of an opened store may have been passed on, which tell its layout and not this one's.
    own = {name: value for name, value in given.items() if not str(name).startswith("glacierscale_")}
    return {
        **own,
        "Conventions": "CF-1.11",
        "title": given.get("title", wanted.title),
        "source": f"glacierscale {stamp.version} {stamp.verb}",
        "references": provenance.REFERENCES,
        "history": f"glacierscale {stamp.version} (commit {stamp.commit or 'unknown'}): {stamp.verb}",
        "glacierscale_schema": wanted.name,
        "glacierscale_stamp": stamp.as_dict(),
        "glacierscale_blocks": {dim: chunks.get(dim, size) for dim, size in wanted.blocks.items()},
    }


def known_early(wanted: Schema, static: xr.Dataset) -> set[str]:
    """Variables along blocks that are known before any block: they are written at declaration, in long chunks."""
    return {name for name in wanted.variables.keys() & static.variables if block_dim(wanted, wanted.variables[name])}


def block_dim(wanted: Schema, variable: Variable) -> str | None:
    """The dimension along which blocks write a variable; None for what is always written at declaration."""
    if variable.dims == ("clim_lat",) or variable.dims == ("y",):
        return None  # axes are known before any block
    return next((dim for dim in variable.dims if dim in wanted.blocks), None)


def read_layout(place: Objects, wanted: Schema) -> Layout:
    """What the consolidated metadata of a store says, in one read.

    Raises
    ------
    StoreError
        If the metadata is damaged. Where there is none, the layout has no attributes and no arrays.
    """
    return layout_of(place.get("zarr.json"), place.url, wanted)


def layout_of(text: bytes | None, where: str, wanted: Schema) -> Layout:
    """The same from what is there already."""
    if text is None:
        return Layout(wanted, {}, {})
    try:
        root = json.loads(text)
        arrays = (root.get("consolidated_metadata") or {"metadata": {}})["metadata"]
        attributes = {name: provenance.nested(value) for name, value in root["attributes"].items()}
        made = Layout(wanted, attributes, arrays)
        _ = made.sizes  # reads what every array must have
        return made
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the metadata of {where} cannot be read: {error}; `glacierscale verify STORE --repair` mends it."
        ) from error


def encode(values: Any, variable: Variable) -> Any:
    """Values as stored: dates as days since 1970 with NaN for none, text as variable-length strings."""
    values = np.asarray(values)
    if variable.dtype == "datetime64[ns]":
        seconds = values.astype("datetime64[s]")
        days = (seconds - np.datetime64("1970-01-01", "s")) / np.timedelta64(1, "D")
        return np.where(np.isnat(seconds), np.nan, days)
    if variable.dtype == "string":
        return values.astype(np.dtypes.StringDType())
    return values.astype(variable.dtype, copy=False)


def _stored_dtype(variable: Variable) -> str:
    return "float64" if variable.dtype == "datetime64[ns]" else variable.dtype


def _fill_value(variable: Variable) -> Any:
    return {"s": "", "i": 0}.get(variable.dtype[0], float("nan"))


def _attributes_of(wanted: Schema, name: str, variable: Variable, there: Collection[str]) -> dict[str, Any]:
    attributes = {"long_name": variable.long_name, "units": variable.units, "cell_methods": variable.cell_methods}
    tells = [label for dim in variable.dims for label in LABELS.get(dim, ()) if label in there]
    if tells and name not in tells:
        attributes["coordinates"] = " ".join(tells)  # CF auxiliary coordinates
    if variable.dtype == "datetime64[ns]":
        attributes |= _TIME
    attributes |= conventions.attributes_of(wanted.name, name)
    return {key: value for key, value in attributes.items() if value}


def _chunk(dim: str, size: int, wanted: Schema, lengths: Mapping[str, int]) -> int:
    preferred = lengths.get(dim) or wanted.chunks.get(dim) or size
    return max(1, min(preferred, size))
