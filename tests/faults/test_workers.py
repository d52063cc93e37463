"""Workers of Dask and Ray killed: the command goes on, and its bytes are those of a run on threads."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests import loopback
from tests.faults import ranges, running
from tests.faults.conftest import Told

_SIGNS = {"dask": ("multiprocessing.spawn", "multiprocessing.forkserver"), "ray": ("ray::",)}


def kill_workers(given: ranges.Range, stage: str, kind: str, folder: Path, told: Told, kills: int = 1) -> None:
    """Run a stage on two workers, kill one whenever something more is done, and compare the bytes at the end."""
    given.calm(stage)
    since, out, rng = time.monotonic(), folder / "out", random.Random(kills)
    before = loopback.prefix() if kind == "ray" else ()
    words = [*given.words(stage, out), f"--{kind}", "local:2", *(["--workers", "2"] if stage == "train" else [])]
    process = running.spawn(words, folder / "said", env=given.environment(stage), before=before)
    fired: list[int] = []
    try:
        look = running.progress if stage == "train" else running.blocks_done
        while len(fired) < kills:
            seen = look(out)
            assert running.until(lambda seen=seen: look(out) - seen, process), (folder / "said").read_text()[-3000:]
            time.sleep(rng.uniform(0, 0.1))
            found = working(process, kind, stage)
            assert found, "the command ended before a worker could be killed"
            victim = rng.choice(found)
            victim.kill()
            victim.wait(10)
            fired.append(victim.pid)
        code = process.wait(running.DEADLINE_S)
    finally:
        running.end(process)
    assert code == 0, (folder / "said").read_text()[-3000:]
    assert not running.differing(out, given.expected(stage))
    told(f"{kind} worker killed", stage, fired=len(fired), recovered=len(fired), seconds=time.monotonic() - since)


def working(process: subprocess.Popen[bytes], kind: str, stage: str) -> list[object]:
    """Processes that work on blocks or train, not those that watch over them."""
    found = running.workers_of(process, _SIGNS[kind])
    if kind == "dask":
        return [one for one in found if one.threads() and "resource_tracker" not in " ".join(one.cmdline())]
    wanted = ("RayTrainWorker", "TrainWorker") if stage == "train" else ("_Actor",)
    return [one for one in found if any(name in " ".join(one.cmdline()) for name in wanted)]


def test_featurize_goes_on_when_a_dask_worker_is_killed(wide: ranges.Range, tmp_path: Path, told: Told) -> None:
    kill_workers(wide, "featurize", "dask", tmp_path, told)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", ["ingest", "featurize", "rasterize", "reconstruct"])
def test_every_stage_goes_on_when_dask_workers_are_killed(
    wide: ranges.Range, stage: str, tmp_path: Path, told: Told
) -> None:
    kill_workers(wide, stage, "dask", tmp_path, told, kills=2)


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", ["featurize", "rasterize", "reconstruct", "train"])
def test_every_stage_goes_on_when_ray_workers_are_killed(
    wide: ranges.Range, stage: str, tmp_path: Path, told: Told
) -> None:
    kill_workers(wide, stage, "ray", tmp_path, told, kills=1 if stage == "train" else 2)
