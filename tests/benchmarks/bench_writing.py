"""Write maps back from two workers: `Store.write` against zarr-python writing the same aligned shards from memory.

Prints one JSON line. Ours writes every variable of a block (identities too), rounds the rasters as the schema says, and
puts the completion record. The reference writes the rasters alone, unrounded, into a store of the same metadata: the
same shards, inner chunks and codecs, CRC-32C included. Both write whole blocks, on a memory disk where there is one.
The runs take turns; `ratio` is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
import zarr

from glacierscale import schema
from glacierscale.provenance import Stamp
from glacierscale.store import Store

RASTERS = [name for name, variable in schema.MAPS.variables.items() if variable.sharded and name != "winter_map"]
WORKERS = 2


@dataclass(frozen=True)
class Size:
    """How much is written."""

    glaciers: int
    years: int
    cells: int
    blocks: int


@cache
def maps(size: Size) -> dict[str, np.ndarray]:
    """Arrays of one block, a third of the cells off the glacier."""
    rng, n = np.random.default_rng(0), size.glaciers
    lengths = {"glacier": n, "hydro_year": size.years, "parameter": 4, "y": size.cells, "x": size.cells}
    made = {}
    for name in RASTERS:
        shape = [lengths[dim] for dim in schema.MAPS.variables[name].dims]
        made[name] = rng.standard_normal(shape, dtype=np.float32) * 300 - 500
        made[name][..., : size.cells // 3] = np.nan
    numbers = np.arange(n, dtype=float)
    identity = ("lon", "lat", "area_m2", "centre_lon", "centre_lat", "resolution")
    names = np.array([f"RGI60-11.{number:05.0f}" for number in numbers])
    return made | dict.fromkeys(identity, numbers) | {
        "glacier_id": names, "unit_id": names, "subregion": np.full(n, ""), "set_aside": np.full(n, ""),
    }  # fmt: skip


def declare(url: Path, size: Size, codec: Literal["none", "lz4"]) -> Store:
    """An empty store of maps."""
    static = xr.Dataset(
        {
            "hydro_year": ("hydro_year", np.arange(2000, 2000 + size.years)),
            "parameter": ("parameter", list("abcd")),
            "parameter_units": ("parameter", list("1111")),
        }
    )
    sizes = {"glacier": size.glaciers * size.blocks, "y": size.cells, "x": size.cells}
    stamp = Stamp(verb="map", options={}, inputs={})
    store = Store(str(url), schema.MAPS)
    return store.declare(
        static, stamp, sizes=sizes, chunks={"glacier": size.glaciers}, without=["winter_map"], codec=codec
    )


def ours(url: Path, size: Size, number: int) -> None:
    """One block through `Store.write`."""
    store = Store(str(url), schema.MAPS)
    store.write(store.blocks()[number], maps(size))


def reference(url: Path, size: Size, number: int) -> None:
    """The rasters of one block through zarr-python."""
    group = zarr.open_group(url, mode="r+", use_consolidated=True)
    for name in RASTERS:
        array = group[name]
        assert isinstance(array, zarr.Array)
        array = array.with_config({"write_empty_chunks": True})
        array[number * size.glaciers : (number + 1) * size.glaciers] = maps(size)[name]


def timed(pool: Executor, write: Callable[[Path, Size, int], None], url: Path, size: Size, codec: str) -> float:
    """Seconds to write all blocks into a fresh store."""
    shutil.rmtree(url, ignore_errors=True)
    declare(url, size, codec)  # type: ignore[arg-type]
    start = time.perf_counter()
    list(pool.map(partial(write, url, size), range(size.blocks)))
    return time.perf_counter() - start


def main(size: Size, repeats: int, codec: str, workers: str) -> dict[str, object]:
    """Time both sides, taking turns, and compare the values that they wrote."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        urls = {ours: Path(folder, "ours.zarr"), reference: Path(folder, "reference.zarr")}
        spawn = multiprocessing.get_context("spawn")
        pool: Executor = (
            ThreadPoolExecutor(WORKERS) if workers == "threads" else ProcessPoolExecutor(WORKERS, mp_context=spawn)
        )
        seconds: dict[str, list[float]] = {"ours": [], "reference": []}
        with pool:
            for write, url in urls.items():
                timed(pool, write, url, size, codec)  # imports, arrays, first-call costs
            for _ in range(repeats):
                for write, url in urls.items():
                    seconds[write.__name__].append(timed(pool, write, url, size, codec))
        mine, theirs = (np.asarray(zarr.open_array(url / "smb_map", mode="r")[-1]) for url in urls.values())
        kept = schema.MAPS.variables["smb_map"].mantissa_bits
        np.testing.assert_allclose(mine, theirs, rtol=2.0 ** -(kept + 1))
        damages = Store(str(urls[ours]), schema.MAPS).verify()
    megabytes = sum(maps(size)[name].nbytes for name in RASTERS) * size.blocks / 1e6
    speed = {side: megabytes / statistics.median(taken) for side, taken in seconds.items()}
    return {
        "benchmark": "writing",
        "workers": f"{WORKERS} {workers}",
        "codec": codec,
        "on": "memory disk" if memory.is_dir() else "temporary folder",
        "blocks": size.blocks,
        "block_mb": round(megabytes / size.blocks, 3),
        "largest_shard_mb": round(maps(size)["smb_map"].nbytes / 1e6, 3),
        "damages": len(damages),
        "mb_s": round(speed["ours"], 1),
        "reference": "zarr-python writing the same aligned shards from memory, without records and identities",
        "reference_mb_s": round(speed["reference"], 1),
        "ratio": round(speed["ours"] / speed["reference"], 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a size for tests")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--codec", choices=("none", "lz4"), default="none")
    parser.add_argument("--workers", choices=("threads", "processes"), default="threads")
    given = parser.parse_args()
    wanted = Size(3, 4, 8, 4) if given.small else Size(glaciers=76, years=60, cells=64, blocks=6)
    print(json.dumps(main(wanted, given.repeats, given.codec, given.workers)))
