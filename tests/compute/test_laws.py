"""The laws of blocks on threads, on worker processes of Dask and on actors of Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from glacierscale import compute
from glacierscale.compute import on_dask
from tests import loopback
from tests.compute import laws

Law = Callable[[Path], None]


def named(law: Law) -> str:
    return law.__name__


@pytest.mark.parametrize("law", laws.EVERYWHERE, ids=named)
def test_on_threads(law: Law, tmp_path: Path) -> None:
    with compute.use(compute.Cluster(workers=1)):
        law(tmp_path)


@pytest.fixture(scope="module")
def dask() -> Iterator[compute.Cluster]:
    before = set(psutil.Process().children(recursive=True))
    cluster = compute.Cluster(dask="local:2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: {0, 1})  # one core for each worker, however many there are
        with compute.use(cluster):
            yield cluster
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [child for child in left if "spawn_main" in " ".join(child.cmdline())], "workers are left behind"


@pytest.mark.parametrize("law", [*laws.EVERYWHERE, *laws.OF_PROCESSES], ids=named)
def test_on_dask(law: Law, dask: compute.Cluster, tmp_path: Path) -> None:
    assert compute.current().dask == dask.dask
    law(tmp_path)


def test_garbage_of_threads_does_not_hang_a_worker(dask: compute.Cluster, tmp_path: Path) -> None:
    assert dask.dask == "local:2"
    laws.garbage_of_threads_does_not_hang_a_worker(tmp_path)


def test_garbage_of_threads_does_not_hang_a_worker_of_a_cluster_that_was_there_before(tmp_path: Path) -> None:
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, **local) as there,  # type: ignore[no-untyped-call]
        compute.use(compute.Cluster(dask=there.scheduler_address)),
    ):
        laws.garbage_of_threads_does_not_hang_a_worker(tmp_path)


def test_a_worker_that_was_dropped_comes_back_as_another_one(dask: compute.Cluster) -> None:
    """Otherwise nobody would miss what it was working on."""
    with on_dask.client(dask.dask) as client:
        job = compute.Job(lambda _: None, lambda _, __: time.sleep(1), lambda _, __: None)
        pool = on_dask.Dask(client, job, bytes_each=0, timeout_s=60, workers=0)
        before = set(pool.lanes())
        lane = min(before)
        pool.submit(lane, 0, 0)
        client.cancel(list(pool._futures.values()), force=True)
        assert pool.finished(10) == []
        time.sleep(2 * on_dask._LOOK_S)
        after = set(pool.lanes())
        assert len(before) == len(after) == 2
        assert before - after == {lane}
        pool.close()


@pytest.mark.slow
def test_on_ray(tmp_path: Path) -> None:
    done = loopback.run(Path(laws.__file__), str(tmp_path), "local:2", timeout_s=150)
    assert done.returncode == 0, done.stdout + done.stderr
    held = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("holds")]
    assert held == [law.__name__ for law in (*laws.EVERYWHERE, *laws.OF_PROCESSES)]
    assert done.stdout.splitlines()[-1] == "ended"
