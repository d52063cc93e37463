"""Objects behind a store: one handle for folders and object stores, and two wrappers Zarr writes and reads through."""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import google_crc32c
import obstore
import stamina
from obstore.exceptions import AlreadyExistsError
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from glacierscale.store import access, faults
from glacierscale.store.blocks import NoStoreError, StoreError
from glacierscale.store.threaded import Threaded

LEASE = ".lease"
"""Folder of the lease of a place; no part of what lies there."""

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)
logging.getLogger("stamina").setLevel(logging.ERROR)  # its line only says that it retries; ours says what and why


class Objects:
    """Objects below one folder or URL.

    It travels to other processes as its URL alone; there the credentials come from that process's environment.

    Parameters
    ----------
    url : str
        A folder, or s3://, gs://, abfs://, and for reading https://.
    create : bool
        Make the folder where it is absent.
    budget_s : float
        Seconds after which a request that fails for a passing reason is given up, retries included; 0 takes
        ``GLACIERSCALE_IO_TIMEOUT_S``, 60 by default.

    Raises
    ------
    StoreError
        If the place cannot be opened. Every method raises it where a request fails, with what happened, where and
        what to do; no secret stands in it.
    """

    def __init__(self, url: str, *, create: bool = False, budget_s: float = 0.0) -> None:
        self.url, self.local = url, "://" not in url
        self.budget_s = budget_s or faults.budget_s()
        self._access = None if self.local else access.resolve(url)
        try:
            self.handle = access.handle(self._access, url, self.budget_s, create)
            return
        except StoreError:
            raise
        except Exception as error:  # obstore raises its own family and OSError, by backend
            failed = faults.named(error, url, "made" if create else "opened", self._access)
        if self.local and not create and not Path(url).exists():
            raise NoStoreError(f"{url} is not a glacierscale store: there is no such folder.")
        raise failed

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.url, self.budget_s)

    def get(self, key: str) -> bytes | None:
        """Content of an object, or None where there is none."""

        def whole() -> bytes | None:
            found = obstore.get(self.handle, key)
            data = bytes(found.bytes())
            if len(data) != found.meta["size"]:
                raise faults.ShortBodyError(f"{len(data)} bytes came of {found.meta['size']}")
            return data

        return self.ask(whole, key, "read", absent=None)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object, whole or not at all."""
        self._refuse_https()
        parts = None if not self.local else False  # a local file in parts is four times as slow as at one go
        self.ask(lambda: obstore.put(self.handle, key, data, use_multipart=parts), key, "written")

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one already; False where there is."""
        self._refuse_https()

        def fresh() -> bool:
            try:
                obstore.put(self.handle, key, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

        return self.ask(fresh, key, "written")

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        self.ask(lambda: obstore.delete(self.handle, key), key, "removed", absent=None)

    def version(self, key: str) -> str:
        """What changes when an object is written again; empty where there is none."""

        def seen() -> str:
            meta = obstore.head(self.handle, key)
            return f"{meta['e_tag']} {meta['last_modified'].isoformat()} {meta['size']}"

        return self.ask(seen, key, "read", absent="")

    def has(self, keys: Iterable[str]) -> bool:
        """Whether every one of these objects is there."""
        wanted = set(keys)
        return wanted <= self.present(wanted)

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of these objects that are there; asks for each where a place cannot list, as over https."""
        wanted = sorted(keys)
        if not self._listable:
            with ThreadPoolExecutor(8) as pool:
                return {key for key, version in zip(wanted, pool.map(self.version, wanted), strict=True) if version}
        return set(wanted) & self.keys(posixpath.commonpath([posixpath.dirname(key) for key in wanted] or [""]))

    def keys(self, prefix: str) -> set[str]:
        """Keys below a prefix that ends at a slash; a lease on the way is no part of it."""
        if not self._listable:
            raise StoreError(f"{self.url} cannot be listed over https; copy it to a folder or an object store.")

        def listed() -> set[str]:
            return {entry["path"] for batch in obstore.list(self.handle, prefix) for entry in batch}

        nothing: set[str] = set()
        found = self.ask(listed, prefix, "listed", absent=nothing)
        return {key for key in found if LEASE not in key.removeprefix(prefix).split("/")}

    def folders(self) -> list[str]:
        """Names of the folders right below, in order."""
        return self.ask(
            lambda: sorted(obstore.list_with_delimiter(self.handle)["common_prefixes"]), "", "listed", absent=[]
        )

    def empty(self) -> bool:
        """Whether nothing lies there."""

        def first() -> bool:
            return not any(
                LEASE not in entry["path"].split("/") for batch in obstore.list(self.handle) for entry in batch
            )

        return self.ask(first, "", "listed", absent=True)

    def zarr(self, *, read_only: bool) -> ObjectStore[Any]:
        """The same place as a Zarr store."""
        return Threaded(self.handle, read_only=read_only)

    def _refuse_https(self) -> None:
        if not self._listable:
            raise StoreError(f"{self.url} is read only over https; write to a folder, s3://, gs:// or abfs://.")

    @property
    def _listable(self) -> bool:
        return self._access is None or self._access.scheme != "https"

    def ask(self, request: Callable[[], Answer], key: str, doing: str, **otherwise: Answer) -> Answer:
        """Run a request, again where it failed for a passing reason; `absent` answers where there is no object."""

        def once() -> Answer:
            try:
                return request()
            except Exception as error:
                if isinstance(error, FileNotFoundError) and otherwise and not faults.no_bucket(error):
                    return otherwise["absent"]
                failed = self.named(error, key, doing)
            raise failed  # outside of the handler, where the server's words, which may quote a signature, end

        return once() if self.local else cast("Answer", _again(self.budget_s)(once)())

    def named(self, error: Exception, key: str, doing: str) -> StoreError:
        """The error of a failed request, in words and without secrets."""
        where = f"{self.url.rstrip('/')}/{key}" if key else self.url
        return faults.named(error, where, doing, self._access)


def _reopened(url: str, budget_s: float) -> Objects:
    return Objects(url, budget_s=budget_s)


def _again(budget_s: float) -> Any:
    """Decorator that runs a function again where it failed for a passing reason."""
    return stamina.retry(on=_passes, attempts=None, timeout=faults.AGAIN * budget_s, wait_max=faults.PAUSE * budget_s)


def _passes(error: Exception) -> bool:
    if isinstance(error, faults.PassingError):
        _log.info("%s Trying again.", error)
        return True
    return False


class _Named(WrapperStore[ObjectStore[Any]]):
    """Tries requests of Zarr again, and names what fails and where."""

    def __init__(self, store: ObjectStore[Any], place: Objects) -> None:
        super().__init__(store)
        self.place = place

    def _with_store(self, store: ObjectStore[Any]) -> Self:
        return type(self)(store, self.place)

    async def _ask(self, request: Callable[[], Awaitable[Answer]], key: str, doing: str) -> Answer:
        async def once() -> Answer:
            try:
                return await request()
            except Exception as error:
                failed = self.place.named(error, key, doing)
            raise failed

        return cast("Answer", await _again(faults.budget_s())(once)())


class Recording(_Named):
    """Remembers length and CRC-32C of every object that passes on its way to the disk."""

    def __init__(self, store: ObjectStore[Any], place: Objects) -> None:
        super().__init__(store, place)
        self.written: dict[str, list[int]] = {}

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object and remember its checksum."""
        await self._ask(lambda: self._store.set(key, value), key, "written")
        self.written[key] = seal(value.to_bytes())


class Strict(_Named):
    """Refuses to pass an absent chunk off as fill values."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object; an absent chunk raises `StoreError`."""
        found = await self._ask(lambda: self._store.get(key, prototype, byte_range), key, "read")
        if found is None and ("/c/" in key or key.endswith("/c")):
            raise StoreError(
                f"{self.place.url}: chunk {key} is missing; `glacierscale verify STORE --repair` computes it again."
            )
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
