"""A Zarr store bound to a schema: declared first, then written block by block, then read strictly.

The rules (docs/decisions/002-stores.md): a block is whole chunks and has one writer; it counts as done when its
completion record, written last, exists; every chunk carries a CRC-32C inside and its record another; a missing chunk is
an error, never NaN.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glacierscale import provenance, schema
from glacierscale.schema import Schema
from glacierscale.store.blocks import DECLARED, RECORDS, Block, Damage, NoStoreError, StoreError, advice, text_of
from glacierscale.store.files import Files
from glacierscale.store.holding import hold, sweep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from glacierscale.store.layout import Layout
    from glacierscale.store.lease import HeldError, Lease
    from glacierscale.store.objects import Objects

__all__ = ["Block", "Damage", "Files", "HeldError", "NoStoreError", "Store", "StoreError", "hold", "sweep"]


def __getattr__(name: str) -> object:
    """`HeldError`, whose module loads Zarr."""
    if name == "HeldError":
        from glacierscale.store.lease import HeldError

        return HeldError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class Store:
    """A folder or object-store URL bound to a schema."""

    url: str
    """Folder or URL."""
    schema: Schema = field(compare=False)
    """What it holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", text_of(self.url))

    @classmethod
    def at(cls, place: str | Path | Store, wanted: Schema | None = None) -> Store:
        """Bind an existing store, its schema taken from its stamp.

        Raises
        ------
        StoreError
            If there is no glacierscale store, or it is of another kind than `wanted`.
        """
        from glacierscale.store import reading

        found = place if isinstance(place, Store) else cls(str(place), reading.kind_at(str(place), wanted))
        if wanted is not None and found.schema.name != wanted.name:
            told = f"{found.url} is a {found.schema.name} store; expected a {wanted.name} store. "
            raise NoStoreError(told + advice(wanted))
        return found

    @classmethod
    def all_in(cls, folder: str | Path, pattern: str, wanted: Schema) -> tuple[Store, ...]:
        """Every store of a kind in a folder or bucket whose name fits a pattern, at least one, in order of names."""
        found = tuple(cls.at(provenance.join(folder, name), wanted) for name in Files.at(folder).stores(pattern))
        if not found:
            raise NoStoreError(f"{folder} holds no {pattern}; run {schema.made_by(wanted)} into it first.")
        return found

    # Writing

    def declare(
        self,
        static: xr.Dataset,
        stamp: provenance.Stamp,
        *,
        sizes: Mapping[str, int],
        chunks: Mapping[str, int] | None = None,
        without: Collection[str] = (),
        codec: Literal["none", "lz4"] | None = None,
    ) -> Store:
        """Create the store: all metadata, and every variable that no block writes.

        Parameters
        ----------
        static : xarray.Dataset
            The variables without a block dimension, and the attributes of the store.
        stamp : Stamp
            What makes it. A store with the same stamp is kept as it is, so that a run continues.
        sizes : mapping
            Length of every dimension that `static` does not have.
        chunks : mapping
            Entries per block where they differ from the schema's.
        without : collection of str
            Optional variables that this store lacks.
        codec : "none" or "lz4"
            How rasters are packed: not at all, the default for folders, or bit-shuffled and compressed, the default
            for object stores. The values are the same. A store that is there keeps its own.

        Returns
        -------
        Store
            Itself.

        Raises
        ------
        StampMismatch
            If the place holds a store that was made otherwise.
        StoreError
            If the place cannot be written, or holds something else.
        """
        from glacierscale.store import layout, objects

        Files.at(provenance.join(self.url, ".."))  # no store inside another
        place = self._objects(create=True)
        found, declared = layout.found(place)
        if found is not None:
            stamp.refuse_unless_same(found, self.url)
            stamp = provenance.Stamp.from_dict(found)  # another commit made it: what is written again says so
            if place.has(declared):
                return self
        elif not place.empty() and place.get(f"{RECORDS}/declaring") is None:
            raise NoStoreError(f"{self.url} holds something that is no glacierscale store; write elsewhere.")
        place.put(f"{RECORDS}/declaring", b"")
        codec = layout.declared_codec(place, self.schema) or codec or ("lz4" if "://" in self.url else "none")
        lengths = {**{str(name): length for name, length in static.sizes.items()}, **sizes}
        attributes = layout.root_attributes(self.schema, static.attrs, stamp, chunks or {})
        made = layout.create(self.schema, static, attributes, lengths, without, codec)
        for key, data in made.items():
            place.put(key, data)
        sealed = {key: objects.seal(data) for key, data in made.items()}
        place.put(f"{RECORDS}/{DECLARED}.json", objects.pack_record(sealed, stamp.as_dict()))
        place.delete(f"{RECORDS}/declaring")
        return self

    def write(self, block: Block, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one block, then its completion record.

        Parameters
        ----------
        block : Block
            One of `blocks`.
        arrays : mapping
            Every stored variable that has the block's dimension, with the block's length along it.

        Raises
        ------
        ValueError
            If the block is not one of the store's, or a variable is missing or has another shape or kind of values.
            Nothing is written then.
        """
        from glacierscale.store import writing

        writing.write(place := self._objects(), self._layout(place), block, arrays)

    def hold(self) -> AbstractContextManager[Lease]:
        """Hold the lease of the store while a run writes to it; `HeldError` says who else does."""
        made_by = {kind.name: verb for verb, kind in schema.WRITTEN_BY.items()}
        return hold(self.url, made_by[self.schema.name])

    # Progress

    def blocks(self, dim: str = "glacier") -> list[Block]:
        """Every block along a dimension, in order."""
        return self._layout(self._objects()).blocks(dim)

    def missing(self, dim: str = "glacier") -> list[Block]:
        """Blocks along a dimension without a completion record: what a run has left to do."""
        place = self._objects()
        return _without_record(place, self._layout(place).blocks(dim))

    def unfinished(self) -> list[Block]:
        """Blocks without a completion record, along every dimension."""
        place = self._objects()
        return _without_record(place, self._layout(place).all_blocks())

    def forget(self, damages: Sequence[Damage]) -> None:
        """Take damaged blocks off the list of what is done, so that running the verb again computes them anew."""
        place = self._objects()
        for key in {f"{RECORDS}/{damage.block.name}.json" if damage.block else damage.key for damage in damages}:
            if place.get(key) is not None:
                place.delete(key)

    def is_complete(self, stamp: provenance.Stamp) -> bool:
        """Whether the store is there, made as the stamp says, and finished: nothing is left to do.

        Raises
        ------
        StampMismatch
            If the place holds a store that was made otherwise.
        """
        from glacierscale.store import layout

        try:
            place = self._objects()
        except NoStoreError:
            return False
        found, declared = layout.found(place)
        if found is not None:
            stamp.refuse_unless_same(found, self.url)
        if found is None or not place.has(declared) or self.unfinished():
            return False
        sweep(self.url)
        return True

    # Reading

    def open(self, *, partial: bool = False, chunks: dict[str, int] | Literal["auto"] | None = None) -> xr.Dataset:
        """The store as a checked, lazy dataset.

        Parameters
        ----------
        partial : bool
            Open although blocks are missing, which raises `StoreError` otherwise; reading those raises.
        chunks : dict or "auto"
            Dask chunks; None reads when indexed.
        """
        from glacierscale.store import reading

        place = self._objects()
        found = self._layout(place)
        left = _without_record(place, found.all_blocks())
        if left and not partial:
            raise StoreError(
                f"{self.url} is unfinished: {len(left)} blocks are missing, the first is {left[0]}. "
                f"Run {schema.made_by(self.schema)} as before, it continues; or open it with partial=True."
            )
        dataset = reading.opened(place, found, finished=not left, chunks=chunks)
        return schema.check(dataset, self.schema)

    @property
    def stamp(self) -> provenance.Stamp:
        """What made it."""
        from glacierscale.store import layout

        found, _ = layout.found(self._objects())
        if found is None:
            raise StoreError(f"{self.url} was never declared; run {schema.made_by(self.schema)} as before.")
        return provenance.Stamp.from_dict(found)

    def fingerprint(self) -> str:
        """Digest of the stamp, the attributes and all values: the same for the same content, however it is packed."""
        from glacierscale.store import verification

        place = self._objects()
        own = ("glacierscale_stamp", "history")  # the stamp is digested without what decides nothing
        found = self._layout(place)
        attributes = {name: value for name, value in found.attributes.items() if name not in own}
        parts = [self.stamp.fingerprint, json.dumps(attributes, sort_keys=True), *verification.seals(place, found)]
        return provenance.digest("\n".join(parts))

    def verify(self) -> list[Damage]:
        """Every object that is missing, has another length or another checksum, and every unfinished block."""
        from glacierscale.store import verification

        place = self._objects()
        damages = verification.of_declaration(place)
        if any(damage.key in ("zarr.json", f"{RECORDS}/{DECLARED}.json") for damage in damages):
            return damages  # what blocks there are is not known
        found = self._layout(place)
        for block in found.all_blocks():
            damages += verification.of_block(place, found, block)
        return damages

    def _objects(self, *, create: bool = False) -> Objects:
        from glacierscale.store import transactions

        return transactions.objects_at(self.url, create=create)

    def _layout(self, place: Objects) -> Layout:
        from glacierscale.store import layout

        found = layout.read_layout(place, self.schema)
        if not found.arrays:
            raise StoreError(f"{self.url} was never declared; run {schema.made_by(self.schema)} as before.")
        return found


def _without_record(place: Objects, blocks: Sequence[Block]) -> list[Block]:
    done = place.present(f"{RECORDS}/{block.name}.json" for block in blocks)
    return [block for block in blocks if f"{RECORDS}/{block.name}.json" not in done]
