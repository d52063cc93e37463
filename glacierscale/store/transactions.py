"""A store on Icechunk: every block is one commit, and readers see whole commits only.

The repository lies below ``repository/`` of the place, which Icechunk wants to itself. Completion records and leases,
which are no part of a Zarr hierarchy, lie beside it as plain objects below ``glacierscale/``: a record is put after its
block's commit has been accepted and is never there without it, and it can be taken away again, which metadata of a
commit cannot.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync

from glacierscale import provenance
from glacierscale.store.blocks import NoStoreError, StoreError
from glacierscale.store.objects import LEASE, Objects
from glacierscale.store.repositories import icechunk, storage

if TYPE_CHECKING:
    from icechunk import IcechunkStore, Repository, Session, Storage

SCHEMES = ("icechunk", "icechunk+file", "icechunk+s3", "icechunk+gs", "icechunk+abfs")
"""``icechunk:///folder`` is short for ``icechunk+file:///folder``."""

_BRANCH, _BESIDE = "main", "glacierscale"
_ABSENT = r"node not found|Object at location .* not found|NoSuchKey|object not found"
_TRIES = 1000
_LOOK_S = 0.02


def plain(url: str) -> str:
    """The folder or URL that an Icechunk URL names, and any other as it is."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        return url
    return rest if scheme in SCHEMES[:2] else f"{scheme.removeprefix('icechunk+')}://{rest}"


def objects_at(url: str, *, create: bool = False) -> Objects:
    """The objects of a folder or URL, on Icechunk where its scheme says so."""
    return (Transactions if url.partition("://")[0] in SCHEMES else Objects)(url, create=create)


class Transactions(Objects):
    """The objects of a store on Icechunk, with the methods of `Objects`.

    Reads see the branch as it was when this object first looked, and what it has itself written since. Objects of Zarr
    gather in a session, which the next completion record commits under the record's name.

    Parameters
    ----------
    url, create, budget_s
        As for `Objects`, the URL ``icechunk+s3://bucket/prefix``, ``icechunk+file:///folder`` and so on.
    """

    def __init__(self, url: str, *, create: bool = False, budget_s: float = 0.0) -> None:
        self._place = plain(url).rstrip("/")
        try:
            super().__init__(f"{self._place}/{_BESIDE}", create=create, budget_s=budget_s)
        except NoStoreError:
            raise NoStoreError(f"{url} is not a glacierscale store: there is no such folder.") from None
        self.url, self.local = url, False
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._seen: IcechunkStore | None = None
        self._waiting: dict[str, bytes | memoryview] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.url, self.budget_s)

    def get(self, key: str) -> bytes | None:
        """Content of an object, or None where there is none."""
        if _is_beside(key):
            return super().get(key)
        store = self._reading()
        return None if store is None else self._asked(key, "read", _content(store, key))

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object whole; a completion record after a commit of what was written before it."""
        if not _is_beside(key):
            self._set(key, data)
            return
        if key.endswith(".json"):
            self._commit(key.rpartition("/")[2].removesuffix(".json"))
        super().put(key, data)

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        if _is_beside(key):
            super().delete(key)
        elif self.get(key) is not None:
            self._asked(key, "removed", self._writing().delete(key))
            self._commit(f"without {key}")

    def version(self, key: str) -> str:
        """What changes when an object is written again; empty where there is none."""
        if _is_beside(key):
            return super().version(key)
        data = self.get(key)
        return "" if data is None else provenance.digest(data)

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of these objects that are there."""
        wanted = set(keys)
        beside = {key for key in wanted if _is_beside(key)}
        found = beside & super().keys("") if beside else set()
        store = self._reading() if wanted - beside else None
        return found if store is None else found | self._asked("", "listed", _existing(store, wanted - beside))

    def keys(self, prefix: str) -> set[str]:
        """Keys below a prefix that ends at a slash."""
        found = super().keys(prefix)
        store = None if _is_beside(prefix) else self._reading()
        return found if store is None else found | self._asked(prefix, "listed", _listed(store, prefix.rstrip("/")))

    def empty(self) -> bool:
        """Whether nothing lies there, neither a repository nor anything else."""
        whole = Objects(self._place, create=True, budget_s=self.budget_s)
        return not any(LEASE not in key.split("/") for key in whole.keys(""))

    def zarr(self, *, read_only: bool) -> Any:
        """The branch as it is now as a Zarr store, or the session that the next record commits."""
        if not read_only:
            return self._writing()
        self._seen = None
        store = self._reading()
        if store is None:
            raise NoStoreError(f"{self.url} is not a glacierscale store: there is no Icechunk repository.")
        return store

    def _set(self, key: str, data: bytes | memoryview) -> None:
        """Write into the session; a chunk that comes before the metadata of its array waits for the commit."""
        try:
            sync(self._writing().set(key, _buffer(data)))
        except KeyError:
            self._waiting[key] = data
        except icechunk().IcechunkError as error:
            raise self.named(error, key, "written") from None

    def _commit(self, name: str) -> None:
        """Commit the session under a name, on top of whatever others have committed meanwhile."""
        with self._lock:
            session, self._session, self._seen = self._session, None, None
            waiting, self._waiting = self._waiting, {}
        if session is None:
            return
        for key, data in waiting.items():
            self._asked(key, "written", session.store.set(key, _buffer(data)))
        if not session.has_uncommitted_changes:
            return
        try:
            with self._alone():
                session.commit(name, rebase_with=icechunk().ConflictDetector(), rebase_tries=_TRIES)
        except (icechunk().ConflictError, icechunk().RebaseFailedError):
            raise StoreError(
                f"{name} of {self.url} cannot be committed: another writer changed the same chunks meanwhile. "
                "Run the same command again; it continues where it stopped."
            ) from None
        except icechunk().IcechunkError as error:
            raise self.named(error, name, "committed") from None

    def _writing(self) -> IcechunkStore:
        with self._lock:
            if self._session is None:
                with self._alone():
                    repository = self._opened() or icechunk().Repository.create(self._storage())
                self._session = repository.writable_session(_BRANCH)
            return self._session.store

    def _reading(self) -> IcechunkStore | None:
        """What this object reads from: its own session, or the branch as it first saw it; None without repository."""
        with self._lock:
            if self._session is not None:
                return self._session.store
            if self._seen is None:
                repository = self._opened()
                self._seen = None if repository is None else repository.readonly_session(_BRANCH).store
            return self._seen

    def _storage(self) -> Storage:
        return storage(self._place, self._access, self.budget_s)

    def _opened(self) -> Repository | None:
        place = self._storage()
        try:
            return icechunk().Repository.open(place) if icechunk().Repository.exists(place) else None
        except icechunk().IcechunkError as error:
            raise self.named(error, "", "opened") from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes of this machine from committing: a disk, unlike a bucket, has no conditional put."""
        if self._access is not None:
            yield
            return
        import fcntl

        until = time.monotonic() + self.budget_s
        with Path(self._place, "commit.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise StoreError(
                            f"{self.url} cannot be committed: another process has held {file.name} for "
                            f"{self.budget_s:g} s. End it if it is suspended, and run the same command again."
                        ) from None
                time.sleep(_LOOK_S)
            yield

    def _asked(self, key: str, doing: str, answer: Coroutine[Any, Any, Any]) -> Any:
        try:
            return sync(answer)
        except icechunk().IcechunkError as error:
            failed = self.named(error, key, doing)
        raise failed


def _reopened(url: str, budget_s: float) -> Transactions:
    return Transactions(url, budget_s=budget_s)


def _is_beside(key: str) -> bool:
    return key.startswith(".")


def _buffer(data: bytes | memoryview) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(data)


async def _content(store: IcechunkStore, key: str, part: RangeByteRequest | None = None) -> bytes | None:
    try:
        found = await store.get(key, default_buffer_prototype(), part)
    except icechunk().IcechunkError as error:
        if re.search(_ABSENT, str(error)):
            return None
        raise
    return None if found is None else found.to_bytes()


async def _existing(store: IcechunkStore, keys: Iterable[str]) -> set[str]:
    # The repository would only say that it knows of a chunk; a byte of it shows that it is there.
    return {key for key in keys if await _content(store, key, RangeByteRequest(0, 1)) is not None}


async def _listed(store: IcechunkStore, prefix: str) -> set[str]:
    return {key async for key in store.list_prefix(prefix)}
