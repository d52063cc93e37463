"""Runs with known values for the dashboard, a small one and one of 10,000 glaciers, and the S3 server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.explore import scale
from tests.servers import clean_environment, fault_proxy, s3, s3_server

__all__ = ["clean_environment", "fault_proxy", "s3", "s3_server"]


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Cube with terrain, balances and future of twelve glaciers, the fourth of them set aside; blocks of five."""
    blocks = {"cube": 5, "smb": 5, "ice": 5}
    return scale.make(tmp_path_factory.mktemp("small"), 12, aside=(3,), terrain=True, per_block=blocks)


@pytest.fixture(scope="session")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of 10,000 glaciers without terrain: half a minute, 500 MB."""
    return Path(scale.make(tmp_path_factory.mktemp("large"), 10_000))
