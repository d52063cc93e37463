"""Every benchmark runs at a small size and says what it measured; how long it took is not tested."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SCRIPTS = sorted(path.name for path in HERE.glob("bench_*.py"))
LOOPBACK = (
    "unshare", "-n", "-p", "-f", "--kill-child=SIGKILL", "--mount-proc",
    "bash", "-c", 'ip link set lo up; exec "$@"', "_",
)  # fmt: skip
SMALL = {
    "bench_ensemble.py": ["--rows", "80", "--folds", "3", "--members", "2", "--epochs", "4", "--alone", "6"],
    "bench_evolution.py": ["--glaciers", "3", "--members", "1", "3", "--flowing", "2", "--years", "4", "--turns", "1"],
    "bench_explore.py": ["--glaciers", "40", "--repeats", "2"],
    "bench_features.py": ["--glaciers", "16", "--growth", "2", "--sample", "3", "--repeats", "1"],
    "bench_feed.py": ["--small"],
    "bench_ray.py": ["--small"],
    "bench_rasters.py": ["--glaciers", "3", "--years", "40", "--networks", "2", "--repeats", "1", "--steps", "3"],
    "bench_scale.py": ["--small"],
    "bench_sia.py": ["--glaciers", "3", "--years", "2", "--members", "2", "--repeats", "1"],
    "bench_writing.py": ["--small", "--repeats", "1"],
}
KEYS = {
    "bench_ensemble.py": {
        "benchmark", "rows", "networks", "epochs", "batched_s", "reference", "one_after_another_s", "ratio",
        "bare_loop_s", "ratio_to_bare_loop", "rmse_batched", "rmse_one_after_another",
    },
    "bench_evolution.py": {"benchmark", "glaciers", "members", "years", "turns", "reference", "ratio", "rates"},
    "bench_explore.py": {
        "benchmark", "glaciers", "shaded", "click_ms", "year_ms", "quantity_ms", "first_s", "reference", "reference_ms",
    },
    "bench_features.py": {
        "benchmark", "glaciers", "years", "seconds", "reference", "reference_seconds", "ratio", "glaciers_per_s",
        "growth", "time_per_glacier_ratio", "peak_memory_mb",
    },
    "bench_feed.py": {
        "benchmark", "samples", "shape", "batch", "rounds", "cores", "torch_threads", "reference", "rates", "ratio",
        "ratio_factorised", "ratio_lz4", "ratio_to_reused", "ratio_factorised_to_reused", "ratio_to_xbatcher",
        "ratio_factorised_to_xbatcher", "ratio_to_tensorstore", "ratio_lz4_to_tensorstore", "lz4_bytes_share",
    },
    "bench_ray.py": {
        "benchmark", "glaciers", "networks", "steps", "turns", "reference", "step_here_ms", "step_on_ray_ms",
        "overhead", "overhead_of_turns", "start_of_workers_s",
    },
    "bench_rasters.py": {
        "benchmark", "glaciers", "years", "static_bytes", "series_bytes", "reference", "reference_bytes", "ratio",
        "ratio_on_ice", "ratio_to_raster_on_ice", "networks", "observations", "step_reference", "pairs", "fed_ms",
        "ready_ms", "overhead", "overhead_of_repeats", "making_ms", "making_share",
    },
    "bench_scale.py": {
        "benchmark", "years", "glaciers_per_block", "members", "one_process", "ms_per_glacier", "reference",
        "time_per_glacier_ratio", "cpu_time_per_glacier_ratio", "peak_memory_ratio", "two_processes",
    },
    "bench_sia.py": {
        "benchmark", "glaciers", "ice_cells", "patch", "years", "members", "glacier_years_s",
        "glacier_years_s_of_members", "wall", "reference", "reference_glacier_years_s", "ratio", "rms_error_m",
        "volume_error",
    },
    "bench_writing.py": {
        "benchmark", "workers", "codec", "on", "blocks", "block_mb", "largest_shard_mb", "damages", "mb_s", "reference",
        "reference_mb_s", "ratio",
    },
}  # fmt: skip


ALONE = {"bench_explore.py", "bench_ray.py", "bench_scale.py"}
"""Those that take the network, a browser or worker processes; the others share one interpreter and its imports"""
TOGETHER = """
import contextlib, io, json, runpy, sys, traceback
for script, *words in json.load(sys.stdin):
    sys.argv, said, error = [script, *words], io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(script, run_name="__main__")
    except (Exception, SystemExit):
        error = traceback.format_exc()
    print(json.dumps([said.getvalue(), error]))
