"""Climates without a grid: one station, and massifs by elevation band, laid out where the glaciers are."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr

from glacierscale.sources import climate, columns


def s2m(first: str = "2000-08-01T06", days: int = 400, **changed: Any) -> xr.Dataset:
    """Three bands of two massifs, flat and sloping: 6.5 K km-1, twice the rain in the second massif."""
    time = pd.date_range(first, periods=days * 4, freq="6h")
    height = np.repeat([2100.0, 2400.0, 2700.0], 2)
    massif, slope = np.repeat([15, 16], 12), np.tile([0.0, 20.0], 12)
    height = np.tile(np.repeat(height, 2), 2)
    season = 10 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 200) / 365)
    temp = 273.15 + season[:, None] - 0.0065 * (height - 2100)[None, :] + 30 * (slope > 0)
    rain = np.full((len(time), 24), 1e-5) * np.where(massif == 16, 2, 1)
    flux = {"units": "kg/m2/s"}
    points = ("time", "Number_of_points")
    return xr.Dataset(
        {
            "Tair": (points, temp.astype(np.float32), {"units": "K"}),
            "Rainf": (points, rain.astype(np.float32), flux),
            "Snowf": (points, (2 * rain).astype(np.float32), flux),
            "ZS": ("Number_of_points", height),
            "massif_number": ("Number_of_points", massif),
            "slope": ("Number_of_points", slope),
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


def test_massifs_are_read_at_the_height_and_in_the_massif_of_each_glacier() -> None:
    parts = [s2m(), s2m("2001-09-01T06", 100)]
    fields = climate.normalize([columns.massifs(parts[::-1], *glaciers())], "histalp")
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
        columns.massifs([s2m(days=20)], *glaciers())


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
