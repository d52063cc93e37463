"""Climates without a grid: one station, and massifs by elevation band, laid out where the glaciers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from glacierscale.sources import climate, columns


def s2m(first: str = "2000-08-01T06", last: str = "2001-08-01T06", **changed: Any) -> xr.Dataset:
    """A file in the layout of S2M's FORCING files, every sixth hour of a year of theirs, both ends told.

    Three bands of two massifs, flat ground (aspect -1) and one slope; 6.5 K km-1, twice the rain in the second massif.
    """
    time = pd.date_range(first, last, freq="6h")
    height = np.tile(np.repeat([2100.0, 2400.0, 2700.0], 4), 2)
    massif, slope = np.repeat([15, 16], 12), np.tile([0.0, 20.0], 12)
    season = 10 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 200) / 365)
    temp = 273.15 + season[:, None] - 0.0065 * (height - 2100)[None, :] + 30 * (slope > 0)
    rain = np.full((len(time), 24), 1e-5) * np.where(massif == 16, 2, 1)
    flux = {"units": "kg/m2/s"}
    series, points = ("time", "Number_of_points"), "Number_of_points"
    return xr.Dataset(
        {
            "Tair": (series, temp.astype(np.float32), {"units": "K", "long_name": "Near Surface Air Temperature"}),
            "Rainf": (series, rain.astype(np.float32), flux | {"long_name": "Rainfall Rate"}),
            "Snowf": (series, (2 * rain).astype(np.float32), flux | {"long_name": "Snowfall Rate"}),
            "Wind": (series, np.ones(temp.shape, np.float32), {"units": "m/s"}),
            "ZS": (points, height, {"units": "m", "long_name": "altitude"}),
            "massif_number": (points, massif.astype(float)),
            "slope": (points, slope, {"units": "degrees from horizontal"}),
            "aspect": (points, np.where(slope > 0, 90.0, -1.0), {"units": "degrees from north"}),
            "LAT": (points, np.full(24, 44.9), {"units": "degrees_north"}),
            "LON": (points, np.full(24, 6.3), {"units": "degrees_east"}),
            "FRC_TIME_STP": ((), 21600.0, {"units": "s"}),
        }
        | changed,
        coords={"time": time},
    )


def glaciers(zones: tuple[int, ...] = (15, 16)) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """One glacier in each massif, at 2550 m and 2900 m."""
    boxes = [shapely.box(6.3 + 0.1 * n, 44.9, 6.31 + 0.1 * n, 44.91) for n in range(len(zones))]
    names = [f"g{n}" for n in range(len(zones))]
    shapes = gpd.GeoDataFrame({"glacier_id": names, "climate_zone": zones}, geometry=boxes, crs=4326)
    shapes["lon"], shapes["lat"] = 6.305 + 0.1 * np.arange(len(zones)), 44.905
    return shapes, pd.DataFrame({"glacier_id": names, "mean_elevation": [2550.0, 2900.0][: len(zones)]})


def test_files_of_s2m_are_read_at_the_height_and_in_the_massif_of_each_glacier(tmp_path: Path) -> None:
    for first, last in (("2000-08-01T06", "2001-08-01T06"), ("2001-08-01T06", "2001-12-09T06")):
        file = tmp_path / f"FORCING_{first[:4]}080106.nc"
        written = {name: {"_FillValue": -9999999.0} for name in ("Tair", "Rainf", "Snowf", "ZS", "massif_number")}
        s2m(first, last).to_netcdf(file, format="NETCDF4_CLASSIC", encoding=written)
    parts = [xr.load_dataset(file) for file in sorted(tmp_path.iterdir(), reverse=True)]
    fields = climate.normalize([columns.massifs(parts, *glaciers())], "histalp")
    assert (fields.time.values[[0, -1]].astype("datetime64[M]") == np.array(["2000-08", "2001-11"], "M8[M]")).all()
    cells = [fields.sel(clim_lon=lon, clim_lat=44.9, method="nearest") for lon in (6.30, 6.40)]
    assert [float(cell.clim_height) for cell in cells] == [2550.0, 2900.0]
    difference = cells[1].temp - cells[0].temp
    np.testing.assert_allclose(difference, -0.0065 * 350, atol=1e-3)  # above the highest band as between the last two
    np.testing.assert_allclose(cells[1].precip / cells[0].precip, 2.0, rtol=1e-5)
    january = cells[0].sel(time="2001-01-01")
    assert float(january.precip) == pytest.approx(3e-5 * 31 * 86400, rel=1e-4)
    west, east = float(fields.clim_lon.min()), float(fields.clim_lon.max())
    assert (west < 6.3, east > 6.41) == (True, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Snowf": None}, "the climate of massifs lacks Snowf; it has"),
        ({"massif_number": None}, "the climate of massifs lacks massif_number"),
    ],
)
def test_a_file_of_another_layout_is_refused(changed: dict[str, Any], message: str) -> None:
    fields = s2m().drop_vars(list(changed))
    with pytest.raises(ValueError, match=message):
        columns.massifs([fields], *glaciers())


def test_another_unit_is_refused() -> None:
    fields = s2m()
    fields["Tair"].attrs["units"] = "degC"
    with pytest.raises(ValueError, match="Tair is in 'degC'; expected 'K'"):
        columns.massifs([fields], *glaciers())


def test_glaciers_without_a_massif_of_the_climate_are_named() -> None:
    with pytest.raises(ValueError, match=r"1 glaciers \(g1\) have no massif of the climate \(\[15, 16\]\)"):
        columns.massifs([s2m()], *glaciers((15, 3)))
    shapes, _ = glaciers()
    with pytest.raises(ValueError, match="needs outlines that state the SAFRAN massif"):
        columns.massifs([s2m()], shapes, None)


def test_a_span_without_a_whole_month_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole month"):
        columns.massifs([s2m(last="2000-08-20T06")], *glaciers())


def test_a_missing_file_between_two_is_refused_with_its_first_month() -> None:
    parts = [s2m(), s2m("2002-08-01T06", "2003-08-01T06")]
    with pytest.raises(ValueError, match=r"lacks more than a tenth of 12 months, such as 2001-08; .*Add the missing"):
        columns.massifs(parts, *glaciers())


def station(**attrs: float) -> xr.Dataset:
    time = pd.date_range("2000-01-01", periods=24, freq="MS")
    values = {"temp": ("time", np.ones(24, np.float32), {"units": "degC"})}
    values["prcp"] = ("time", np.full(24, 80, np.float32), {"units": "kg m-2"})
    return xr.Dataset(values, coords={"time": time}, attrs=attrs)


def test_a_station_is_a_grid_of_one_cell() -> None:
    fields = climate.normalize([columns.station(station(ref_hgt=2011.0), 8.12, 46.61)], "histalp")
    assert dict(fields.sizes) == {"time": 24, "clim_lat": 1, "clim_lon": 1}
    assert (fields.clim_height.item(), fields.clim_lon.item()) == (2011.0, 8.12)
    named = columns.station(station(ref_hgt=2011.0, ref_pix_lon=10.0, ref_pix_lat=47.0))
    assert (float(named.lon[0]), float(named.lat[0])) == (10.0, 47.0)


def test_a_station_without_place_or_height_is_refused() -> None:
    with pytest.raises(ValueError, match="does not state where it is; give `lon` and `lat`"):
        columns.station(station(ref_hgt=2011.0))
    with pytest.raises(ValueError, match="lacks the attribute ref_hgt"):
        columns.station(station())
