"""Objects for Zarr on threads: the answers of Zarr's own store, and an end of the process that nothing disturbs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import NotSupportedError
from obstore.store import LocalStore
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import ObjectStore

from glacierscale.store.threaded import Threaded
from tests import late

PARTS = [None, RangeByteRequest(2, 5), OffsetByteRequest(6), SuffixByteRequest(3)]


@pytest.fixture
def handle(tmp_path: Path) -> LocalStore:
    """A folder with one object."""
    handle = LocalStore(tmp_path)
    obstore.put(handle, "a", bytes(range(10)))
    return handle


def got(store: ObjectStore[Any], key: str, part: ByteRequest | None = None) -> bytes | None:
    """What a store answers."""
    found = asyncio.run(store.get(key, default_buffer_prototype(), part))
    return None if found is None else found.to_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_objects_are_those_that_zarr_reads_itself(handle: LocalStore, part: ByteRequest | None) -> None:
    assert got(Threaded(handle), "a", part) == got(ObjectStore(handle), "a", part)


def test_many_parts_come_in_order_and_what_is_absent_is_none(handle: LocalStore) -> None:
    wanted = [("a", RangeByteRequest(1, 2)), ("none", None), ("a", SuffixByteRequest(1))]
    found = asyncio.run(Threaded(handle).get_partial_values(default_buffer_prototype(), wanted))
    assert [one and one.to_bytes() for one in found] == [b"\x01", None, b"\x09"]
    assert got(Threaded(handle), "none") is None


def test_the_end_of_an_object_is_found_where_a_server_knows_no_suffixes(
    handle: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise NotSupportedError("no suffixes")

    monkeypatch.setattr(obstore, "get", refused)
    assert got(Threaded(handle), "a", SuffixByteRequest(3)) == bytes([7, 8, 9])
    assert got(Threaded(handle), "a", SuffixByteRequest(99)) == bytes(range(10))


def test_what_is_written_is_there_and_a_store_to_read_refuses(handle: LocalStore) -> None:
    buffer = default_buffer_prototype().buffer.from_bytes(b"ice")

    async def write(store: Threaded) -> bool:
        await store.set("b", buffer)
        return await store.exists("b") and not await store.exists("c")

    assert asyncio.run(write(Threaded(handle)))
    assert got(Threaded(handle), "b") == b"ice"
    with pytest.raises(ValueError, match="read-only"):
        asyncio.run(write(Threaded(handle, read_only=True)))


def test_a_program_that_has_read_a_store_ends_well_where_native_threads_are_late(cube: Any, tmp_path: Path) -> None:
    script = f"from glacierscale.store import Store; print(float(Store.at({cube.url!r}).open().load().area_m2.sum()))"
    ended = late.python(tmp_path, "-c", script)
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) > 0
