"""A run file that lets a small synthetic range evolve, from its raw files to the page."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from glacierscale import synthetic
from glacierscale.pipeline import read_plan
from glacierscale.store import Store
from tests.commands import main

SECTION = {
    "first": 2005,
    "until": 2030,
    "scenarios": [{"name": "later"}, {"name": "hot", "of": "later", "warming_k": 9.0}],
    "members": 2,
    "snapshots": [2005, 2030],
}


@pytest.fixture(scope="module")
def given(
    small_range: Any, small_raw: Path, small_run_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A run file that evolves the small range, and its raw files with a future climate."""
    folder = tmp_path_factory.mktemp("evolving_run")
    raw = folder / "raw"
    shutil.copytree(small_raw, raw)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        synthetic.climate(replace(small_range, last_year=2030)).to_zarr(raw / "future.zarr", zarr_format=3)
    catalog = yaml.safe_load((small_run_file.parent / "demo.yaml").read_text())
    entry = yaml.safe_load(yaml.safe_dump(catalog["sources"]["climate"]).replace("climate.zarr", "future.zarr"))
    entry["metadata"] |= {"dataset": "model", "scenario": "later"}
    catalog["sources"]["future"] = entry
    (folder / "demo.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False))
    plan = yaml.safe_load(small_run_file.read_text()) | {"evolve": SECTION}
    plan["ingest"] |= {"scenarios": ["model"], "climate": "era5_like"}
    plan["train"] |= {"hold_out": ["loyo"]}
    (folder / "run.yaml").write_text(yaml.safe_dump(plan))
    return folder / "run.yaml", raw


def test_a_run_file_lets_glaciers_evolve_and_changes_nothing_when_run_again(
    given: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, raw = given
    words = ["run", str(file), "--data", str(raw), "--to", str(tmp_path / "out")]
    assert main(words) in (0, 3)
    said = capsys.readouterr().err
    order = [said.index(f"\n{verb} ") for verb in ("rasterize", "train", "reconstruct", "evolve", "report")]
    assert order == sorted(order)
    found = Store.at(tmp_path / "out/ice.zarr").open().load()
    assert found.scenario.values.tolist() == ["later", "later", "hot", "hot"]
    assert found.hydro_year.values[[0, -1]].tolist() == [2005, 2030]
    sound = np.isfinite(found.volume.values[0, :, 0])
    assert sound.sum() >= 9
    last = found.volume.values[:, sound, -1].sum(axis=1)
    assert (last[2:] < last[:2]).all()
    listed = yaml.safe_load((tmp_path / "out/catalog.yaml").read_text())["sources"]
    assert {"ice", "ice_totals"} <= set(listed)
    assert any(name.startswith("ice_map_") for name in listed)
    for store in (tmp_path / "out").glob("ice*.zarr"):
        assert main(["verify", str(store)]) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    main(words)
    assert "evolve      " in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_section_that_is_wrong_is_named(given: tuple[Path, Path], tmp_path: Path) -> None:
    plan = yaml.safe_load(given[0].read_text())
    for change, words in (
        ({"until": 2005}, "until is 2005 and first 2005; expected a later year"),
        ({"method": "flow"}, "method"),
        ({"scenarios": [{"name": "a"}, {"name": "a"}]}, "scenarios a are named twice"),
        ({"scenarios": [{"name": "a", "warming_k": 50}]}, "warming_k of scenario a is 50"),
    ):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(plan | {"evolve": SECTION | change}))
        with pytest.raises(ValueError, match=words):
            read_plan(tmp_path / "run.yaml")
