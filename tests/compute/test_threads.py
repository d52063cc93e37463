"""How many threads work here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from glacierscale import compute

LIMIT = "GLACIERSCALE_CORES"


def test_a_process_counts_the_cores_of_its_affinity_and_not_those_of_the_machine() -> None:
    alone = (
        "import os, glacierscale.compute as c\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "print(c.cores())"
    )
    told = {name: value for name, value in os.environ.items() if name != LIMIT}
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True, env=told)
    assert done.stdout.split() == ["1"]


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("100000", None), ("", None)])
def test_the_environment_may_say_fewer_cores_and_never_more(
    given: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LIMIT, raising=False)
    there = compute.cores()
    monkeypatch.setenv(LIMIT, given)
    assert compute.cores() == (expected or there)


@pytest.mark.parametrize("given", ["0", "-2", "1.5", "four"])
def test_anything_else_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, given)
    with pytest.raises(ValueError, match=rf"^{LIMIT} is '{given}'; expected a whole number of cores above 0\.$"):
        compute.cores()
