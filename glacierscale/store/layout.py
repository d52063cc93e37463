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

from glacierscale import provenance, schema
from glacierscale.schema import LABELS, Schema, Variable, conventions
from glacierscale.store import shards
from glacierscale.store.blocks import DECLARED, RECORDS, Block, StoreError
from glacierscale.store.objects import Objects, unpack_record

_TIME = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}


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
            for dim, size in zip(array["dimension_names"], array["shape"], strict=True)
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
        return {
            name: variable
            for name, variable in self.wanted.variables.items()
            if name in self.arrays and block_dim(self.wanted, variable) == dim
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
    variables = {name: variable for name, variable in wanted.variables.items() if name not in without}
    memory = MemoryStore()
    group = zarr.open_group(
        memory, mode="w", attributes={**attributes, "glacierscale_variables": sorted(variables)}, zarr_format=3
    )
    for name, variable in variables.items():
        by_blocks = block_dim(wanted, variable) is not None
        if not by_blocks and name not in static.variables:
            raise StoreError(f"{name} must be given when a {wanted.name} store is declared.")
        shape = tuple(sizes[dim] for dim in variable.dims)
        block = tuple(_chunk(dim, sizes[dim], wanted, attributes) for dim in variable.dims)
        array = group.create_array(
            name,
            shape=shape,
            dtype=_stored_dtype(variable),
            chunks=(1, *block[1:]) if variable.sharded else block,
            shards=block if variable.sharded else None,
            compressors=[*(shards.compressors(codec) if variable.sharded else [ZstdCodec(level=1)]), Crc32cCodec()],
            dimension_names=variable.dims,
            fill_value=_fill_value(variable),
            attributes=_attributes_of(wanted, name, variable),
            config={"write_empty_chunks": True},
        )
        if not by_blocks:
            array[...] = encode(static[name].values, variable)
    with warnings.catch_warnings():
        # Consolidated metadata is an extension of Zarr v3 that zarr-python, Icechunk and GDAL read.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(memory)
    return {key: value.to_bytes() for key, value in sorted(memory._store_dict.items())}


def root_attributes(
    wanted: Schema, given: Mapping[Any, Any], stamp: provenance.Stamp, chunks: Mapping[str, int]
) -> dict[str, Any]:
    """Attributes of the root group: CF's, the stamp, and how long blocks are along each dimension."""
    return {
        **given,
        "Conventions": "CF-1.11",
        "title": given.get("title", wanted.title),
        "source": f"glacierscale {stamp.version} {stamp.verb}",
        "references": provenance.REFERENCES,
        "history": f"glacierscale {stamp.version} (commit {stamp.commit or 'unknown'}): {stamp.verb}",
        "glacierscale_schema": wanted.name,
        "glacierscale_stamp": stamp.as_dict(),
        "glacierscale_blocks": {dim: chunks.get(dim, size) for dim, size in wanted.blocks.items()},
    }


def block_dim(wanted: Schema, variable: Variable) -> str | None:
    """The dimension along which blocks write a variable; None for what is written at declaration."""
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
    return _layout_of(place.get("zarr.json"), place.url, wanted)


def _layout_of(text: bytes | None, where: str, wanted: Schema) -> Layout:
    if text is None:
        return Layout(wanted, {}, {})
    try:
        root = json.loads(text)
        arrays = (root.get("consolidated_metadata") or {"metadata": {}})["metadata"]
        made = Layout(wanted, dict(root["attributes"]), arrays)
        _ = made.sizes  # reads what every array must have
        return made
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"the metadata of {where} cannot be read: {error}; `glacierscale verify STORE --repair` mends it."
        ) from error


def found(place: Objects) -> tuple[dict[str, Any] | None, list[str]]:
    """Stamp of the store that lies somewhere, or None; and the objects that its declaration wrote.

    The stamp stands in the record of the declaration and in the root's attributes, so that either may be damaged.
    Without the record the record itself is named, so that nobody takes the declaration for complete.
    """
    # What cannot be read may well be there: an error of a request is no answer, and is not caught.
    told = place.get(f"{RECORDS}/{DECLARED}.json")
    try:
        record = unpack_record(told or b"")
        return record.stamp, list(record.objects)
    except StoreError:
        text = place.get("zarr.json")
    try:
        attributes = _layout_of(text, place.url, schema.CUBE).attributes
    except StoreError:
        return None, []
    return attributes.get("glacierscale_stamp"), [f"{RECORDS}/{DECLARED}.json"]


def declared_as(place: Objects, stamp: provenance.Stamp, url: str) -> bool:
    """Whether a store is declared in full; raises `StampMismatch` where one lies there that was made otherwise."""
    told, objects = found(place)
    if told is None:
        return False
    stamp.refuse_unless_same(told, url)
    return place.has(objects)


def declared_codec(place: Objects, wanted: Schema) -> shards.Codec | None:
    """How the chunks of a store's shards are packed, from the metadata of any array; None where none tells."""
    for name in (name for name, variable in wanted.variables.items() if variable.sharded):
        text = place.get(f"{name}/zarr.json")
        try:
            form = shards.form_of(json.loads(text or b""))
        except (ValueError, KeyError, TypeError, StoreError):
            continue  # damaged: another may tell
        if form:
            return form[1]
    return None


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


def _attributes_of(wanted: Schema, name: str, variable: Variable) -> dict[str, Any]:
    attributes = {"long_name": variable.long_name, "units": variable.units, "cell_methods": variable.cell_methods}
    tells = [label for dim in variable.dims for label in LABELS.get(dim, ()) if label in wanted.variables]
    if tells and name not in tells:
        attributes["coordinates"] = " ".join(tells)  # CF auxiliary coordinates
    if variable.dtype == "datetime64[ns]":
        attributes |= _TIME
    attributes |= conventions.attributes_of(wanted.name, name)
    return {key: value for key, value in attributes.items() if value}


def _chunk(dim: str, size: int, wanted: Schema, attributes: Mapping[str, Any]) -> int:
    preferred = attributes["glacierscale_blocks"].get(dim) or wanted.chunks.get(dim) or size
    return max(1, min(preferred, size))
