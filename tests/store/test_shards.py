"""Rasters of a block as one shard: its form, what is rounded, what a reader gets and what raises."""

from __future__ import annotations

import json
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import tensorstore
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.schema import Schema, Variable
from glacierscale.store import Block, Store, StoreError, shards
from glacierscale.store.objects import Objects
from tests.servers import S3

CODECS: tuple[shards.Codec, ...] = ("none", "lz4")
RASTERS = {"rasters": 2, "radiation": 12}
STAMP = Stamp(verb="rasterize", options={}, inputs={})


def declared(folder: Path | str, codec: shards.Codec | None = None, *, glaciers: int = 7, size: int = 4) -> Store:
    static = xr.Dataset(
        {
            "channel": ("channel", np.array(["elevation", "slope"])),
            "channel_units": ("channel", np.array(["m", "degree"])),
            "month": ("month", np.arange(1, 13)),
        }
    )
    store = Store(f"{folder}/patches.zarr", schema.PATCHES)
    sizes = {"glacier": glaciers, "y": size, "x": size}
    return store.declare(static, STAMP, sizes=sizes, chunks={"glacier": 3}, codec=codec)


def arrays(block: Block, size: int = 4) -> dict[str, np.ndarray]:
    n, rng = block.stop - block.start, np.random.default_rng(block.start)
    made = {name: rng.normal(2000, 300, (n, depth, size, size)).astype("float32") for name, depth in RASTERS.items()}
    made["rasters"][:, :, 0] = np.nan
    numbers = np.arange(block.start, block.stop)
    return made | {
        **{name: numbers.astype(float) for name in ("lon", "lat", "area_m2", "centre_lon", "centre_lat", "resolution")},
        **{name: np.array([f"G{number}" for number in numbers]) for name in ("glacier_id", "unit_id", "subregion")},
        "feature_row": numbers,
        "set_aside": np.full(n, ""),
    }


def written(folder: Path | str, codec: shards.Codec | None = None, **sizes: int) -> Store:
    store = declared(folder, codec, **sizes)
    for block in store.blocks():
        store.write(block, arrays(block, sizes.get("size", 4)))
    return store


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """The nearest with so many bits, through float64."""
    with np.errstate(invalid="ignore"):
        mantissa, exponent = np.frexp(values.astype("float64"))
        nearest: np.ndarray = np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1)
    return nearest.astype("float32")


def given_to(store: Store, name: str) -> np.ndarray:
    whole = np.concatenate([arrays(block)[name] for block in store.blocks()])
    return rounded(whole, schema.PATCHES.variables[name].mantissa_bits)


def seal_index(path: Path, index: np.ndarray) -> None:
    """Put another index at the end of a shard, with its checksum."""
    raw = index.astype("<u8").tobytes()
    data = path.read_bytes()[: -len(raw) - 4]
    path.write_bytes(data + raw + google_crc32c.value(raw).to_bytes(4, "little"))


def index_of(path: Path, slots: int = 3) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[-slots * 16 - 4 : -4], "<u8").reshape(slots, 2).copy()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", list(RASTERS))
def test_other_readers_of_zarr_find_the_values_in_it(tmp_path: Path, codec: shards.Codec, name: str) -> None:
    store = written(tmp_path, codec)
    expected = given_to(store, name)
    array = zarr.open_group(store.url, mode="r")[name]
    assert isinstance(array, zarr.Array)
    assert (array.shards, array.chunks) == ((3, *expected.shape[1:]), (1, *expected.shape[1:]))
    np.testing.assert_array_equal(array[...], expected)
    kept = {"driver": "file", "path": f"{store.url}/{name}"}
    other = tensorstore.open({"driver": "zarr3", "kvstore": kept}).result()
    np.testing.assert_array_equal(other.read().result(), expected)
    np.testing.assert_array_equal(store.open()[name].values, expected)


@pytest.mark.parametrize("codec", CODECS)
def test_a_shard_is_what_zarr_python_writes_byte_for_byte(tmp_path: Path, codec: shards.Codec) -> None:
    store = written(tmp_path, codec)
    for name in RASTERS:
        metadata = json.loads((Path(store.url) / name / "zarr.json").read_text())
        (tmp_path / "other" / name).mkdir(parents=True)
        (tmp_path / "other" / name / "zarr.json").write_text(json.dumps(metadata))
        other = zarr.open_array(tmp_path / "other" / name, mode="r+", config={"write_empty_chunks": True})
        other[...] = given_to(store, name)
        for number in range(3):
            path = f"{name}/c/{number}/0/0/0"
            assert (Path(store.url) / path).read_bytes() == (tmp_path / "other" / path).read_bytes()


