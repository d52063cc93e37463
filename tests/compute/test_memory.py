"""How many blocks fit into memory, and that more blocks take no more of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from glacierscale import compute
from glacierscale.compute import memory
from tests import loopback

GIB = 2**30


@pytest.mark.parametrize(
    ("bytes_each", "limit", "cores", "expected"),
    [
        (0, GIB, 4, (4, 6)),  # what a block needs is not told
        (GIB, 0, 4, (4, 6)),  # the worker has no limit
        (GIB, 100 * GIB, 4, (4, 6)),
        (GIB, 5 * GIB, 4, (3, 5)),
        (GIB, 3 * GIB, 4, (1, 3)),
        (GIB, 2 * GIB, 4, (1, 2)),
        (GIB, GIB, 4, (1, 1)),
    ],
)
def test_fewer_blocks_at_once_where_not_all_fit(
    bytes_each: int, limit: int, cores: int, expected: tuple[int, int]
) -> None:
    computing, in_memory = memory.fit(bytes_each, limit, cores, "this machine")
    assert (computing, in_memory) == expected
    assert not limit or in_memory * bytes_each <= limit


def test_a_block_that_does_not_fit_names_estimate_limit_and_remedy() -> None:
    said = r"a block needs about 3 GiB of memory, but this machine has 2 GiB for blocks\. Lower .*glaciers_per_block"
    with pytest.raises(ValueError, match=said):
        memory.fit(3 * GIB, 2 * GIB, 4, "this machine")


def test_where_one_block_fits_they_run_one_after_the_other() -> None:
    level, most, lock = 0, 0, threading.Lock()

    def enter(block: int) -> int:
        nonlocal level, most
        with lock:
            level += 1
            most = max(most, level)
        time.sleep(0.02)
        return block

    def leave(block: int, _: int) -> None:
        nonlocal level
        with lock:
            level -= 1

    needs = int(0.7 * memory.available_bytes())
    job = compute.Job(enter, lambda _, inputs: inputs, leave)
    compute.run(job, range(8), label="blocks", bytes_each=needs)
    assert most == 1


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_control_group_or_of_one_around_it_counts(version: int, tmp_path: Path) -> None:
    table, root = tmp_path / "cgroup", tmp_path / "groups"
    around = root / "memory" / "pod" if version == 1 else root / "pod"
    own = around / "container"
    own.mkdir(parents=True)
    limit, usage, cache = memory._V1 if version == 1 else memory._V2
    for group, most in ((own, "9223372036854771712" if version == 1 else "max"), (around, str(4 * GIB))):
        (group / limit).write_text(most)
        (group / usage).write_text(str(2 * GIB))
        (group / "memory.stat").write_text(f"anon 1\n{cache} {GIB}\n")
    table.write_text("4:memory:/pod/container\n" if version == 1 else "0::/pod/container\n")
    assert min(memory._left_in_cgroups(table, root)) == 3 * GIB


def test_what_is_available_is_not_more_than_the_machine_has() -> None:
    assert 0 < memory.available_bytes() <= psutil.virtual_memory().total


CREEP = """
import resource, sys
import numpy as np
from glacierscale import compute

def load(block):
    return np.full((4, 1_000_000 + 1000 * block), 1.0)

def work(block, inputs):
    return [inputs + n for n in range(2)] + [inputs[0, :1000].tolist()]

with compute.use(compute.Cluster(workers=2)):
    compute.run(compute.Job(load, work, lambda block, arrays: None), range(int(sys.argv[1])), label="x", bytes_each=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_peak_memory_does_not_grow_with_the_number_of_blocks() -> None:
    peak = {}
    for count in (10, 50):
        command = [sys.executable, "-c", CREEP, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=loopback.environment())
        peak[count] = int(done.stdout)
    assert peak[10] > 200_000, "the blocks were never there"
    assert peak[50] < 1.25 * peak[10]
