"""Units as publishers write them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glacierscale import units


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (273.15, "K", "degC", 0.0),
        (20.0, "Celsius", "degC", 20.0),
        (1.0, "m w.e.", "kg m-2", 1000.0),
        (1.0, "mm w.e.", "kg m-2", 1.0),
        (1.0, "mm/month", "kg m-2", 1.0),
        (1.0, "m d-1", "kg m-2 day-1", 1000.0),
        (1 / 86400, "kg m-2 s-1", "kg m-2 day-1", 1.0),
        (9.80665, "m**2 s**-2", "m2 s-2", 9.80665),
        (1.0, "km", "m", 1000.0),
        (1.0, "km2", "m2", 1e6),
        (0.5, "(0 - 1)", "1", 0.5),
    ],
)
def test_units_of_climate_and_glaciology_convert(value: float, unit: str, to: str, expected: float) -> None:
    assert units.convert(value, unit, to) == pytest.approx(expected, abs=1e-9)


@given(st.floats(-80, 60))
def test_a_temperature_survives_the_way_there_and_back(temp: float) -> None:
    assert units.convert(units.convert(temp, "degC", "K"), "K", "degC") == pytest.approx(temp, abs=1e-9)


def test_the_shape_is_kept() -> None:
    assert units.convert(np.ones((2, 3)), "m", "km").shape == (2, 3)


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        ("", "precip has no unit; expected one that converts to 'kg m-2'"),
        ("  ", "has no unit"),
        ("furlong per moon", "precip has the unknown unit 'furlong per moon'"),
        ("K", "precip is in 'K', which does not convert to 'kg m-2'"),
    ],
)
def test_a_missing_unknown_or_other_unit_is_refused_by_name(unit: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        units.convert([1.0], unit, "kg m-2", name="precip")
