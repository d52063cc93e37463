"""Figures of what drives the balance answer to their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from glacierscale.reporting import causes


def test_every_glacier_has_its_response_in_every_model_in_the_order_of_the_null(made, drawing):
    table = made.tables()["sensitivities"]
    svg = causes.sensitivity_figure(table)
    for column in ("dsmb_dt", "dsmb_dp"):
        for model in ("hybrid", "temperature_index"):
            assert drawing.marks(svg, f"{column}-{model}") == 3
    assert svg.index(">a<") < svg.index(">b<") < svg.index(">c<")
    assert "Temperature index" in drawing.texts(svg)


def test_a_model_without_a_value_for_a_glacier_has_no_mark_there(made, drawing):
    table = made.tables()["sensitivities"]
    table.loc[(table["model"] == "hybrid") & (table["glacier_id"] == "b"), "dsmb_dp"] = np.nan
    svg = causes.sensitivity_figure(table)
    assert drawing.marks(svg, "dsmb_dp-hybrid") == 2
    assert drawing.marks(svg, "dsmb_dt-hybrid") == 3


def test_many_glaciers_are_ranks_and_the_figure_stays_small(drawing):
    rows = [(m, f"g{n}", -500.0 - n / 10, 80.0) for n in range(8_000) for m in ("hybrid", "temperature_index")]
    svg = causes.sensitivity_figure(pd.DataFrame(rows, columns=["model", "glacier_id", "dsmb_dt", "dsmb_dp"]))
    assert "8,000 glaciers, in order of temperature index" in drawing.texts(svg)
    assert "g17" not in drawing.texts(svg)
    assert len(svg) < 400_000


def test_the_longest_bars_lead_and_all_have_a_name(made, drawing):
    table = made.tables()["importance"]
    svg = causes.importance_figure(table)
    assert "the first is elevation" in svg
    assert {"elevation", "slope", "Hybrid"} <= drawing.texts(svg)
    assert svg.count('importance-logo-hybrid"') == 2
    assert "slope" not in drawing.texts(causes.importance_figure(table, top=1))
