"""Samples come out of shards as they went in, from folders and object stores; whatever is damaged is named."""

from __future__ import annotations

import importlib.util
import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from glacierscale.store import StoreError, encoded
from glacierscale.store.samples import OPEN_SHARDS, Samples

ROWS, PER_SHARD = 22, 8
SAMPLE = (3, 4, 5)
BYTES = 3 * 4 * 5 * 4 + 4  # of an inner chunk without compression, its checksum included
CODECS: dict[str, list[Any]] = {
    "none": [Crc32cCodec()],
    "lz4": [BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=4), Crc32cCodec()],
    "zstd": [ZstdCodec(level=1), Crc32cCodec()],
}


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, *SAMPLE)).astype(np.float32)


def write(folder: Path, codec: str = "none", *, shards: bool = True, data: np.ndarray | None = None) -> str:
    data = values() if data is None else data
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    whole = (PER_SHARD, *data.shape[1:])
    array = group.create_array(
        "rasters",
        shape=data.shape,
        dtype=data.dtype,
        chunks=(1, *data.shape[1:]) if shards else whole,
        shards=whole if shards else None,
        compressors=CODECS[codec],
        fill_value=float("nan"),
        config={"write_empty_chunks": True},
    )
    for start in range(0, len(data), PER_SHARD):
        array[start : start + PER_SHARD] = data[start : start + PER_SHARD]
    return str(folder)


def read_shard(samples: Samples, number: int) -> np.ndarray:
    rows = samples.shards()[number]
    return samples.take({number: samples.fetch(number)}, rows) if samples.form.sharded else samples.gather(rows)


def shard(url: str, number: int = 1) -> Path:
    return Path(url) / "rasters" / "c" / str(number) / "0" / "0" / "0"


@pytest.mark.parametrize("codec", CODECS)
def test_rows_in_any_order_and_twice_come_as_they_were_written(tmp_path: Path, codec: str) -> None:
    samples = Samples(write(tmp_path, codec), "rasters")
    rows = np.array([21, 3, 3, 0, 16, 7, 8])
    np.testing.assert_array_equal(samples.gather(rows), values()[rows])
    assert samples.gather([]).shape == (0, *SAMPLE)
    assert (len(samples), samples.shape) == (ROWS, (ROWS, *SAMPLE))


@pytest.mark.parametrize("codec", CODECS)
def test_shards_come_whole_and_cover_every_row_once(tmp_path: Path, codec: str) -> None:
    samples = Samples(write(tmp_path, codec), "rasters")
    assert samples.shards() == [range(8), range(8, 16), range(16, 22)]
    together = np.concatenate([read_shard(samples, number) for number in range(3)])
    np.testing.assert_array_equal(together, values())
    held = {1: samples.fetch(1)}
    shard(samples.url).unlink()
    np.testing.assert_array_equal(samples.take(held, [15, 9]), values()[[15, 9]])


def test_an_array_without_shards_is_read_through_zarr(tmp_path: Path) -> None:
    samples = Samples(write(tmp_path, shards=False), "rasters")
    np.testing.assert_array_equal(samples.gather([20, 1, 9, 8]), values()[[20, 1, 9, 8]])
    np.testing.assert_array_equal(read_shard(samples, 2), values()[16:])
    with pytest.raises(StoreError, match="stored without shards; gather its rows"):
        samples.fetch(0)
    shard(samples.url).unlink()
    with pytest.raises(StoreError, match=r"rasters of row 9 .*c/1/0/0/0 is missing"):
        samples.gather([9])


