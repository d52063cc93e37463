"""Which stores a person means by some places, opened side by side, row by row of the same glaciers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale import provenance, schema
from glacierscale.store import Files, NoStoreError, Store, StoreError

if TYPE_CHECKING:
    import xarray as xr

Ints = npt.NDArray[np.int64]

_SINGLE = ("reconstruction", "evolution", "features", "cube")
"""Kinds of which there is one store; the first that is there says which glaciers are shown."""
_SEVERAL = ("maps", "ice_maps", "patches")
"""Kinds that come in a store for each size of patch."""

_AT_ONCE = 8

_EXPECTED = (
    "a store such as smb.zarr, or a folder or URL with the stores of a run. Make them with `glacierscale run`, or a "
    "small region with `glacierscale demo`, or correct the path"
)


@dataclass(frozen=True, eq=False)
class Source:
    """An opened store, and where the glaciers of the atlas lie in it."""

    store: Store
    """Where it is."""
    data: xr.Dataset
    """Its content, read when indexed."""
    position: Ints
    """(glacier of the atlas,) number of the glacier in the store, -1 where it is not there"""

    @cached_property
    def lasting_share(self) -> npt.NDArray[np.float64]:
        """(glacier of the store,) share of the noise that lasts, 0 where it is not told; one chunk, so kept whole."""
        known = self.data.get("lasting_share")
        return np.zeros(self.data.sizes["glacier"]) if known is None else known.values.astype(float)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A store of a run that is not shown."""

    url: str
    """Where it is."""
    why: str
    """What it lacks, in words."""
    command: str
    """What continues it, without its arguments."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """All opened stores by kind."""

    ids: npt.NDArray[np.str_]
    """(glacier,) identifiers of the glaciers of the atlas"""
    of: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    """Stores by the name of their schema."""
    left_out: tuple[LeftOut, ...] = ()
    """Unfinished stores of the folders."""

    def __iter__(self) -> Iterator[Source]:
        return (source for kind in (*_SINGLE, *_SEVERAL) for source in self.of.get(kind, ()))

    def one(self, kind: schema.Schema) -> Source | None:
        """The store of a kind, or None."""
        return next(iter(self.of.get(kind.name, ())), None)

    def needed(self, kind: schema.Schema) -> Source:
        """The store of a kind, or `LookupError` that says what makes one."""
        found = self.one(kind)
        if found is None:
            there = ", ".join(source.store.url for source in self)
            raise LookupError(f"there is no {kind.name} among {there}; {schema.made_by(kind)} makes one.")
        return found

    def all(self, kind: schema.Schema) -> tuple[Source, ...]:
        """The stores of a kind that comes in several."""
        return self.of.get(kind.name, ())


def open_sources(places: Sequence[str | Path | Store]) -> Sources:
    """Open the stores at some places.

    Parameters
    ----------
    places : sequence of str, Path or Store
        Stores, or folders and URLs of a run, whose finished stores are all taken.

    Raises
    ------
    StoreError
        If there is no store, or one that is named is unfinished.
    ValueError
        If two stores tell the same of the same glaciers, or do not belong together.
    """
    if not places:
        raise ValueError("no store was named; give stores or the folder of a run, as `glacierscale explore out`.")
    found = [_stores_at(place) for place in places]
    stores = list(dict.fromkeys(store for own, _ in found for store in own))
    _refuse_two_runs(stores)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        opened = list(zip(stores, pool.map(_opened, stores), strict=True))
    by_kind: dict[str, list[tuple[Store, xr.Dataset]]] = {}
    for store, data in opened:
        by_kind.setdefault(store.schema.name, []).append((store, data))
    leading = next(kind for kind in (*_SINGLE, *_SEVERAL) if kind in by_kind)
    names = [schema.text(data.glacier_id.values) for _, data in by_kind[leading]]
    ids = schema.text(list(dict.fromkeys(np.concatenate(names).tolist())))
    sources = Sources(
        ids=ids,
        of={
            kind: tuple(Source(store, data, _position(ids, data)) for store, data in by_kind[kind]) for kind in by_kind
        },
        left_out=tuple(dict.fromkeys(left for _, unfinished in found for left in unfinished)),
    )
    _refuse_strangers(sources, by_kind[leading][0][0])
    return sources


def _opened(store: Store) -> xr.Dataset:
    """A store's content; what another version wrote is refused by name."""
    try:
        return store.open()
    except StoreError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{store.url} is not laid out as this version of glacierscale expects: {error}\n"
            f"Make it anew with {schema.made_by(store.schema)}."
        ) from error


