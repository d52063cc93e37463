"""What the fault tests share: ranges worked on calmly, and the log of a campaign."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:  # forked processes import what is tested by its name
    sys.path.insert(0, _ROOT)

from tests.faults import ranges  # noqa: E402

Told = Callable[..., None]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> ranges.Range:
    """Twelve glaciers, a block each."""
    return ranges.written(tmp_path_factory.mktemp("small"), glaciers=12, observed=6)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ranges.Range:
    """Sixty glaciers, a block each."""
    return ranges.written(tmp_path_factory.mktemp("wide"), glaciers=60, observed=12)


@pytest.fixture(scope="session")
def told() -> Told:
    """Add a line to the table of faults, in the file that ``GLACIERSCALE_CAMPAIGN_LOG`` names, if it does."""

    def tell(fault: str, stage: str, *, fired: int, recovered: int, seconds: float, **more: object) -> None:
        row = {"fault": fault, "stage": stage, "fired": fired, "recovered": recovered, "seconds": round(seconds, 1)}
        place = os.environ.get("GLACIERSCALE_CAMPAIGN_LOG")
        if place:
            with Path(place).open("a") as file:
                file.write(json.dumps(row | more) + "\n")

    return tell
