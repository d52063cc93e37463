"""The look of the report, seen in one of its figures, and its words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from glacierscale.reporting import figures, style


def test_neutral_colours_are_variables_of_the_page_and_no_style_leaks_out(made):
    svg = figures.rmse_figure(made.scores())
    assert "var(--ink" in svg
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_the_same_data_give_the_same_bytes(made):
    assert figures.rmse_figure(made.scores()) == figures.rmse_figure(made.scores())


def test_drawing_leaves_the_settings_of_matplotlib_alone(made):
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.rmse_figure(made.scores())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("scheme", style.SCHEMES)
def test_titles_of_panels_beside_each_other_are_short(scheme):
    lines = style.scheme_label(scheme).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= 16
    assert " ".join(lines) == style.SCHEMES[scheme]


def test_known_names_come_in_reading_order_and_others_after_them():
    assert style.in_order(["zebra", "mlp", "ant", "lasso"], style.MODELS) == ["lasso", "mlp", "ant", "zebra"]


def test_numbers_have_a_true_minus_sign_and_no_negative_zero():
    assert [style.number(v) for v in (-0.5, -0.001, 1234.5, np.nan)] == ["−0.50", "0.00", "1,234.50", "–"]
    assert style.between(-1.0, 2.0, 1) == "−1.0 to 2.0"
    assert style.between(np.nan, 2.0) == ""


def test_units_are_printed_with_raised_exponents():
    said = {"kg m-2 K-1 day-1": "kg m⁻² K⁻¹ day⁻¹", "degC": "°C", "1": "", "m2": "m²", "K": "K"}
    assert {unit: style.unit_label(unit) for unit in said} == said


def test_coordinates_are_short_and_words_stay_as_they_are(made):
    table = made.scores().replace("lasso", "model 0.123456")
    svg = figures.rmse_figure(table)
    assert "model 0.123456" in svg
    assert not [path for path in re.findall(r' d="([^"]*)"', svg) if re.search(r"\.\d{3}", path)]


def test_many_models_have_their_names_on_two_lines_above_narrow_panels(drawing):
    rows = [("logo", model, -100.0 * n, 100.0 * n) for model in style.MODELS for n in range(3)]
    wide = pd.DataFrame(rows, columns=["scheme", "model", "observed", "predicted"])
    assert {"Temperature", "index"} <= drawing.texts(figures.scatter_figure(wide))
    few = wide[wide["model"].isin(["lasso", "mlp", "hybrid", "temperature_index", "ols"])]
    assert "Temperature index" in drawing.texts(figures.scatter_figure(few))
