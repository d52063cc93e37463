"""How schema variables become Zarr arrays: chunks, codecs, encodings and attributes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from glacierscale import provenance
from glacierscale.schema import IDENTITY, Schema, Variable
from glacierscale.store.blocks import DECLARED, RECORDS, StoreError
from glacierscale.store.objects import Objects, unpack_record

_TIME = {"units": "days since 1970-01-01", "calendar": "proleptic_gregorian"}


def create(
    wanted: Schema,
    static: xr.Dataset,
    attributes: Mapping[str, Any],
    sizes: Mapping[str, int],
    without: Collection[str],
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
        array = group.create_array(
            name,
            shape=tuple(sizes[dim] for dim in variable.dims),
            dtype=_stored_dtype(variable),
            chunks=tuple(_chunk(dim, sizes[dim], wanted, attributes) for dim in variable.dims),
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            dimension_names=variable.dims,
            fill_value=_fill_value(variable),
            attributes=_attributes_of(name, variable),
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


def read_layout(place: Objects) -> tuple[dict[str, Any], dict[str, int]]:
    """Attributes of the root group and length of every dimension, from the consolidated metadata.

    Both are empty where there is no store.
    """
    text = place.get("zarr.json")
    if text is None:
        return {}, {}
    try:
        root = json.loads(text)
        arrays = (root.get("consolidated_metadata") or {"metadata": {}})["metadata"].values()
        sizes = {dim: size for a in arrays for dim, size in zip(a["dimension_names"], a["shape"], strict=True)}
        return dict(root["attributes"]), sizes
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the metadata of {place.url} cannot be read: {error}. Remove the store and run again."
        ) from error


def found(place: Objects) -> tuple[dict[str, Any] | None, list[str]]:
    """Stamp of the store that lies somewhere, or None; and the objects that its declaration wrote.

    The stamp stands in the record of the declaration and in the root's attributes, so that either may be damaged.
    Without the record the record itself is named, so that nobody takes the declaration for complete.
    """
    try:
        record = unpack_record(place.get(f"{RECORDS}/{DECLARED}.json") or b"")
        return record.stamp, list(record.objects)
    except StoreError:
        pass
    try:
        attributes, _ = read_layout(place)
    except StoreError:
        return None, []
    return attributes.get("glacierscale_stamp"), [f"{RECORDS}/{DECLARED}.json"]


def chunks_in(array: zarr.Array[Any], dims: tuple[str, ...], dim: str, length: int) -> int:
    """How many chunks a block of `length` entries along `dim` fills."""
    spans = (length if name == dim else size for name, size in zip(dims, array.shape, strict=True))
    return math.prod(math.ceil(span / chunk) for span, chunk in zip(spans, array.chunks, strict=True))


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


def _attributes_of(name: str, variable: Variable) -> dict[str, Any]:
    attributes = {"long_name": variable.long_name, "units": variable.units, "cell_methods": variable.cell_methods}
    if "glacier" in variable.dims and name not in IDENTITY:
        attributes["coordinates"] = " ".join(IDENTITY)  # CF auxiliary coordinates
    if variable.dtype == "datetime64[ns]":
        attributes |= _TIME
    return {key: value for key, value in attributes.items() if value}


def _chunk(dim: str, size: int, wanted: Schema, attributes: Mapping[str, Any]) -> int:
    preferred = attributes["glacierscale_blocks"].get(dim) or wanted.chunks.get(dim) or size
    return max(1, min(preferred, size))
