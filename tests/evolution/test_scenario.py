"""Future years are the scenario's on the observed reference; what is too short or full of gaps is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale.evolution.scenario import by_hydro_year, forcing, nearest_cell
from glacierscale.sources import climate, scenarios

OETZTAL = (10.6, 46.7, 11.1, 46.95)


def monthly(first: str, last: str) -> np.ndarray:
    return np.arange(first, last, dtype="datetime64[M]").astype("datetime64[ns]")


@pytest.fixture
def given() -> SimpleNamespace:
    """Two glaciers observed from 1960 to 2014, and a scenario from 1900 to 2100."""
    rng = np.random.default_rng(5)
    g = SimpleNamespace(years=np.arange(1960, 2015), time=monthly("1900-01", "2101-01"))
    month = np.arange(len(g.time))
    g.temp = rng.normal(-3, 2, (2, len(g.years), 12))
    g.precip = rng.gamma(5, 20, (2, len(g.years), 12))
    g.series_temp = 8 + month / 1200 + rng.normal(0, 1, (2, len(month)))
    g.series_precip = rng.gamma(8, 10, (2, len(month)))
    return g


def run(g: SimpleNamespace, wanted: Any, hemisphere: str = "north", **more: Any) -> tuple[np.ndarray, np.ndarray]:
    return forcing(
        g.temp, g.precip, g.years, g.time, g.series_temp, g.series_precip, np.asarray(wanted), hemisphere, **more
    )


def test_observed_years_are_as_they_are_and_others_the_scenario_s(given: SimpleNamespace) -> None:
    temp, precip = run(given, range(2003, 2101))
    assert temp.shape == precip.shape == (2, 98, 12)
    np.testing.assert_array_equal(temp[:, :12], given.temp[:, -12:])
    np.testing.assert_array_equal(precip[:, :12], given.precip[:, -12:])
    assert np.isfinite(temp).all()
    assert (precip >= 0).all()
    _, modelled = by_hydro_year(given.time, given.series_temp, "north")
    theirs, ours = modelled[:, 2015 - 1900 : 2101 - 1900], temp[:, 12:]  # whole years from 1900 on
    correlation = np.corrcoef(
        (ours - ours.mean(axis=1, keepdims=True)).ravel(), (theirs - theirs.mean(axis=1, keepdims=True)).ravel()
    )
    assert correlation[0, 1] > 0.95


def test_single_years_in_any_span_are_those_of_the_whole(given: SimpleNamespace) -> None:
    temp, precip = run(given, range(1950, 2101))
    for wanted in ([2050], [1955, 2100], range(2010, 2020)):
        some = run(given, wanted)
        at = np.asarray(wanted) - 1950
        np.testing.assert_allclose(some[0], temp[:, at], atol=1e-12)
        np.testing.assert_allclose(some[1], precip[:, at], rtol=1e-12)


def test_years_that_lack_an_observed_month_come_from_the_scenario(given: SimpleNamespace) -> None:
    given.temp[0, 40, 3] = np.nan  # hydrological year 2000
    given.precip[1, 41, 5] = np.nan
    temp, precip = run(given, range(1990, 2015))
    assert np.isfinite(temp).all()
    assert np.isfinite(precip).all()
    np.testing.assert_array_equal(temp[1, 10], given.temp[1, 40])
    assert (temp[0, 10] != given.temp[0, 40]).all()
    assert (temp[1, 11] != given.temp[1, 41]).all()


@pytest.mark.parametrize(("hemisphere", "first"), [("north", "1999-10"), ("south", "1999-04")])
def test_hydrological_years_start_in_their_month(hemisphere: str, first: str) -> None:
    time = monthly("1999-01", "2003-01")
    years, values = by_hydro_year(time, np.arange(len(time), dtype=float)[None], hemisphere)
    at = list(years).index(2000)
    np.testing.assert_array_equal(values[0, at], np.flatnonzero(time == np.datetime64(first, "ns")) + np.arange(12))
    assert np.isnan(values[0, 0]).any()
    assert np.isnan(values[0, -1]).any()


def test_southern_years_end_in_march(given: SimpleNamespace) -> None:
    keep = given.time <= np.datetime64("2100-03-01")
    given.time, given.series_temp, given.series_precip = (
        given.time[keep], given.series_temp[:, keep], given.series_precip[:, keep]
    )  # fmt: skip
    assert run(given, range(2003, 2101), "south")[0].shape == (2, 98, 12)
    with pytest.raises(ValueError, match="its last whole hydrological year is 2099, expected 2100"):
        run(given, range(2003, 2101))


def test_extra_warming_and_precipitation_grow_from_the_end_of_the_observations(given: SimpleNamespace) -> None:
    given.time = monthly("1930-01", "2131-01")
    wanted = np.arange(2005, 2131)
    plain, changed = run(given, wanted), run(given, wanted, warming_k=2.0, precip_factor=0.8)
    share = np.maximum(wanted - 2014, 0) / (2100 - 2014)
    assert share[wanted == 2100] == 1.0
    np.testing.assert_allclose(changed[0] - plain[0], np.broadcast_to(2 * share[:, None], plain[0].shape), atol=1e-9)
    np.testing.assert_allclose(changed[1] / plain[1], np.broadcast_to(1 - 0.2 * share[:, None], plain[1].shape))
    dried = run(given, wanted, precip_factor=0.0)[1]
    assert (dried[:, wanted >= 2100] == 0).all()


def test_the_reference_may_be_chosen(given: SimpleNamespace) -> None:
    given.temp[:, :30] += 5.0
    late = run(given, [2050], reference_years=(1990, 2014))[0]
    every = run(given, [2050])[0]
    assert (every - late).mean() == pytest.approx(5 * 30 / 55, abs=0.3)


def test_a_scenario_that_is_shorter_than_asked_is_refused(given: SimpleNamespace) -> None:
    message = r"shorter than asked: its last whole hydrological year is 2100, expected 2120.*set `until` to 2100"
    with pytest.raises(ValueError, match=message):
        run(given, range(2003, 2121))
    given.series_precip[1, given.time >= np.datetime64("2080-01-01")] = np.nan  # on the months of a longer one
    with pytest.raises(ValueError, match=r"last whole hydrological year is 2079, expected 2100"):
        run(given, range(2003, 2101))


def test_missing_months_are_named_by_their_years(given: SimpleNamespace) -> None:
    given.series_temp[0, given.time == np.datetime64("2050-02-01")] = np.nan
    with pytest.raises(
        ValueError, match=r"1 of the years 2003..2100 are neither observed nor whole .*1901..2100.*: 2050"
    ):
        run(given, range(2003, 2101))
    with pytest.raises(ValueError, match=r"12 of the years 1890..2100 .*: 1890, 1891, .* and 6 more"):
        run(given, np.r_[1890:1901, 2003:2101])


def test_a_short_or_foreign_reference_is_refused(given: SimpleNamespace) -> None:
    message = r"reference 1961..1969 has 9 .*climate \(1960..2014\) and the scenario \(1901..2100\) know, at 2 of 2"
    with pytest.raises(ValueError, match=message):
        run(given, [2050], reference_years=(1961, 1969))
    with pytest.raises(ValueError, match=r"the reference 1850..1880 has 0 .*expected at least 10.*inside both"):
        run(given, [2050], reference_years=(1850, 1880))
    future = given.time >= np.datetime64("2006-01-01")
    given.time, given.series_temp, given.series_precip = (
        given.time[future], given.series_temp[:, future], given.series_precip[:, future]
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=r"the reference of all years has 8 .*take a scenario with its historical years"
    ):
        run(given, [2050])


def test_a_glacier_without_observed_climate_is_counted(given: SimpleNamespace) -> None:
    given.temp[1] = np.nan
    with pytest.raises(
        ValueError, match=r"has 0 hydrological years .*observed climate \(no year\).* at 1 of 2 glaciers"
    ):
        run(given, [2050])


def test_months_in_disorder_are_refused(given: SimpleNamespace) -> None:
    given.time = given.time[::-1]
    with pytest.raises(ValueError, match="the scenario has 2412 months that do not ascend one by one"):
        run(given, [2050])


def test_the_nearest_cell_is_found_on_the_sphere_however_longitudes_are_counted() -> None:
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-180, 180, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    cell_lon, cell_lat = np.meshgrid(np.arange(-180.0, 180, 7.5), np.arange(-88.0, 90, 5.5))
    cell_lon, cell_lat = cell_lon.ravel(), cell_lat.ravel()
    found = nearest_cell(lon, lat, cell_lon, cell_lat)
    np.testing.assert_array_equal(nearest_cell(lon, lat, cell_lon % 360, cell_lat), found)
    np.testing.assert_array_equal(nearest_cell(lon % 360, lat, cell_lon, cell_lat), found)
    half = np.deg2rad(cell_lat[None] - lat[:, None]) / 2, np.deg2rad(cell_lon[None] - lon[:, None]) / 2
    cosines = np.cos(np.deg2rad(lat))[:, None] * np.cos(np.deg2rad(cell_lat))[None]
    haversine = np.sin(half[0]) ** 2 + cosines * np.sin(half[1]) ** 2
    np.testing.assert_array_equal(haversine.argmin(axis=1), found)


def test_nearest_cells_lie_across_the_antimeridian_and_are_never_empty() -> None:
    cells = np.array([np.nan, 170.0, -178.0]), np.array([np.nan, 60.0, 60.0])
    np.testing.assert_array_equal(nearest_cell(np.array([179.5, 172.0]), np.array([60.0, 60.0]), *cells), [2, 1])
    with pytest.raises(ValueError, match="no cell with a place"):
        nearest_cell(np.zeros(1), np.zeros(1), np.full(2, np.nan), np.full(2, np.nan))


@pytest.fixture(scope="module")
def hintereis(shared: Path) -> SimpleNamespace:
    """HISTALP's cell of Hintereisferner from 1953 to 2014, and CCSM4 under rcp26."""
    folder = shared / "data" / "oetztal"
    histalp = climate.normalize([xr.open_dataset(folder / "HISTALP_oetztal.nc")], "histalp")
    files = [xr.open_dataset(file) for file in sorted((folder / "cmip5").glob("*.nc"))]
    ccsm4 = scenarios.normalize(files, "cmip5", OETZTAL).isel(clim_lat=0, clim_lon=0)
    cell = histalp.sel(clim_lat=46.80, clim_lon=10.758, method="nearest").sel(time=slice("1952-10", "2014-09"))
    g = SimpleNamespace(time=ccsm4.time.values)
    g.years, g.temp = by_hydro_year(cell.time.values, cell.temp.values[None].astype(float), "north")
    g.precip = by_hydro_year(cell.time.values, cell.precip.values[None].astype(float), "north")[1]
    g.series_temp, g.series_precip = (ccsm4[name].values[None].astype(float) for name in ("temp", "precip"))
    return g