def _position(ids: npt.NDArray[np.str_], data: xr.Dataset) -> Ints:
    found: Ints = pd.Index(schema.text(data.glacier_id.values)).get_indexer(pd.Index(ids)).astype(np.int64)
    return found


def _stores_at(place: str | Path | Store) -> tuple[list[Store], list[LeftOut]]:
    """The store at a place, or all finished ones of the folder that it is, and the others."""
    if isinstance(place, Store):
        return [place], []
    if "://" not in str(place) and not Path(place).is_dir():
        there = "is a file" if Path(place).exists() else "is not there"
        raise NoStoreError(f"{place} {there}; expected {_EXPECTED}.")
    with contextlib.suppress(NoStoreError):
        return [Store.at(place)], []
    try:
        names = Files.at(place).stores("*.zarr")
    except ValueError as error:
        raise NoStoreError(
            f"{place} lies inside a store; name the store itself or the folder that it is in."
        ) from error
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looked = list(pool.map(_looked_at, (provenance.join(place, name) for name in names)))
    finished = [found for found in looked if isinstance(found, Store)]
    left_out = [found for found in looked if isinstance(found, LeftOut)]
    if not any(looked):
        raise NoStoreError(f"{place} is no store and holds none; expected {_EXPECTED}.")
    if not finished:
        raise StoreError(
            f"{place} holds no finished store; begun are {', '.join(left.url for left in left_out)}. "
            "Run the same command as before, it continues."
        )
    return finished, left_out


def _looked_at(place: str) -> Store | LeftOut | None:
    """The store of a folder that is named like one, or what it lacks; None where others wrote it."""
    try:
        store = Store.at(place)
    except NoStoreError:
        return None
    missing = len(store.unfinished())
    if not missing:
        return store
    why = "1 block is missing" if missing == 1 else f"{missing} blocks are missing"
    return LeftOut(url=store.url, why=why, command=schema.made_by(store.schema).strip("`"))


def _refuse_two_runs(stores: Sequence[Store]) -> None:
    """Raise `ValueError` where two stores are of a kind that comes once, or were made by different models."""
    for kind in _SINGLE:
        same = [store.url for store in stores if store.schema.name == kind]
        if len(same) > 1:
            raise ValueError(
                f"{' and '.join(same)} are both {kind} stores, of two runs; give the stores of one, and explore the "
                "other beside it."
            )
    first: dict[str, str] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        stamps = list(pool.map(lambda store: store.stamp, stores))
    for store, stamp in zip(stores, stamps, strict=True):
        made = stamp.inputs.get("model")
        if made is not None and made.fingerprint:
            first.setdefault(made.fingerprint, store.url)
    if len(first) > 1:
        raise ValueError(
            f"{' and '.join(first.values())} come from different models, so they are of two runs; give the stores of "
            "one, and explore the other beside it."
        )


def _refuse_strangers(sources: Sources, leading: Store) -> None:
    """Raise `ValueError` where a store has none of the glaciers, or two stores of maps have the same."""
    for source in sources:
        if (source.position < 0).all():
            theirs = source.data.glacier_id.values
            raise ValueError(
                f"{source.store.url} has none of the {len(sources.ids)} glaciers of {leading.url}: there it begins "
                f"with {sources.ids[0]}, here with {theirs[0] if len(theirs) else 'none'}. Give stores of one region."
            )
    for kind in _SEVERAL:
        several = sources.of.get(kind, ())
        held = np.sum([source.position >= 0 for source in several], axis=0)
        if np.any(held > 1):
            raise ValueError(
                f"{' and '.join(source.store.url for source in several)} have maps of the same glaciers, of two runs; "
                "give the stores of one, and explore the other beside it."
            )