def test_numbers_of_the_other_byte_order_and_wider_ones_go_through_zarr_too(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    data = values().astype(np.float64)
    made = group.create_array(
        "rasters",
        shape=data.shape,
        dtype="float64",
        chunks=(1, *SAMPLE),
        shards=(11, *SAMPLE),
        serializer=zarr.codecs.BytesCodec(endian="big"),
        compressors=CODECS["none"],
    )
    made[...] = data
    np.testing.assert_array_equal(Samples(tmp_path, "rasters").gather([1, 20]), data[[1, 20]])


def test_samples_go_into_a_part_of_a_larger_buffer_and_nowhere_else(tmp_path: Path) -> None:
    batch = np.full((4, 10, 4, 5), 7, np.float32)
    rows = np.array([5, 21, 0, 9])
    Samples(write(tmp_path), "rasters").gather(rows, batch[:, 2:5])
    np.testing.assert_array_equal(batch[:, 2:5], values()[rows])
    assert (np.delete(batch, [2, 3, 4], axis=1) == 7).all()


def test_buffers_and_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    samples = Samples(write(tmp_path), "rasters")
    for bad in (
        np.empty((2, *SAMPLE)),
        np.empty((3, *SAMPLE), np.float32),
        np.empty((2, 3, 5, 4), "f4").swapaxes(2, 3),
    ):
        with pytest.raises(ValueError, match=r"expected .*float32, each sample contiguous"):
            samples.gather([0, 1], bad)
    for row in (-1, ROWS):
        with pytest.raises(IndexError, match="expected 0 to 21"):
            samples.gather([row])


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_bit_of_a_sample_or_of_the_index_is_found(tmp_path: Path, codec: str) -> None:
    url = write(tmp_path, codec)
    file = shard(url)
    good, rng = file.read_bytes(), np.random.default_rng(1)
    for bit in rng.integers(0, 8 * len(good), 60).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bad)
        with pytest.raises(
            StoreError, match=rf"{url}: rasters of row \d+ is damaged: .*checksum.*verify STORE --repair"
        ):
            Samples(url, "rasters").gather(np.arange(8, 16))
    file.write_bytes(good)
    np.testing.assert_array_equal(read_shard(Samples(url, "rasters"), 1), values()[8:16])


@pytest.mark.parametrize("size", [0, 1, 7, 4096, 200_001])
def test_both_ways_to_the_checksum_agree(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    assert encoded._EXTEND is not None
    found = encoded._crc32c(data.ctypes.data, size)
    assert found == google_crc32c.value(data)
    monkeypatch.setattr(encoded, "_EXTEND", None)
    assert found == encoded._crc32c(data.ctypes.data, size)


def test_the_row_of_a_damaged_sample_is_named_and_its_neighbours_are_read(tmp_path: Path) -> None:
    url = write(tmp_path)
    file = shard(url)
    data = bytearray(file.read_bytes())
    data[3 * BYTES + 17] ^= 1  # the fourth of shard 1
    file.write_bytes(data)
    samples = Samples(url, "rasters")
    np.testing.assert_array_equal(samples.gather([10, 12]), values()[[10, 12]])
    for read in (lambda: samples.gather([10, 11]), lambda: read_shard(samples, 1)):
        with pytest.raises(StoreError, match="rasters of row 11 is damaged: its checksum differs"):
            read()
    assert not np.array_equal(Samples(url, "rasters", verify=False).gather([11]), values()[[11]])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda file: file.unlink(), "is missing with its shard"),
        (lambda file: file.write_bytes(b"12"), "is truncated: its shard has 2 bytes, fewer than its index"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-9]),
            "is damaged: the checksum of its shard's index differs",
        ),
        (lambda file: file.write_bytes(file.read_bytes()[BYTES:]), "is truncated: its shard has"),
    ],
    ids=["missing", "nearly empty", "tail cut off", "head cut off"],
)
def test_a_missing_or_truncated_shard_is_named(tmp_path: Path, harm: Any, words: str) -> None:
    samples = Samples(write(tmp_path), "rasters")
    harm(shard(samples.url))
    for read in (lambda: samples.gather([2, 15]), lambda: read_shard(samples, 1)):
        with pytest.raises(StoreError, match=rf"{samples.url}: rasters of row \d+ {words}"):
            read()
    np.testing.assert_array_equal(samples.gather([2, 16]), values()[[2, 16]])


def test_a_shard_that_shrinks_while_it_is_open_is_found(tmp_path: Path) -> None:
    samples = Samples(write(tmp_path), "rasters")
    samples.gather([8])
    with shard(samples.url).open("r+b") as file:
        file.truncate(5 * BYTES + 10)
    with pytest.raises(StoreError, match=r"row 13 is truncated: 10 of 244 bytes could be read"):
        samples.gather([13])


