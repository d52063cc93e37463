"""Blocks run in parallel, on threads or on a cluster, and errors name their block."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glacierscale import compute


@pytest.fixture(params=["threads", "cluster"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv(compute.SCHEDULER_VARIABLE, raising=False)
    if request.param == "threads":
        yield "threads"
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1"
    ) as cluster:
        monkeypatch.setenv(compute.SCHEDULER_VARIABLE, cluster.scheduler_address)
        yield "cluster"


def test_every_block_runs_once(place: str, tmp_path: Path) -> None:
    def work(block: int) -> None:
        with (tmp_path / str(block)).open("x") as file:  # a second run would find the file
            file.write(str(block))

    compute.map_blocks(work, list(range(30)), label="blocks", workers=2)
    assert sorted(int(p.read_text()) for p in tmp_path.iterdir()) == list(range(30))


def test_the_error_of_a_block_is_raised_and_names_it(place: str) -> None:
    def work(block: int) -> None:
        if block == 3:
            raise ValueError("no terrain")

    with pytest.raises(ValueError, match="no terrain") as caught:
        compute.map_blocks(work, list(range(5)), label="blocks", workers=2)
    assert "while working on block 3" in getattr(caught.value, "__notes__", [])


def test_nothing_to_do_needs_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compute.SCHEDULER_VARIABLE, "tcp://127.0.0.1:1")
    compute.map_blocks(lambda _: None, [], label="blocks")


def test_after_an_error_later_rounds_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compute.SCHEDULER_VARIABLE, raising=False)
    started: list[int] = []

    def work(block: int) -> None:
        started.append(block)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        compute.map_blocks(work, list(range(100)), label="blocks", workers=1)
    assert len(started) <= 4


def test_threads_share_memory_and_errors_name_the_item() -> None:
    table = np.zeros(20)

    def work(item: int) -> None:
        table[item] = threading.get_ident()
        if item == 19:
            raise ValueError("the last")

    with pytest.raises(ValueError, match="the last") as caught:
        compute.map_threads(work, range(20), label="items")
    assert caught.value.__notes__ == ["while working on block 19"]
    assert (table != 0).all()


def test_cores_are_those_this_process_may_use() -> None:
    assert compute.cores() == len(os.sched_getaffinity(0))
