"""The region in few numbers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from glacierscale.reporting import summary


def test_the_region_of_one_glacier_has_the_uncertainty_of_that_glacier(made):
    data = made.reconstruction(glaciers=1)
    series = summary.regional_series(data)
    np.testing.assert_allclose(series["mean"], data.smb[0], rtol=1e-5)
    np.testing.assert_allclose(series["std"], data.smb_std[0], rtol=1e-5)
    np.testing.assert_allclose(series["shared_std"], data.smb_std[0], rtol=1e-5)


def test_independent_residuals_average_out_over_equal_glaciers_and_shared_ones_do_not(made):
    data = made.reconstruction(glaciers=25, residual=300.0)
    data["smb_member"] = data.smb_member * 0 + data.smb
    data["smb_std"] = data.smb_std * 0 + 300
    data = data.assign_coords(area_m2=data.area_m2 * 0 + 1e6)
    series = summary.regional_series(data)
    np.testing.assert_allclose(series["std"], 60.0, rtol=1e-5)
    np.testing.assert_allclose(series["shared_std"], 300.0, rtol=1e-5)
    np.testing.assert_allclose(series["cumulative_std"][-1], 60 * np.sqrt(made.years.size), rtol=1e-5)


def test_what_members_share_does_not_average_out(made):
    data = made.reconstruction(residual=0.0)
    offset = xr.DataArray([-100.0, 100.0, -100.0, 100.0], dims="member")
    data["smb_member"] = offset + data.smb
    data["smb_std"] = data.smb_std * 0 + 100
    series = summary.regional_series(data)
    np.testing.assert_allclose(series["std"], 100.0, rtol=1e-4)
    assert series.attrs["std"] == pytest.approx(100, rel=1e-4)
    np.testing.assert_allclose(series["cumulative_std"][-1], 100 * made.years.size, rtol=1e-4)


def certain(made, *, glaciers):
    """A reconstruction whose members agree, of glaciers of one size with a residual of 300 kg m-2."""
    data = made.reconstruction(glaciers=glaciers)
    data["smb_member"] = data.smb_member * 0 + data.smb
    data["smb_std"] = data.smb_std * 0 + 300
    return data.assign_coords(area_m2=data.area_m2 * 0 + 1e6)


def test_what_lasts_adds_up_over_years_and_averages_out_over_glaciers(made):
    data, years = certain(made, glaciers=25), made.years.size
    for lasting, each in ((np.ones(25), 60 * years), (np.full(25, 0.5), 60 * np.sqrt((years + years**2) / 2))):
        data["lasting_share"] = ("glacier", lasting)
        series = summary.regional_series(data)
        np.testing.assert_allclose(series["std"], 60.0, rtol=1e-5)
        np.testing.assert_allclose(series["cumulative_std"][-1], each, rtol=1e-5)
        assert series.attrs["std"] == pytest.approx(each / years, rel=1e-5)
    np.testing.assert_allclose(series["shared_std"], np.sqrt(300**2 / 2 + 60**2 / 2), rtol=1e-5)
    wide = np.sqrt((300**2 * years + 60**2 * years**2) / 2)
    np.testing.assert_allclose(series["cumulative_shared_std"][-1], wide, rtol=1e-5)
    one = summary.embedded_series(data, made.predictions(data))["glaciers"][0]
    assert one["sum_std"][-1] == round(300 * np.sqrt((years + years**2) / 2))


def test_the_regional_mean_weighs_by_area_over_the_glaciers_that_have_a_value(made):
    data = made.reconstruction(glaciers=3)
    data = data.assign_coords(area_m2=("glacier", np.float32([1e6, 3e6, 9e6]), {"units": "m2"}))
    data["smb"][2, 0] = np.nan
    mean = summary.regional_series(data)["mean"]
    assert mean[0] == pytest.approx(float(0.25 * data.smb[0, 0] + 0.75 * data.smb[1, 0]), rel=1e-5)
    assert mean[1] == pytest.approx(float(np.average(data.smb[:, 1], weights=[1, 3, 9])), rel=1e-5)


def test_blocks_of_glaciers_change_nothing(monkeypatch, made):
    data = made.reconstruction()
    whole = summary.regional_series(data)
    monkeypatch.setattr(summary, "_BLOCK", 3)
    xr.testing.assert_allclose(summary.regional_series(data), whole)


def test_observations_of_a_unit_reach_each_of_its_outlines(made):
    data = made.reconstruction(glaciers=3)
    parts = np.array(["RGI60-11.00000_d01", "RGI60-11.00000_d02", "RGI60-11.00002"])
    table = made.predictions(data)
    data = data.assign(glacier_id=("glacier", parts), unit_id=("glacier", [p.split("_")[0] for p in parts]))
    embedded = summary.embedded_series(data, table)
    found = {g["id"]: len(g["observed"]) for g in embedded["glaciers"]}
    assert found == dict.fromkeys(parts.tolist(), 15)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ("lasso", "the Lasso"),
        ("mlp", "the perceptron (MLP)"),
        ("mlp for observed glaciers, lasso for the others",
         "the perceptron (MLP) for observed glaciers and the Lasso for the others"),
        ("forest for observed glaciers, mlp for the others",
         "forest for observed glaciers and the perceptron (MLP) for the others"),
        ("some other net", "some other net"),
        ("", "a model that the store does not name"),
    ],
)  # fmt: skip
def test_the_reconstructing_models_are_named_in_words(net, said):
    assert summary.reconstructed_by(net) == said
