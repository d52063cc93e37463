"""Rows of geodetic balances: predictors are means over the years of the period."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale.models import periods
from glacierscale.models.rows import design_of, observed_rows, predictor_values

NAMES = ("cpdd", "winter_snow", "mean_elevation", "log_area")


@pytest.fixture(scope="module")
def dataset(features: Any) -> xr.Dataset:
    return features.open().load()


def with_geodetic(dataset: xr.Dataset, spans: dict[tuple[str, str], tuple[str, int]]) -> xr.Dataset:
    """The features with geodetic observations alone: (start, end) to (glacier, last hydrological year)."""
    n = len(spans)
    one = dataset.isel(observation=np.zeros(n, int))
    return one.assign(
        obs_unit_id=("observation", np.array([unit for unit, _ in spans.values()])),
        obs_kind=("observation", np.full(n, "geodetic")),
        obs_year=("observation", np.array([last for _, last in spans.values()], np.int32)),
        obs_start=("observation", np.array([start for start, _ in spans], "datetime64[ns]")),
        obs_end=("observation", np.array([end for _, end in spans], "datetime64[ns]")),
        obs_value=("observation", -100.0 * np.arange(1, n + 1, dtype=np.float32)),
    )


SPANS = {
    ("1991-10-01", "1995-09-30"): ("RGI60-11.00001", 1995),  # 1992 to 1995
    ("1995-08-20", "2001-07-02"): ("RGI60-11.00002", 2001),  # 1996 to 2001
    ("1994-01-01", "2000-01-01"): ("RGI50-11.00719", 1999),  # 1994 to 1999
}


def test_a_row_is_the_mean_over_the_years_of_its_period(dataset: xr.Dataset) -> None:
    rows = observed_rows(with_geodetic(dataset, SPANS), NAMES, "geodetic")
    assert rows.hydro_year.tolist() == [1995, 2001, 1999]
    assert rows.observed.tolist() == [-100, -200, -300]
    years = dataset.hydro_year.values
    for row, (at, first, last) in enumerate([(0, 1992, 1995), (1, 1996, 2001)]):
        of = (years >= first) & (years <= last)
        own = dataset.isel(glacier=[at])
        np.testing.assert_allclose(
            rows.design.predictors[row], predictor_values(own, NAMES)[0][of].mean(axis=0), rtol=1e-5
        )
        terms = design_of(own, NAMES)
        np.testing.assert_allclose(rows.design.snow[row], terms.snow[of].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(rows.design.degree_days[row], terms.degree_days[of].mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(rows.ols_terms[row, 0], predictor_values(own, ["cpdd"])[0][of].mean(), rtol=1e-5)


def test_the_logarithm_of_the_area_is_made_of_the_area(dataset: xr.Dataset, region: SimpleNamespace) -> None:
    area = next(iter(region.polygons.values())).area
    found = predictor_values(dataset.isel(glacier=[0]), ["log_area", "area"])
    np.testing.assert_allclose(found[..., 0], np.log10(area), rtol=1e-3)
    np.testing.assert_allclose(found[..., 1], area, rtol=1e-2)


def test_the_summer_is_the_mean_of_its_five_months_and_stands_where_it_was_named(dataset: xr.Dataset) -> None:
    months = [f"temp_{name}_anomaly" for name in ("may", "jun", "jul", "aug", "sep")]
    found = predictor_values(dataset, ["lat", "summer_temp_anomaly", "cpdd"])
    np.testing.assert_allclose(found[..., 1], predictor_values(dataset, months).mean(axis=2), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[..., [0, 2]], predictor_values(dataset, ["lat", "cpdd"]))


def test_a_period_that_begins_before_the_years_is_left_out_with_the_reason(dataset: xr.Dataset) -> None:
    early = {("1985-10-01", "1995-09-30"): ("RGI60-11.00001", 1995)}
    rows = observed_rows(with_geodetic(dataset, early | SPANS), NAMES, "geodetic")
    assert len(rows) == 3
    assert rows.left_out.startswith("1 rows whose period begins before the year 1991 (RGI60-11.00001)")
    with pytest.raises(
        ValueError, match=r"no observation of kind 'geodetic' can be used\. Left out: 1 rows whose period"
    ):
        observed_rows(with_geodetic(dataset, early), NAMES, "geodetic")
    late = {("1999-10-01", "2009-09-30"): ("RGI60-11.00001", 2009)}
    with pytest.raises(ValueError, match="no observation of kind 'geodetic' in the hydrological years 1991"):
        observed_rows(with_geodetic(dataset, late), NAMES, "geodetic")


@pytest.mark.parametrize(
    ("hemisphere", "start", "last", "first"),
    [
        ("north", "1999-10-01", 2009, 2000),
        ("north", "2000-01-01", 2009, 2000),
        ("north", "2000-08-20", 2009, 2001),
        ("south", "2000-04-01", 2009, 2001),
        ("south", "2000-02-01", 2009, 2001),
        ("south", "2000-11-01", 2009, 2002),
        ("north", "2009-08-20", 2009, 2009),
    ],
)
def test_a_period_begins_with_the_nearest_whole_year(hemisphere: str, start: str, last: int, first: int) -> None:
    kind = np.array(["geodetic", "annual"], np.dtypes.StringDType())
    data = xr.Dataset(
        {
            "obs_year": ("observation", np.array([last, last], np.int32)),
            "obs_kind": ("observation", kind),
            "obs_start": ("observation", np.array([start, start], "datetime64[ns]")),
        },
        attrs={"hemisphere": hemisphere},
    )
    found = periods.years_of(data, np.arange(2))
    assert [found[0].tolist(), found[1].tolist()] == [[first, last], [last, last]]
