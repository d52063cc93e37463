"""Compare the objects of a block with what its completion record says of them."""

from __future__ import annotations

from glacierscale.store.blocks import RECORDS, Block, Damage, StoreError
from glacierscale.store.objects import Objects, seal, unpack_record


def damages(place: Objects, name: str, block: Block | None) -> list[Damage]:
    """Every fault of one block, or of the declaration where `block` is None."""
    record_key = f"{RECORDS}/{name}.json"
    record = place.get(record_key)
    if record is None:
        return [Damage(record_key, "was never completed", block)]
    try:
        sealed = unpack_record(record).objects
    except StoreError as error:
        return [Damage(record_key, str(error), block)]
    found = []
    for key, (length, checksum) in sealed.items():
        data = place.get(key)
        if data is None:
            found.append(Damage(key, "is missing", block))
        elif seal(data) != [length, checksum]:
            fault = "checksum differs" if len(data) == length else f"has {len(data)} bytes, expected {length}"
            found.append(Damage(key, fault, block))
    return found