def test_a_sample_that_was_never_written_is_no_fill_value(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    array = group.create_array(
        "rasters", shape=(8, *SAMPLE), dtype="f4", chunks=(1, *SAMPLE), shards=(8, *SAMPLE), compressors=CODECS["none"]
    )
    array[:3] = values()[:3]
    samples = Samples(tmp_path, "rasters")
    np.testing.assert_array_equal(samples.gather([2]), values()[[2]])
    with pytest.raises(StoreError, match="rasters of row 3 is missing from its shard"):
        samples.gather([2, 3])


def test_layouts_with_several_samples_in_a_chunk_are_refused(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    group.create_array("rasters", shape=(8, *SAMPLE), dtype="f4", chunks=(2, *SAMPLE), shards=(8, *SAMPLE))
    with pytest.raises(StoreError, match=r"inner chunks of \(2, 3, 4, 5\).* expected one sample in each"):
        Samples(tmp_path, "rasters")
    with pytest.raises(StoreError, match="holds no variable radiation"):
        Samples(tmp_path, "radiation")


def test_more_shards_than_are_held_open_can_be_read(tmp_path: Path) -> None:
    data = np.arange(PER_SHARD * (OPEN_SHARDS + 30) * 2, dtype=np.float32).reshape(-1, 2)
    samples = Samples(write(tmp_path, data=data), "rasters", threads=3)
    rows = np.random.default_rng(0).permutation(len(data))
    before = len(list(Path("/proc/self/fd").iterdir()))
    np.testing.assert_array_equal(samples.gather(rows), data[rows])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + OPEN_SHARDS + 3


def _sum(samples: Samples, rows: list[int]) -> float:
    return float(samples.gather(rows).sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_on_their_own(tmp_path: Path, method: str) -> None:
    samples = Samples(write(tmp_path), "rasters")
    expected = _sum(samples, [1, 20])  # files and threads of this process are in use before the others start
    assert samples._live is not None
    assert pickle.loads(pickle.dumps(samples))._live is None
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_sum, [(samples, [1, 20])] * 4) == [expected] * 4


# Object stores


@pytest.fixture(scope="module")
def servers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("servers", Path(__file__).parents[1] / "servers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["servers"] = module  # where its dataclasses look for their own types
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bucket(servers: ModuleType) -> Iterator[Any]:
    with servers.seaweed() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


def upload(folder: str, url: str) -> None:
    from glacierscale.store.objects import Objects

    place = Objects(url, create=True)
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            place.put(str(path.relative_to(folder)), path.read_bytes())


@pytest.mark.parametrize("codec", CODECS)
def test_an_object_store_gives_the_same_samples_at_random_and_by_shards(
    tmp_path: Path, bucket: Any, codec: str
) -> None:
    url = bucket.url(f"samples_{codec}")
    upload(write(tmp_path, codec), url)
    samples = Samples(url, "rasters")
    assert not samples.is_local
    rows = np.array([21, 3, 3, 0, 16, 7, 8])
    np.testing.assert_array_equal(samples.gather(rows), values()[rows])
    np.testing.assert_array_equal(read_shard(samples, 2), values()[16:])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(samples)).gather([4]), values()[[4]])


def test_damage_in_an_object_store_is_named(tmp_path: Path, bucket: Any) -> None:
    from glacierscale.store.objects import Objects

    url = bucket.url("samples_damaged")
    upload(write(tmp_path), url)
    place, key = Objects(url), "rasters/c/1/0/0/0"
    data = bytearray(place.get(key) or b"")
    data[3 * BYTES + 17] ^= 1
    place.put(key, bytes(data))
    with pytest.raises(StoreError, match=f"{url}: rasters of row 11 is damaged: its checksum differs"):
        Samples(url, "rasters").gather([11, 0])
    place.put(key, bytes(data[:-2]))
    with pytest.raises(StoreError, match="is damaged: the checksum of its shard's index differs"):
        Samples(url, "rasters").gather([11])
    place.delete(key)
    for read in (lambda: Samples(url, "rasters").gather([11]), lambda: read_shard(Samples(url, "rasters"), 1)):
        with pytest.raises(StoreError, match=r"rasters of row \d+ is missing with its shard"):
            read()
