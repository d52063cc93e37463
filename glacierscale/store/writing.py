"""Write one block: checked and encoded first, then put object by object, its completion record last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.storage import StorePath

from glacierscale.store import lease, shards
from glacierscale.store.blocks import RECORDS, Block, StoreError
from glacierscale.store.layout import Layout, encode
from glacierscale.store.objects import Objects, Recording, pack_record


def write(place: Objects, layout: Layout, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
    """Write every variable of a block and its completion record; see `Store.write`."""
    lease.still_held(place.url)
    if not layout.has(block):
        raise ValueError(f"block {block} is not aligned to the chunks of {place.url}; take one from Store.blocks().")
    # What is given beside these was written at declaration; stores of earlier versions had it in their blocks.
    encoded = {name: _checked(place, layout, block, name, arrays) for name in layout.along(block.dim)}
    recorder = Recording(place.zarr(read_only=False), place)
    expected: set[str] = set()
    for name, values in encoded.items():
        keys, form = layout.keys(name, block), shards.form_of(layout.arrays[name])
        expected.update(keys)
        if form is None:
            _write_chunks(recorder, layout, block, name, values)
            continue
        slots, codec = form
        bits = layout.wanted.variables[name].mantissa_bits
        recorder.written[keys[0]] = shards.write(place, keys[0], values, slots=slots, codec=codec, mantissa_bits=bits)
    if recorder.written.keys() != expected:
        differing = sorted(recorder.written.keys() ^ expected)
        raise StoreError(f"block {block} of {place.url}: the objects written differ from those expected: {differing}.")
    place.put(f"{RECORDS}/{block.name}.json", pack_record(recorder.written, {}))


def _checked(place: Objects, layout: Layout, block: Block, name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    """A variable as stored, or ValueError."""
    shape = layout.shape(name, block)
    if name not in arrays or arrays[name].shape != shape:
        came = arrays[name].shape if name in arrays else "nothing"
        raise ValueError(f"block {block} of {place.url}: {name} has shape {came}, expected {shape}.")
    try:
        return encode(arrays[name], layout.wanted.variables[name])
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"block {block} of {place.url}: {name} has dtype {arrays[name].dtype}, expected "
            f"{layout.wanted.variables[name].dtype}: {error}."
        ) from error


def _write_chunks(recorder: Recording, layout: Layout, block: Block, name: str, values: Any) -> None:
    metadata = layout.arrays[name]
    array = zarr.Array.from_dict(StorePath(recorder, name), dict(metadata)).with_config({"write_empty_chunks": True})
    array[tuple(block.slice if dim == block.dim else slice(None) for dim in metadata["dimension_names"])] = values
