"""Where work runs: the options, what is kept open, and clusters that do not answer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from glacierscale import compute
from glacierscale.compute import cluster, driving, gates, on_dask, on_ray
from tests import loopback


@pytest.mark.parametrize("dask", ["", "local:2", "tcp://10.0.0.1:1", "tls://a:1", "gateway:ice", "kubernetes:ice"])
@pytest.mark.parametrize("ray", ["", "local:4", "auto", "head:6379", "ray://head:10001"])
def test_blocks_and_training_may_have_a_cluster_each(dask: str, ray: str) -> None:
    assert compute.Cluster(dask=dask, ray=ray).dask == dask


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dask": "local"}, "dask is 'local'; expected local:N"),
        ({"dask": "local:0"}, "dask is 'local:0'"),
        ({"dask": "http://host:1"}, "dask is 'http://host:1'"),
        ({"dask": "gateway:"}, "dask is 'gateway:'"),
        ({"ray": "host"}, "ray is 'host'; expected local:N, auto or HOST:PORT"),
        ({"gpus_per_worker": -1.0}, "gpus_per_worker -1.0; expected none below 0"),
        ({"block_timeout_s": 0.0}, "block_timeout_s is 0.0; expected seconds above 0"),
    ],
)
def test_a_place_that_cannot_be_is_refused(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute.Cluster(**wrong)  # type: ignore[arg-type]


def test_options_in_use_come_before_the_environment_and_end_with_their_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLACIERSCALE_DASK", "tcp://127.0.0.1:1")
    assert compute.current().dask == "tcp://127.0.0.1:1"
    with compute.use(compute.Cluster(workers=3)):
        assert compute.current() == compute.Cluster(workers=3)
        with compute.use(compute.Cluster(workers=4)):
            assert compute.current().workers == 4
        assert compute.current().workers == 3
    assert compute.current().dask == "tcp://127.0.0.1:1"


def test_what_was_opened_is_kept_until_the_options_are_no_longer_in_use() -> None:
    told: list[str] = []

    @contextmanager
    def opened() -> Iterator[int]:
        told.append("opened")
        yield 1
        told.append("closed")

    with compute.use(compute.Cluster()):
        for _ in range(3):
            with cluster.kept("thing", opened) as thing:
                assert thing == 1
        assert told == ["opened"]
    assert told == ["opened", "closed"]
    with cluster.kept("thing", opened):
        pass
    assert told == ["opened", "closed"] * 2


def test_nothing_to_do_needs_no_cluster() -> None:
    with compute.use(compute.Cluster(dask="tcp://127.0.0.1:1")):
        assert compute.map_items(str, [], label="items") == []


def test_a_scheduler_that_does_not_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "_CONNECT_S", 1)
    place = "tcp://127.0.0.1:1"
    with compute.use(compute.Cluster(dask=place)), pytest.raises(ConnectionError, match=f"no Dask.* at {place} within"):
        compute.map_items(str, [1], label="items")


@pytest.mark.parametrize(("place", "package"), [("gateway:ice", "dask-gateway"), ("kubernetes:ice", "dask-kubernetes")])
def test_a_missing_library_is_named_with_how_to_install_it(place: str, package: str) -> None:
    if any(package.replace("-", "_") == name for name in sys.modules):
        pytest.skip(f"{package} is installed")
    with compute.use(compute.Cluster(dask=place)), pytest.raises(ValueError, match=f"pip install {package}"):
        compute.map_items(str, [1], label="items")


def test_a_ray_cluster_that_does_not_answer_is_told() -> None:
    code = (
        "from glacierscale import compute\n"
        "with compute.use(compute.Cluster(ray='127.0.0.1:1')):\n"
        "    compute.map_items(str, [1], label='items')\n"
    )
    command = [*loopback.prefix(), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=loopback.environment())
    assert "ConnectionError: no Ray cluster answers at 127.0.0.1:1 within 30 s" in done.stderr


def test_a_block_that_hangs_does_not_keep_the_process_alive() -> None:
    code = (
        "import threading\n"
        "from glacierscale import compute\n"
        "with compute.use(compute.Cluster(block_timeout_s=0.5)):\n"
        "    compute.map_items(lambda item: threading.Event().wait(), [1], label='items')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=loopback.environment())
    assert "TimeoutError: took longer than 0.5 s to compute" in done.stderr


class Idle:
    """A worker that never has anything."""

    can_replace = False
    refusal = "tcp://a:1 could not take the job: No module named 'glacierscale'"

    def __init__(self, lanes: dict[str, int]) -> None:
        self._lanes, self.closed = lanes, False

    def lanes(self) -> dict[str, int]:
        return self._lanes

    def submit(self, *_: object) -> None:
        pass

    def finished(self, wait_s: float) -> list[tuple[str, int, gates.Outcome]]:
        time.sleep(wait_s)
        return []

    def replace(self, lane: str) -> None:
        raise NotImplementedError(lane)

    def close(self) -> None:
        self.closed = True


def test_blocks_in_work_are_abandoned_where_the_check_raises() -> None:
    pool, looks = Idle({"a": 3}), iter([None, OSError("the lease is lost")])

    def check() -> None:
        error = next(looks)
        if error is not None:
            raise error

    with pytest.raises(OSError, match="the lease is lost"):
        driving.drive(pool, range(3), 60.0, lambda: None, check)
    assert pool.closed


def test_blocks_on_threads_write_nothing_once_the_check_has_raised(tmp_path: Path) -> None:
    def check() -> None:
        if list(tmp_path.iterdir()):
            raise OSError("the lease is lost")

    def load(block: int) -> None:
        (tmp_path / f"loaded {block}").touch()
        time.sleep(1)

    job = compute.Job(load, lambda *_: None, lambda block, _: (tmp_path / f"written {block}").touch())
    with pytest.raises(OSError, match="the lease is lost"):
        compute.run(job, range(4), label="blocks", bytes_each=0, check=check)
    time.sleep(1.5)
    assert not list(tmp_path.glob("written*"))


def test_where_no_worker_can_take_the_job_the_reason_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "_NO_WORKER_S", 0.1)
    with pytest.raises(
        compute.WorkerDiedError, match=r"no worker was there .*: tcp://a:1 could not take the job: No mod"
    ):
        driving.drive(Idle({}), [1], 60.0, lambda: None)


@pytest.mark.parametrize(("most", "share"), [(0, 8), (8, 8), (2, 32), (1, 64)])
def test_fewer_ray_workers_have_a_larger_share_of_memory(
    most: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 64.0}}]
    monkeypatch.setattr(on_ray, "_nodes", lambda: nodes)
    assert on_ray._room(0.0, most) == (most or 8, share)
    assert on_ray._room(0.5, 0) == (4, 16)
