"""Many starters of one command at the same moment: one works, the others are told who does."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import ranges, running
from tests.faults.conftest import Told


def start_together(given: ranges.Range, stage: str, count: int, folder: Path, told: Told) -> None:
    given.calm(stage)
    gate, out, since = running.server().Barrier(count), folder / "out", time.monotonic()
    all_of_them = [running.start(given.words(stage, out), folder / "said", gate=gate) for _ in range(count)]
    ended = [(one.wait(), one.words(), one.work()) for one in all_of_them]
    codes = Counter(code for code, _, _ in ended)
    wrote = [number for number, (_, _, work) in enumerate(ended) if work.written or work.steps]
    told(
        f"{count} starters",
        stage,
        fired=count,
        recovered=codes[0] + codes[5],
        seconds=time.monotonic() - since,
        worked=len(wrote),
        refused=codes[5],
        found_it_done=codes[0] - len(wrote),
    )
    assert set(codes) <= {0, 5}, next(said for code, said, _ in ended if code not in (0, 5))[-2000:]
    assert len(wrote) == 1
    assert ended[wrote[0]][0] == 0
    holder = all_of_them[wrote[0]].process.pid
    for code, said, work in ended:
        if code == 5:
            assert re.search(rf"is held by `\w+`, process {holder} on |is held by another run that starts", said), said
            assert not work.begun
    assert sum(work.written.total() for _, _, work in ended) == len(running.blocks_done(out))
    assert codes[5] >= 1  # else they did not meet
    assert not running.differing(out, given.expected(stage))


def test_of_six_starters_one_works_and_the_others_are_told_who_does(
    wide: ranges.Range, tmp_path: Path, told: Told
) -> None:
    start_together(wide, "featurize", 6, tmp_path, told)


@pytest.mark.campaign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stage", ["featurize", "rasterize", "train"])
def test_of_sixty_four_starters_one_works_and_the_others_are_told_who_does(
    wide: ranges.Range, stage: str, tmp_path: Path, told: Told
) -> None:
    start_together(wide, stage, 64, tmp_path, told)
