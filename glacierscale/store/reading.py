"""Open a store as a dataset that raises where anything is missing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import google_crc32c
import xarray as xr
from numcodecs import VLenUTF8, Zstd

from glacierscale import provenance, schema
from glacierscale.schema import Schema
from glacierscale.store import shards
from glacierscale.store.blocks import NoStoreError, StoreError, advice, text_of
from glacierscale.store.declaring import found
from glacierscale.store.layout import WHOLE, Layout
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
        stamp = found(place := objects_at(text_of(url))).stamp
    except NoStoreError as error:
        raise NoStoreError(f"{error} {advice(wanted)}") from None
    if stamp is None or stamp["verb"] not in schema.WRITTEN_BY:
        inside = [name for name in place.folders() if name.endswith(".zarr")]
        if inside:
            raise NoStoreError(f"{url} is a folder of stores, not one itself; name one of {', '.join(inside)} in it.")
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
    dataset = xr.open_zarr(strict, consolidated=True, zarr_format=3, chunks=None)
    if chunks is not None:
        # What was written whole has chunks of its own along the blocks' dimension; Dask does not know how long text is.
        small = [*layout.attributes.get(WHOLE, ()), *dataset.xindexes, *_texts_of(layout)]
        chunked = xr.open_zarr(strict, consolidated=True, zarr_format=3, chunks=chunks, drop_variables=small)
        for name, variable in chunked.variables.items():
            dataset.variables[name].data = variable.data
    dataset.attrs = provenance.flat(dataset.attrs)
    for axis in dataset.xindexes:
        dataset[axis].encoding["_FillValue"] = None  # none is ever missing; CF wants no fill value there
    return _with_plain_text(dataset, place, layout) if finished else dataset


def _with_plain_text(dataset: xr.Dataset, place: Objects, layout: Layout) -> xr.Dataset:
    """Read all identifiers: NumPy's variable-width strings lack casts that users expect.

    Reasons stay as they are: at a fixed width each would take as much as the longest one.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        arrays = {name: layout.arrays[name] for name in _texts_of(layout) - {"set_aside"}}
        asked = {name: _texts(pool, place, array, name) for name, array in arrays.items()}
        chained = {name: [text for part in parts for text in part] for name, parts in asked.items()}
    read = {name: schema.text(found[: arrays[name]["shape"][0]]) for name, found in chained.items()}
    axes = sorted(read.keys() & dataset.xindexes.keys())
    for name in read.keys() - set(axes):
        dataset.variables[name].data = read[name]  # `assign` would read what it replaces
    return dataset.assign({name: dataset[name].copy(data=read[name]) for name in axes})


def _texts_of(layout: Layout) -> set[str]:
    """Variables of text that a store has."""
    texts = {name for name, variable in layout.wanted.variables.items() if variable.dtype == "string"}
    return texts & layout.arrays.keys()


def _texts(pool: ThreadPoolExecutor, place: Objects, array: Any, name: str) -> Iterator[list[str]]:
    """Chunks of text along one dimension, all asked for; chunk by chunk through Zarr it takes five times as long."""
    size, chunk = array["shape"][0], array["chunk_grid"]["configuration"]["chunk_shape"][0]
    return pool.map(lambda number: _decoded(place, f"{name}/c/{number}"), range(-(-size // chunk)))


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
