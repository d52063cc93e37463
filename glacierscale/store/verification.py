"""Compare the objects of a store with what its completion records say of them, one object in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from glacierscale import provenance
from glacierscale.schema import placing
from glacierscale.store.blocks import DECLARED, RECORDS, Block, Damage, StoreError
from glacierscale.store.layout import Layout
from glacierscale.store.objects import Objects, seal, unpack_record


def of_store(place: Objects, layout_of: Callable[[Objects], Layout]) -> list[Damage]:
    """Every fault of a store; its layout is read only where what says so is whole."""
    damages = of_declaration(place)
    if any(damage.key in ("zarr.json", f"{RECORDS}/{DECLARED}.json") for damage in damages):
        return damages  # what blocks there are is not known
    found = layout_of(place)
    for block in found.all_blocks():
        damages += of_block(place, found, block)
    return damages


def of_declaration(place: Objects) -> list[Damage]:
    """Every fault of what was written when the store was declared."""
    return _damages(place, DECLARED, None, ())


def of_block(place: Objects, layout: Layout, block: Block) -> list[Damage]:
    """Every fault of one block."""
    expected = (key for name in layout.along(block.dim) for key in layout.keys(name, block))
    return _damages(place, block.name, block, expected)


def forget(place: Objects, damages: Sequence[Damage]) -> Callable[[], None]:
    """Delete what says that damaged blocks are done; what is returned puts back what was not written anew."""
    keys = {f"{RECORDS}/{damage.block.name}.json" if damage.block else damage.key for damage in damages}
    taken = {key: data for key in sorted(keys) if (data := place.get(key)) is not None}
    for key in taken:
        place.delete(key)

    def put_back() -> None:
        for key, data in taken.items():
            if place.get(key) is None:
                place.put(key, data)

    return put_back


def seals(place: Objects, layout: Layout) -> list[str]:
    """Every object that holds values with its checksum, the one of its values where they may be packed in other ways.

    Raises
    ------
    StoreError
        If a completion record is damaged.
    """
    # By their names, which the layout tells: over https nothing can be listed.
    names = (DECLARED, *(block.name for block in layout.all_blocks()))
    records = sorted(f"{RECORDS}/{name}.json" for name in names)
    with ThreadPoolExecutor(8) as pool:  # one small object each: on an object store the wait is all
        texts = list(pool.map(place.get, records))
    found = []
    for record, text in zip(records, texts, strict=True):
        if text is None:
            continue  # unfinished
        try:
            sealed = unpack_record(text).objects
        except StoreError as error:
            raise StoreError(
                f"{place.url}/{record}: {error}; `glacierscale verify STORE --repair` mends it."
            ) from error
        for key, (length, checksum, *content) in sorted(sealed.items()):
            if not key.endswith("zarr.json") and not key.startswith(f"{placing.GRID_MAPPING}/"):
                found.append(f"{key} {content or [length, checksum]}")
    return found


def fingerprint(place: Objects, found: Layout, stamp: provenance.Stamp) -> str:
    """Digest of a stamp, the attributes and all values."""
    # The stamp is digested without what decides nothing, and where rasters lie is told by ``terrain_crs_wkt``.
    own = ("glacierscale_stamp", "history", "coordinates")
    attributes = {name: value for name, value in found.attributes.items() if name not in own}
    return provenance.digest(
        "\n".join([stamp.fingerprint, json.dumps(attributes, sort_keys=True), *seals(place, found)])
    )


def _damages(place: Objects, name: str, block: Block | None, expected: Iterable[str]) -> list[Damage]:
    record_key = f"{RECORDS}/{name}.json"
    record = place.get(record_key)
    if record is None:
        return [Damage(record_key, "was never completed", block)]
    try:
        sealed = unpack_record(record).objects
    except StoreError as error:
        return [Damage(record_key, str(error), block)]
    unnamed = [key for key in expected if key not in sealed]
    found = [Damage(record_key, f"does not name {key}", block) for key in unnamed]
    for key, (length, checksum, *_) in sealed.items():
        data = place.get(key)
        if data is None:
            found.append(Damage(key, "is missing", block))
        elif seal(data)[:2] != [length, checksum]:
            fault = "checksum differs" if len(data) == length else f"has {len(data)} bytes, expected {length}"
            found.append(Damage(key, fault, block))
    return found
