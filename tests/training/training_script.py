"""Trains a few small networks and writes their parameters; run by tests as a process of its own.

python training_script.py FOLDER KIND... [--keep FOLDER] [--ray N] [--steps N] [--kill-worker-at STEP]

KIND is mlp, raster, or single: one raster network, whose steps several processes share.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np

from glacierscale import compute, provenance
from glacierscale.training import ensemble, raster_task
from glacierscale.training.checkpoints import Checkpoints
from glacierscale.training.shares import whole

STAMP = provenance.Stamp(verb="train", options={}, inputs={}, version="1")
NETWORKS = {"mlp": 4, "raster": 4, "single": 1}


def beside(name: str) -> ModuleType:
    """A test module of this folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def kill_a_worker() -> None:
    """Kill the first process of the training; the caller runs in a process namespace of its own."""
    for folder in sorted(Path("/proc").glob("[0-9]*")):
        if "RayTrainWorker" in (folder / "cmdline").read_text():
            os.kill(int(folder.name), signal.SIGKILL)
            return
    raise AssertionError("no process of the training was found")


def train(kind: str, given: argparse.Namespace) -> dict[str, np.ndarray]:
    """Parameters of one kind."""
    kept = Checkpoints.below(given.keep, STAMP, kind) if given.keep else None
    state = kept.load(whole(NETWORKS[kind])) if kept else None
    print("begins at", state.step if state else 0, flush=True)
    told = 0

    def tell(step: int, _: float) -> None:
        nonlocal told
        while told < step:  # on Ray, steps are told a few at a time
            told += 1
            print("step", told, flush=True)
            time.sleep(given.pause_s)  # whoever reads has time to act before the end
            if told == given.kill_worker_at:
                reached = kept.load(whole(NETWORKS[kind])) if kept else None
                kill_a_worker()
                print("killed after", reached.step if reached else 0, flush=True)

    if kind == "mlp":
        made = beside("test_ensemble")
        tables = made.tables()
        epochs = given.steps // ensemble.steps_of(tables, made.FITTING)
        fitting = ensemble.Fitting(**{**vars(made.FITTING), "epochs": epochs})
        return ensemble.fit(tables, fitting, accelerator="cpu", checkpoints=kept, on_step=tell)
    made = beside("test_raster_task")
    lesson = made.lesson_of(made.form_of(), "annual", "point", outlines=2, count=NETWORKS[kind])
    fitting = made.fitting_of(steps=given.steps, cell_years=700, constraint_weight=1.0)
    return raster_task.fit(lesson, fitting, accelerator="cpu", checkpoints=kept, on_step=tell)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="+", choices=NETWORKS)
    parser.add_argument("--keep", default="")
    parser.add_argument("--ray", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--kill-worker-at", type=int, default=0)
    parser.add_argument("--pause-s", type=float, default=0.0)
    given = parser.parse_args()
    where = compute.Cluster(ray=f"local:{given.ray}" if given.ray else "", workers=given.ray)
    try:
        with compute.use(where):
            for kind in given.kinds:
                np.savez(given.folder / f"{kind}.npz", allow_pickle=False, **train(kind, given))
    except compute.Terminated as asked:
        print(asked, flush=True)
        sys.exit(143)


if __name__ == "__main__":
    main()
