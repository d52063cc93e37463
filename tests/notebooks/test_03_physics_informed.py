"""The notebook on the raster network: what it says of freedom, truth and warmer climates is so."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import glacierscale as gs
from glacierscale import synthetic
from tests.notebooks.executing import rerun

NAME = "03-physics-informed.ipynb"
SLACKS = (0.0, 0.1, 0.5, 1.0)
TOLD = ("dsmb_dt", "dsmb_dp")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_runs_from_nothing_and_what_it_says_of_the_results_is_so(tmp_path: Path) -> None:
    rerun(NAME, tmp_path)
    out = tmp_path / "notebooks" / "out" / "03-physics-informed"

    def table(slack: float, name: str) -> pd.DataFrame:
        return pd.read_parquet(out / f"slack_{slack}" / f"{name}.parquet").query("model == 'hybrid'")

    scores = {slack: table(slack, "scores").set_index("metric").value for slack in SLACKS}
    assert min(scores, key=lambda slack: scores[slack].rmse) == 0.1
    assert scores[0.1].rmse < 0.75 * min(scores[slack].rmse for slack in (0.0, 0.5, 1.0))
    matter = table(0.1, "importance").set_index("predictor").rmse_increase
    assert matter.nlargest(1).index[0] == "summer temperature"
    assert matter["cos_aspect"] > 3 * matter.drop([*matter.index[matter.index.str.contains(" ")], "cos_aspect"]).max()
    warmth, snow = ({slack: table(slack, "sensitivities")[name].mean() for slack in SLACKS} for name in TOLD)
    assert warmth[0.0] < warmth[0.1] < warmth[0.5] < warmth[1.0] < -500
    assert snow[0.0] > snow[0.1] > snow[0.5] > snow[1.0] > 100

    process = synthetic.TrueProcess(temp_bias_k=4.0)
    world = gs.SyntheticOptions(glaciers=24, observed=16, first_year=1991, process=process)
    true = float(synthetic.truth(world).mean())
    off = {
        slack: float(gs.Store.at(out / f"plus_4K/slack_{slack}/smb.zarr").open().smb.mean()) - true for slack in SLACKS
    }
    assert abs(off[0.0]) < off[0.1] < off[0.5] < off[1.0]
    assert -off[1.0] / true == pytest.approx(1 / 6, abs=0.06)
