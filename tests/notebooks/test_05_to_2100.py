"""The notebook on the future: what it says of what is left, where and why is so."""

from __future__ import annotations

from pathlib import Path

import pytest

import glacierscale as gs
from tests.notebooks.executing import rerun

NAME = "05-to-2100.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_from_nothing_and_what_it_says_of_the_results_is_so(tmp_path: Path) -> None:
    rerun(NAME, tmp_path)
    out = tmp_path / "notebooks" / "out" / "05-to-2100"
    ice, flowing = (gs.Store.at(out / name / "ice.zarr").open().load() for name in ("", "flow"))
    volume = ice.volume.sum("glacier").groupby("scenario").mean()
    left = volume.isel(hydro_year=-1) / volume.isel(hydro_year=0)
    assert float(left.sel(scenario="stable")) == pytest.approx(0.2, abs=0.04)
    assert float(left.sel(scenario="warming")) < float(left.sel(scenario="warming, wetter")) < 0.02
    runoff = ice.runoff.sum("glacier").mean("member").rolling(hydro_year=10).mean()
    assert int(runoff.hydro_year[int(runoff.argmax("hydro_year"))]) <= 2030
    members = volume.sel(hydro_year=2050)
    of_flow = flowing.volume.sum("glacier").groupby("scenario").mean().sel(hydro_year=2050)
    assert float(abs(of_flow / members - 1).max()) < 0.15
    gone = (ice.year_gone > 0).groupby("scenario").mean("member").sel(scenario="warming")
    small = ice.area_m2 < 0.5e6
    assert float(gone[small].mean()) == 1.0
    assert float(gone[~small].mean()) < 0.95
