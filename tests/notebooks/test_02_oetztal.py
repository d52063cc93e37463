"""The notebook on real glaciers: what it says of its results, and how it ends where the data are not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.notebooks.executing import execute, printed, rerun

NAME = "02-oetztal.ipynb"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(1200)
def test_it_runs_on_the_real_data_and_what_it_says_of_the_results_is_so(shared: Path, tmp_path: Path) -> None:
    notebook = rerun(NAME, tmp_path)
    assert "no ice between 2700 and 2750 m on this surface" in printed(notebook)
    out = tmp_path / "notebooks" / "out" / "02-oetztal"
    scores = pd.read_parquet(out / "scores.parquet").set_index(["metric", "scheme", "model"])
    rmse = scores.loc["rmse"].value
    assert rmse["year_blocks", "hybrid"] < rmse["year_blocks", "temperature_index"]
    learned = [model for model in rmse["logo"].index if model != "same_year_mean"]
    assert rmse["logo", "same_year_mean"] < min(rmse["logo", model] for model in learned)
    kinds = pd.read_parquet(out / "scores_by_kind.parquet").query("metric == 'rmse' and scheme == 'year_blocks'")
    bands = kinds[kinds.kind == "band"].set_index("model").value
    assert bands["hybrid"] < 0.75 * bands["temperature_index"]
    assert (out / "smb_map_064.zarr").is_dir()


def test_without_the_data_and_the_network_it_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLACIERSCALE_SHARED", str(tmp_path / "nowhere"))
    with pytest.raises(AssertionError) as ended:
        execute(NAME, tmp_path / "copy")
    said = str(ended.value)
    assert "entry 'histalp': no whole file from https://" in said
    assert "check the network, or pass data=FOLDER with the files" in said
