"""How fast samples reach a network: batches of 64 shuffled samples of 12 x 64 x 64 float32 as torch tensors.

Prints one JSON line; all ways are timed in one process, in turn, so that other work on the machine touches them alike.
The files lie in the page cache. Numbers are medians over rounds, each of one epoch; ratios are medians of the rounds'
own ratios to the reference of the same round.

The reference gathers random rows of a memory map of the same samples into a new array, as `torch.from_numpy(map[rows])`
does. `reference_reused` gathers into memory that is used again and again, which is faster; ratios to it are given too.
`stored` is the feed from shards without compression, `stored_lz4` the same with Blosc's lz4 and bitshuffle,
`factorised` the feed of 4 static rasters and the climate series of random glacier-years: 4 temperatures and 4
precipitations each, spread over the pixels on arrival, 12 channels in all. All of them go through the loader that
training uses, check the CRC-32C of every sample, and hand tensors out whose memory is not used again before they are
gone. `tensorstore` gathers the same batches from the same shards. `zarr_per_shard` reads shards in random order and
shuffles within each. xbatcher, through its loader for torch, gives single samples at random and batches of 64
neighbours in random order, from a dataset in memory and from the store; the best of its shuffled samples and of what it
reads from the store counts. Neighbours from memory (`memory_blocks`) are told for completeness: neither shuffled
samples nor read from anywhere. `cpu_us` is the time that all threads together spend on a sample, which other work on
the machine changes less.

`s3` reads all shards of a store in a SeaweedFS server on this machine through the loader, shuffled over 4 shards;
its reference gets the same objects, as many at a time, and does nothing with them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from glacierscale.models.networks import Weather
from glacierscale.store.objects import Objects
from glacierscale.store.samples import Samples
from glacierscale.training.feed import Loader, feed
from glacierscale.training.feed.holding import SHARDS_AHEAD

BATCH, CHANNELS, STATIC, STEPS, YEARS = 64, 12, 4, 4, 10
CODECS: dict[str, list[Any]] = {
    "none": [Crc32cCodec()],
    "lz4": [BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=4), Crc32cCodec()],
}
Way = Callable[[np.random.Generator], int]


def terrain(samples: int, channels: int, side: int) -> np.ndarray:
    """Smooth fields rounded to a few bits, which compress as rasters of glaciers do: (sample, channel, y, x)."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(0, 3, side), np.linspace(0, 3, side), indexing="ij")
    phase = rng.uniform(0, 6, (samples, channels, 1, 1)).astype(np.float32)
    field = 2500 + 300 * np.sin(y.astype(np.float32) + phase) * np.cos(x.astype(np.float32) - phase)
    field += rng.normal(0, 2, (samples, channels, side, side)).astype(np.float32)
    return (field.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFFF80)).view(np.float32)


def write(folder: Path, data: np.ndarray, per_shard: int, codec: str) -> zarr.Array[Any]:
    """Store samples, one to an inner chunk."""
    array = zarr.open_group(folder, mode="w", zarr_format=3).create_array(
        "rasters",
        shape=data.shape,
        dtype=data.dtype,
        chunks=(1, *data.shape[1:]),
        shards=(per_shard, *data.shape[1:]),
        compressors=CODECS[codec],
        dimension_names=("glacier", "channel", "y", "x"),
        config={"write_empty_chunks": True},
    )
    for start in range(0, len(data), per_shard):
        array[start : start + per_shard] = data[start : start + per_shard]
    return array


def weather(rows: int) -> Weather:
    """Climate of made-up glaciers."""
    draw = torch.Generator().manual_seed(0)
    return Weather(
        temp=torch.randn(rows, YEARS, STEPS, generator=draw),
        precip=torch.rand(rows, YEARS, STEPS, generator=draw),
        lapse=torch.full((rows, STEPS), -6.5e-3),
        height=torch.full((rows,), 1500.0),
    )


