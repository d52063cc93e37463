"""Objects behind a store: one handle for folders and object stores, and two wrappers Zarr writes and reads through."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import obstore
from obstore.store import LocalStore, from_url
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from glacierscale.store.blocks import NoStoreError, StoreError


class Objects:
    """Objects below one folder or URL."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self.url = url
        try:
            self.handle = from_url(url) if "://" in url else LocalStore(Path(url).absolute(), mkdir=create)
        except Exception as error:  # obstore raises its own family and OSError, by backend
            if not create and not Path(url).exists() and "://" not in url:
                raise NoStoreError(f"{url} is not a glacierscale store: there is no such folder.") from error
            doing = "written" if create else "opened"
            raise StoreError(
                f"{url} cannot be {doing}: {error}. Check that the place exists and its rights."
            ) from error

    def get(self, key: str) -> bytes | None:
        """Content of an object, or None where there is none."""
        try:
            return bytes(obstore.get(self.handle, key).bytes())
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""
        try:
            obstore.put(self.handle, key, data)
        except Exception as error:
            raise StoreError(f"{self.url}/{key} cannot be written: {error}. Check free space and rights.") from error

    def delete(self, key: str) -> None:
        """Remove an object."""
        obstore.delete(self.handle, key)

    def has(self, keys: Iterable[str]) -> bool:
        """Whether every one of these objects is there."""
        return set(keys) <= self.keys("")

    def keys(self, prefix: str) -> set[str]:
        """Keys below a prefix."""
        return {entry["path"] for batch in obstore.list(self.handle, prefix) for entry in batch}

    def empty(self) -> bool:
        """Whether nothing lies there."""
        return not any(batch for batch in obstore.list(self.handle))

    def zarr(self, *, read_only: bool) -> ObjectStore[Any]:
        """The same place as a Zarr store."""
        return ObjectStore(self.handle, read_only=read_only)


class Recording(WrapperStore[ObjectStore[Any]]):
    """Remembers length and CRC-32C of every object that passes on its way to the disk."""

    def __init__(self, store: ObjectStore[Any]) -> None:
        super().__init__(store)
        self.written: dict[str, list[int]] = {}

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object and remember its checksum."""
        data = value.to_bytes()
        try:
            await self._store.set(key, value)
        except Exception as error:
            raise StoreError(f"{key} cannot be written: {error}. Check free space and rights.") from error
        self.written[key] = seal(data)


class Strict(WrapperStore[ObjectStore[Any]]):
    """Refuses to pass an absent chunk off as fill values."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object; an absent chunk raises `StoreError`."""
        found = await self._store.get(key, prototype, byte_range)
        if found is None and ("/c/" in key or key.endswith("/c")):
            raise StoreError(f"chunk {key} is missing; `glacierscale verify STORE --repair` computes it again.")
        return found


def seal(data: bytes) -> list[int]:
    """Length and CRC-32C."""
    return [len(data), google_crc32c.value(data)]


@dataclass(frozen=True)
class Record:
    """Content of a completion record."""

    objects: dict[str, list[int]]
    """Length and CRC-32C of each object."""
    stamp: dict[str, Any]
    """What made the store; only in the record of its declaration."""


def pack_record(objects: dict[str, list[int]], stamp: dict[str, Any]) -> bytes:
    """A completion record as bytes, with a checksum of its own."""
    body = {"objects": objects, "stamp": stamp}
    return json.dumps({**body, "crc32c": _crc_of(body)}, sort_keys=True).encode()


def unpack_record(data: bytes) -> Record:
    """Read a completion record back.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    try:
        found = json.loads(data)
        if pack_record(found["objects"], found["stamp"]) == data:
            return Record(found["objects"], found["stamp"])
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError("the completion record is damaged")


def _crc_of(body: dict[str, Any]) -> int:
    return int(google_crc32c.value(json.dumps(body, sort_keys=True).encode()))
