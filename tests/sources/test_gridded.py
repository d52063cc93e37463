"""Maps of mass balance become points, blocks of cells at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rioxarray
import xarray as xr

from glacierscale.sources import observations as obs
from glacierscale.sources import terrain

FIVE_YEARS = ("2006-10-01", "2011-09-30")


def drawn(values: Any, nodata: float | None = -9999.0, crs: str | None = "EPSG:32607") -> xr.DataArray:
    """Build a map of 20 m cells."""
    values = np.asarray(values, np.float64)
    rows, columns = values.shape
    coords = {"y": 6747000.0 - 10 - 20 * np.arange(rows), "x": 599000.0 + 10 + 20 * np.arange(columns)}
    raster = xr.DataArray(values[None], dims=("band", "y", "x"), coords=coords)
    raster = raster if crs is None else raster.rio.write_crs(crs)
    return raster if nodata is None else raster.rio.write_nodata(nodata)


def read(values: Any, **arguments: Any) -> Any:
    raster = values if isinstance(values, xr.DataArray) else drawn(values)
    stated = {"unit_id": "RGI60-01.16195", "units": "m w.e.", "period": FIVE_YEARS}
    return obs.gridded_smb(raster, **stated | arguments)


def test_a_cell_becomes_the_total_over_the_period_at_its_centre() -> None:
    table = read([[-1.0, -9999.0], [-9999.0, 0.5]])
    np.testing.assert_allclose(table["obs_value"], [-5000, 2500], rtol=3e-4)
    np.testing.assert_allclose(table["obs_sigma"], 1000, rtol=3e-4)
    assert set(table["obs_kind"]) == {"point"}
    assert set(table["obs_year"]) == {2011}
    assert (f"{table.loc[0, 'obs_start']:%Y-%m-%d}", f"{table.loc[0, 'obs_end']:%Y-%m-%d}") == FIVE_YEARS
    x, y = pyproj.Transformer.from_crs(4326, 32607, always_xy=True).transform(table["obs_lon"], table["obs_lat"])
    np.testing.assert_allclose(x, [599010, 599030], atol=1.5)  # positions are float32
    np.testing.assert_allclose(y, [6746990, 6746970], atol=1.5)
    assert table["obs_elevation"].isna().all()


@pytest.mark.parametrize(
    ("hemisphere", "period", "year"),
    [
        ("north", ("2006-10-01", "2011-10-01"), 2011),
        ("north", ("2006-10-01", "2011-10-02"), 2012),
        ("south", ("2006-04-01", "2011-03-31"), 2011),
        ("south", ("2006-04-01", "2011-04-01"), 2011),
        ("south", ("2006-04-01", "2011-09-30"), 2012),
    ],
)
def test_the_year_is_the_hydrological_one_that_the_period_ends_in(
    hemisphere: str, period: tuple[str, str], year: int
) -> None:
    table = read([[-1.0]], hemisphere=hemisphere, period=period)
    assert table["obs_year"].tolist() == [year]


def test_blocks_are_means_of_their_cells_and_sparse_ones_are_left_out() -> None:
    values = np.full((4, 5), np.nan)
    values[:2, :2] = [[-1.0, -2.0], [-3.0, -4.0]]
    values[0, 2:4] = -1.0, -2.0  # half a block: its points lie in the upper row
    values[2, 0] = -9.0  # a quarter
    table = read(drawn(values, nodata=np.nan), every=2, sigma=0.1)
    np.testing.assert_allclose(table["obs_value"], [-12500, -7500], rtol=3e-4)
    np.testing.assert_allclose(table["obs_sigma"], 500, rtol=3e-4)
    assert table.attrs["sparse_blocks"] == 1
    x, y = pyproj.Transformer.from_crs(4326, 32607, always_xy=True).transform(table["obs_lon"], table["obs_lat"])
    np.testing.assert_allclose(x, [599020, 599060], atol=1.5)
    np.testing.assert_allclose(y, [6746980, 6746990], atol=1.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period": None}, r"states the period None; expected its first and last day.*`period: \["),
        ({"period": "2006"}, r"states the period '2006'"),
        ({"period": ("2011-10-01", "2006-09-30")}, r"ends \(2006-09-30\) before it starts \(2011-10-01\)"),
        ({"units": None}, r"states no unit; give one in the catalogue: `units: m w.e.`"),
        ({"units": "degC"}, r"map of mass balance is in 'degC', which does not convert"),
        ({"every": 0}, r"every=0 cells; expected a whole number of at least 1"),
    ],
)
def test_a_map_without_period_or_unit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read([[-1.0, 0.5]], **arguments)


def test_a_map_without_value_or_projection_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no value"):
        read([[-9999.0, -9999.0]])
    with pytest.raises(ValueError, match="has no CRS; write it into the file"):
        read(drawn([[-1.0, 0.5]], crs=None))
    with pytest.raises(ValueError, match="has 2 bands; expected one"):
        read(xr.concat([drawn([[-1.0]]), drawn([[-1.0]])], "band"))


def test_many_years_of_strong_melt_are_plausible_but_a_wrong_unit_is_not() -> None:
    assert float(read([[-4.0, -3.5]])["obs_value"].min()) == pytest.approx(-20_000, rel=1e-3)
    with pytest.raises(ValueError, match=r"17,000 at a point or band\) a year: likely a wrong unit"):
        read([[-400.0, 96.0]])


def test_the_map_of_south_glacier_keeps_its_mean_and_its_elevations(shared: Path) -> None:
    folder = shared / "data/south_glacier"
    raster = rioxarray.open_rasterio(folder / "mb_SouthGlacier.tif")
    dem = terrain.normalize_dem(rioxarray.open_rasterio(folder / "dem_SouthGlacier.tif"))
    cells = read(raster, elevation=dem)
    blocks = read(raster, elevation=dem, every=5)
    assert (len(cells), len(blocks), blocks.attrs["sparse_blocks"]) == (13365, 533, 94)
    assert float(cells["obs_value"].mean()) == pytest.approx(-433.466 * 1826 / 365.2425, rel=1e-4)
    assert float(blocks["obs_value"].mean()) == pytest.approx(float(cells["obs_value"].mean()), abs=60)
    glacier = dem.values[np.asarray(raster.values[0] > -9000)]
    np.testing.assert_allclose(np.sort(cells["obs_elevation"]), np.sort(glacier), rtol=1e-6)
    assert np.corrcoef(blocks["obs_elevation"], blocks["obs_value"])[0, 1] > 0.94
