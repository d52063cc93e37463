"""Sentences and tables of a future say what its numbers are."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from glacierscale.reporting import evolution, outlook
from tests.reporting import evolving


@pytest.fixture(scope="module")
def future(tmp_path_factory):
    store = evolving.store(str(tmp_path_factory.mktemp("outlook") / "ice.zarr"))
    return evolution.future(store.open(), {"method": "delta_h"})


def left(future, shares):
    """The future with given shares of volume and area left in all years after the first, by member."""
    volume = np.ones_like(future.volume)
    volume[:, 1:] = np.asarray(shares)[:, None]
    return dataclasses.replace(future, volume=volume, area=volume)


@pytest.mark.parametrize(("share", "text"), [(0.0, "0"), (0.002, "<1"), (0.996, "100"), (0.256, "26")])
def test_a_trace_is_not_nothing(share, text):
    assert outlook.per_cent(share) == text


@pytest.mark.parametrize(("size", "digits"), [(123.0, 0), (4.3, 1), (0.0088, 4), (0.0, 0), (np.nan, 0)])
def test_numbers_have_two_significant_digits(size, digits):
    assert outlook.decimals(size) == digits


def test_findings_say_what_is_left_with_its_spread(future):
    shares = np.repeat([0.5, 0.2, 0.001], 5) * np.tile([0.8, 0.9, 1.0, 1.1, 1.2], 3)
    said = outlook.findings(left(future, shares))
    assert said[0] == (
        "Of the ice of 2003 there is left in 2100: 50 % (41–59) under RCP2.6, 20 % (16–24) under RCP2.6 +2 K and "
        "<1 % under RCP2.6 +4 K."
    )
    assert any(re.match("From 2004 on the spreads of volume under RCP2.6 and RCP2.6 \\+4 K,", text) for text in said)


def test_scenarios_that_overlap_at_the_end_cannot_be_told_apart(future):
    shares = np.concatenate([np.linspace(0.1, 0.5, 5), np.linspace(0.2, 0.4, 5), np.linspace(0.05, 0.45, 5)])
    said = outlook.findings(left(future, shares))
    assert any("RCP2.6 and RCP2.6 +4 K cannot be told apart: their spreads of volume, 90 %" in s for s in said)
    one = dataclasses.replace(future, scenarios=("rcp26",), of=np.zeros(15, int))
    assert not [text for text in outlook.findings(one) if "apart" in text or "overlap" in text]


def test_findings_count_the_glaciers_that_are_gone(future):
    gone = np.repeat([[0, 2], [0, 2], [3, 9]], 5, axis=0)
    gone[-1, 1] = 12
    said = outlook.findings(dataclasses.replace(future, gone=gone))
    assert "Of 12 glaciers there are gone by 2100: 2 under RCP2.6, 2 under RCP2.6 +2 K and 9 (9–11) under" in said[1]
    assert outlook.findings(dataclasses.replace(future, gone=gone * 0))[1] == "None of the 12 glaciers is gone by 2100."


def test_findings_say_when_runoff_is_highest(future):
    runoff = np.ones_like(future.runoff) * np.linspace(2, 1, future.years.size)
    runoff[:5] = np.exp(-(((future.years - 2040) / 15) ** 2))
    said = outlook.findings(dataclasses.replace(future, runoff=runoff))
    assert any(
        "over 11 years, is highest about 2040 under RCP2.6, at the start under RCP2.6 +2 K" in text for text in said
    )
    assert not [text for text in outlook.findings(dataclasses.replace(future, runoff=runoff * 0)) if "Runoff" in text]


def test_the_table_holds_shares_counts_and_the_sea_level_of_each_scenario(future):
    table = outlook.scenario_table(future)
    assert table["headings"] == [
        ("Volume left", "2050"), ("Volume left", "2100"), ("Area left", "2050"), ("Area left", "2100"),
        ("Glaciers gone", "2050"), ("Glaciers gone", "2100"), ("Sea level, mm", "2100"),
    ]  # fmt: skip
    assert [row["label"] for row in table["rows"]] == ["RCP2.6", "RCP2.6 +2 K", "RCP2.6 +4 K"]
    low, middle, high = np.percentile(future.volume[:5, 47] / future.volume[:5, 0], [5, 50, 95]) * 100
    assert table["rows"][0]["cells"][0] == {"text": f"{middle:.0f} %", "interval": f"{low:.0f}–{high:.0f}"}
    rise = float(np.median(future.sea_level[10:, -1])) * 1e3
    assert table["rows"][2]["cells"][-1]["text"] == f"{rise:.5f}"
    assert {len(row["cells"]) for row in table["rows"]} == {7}


def test_subregions_come_with_the_largest_first_and_one_alone_is_none(future):
    table = outlook.subregion_table(future)
    assert table["headings"][:2] == ["Volume 2003, km³", "RCP2.6"]
    assert [row["label"] for row in table["rows"]] == ["north", "south"]
    assert {len(row["cells"]) for row in table["rows"]} == {4}
    assert outlook.subregion_table(dataclasses.replace(future, subregions={})) is None


def test_scenarios_that_were_changed_say_how(future):
    plain = {"name": "rcp26", "of": "", "warming_k": 0.0, "precip_factor": 1.0}
    warm = {"name": "rcp26_plus2", "of": "rcp26", "warming_k": 2.0, "precip_factor": 1.0}
    dry = {"name": "dry", "of": "rcp26", "warming_k": -0.5, "precip_factor": 0.8}
    told = outlook.told(dataclasses.replace(future, options={"method": "sia", "scenarios": [plain, warm, dry]}))
    assert told["by"] == "ice flows by the shallow-ice law"
    assert told["perturbed"] == [
        "RCP2.6 +2 is RCP2.6 changed steadily until 2100: 2.0 K warmer.",
        "dry is RCP2.6 changed steadily until 2100: 0.5 K colder, 80 % of the precipitation.",
    ]
    assert outlook.told(future)["perturbed"] == []


def test_an_estimated_thickness_is_owned_up_to(future):
    assert outlook.told(future)["start"]["estimated"] == ""
    area = np.where(np.arange(12) < 3, 1e6, 3e6)
    marked = future.glaciers.assign(
        thickness_estimated=("glacier", (np.arange(12) < 3).astype("int32")), area_m2=("glacier", area)
    )
    said = outlook.told(dataclasses.replace(future, glaciers=marked))["start"]["estimated"]
    assert said.startswith("The thickness of 3 of them, 10 % of the area, is in no catalogue")
