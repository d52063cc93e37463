"""Tables of stakes give the outlines, terrain and climate that their points need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from glacierscale.sources import outlines, sites, terrain


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/iceland/iceland_climate_features.csv")


def test_every_site_is_a_square_and_a_part_of_its_glacier(table: pd.DataFrame) -> None:
    drawn = sites.outlines(table)
    assert list(zip(drawn["glacier_id"], drawn["name"], strict=True)) == [
        ("RGI60-06.00228_d01", "hn14aa"),
        ("RGI60-06.00228_d02", "hn15aa"),
        ("RGI60-06.00232_d01", "blt11"),
        ("RGI60-06.00232_d02", "blt8"),
    ]
    np.testing.assert_allclose(drawn.area, 9e4)
    normal = outlines.normalize(drawn, "glacierscale")
    assert list(normal.unit_id) == ["RGI60-06.00228"] * 2 + ["RGI60-06.00232"] * 2
    np.testing.assert_allclose(normal.area_m2, 9e4, rtol=2e-3)  # UTM scale
    assert (normal.lon[0], normal.lat[0]) == (pytest.approx(-18.77387068), pytest.approx(64.8850131))


def test_the_surface_is_the_plane_of_each_site(table: pd.DataFrame) -> None:
    plane = terrain.normalize_dem(sites.surface(table))
    assert set(np.diff(plane.x)) == {50.0}
    assert set(np.diff(plane.y)) == {-50.0}
    x, y = Transformer.from_crs(4326, plane.attrs["crs_wkt"], always_xy=True).transform(-18.77387068, 64.8850131)
    around = plane.sel(x=slice(x - 300, x + 300), y=slice(y + 300, y - 300))
    # Aspect 1.606: down to the east.
    fall = np.tan(0.056245573)
    mean = table.loc[table.POINT_ID == "hn14aa"].groupby("POINT_ID").POINT_ELEVATION.mean().item()
    expected = mean - fall * ((around.x - x) * np.sin(1.6064063) + (around.y - y) * np.cos(1.6064063))
    np.testing.assert_allclose(around, expected.transpose("y", "x"), atol=1e-3)
    assert float(around.isel(y=5).diff("x").max()) < 0
    reach = np.pi * sites.REACH_M**2
    known = int(plane.notnull().sum()) * sites.CELL_M**2
    assert 2 * reach < known < 4 * reach
    assert plane.isnull().any()


def test_climate_lies_on_the_two_cells_of_the_stakes(table: pd.DataFrame) -> None:
    fields = sites.climate(table)
    months = fields.time.values.astype("datetime64[M]")
    assert (str(months[0]), str(months[-1]), len(months)) == ("1994-04", "2022-11", 344)
    assert set(np.diff(months).astype(int)) == {1}
    cells = fields.clim_height.to_series().dropna()
    assert cells.to_dict() == pytest.approx({(64.7, -19.0): 1067.594, (64.9, -18.8): 1333.924}, abs=1e-3)
    assert set(np.round(np.diff(fields.clim_lat), 6)) == {0.1}
    known = np.isfinite(fields.temp.values)
    assert np.array_equal(known, np.isfinite(fields.precip.values))
    months_known = {(64.7, -19.0): 80, (64.9, -18.8): 32 + 56 + 20}  # April before the first of some years to November
    for (lat, lon), count in months_known.items():
        assert int(fields.temp.sel(clim_lat=lat, clim_lon=lon).count()) == count
    assert known.sum() == sum(months_known.values())
    north = fields.sel(clim_lat=64.9, clim_lon=-18.8)
    row = table[(table.POINT_ID == "hn14aa") & (table.YEAR == 2000)].iloc[0]
    for stamp, column, days in (
        ("1999-10", "oct", 31),
        ("2000-02", "feb", 29),
        ("2000-09", "sep", 30),
        ("1999-04", "apr_", 30),
        ("2000-11", "nov_", 30),
    ):
        found = north.sel(time=f"{stamp}-01")
        assert float(found.temp) == pytest.approx(row[f"t2m_{column}"] - 273.15, abs=1e-4)
        assert float(found.precip) == pytest.approx(row[f"tp_{column}"] * 1000 * days, rel=1e-5)
    assert np.isnan(north.temp.sel(time="2010-06-01"))
    assert (fields.temp.attrs["units"], fields.precip.attrs["units"]) == ("degC", "kg m-2")


def test_rows_of_one_cell_that_disagree_are_refused(table: pd.DataFrame) -> None:
    spoiled = table.copy()
    spoiled.loc[spoiled.index[(spoiled.POINT_ID == "hn15aa") & (spoiled.YEAR == 1996)][0], "t2m_jul"] += 1
    with pytest.raises(ValueError, match=r"row \d+ gives t2m_jul = .* another row of the same climate cell and month"):
        sites.climate(spoiled)
    spoiled = table.assign(ALTITUDE_CLIMATE=table.ALTITUDE_CLIMATE + np.arange(len(table)))
    with pytest.raises(ValueError, match="gives ALTITUDE_CLIMATE"):
        sites.climate(spoiled)


def test_tables_that_lack_columns_or_values_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="lacks tp_jan; take the one that has them"):
        sites.climate(table.drop(columns="tp_jan"))
    with pytest.raises(ValueError, match="lacks RGIId"):
        sites.outlines(table.drop(columns="RGIId"))
    with pytest.raises(ValueError, match="lacks slope, aspect"):
        sites.surface(table.drop(columns=["slope", "aspect"]))
    with pytest.raises(ValueError, match=r"slope of the sites runs to 3.2.*expected radians"):
        sites.surface(table.assign(slope=np.degrees(table.slope)))
    with pytest.raises(ValueError, match="sites need a value in each of"):
        sites.outlines(table.assign(POINT_LAT=np.nan))


def test_negative_precipitation_is_clipped_and_counted(table: pd.DataFrame) -> None:
    here = table.POINT_LAT > 64.8
    fields = sites.climate(table.assign(tp_jan=table.tp_jan.mask(here, -1e-6)))
    assert fields.attrs["precip_clipped"] == 7
    assert float(fields.precip.min()) == 0


def test_a_wrong_temperature_unit_is_refused(table: pd.DataFrame) -> None:
    celsius = table.assign(**{name: table[name] - 273.15 for name in table.columns if name.startswith("t2m_")})
    with pytest.raises(ValueError, match="expected -90 to 60"):
        sites.climate(celsius)
