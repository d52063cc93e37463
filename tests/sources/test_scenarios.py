"""Files of climate models in any calendar become one run near the region, or are refused with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

from glacierscale.sources import climate, scenarios

ALPS = (10.6, 46.7, 11.1, 46.95)
GRID = {"lat": np.arange(40.0, 56, 2.5), "lon": np.arange(0.0, 360, 2.5)}
FLUX = 3e-5


def write(
    path: Path,
    name: str,
    first: int,
    last: int,
    calendar: str = "standard",
    grid: dict[str, np.ndarray] = GRID,
    change: Callable[[xr.Dataset], xr.Dataset] = lambda ds: ds,
    **attrs: Any,
) -> Path:
    """A NetCDF file as archives of CMIP hold them: mid-month stamps, bounds of every axis, a height of 2 m."""
    stamps = [cftime.datetime(y, m, 16, 12, calendar=calendar) for y in range(first, last + 1) for m in range(1, 13)]
    shape = (len(stamps), len(grid["lat"]), len(grid["lon"]))
    unit, value = {"tas": ("K", 270.0), "pr": ("kg m-2 s-1", FLUX)}[name]
    ds = xr.Dataset(
        {
            name: (("time", "lat", "lon"), np.full(shape, value, np.float32), {"units": unit}),
            "time_bnds": (("time", "bnds"), np.zeros((len(stamps), 2))),
            "lat_bnds": (("lat", "bnds"), np.stack([grid["lat"] - 1.25, grid["lat"] + 1.25], axis=1)),
            "lon_bnds": (("lon", "bnds"), np.stack([grid["lon"] - 1.25, grid["lon"] + 1.25], axis=1)),
        },
        coords={
            "time": ("time", stamps, {"bounds": "time_bnds"}),
            "lat": ("lat", grid["lat"], {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lon": ("lon", grid["lon"], {"units": "degrees_east", "bounds": "lon_bnds"}),
            "height": ((), 2.0, {"units": "m"}),
        },
        attrs=attrs,
    )
    ds = change(ds)
    ds["time"].encoding = {"units": f"days since {first}-01-01", "dtype": "float64"}
    ds.to_netcdf(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[xr.Dataset]]:
    """Temperature and precipitation over some spans of years, opened as a catalogue opens them."""

    def made(*spans: tuple[int, int], **more: Any) -> list[xr.Dataset]:
        return [
            xr.open_dataset(write(tmp_path / f"{name}_{first}.nc", name, first, last, **more), chunks={})
            for name in ("tas", "pr")
            for first, last in spans
        ]

    return made


def change_of(name: str, function: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda ds: function(ds) if name in ds else ds


@pytest.mark.parametrize(
    ("calendar", "february", "january"),
    [("standard", 29, 31), ("proleptic_gregorian", 29, 31), ("noleap", 28, 31), ("360_day", 30, 30)],
)
def test_totals_are_those_of_the_months_of_any_calendar(files: Any, calendar: str, february: int, january: int) -> None:
    result = scenarios.normalize(files((2000, 2001), calendar=calendar), "cmip5", ALPS)
    assert result.time.dtype == "datetime64[ns]"
    np.testing.assert_array_equal(result.time, np.arange("2000-01", "2002-01", dtype="datetime64[M]").astype("M8[ns]"))
    for month, days in ((0, january), (1, february), (13, 30 if calendar == "360_day" else 28)):
        np.testing.assert_allclose(result.precip[month], FLUX * 86400 * days, rtol=1e-6)
    np.testing.assert_allclose(result.temp, -3.15, atol=1e-4)


@pytest.mark.parametrize(("unit", "value"), [("mm/day", FLUX * 86400), ("kg m-2 s-1", FLUX), ("m s-1", FLUX / 1000)])
def test_precipitation_in_other_units_is_the_same(files: Any, unit: str, value: float) -> None:
    def other(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign(pr=(ds.pr * 0 + value).assign_attrs(units=unit))

    result = scenarios.normalize(files((2001, 2001), change=change_of("pr", other)), "cmip6", ALPS)
    np.testing.assert_allclose(result.precip[0], FLUX * 86400 * 31, rtol=1e-6)


def test_temperature_in_degrees_celsius_is_taken_as_it_is(files: Any) -> None:
    def other(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign(tas=(ds.tas - 273.15).assign_attrs(units="degC"))

    result = scenarios.normalize(files((2001, 2001), change=change_of("tas", other)), "cmip6", ALPS)
    np.testing.assert_allclose(result.temp, -3.15, atol=1e-4)


def test_historical_and_future_files_are_joined_in_any_order(files: Any) -> None:
    parts = files((2006, 2010), (1990, 1999), (2000, 2005), calendar="noleap")
    result = scenarios.normalize(parts, "cmip5", ALPS)
    np.testing.assert_array_equal(result.time, np.arange("1990-01", "2011-01", dtype="datetime64[M]").astype("M8[ns]"))


def test_the_cells_around_the_region_are_kept(files: Any) -> None:
    opened = files((2001, 2001))
    result = scenarios.normalize(opened, "cmip5", ALPS)
    assert list(result.clim_lat.values) == [45.0, 47.5, 50.0]
    assert list(result.clim_lon.values) == [7.5, 10.0, 12.5]
    wide = scenarios.normalize(opened, "cmip5", (6.2, 44.0, 16.0, 47.0))
    assert list(wide.clim_lat.values) == [42.5, 45.0, 47.5, 50.0]
    assert list(wide.clim_lon.values) == [2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5]


def test_cells_over_greenwich_and_the_antimeridian_are_next_to_each_other(files: Any) -> None:
    opened = files((2001, 2001))
    pyrenees = scenarios.normalize(opened, "cmip5", (-0.6, 42.6, 0.7, 42.9))
    assert list(pyrenees.clim_lon.values) == [-2.5, 0.0, 2.5]
    chukotka = scenarios.normalize(opened, "cmip5", (178.0, 50.0, 182.0, 51.0))
    assert list(chukotka.clim_lon.values) == [175.0, 177.5, 180.0, 182.5, 185.0]


def test_a_lone_cell_is_taken_with_its_place_on_axes_or_as_numbers(files: Any) -> None:
    at = {"lat": 46.25, "lon": 11.25}
    opened = files((2001, 2001), grid={name: np.array([value]) for name, value in at.items()})
    with_axes = scenarios.normalize(opened, "cmip5", ALPS)
    assert dict(with_axes.sizes) == {"time": 12, "clim_lat": 1, "clim_lon": 1}
    numbers = [ds.isel(lat=0, lon=0) for ds in opened]
    xr.testing.assert_equal(scenarios.normalize(numbers, "cmip5", ALPS), with_axes)


def test_a_file_of_another_region_is_refused(files: Any) -> None:
    lone = {"lat": np.array([61.25]), "lon": np.array([6.25])}
    message = r"tas has cells at latitude 61.25 to 61.25 .*none near the glaciers at 46.70 to 46.95 and 10.60 to 11.10"
    with pytest.raises(ValueError, match=message):
        scenarios.normalize(files((2001, 2001), grid=lone), "cmip5", ALPS)


@pytest.mark.filterwarnings("ignore:Unable to decode time axis:xarray.coding.common.SerializationWarning")
def test_years_that_dates_cannot_hold_are_left_out(files: Any) -> None:
    result = scenarios.normalize(files((2001, 2299), calendar="noleap", grid=small()), "cmip5", ALPS)
    assert result.time.values[[0, -1]].astype("M8[M]").astype(str).tolist() == ["2001-01", "2250-12"]
    old = scenarios.normalize(files((1600, 1650), (1651, 1710), calendar="noleap", grid=small()), "cmip5", ALPS)
    assert old.time.values[[0, -1]].astype("M8[M]").astype(str).tolist() == ["1700-01", "1710-12"]


def small() -> dict[str, np.ndarray]:
    return {"lat": np.array([46.25]), "lon": np.array([11.25])}


def test_months_missing_inside_are_named(files: Any) -> None:
    with pytest.raises(ValueError, match=r"tas: missing months 2005-01, .* between 2001-01 and 2006-12"):
        scenarios.normalize(files((2001, 2004), (2006, 2006), grid=small()), "cmip5", ALPS)


def test_files_that_overlap_are_refused_with_the_months(files: Any) -> None:
    with pytest.raises(ValueError, match=r"tas: duplicated months 2004-01, 2004-02.*drop overlapping files"):
        scenarios.normalize(files((2001, 2004), (2004, 2006), grid=small()), "cmip5", ALPS)


def test_unsorted_time_is_refused(files: Any) -> None:
    def shuffled(ds: xr.Dataset) -> xr.Dataset:
        return ds.isel(time=[0, 1, 2, 4, 3, *range(5, 12)])

    with pytest.raises(ValueError, match=r"pr: time is not sorted, 2001-04 comes after 2001-05; .*Sort the file"):
        scenarios.normalize(files((2001, 2001), change=change_of("pr", shuffled)), "cmip5", ALPS)


def test_two_members_at_once_are_refused_or_one_is_chosen(files: Any) -> None:
    def two(ds: xr.Dataset) -> xr.Dataset:
        name = "tas" if "tas" in ds else "pr"
        both = xr.concat([ds[name], ds[name] * (1.01 if name == "tas" else 2.0)], "member")
        return ds.drop_vars(name).assign({name: both.assign_coords(member=[1, 2]).assign_attrs(ds[name].attrs)})

    opened = files((2001, 2001), grid=small(), change=two)
    with pytest.raises(ValueError, match=r"tas holds 2 members at once, along 'member'.*State its label as `member`"):
        scenarios.normalize(opened, "cmip5", ALPS)
    second = scenarios.normalize(opened, "cmip5", ALPS, member=2)
    np.testing.assert_allclose(second.precip[0], 2 * FLUX * 86400 * 31, rtol=1e-6)
    with pytest.raises(ValueError, match=r"no member 3; the file holds \[1, 2\]"):
        scenarios.normalize(opened, "cmip5", ALPS, member=3)


@pytest.mark.parametrize(
    ("attribute", "values", "what"),
    [
        ("variant_label", ("r1i1p1f1", "r2i1p1f1"), "member"),
        ("source_ensemble", ("r1i1p1", "r2i1p1"), "member"),
        ("model_id", ("CCSM4", "NorESM1-M"), "model"),
        ("source_id", ("CESM2", "MPI-ESM1-2-LR"), "model"),
    ],
)
def test_files_of_two_members_or_models_are_refused(
    tmp_path: Path, attribute: str, values: tuple[str, str], what: str
) -> None:
    opened = [
        xr.open_dataset(write(tmp_path / f"{name}.nc", name, 2001, 2001, grid=small(), **{attribute: value}))
        for name, value in zip(("tas", "pr"), values, strict=True)
    ]
    with pytest.raises(ValueError, match=rf"more than one {what} \({attribute} {values[0]}, {values[1]}\)"):
        scenarios.normalize(opened, "cmip6", ALPS)


@pytest.mark.parametrize(
    ("name", "unit", "message"),
    [
        ("tas", "blorp", "tas has the unknown unit 'blorp'"),
        ("tas", "", "tas has no unit"),
        ("pr", "K", "pr is in 'K', which does not convert"),
    ],
)
def test_unknown_units_are_refused(files: Any, name: str, unit: str, message: str) -> None:
    def other(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign({name: ds[name].assign_attrs(units=unit)})

    with pytest.raises(ValueError, match=message):
        scenarios.normalize(files((2001, 2001), grid=small(), change=change_of(name, other)), "cmip5", ALPS)


def test_a_curvilinear_grid_is_refused(files: Any) -> None:
    def bent(ds: xr.Dataset) -> xr.Dataset:
        return ds.drop_vars(["lat", "lon", "lat_bnds", "lon_bnds"]).rename(lat="j", lon="i")

    with pytest.raises(ValueError, match=r"tas: no latitude axis .*Regrid"):
        scenarios.normalize(files((2001, 2001), change=bent), "cmip5", ALPS)


def test_a_calendar_that_was_not_decoded_is_refused(files: Any) -> None:
    opened = [ds.assign_coords(time=np.arange(12.0)) for ds in files((2001, 2001), grid=small())]
    with pytest.raises(ValueError, match=r"tas: time is not decoded"):
        scenarios.normalize(opened, "cmip5", ALPS)


def test_the_real_run_is_what_climate_reads(shared: Path) -> None:
    opened = [xr.open_dataset(file) for file in sorted((shared / "data/oetztal/cmip5").glob("*.nc"))]
    result = scenarios.normalize(opened, "cmip5", ALPS)
    xr.testing.assert_equal(result, climate.normalize(opened, "cmip5"))
