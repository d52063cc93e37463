"""What raster networks read and how long they wait for it: bytes of an epoch, and the feed's share of a step.

Prints one JSON line. A synthetic range goes through `ingest`, `featurize` and `rasterize`.

Bytes are those of chunks as they lie on disk, for an epoch that keeps nothing in memory. Ours are the patches, static
rasters once, and the climate series of each glacier. The reference is a stored climate raster: temperature and
precipitation of every cell and month, the values that the networks make on the device, in the same codecs; its own
static rasters are not counted. `ratio` compares whole patches, as both are naturally laid out. `ratio_on_ice` blanks
the cells without ice on both sides, `ratio_to_raster_on_ice` in the reference alone, a harder one. Precipitation is the
same on all cells of a glacier and compresses to next to nothing, in favour of the reference. All of them grow with the
number of years.

Time is that of steps inside `training.raster_task.fit`, without the constraints, whose steps are longer. Every step of
an epoch is taken twice in a row, made anew by the feed and from tensors that are there already, first the one and then
the other, in turn; `overhead` is the median over pairs, so that other work on the machine touches both sides alike.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import xarray as xr
import zarr
from torch.utils.data import IterableDataset

import glacierscale as gs
from glacierscale import provenance
from glacierscale.cube import IngestOptions
from glacierscale.demonstration import write_raw
from glacierscale.models.scene import reference_elevation, scene_of
from glacierscale.store import Store
from glacierscale.synthetic import SyntheticOptions
from glacierscale.training import raster_task, rasters
from glacierscale.training.options import TrainOptions
from glacierscale.training.raster_task import Feed, Fitting, Lesson, Step

CATALOG = Path(__file__).parents[2] / "catalogs" / "demo.yaml"
SERIES = ("temp", "precip", "lapse_rate", "ref_height")
STATIC = ("rasters", "radiation")


def make(glaciers: int, years: int, folder: Path) -> tuple[Store, tuple[Store, ...]]:
    """Features and patches of a synthetic range, all of whose glaciers are observed."""
    options = SyntheticOptions(glaciers=glaciers, observed=glaciers, last_year=1974 + years)
    write_raw(options, folder / "raw")
    region = gs.Region("synthetic", years=gs.HydroYears(options.first_year, options.last_year))
    cube = gs.ingest(CATALOG, region, to=folder / "cube.zarr", options=IngestOptions(data=str(folder / "raw")))
    features = gs.featurize(cube, to=folder / "features.zarr")
    return features, gs.rasterize(cube, to=folder)


def chunk_bytes(store: str | Path, *names: str) -> int:
    """Size on disk of all chunks of some arrays of a store; of all arrays where none is named."""
    parts = [Path(store) / name for name in names] or [Path(store)]
    return sum(path.stat().st_size for part in parts for path in part.glob("**/c/**/*") if path.is_file())


def write_climate(features: xr.Dataset, patches: Store, to: Path, on_ice: bool) -> None:
    """Store monthly temperature and precipitation of every cell of the patches, one chunk for each block and year."""
    dataset = patches.open()
    rows = dataset.feature_row.values
    series = features[list(SERIES)].isel(glacier=rows).load()
    blank = no_ice(dataset) & on_ice
    rise = channel(dataset, "elevation") - series.ref_height.values[:, None, None]  # (glacier, y, x)
    warmer = series.lapse_rate.values[:, :, None, None] * rise[:, None]  # (glacier, month, y, x)
    like = zarr.open_group(patches.url, mode="r")["radiation"]
    assert isinstance(like, zarr.Array)
    group = zarr.open_group(to, mode="w", zarr_format=3)
    glaciers, _, *size = like.shape
    for name in ("temp", "precip"):
        array = group.create_array(
            name,
            shape=(glaciers, features.sizes["hydro_year"], 12, *size),
            chunks=(like.chunks[0], 1, 12, *size),
            dtype="float32",
            compressors=like.compressors,
            fill_value=float("nan"),
            config={"write_empty_chunks": True},
        )
        for year in range(features.sizes["hydro_year"]):
            values = series[name].values[:, year, :, None, None] + (warmer if name == "temp" else 0 * warmer)
            array[:, year] = np.where(blank[:, None], np.float32(np.nan), values)


def write_static_on_ice(patches: Store, to: Path) -> None:
    """Store the static rasters again, cells without ice blank."""
    dataset, source = patches.open(), zarr.open_group(patches.url, mode="r")
    group = zarr.open_group(to, mode="w", zarr_format=3)
    for name in STATIC:
        like = source[name]
        assert isinstance(like, zarr.Array)
        made = group.create_array(
            name, shape=like.shape, chunks=like.chunks, dtype=like.dtype, compressors=like.compressors
        )
        made[...] = np.where(no_ice(dataset)[:, None], np.float32(np.nan), dataset[name].values)


def channel(patches: xr.Dataset, name: str) -> np.ndarray:
    """One static raster: (glacier, y, x)."""
    found: np.ndarray = patches.rasters.values[:, patches.channel.values.tolist().index(name)]
    return found


def no_ice(patches: xr.Dataset) -> np.ndarray:
    """Cells without ice: (glacier, y, x)."""
    return ~(channel(patches, "ice_fraction") > 0)


def bytes_read(features: Store, patches: tuple[Store, ...], folder: Path) -> dict[str, Any]:
    """What an epoch reads, spread on the device and from a stored climate raster."""
    dataset = features.open()
    size = dict.fromkeys(("climate", "climate on ice", "static on ice"), 0)
    for store in patches:
        write_climate(dataset, store, folder / "climate", on_ice=False)
        write_climate(dataset, store, folder / "climate on ice", on_ice=True)
        write_static_on_ice(store, folder / "static on ice")
        size = {name: before + chunk_bytes(folder / name) for name, before in size.items()}
    series = chunk_bytes(features.url, *SERIES)
    static = sum(chunk_bytes(store.url) for store in patches)
    blanked = static - sum(chunk_bytes(store.url, *STATIC) for store in patches) + size["static on ice"]
    return {
        "static_bytes": static,
        "series_bytes": series,
        "reference": "a stored climate raster in the same codecs, whole patches, its static rasters not counted",
        "reference_bytes": size["climate"],
        "ratio": round(size["climate"] / (static + series), 1),
        "ratio_on_ice": round(size["climate on ice"] / (blanked + series), 1),
        "ratio_to_raster_on_ice": round(size["climate on ice"] / (static + series), 1),
    }


class InTurn(IterableDataset[Step]):
    """Each step of a feed twice: made anew, and as it lies ready."""

    def __init__(self, feed: Feed, ready: list[Step], anew_first: bool, done: list[float]) -> None:
        self.feed, self.ready, self.anew_first, self.done = feed, ready, anew_first, done
        self.took: dict[int, float] = {}
        """Seconds that making a step took, by the number of steps done before: Lightning fetches one ahead"""

    def __iter__(self) -> Iterator[Step]:
        made, number = iter(self.feed), 0
        while True:
            lying = self.ready[number % len(self.ready)]
            number += 1
            if not self.anew_first:
                yield lying
            start = time.perf_counter()
            step = next(made)
            self.took[len(self.done)] = time.perf_counter() - start
            yield step
            if self.anew_first:
                yield lying


def epoch(feed: Feed, most: int) -> list[Step]:
    """The first steps of a feed, at most those of its first epoch."""
    steps = iter(feed)
    first = next(steps)
    return [first, *islice(steps, min(most, round(1 / first.share)) - 1)]


def step_times(lesson: Lesson, fitting: Fitting, most: int, anew_first: bool) -> np.ndarray:
    """Seconds of steps: (pair, 3) with the step made anew, with the step that lies ready, and of making it alone.

    At most so many steps of the first epoch are timed.
    """
    done: list[float] = []
    feed = Feed(lesson, fitting.cell_years, fitting.seed)
    ready = epoch(feed, most)
    source, fitting = InTurn(feed, ready, anew_first, done), replace(fitting, steps=2 * len(ready))
    with mock.patch.object(raster_task, "Feed", return_value=source):
        raster_task.fit(lesson, fitting, on_step=lambda *_: done.append(time.perf_counter()))
    found = []
    for first in range(2, len(done) - 1, 2):  # the first two also wait for what is loaded once
        fed, lying = (first, first + 1) if first in source.took else (first + 1, first)
        assert fed in source.took
        assert lying not in source.took
        found.append((done[fed] - done[fed - 1], done[lying] - done[lying - 1], source.took[fed]))
    return np.array(found)


def feed_overhead(
    features: Store, patches: tuple[Store, ...], networks: int, repeats: int, steps: int
) -> dict[str, Any]:
    """How much longer steps take that the feed makes than steps that are there already."""
    options, dataset = TrainOptions(), features.open()
    opened = [store.open() for store in patches]
    scene = scene_of(dataset, opened, options.targets, options.kernel, reference_elevation(dataset))
    seen = scene.functionals
    lesson = Lesson(
        form=rasters.form_of(scene, provenance.nested(dataset.attrs["recipe"]), options),
        surface=scene.surface,
        weather=scene.weather,
        functionals=seen,
        weight=seen.counts * (np.random.default_rng(0).random((networks, len(seen))) < 0.85),
    )
    fitting = Fitting(
        steps=1, learning_rate=0.01, weight_decay=0.0, cell_years=options.cell_years, constraint_weight=0.0, seed=0
    )
    times = [step_times(lesson, fitting, steps, bool(repeat % 2)) for repeat in range(repeats)]
    fed, lying, making = np.concatenate(times).T
    return {
        "networks": networks,
        "observations": len(seen),
        "step_reference": "the same steps from tensors in memory, in turn with those of the feed",
        "pairs": len(fed),
        "fed_ms": round(1e3 * float(np.median(fed)), 1),
        "ready_ms": round(1e3 * float(np.median(lying)), 1),
        "overhead": round(float(np.median(fed / lying)) - 1, 4),
        "overhead_of_repeats": [round(float(np.median(t[:, 0] / t[:, 1])) - 1, 4) for t in times],
        "making_ms": round(1e3 * float(np.median(making)), 2),
        "making_share": round(float(making.sum() / lying.sum()), 4),
    }


def main(glaciers: int, years: int, networks: int, repeats: int, steps: int) -> dict[str, Any]:
    """Weigh and time."""
    with tempfile.TemporaryDirectory() as name:
        features, patches = make(glaciers, years, Path(name))
        weighed = bytes_read(features, patches, Path(name))
        timed = feed_overhead(features, patches, networks, repeats, steps)
    return {"benchmark": "rasters", "glaciers": glaciers, "years": years, **weighed, **timed}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("glaciers", 40), ("years", 40), ("networks", 40), ("repeats", 3), ("steps", 100)):
        parser.add_argument(f"--{option}", type=int, default=default)
    print(json.dumps(main(**vars(parser.parse_args()))))
