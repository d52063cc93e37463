"""A Zarr store bound to a schema: declared first, then written block by block, then read strictly.

The rules (docs/decisions/002-stores.md): a block is whole chunks and has one writer; it counts as done when its
completion record, written last, exists; every chunk carries a CRC-32C inside and its record another; a missing chunk is
an error, never NaN.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glacierscale import provenance, schema
from glacierscale.schema import Schema, Variable
from glacierscale.store.blocks import DECLARED, RECORDS, Block, Damage, NoStoreError, StoreError

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from glacierscale.store.objects import Objects

__all__ = ["Block", "Damage", "NoStoreError", "Store", "StoreError"]


@dataclass(frozen=True)
class Store:
    """A folder or object-store URL bound to a schema."""

    url: str
    """Folder or URL."""
    schema: Schema = field(compare=False)
    """What it holds."""

    @classmethod
    def at(cls, place: str | Path | Store, wanted: Schema | None = None) -> Store:
        """Bind an existing store, its schema taken from its stamp.

        Raises
        ------
        StoreError
            If there is no glacierscale store, or it is of another kind than `wanted`.
        """
        from glacierscale.store import layout

        if isinstance(place, Store):
            found = place
        else:
            stamp, _ = layout.found(cls(str(place), schema.CUBE)._objects())
            if stamp is None or stamp["verb"] not in schema.WRITTEN_BY:
                raise NoStoreError(f"{place} is not a glacierscale store; expected one of {sorted(schema.SCHEMAS)}.")
            found = cls(str(place), schema.WRITTEN_BY[stamp["verb"]])
        if wanted is not None and found.schema.name != wanted.name:
            raise NoStoreError(f"{found.url} is a {found.schema.name} store; expected a {wanted.name} store.")
        return found

    @classmethod
    def all_in(cls, folder: str | Path, pattern: str, wanted: Schema) -> tuple[Store, ...]:
        """Every store of a kind in a local folder whose name fits a pattern, at least one, in order of names."""
        found = tuple(cls.at(path, wanted) for path in sorted(Path(folder).glob(pattern)))
        if not found:
            made = " or ".join(verb for verb, schema_of in schema.WRITTEN_BY.items() if schema_of is wanted)
            raise NoStoreError(f"{folder} holds no {pattern}; run `glacierscale {made}` into it first.")
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

        if "://" not in self.url:
            provenance.local_folder(Path(self.url).absolute().parent)  # no store inside another
        place = objects.Objects(self.url, create=True)
        found, declared = layout.found(place)
        if found is not None:
            stamp.refuse_unless_same(found, self.url)
            stamp = provenance.Stamp.from_dict(found)  # another commit made it: what is written again says so
            if place.has(declared):
                return self
        elif not place.empty() and place.get(f"{RECORDS}/declaring") is None:
            raise NoStoreError(f"{self.url} holds something that is no glacierscale store; write elsewhere.")
        place.put(f"{RECORDS}/declaring", b"")
        lengths = {**{str(name): length for name, length in static.sizes.items()}, **sizes}
        attributes = layout.root_attributes(self.schema, static.attrs, stamp, chunks or {})
        made = layout.create(self.schema, static, attributes, lengths, without)
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
            If the block is not one of the store's, or a variable is missing or has another shape.
        """
        import zarr

        from glacierscale.store import layout, objects

        if block not in self.blocks(block.dim):
            raise ValueError(f"block {block} is not aligned to the chunks of {self.url}; take one from Store.blocks().")
        place = objects.Objects(self.url)
        recorder = objects.Recording(place.zarr(read_only=False))
        group = zarr.open_group(recorder, mode="r+", use_consolidated=True)
        expected = 0
        for name, variable in self._variables_along(block.dim).items():
            array = group[name]
            assert isinstance(array, zarr.Array)
            array = array.with_config({"write_empty_chunks": True})
            region = tuple(block.slice if dim == block.dim else slice(None) for dim in variable.dims)
            shape = tuple(
                block.stop - block.start if dim == block.dim else size
                for dim, size in zip(variable.dims, array.shape, strict=True)
            )
            if name not in arrays or arrays[name].shape != shape:
                came = arrays[name].shape if name in arrays else "nothing"
                raise ValueError(f"block {block} of {self.url}: {name} has shape {came}, expected {shape}.")
            array[region] = layout.encode(arrays[name], variable)
            expected += layout.chunks_in(array, variable.dims, block.dim, block.stop - block.start)
        if len(recorder.written) != expected:
            raise StoreError(
                f"block {block} of {self.url}: {len(recorder.written)} chunks written, expected {expected}."
            )
        place.put(f"{RECORDS}/{block.name}.json", objects.pack_record(recorder.written, {}))

    # Progress

    def blocks(self, dim: str = "glacier") -> list[Block]:
        """Every block along a dimension, in order."""
        attributes, sizes = self._layout()
        step, length = int(attributes["glacierscale_blocks"][dim]), sizes.get(dim, 0)
        return [Block(dim, start, min(start + step, length)) for start in range(0, length, step)]

    def missing(self, dim: str = "glacier") -> list[Block]:
        """Blocks along a dimension without a completion record: what a run has left to do."""
        done = self._objects().keys(RECORDS)
        return [block for block in self.blocks(dim) if f"{RECORDS}/{block.name}.json" not in done]

    def unfinished(self) -> list[Block]:
        """Blocks without a completion record, along every dimension."""
        return [block for dim in self.schema.blocks if self._variables_along(dim) for block in self.missing(dim)]

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

        if "://" not in self.url and not Path(self.url).exists():
            return False
        place = self._objects()
        found, declared = layout.found(place)
        if found is None:
            return False
        stamp.refuse_unless_same(found, self.url)
        return place.has(declared) and not self.unfinished()

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
        import xarray as xr

        from glacierscale.store import objects

        left = self.unfinished()
        if left and not partial:
            raise StoreError(
                f"{self.url} is unfinished: {len(left)} blocks are missing, the first is {left[0]}. "
                "Run the command that makes it again, or open it with partial=True."
            )
        strict = objects.Strict(self._objects().zarr(read_only=True))
        dataset = xr.open_zarr(strict, consolidated=True, zarr_format=3, chunks=chunks)
        if not left:
            # NumPy's variable-width strings lack casts that users expect; identifiers are few, so read them now.
            texts = [
                name for name, v in self.schema.variables.items() if v.dtype == "string" and name in dataset.variables
            ]
            dataset = dataset.assign(
                {name: dataset[name].copy(data=schema.text(dataset[name].values)) for name in texts}
            )
        return schema.check(dataset, self.schema)

    @property
    def stamp(self) -> provenance.Stamp:
        """What made it."""
        from glacierscale.store import layout

        found, _ = layout.found(self._objects())
        if found is None:
            raise StoreError(f"{self.url} was never declared; run the command that makes it again.")
        return provenance.Stamp.from_dict(found)

    def fingerprint(self) -> str:
        """Digest of the stamp and of every completion record: the same for the same content."""
        place = self._objects()
        records = [place.get(key) or b"" for key in sorted(place.keys(RECORDS))]
        return provenance.digest(self.stamp.fingerprint.encode() + b"".join(records))

    def verify(self) -> list[Damage]:
        """Every object that is missing, has another length or another checksum, and every unfinished block."""
        from glacierscale.store import verification

        place = self._objects()
        damages = verification.damages(place, DECLARED, None)
        if any(damage.key in ("zarr.json", f"{RECORDS}/{DECLARED}.json") for damage in damages):
            return damages  # what blocks there are is not known
        for dim in self.schema.blocks:
            if self._variables_along(dim):
                for block in self.blocks(dim):
                    damages += verification.damages(place, block.name, block)
        return damages

    def _objects(self) -> Objects:
        from glacierscale.store import objects

        return objects.Objects(self.url)

    def _layout(self) -> tuple[dict[str, Any], dict[str, int]]:
        from glacierscale.store import layout

        return layout.read_layout(self._objects())

    def _variables_along(self, dim: str) -> dict[str, Variable]:
        from glacierscale.store import layout

        present = self._layout()[0]["glacierscale_variables"]
        variables = self.schema.variables.items()
        return {n: v for n, v in variables if n in present and layout.block_dim(self.schema, v) == dim}
