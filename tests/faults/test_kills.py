"""SIGKILL at random moments: the same command, started again, ends with the bytes of a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from glacierscale.compute.memory import AHEAD
from tests.faults import ranges, running
from tests.faults.conftest import Told

CORES = len(os.sched_getaffinity(0))


@dataclass
class Kills:
    """What some kills did."""

    fired: int = 0
    finished: int = 0
    """Times that the command was through before a kill; its output was compared, removed and begun anew."""
    begun: int = 0
    """Blocks most, over all kills, that were being computed."""
    computed: int = 0
    """Blocks most, over all kills, that had been computed and were not yet written."""
    most: int = 0
    """Both together, most over all kills."""
    redone: int = 0
    """Blocks and steps computed again, in all."""


def kill_again_and_again(given: ranges.Range, stage: str, count: int, folder: Path, seed: int) -> Kills:
    """Start a stage and kill it, until `count` kills have fired; then let it finish and compare its bytes."""
    rng, found, out = random.Random(seed), Kills(), folder / "out"
    given.calm(stage)
    steps: dict[str, int] = {}
    while found.fired < count:
        before = running.progress(out)
        one = running.start(given.words(stage, out), folder / "said", env=given.environment(stage))
        if running.until(lambda seen=before: running.progress(out) - seen, one):
            time.sleep(rng.uniform(0, 0.1))
            killed = one.kill()
        else:
            killed = False
        work = one.work()
        for net, step in work.steps:
            found.redone += step <= steps.get(net, 0)
            steps[net] = max(step, steps.get(net, 0))
        if killed:
            being, lost = work.lost()
            found.fired, found.redone = found.fired + 1, found.redone + being + lost
            found.begun, found.computed = max(found.begun, being), max(found.computed, lost)
            found.most = max(found.most, being + lost)
        else:
            assert one.wait() == 0, one.words()[-3000:]
            assert not running.differing(out, given.expected(stage))
            shutil.rmtree(out)
            steps.clear()
            found.finished += 1
    code, said = running.run(given.words(stage, out), folder / "said", env=given.environment(stage))
    assert code == 0, said[-3000:]
    assert not running.differing(out, given.expected(stage))
    assert not running.left_over(given.calm(stage))
    return found


def check(given: ranges.Range, stage: str, count: int, folder: Path, told: Told) -> None:
    since = time.monotonic()
    found = kill_again_and_again(given, stage, count, folder, seed=count)
    assert found.fired == count
    told(
        "SIGKILL",
        stage,
        fired=found.fired,
        recovered=found.fired,
        seconds=time.monotonic() - since,
        finished_before=found.finished,
        most_blocks_redone_per_kill=found.most,
        most_blocks_half_computed_per_kill=found.begun,
        most_blocks_computed_unwritten_per_kill=found.computed,
        blocks_or_steps_redone=found.redone,
        workers=CORES,
    )
    # Each worker may lose the block it computes; what the process had besides was on its way to the disk.
    assert found.most <= CORES + AHEAD


@pytest.mark.parametrize("stage", ["featurize", "train", "evolve"])
def test_a_command_killed_twice_ends_with_the_bytes_of_one_that_was_not(
    small: ranges.Range, stage: str, tmp_path: Path, told: Told
) -> None:
    check(small, stage, 2, tmp_path, told)


@pytest.mark.campaign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stage", ranges.STAGES)
def test_a_command_killed_twenty_times_ends_with_the_bytes_of_one_that_was_not(
    wide: ranges.Range, stage: str, tmp_path: Path, told: Told
) -> None:
    check(wide, stage, 20, tmp_path, told)
