"""Height ranges of bands, recovered from the centres of their neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glacierscale.models.bands import band_edges
from glacierscale.sources import observations as obs


def banded(*years: list[float]) -> pd.DataFrame:
    """Build bands of one glacier, one list of centres a year."""
    rows = [(2000 + n, centre) for n, centres in enumerate(years) for centre in centres]
    return obs.glacierscale(
        pd.DataFrame(rows, columns=["obs_year", "obs_elevation"]).assign(
            obs_unit_id="RGI60-11.00001", obs_kind="band", obs_value=-500.0, units="mm w.e."
        )
    )


@pytest.mark.parametrize(
    ("centres", "edges"),
    [
        ([2525, 2575, 2625], [(2500, 2550), (2550, 2600), (2600, 2650)]),
        ([2575, 2525, 2625], [(2550, 2600), (2500, 2550), (2600, 2650)]),
        # cut at the glacier's ends, with the centre of what is left
        ([868, 925, 975, 1025, 1087], [(836, 900), (900, 950), (950, 1000), (1000, 1050), (1050, 1124)]),
        ([1700, 1800, 1900, 2075], [(1650, 1750), (1750, 1850), (1850, 1950), (1950, 2200)]),
        # two bands without a value
        ([2525, 2575, 2725, 2775], [(2500, 2550), (2550, 2600), (2700, 2750), (2750, 2800)]),
        # another spacing in the middle
        ([1000, 1050, 1125, 1175, 1225], [(975, 1025), (1025, 1087.5), (1087.5, 1150), (1150, 1200), (1200, 1250)]),
    ],
)
def test_edges_lie_between_neighbours(centres: list[float], edges: list[tuple[float, float]]) -> None:
    found = np.column_stack(band_edges(banded(centres)))
    np.testing.assert_allclose(found, edges)


def test_a_lone_band_has_the_width_that_its_glacier_has_in_other_years() -> None:
    lower, upper = band_edges(banded([2525, 2575, 2625], [2625]))
    assert (lower[-1], upper[-1]) == (2600, 2650)
    assert np.isnan(band_edges(banded([2625]))).all()


def test_other_kinds_have_no_edges() -> None:
    table = banded([2525, 2575])
    table.loc[0, "obs_kind"] = "annual"
    assert np.isnan(band_edges(table)[0]).all()


def test_no_bands_of_the_world_collection_overlap_and_all_hold_their_centre(shared: Path) -> None:
    folder = shared / "data/wgms"
    links = pd.read_csv(folder / "rgi_wgms_links_20220112.csv")
    files = sorted((folder / "mb_profiles").glob("*.csv"))
    table = obs.wgms_profiles({f.stem: pd.read_csv(f) for f in files}, links, list(links["RGI60_ID"]))
    lower, upper = band_edges(table)
    known = np.isfinite(lower)
    assert (~known).sum() < 10
    bands = table.assign(lower=lower, upper=upper)[known]
    assert (bands["lower"] < bands["obs_elevation"]).all()
    assert (bands["obs_elevation"] < bands["upper"]).all()
    bands = bands.sort_values(["obs_unit_id", "obs_year", "obs_elevation"])
    below = bands.groupby(["obs_unit_id", "obs_year"])["upper"].shift()
    assert not (bands["lower"] < below - 1e-6).any()
    assert np.median(bands["upper"] - bands["lower"]) == 50


def test_oetztal_bands_are_50_metres_wide(shared: Path) -> None:
    links = pd.read_csv(shared / "data/oetztal/wgms_rgi_links.csv")
    files = sorted((shared / "data/oetztal/wgms").glob("profile_*.csv"))
    ids = ["RGI50-11.00719_d01", "RGI50-11.00897", "RGI50-11.00929"]
    table = obs.wgms_profiles({f.stem: pd.read_csv(f) for f in files}, links, ids)
    lower, upper = band_edges(table)
    width, count = np.unique(upper - lower, return_counts=True)
    assert dict(zip(width, count, strict=True)) == {
        14.0: 31,
        50.0: 1945,
    }  # the summit of Hintereisferner ends at 3714 m
