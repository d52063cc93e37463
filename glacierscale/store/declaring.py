"""Create a store: all metadata, and every variable that no block writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import xarray as xr

from glacierscale import provenance
from glacierscale.schema import Schema
from glacierscale.store import layout, objects, shards, transactions
from glacierscale.store.blocks import DECLARED, RECORDS, NoStoreError
from glacierscale.store.files import Files


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
    found, declared = layout.found(place)
    if found is not None:
        stamp.refuse_unless_same(found, url)
        stamp = provenance.Stamp.from_dict(found)  # another commit made it: what is written again says so
        if place.has(declared):
            return
    elif not place.empty() and place.get(f"{RECORDS}/declaring") is None:
        raise NoStoreError(f"{url} holds something that is no glacierscale store; write elsewhere.")
    place.put(f"{RECORDS}/declaring", b"")
    codec = layout.declared_codec(place, wanted) or codec or ("lz4" if "://" in url else "none")
    lengths = {**{str(name): length for name, length in static.sizes.items()}, **sizes}
    attributes = layout.root_attributes(wanted, static.attrs, stamp, chunks)
    made = layout.create(wanted, static, attributes, lengths, without, codec)
    for key, data in made.items():
        place.put(key, data)
    sealed = {key: objects.seal(data) for key, data in made.items()}
    place.put(f"{RECORDS}/{DECLARED}.json", objects.pack_record(sealed, stamp.as_dict()))
    place.delete(f"{RECORDS}/declaring")
