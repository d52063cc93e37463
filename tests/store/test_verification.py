"""Faults of a store with shards: every one is found and named, nothing else is, and a rerun mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.store import Block, Store, objects
from glacierscale.store.objects import Objects
from tests.servers import web

STAMP = Stamp(verb="rasterize", options={}, inputs={})
STATIC = xr.Dataset(
    {"channel": ("channel", ["slope"]), "channel_units": ("channel", ["degree"]), "month": ("month", np.arange(1, 13))}
)


def declared(folder: Path, glaciers: int, per_block: int, size: int) -> Store:
    sizes = {"glacier": glaciers, "y": size, "x": size}
    store = Store(str(folder / "patches.zarr"), schema.PATCHES)
    return store.declare(STATIC, STAMP, sizes=sizes, chunks={"glacier": per_block})


def arrays(block: Block, size: int) -> dict[str, np.ndarray]:
    n, rng = block.stop - block.start, np.random.default_rng(block.start)
    return {
        "rasters": rng.normal(20, 5, (n, 1, size, size)),
        "radiation": rng.normal(200, 50, (n, 12, size, size)),
        **{name: rng.normal(0, 1, n) for name in ("lon", "lat", "area_m2", "centre_lon", "centre_lat", "resolution")},
        **{name: np.array([f"G{number}" for number in range(n)]) for name in ("glacier_id", "unit_id", "subregion")},
        "feature_row": np.arange(n),
        "set_aside": np.full(n, ""),
    }


def written(folder: Path, *, glaciers: int, per_block: int, size: int) -> Store:
    store = declared(folder, glaciers, per_block, size)
    for block in store.blocks():
        store.write(block, arrays(block, size))
    return store


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def faults(store: Store, harm: Callable[[bytes, np.random.Generator], bytes] | None, times: int) -> Iterator[Path]:
    """Harm one object after the other, drawn by chance, and put each back; None removes it."""
    root, rng = Path(store.url), np.random.default_rng(times)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    for _ in range(times):
        path = paths[rng.integers(len(paths))]
        before = path.read_bytes()
        if harm is None:
            path.unlink()
        else:
            path.write_bytes(harm(before, rng))
            assert path.read_bytes() != before
        yield path
        path.write_bytes(before)


def assert_all_found(store: Store, flips: int, cuts: int, removals: int) -> None:
    for harm, times in ((flipped, flips), (cut, cuts), (None, removals)):
        for path in faults(store, harm, times):
            assert [Path(store.url, damage.key) for damage in store.verify()] == [path]
    assert store.verify() == []


def test_a_draw_of_flips_cuts_and_removals_is_found_and_nothing_else_is_accused(tmp_path: Path) -> None:
    assert_all_found(written(tmp_path, glaciers=5, per_block=2, size=4), flips=40, cuts=15, removals=15)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_thousand_flips_a_hundred_cuts_and_a_hundred_removals_are_found(tmp_path: Path) -> None:
    assert_all_found(written(tmp_path, glaciers=60, per_block=16, size=16), flips=1000, cuts=100, removals=100)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_two_hundred_faults_of_each_kind_are_mended_by_running_again(tmp_path: Path) -> None:
    store = written(tmp_path, glaciers=20, per_block=8, size=8)
    whole = {path: path.read_bytes() for path in Path(store.url).rglob("*") if path.is_file()}
    for harm in (flipped, cut, None):
        for _ in faults(store, harm, 200):
            store.forget(store.verify())
            declared(tmp_path, 20, 8, 8)
            for block in store.missing():
                store.write(block, arrays(block, 8))
            assert {path: path.read_bytes() for path in Path(store.url).rglob("*") if path.is_file()} == whole


def test_ten_thousand_good_chunks_are_not_accused(tmp_path: Path) -> None:
    store = written(tmp_path, glaciers=5000, per_block=512, size=2)  # two rasters each
    assert store.verify() == []
    assert len(store.open().rasters) == 5000


def test_what_belongs_to_no_record_is_not_accused_but_a_record_must_name_all(tmp_path: Path) -> None:
    store = written(tmp_path, glaciers=5, per_block=2, size=4)
    (Path(store.url) / "left-over.txt").write_text("from elsewhere")
    (Path(store.url) / "rasters/c/9/0/0").mkdir(parents=True)
    (Path(store.url) / "rasters/c/9/0/0/0").write_bytes(b"of a larger store")
    assert store.verify() == []
    place = Objects(store.url)
    record = objects.unpack_record(place.get(".blocks/glacier-000000002.json") or b"")
    named = {key: sealed for key, sealed in record.objects.items() if key != "rasters/c/1/0/0/0"}
    place.put(".blocks/glacier-000000002.json", objects.pack_record(named, {}))
    (damage,) = store.verify()
    assert (damage.key, damage.fault, damage.block) == (
        ".blocks/glacier-000000002.json",
        "does not name rasters/c/1/0/0/0",
        Block("glacier", 2, 4),
    )
    store.forget([damage])
    assert store.missing() == [Block("glacier", 2, 4)]


def test_the_metadata_are_read_once_for_each_thing_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = written(tmp_path, glaciers=5, per_block=2, size=4)
    block, asked, get = store.blocks()[0], list[str](), Objects.get

    def listening(place: Objects, key: str) -> bytes | None:
        asked.append(key)
        return get(place, key)

    monkeypatch.setattr(Objects, "get", listening)
    for what in (store.missing, store.unfinished, store.open, lambda: store.write(block, arrays(block, 4))):
        asked.clear()
        what()
        assert asked.count("zarr.json") == 1
        assert not [key for key in asked if key.endswith("/zarr.json")]


def test_a_store_on_the_web_is_an_input_like_any_other(tmp_path: Path) -> None:
    store = written(tmp_path, glaciers=5, per_block=2, size=4)
    with web(tmp_path) as url:
        found = Store.at(f"{url}/patches.zarr")
        assert found.fingerprint() == store.fingerprint()
        assert found.verify() == []
        assert found.is_complete(STAMP)
        np.testing.assert_array_equal(found.open().lon, store.open().lon)
