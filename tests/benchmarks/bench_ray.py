"""Steps of training on Ray with one worker against the same steps by Lightning in this process.

Prints one JSON line. The same raster networks learn from the same made-up glaciers on both sides, with as many threads;
each side counts the time between its first and last step, after a few to warm up, so that starting Ray is told
apart. Both sides take turns, and each step time is the median over turns. Ray listens on all addresses of its machine:
run this where that does no harm, as in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from glacierscale import compute
from glacierscale.features.sampling import to_degrees
from glacierscale.models.form import Form
from glacierscale.models.functionals import functionals_of
from glacierscale.models.networks import Weather
from glacierscale.models.surface import Surface
from glacierscale.training import raster_task, workers
from glacierscale.training.checkpoints import Arrays, Watch
from glacierscale.training.raster_task import Fitting, Lesson
from glacierscale.training.shares import Machine, Share
from glacierscale.training.workers import Course

YEARS = np.arange(1981, 2001)
WARM_UP = 3
SIDE, STEP_M = 16, 100.0


@dataclass(frozen=True)
class Timed:
    """Trains as `raster_task.train` does and leaves the time of every step in a file."""

    file: Path
    threads: int

    def __call__(self, lesson: Lesson, fitting: Fitting, share: Share, machine: Machine, watch: Watch) -> Arrays:
        """Train."""
        times: list[float] = []
        told = watch.tell

        def tell(*at: Any) -> None:
            told(*at)
            times.append(time.perf_counter())

        watch.tell = tell
        found = raster_task.train(lesson, fitting, share, Machine(accelerator="cpu", threads=self.threads), watch)
        self.file.write_text(json.dumps(np.diff(times[WARM_UP:]).tolist()))
        return found


def lesson_of(glaciers: int, networks: int) -> Lesson:
    """Made-up glaciers with a balance of noise in every year."""
    rng = np.random.default_rng(0)
    cells, side = SIDE**2, np.arange(SIDE)
    row, column = (values.ravel() for values in np.meshgrid(side, side, indexing="ij"))
    every = cells * glaciers
    names = np.array([f"glacier {number}" for number in range(glaciers)])
    surface = Surface(
        context=rng.normal(0, 1, (every, 2)).astype(np.float32),
        elevation=np.tile(2600 + 20.0 * row, glaciers).astype(np.float32),
        mean_elevation=np.full(every, 2750, np.float32),
        radiation=np.zeros((every, 12), np.float32),
        area=np.full(every, STEP_M**2),
        row=np.tile(row, glaciers),
        column=np.tile(column, glaciers),
        outline=np.repeat(np.arange(glaciers), cells),
        unit_id=names,
        feature_row=np.arange(glaciers),
        centre_lon=10.0 + np.arange(glaciers),
        centre_lat=np.full(glaciers, 46.0),
        resolution=np.full(glaciers, STEP_M),
        size=np.full(glaciers, SIDE),
    )
    season = 2.5 + 8.5 * np.cos(2 * np.pi * (np.arange(12) - 9.5) / 12)
    shape = glaciers, len(YEARS), 12
    climate = {
        "temp": season + rng.normal(0, 1, shape),
        "precip": rng.gamma(6, 18, shape),
        "lapse": np.full((glaciers, 12), -6e-3),
        "height": np.full(glaciers, 1700.0),
    }
    lon, lat = to_degrees(np.zeros(glaciers), np.zeros(glaciers), surface.centre_lon, surface.centre_lat)
    table = pd.DataFrame(
        {
            "unit_id": np.repeat(names, len(YEARS)),
            "kind": "annual",
            "year": np.tile(YEARS, glaciers),
            "value": rng.normal(-500, 500, glaciers * len(YEARS)),
            "sigma": 100.0,
            "start": pd.to_datetime([f"{year - 1}-10-01" for year in YEARS] * glaciers),
            "end": pd.to_datetime([f"{year}-09-30" for year in YEARS] * glaciers),
            "elevation": np.nan,
            "lon": np.repeat(lon, len(YEARS)),
            "lat": np.repeat(lat, len(YEARS)),
            "lower": np.nan,
            "upper": np.nan,
        }
    ).add_prefix("obs_")
    seen = functionals_of(table, surface, YEARS, "north")
    form = Form(
        kind="hybrid",
        slack=0.5,
        sigma_k=5.0,
        units=tuple(names),
        kinds=("annual",),
        targets=("annual",),
        channels=("first", "second"),
        reference_elevation=2750.0,
        kernel=1,
    )
    weather = Weather(**{name: torch.from_numpy(value.astype(np.float32)) for name, value in climate.items()})
    weight = np.tile(seen.counts, (networks, 1))
    return Lesson(form=form, surface=surface, weather=weather, functionals=seen, weight=weight)


def step_ms(lesson: Lesson, steps: int, file: Path, cluster: compute.Cluster | None = None) -> tuple[float, float]:
    """Median step in ms, and seconds of all else; without a cluster, on the one in use."""
    fitting = Fitting(
        steps=steps, learning_rate=0.05, weight_decay=0.05, cell_years=8000, constraint_weight=0.0, seed=0
    )
    course = Course(
        train=Timed(file, compute.cores()),
        fitting=fitting,
        networks=len(lesson.weight),
        divisible=True,
        accelerator="cpu",
        checkpoints=None,
    )
    start = time.perf_counter()
    with compute.use(cluster) if cluster is not None else nullcontext():
        workers.run(course, lesson)
    whole = time.perf_counter() - start
    times = np.array(json.loads(file.read_text()))
    return 1e3 * float(np.median(times)), whole - float(times.sum())


def main(glaciers: int, networks: int, steps: int, turns: int, small: bool) -> dict[str, Any]:
    """Time both sides in turn."""
    if small:
        glaciers, networks, steps, turns = 4, 2, 12, 1
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    lesson = lesson_of(glaciers, networks)
    found: dict[str, list[tuple[float, float]]] = {"here": [], "ray": []}
    on_ray = compute.Cluster(ray="local:1", workers=1)
    with tempfile.TemporaryDirectory() as folder, compute.use(on_ray), compute.ray_session():
        file = Path(folder) / "times.json"
        for _ in range(turns):
            found["here"].append(step_ms(lesson, steps, file, compute.Cluster()))
            found["ray"].append(step_ms(lesson, steps, file))
    here, ray = (np.median([step for step, _ in found[side]]) for side in ("here", "ray"))
    ratios = [there[0] / alone[0] for there, alone in zip(found["ray"], found["here"], strict=True)]
    return {
        "benchmark": "ray",
        "glaciers": glaciers,
        "networks": networks,
        "steps": steps,
        "turns": turns,
        "reference": "the same steps by Lightning in this process, with as many threads",
        "step_here_ms": round(float(here), 2),
        "step_on_ray_ms": round(float(ray), 2),
        "overhead": round(float(np.median(ratios)) - 1, 3),
        "overhead_of_turns": [round(ratio - 1, 3) for ratio in ratios],
        "start_of_workers_s": round(float(np.median([start for _, start in found["ray"]])), 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("glaciers", 40), ("networks", 20), ("steps", 60), ("turns", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--small", action="store_true")
    print(json.dumps(main(**vars(parser.parse_args()))))
