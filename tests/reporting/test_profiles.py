"""Profiles answer to the maps and bands they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale.reporting import profiles


def test_gradient_and_height_of_balance_are_those_of_the_plane(surfaces, drawing):
    svg = profiles.gradient_figure(surfaces)
    texts = drawing.texts(svg)
    assert {"G1", "G2", "balanced at 3050 m"} <= texts  # the mean year is 300 kg m-2 below the plane's
    assert "0.60 m w.e. per 100 m" in texts
    assert drawing.marks(svg, "bands-G1") == 1


def test_held_out_profiles_state_error_and_ratio_of_gradients(made, drawing):
    table = made.tables()["predictions_by_kind"]
    svg = profiles.profile_figure(table)
    error = np.sqrt(np.mean([(0.6 * (z - 3000) / 1000) ** 2 for z in (2825, 2875, 2925, 3025)]))
    assert {"Leave one", "observed", "Hybrid", "Temperature index"} <= drawing.texts(svg)
    assert {f"Hybrid {error:.2f}, ×0.90", "n 8"} <= drawing.texts(svg)
    assert drawing.marks(svg, "profile-logo-G1-observed") == 4
    assert drawing.marks(svg, "profile-loyo-G1-temperature_index") == 1


def test_other_kinds_and_rows_without_a_prediction_are_no_profile(made):
    table = made.tables()["predictions_by_kind"]
    table.loc[0, "predicted"] = np.nan
    point = table.assign(kind="point")
    assert len(profiles.band_rows(pd.concat([table, point]))) == len(table) - 1


def test_a_scheme_without_bands_of_a_glacier_says_so_and_the_best_observed_glaciers_are_drawn(made, drawing):
    table = made.tables()["predictions_by_kind"]
    few = table[(table["scheme"] == "logo") & (table["hydro_year"] == 2000)].assign(glacier_id="few")
    both = pd.concat([table, few])
    assert {"not scored", "few", "G1"} <= drawing.texts(profiles.profile_figure(both))
    assert "few" not in drawing.texts(profiles.profile_figure(both, most=1))


def test_a_gradient_needs_three_heights():
    assert np.isnan(profiles.gradient(np.array([1.0, 2.0]), np.array([0.0, 5.0])))
    assert profiles.gradient(np.array([1.0, 2.0, 3.0]), np.array([0.0, 5.0, 10.0])) == pytest.approx(5.0)
