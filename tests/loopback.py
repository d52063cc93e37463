"""Run a Python script where only loopback is reachable: Ray listens on every address that a machine has."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_INSIDE = ("unshare", "-n", "bash", "-c", 'ip link set lo up; exec "$@"', "_")


def only_loopback() -> bool:
    """Whether this process reaches nothing but loopback already."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


@functools.cache
def prefix() -> tuple[str, ...]:
    """Words before a command that let it reach loopback only; skips the test where that is not permitted."""
    if only_loopback():
        return ()
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"Ray runs where only loopback is reachable, which needs {' and '.join(missing)}")
    tried = subprocess.run([*_INSIDE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"Ray runs where only loopback is reachable, which is not permitted: {tried.stderr.strip()}")
    return _INSIDE


def environment() -> dict[str, str]:
    """Variables for what runs there: the package importable, and no place that this process was told to run at."""
    cores = "GLACIERSCALE_CORES"
    kept = {name: told for name, told in os.environ.items() if name == cores or not name.startswith("GLACIERSCALE_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])}


def run(script: Path, *words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a Python script with words to its end.

    Parameters
    ----------
    script : Path
    *words : str
    timeout_s : float
        After which it is killed and the test fails.
    """
    command: Sequence[str] = [*prefix(), sys.executable, "-W", "error", str(script), *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environment(), cwd=ROOT
    )
