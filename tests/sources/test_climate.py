"""Published climate becomes degC, kg m-2 a month and metres, or is refused with a remedy."""

from __future__ import annotations

import warnings
from pathlib import Path

import cftime
import numpy as np
import pytest
import xarray as xr

from glacierscale.sources import climate


def make(
    months: int = 24,
    *,
    lat: list[float] | None = None,
    lon: list[float] | None = None,
    temp: float = 270.0,
    precip: float = 1e-5,
    time: xr.CFTimeIndex | None = None,
) -> xr.Dataset:
    lat, lon = lat or [46.0, 47.0], lon or [10.0, 11.0, 12.0]
    stamps = (np.datetime64("2000-01") + np.arange(months)).astype("datetime64[ns]") if time is None else time
    shape = (len(stamps), len(lat), len(lon))
    return xr.Dataset(
        {
            "tas": (("time", "lat", "lon"), np.full(shape, temp), {"units": "K", "standard_name": "air_temperature"}),
            "pr": (
                ("time", "lat", "lon"),
                np.full(shape, precip),
                {"units": "kg m-2 s-1", "standard_name": "precipitation_flux"},
            ),
        },
        coords={
            "time": stamps,
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


def oetztal(shared: Path, name: str, convention: str, member: int | None = None) -> xr.Dataset:
    folder = shared / "data/oetztal/climate"
    files = [file for kind in ("invariant", "monthly", "t2m", "pcp") for file in folder.glob(f"sel_{name}_{kind}*.nc")]
    return climate.normalize([xr.open_dataset(file) for file in files], convention, member=member)


def test_histalp_negative_months_are_clipped_and_counted(shared: Path) -> None:
    raw = xr.open_dataset(shared / "data/oetztal/HISTALP_oetztal.nc")
    result = climate.normalize([raw], "histalp")
    assert result.attrs["precip_clipped"] == 67
    assert float(result["precip"].min()) == 0.0
    assert dict(result.sizes) == {"time": 2556, "clim_lat": 7, "clim_lon": 7}
    assert result["time"].values[0] == np.datetime64("1801-10-01")
    assert result["temp"].attrs["units"] == "degC"
    assert result["precip"].attrs["units"] == "kg m-2"
    hintereis = result["clim_height"].sel(clim_lat=46.80, clim_lon=10.758, method="nearest")
    assert float(hintereis) == pytest.approx(3160, abs=1)
    np.testing.assert_array_equal(result["temp"].values, raw["temp"].values)


def test_era5_heights_come_from_geopotential_and_latitude_ascends(shared: Path) -> None:
    result = oetztal(shared, "era5", "era5")
    assert list(result["clim_lat"].values) == [46.5, 46.75, 47.0, 47.25]
    raw = xr.open_dataset(shared / "data/oetztal/climate/sel_era5_invariant.nc")["z"]
    expected = float(raw.sel(latitude=47.0, longitude=10.75).squeeze()) / 9.80665
    assert float(result["clim_height"].sel(clim_lat=47.0, clim_lon=10.75)) == pytest.approx(expected, abs=0.1)
    assert 1100 < float(result["clim_height"].min()) < float(result["clim_height"].max()) < 2450


def test_era5_and_era5_land_agree_on_alpine_precipitation(shared: Path) -> None:
    span = slice("1981-01", "2018-12")
    yearly = {
        name: float(oetztal(shared, name, name)["precip"].sel(time=span).mean() * 12) for name in ("era5", "era5_land")
    }
    assert 1200 < yearly["era5"] < 1600
    assert yearly["era5_land"] == pytest.approx(yearly["era5"], rel=0.1)


def test_daily_means_in_metres_are_multiplied_by_the_days_of_the_month(shared: Path) -> None:
    raw = xr.open_dataset(shared / "data/oetztal/climate/sel_era5_land_monthly_prcp_1981-2018.nc")["tp"]
    result = oetztal(shared, "era5_land", "era5_land")["precip"]
    february = float(raw.sel(time="1984-02-01", latitude=46.8, longitude=10.9, method="nearest"))
    here = float(result.sel(time="1984-02-01").sel(clim_lat=46.8, clim_lon=10.9, method="nearest"))
    assert here == pytest.approx(february * 1000 * 29, rel=1e-5)


def test_cera_gives_the_ensemble_mean_or_one_member(shared: Path) -> None:
    mean, third = oetztal(shared, "cera-20c", "cera20c"), oetztal(shared, "cera-20c", "cera20c", member=3)
    raw = xr.open_dataset(shared / "data/oetztal/climate/sel_cera-20c_t2m_1901-2010.nc")["t2m"]
    at = {"latitude": 47.0, "longitude": 11.0}
    here = {"clim_lat": 47.0, "clim_lon": 11.0}
    assert float(mean["temp"].sel(here)[0]) == pytest.approx(float(raw.sel(at)[0].mean()) - 273.15, abs=1e-3)
    assert float(third["temp"].sel(here)[0]) == pytest.approx(float(raw.sel({**at, "number": 3})[0]) - 273.15, abs=1e-3)
    with pytest.raises(ValueError, match=r"no member 10; the file holds \[0, 1"):
        oetztal(shared, "cera-20c", "cera20c", member=10)


def test_cmip5_mid_month_flux_becomes_a_monthly_amount_without_height(shared: Path) -> None:
    files = [xr.open_dataset(file) for file in sorted((shared / "data/oetztal/cmip5").glob("*.nc"))]
    result = climate.normalize(files, "cmip5")
    assert dict(result.sizes) == {"time": 2772, "clim_lat": 1, "clim_lon": 1}
    assert result["time"].values[0] == np.datetime64("1870-01-01")
    assert result["time"].values[-1] == np.datetime64("2100-12-01")
    assert bool(result["clim_height"].isnull().all())
    raw = next(file["pr"] for file in files if "pr" in file)
    assert float(result["precip"][1, 0, 0]) == pytest.approx(float(raw[1, 0, 0]) * 86400 * 28, rel=1e-5)
    found_by_standard_name = climate.normalize(files, "cf")
    xr.testing.assert_equal(found_by_standard_name, result)


def test_cru_series_of_south_glacier_are_read(shared: Path) -> None:
    files = [xr.open_dataset(file) for file in sorted((shared / "data/south_glacier").glob("cru_*.nc"))]
    result = climate.normalize(files, "cru")
    assert dict(result.sizes) == {"time": 1392, "clim_lat": 3, "clim_lon": 3}
    assert result["time"].values[0] == np.datetime64("1901-01-01")
    assert float(result["precip"].sum()) == pytest.approx(
        sum(float(f["pre"].sum()) for f in files if "pre" in f), rel=1e-5
    )


def test_lazy_input_stays_lazy_and_gives_the_same_numbers(shared: Path) -> None:
    file = shared / "data/oetztal/HISTALP_oetztal.nc"
    eager = climate.normalize([xr.open_dataset(file)], "histalp")
    lazy = climate.normalize([xr.open_dataset(file).chunk(time=600)], "histalp")
    assert lazy["temp"].chunks is not None
    assert lazy["precip"].chunks is not None
    assert lazy.attrs["precip_clipped"] == 67
    xr.testing.assert_equal(lazy.compute(), eager)


def test_grib_like_names_are_accepted() -> None:
    source = make().rename(tas="2t", pr="tp", time="valid_time", lat="latitude", lon="longitude")
    source["tp"].attrs = {"units": "m"}
    source["z"] = (("latitude", "longitude"), np.full((2, 3), 9806.65), {"units": "m**2 s**-2"})
    source["tp"] = source["tp"].copy(data=np.full(source["tp"].shape, 0.002))
    result = climate.normalize([source], "era5")
    assert float(result["precip"].sel(time="2000-02-01")[0, 0]) == pytest.approx(58.0, rel=1e-6)
    assert float(result["clim_height"][0, 0]) == pytest.approx(1000.0)


@pytest.mark.parametrize(("calendar", "february"), [("noleap", 28), ("360_day", 30), ("standard", 29)])
def test_fluxes_use_the_days_of_the_source_calendar(calendar: str, february: int) -> None:
    stamps = xr.CFTimeIndex([cftime.datetime(2000 + m // 12, m % 12 + 1, 16, calendar=calendar) for m in range(24)])
    result = climate.normalize([make(time=stamps)], "cmip5")
    assert result["time"].dtype == "datetime64[ns]"
    assert result["time"].values[1] == np.datetime64("2000-02-01")
    assert float(result["precip"][1, 0, 0]) == pytest.approx(1e-5 * 86400 * february, rel=1e-6)


def test_longitudes_over_greenwich_become_contiguous_and_latitude_is_sorted() -> None:
    source = make(lat=[47.0, 46.0], lon=[0.0, 1.0, 359.0])
    source["tas"] = source["tas"] + source["lon"] * 0.01 + source["lat"]
    source["tas"].attrs = {"units": "K"}
    result = climate.normalize([source], "cmip5")
    assert list(result["clim_lon"].values) == [-1.0, 0.0, 1.0]
    assert list(result["clim_lat"].values) == [46.0, 47.0]
    assert float(result["temp"].sel(clim_lon=-1, clim_lat=46)[0]) == pytest.approx(270 + 3.59 + 46 - 273.15, abs=1e-4)


@pytest.mark.parametrize("lon", [[179.0, 180.0, 181.0], [-179.0, 179.0, 180.0], [-180.0, -179.0, 179.0]])
def test_a_grid_of_a_region_runs_on_over_the_antimeridian_however_longitudes_are_counted(lon: list[float]) -> None:
    source = make(lon=lon)
    source["tas"] = source["tas"] + (source["lon"] % 360) * 0.01
    source["tas"].attrs = {"units": "K"}
    result = climate.normalize([source], "cmip5")
    assert list(result["clim_lon"].values) == [179.0, 180.0, 181.0]
    np.testing.assert_allclose(result["temp"][0, 0], 270 + np.array([1.79, 1.80, 1.81]) - 273.15, atol=1e-4)


def test_a_grid_around_the_earth_has_its_seam_at_the_antimeridian() -> None:
    result = climate.normalize([make(lon=list(range(0, 360, 30)))], "cmip5")
    assert list(result["clim_lon"].values) == list(np.arange(-180.0, 180.0, 30.0))


def test_height_around_the_earth_serves_a_grid_over_the_antimeridian() -> None:
    world = make(lon=list(range(-180, 180)))
    world = world[[]].assign(orog=world["tas"][0] * 0 + (world["lon"] % 360) * 10)
    world["orog"].attrs = {"units": "m"}
    result = climate.normalize([make(lon=[179.0, 180.0, 181.0]), world], "cmip5")
    np.testing.assert_allclose(result["clim_height"][0], [1790, 1800, 1810])


def test_files_of_one_variable_are_joined_along_time() -> None:
    whole = make(24)
    parts = [whole.isel(time=slice(12, None)), whole.isel(time=slice(None, 12))]
    xr.testing.assert_equal(climate.normalize(parts, "cmip5"), climate.normalize([whole], "cmip5"))


def test_declared_fill_values_are_masked_where_a_cell_never_has_data() -> None:
    source = make()
    for name in ("tas", "pr"):
        source[name][:, 0, 0] = 1e20
        source[name] = source[name].astype("float32").assign_attrs(source[name].attrs, _FillValue=np.float64(1e20))
    result = climate.normalize([source], "cmip5")
    assert bool(result["temp"][:, 0, 0].isnull().all())
    assert int(result["temp"].isnull().sum()) == 24


@pytest.mark.parametrize(("value", "kind"), [(-9999.0, "-9999"), (1e20, "inf or 1e20"), (np.inf, "inf or 1e20")])
def test_undeclared_missing_values_are_refused(value: float, kind: str) -> None:
    source = make()
    source["pr"][3, 0, :2] = value
    with pytest.raises(ValueError, match=rf"pr holds 2 undeclared missing values \({kind}.*_FillValue"):
        climate.normalize([source], "cmip5")


def test_gaps_in_a_cell_are_refused() -> None:
    source = make()
    source["tas"][3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"tas has 1 missing values .* 1 of 6 cells have data at some times only"):
        climate.normalize([source], "cmip5")


def test_a_variable_without_any_value_is_refused() -> None:
    with pytest.raises(ValueError, match="tas holds no value at all"):
        climate.normalize([make(temp=np.nan)], "cmip5")


def test_unscaled_integers_are_refused() -> None:
    source = make()
    source["tas"] = source["tas"].astype("int16").assign_attrs(units="K")
    with pytest.raises(ValueError, match=r"tas holds unscaled integers \(int16\).*mask_and_scale=True"):
        climate.normalize([source], "cmip5")


def test_packed_files_opened_without_decoding_are_refused(shared: Path) -> None:
    files = [
        xr.open_dataset(file, mask_and_scale=False)
        for file in sorted((shared / "data/oetztal/climate").glob("sel_era5_land_*.nc"))
    ]
    with pytest.raises(ValueError, match="t2m holds unscaled integers"):
        climate.normalize(files, "era5_land")


def test_a_temperature_in_the_wrong_unit_is_refused() -> None:
    source = make(temp=270.0)
    source["tas"].attrs["units"] = "degC"
    with pytest.raises(ValueError, match=r"tas runs from 270.0 to 270.0 degC after conversion.*unit or its packing"):
        climate.normalize([source], "cmip5")


def test_strongly_negative_precipitation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pr holds negative precipitation down to -26\d\d"):
        climate.normalize([make(precip=-1e-3)], "cmip5")


def test_missing_and_foreign_units_are_refused() -> None:
    source = make()
    del source["tas"].attrs["units"]
    with pytest.raises(ValueError, match="tas has no unit"):
        climate.normalize([source], "cmip5")
    source = make()
    source["pr"].attrs["units"] = "degC"
    with pytest.raises(ValueError, match=r"pr is in 'degC', which does not convert"):
        climate.normalize([source], "cmip5")


def test_undecoded_time_is_refused() -> None:
    source = make()
    source["time"] = ("time", np.arange(24.0), {"units": "months since 2000-01-01"})
    with pytest.raises(ValueError, match=r"time is not decoded .*calendar"):
        climate.normalize([source], "cmip5")


def test_duplicated_months_are_named() -> None:
    source = make(12)
    with pytest.raises(ValueError, match=r"duplicated months 2000-01, 2000-02.*expected one stamp a month"):
        climate.normalize([xr.concat([source, source], "time")], "cmip5")


def test_missing_months_are_named() -> None:
    source = make(12)
    with pytest.raises(ValueError, match="missing months 2000-04, 2000-06 between 2000-01 and 2000-12"):
        climate.normalize([source.isel(time=[0, 1, 2, 4, 6, 7, 8, 9, 10, 11])], "cmip5")


def test_swapped_latitude_and_longitude_are_refused() -> None:
    with pytest.raises(ValueError, match="beyond 90 degrees; latitude and longitude look swapped"):
        climate.normalize([make(lat=[100.0, 101.0])], "cmip5")
    source = make()
    source["lat"].attrs, source["lon"].attrs = source["lon"].attrs, source["lat"].attrs
    with pytest.raises(ValueError, match="latitude and longitude look swapped"):
        climate.normalize([source], "cmip5")


def test_curvilinear_grids_are_refused() -> None:
    source = make().drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    with pytest.raises(ValueError, match=r"no latitude axis .*Regrid"):
        climate.normalize([source], "cmip5")


def test_repeated_meridians_are_refused() -> None:
    with pytest.raises(ValueError, match="clim_lon holds repeated values"):
        climate.normalize([make(lon=[0.0, 180.0, 360.0])], "cmip5")


def test_variables_on_different_grids_are_refused() -> None:
    temp, precip = make()[["tas"]], make(lon=[10.5, 11.5, 12.5])[["pr"]]
    with pytest.raises(ValueError, match="pr lies on another grid than the temperature: clim_lon"):
        climate.normalize([temp, precip], "cmip5")


def test_variables_without_a_common_month_are_refused() -> None:
    whole = make(24)
    with pytest.raises(ValueError, match=r"tas \(2000-01..2000-12\) and pr \(2001-01..2001-12\) share no month"):
        climate.normalize([whole[["tas"]].isel(time=slice(12)), whole[["pr"]].isel(time=slice(12, None))], "cmip5")


def test_absent_variables_and_conventions_are_named() -> None:
    with pytest.raises(ValueError, match="no precipitation found: expected one of pr, the files hold tas"):
        climate.normalize([make()[["tas"]]], "cmip5")
    with pytest.raises(ValueError, match="unknown climate convention 'era6'"):
        climate.normalize([make()], "era6")
    with pytest.raises(ValueError, match="no height or geopotential found"):
        climate.normalize([make().rename(tas="temp", pr="prcp")], "histalp")


def test_extra_dimensions_are_refused() -> None:
    source = make().expand_dims(expver=2)
    with pytest.raises(ValueError, match="unexpected dimension 'expver' of length 2"):
        climate.normalize([source], "cmip5")


def test_no_warning_escapes_for_sea_cells() -> None:
    source = make()
    source["tas"][:, 0, 0] = np.nan
    source["pr"][:, 0, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        climate.normalize([source], "cmip5")
