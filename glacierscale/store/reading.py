"""Open a store as a dataset that raises where anything is missing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import google_crc32c
import numpy as np
import numpy.typing as npt
import xarray as xr
from numcodecs import VLenUTF8, Zstd

from glacierscale import schema
from glacierscale.schema import Schema
from glacierscale.store import shards
from glacierscale.store.blocks import NoStoreError, StoreError, advice, text_of
from glacierscale.store.layout import Layout, found
from glacierscale.store.objects import Objects, Strict
from glacierscale.store.transactions import objects_at

_AT_ONCE = 8


def kind_at(url: str, wanted: Schema | None) -> Schema:
    """What kind of store lies somewhere, from its stamp.

    Raises
    ------
    NoStoreError
        If there is none, with what makes one of the kind that is wanted.
    """
    try:
        stamp, _ = found(objects_at(text_of(url)))
    except NoStoreError as error:
        raise NoStoreError(f"{error} {advice(wanted)}") from None
    if stamp is None or stamp["verb"] not in schema.WRITTEN_BY:
        told = f"{url} is not a glacierscale store; expected one of {sorted(schema.SCHEMAS)}. "
        raise NoStoreError(told + advice(wanted))
    return schema.WRITTEN_BY[stamp["verb"]]


def whole(
    place: Objects, layout: Layout, *, partial: bool, chunks: dict[str, int] | Literal["auto"] | None
) -> xr.Dataset:
    """The store as a checked, lazy dataset; see `Store.open`."""
    left = layout.undone(place)
    if left and not partial:
        raise StoreError(
            f"{place.url} is unfinished: {len(left)} blocks are missing, the first is {left[0]}. "
            f"Run {schema.made_by(layout.wanted)} as before, it continues; or open it with partial=True."
        )
    return schema.check(opened(place, layout, finished=not left, chunks=chunks), layout.wanted)


def opened(
    place: Objects, layout: Layout, *, finished: bool, chunks: dict[str, int] | Literal["auto"] | None
) -> xr.Dataset:
    """The store as a lazy dataset; the identifiers of a finished one are read."""
    strict: Any = shards.Whole(Strict(place.zarr(read_only=True), place), layout.shards())
    dataset = xr.open_zarr(strict, consolidated=True, zarr_format=3, chunks=chunks)
    return _with_plain_text(dataset, place, layout) if finished else dataset


def _with_plain_text(dataset: xr.Dataset, place: Objects, layout: Layout) -> xr.Dataset:
    """Read all identifiers: NumPy's variable-width strings lack casts that users expect.

    Reasons stay as they are: at a fixed width each would take as much as the longest one.
    """
    texts = {name for name, variable in layout.wanted.variables.items() if variable.dtype == "string"} - {"set_aside"}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = {name: _text(pool, place, layout.arrays[name], name) for name in texts & layout.arrays.keys()}
    axes = sorted(read.keys() & dataset.xindexes.keys())
    for name in read.keys() - set(axes):
        dataset.variables[name].data = read[name]  # `assign` would read what it replaces
    return dataset.assign({name: dataset[name].copy(data=read[name]) for name in axes})


def _text(pool: ThreadPoolExecutor, place: Objects, array: Any, name: str) -> npt.NDArray[np.str_]:
    """Text along one dimension; chunk by chunk through Zarr it takes five times as long."""
    size, chunk = array["shape"][0], array["chunk_grid"]["configuration"]["chunk_shape"][0]
    keys = [f"{name}/c/{number}" for number in range(-(-size // chunk))]
    parts = list(pool.map(lambda key: _decoded(place, key), keys))
    return schema.text([text for part in parts for text in part][:size])


def _decoded(place: Objects, key: str) -> list[str]:
    """One chunk of text as `layout.create` has it packed."""
    data = place.get(key)
    if data is None:
        raise StoreError(
            f"{place.url}: chunk {key} is missing; `glacierscale verify STORE --repair` computes it again."
        )
    if google_crc32c.value(data[:-4]).to_bytes(4, "little") != data[-4:]:
        raise StoreError(
            f"{place.url}: the checksum of {key} differs; `glacierscale verify STORE --repair` computes it again."
        )
    decoded: list[str] = VLenUTF8().decode(Zstd().decode(data[:-4])).tolist()
    return decoded
