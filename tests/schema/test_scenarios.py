"""Scenarios are named and coloured as readers know them."""

from __future__ import annotations

import pytest

from glacierscale.schema import scenarios


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("rcp26", "RCP2.6"),
        ("CCSM4_rcp85", "CCSM4 RCP8.5"),
        ("ssp126", "SSP1-2.6"),
        ("rcp26_plus_2k", "RCP2.6 +2 K"),
        ("rcp26_plus2", "RCP2.6 +2"),
        ("warm_dry", "warm dry"),
        ("rcp2600", "rcp2600"),
    ],
)
def test_scenarios_have_the_names_that_people_use(name: str, label: str) -> None:
    assert scenarios.scenario_label(name) == label


def test_pathways_of_the_ipcc_have_its_colours_and_no_other_takes_one() -> None:
    found = scenarios.scenario_colours(["warm", "ssp585", "dry", "SSP1-2.6", "rcp45", "rcp45_plus2"])
    assert (found["ssp585"], found["SSP1-2.6"], found["rcp45"]) == ("#951b1e", "#173c66", "#70a0cd")
    assert len(set(found.values())) == 6
    assert scenarios.scenario_colours(["ssp126", "warm"])["warm"] == found["warm"]
