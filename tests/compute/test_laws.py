"""The laws of blocks on threads, on worker processes of Dask and on actors of Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from glacierscale import compute
from glacierscale.compute import driving, on_dask
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
        laws.until(lambda: len(set(pool.lanes()) - {lane}) == 2)
        after = set(pool.lanes())
        assert len(before) == len(after) == 2
        assert before - after == {lane}
        pool.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_ray(tmp_path: Path) -> None:
    done = loopback.run(Path(laws.__file__), str(tmp_path), "local:2", timeout_s=500)
    assert done.returncode == 0, done.stdout + done.stderr
    held = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("holds")]
    assert held == [law.__name__ for law in (*laws.EVERYWHERE, *laws.OF_PROCESSES)]
    assert done.stdout.splitlines()[-1] == "ended"


def test_blocks_in_work_on_dask_do_not_write_after_an_interrupt(dask: compute.Cluster, tmp_path: Path) -> None:
    assert compute.current().dask == dask.dask

    def interrupt() -> None:
        if laws.events(tmp_path, "compute"):
            raise OSError("the lease is lost")

    with pytest.raises(OSError, match="the lease is lost"):
        compute.run(laws.job(tmp_path, (0, 2, 0)), range(8), label="blocks", bytes_each=0, check=interrupt)
    time.sleep(3)
    assert laws.events(tmp_path, "compute")
    assert not laws.events(tmp_path, "write")


def test_a_worker_that_cannot_take_the_job_is_told_with_its_reason(
    dask: compute.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here is what workers of another version say, which lack a module of the job."""

    class OnlyHere:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, (
                f"import os\nif os.getpid() != {os.getpid()}: raise ModuleNotFoundError('no glaciers there')",
            )

    monkeypatch.setattr(driving, "_NO_WORKER_S", 2)
    steps = OnlyHere()
    job = compute.Job(lambda _: steps, lambda *_: None, lambda *_: None)
    said = r"could not take the job: ModuleNotFoundError\('no glaciers there'\)"
    with compute.use(dask), pytest.raises(compute.WorkerDiedError, match=said):
        compute.run(job, [1], label="blocks", bytes_each=0)


def test_a_scheduler_that_hangs_is_told_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = "--host 127.0.0.1 --port 0 --no-dashboard --scheduler-file"
    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *words.split(), str(file)]
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not file.exists() or not file.read_text().endswith("}"):
            time.sleep(0.1)
        place = json.loads(file.read_text())["address"]
        with on_dask.client(place) as client:
            pool = on_dask.Dask(client, laws.job(tmp_path), bytes_each=0, timeout_s=60, workers=0)
            assert pool.lanes() == {}
            monkeypatch.setattr(on_dask, "_CONNECT_S", 1)
            scheduler.send_signal(signal.SIGSTOP)
            time.sleep(on_dask._LOOK_S)
            with pytest.raises(ConnectionError, match=r"Dask scheduler no longer answers .*the same command again"):
                pool.lanes()
            pool.close()
            scheduler.kill()
            scheduler.wait()
            time.sleep(on_dask._LOOK_S)
            with pytest.raises(ConnectionError, match="Dask scheduler no longer answers"):
                pool.lanes()
            pool.close()
    finally:
        scheduler.kill()
        scheduler.wait()