@pytest.mark.parametrize("reference", [None, (1971, 2000)])
def test_the_real_scenario_of_the_oetztal_warms_as_its_model(hintereis: SimpleNamespace, reference: Any) -> None:
    temp, precip = run(hintereis, range(2003, 2101), reference_years=reference)
    assert np.isfinite(temp).all()
    assert (precip >= 0).all()
    observed = hintereis.temp[0, (hintereis.years >= 1971) & (hintereis.years <= 2000)].mean()
    years, modelled = by_hydro_year(hintereis.time, hintereis.series_temp, "north")
    early, late = (modelled[0, (years >= a) & (years <= b)].mean() for a, b in ((1971, 2000), (2071, 2100)))
    warming = temp[0, -30:].mean() - observed
    if reference:  # the model's mean of these years is moved to the observed one
        assert warming == pytest.approx(late - early, abs=0.05)
    else:
        assert warming == pytest.approx(late - early, abs=0.5)
    assert late - early == pytest.approx(1.369, abs=0.001)
    yearly = precip[0].sum(axis=1)
    assert yearly[12:].mean() == pytest.approx(hintereis.precip[0].sum(axis=1).mean(), rel=0.1)
    assert yearly[12:].std() == pytest.approx(hintereis.precip[0].sum(axis=1).std(), rel=0.4)
