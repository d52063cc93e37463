"""The notebook that everyone opens first does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import glacierscale as gs
from tests.notebooks.executing import printed, rerun

NAME = "01-quick-start.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_from_nothing_and_what_it_says_of_the_results_is_so(tmp_path: Path) -> None:
    said = printed(rerun(NAME, tmp_path))
    out = tmp_path / "notebooks" / "out" / "01-quick-start"
    assert gs.Store.at(out / "smb.zarr").unfinished() == []
    assert "2 blocks were missing, now 0" in said
    assert "the same values: True" in said
    assert "Run `glacierscale reconstruct` as before, it continues" in said
    (observed, seen), (unobserved, unseen) = re.findall(r"error +(\d+) kg m-2, inside 90 %: (\d+)%", said)
    rmse = (
        pd.read_parquet(out / "scores.parquet")
        .query("metric == 'rmse'")
        .pivot(index="scheme", columns="model", values="value")
    )
    assert int(observed) < int(unobserved) < 0.2 * rmse.training_mean["logo"]
    assert min(int(seen), int(unseen)) >= 85
    references = rmse[["training_mean", "same_year_mean", "ols", "temperature_index"]].min(axis=1)
    assert (rmse[["lasso", "mlp"]].max(axis=1) < references).all()
