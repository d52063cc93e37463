"""Where work runs: the options, what is kept open, and clusters that do not answer."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from glacierscale import compute
from glacierscale.compute import cluster, on_dask
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
    start = time.monotonic()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=loopback.environment())
    assert "TimeoutError: took longer than 0.5 s to compute" in done.stderr
    assert time.monotonic() - start < 30


def test_every_tenth_of_the_work_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "glacierscale.compute"):
        compute.map_items(str, range(40), label="items")
    assert [record.getMessage() for record in caplog.records] == [f"items: {n} of 40" for n in range(4, 41, 4)]


def test_threads_share_memory_and_errors_name_the_item() -> None:
    seen = dict.fromkeys(range(20), 0)

    def work(item: int) -> None:
        seen[item] = threading.get_ident()
        if item == 19:
            raise ValueError("the last")

    with pytest.raises(ValueError, match="the last") as caught:
        compute.map_threads(work, range(20), label="items")
    assert caught.value.__notes__ == ["while working on block 19"]
    assert all(seen.values())
