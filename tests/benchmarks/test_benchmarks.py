"""Every benchmark runs at a small size and says what it measured; how long it took is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted(path.name for path in HERE.glob("bench_*.py"))
SMALL = {
    "bench_ensemble.py": ["--rows", "80", "--folds", "3", "--members", "2", "--epochs", "4", "--alone", "6"],
    "bench_features.py": ["--glaciers", "16", "--growth", "2", "--sample", "3", "--repeats", "1"],
    "bench_rasters.py": ["--glaciers", "3", "--years", "40", "--networks", "2", "--repeats", "1", "--steps", "3"],
}
KEYS = {
    "bench_ensemble.py": {
        "benchmark", "rows", "networks", "epochs", "batched_s", "reference", "one_after_another_s", "ratio",
        "bare_loop_s", "ratio_to_bare_loop", "rmse_batched", "rmse_one_after_another",
    },
    "bench_features.py": {
        "benchmark", "glaciers", "years", "seconds", "reference", "reference_seconds", "ratio", "glaciers_per_s",
        "growth", "time_per_glacier_ratio", "peak_memory_mb",
    },
    "bench_rasters.py": {
        "benchmark", "glaciers", "years", "static_bytes", "series_bytes", "reference", "reference_bytes", "ratio",
        "ratio_on_ice", "ratio_to_raster_on_ice", "networks", "observations", "step_reference", "pairs", "fed_ms",
        "ready_ms", "overhead", "overhead_of_repeats", "making_ms", "making_share",
    },
}  # fmt: skip


@cache
def ran(script: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / script), *SMALL[script]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def test_every_benchmark_is_listed_here() -> None:
    assert set(SCRIPTS) == set(SMALL) == set(KEYS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_prints_one_line_of_json_with_its_size_and_its_reference(script: str) -> None:
    found = ran(script)
    assert set(found) >= KEYS[script]
    assert found["benchmark"] == script.removeprefix("bench_").removesuffix(".py")
    assert len(found["reference"]) > 20
    if script == "bench_ensemble.py":
        assert (found["rows"], found["networks"], found["epochs"]) == (80, 6, 4)
        # All networks trained together end where the same ones trained alone do.
        assert found["rmse_batched"] == pytest.approx(found["rmse_one_after_another"], rel=0.02)
    if script == "bench_features.py":
        assert (found["glaciers"], found["growth"], found["years"]) == (16, 2, 40)
        assert set(found["peak_memory_mb"]) == {"cube8", "cube16", "cube32"}
        assert all(50 < weight < 4000 for weight in found["peak_memory_mb"].values())


def test_climate_spread_on_the_device_takes_a_twentieth_of_the_bytes_of_a_stored_climate_raster() -> None:
    found = ran("bench_rasters.py")
    assert found["reference_bytes"] >= 20 * (found["static_bytes"] + found["series_bytes"])
    assert found["reference_bytes"] < 3 * 24 * 40 * 64**2 * 4  # glaciers, months of two variables, years, cells, bytes
