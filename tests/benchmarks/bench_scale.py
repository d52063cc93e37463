"""Features and reconstruction of ever more embedded glaciers: time per glacier, memory of a worker, two processes.

Prints one JSON line. For each size a cube of the synthetic range is made (not timed), then `featurize` and
`reconstruct` run from store to store on Dask worker processes of one thread each, started for that size and warmed on
a small cube first. Memory is the peak resident set of a worker process. References in the same run: the smallest size
for time and memory of the larger ones, one process for two.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from glacierscale import compute, provenance, schema, synthetic
from glacierscale.cube import IngestOptions, ingest, writing
from glacierscale.cube.reading import Sources, within
from glacierscale.cube.weather import in_years
from glacierscale.demonstration import write_raw
from glacierscale.features.tensors import featurize
from glacierscale.reconstruction import reconstruct
from glacierscale.region import HydroYears, Region
from glacierscale.sources import climate, outlines, terrain
from glacierscale.sources.observations.table import empty
from glacierscale.store import Store
from glacierscale.training.loop import train
from glacierscale.training.options import TrainOptions

YEARS = HydroYears(1976, 2015)
CATALOG = Path(__file__).resolve().parents[2] / "catalogs" / "demo.yaml"


def make_cube(glaciers: int, folder: Path, per_block: int) -> Store:
    """A cube of the synthetic range without observations."""
    store = Store(str(folder / f"cube{glaciers}.zarr"), schema.CUBE)
    stamp = provenance.Stamp(verb="ingest", options={"glaciers": glaciers, "per_block": per_block}, inputs={})
    if store.is_complete(stamp):
        return store
    options = synthetic.SyntheticOptions(glaciers=glaciers, first_year=YEARS.first, last_year=YEARS.last, observed=0)
    region = Region("synthetic", years=YEARS)
    elevation = terrain.normalize_dem(synthetic.terrain(options))
    sources = Sources(
        outlines=within(outlines.normalize(synthetic.outlines(options), "rgi6"), region),
        crs_wkt=elevation.attrs["crs_wkt"],
        elevation=elevation,
        climate=in_years(climate.normalize([synthetic.climate(options)], "era5"), YEARS, "synthetic")[0],
        last_year_with_climate=YEARS.last,
        observations=empty(),
        inventories=None,
    )
    writing.write(store, sources, region, stamp, IngestOptions(glaciers_per_block=per_block))
    return store


def make_model(folder: Path, nets: list[str], members: int, observed: int) -> Path:
    """Networks trained on the observed glaciers of a small range, half of all."""
    if (folder / "model").exists():
        return folder / "model"
    years = {"first_year": YEARS.first, "last_year": YEARS.last}
    write_raw(synthetic.SyntheticOptions(glaciers=2 * observed, observed=observed, **years), folder / "raw")
    reading = IngestOptions(data=str(folder / "raw"))
    cube = ingest(CATALOG, Region("observed", years=YEARS), to=folder / "observed.zarr", options=reading)
    features = featurize(cube, to=folder / "observed_features.zarr")
    options = TrainOptions(nets=tuple(nets), hold_out=("logo",), members=members, epochs=20)
    train(features, to=folder / "model", options=options)
    return folder / "model"


@contextmanager
def workers(count: int) -> Iterator[Any]:
    """A client of so many worker processes."""
    import dask
    from distributed import Client, LocalCluster

    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    environment = {**dask.config.get("distributed.nanny.pre-spawn-environ"), "MALLOC_ARENA_MAX": 1}
    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.worker.profile.enabled": False,
    }  # as compute has them for local:N
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=count, threads_per_worker=1, **local) as cluster,
        Client(cluster) as client,
    ):
        yield client


def peak_mb() -> float:
    """Peak resident set of this process."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def measure(cube: Store, warm: Store, model: Path, folder: Path, processes: int, repeats: int) -> dict[str, Any]:
    """Seconds of both stages and peak memory of a worker."""
    took: dict[str, list[float]] = {"featurize": [], "reconstruct": []}
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        workers(processes) as client,
        compute.use(compute.Cluster(dask=client.scheduler.address)),
    ):
        for repeat, source in enumerate([warm, *[cube] * repeats]):
            to = Path(name) / str(repeat)
            if repeat == 1:
                before = sum(client.run(time.process_time).values())
            start = time.perf_counter()
            features = featurize(source, to=to / "features.zarr")
            middle = time.perf_counter()
            reconstruct(model, features, to=to / "smb.zarr")
            if repeat:
                took["featurize"].append(middle - start)
                took["reconstruct"].append(time.perf_counter() - middle)
        peaks = client.run(peak_mb)
        cpu_s = (sum(client.run(time.process_time).values()) - before) / repeats
    medians = {name: statistics.median(values) for name, values in took.items()}
    return {
        "seconds": round(sum(medians.values()), 2),
        **{f"{name}_seconds": round(value, 2) for name, value in medians.items()},
        "worker_cpu_seconds": round(cpu_s, 2),
        "peak_worker_mb": round(max(peaks.values())),
    }


def main(
    sizes: list[int], per_block: int, nets: list[str], members: int, observed: int, repeats: int, keep: str
) -> dict[str, Any]:
    """Time and weigh every size with one process, and the middle one with two."""
    found: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() if not keep else nullcontext(keep) as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        model, warm = make_model(folder, nets, members, observed), make_cube(2 * per_block, folder, per_block)
        middle = sizes[len(sizes) // 2]
        for size in sizes:
            cube = make_cube(size, folder, per_block) if size != 2 * per_block else warm
            found[size] = measure(cube, warm, model, folder, 1, repeats)
            if size == middle:
                two = measure(cube, warm, model, folder, 2, repeats)
    first = found[sizes[0]]
    each = {size: one["seconds"] / size for size, one in found.items()}
    cpu = {size: one["worker_cpu_seconds"] / size for size, one in found.items()}
    return {
        "benchmark": "scale",
        "years": len(YEARS),
        "glaciers_per_block": per_block,
        "members": members,
        "one_process": found,
        "ms_per_glacier": {size: round(1000 * value, 3) for size, value in each.items()},
        "reference": f"{sizes[0]} glaciers, one process",
        "time_per_glacier_ratio": {size: round(value / each[sizes[0]], 3) for size, value in each.items()},
        "cpu_time_per_glacier_ratio": {size: round(value / cpu[sizes[0]], 3) for size, value in cpu.items()},
        "peak_memory_ratio": {
            size: round(one["peak_worker_mb"] / first["peak_worker_mb"], 3) for size, one in found.items()
        },
        "two_processes": {"glaciers": middle, **two, "speedup": round(found[middle]["seconds"] / two["seconds"], 2)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 50_000])
    for name, default in (("per-block", 512), ("members", 20), ("observed", 20), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--nets", nargs="+", default=["lasso", "mlp"])
    parser.add_argument("--keep", default="", help="folder in which the model and the cubes stay for another run")
    parser.add_argument("--small", action="store_true", help="two tiny sizes and a Lasso, for the test suite")
    given = vars(parser.parse_args())
    if given.pop("small"):
        given |= {"sizes": [8, 16], "per_block": 4, "nets": ["lasso"], "members": 2, "observed": 4, "repeats": 1}
    print(json.dumps(main(**given)))
