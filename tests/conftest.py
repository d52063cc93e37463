"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real glacier data: ``GLACIERSCALE_SHARED``, or ``shared`` beside the checkout; skips without it."""
    root = Path(os.environ.get("GLACIERSCALE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (root / "data").is_dir():
        pytest.skip(f"real data not found at {root}; set GLACIERSCALE_SHARED to the folder that holds data/")
    return root
