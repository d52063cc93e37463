"""A folder or URL bound to a schema: what every stage writes to and reads from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glacierscale import provenance, schema
from glacierscale.schema import Schema
from glacierscale.store.blocks import Block, Damage, NoStoreError, StoreError, advice, text_of
from glacierscale.store.files import Files
from glacierscale.store.holding import hold, sweep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from glacierscale.store.layout import Layout
    from glacierscale.store.lease import Lease
    from glacierscale.store.objects import Objects


@dataclass(frozen=True)
class Store:
    """A folder or object-store URL bound to a schema."""

    url: str
    """Folder or URL."""
    schema: Schema = field(compare=False)
    """What it holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", text_of(self.url))

    def __repr__(self) -> str:
        return f"<Store {self.url}: {self.schema.title}>"

    @classmethod
    def at(cls, place: str | Path | Store, wanted: Schema | None = None) -> Store:
        """Bind an existing store, its schema taken from its stamp; nothing but metadata is read.

        Parameters
        ----------
        place : str, Path or Store
            Folder or URL.
        wanted : Schema
            Kind of store that it has to be; any where None.

        Returns
        -------
        Store

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
        """Every store of a kind in a folder or bucket whose name fits a pattern, at least one, in order of names.

        Parameters
        ----------
        folder : str or Path
            Folder or URL, without what lies deeper.
        pattern : str
            Such as ``patches_*.zarr``.
        wanted : Schema
            Kind of store that each has to be.

        Returns
        -------
        tuple of Store

        Raises
        ------
        StoreError
            If there is none, or one is of another kind.
        """
        found = tuple(cls.at(provenance.join(folder, name), wanted) for name in Files.at(folder).stores(pattern))
        if not found:
            raise NoStoreError(f"{folder} holds no {pattern}; run {schema.made_by(wanted)} into it first.")
        return found

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
            Variables known before any block, all those without a block dimension among them; attributes of the store.
        stamp : Stamp
            What makes it. A store with the same stamp is kept as it is, so that a run continues.
        sizes : mapping
            Length of every dimension that `static` does not have.
        chunks : mapping
            Entries per block where they differ from the schema's.
        without : collection of str
            Optional variables that this store lacks. Names of glaciers are left out where `static` has none.
        codec : "none" or "lz4"
            How rasters are packed: not at all, the default for folders, or bit-shuffled and compressed, the default
            for object stores. The values are the same. A store that is there keeps its own.

        Returns
        -------
        Store

        Raises
        ------
        StampMismatch
            If the place holds a store that was made otherwise.
        StoreError
            If the place cannot be written, or holds something else.
        """
        from glacierscale.store import declaring

        declaring.declare(self.url, self.schema, static, stamp, sizes, chunks or {}, without, codec)
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
        """Hold the lease of the store while a run writes to it, from entry to exit of the context.

        Returns
        -------
        context manager of Lease

        Raises
        ------
        HeldError
            On entry, naming who else holds it.
        """
        made_by = {kind.name: verb for verb, kind in schema.WRITTEN_BY.items()}
        return hold(self.url, made_by[self.schema.name])

    def blocks(self, dim: str = "glacier") -> list[Block]:
        """Every block along a dimension, in order: the units of work, of writing and of resuming.

        Parameters
        ----------
        dim : str
            A dimension of which the schema says how long its blocks are.
        """
        return self._layout(self._objects()).blocks(dim)

    def missing(self, dim: str = "glacier") -> list[Block]:
        """Blocks along a dimension without a completion record: what a run has left to do.

        Parameters
        ----------
        dim : str
            As for `blocks`.
        """
        return self._layout(place := self._objects()).undone(place, dim)

    def unfinished(self) -> list[Block]:
        """Blocks without a completion record, along every dimension: none where the store is finished."""
        return self._layout(place := self._objects()).undone(place)

    def forget(self, damages: Sequence[Damage]) -> Callable[[], None]:
        """Take damaged blocks off the list of what is done, so that running the verb again computes them anew.

        Parameters
        ----------
        damages : sequence of Damage
            What `verify` found.

        Returns
        -------
        callable
            Puts back what was not written anew by then: for a run that could not.
        """
        from glacierscale.store import verification

        return verification.forget(self._objects(), damages)

    def is_complete(self, stamp: provenance.Stamp) -> bool:
        """Whether the store is there, made as the stamp says, and finished: nothing is left to do.

        Parameters
        ----------
        stamp : Stamp
            What would make it now.

        Raises
        ------
        StampMismatch
            If the place holds a store that was made otherwise.
        """
        from glacierscale.store import declaring

        try:
            place = self._objects()
        except NoStoreError:
            return False
        if not declaring.declared_as(place, stamp, self.url) or self.unfinished():
            return False
        sweep(self.url)
        return True

    def open(self, *, partial: bool = False, chunks: dict[str, int] | Literal["auto"] | None = None) -> xr.Dataset:
        """The store as a checked, lazy dataset.

        Parameters
        ----------
        partial : bool
            Open although blocks are missing, which raises `StoreError` otherwise; reading those raises.
        chunks : dict or "auto"
            Dask chunks; None reads when indexed.

        Returns
        -------
        xarray.Dataset
            Variables, dimensions and units as the schema says; a chunk that is missing or damaged raises when read.

        Raises
        ------
        StoreError
            If the store is not there, is unfinished, or is not what its schema says.
        """
        from glacierscale.store import reading

        return reading.whole(place := self._objects(), self._layout(place), partial=partial, chunks=chunks)

    @property
    def stamp(self) -> provenance.Stamp:
        """What made it: the verb, its options, versions and the fingerprints of its inputs."""
        from glacierscale.store import declaring

        stamp = declaring.found(self._objects()).stamp
        if stamp is None:
            raise self._undeclared()
        return provenance.Stamp.from_dict(stamp)

    def fingerprint(self) -> str:
        """Digest of the stamp, the attributes and all values: the same for the same content, however it is packed."""
        from glacierscale.store import verification

        return verification.fingerprint(place := self._objects(), self._layout(place), self.stamp)

    def verify(self) -> list[Damage]:
        """Every object that is missing, has another length or another checksum, and every unfinished block."""
        from glacierscale.store import verification

        return verification.of_store(self._objects(), self._layout)

    def _objects(self) -> Objects:
        from glacierscale.store import transactions

        return transactions.objects_at(self.url)

    def _layout(self, place: Objects) -> Layout:
        from glacierscale.store import layout

        found = layout.read_layout(place, self.schema)
        if not found.arrays:
            raise self._undeclared()
        return found

    def _undeclared(self) -> StoreError:
        return StoreError(f"{self.url} was never declared; run {schema.made_by(self.schema)} as before.")
