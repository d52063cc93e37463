"""One run at a time per output, taken over from the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from glacierscale.store.blocks import StoreError
from glacierscale.store.holder import Holder, clock
from glacierscale.store.lease import HeldError, LostLeaseError, hold, still_held, sweep
from glacierscale.store.objects import Objects

HOLD = """
import sys, time
from glacierscale.store.lease import HeldError, LostLeaseError, hold
try:
    with hold({url!r}, {verb!r}, ttl_s={ttl_s}) as lease:
        print("held", flush=True)
        sys.stdin.readline()
        lease.check()
        print("still held", flush=True)
except HeldError as error:
    print(f"refused: {{error}}", flush=True)
except LostLeaseError as error:
    print(f"lost: {{error}}", flush=True)
"""


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "out")
    return str(request.getfixturevalue("s3").url(f"lease/{tmp_path.name}"))


@pytest.fixture
def start() -> Iterator[Any]:
    """Start a process that tries to hold a place; it ends with the test."""
    running = []

    def starter(url: str, verb: str = "featurize", ttl_s: float = 30.0) -> subprocess.Popen[str]:
        code = HOLD.format(url=url, verb=verb, ttl_s=ttl_s)
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield starter
    for process in running:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def elsewhere(url: str, *, machine: str = "another", ttl_s: float = 1.0) -> tuple[Objects, Holder]:
    """Leave the lease of a run on another machine."""
    place = Objects(url, create=True)
    known = Holder.here("reconstruct", ttl_s)
    holder = Holder(**{**json.loads(known.packed()), "machine": machine, "host": machine, "pid": 4711})
    assert place.create(".lease/000001.json", holder.packed())
    return place, holder


def test_a_second_holder_is_refused_and_told_who_holds(url: str) -> None:
    who = rf"`evolve`, process {os.getpid()} on .*, since \d{{4}}-.*Wait until it is through, or stop that process"
    with hold(url, "evolve"):
        with pytest.raises(HeldError, match=who), hold(url, "reconstruct"):
            pass
        with hold(f"{url}/inner", "reconstruct"):  # another place
            pass
    with hold(url, "reconstruct"):
        pass


def test_nothing_of_a_lease_is_left(url: str) -> None:
    with hold(url, "evolve"):
        place = Objects(url)
        assert place.keys(".lease")
        assert place.empty()
        place.put("result", b"1")
    assert place.keys(".lease") == set()
    assert place.keys("") == {"result"}
    assert "://" in url or os.listdir(url) == ["result"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_lease_ends_with_an_error_too(url: str, error: type[BaseException]) -> None:
    with pytest.raises(error), hold(url, "evolve"):
        raise error
    assert Objects(url, create=True).keys(".lease") == set()


def test_a_folder_that_was_made_for_a_lease_alone_goes_with_it(tmp_path: Path) -> None:
    with hold(tmp_path / "new", "evolve"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()


def test_one_of_64_starters_wins(url: str) -> None:
    barrier, done = threading.Barrier(64), threading.Event()
    refused = []

    def starter(number: int) -> int:
        barrier.wait()
        try:
            with hold(url, f"starter {number}"):
                assert done.wait(60)
                return number
        except HeldError as error:
            refused.append(str(error))
            if len(refused) == 63:
                done.set()
            return -1

    with ThreadPoolExecutor(64) as pool:
        winners = [number for number in pool.map(starter, range(64)) if number >= 0]
    assert len(winners) == 1
    assert len(refused) == 63
    assert all(f"is held by `starter {winners[0]}`, process {os.getpid()}" in text for text in refused)


def test_one_of_8_processes_wins_and_the_next_takes_over_when_it_is_killed(url: str, start: Any) -> None:
    processes = [start(url, f"starter {number}", ttl_s=3600.0) for number in range(8)]
    lines = [said(process) for process in processes]
    assert lines.count("held") == 1
    winner = processes[lines.index("held")]
    told = f"is held by `starter {lines.index('held')}`, process {winner.pid} on"
    assert sum(told in line for line in lines) == 7
    winner.kill()
    winner.wait()
    with hold(url, "next"):  # the process is gone: nobody waits for its time to live
        pass
    assert Objects(url, create=True).keys(".lease") == set()


def test_one_of_many_takes_over_from_the_dead(url: str) -> None:
    place, _ = elsewhere(url, machine=Holder.here("", 1).machine)
    barrier, done = threading.Barrier(16), threading.Event()
    refused = []

    def starter(number: int) -> int:
        barrier.wait()
        try:
            with hold(url, f"starter {number}"):
                assert done.wait(60)
                return number
        except HeldError as error:
            refused.append(str(error))
            if len(refused) == 15:
                done.set()
            return -1

    with ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(starter, range(16)) if number >= 0]
    assert len(winners) == 1
    assert sum(f"`starter {winners[0]}`" in text for text in refused) == 15
    assert place.keys(".lease") == set()


def test_a_suspended_holder_is_taken_over_from_and_finds_out(url: str, start: Any) -> None:
    holder = start(url, "suspended", ttl_s=4.0)
    assert said(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(HeldError, match="`suspended`"), hold(url, "too early", ttl_s=1.0):
        pass
    time.sleep(4.3)
    with hold(url, "next", ttl_s=1.0) as lease:
        let_go(holder)
        holder.send_signal(signal.SIGCONT)
        assert "lost: " in (line := said(holder))
        assert f"was taken for dead, and `next`, process {os.getpid()}" in line
        lease.check()
        assert Objects(url).keys(".lease") >= {f".lease/{lease.number:06d}.json"}
    assert Objects(url, create=True).keys(".lease") == set()


def test_a_holder_elsewhere_lives_while_its_beat_moves(url: str) -> None:
    place, holder = elsewhere(url, ttl_s=5.0)
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.3):
            place.put(f".lease/000001-{holder.token}.beat", f"{(count := count + 1)} {clock()}".encode())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(HeldError, match="`reconstruct`, process 4711 on another"), hold(url, "evolve"):
            pass
    finally:
        ended.set()
        thread.join()


def test_a_holder_elsewhere_whose_beat_stands_still_is_dead_after_its_time_to_live(url: str) -> None:
    place, holder = elsewhere(url, ttl_s=1.0)
    place.put(f".lease/000001-{holder.token}.beat", f"7 {clock() + 1e6}".encode())  # a clock far ahead
    begun = time.monotonic()
    with hold(url, "evolve"):
        assert 1.0 <= time.monotonic() - begun < 60
    assert place.keys(".lease") == set()


def test_a_reused_process_number_is_no_sign_of_life(url: str) -> None:
    place = Objects(url, create=True)
    mine = json.loads(Holder.here("reconstruct", 30.0).packed())
    place.create(".lease/000001.json", Holder(**{**mine, "started": "1"}).packed())
    with hold(url, "evolve"):
        pass


def test_a_lost_lease_is_told_before_the_next_write_and_never_harms_the_new_holder(url: str) -> None:
    place = Objects(url, create=True)
    mine = json.loads(Holder.here("reconstruct", 30.0).packed())
    other = Holder(**{**mine, "host": "another", "machine": "another", "pid": 4711})

    def work() -> None:
        with hold(url, "evolve", ttl_s=0.6):
            still_held(f"{url}/smb.zarr")
            place.delete(".lease/000001.json")  # taken over, worked through, removed, and begun anew
            place.put(".lease/000001.json", other.packed())
            time.sleep(0.5)
            still_held(f"{url}-beside")
            still_held(f"{url}/smb.zarr")
            pytest.fail("nobody told")

    with pytest.raises(
        LostLeaseError, match=r"taken for dead, and `reconstruct`, process 4711 on another.*Nothing more"
    ):
        work()
    assert place.keys(".lease") == {".lease/000001.json"}
    assert place.get(".lease/000001.json") == other.packed()


def test_work_that_ends_after_its_lease_was_lost_fails_all_the_same(url: str) -> None:
    lease = hold(url, "evolve", ttl_s=0.6)
    lease.__enter__()
    Objects(url).delete(".lease/000001.json")
    time.sleep(0.5)
    with pytest.raises(LostLeaseError, match=r"taken for dead, and its lease was removed"):
        lease.__exit__(None, None, None)


def test_an_unreachable_lease_counts_as_lost_after_its_time_to_live(
    fault_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLACIERSCALE_IO_TIMEOUT_S", "2")

    def work() -> None:
        with hold(fault_proxy.server.url("unreachable"), "evolve", ttl_s=2.0) as lease:
            fault_proxy.inject("503")
            until = time.monotonic() + 120
            while time.monotonic() < until:
                lease.check()
                time.sleep(0.1)

    with pytest.raises(LostLeaseError, match=r"could not be renewed in time.*overloaded"):
        work()
    assert fault_proxy.injected["503"] > 3


def test_a_lease_left_on_a_finished_output_is_removed_and_that_of_a_living_run_stays(url: str, start: Any) -> None:
    first = start(url)
    assert first.stdout.readline() == "held\n"
    sweep(url)
    assert Objects(url).keys(".lease")
    first.kill()
    first.wait()
    sweep(url)
    assert not Objects(url).keys(".lease")


def test_what_a_killed_writer_left_half_done_is_swept_on_take_over(tmp_path: Path) -> None:
    elsewhere(str(tmp_path), machine=Holder.here("", 1).machine)
    for name in ("smb/c/0#1", "smb/c/1", "inner/c/0#1", "inner/.lease/000001.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with hold(tmp_path, "evolve"):
        pass
    assert (tmp_path / "smb/c/1").exists()
    assert not (tmp_path / "smb/c/0#1").exists()
    assert (tmp_path / "inner/c/0#1").exists()  # another run works there


def test_a_place_that_cannot_be_written_says_so(fault_proxy: Any) -> None:
    fault_proxy.inject("403")
    with pytest.raises(StoreError, match="access was denied"), hold(fault_proxy.server.url("denied"), "evolve"):
        pass


def test_what_is_no_lease_is_refused_with_what_to_do(url: str) -> None:
    Objects(url, create=True).put(".lease/000001.json", b'{"unknown": 1}')
    with pytest.raises(StoreError, match=r"no lease of this version.*remove that folder"), hold(url, "evolve"):
        pass


def test_a_lease_covers_the_store_on_icechunk_that_lies_in_its_place(tmp_path: Path) -> None:
    with hold(tmp_path, "run") as lease:
        assert lease.covers(f"icechunk+file://{tmp_path}/smb.zarr")
        assert lease.covers(f"icechunk://{tmp_path}")
        assert not lease.covers(f"icechunk+file://{tmp_path}-beside")


def test_a_lease_inside_another_is_lost_with_it(tmp_path: Path) -> None:
    def work() -> None:
        with hold(tmp_path, "run", ttl_s=0.6), hold(tmp_path / "smb.zarr", "reconstruct") as inner:
            inner.check()
            Objects(str(tmp_path)).delete(".lease/000001.json")
            time.sleep(0.5)
            inner.check()
            pytest.fail("nobody told")

    with pytest.raises(LostLeaseError, match="taken for dead, and its lease was removed"):
        work()
