"""What holds wherever blocks run; each law is called inside `compute.use`, with an empty folder.

As a script, ``python laws.py FOLDER RAY``, it runs all of them on Ray.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from glacierscale import compute

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests


@dataclass(frozen=True)
class Event:
    """One step of one try of a block."""

    step: str
    block: int
    pid: int
    start: float
    end: float
    """Infinite where it did not end."""


def job(folder: Path, seconds: Sequence[float] = (0, 0, 0), **at: Callable[[int], None]) -> compute.Job:
    """Steps that take some seconds and do what `at` says, each noted in a file of its own."""

    def noted(step: str, block: int, wait_s: float) -> int:
        mark = folder / f"{step} {block} {os.getpid()} {uuid.uuid4().hex}"
        start = time.time()
        note(mark, f"{start} inf")
        time.sleep(wait_s)
        at.get(step, lambda _: None)(block)
        note(mark, f"{start} {time.time()}")
        return block

    return compute.Job(
        load=lambda block: noted("load", block, seconds[0]),
        compute=lambda block, _: noted("compute", block, seconds[1]),
        write=lambda block, _: noted("write", block, seconds[2]),
    )


def note(mark: Path, text: str) -> None:
    """Write a file that nobody reads half; names of marks have blanks."""
    new = mark.with_name(uuid.uuid4().hex)
    new.write_text(text)
    new.replace(mark)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, as long as a busy machine may take."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def events(folder: Path, step: str = "") -> list[Event]:
    """What was noted, in order of time."""
    found = []
    for path in folder.glob(f"{step}* *"):
        name, block, pid, _ = path.name.split(" ")
        start, end = map(float, path.read_text().split())
        found.append(Event(name, int(block), int(pid), start, end))
    return sorted(found, key=lambda event: event.start)


def pids(folder: Path) -> set[int]:
    """Processes that worked."""
    return {event.pid for event in events(folder)}


def written(folder: Path) -> Counter[int]:
    """How often each block was written to the end."""
    return Counter(event.block for event in events(folder, "write") if event.end < float("inf"))


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Largest number of spans that overlap."""
    turns = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    level = most = 0
    for _, change in turns:
        level += change
        most = max(most, level)
    return most


def run(made: compute.Job, count: int, bytes_each: int = 0) -> None:
    compute.run(made, range(count), label="blocks", bytes_each=bytes_each)


def on_cluster() -> bool:
    return bool(compute.current().dask or compute.current().ray)


def tries_of_a_killer() -> str:
    return "2 tries" if on_cluster() else "1 try"


# Laws


def every_block_runs_once(folder: Path) -> None:
    count = 2 if on_cluster() else 1

    def waits_for_both(_: int) -> None:
        until(lambda: len(pids(folder)) == count)

    run(job(folder, compute=waits_for_both), 20)
    assert written(folder) == Counter(range(20))
    assert Counter(event.block for event in events(folder, "compute")) == Counter(range(20))
    assert (os.getpid() in pids(folder)) != on_cluster()


def the_next_block_loads_while_one_computes_and_the_last_one_writes(folder: Path) -> None:
    """One core for each process: the fixtures see to that. Longer steps mind less what holds them up."""
    for unit_s in (0.06, 0.25, 1.0):
        turn = folder / f"{unit_s}"
        turn.mkdir()
        run(job(turn, (unit_s, 2 * unit_s, unit_s)), 20)
        if overlap(turn):
            return
    raise AssertionError("steps of different blocks hardly overlapped")


def overlap(folder: Path) -> bool:
    """Whether steps of different blocks overlap well; none may do so more than allowed."""
    found, well = events(folder), True
    for pid in {event.pid for event in found}:
        mine = [event for event in found if event.pid == pid]
        spans = {step: [(e.start, e.end) for e in mine if e.step == step] for step in ("load", "compute", "write")}
        assert most_at_once(spans["load"]) == 1
        assert most_at_once(spans["compute"]) == 1
        assert most_at_once(spans["write"]) <= 2
        blocks = {event.block for event in mine}
        whole = [[e for e in mine if e.block == block] for block in blocks]
        assert most_at_once([(min(e.start for e in w), max(e.end for e in w)) for w in whole]) <= 3  # cores + 2
        for step in ("load", "write"):
            overlapping = [
                a for a in mine for b in mine if (a.step, b.step) == (step, "compute")
                and a.block != b.block and a.start < b.end and b.start < a.end
            ]  # fmt: skip
            well &= len(overlapping) > len(blocks) / 3
        alone = sum(end - start for step in spans.values() for start, end in step)
        well &= max(e.end for e in mine) - min(e.start for e in mine) < 0.85 * alone
    return well


def a_passing_fault_is_tried_again(folder: Path) -> None:
    def fails_once(block: int) -> None:
        if block == 3 and not (folder / "failed").exists():
            (folder / "failed").touch()
            raise ConnectionResetError("a passing fault")

    run(job(folder, load=fails_once), 8)
    assert (folder / "failed").exists()
    assert written(folder) == Counter(range(8))


def blocks_that_fail_are_set_aside_and_all_others_done(folder: Path) -> None:
    def unreadable(block: int) -> None:
        if block == 3:
            raise OSError("the disk is gone")

    def wrong(block: int) -> None:
        if block == 5:
            raise ValueError("no terrain")

    with pytest.raises((OSError, ValueError)) as caught:
        run(job(folder, load=unreadable, compute=wrong), 12)
    assert type(caught.value) is ValueError, "the first to be set aside is the one that was not tried again"
    notes = "\n".join(caught.value.__notes__)
    assert "block 3 was set aside after 2 tries: OSError: the disk is gone" in notes
    assert "block 5 was set aside after 1 try: ValueError: no terrain" in notes
    assert "10 of 12 blocks are done" in notes
    assert written(folder) == Counter(set(range(12)) - {3, 5})