"""


@cache
def ran(script: str) -> dict[str, Any]:
    """What a benchmark found."""
    said, error = alone(script) if script in ALONE else together()[script]
    assert not error, error
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


def alone(script: str) -> tuple[str, str]:
    """What a benchmark prints in an interpreter of its own, and why it failed, if it did."""
    if script == "bench_ray.py" and os.geteuid() != 0:
        pytest.skip("Ray listens on all addresses; as root it is tested in a network namespace of its own")
    if script == "bench_explore.py" and not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH; install one to time the dashboard")
    within = LOOPBACK if script == "bench_ray.py" else ()
    done = subprocess.run(
        [*within, sys.executable, str(HERE / script), *SMALL[script]], capture_output=True, text=True, check=False
    )
    return done.stdout, f"exit code {done.returncode}: {done.stderr}" if done.returncode else ""


@cache
def together() -> dict[str, tuple[str, str]]:
    """The same of all other benchmarks."""
    scripts = [script for script in SCRIPTS if script not in ALONE]
    asked = json.dumps([[str(HERE / script), *SMALL[script]] for script in scripts])
    words = [sys.executable, "-c", TOGETHER]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(scripts, map(tuple, map(json.loads, done.stdout.splitlines())), strict=True))


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


def test_blocks_written_by_two_workers_hold_the_values_of_the_reference_and_no_damage() -> None:
    found = ran("bench_writing.py")
    assert (found["blocks"], found["damages"], found["workers"]) == (4, 0, "2 threads")


def test_flowing_glaciers_are_timed_beside_explicit_steps_and_end_where_fine_ones_bring_them() -> None:
    found = ran("bench_sia.py")
    assert (found["glaciers"], found["years"], found["members"]) == (3, 2, 2)
    assert found["glacier_years_s"] > found["reference_glacier_years_s"] > 0
    assert found["rms_error_m"] < 1
    assert abs(found["volume_error"]) < 1e-3


def test_glaciers_are_moved_by_both_methods_without_a_run_and_without_oggm() -> None:
    found = ran("bench_evolution.py")
    assert (found["glaciers"], found["members"], found["years"]) == (3, [1, 3], 4)
    assert set(found["rates"]) == {"delta_h_1", "delta_h_3", "sia_2"}
    assert all(value > 0 for rates in found["rates"].values() for value in rates.values())


def test_the_feed_is_timed_beside_every_other_way() -> None:
    found = ran("bench_feed.py")
    assert (found["samples"], found["batch"], found["shape"]) == (256, 64, [12, 16, 16])
    assert set(found["rates"]) >= {
        "reference", "reference_reused", "stored", "stored_unchecked", "stored_lz4", "factorised", "tensorstore",
        "xbatcher_preloaded", "xbatcher_lazy", "xbatcher_lazy_blocks", "zarr_per_sample", "zarr_per_shard",
    }  # fmt: skip
    assert all(rate > 0 for rate in found["rates"].values())
    assert 0 < found["lz4_bytes_share"] < 1


def test_training_on_ray_takes_the_same_steps_as_here() -> None:
    found = ran("bench_ray.py")
    assert (found["networks"], found["steps"], found["turns"]) == (2, 12, 1)
    assert found["step_here_ms"] > 0
    assert found["step_on_ray_ms"] > 0
    assert found["overhead_of_turns"] == [found["overhead"]]


def test_features_and_reconstruction_are_timed_and_weighed_at_every_size_and_with_two_processes() -> None:
    found = ran("bench_scale.py")
    assert set(found["one_process"]) == set(found["ms_per_glacier"]) == {"8", "16"}
    assert (found["two_processes"]["glaciers"], found["time_per_glacier_ratio"]["8"]) == (16, 1)
    assert all(50 < one["peak_worker_mb"] < 4000 for one in found["one_process"].values())
