"""Stores on Icechunk: each block one commit, concurrent writers, killed writers, damage; on a disk and on a real S3."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from glacierscale import provenance, schema
from glacierscale.store import Store, StoreError
from glacierscale.store.objects import Objects
from glacierscale.store.transactions import Transactions, plain
from tests.servers import S3, seaweed

GLACIERS, MEMBERS, YEARS = 40, 6, 30
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with seaweed() as found:
        yield found


@pytest.fixture(params=["disk", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place for a store, on this disk or on the server."""
    if request.param == "disk":
        return f"icechunk+file://{tmp_path}/smb.zarr"
    server: S3 = request.getfixturevalue("server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"icechunk+{server.url(tmp_path.name)}/smb.zarr"


def declared(url: str) -> Store:
    """A reconstruction of twenty blocks that nobody has written."""
    stamp = provenance.Stamp(verb="reconstruct", options={}, inputs={})
    static = xr.Dataset({"hydro_year": ("hydro_year", np.arange(2000, 2000 + YEARS, dtype="int32"))})
    sizes = {"glacier": GLACIERS, "member": MEMBERS}
    store = Store(url, schema.RECONSTRUCTION)
    return store.declare(
        static,
        stamp,
        sizes=sizes,
        chunks={"glacier": 2},
        without=["smb_winter", "smb_gapfilled", "smb_gapfilled_std", "lasting_share"],
    )


def write(store: Store, start: int) -> None:
    """Write the block that starts at a glacier; its values are those of its number."""
    block = next(block for block in store.blocks() if block.start == start)
    rng, count = np.random.default_rng(start), block.stop - block.start
    members = rng.normal(0, 500, (MEMBERS, count, YEARS))
    store.write(
        block,
        {
            "glacier_id": np.array([f"G{n:03d}" for n in range(block.start, block.stop)]),
            "unit_id": np.array(["U"] * count),
            "subregion": np.array([""] * count),
            **{name: rng.uniform(1, 2, count) for name in ("lon", "lat", "area_m2")},
            "smb": members.mean(axis=0),
            "smb_std": members.std(axis=0),
            "smb_member": members,
            "set_aside": np.array([""] * count),
        },
    )


def in_another_process(url: str, starts: list[int], before: str = "") -> subprocess.Popen[bytes]:
    """Write blocks of a store in a process of its own, after some lines of Python."""
    lines = f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from glacierscale.store import Store, objects, transactions
        from tests.store.test_transactions import write
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        {before}
        store = Store.at({url!r})
        for start in {starts}: write(store, start)
    """
    program = "\n".join(line.strip() for line in lines.splitlines())
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])


def commits(url: str) -> list[str]:
    """What was committed, newest first."""
    repository = Transactions(url)._opened()
    assert repository is not None
    return [commit.message for commit in repository.ancestry(branch="main")]


def test_a_store_is_written_read_and_verified_with_one_commit_a_block(url: str) -> None:
    store = declared(url)
    assert len(store.missing()) == 20
    with pytest.raises(StoreError, match="is unfinished: 20 blocks are missing"):
        store.open()
    for block in store.blocks():
        write(store, block.start)
    assert store.verify() == []
    names = [f"glacier-{start:09d}" for start in range(0, GLACIERS, 2)]
    assert commits(url) == [*reversed(names), "declared", "Repository initialized"]
    dataset = Store.at(url).open()
    np.testing.assert_allclose(dataset.smb, dataset.smb_member.mean("member"), rtol=1e-4, atol=1e-2)
    assert dataset.glacier_id.values.tolist() == [f"G{n:03d}" for n in range(GLACIERS)]


def test_the_same_content_has_the_same_fingerprint_as_on_a_plain_disk(url: str, tmp_path: Path) -> None:
    found = []
    for place in (url, str(tmp_path / "plain.zarr")):
        store = declared(place)
        for block in store.blocks():
            write(store, block.start)
        found.append((store.fingerprint(), store.open().load()))
    assert found[0][0] == found[1][0]
    xr.testing.assert_identical(*(dataset for _, dataset in found))


def test_declaring_and_writing_again_commits_nothing_new(url: str) -> None:
    store = declared(url)
    write(store, 0)
    before = commits(url)
    assert declared(url).missing() == store.missing()
    assert commits(url) == before
    other = provenance.Stamp(verb="reconstruct", options={"net": "other"}, inputs={})
    with pytest.raises(provenance.StampMismatch, match="was made otherwise"):
        store.declare(xr.Dataset(), other, sizes={})


def test_the_place_of_something_else_is_refused(url: str) -> None:
    Objects(plain(url), create=True).put("mine.txt", b"x")
    with pytest.raises(StoreError, match=r"smb\.zarr holds something that is no glacierscale store"):
        declared(url)
    with pytest.raises(StoreError, match=r"smb\.zarr is not a glacierscale store"):
        Store.at(url)


def test_two_processes_write_twenty_blocks_at_once(url: str) -> None:
    store = declared(url)
    halves = [in_another_process(url, list(range(first, GLACIERS, 4))) for first in (0, 2)]
    assert [process.wait(240) for process in halves] == [0, 0]
    assert store.verify() == []
    assert sorted(commits(url)) == sorted(
        ["Repository initialized", "declared", *(f"glacier-{start:09d}" for start in range(0, GLACIERS, 2))]
    )
    assert np.isfinite(store.open().smb_member).all()


def test_threads_write_blocks_at_once(url: str) -> None:
    store = declared(url)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: write(store, block.start), store.blocks()))
    assert store.verify() == []
    assert len(commits(url)) == 22


@pytest.mark.parametrize(
    ("when", "visible"),
    [
        ("transactions.Transactions._commit = die", False),
        ("objects.Objects.put = die", True),  # the record, which follows the commit
    ],
    ids=["before its commit", "between commit and record"],
)
def test_of_a_writer_killed_in_a_block_readers_see_nothing_or_all_and_a_rerun_completes(
    url: str, when: str, visible: bool
) -> None:
    store = declared(url)
    write(store, 0)
    process = in_another_process(url, [2], when)
    assert process.wait(240) == -signal.SIGKILL
    assert [block.start for block in store.missing()] == list(range(2, GLACIERS, 2))
    assert (len(commits(url)) == 4) == visible
    values = store.open(partial=True).smb
    assert np.isfinite(values[:2]).all()
    if visible:
        assert np.isfinite(values[2:4]).all()
    else:
        with pytest.raises(StoreError, match="chunk smb/c/1/0 is missing"):
            np.isfinite(values[2:4].values)
    for block in store.missing():
        write(store, block.start)
    assert store.verify() == []


def test_a_reader_keeps_the_commit_that_it_opened(url: str) -> None:
    store = declared(url)
    write(store, 0)
    early = store.open(partial=True).smb
    write(store, 2)
    with pytest.raises(StoreError, match="chunk smb/c/1/0 is missing"):
        np.isfinite(early[2:4].values)
    assert np.isfinite(store.open(partial=True).smb[2:4]).all()


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [(flip, "checksum differs"), (lambda data: data[:-7], r"has \d+ bytes, expected \d+"), (None, "is missing")],
)
def test_damage_in_the_repository_is_found_named_and_repaired(
    url: str, damage: Callable[[bytes], bytes] | None, fault: str
) -> None:
    store = declared(url)
    for block in store.blocks()[:3]:
        write(store, block.start)
    repository = Objects(f"{plain(url)}/repository")
    chunks = sorted(repository.keys("chunks"))
    assert len(chunks) == 3  # smaller ones stand in manifests
    whole = repository.get(chunks[1]) or b""
    if damage is None:
        repository.delete(chunks[1])
    else:
        repository.put(chunks[1], damage(whole))
    found = [damage for damage in store.verify() if damage.fault != "was never completed"]
    assert len(found) == 1
    assert found[0].key.split("/")[0] in schema.RECONSTRUCTION.variables
    assert re.fullmatch(fault, found[0].fault)
    store.forget(found)
    assert found[0].block in store.missing()
    for block in store.missing():
        write(store, block.start)
    assert store.verify() == []


def test_what_the_declaration_wrote_and_what_is_no_longer_there_count_as_missing_and_are_made_again(url: str) -> None:
    store = declared(url)
    write(store, 0)
    repository, chunk = Objects(f"{plain(url)}/repository"), "smb_member/c/0/0/0"
    assert Transactions(url).present([chunk, "zarr.json"]) == {chunk, "zarr.json"}
    for key in repository.keys("chunks"):
        repository.delete(key)
    assert Transactions(url).present([chunk, "zarr.json"]) == {"zarr.json"}
    write(store, 0)
    Transactions(url).delete("hydro_year/c/0")
    assert commits(url)[0] == "without hydro_year/c/0"
    assert next((found.key, found.fault) for found in store.verify()) == ("hydro_year/c/0", "is missing")
    declared(url)
    assert {found.fault for found in store.verify()} == {"was never completed"}
    assert np.isfinite(store.open(partial=True).smb[:2].values).all()


def test_writers_of_the_same_chunk_do_not_overwrite_each_other_unseen(url: str) -> None:
    declared(url)
    one, other = Transactions(url), Transactions(url)
    for writer in (one, other):
        writer.put("smb/c/0/0", os.urandom(600))
    one.put(".blocks/glacier-000000000.json", b"{}")
    with pytest.raises(StoreError, match="another writer changed the same chunks meanwhile"):
        other.put(".blocks/glacier-000000000.json", b"{}")


def test_the_place_travels_to_other_processes_without_its_session(url: str) -> None:
    declared(url)
    place = pickle.loads(pickle.dumps(Transactions(url)))
    assert isinstance(place, Transactions)
    assert place.get("zarr.json") == Transactions(url).get("zarr.json")
    assert place.get("nothing/c/0") is place.get("smb/c/9999/0") is None
    assert place.present(["zarr.json", "nothing/zarr.json", ".blocks/declared.json"]) == {
        "zarr.json",
        ".blocks/declared.json",
    }


def test_history_stays_readable_after_more_is_written(url: str) -> None:
    store = declared(url)
    write(store, 0)
    repository = Transactions(url)._opened()
    assert repository is not None
    repository.create_tag("first", repository.lookup_branch("main"))
    write(store, 2)
    group = xr.open_zarr(repository.readonly_session(tag="first").store, consolidated=False, chunks=None)
    assert np.isfinite(group.smb[:2]).all()
    assert not np.isfinite(group.smb[2:4]).any()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("icechunk:///a/b", "/a/b"),
        ("icechunk+file:///a/b", "/a/b"),
        ("icechunk+s3://ice/run/b", "s3://ice/run/b"),
        ("icechunk+gs://ice", "gs://ice"),
        ("s3://ice/run", "s3://ice/run"),
        ("/a/b", "/a/b"),
    ],
)
def test_what_lies_beside_a_repository_has_a_plain_place(url: str, place: str) -> None:
    assert plain(url) == place


def test_a_lock_on_commits_that_nobody_frees_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    store = declared(f"icechunk://{tmp_path}/smb.zarr")
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "0.5")
    with (tmp_path / "smb.zarr" / "commit.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match=r"another process has held .*commit\.lock for 0\.5 s"):
            write(store, 0)
    write(store, 0)