def after_eight_failures_in_a_row_the_rest_is_left(folder: Path) -> None:
    def wrong(block: int) -> None:
        raise ValueError(f"nothing fits {block}")

    with pytest.raises(ValueError, match="nothing fits") as caught:
        run(job(folder, compute=wrong), 100)
    assert "were not tried: 8 failed in a row" in caught.value.__notes__[-1]
    assert len(events(folder, "compute")) < 30


def a_block_that_hangs_is_given_up_and_all_others_done(folder: Path) -> None:
    def hangs(block: int) -> None:
        if block == 2:
            time.sleep(3600)

    with compute_for(3.0), pytest.raises(TimeoutError, match=r"took longer than 3 s to compute") as caught:
        run(job(folder, (0, 0.05, 0), compute=hangs), 10)
    assert f"block 2 was set aside after {tries_of_a_killer()}: TimeoutError" in caught.value.__notes__[0]
    assert "9 of 10 blocks are done" in caught.value.__notes__[-1]
    assert set(written(folder)) == set(range(10)) - {2}


def results_come_in_the_order_of_items(folder: Path) -> None:
    def cubed(item: int) -> int:
        time.sleep(0.02 * (item % 3))
        return item**3

    assert compute.map_items(cubed, range(30), label="items") == [item**3 for item in range(30)]
    assert compute.map_items(cubed, [], label="items") == []


def a_block_that_cannot_fit_is_refused_before_any_runs(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"a block needs about \d+ TiB of memory, but .* Lower the option glaciers_per_block"
    ):
        run(job(folder), 4, bytes_each=10**15 + 10**14)
    assert not events(folder)


# Where workers are processes of their own


def when_a_worker_is_killed_only_the_block_it_computed_is_computed_again(folder: Path) -> None:
    def dies_once(block: int) -> None:
        if block == 6 and not (folder / "died").exists():
            (folder / "died").touch()
            mine = {event.block for event in events(folder, "compute") if event.pid == os.getpid()}
            # The others are done, and the driver knows: it has sent two more, as many as may wait beside this one.
            until(lambda: sum(event.pid == os.getpid() for event in events(folder, "load")) == len(mine) + 2)
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / "died").exists():
            until(lambda: len(pids(folder)) >= 3)  # another worker comes

    run(job(folder, (0, 0.02, 0), compute=dies_once), 60)
    assert (folder / "died").exists()
    assert written(folder) == Counter(range(60))
    again = Counter(event.block for event in events(folder, "compute")) - Counter(range(60))
    assert again == Counter([6])


def a_block_that_kills_its_worker_takes_no_other_with_it(folder: Path) -> None:
    def dies(block: int) -> None:
        if block == 1:
            (folder / f"died{uuid.uuid4().hex}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(compute.WorkerDiedError, match=r"its worker .* ended \(killed, or out of memory\?\)") as caught:
        run(job(folder, (0, 0.05, 0), compute=dies), 16)
    assert len(list(folder.glob("died*"))) == 2
    assert "block 1 was set aside after 2 tries" in caught.value.__notes__[0]
    assert written(folder) == Counter(set(range(16)) - {1})


def garbage_of_threads_does_not_hang_a_worker(_: Path) -> None:
    """Python 3.11 hangs where it collects a `threading.local` while somebody looks at the frames of all threads."""

    def litter(seconds: float) -> float:
        before = gc.get_threshold()
        gc.set_threshold(50)
        end = time.monotonic() + seconds

        def drop() -> None:
            while time.monotonic() < end:
                one: list[Any] = [threading.local()]
                one.append(one)
                threading.Event().wait(0.002)

        threads = [threading.Thread(target=drop) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.set_threshold(*before)
        return seconds

    assert compute.map_items(litter, [0.6, 0.6], label="litter") == [0.6, 0.6]


EVERYWHERE = (
    every_block_runs_once,
    the_next_block_loads_while_one_computes_and_the_last_one_writes,
    a_passing_fault_is_tried_again,
    blocks_that_fail_are_set_aside_and_all_others_done,
    after_eight_failures_in_a_row_the_rest_is_left,
    results_come_in_the_order_of_items,
    a_block_that_cannot_fit_is_refused_before_any_runs,
    a_block_that_hangs_is_given_up_and_all_others_done,
)
OF_PROCESSES = (
    when_a_worker_is_killed_only_the_block_it_computed_is_computed_again,
    a_block_that_kills_its_worker_takes_no_other_with_it,
)


def compute_for(block_timeout_s: float) -> Any:
    """Another limit for a block, on the cluster that is in use."""
    from glacierscale.compute import cluster

    class Limited:
        def __enter__(self) -> None:
            self.used = cluster._USED[-1]
            self.before = self.used.cluster
            self.used.cluster = replace(self.before, block_timeout_s=block_timeout_s)

        def __exit__(self, *_: object) -> None:
            self.used.cluster = self.before

    return Limited()


def main() -> None:
    """Run every law on Ray, and say which hold."""
    folder, place = Path(sys.argv[1]), sys.argv[2]
    answer = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with compute.use(compute.Cluster(ray=place)):
        for law in (*EVERYWHERE, *OF_PROCESSES):
            own = folder / law.__name__
            own.mkdir()
            start = time.monotonic()
            law(own)
            print("holds", law.__name__, f"{time.monotonic() - start:.1f} s", flush=True)
        import ray

        with compute.ray_session():
            assert ray.is_initialized()
        assert ray.is_initialized(), "the outermost user shuts it down"
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler, "Ray's answer to SIGTERM is not kept"
    assert not ray.is_initialized()
    signal.signal(signal.SIGTERM, answer)
    print("ended")


if __name__ == "__main__":
    main()
