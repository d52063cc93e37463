"""Scores by kind, constraints and warnings as they are printed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glacierscale.reporting import kinds


def test_each_kind_has_a_table_of_errors_in_metres_with_the_lowest_marked(made):
    annual, band = kinds.kind_tables(made.tables()["scores_by_kind"])
    assert (annual["kind"], band["kind"]) == ("Annual, glacier-wide", "Elevation bands")
    assert annual["schemes"] == ["Leave one glacier out", "Leave one year out"]
    hybrid, null = annual["rows"]
    assert (hybrid["label"], hybrid["null"], null["null"]) == ("Hybrid", False, True)
    assert hybrid["cells"][0] == {"text": "0.31", "best": True}
    assert null["cells"][0] == {"text": "0.41", "best": False}


def test_all_metrics_of_a_kind_are_kept_and_absent_ones_are_dashes(made):
    table = made.tables()["scores_by_kind"]
    table = table[~((table["model"] == "temperature_index") & (table["metric"] == "coverage_50"))]
    annual, _ = kinds.kind_tables(table)
    assert annual["headings"] == ["RMSE", "Bias", "R²", "In 50 %"]
    assert annual["details"][0]["numbers"] == ["0.31", "−0.02", "0.70", "48"]
    assert annual["details"][1]["numbers"] == ["0.41", "−0.02", "0.70", "–"]
    assert annual["details"][0]["n"] == "40"


def test_a_metric_and_a_kind_of_another_name_are_printed_as_they_are():
    table = pd.DataFrame([("logo", "hybrid", "bore", "skill", 0.5, 3)], columns=kinds.TABLES["scores_by_kind"])
    (bore,) = kinds.kind_tables(table)
    assert bore["kind"] == "bore"
    assert bore["headings"] == ["skill"]
    assert bore["rows"][0]["cells"] == [{"text": "–", "best": False}]


def test_constraints_are_rows_with_their_limit_and_models_beside_each_other(made):
    told = kinds.constraint_table(made.tables()["constraints"])
    assert told["models"] == ["CNN", "Hybrid"]
    (row,) = told["rows"]
    assert (row["constraint"], row["limit"]) == ("dSMB/dT ≤ 0", "1")
    assert [cell["share"] for cell in row["cells"]] == ["91.3 %", "> 99.9 %"]


def test_a_model_that_was_not_checked_has_a_dash_and_numbers_may_be_limits(made):
    more = pd.DataFrame([("cnn", "closure", np.nan, 0.5, 7)], columns=kinds.TABLES["constraints"])
    told = kinds.constraint_table(pd.concat([made.tables()["constraints"], more]))
    row = told["rows"][1]
    assert row["limit"] == "0.50"
    assert row["cells"] == [{"share": "–", "n": "7"}, {"share": "–", "n": ""}]


@pytest.mark.parametrize(("share", "said"), [(0.021, "2.1 %"), (0.0004, "< 0.1 %"), (1.0, "100.0 %")])
def test_only_variables_that_leave_their_range_are_warned_of(made, share, said):
    table = made.tables()["climate_range"]
    table.loc[0, "share_outside"] = share
    (row,) = kinds.climate_warnings(table)
    assert row == {"variable": "temp", "unit": "°C", "training": "−10.0 to 8.0", "here": "−11.0 to 9.5", "share": said}
