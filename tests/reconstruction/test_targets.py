"""Glaciers and periods that a catalogue asks for are answered from the reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.reconstruction import reconstruct, targets


@pytest.fixture(scope="module")
def smb(model_folder: Path, features: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return reconstruct(model_folder, features, to=tmp_path_factory.mktemp("targets") / "smb.zarr")


def wanted(*pairs: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["rgi_id", "period"])


def test_a_period_is_the_mean_of_its_years_and_its_error_is_not_averaged_away(smb: Any) -> None:
    data: xr.Dataset = smb.open().load()
    found = targets.means(data, wanted(("RGI60-11.00002", "1993-2001"), ("RGI60-11.00001", "1991-2003")))
    assert found.columns.tolist() == ["rgi_id", "period", "dmdtda", "std"]
    years = slice(2, 10)  # 1993 to 2000
    assert found.dmdtda[0] == pytest.approx(data.smb.values[1, years].mean() / 1000, rel=1e-5)
    assert found.dmdtda[1] == pytest.approx(data.smb.values[0].mean() / 1000, rel=1e-5)
    members = data.smb_member.values[:, 1].astype(float)
    unexplained = (data.smb_std.values[1] ** 2 - members.std(axis=0, ddof=1) ** 2)[0]
    spread = members[:, years].mean(axis=1).std(ddof=1)
    assert found["std"][0] == pytest.approx(np.hypot(spread, np.sqrt(unexplained)) / 1000, rel=1e-3)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("RGI60-11.99999", "1993-2001"), r"lacks 1 glaciers asked for, such as RGI60-11.99999"),
        (("RGI60-11.00001", "1980-2000"), r"1980-2000 is not in the reconstruction's years 1991..2002"),
        (("RGI60-11.00001", "2000-1993"), "the period '2000-1993' is none"),
        (("RGI60-11.00001", "nineties"), "the period 'nineties' is none"),
        (("RGI60-11.00004", "1993-2001"), "have no balance, such as RGI60-11.00004; look at set_aside"),
    ],
)
def test_what_the_reconstruction_lacks_is_an_error(smb: Any, pair: tuple[str, str], message: str) -> None:
    data = smb.open().load()
    data["smb"] = data.smb.where(data.glacier_id != "RGI60-11.00004")
    with pytest.raises(ValueError, match=message):
        targets.means(data, wanted(pair))


CATALOG = """
name: asked
sources:
  asked:
    driver: csv
    description: glaciers to predict
    args: {urlpath: "{{ CATALOG_DIR }}/asked.csv"}
    metadata: {role: targets, dataset: d, convention: CONVENTION, license: x, citation: y}
"""


def test_every_row_that_is_asked_for_is_written_once(smb: Any, tmp_path: Path) -> None:
    asked = wanted(("RGI60-11.00003", "1993-2001"), ("RGI60-11.00001", "1993-2001"), ("RGI60-11.00001", "1991-1993"))
    asked.to_csv(tmp_path / "asked.csv", index=False)
    (tmp_path / "asked.yaml").write_text(CATALOG.replace("CONVENTION", "hugonnet_decades"))
    assert targets.write(tmp_path / "asked.yaml", smb, to=tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "block_predictions.csv")
    pd.testing.assert_frame_equal(found[["rgi_id", "period"]], asked)
    assert np.isfinite(found[["dmdtda", "std"]]).all(axis=None)
    assert (found["std"] > 0).all()
    before = (tmp_path / "out" / "block_predictions.csv").stat().st_mtime_ns
    targets.write(tmp_path / "asked.yaml", smb, to=tmp_path / "out")
    assert (tmp_path / "out" / "block_predictions.csv").stat().st_mtime_ns == before


def test_errors_name_the_entry_and_other_conventions_are_passed_over(smb: Any, tmp_path: Path) -> None:
    wanted(("RGI60-11.99999", "1993-2001")).to_csv(tmp_path / "asked.csv", index=False)
    (tmp_path / "asked.yaml").write_text(CATALOG.replace("CONVENTION", "hugonnet_decades"))
    with pytest.raises(ValueError, match="entry 'asked': the reconstruction lacks 1 glaciers"):
        targets.write(tmp_path / "asked.yaml", smb, to=tmp_path / "out")
    (tmp_path / "asked.yaml").write_text(CATALOG.replace("CONVENTION", "another"))
    assert not targets.write(tmp_path / "asked.yaml", smb, to=tmp_path / "out")
    assert not (tmp_path / "out").exists()