def shuffled(rows: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of a random order."""
    order = rng.permutation(rows)
    return [order[start : start + BATCH] for start in range(0, rows, BATCH)]


def taken(batches: Iterator[Any], most: int) -> int:
    """Go through so many samples as a trainer does, holding one batch at a time."""
    count = 0
    for batch in batches:
        count += len(batch.row)
        if count >= most:
            break
    return count


def loaded(loader: Loader, most: int) -> Way:
    return lambda _: taken(iter(loader), most)


def reference(mapped: np.ndarray, reused: np.ndarray | None) -> Way:
    """Gather random rows of a memory map."""

    def way(rng: np.random.Generator) -> int:
        for rows in shuffled(len(mapped), rng):
            if reused is None:
                batch = torch.from_numpy(mapped[rows])
            else:
                batch = torch.from_numpy(np.take(mapped, rows, axis=0, out=reused[: len(rows)], mode="clip"))
            assert batch.dtype == torch.float32
        return len(mapped)

    return way


def by_tensorstore(folder: Path) -> Way:
    """Gather batches with tensorstore."""
    import tensorstore

    path = str(folder / "rasters")
    opened = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}, open=True).result()

    def way(rng: np.random.Generator) -> int:
        for rows in shuffled(opened.shape[0], rng):
            torch.from_numpy(opened[rows].read().result())
        return int(opened.shape[0])

    return way


def by_zarr(array: zarr.Array[Any], per_shard: int, most: int, alone: bool) -> Way:
    """Read with zarr-python, one sample or one shard at a time."""

    def way(rng: np.random.Generator) -> int:
        count = 0
        if alone:
            for rows in shuffled(array.shape[0], rng):
                torch.from_numpy(np.stack([array[row] for row in rows.tolist()]))
                count += len(rows)
                if count >= most:
                    break
            return count
        for start in (per_shard * rng.permutation(-(-array.shape[0] // per_shard))).tolist():
            block = np.asarray(array[start : start + per_shard])
            for rows in shuffled(len(block), rng):
                count += len(torch.from_numpy(block[rows]))
        return count

    return way


def by_xbatcher(folder: Path, most: int, *, preloaded: bool, alone: bool) -> Way:
    """Samples from xbatcher's loader for torch, batched at random, or batches of neighbours in random order."""
    import xarray as xr
    import xbatcher
    from torch.utils.data import DataLoader
    from xbatcher.loaders.torch import MapDataset

    dataset = xr.open_zarr(folder, consolidated=False, chunks=None)
    rasters = (dataset.load() if preloaded else dataset).rasters
    shape = dict(rasters.sizes) | {"glacier": 1 if alone else BATCH}
    generator = xbatcher.BatchGenerator(rasters, input_dims=shape, preload_batch=preloaded)
    loader: DataLoader[torch.Tensor] = DataLoader(MapDataset(generator), batch_size=BATCH if alone else 1, shuffle=True)

    def way(_: np.random.Generator) -> int:
        count = 0
        for batch in loader:
            count += batch.flatten(0, 1).shape[0]
            if count >= most:
                break
        return count

    return way


def rates(ways: dict[str, Way], rounds: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Samples per second of every way in every round, after one that is not counted, and CPU time for a sample, us."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    cost: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            rng = np.random.default_rng(number)
            start, spent = time.perf_counter(), time.process_time()
            count = way(rng)
            if number:
                found[name].append(count / (time.perf_counter() - start))
                cost[name].append(1e6 * (time.process_time() - spent) / count)
    medians = {name: round(float(np.median(values)), 1) for name, values in cost.items()}
    return {name: np.array(values) for name, values in found.items()}, medians


def ratio(some: np.ndarray, other: np.ndarray) -> float:
    return round(float(np.median(some / other)), 2)


def local(folder: Path, samples: int, side: int, per_shard: int, rounds: int, slow: int) -> dict[str, Any]:
    """Everything from files."""
    data = terrain(samples, CHANNELS, side)
    np.save(folder / "mapped.npy", data)
    mapped = np.load(folder / "mapped.npy", mmap_mode="r")
    array = write(folder / "none", data, per_shard, "none")
    write(folder / "lz4", data, per_shard, "lz4")
    write(folder / "static", data[:, :STATIC], 3 * per_shard, "none")
    open_all = {name: [Samples(folder / name, "rasters")] for name in ("none", "lz4", "static")}
    factorised = feed(open_all["static"], batch=BATCH, weather=weather(samples), elevation_channel=0)
    series = feed(open_all["static"], batch=BATCH, weather=weather(samples))
    checks = next(iter(feed(open_all["none"], batch=BATCH)))
    assert np.array_equal(checks.rasters.numpy(), data[checks.row.numpy()])
    ways = {
        "reference": reference(mapped, None),
        "reference_reused": reference(mapped, np.empty((BATCH, *data.shape[1:]), np.float32)),
        "stored": loaded(feed(open_all["none"], batch=BATCH), samples),
        "stored_unchecked": loaded(feed([Samples(folder / "none", "rasters", verify=False)], batch=BATCH), samples),
        "stored_lz4": loaded(feed(open_all["lz4"], batch=BATCH), samples),
        "factorised": loaded(factorised, samples),
        "factorised_to_device": loaded(series, samples),
        "tensorstore": by_tensorstore(folder / "none"),
        "tensorstore_lz4": by_tensorstore(folder / "lz4"),
    }
    quick, cost = rates(ways, rounds)
    others = {
        "memory_blocks": by_xbatcher(folder / "none", samples, preloaded=True, alone=False),
        "xbatcher_preloaded": by_xbatcher(folder / "none", slow, preloaded=True, alone=True),
        "xbatcher_lazy": by_xbatcher(folder / "none", slow, preloaded=False, alone=True),
        "xbatcher_lazy_blocks": by_xbatcher(folder / "none", slow, preloaded=False, alone=False),
        "zarr_per_sample": by_zarr(array, per_shard, slow, alone=True),
        "zarr_per_shard": by_zarr(array, per_shard, slow, alone=False),
    }
    seldom, more_cost = rates(others, max(1, rounds // 3))
    best = max(float(np.median(seldom[name])) for name in seldom if name.startswith("xbatcher"))
    return {
        "rates": {name: round(float(np.median(found))) for name, found in {**quick, **seldom}.items()},
        "cpu_us": cost | more_cost,
        "ratio": ratio(quick["stored"], quick["reference"]),
        "ratio_factorised": ratio(quick["factorised"], quick["reference"]),
        "ratio_lz4": ratio(quick["stored_lz4"], quick["reference"]),
        "ratio_to_reused": ratio(quick["stored"], quick["reference_reused"]),
        "ratio_factorised_to_reused": ratio(quick["factorised"], quick["reference_reused"]),
        "ratio_to_xbatcher": round(float(np.median(quick["stored"])) / best, 1),
        "ratio_factorised_to_xbatcher": round(float(np.median(quick["factorised"])) / best, 1),
        "ratio_to_tensorstore": ratio(quick["stored"], quick["tensorstore"]),
        "ratio_lz4_to_tensorstore": ratio(quick["stored_lz4"], quick["tensorstore_lz4"]),
        "lz4_bytes_share": round(bytes_below(folder / "lz4") / bytes_below(folder / "none"), 3),
    }


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def objects(url: str, keys: list[str], samples: int) -> Way:
    """Get whole objects, as many at a time as the feed does, and let go of them."""
    import obstore

    place = Objects(url)

    def way(rng: np.random.Generator) -> int:
        with ThreadPoolExecutor(SHARDS_AHEAD) as pool:
            order = [keys[number] for number in rng.permutation(len(keys))]
            sizes = list(pool.map(lambda key: len(obstore.get(place.handle, key).bytes()), order))
        assert min(sizes) > 0
        return samples

    return way


def object_store(folder: Path, samples: int, side: int, per_shard: int, rounds: int) -> dict[str, Any]:
    """Whole shards from a real S3 server."""
    spec = importlib.util.spec_from_file_location("servers", Path(__file__).parents[1] / "servers.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["servers"] = servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(servers)
    write(folder / "remote", terrain(samples, CHANNELS, side), per_shard, "none")
    with servers.seaweed() as server, mock.patch.dict(os.environ, server.environment):
        url, keys = server.url("remote"), []
        place = Objects(url, create=True)
        for path in (path for path in sorted((folder / "remote").rglob("*")) if path.is_file()):
            place.put(str(path.relative_to(folder / "remote")), path.read_bytes())
            keys += [str(path.relative_to(folder / "remote"))] if "/c/" in str(path) else []
        loader = feed([Samples(url, "rasters")], batch=BATCH)
        found, _ = rates({"s3_reference": objects(url, keys, samples), "s3": loaded(loader, samples)}, rounds)
    return {
        "s3_shards": len(keys),
        "s3_samples": samples,
        "s3_reference": "the same objects got whole, as many at a time, from the same server",
        "s3_reference_rate": round(float(np.median(found["s3_reference"]))),
        "s3_rate": round(float(np.median(found["s3"]))),
        "s3_ratio": ratio(found["s3"], found["s3_reference"]),
    }


def main(*, samples: int, side: int, per_shard: int, rounds: int, slow: int, s3: bool, folder: str) -> dict[str, Any]:
    """Time every way."""
    with tempfile.TemporaryDirectory(dir=folder or None) as name:
        found = local(Path(name), samples, side, per_shard, rounds, slow)
        if s3:
            found |= object_store(Path(name), samples, side, max(1, per_shard // 3), max(2, rounds // 2))
    return {
        "benchmark": "feed",
        "samples": samples,
        "shape": [CHANNELS, side, side],
        "batch": BATCH,
        "rounds": rounds,
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
        "reference": "random gather from a memory map of the same samples into a new array: torch.from_numpy(map[i])",
        **found,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("samples", 3072), ("side", 64), ("per-shard", 384), ("rounds", 7), ("slow", 512)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--small", action="store_true", help="256 samples of 16 x 16, one round, no server")
    parser.add_argument("--no-s3", action="store_false", dest="s3", help="without the object store")
    parser.add_argument("--folder", default="", help="where the files go for the time being")
    given = vars(parser.parse_args())
    if given.pop("small"):
        given |= {"samples": 256, "side": 16, "per_shard": 48, "rounds": 1, "slow": 64, "s3": False}
    print(json.dumps(main(**given)))