def test_a_block_of_a_raster_is_one_object_and_folders_are_not_compressed(tmp_path: Path) -> None:
    store = written(tmp_path)
    found = sorted(path.relative_to(store.url).as_posix() for path in Path(store.url, "radiation/c").rglob("*/*/*/*"))
    assert found == [f"radiation/c/{number}/0/0/0" for number in range(3)]
    assert Path(store.url, found[0]).stat().st_size == 3 * (12 * 4 * 4 * 4 + 4) + 3 * 16 + 4


def test_how_it_is_packed_changes_neither_values_nor_the_fingerprint(tmp_path: Path) -> None:
    plain, packed = written(tmp_path / "a", "none", size=16), written(tmp_path / "b", "lz4", size=16)
    xr.testing.assert_identical(plain.open().load(), packed.open().load())
    assert plain.fingerprint() == packed.fingerprint()
    first = "rasters/c/0/0/0/0"
    assert Path(packed.url, first).stat().st_size < 0.8 * Path(plain.url, first).stat().st_size
    changed = arrays(plain.blocks()[0], 16)
    changed["rasters"][0, 0, 1, 1] += 1
    plain.write(plain.blocks()[0], changed)
    assert plain.fingerprint() != packed.fingerprint()


def test_object_stores_get_packed_shards_of_the_same_values(tmp_path: Path, s3: S3) -> None:
    plain, packed = written(tmp_path, size=16), written(s3.url("shards"), size=16)
    xr.testing.assert_identical(plain.open().load(), packed.open().load())
    assert plain.fingerprint() == packed.fingerprint()
    assert shards.form_of(json.loads(packed._objects().get("rasters/zarr.json") or b"")) == (3, "lz4")
    assert packed.verify() == []


def test_shards_on_icechunk_are_the_same_and_strict(tmp_path: Path) -> None:
    pytest.importorskip("icechunk")
    plain, versioned = written(tmp_path / "plain"), written(f"icechunk+file://{tmp_path}/versioned")
    xr.testing.assert_identical(plain.open().load(), versioned.open().load())
    assert plain.fingerprint() == versioned.fingerprint()
    assert versioned.verify() == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("lost", ["zarr.json", ".blocks/declared.json", "rasters/zarr.json"])
def test_a_run_that_continues_keeps_how_the_store_is_packed(tmp_path: Path, codec: shards.Codec, lost: str) -> None:
    store = written(tmp_path, codec)
    before = (Path(store.url) / lost).read_bytes()
    (Path(store.url) / lost).unlink()
    if lost == "rasters/zarr.json":
        store.forget(store.verify())
    declared(tmp_path, "lz4" if codec == "none" else "none")
    assert (Path(store.url) / lost).read_bytes() == before
    assert store.verify() == []


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_values_are_the_same_bytes_in_any_thread(tmp_path: Path, codec: shards.Codec) -> None:
    place = Objects(str(tmp_path))
    values = np.random.default_rng(0).normal(0, 1, (2, 16, 64, 64)).astype("float32")

    def write(key: str) -> None:
        shards.write(place, key, values, slots=2, codec=codec)

    write("main")
    threads = [threading.Thread(target=write, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(tmp_path / f"thread{n}").read_bytes() for n in range(4)} == {(tmp_path / "main").read_bytes()}


@given(values=hnp.arrays(np.uint32, (1, 8)), bits=st.integers(1, 22))
def test_rounding_takes_the_nearest_and_keeps_what_is_no_number(values: np.ndarray, bits: int) -> None:
    kinds = np.array([[0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 1, 0]], np.uint32)
    largest = np.float32(2) ** 127
    for raw in (values, kinds):
        entry = raw.view(np.float32)
        found = shards._rounded(entry[0], np.empty(8, np.float32), bits)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(entry[0]))
        infinite = np.isinf(entry[0])
        np.testing.assert_array_equal(found[infinite], entry[0][infinite])
        normal = np.isfinite(entry[0]) & (abs(entry[0]) < largest) & (abs(entry[0]) > 1e-30)
        np.testing.assert_array_equal(found[normal], rounded(entry[0][normal], bits))
        again = shards._rounded(found, np.empty(8, np.float32), bits)
        np.testing.assert_array_equal(again.view(np.uint32), found.view(np.uint32))


