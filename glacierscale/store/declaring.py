"""Create a store: all metadata, and every variable that no block writes; and find what is left of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from glacierscale import provenance, schema
from glacierscale.schema import Schema
from glacierscale.store import layout, objects, shards, transactions
from glacierscale.store.blocks import DECLARED, RECORDS, NoStoreError, StoreError
from glacierscale.store.files import Files
from glacierscale.store.objects import Objects


def declare(
    url: str,
    wanted: Schema,
    static: xr.Dataset,
    stamp: provenance.Stamp,
    sizes: Mapping[str, int],
    chunks: Mapping[str, int],
    without: Collection[str],
    codec: shards.Codec | None,
) -> None:
    """Declare a store; see `Store.declare`."""
    Files.at(provenance.join(url, ".."))  # no store inside another
    place = transactions.objects_at(url, create=True)
    before = found(place)
    if before.stamp is not None:
        stamp.refuse_unless_same(before.stamp, url)
        stamp = provenance.Stamp.from_dict(before.stamp)  # another commit made it: what is written again says so
        if place.has(before.objects):
            return
        static = _as_before(wanted, static, before)
    elif not place.empty() and place.get(f"{RECORDS}/declaring") is None:
        raise NoStoreError(f"{url} holds something that is no glacierscale store; write elsewhere.")
    place.put(f"{RECORDS}/declaring", b"")
    codec = _declared_codec(place, wanted) or codec or ("lz4" if "://" in url else "none")
    lengths = {**{str(name): length for name, length in static.sizes.items()}, **sizes}
    attributes = layout.root_attributes(wanted, static.attrs, stamp, chunks)
    made = layout.create(wanted, static, attributes, lengths, without, codec)
    for key, data in made.items():
        place.put(key, data)
    sealed = {key: objects.seal(data) for key, data in made.items()}
    place.put(f"{RECORDS}/{DECLARED}.json", objects.pack_record(sealed, stamp.as_dict()))
    place.delete(f"{RECORDS}/declaring")


class Found(NamedTuple):
    """What a declaration has left somewhere."""

    stamp: dict[str, Any] | None
    """Stamp of the store; None where there is none."""
    objects: Sequence[str] = ()
    """Objects that it wrote; its own record where they are not known, so that nobody takes it for complete."""
    wrote: Collection[str] = ()
    """Variables along blocks that it wrote, and perhaps others."""


def found(place: Objects) -> Found:
    """What a declaration has left somewhere.

    The stamp stands in the record of the declaration and in the root's attributes, so that either may be damaged.
    """
    # What cannot be read may well be there: an error of a request is no answer, and is not caught.
    told = place.get(f"{RECORDS}/{DECLARED}.json")
    try:
        record = objects.unpack_record(told or b"")
        return Found(record.stamp, list(record.objects), {key.partition("/c/")[0] for key in record.objects})
    except StoreError:
        text = place.get("zarr.json")
    try:
        attributes = layout.layout_of(text, place.url, schema.CUBE).attributes
    except StoreError:
        return Found(None)
    stamp = attributes.get("glacierscale_stamp")
    return Found(stamp, [f"{RECORDS}/{DECLARED}.json"], attributes.get(layout.WHOLE, ()))


def declared_as(place: Objects, stamp: provenance.Stamp, url: str) -> bool:
    """Whether a store is declared in full; raises `StampMismatch` where one lies there that was made otherwise."""
    before = found(place)
    if before.stamp is None:
        return False
    stamp.refuse_unless_same(before.stamp, url)
    return place.has(before.objects)


def _as_before(wanted: Schema, static: xr.Dataset, before: Found) -> xr.Dataset:
    """What is given for a store that is there, without what its blocks write: it keeps the layout that it has."""
    return static.drop_vars(layout.known_early(wanted, static) - set(before.wrote))


def _declared_codec(place: Objects, wanted: Schema) -> shards.Codec | None:
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
