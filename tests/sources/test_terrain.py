"""Published rasters become one north-up elevation grid and a thickness on it, or are refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rioxarray
import xarray as xr

from glacierscale.sources import terrain

# rioxarray multiplies affine transforms with "*", which affine 3 announces to deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def raster(
    values: object, *, crs: str | None = "EPSG:32632", step: float = 25.0, nodata: float | None = None
) -> xr.DataArray:
    array = np.asarray(values, np.float32)
    rows, columns = array.shape
    result = xr.DataArray(
        array,
        dims=("y", "x"),
        coords={"y": 5_200_000.0 - step * np.arange(rows), "x": 640_000.0 + step * np.arange(columns)},
    )
    result = result.rio.write_crs(crs) if crs else result
    return result.rio.write_nodata(nodata) if nodata is not None else result


def test_the_oetztal_dem_keeps_its_values_north_up(shared: Path) -> None:
    source = rioxarray.open_rasterio(shared / "data/oetztal/srtm_oetztal.tif")
    result = terrain.normalize_dem(source)
    assert result.dims == ("y", "x")
    assert result.dtype == "float32"
    assert (float(result.min()), float(result.max())) == (float(source.min()), float(source.max()))
    assert np.all(np.diff(result["y"]) < 0)
    assert np.all(np.diff(result["x"]) > 0)
    assert "WGS 84" in result.attrs["crs_wkt"]
    assert result.attrs["units"] == "m"
    assert set(result.coords) == {"x", "y"}


def test_a_lazy_dem_stays_lazy(shared: Path) -> None:
    file = shared / "data/oetztal/srtm_oetztal.tif"
    lazy = terrain.normalize_dem(rioxarray.open_rasterio(file, chunks={"x": 256, "y": 256}))
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.compute(), terrain.normalize_dem(rioxarray.open_rasterio(file)))


def test_tagged_nodata_becomes_nan(shared: Path) -> None:
    source = rioxarray.open_rasterio(shared / "data/south_glacier/dem_SouthGlacier.tif")
    assert float(terrain.normalize_dem(source).min()) == pytest.approx(1684.635)
    tagged = terrain.normalize_dem(raster([[0, 100], [200, 300]], nodata=0))
    assert int(tagged.isnull().sum()) == 1


def test_untagged_sentinels_are_masked_but_untagged_zero_is_sea_level() -> None:
    result = terrain.normalize_dem(raster([[-9999, -32768, 0], [100, 200, 300]]))
    np.testing.assert_array_equal(result.values, np.array([[np.nan, np.nan, 0], [100, 200, 300]], np.float32))


def test_a_south_up_raster_is_turned() -> None:
    source = raster([[1, 2], [3, 4]])
    result = terrain.normalize_dem(source.isel(y=slice(None, None, -1), x=slice(None, None, -1)))
    np.testing.assert_array_equal(result.values, [[1, 2], [3, 4]])


def test_a_dem_without_crs_is_refused(shared: Path) -> None:
    source = rioxarray.open_rasterio(shared / "data/oetztal/ice_thickness/dem_00897.asc.tif")
    with pytest.raises(ValueError, match=r"has no CRS; expected one that states what x and y are"):
        terrain.normalize_dem(source)
    assert float(terrain.normalize_dem(source.rio.write_crs("EPSG:32632")).max()) == pytest.approx(3674.17, abs=0.01)


def test_values_that_are_no_elevations_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"runs from 100 to 12000; expected elevations in metres between -500 and 9000"
    ):
        terrain.normalize_dem(raster([[100, 12000], [200, 300]]))


def test_a_raster_of_nodata_only_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no value at all, only nodata"):
        terrain.normalize_dem(raster([[-9999, -9999], [-9999, -9999]]))


def test_uneven_spacing_and_several_bands_are_refused() -> None:
    source = raster(np.ones((3, 3)))
    with pytest.raises(ValueError, match="not evenly spaced along x"):
        terrain.normalize_dem(source.assign_coords(x=[0.0, 25.0, 75.0]))
    with pytest.raises(ValueError, match="has 2 bands; expected one"):
        terrain.normalize_dem(source.expand_dims(band=2))


def test_what_ice_has_is_the_mean_over_the_cells_of_the_grid_and_the_largest_where_rasters_overlap() -> None:
    template = terrain.normalize_dem(raster(np.full((2, 2), 3000.0), step=50.0))
    fine = raster(np.arange(16.0).reshape(4, 4)).assign_coords(
        y=5_200_012.5 - 25 * np.arange(4), x=639_987.5 + 25 * np.arange(4)
    )
    result = terrain.onto_grid([fine, raster([[9, 0], [np.nan, 0]], step=50.0)], template)
    np.testing.assert_allclose(result.values, [[9, 4.5], [10.5, 12.5]])
    alone = terrain.onto_grid([raster([[9, 0], [-9999, 0]], step=50.0)], template)
    np.testing.assert_array_equal(alone.values, np.array([[9, 0], [np.nan, 0]], np.float32))


def test_a_raster_without_crs_takes_the_given_one() -> None:
    template = terrain.normalize_dem(raster(np.full((4, 4), 3000.0)))
    speed = raster(np.full((4, 4), 50.0), crs=None)
    np.testing.assert_allclose(terrain.onto_grid([speed], template, crs="EPSG:32632").values, 50.0)
    with pytest.raises(ValueError, match="raster 0 has no CRS"):
        terrain.onto_grid([speed], template)


def test_rasters_off_the_grid_are_refused() -> None:
    template = terrain.normalize_dem(raster(np.full((2, 2), 3000.0)))
    far = raster(np.ones((2, 2))).assign_coords(x=[900_000.0, 900_025.0])
    with pytest.raises(ValueError, match="none of the 1 rasters touches the grid"):
        terrain.onto_grid([far], template)