def test_one_glacier_is_read_without_the_others(tmp_path: Path) -> None:
    store = written(tmp_path)
    path = Path(store.url) / "radiation/c/1/0/0/0"
    data = bytearray(path.read_bytes())
    data[3], data[2 * 772 + 9] = data[3] ^ 1, data[2 * 772 + 9] ^ 1  # glaciers 3 and 5
    path.write_bytes(bytes(data))
    opened = store.open()
    np.testing.assert_array_equal(opened.radiation[4].values, given_to(store, "radiation")[4])
    for damaged in (3, 5):
        with pytest.raises(ValueError, match="checksum"):
            opened.radiation[damaged].load()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("selection", [slice(None), 4, [0, 5]], ids=["all", "one", "some"])
def test_a_shard_that_lacks_a_chunk_is_an_error_and_never_nan(
    tmp_path: Path, codec: shards.Codec, selection: Any
) -> None:
    store = written(tmp_path, codec)
    path = Path(store.url) / "rasters/c/1/0/0/0"
    index = index_of(path)
    index[1] = 2**64 - 1
    seal_index(path, index)
    with pytest.raises(StoreError, match="shard rasters/c/1/0/0/0 lacks 1 of 3 chunks, the first is 1"):
        store.open().rasters[selection].load()


def test_the_last_shard_has_only_the_chunks_that_there_are(tmp_path: Path) -> None:
    store = written(tmp_path)
    assert (index_of(Path(store.url) / "rasters/c/2/0/0/0") == 2**64 - 1).all(axis=1).tolist() == [False, True, True]
    assert np.isfinite(store.open().rasters[6, :, 1:].values).all()


def test_a_missing_and_a_cut_shard_are_errors(tmp_path: Path) -> None:
    store = written(tmp_path)
    path = Path(store.url) / "rasters/c/1/0/0/0"
    whole = path.read_bytes()
    for length in (0, 10, 52, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises((StoreError, ValueError)):
            store.open().rasters[4].load()
    path.unlink()
    with pytest.raises(StoreError, match="chunk rasters/c/1/0/0/0 is missing"):
        store.open().rasters.load()


def test_values_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    store = declared(tmp_path)
    block = store.blocks()[0]
    before = sorted(Path(store.url).rglob("*"))
    for name, wrong, told in (
        ("set_aside", np.full(2, ""), r"set_aside has shape \(2,\), expected \(3,\)"),
        ("radiation", np.zeros((3, 12, 4, 5)), r"radiation has shape \(3, 12, 4, 5\), expected \(3, 12, 4, 4\)"),
        ("radiation", np.full((3, 12, 4, 4), "warm"), "radiation has dtype <U4, expected float32"),
    ):
        with pytest.raises(ValueError, match=told):
            store.write(block, arrays(block) | {name: wrong})
    assert sorted(Path(store.url).rglob("*")) == before


def test_a_shard_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    store = declared(tmp_path)
    block = store.blocks()[0]
    (Path(store.url) / "rasters/c/0/0/0/0").mkdir(parents=True)
    with pytest.raises(StoreError, match="rasters/c/0/0/0/0 cannot be written"):
        store.write(block, arrays(block))
    assert [path.name for path in Path(store.url).rglob("*#*")] == []
    assert block in store.missing()


def _in_another_process(store: Store, opened: xr.Dataset) -> tuple[list[Block], float, float]:
    return store.missing(), float(np.nansum(store.open().rasters)), float(np.nansum(opened.rasters))


def test_a_store_and_what_was_opened_travel_to_another_process(tmp_path: Path) -> None:
    store = written(tmp_path)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(_in_another_process, store, store.open()).result()
    assert found == ([], *[float(np.nansum(store.open().rasters))] * 2)


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ({"dims": ("y", "glacier"), "sharded": True}, "its first dimension is written by blocks"),
        ({"dims": ("glacier",), "sharded": True, "dtype": "int32"}, "a sharded variable is float32"),
        ({"dims": ("glacier",), "mantissa_bits": 9}, "keeps 9 bits but is not sharded"),
        ({"dims": ("glacier",), "sharded": True, "mantissa_bits": 0}, "keeps 0 bits; expected 1 to 23"),
    ],
)
def test_a_schema_whose_shards_cannot_be_is_refused(variable: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Schema(
            name="a", title="", blocks={"glacier": 1}, variables={"v": Variable(units="", long_name="v", **variable)}
        )
