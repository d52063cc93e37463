"""Ice thickness keeps its volume and its surface on the terrain's grid, or is refused with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rioxarray
import shapely
import xarray as xr

from glacierscale.sources import terrain, thickness

# rioxarray multiplies affine transforms with "*", which affine 3 announces to deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def raster(values: Any, *, crs: str | None = "EPSG:32632", step: float = 25.0, x: float = 640_000.0) -> xr.DataArray:
    array = np.asarray(values, np.float32)
    rows, columns = array.shape
    coords = {"y": 5_200_000.0 - step * (np.arange(rows) + 0.5), "x": x + step * (np.arange(columns) + 0.5)}
    result = xr.DataArray(array, dims=("y", "x"), coords=coords)
    return result.rio.write_crs(crs) if crs else result


def ground(rows: int = 4, columns: int = 4, step: float = 25.0, **more: Any) -> xr.DataArray:
    return terrain.normalize_dem(raster(np.full((rows, columns), 3000.0), step=step, **more))


def gridded(*rasters: xr.DataArray, template: xr.DataArray | None = None, **more: Any) -> xr.Dataset:
    named = [(f"glacier_{number:05d}", one) for number, one in enumerate(rasters)]
    return thickness.onto_grid(thickness.fields(named, **more), ground() if template is None else template)


@pytest.fixture(scope="module")
def oetztal(shared: Path) -> list[tuple[str, xr.DataArray]]:
    files = sorted((shared / "data/oetztal/ice_thickness").glob("RGI60-*.tif"))
    return [(file.stem, rioxarray.open_rasterio(file)) for file in files]


def cell_areas_m2(elevation: xr.DataArray) -> np.ndarray:
    """(y, 1) area of the cells of a geographic grid on the ellipsoid."""
    side, geod = float(elevation["x"][1] - elevation["x"][0]), pyproj.Geod(ellps="WGS84")
    half = abs(float(elevation["y"][1] - elevation["y"][0])) / 2
    corners = [([0, side, side, 0], [y - half, y - half, y + half, y + half]) for y in elevation["y"].values]
    return np.array([[geod.polygon_area_perimeter(*corner)[0]] for corner in corners])


# Volume


def test_each_glacier_of_the_oetztal_keeps_its_volume_on_the_grid_of_the_terrain(
    shared: Path, oetztal: list[tuple[str, xr.DataArray]]
) -> None:
    elevation = terrain.normalize_dem(rioxarray.open_rasterio(shared / "data/oetztal/srtm_oetztal.tif"))
    areas = cell_areas_m2(elevation)
    found = thickness.fields(oetztal)
    assert len(found) == 19
    volumes = [float(one.sum(dtype=float)) * 25.0**2 for _, one in oetztal]
    for field, volume in zip(found, volumes, strict=True):
        alone = thickness.onto_grid([field], elevation).thickness.fillna(0).values
        assert float((alone * areas).sum()) == pytest.approx(volume, rel=0.001), field.name
    together = thickness.onto_grid(found, elevation).thickness
    assert sum(volumes) / 1e9 == pytest.approx(6.71, abs=0.01)
    assert float((together.fillna(0).values * areas).sum()) == pytest.approx(sum(volumes), rel=0.001)
    assert 0.5 < float(together.isnull().mean()) < 0.9
    assert float(together.min()) == 0.0


def test_ice_of_neighbours_adds_up_along_their_divide() -> None:
    west, east = raster([[80, 0], [80, 0]]), raster([[0, 60], [0, 60]])
    result = gridded(west, east, template=ground(2, 2, 50.0))
    np.testing.assert_array_equal(result.thickness.values, np.array([[70, np.nan], [np.nan, np.nan]], np.float32))


def test_the_same_ice_in_two_rasters_counts_once() -> None:
    result = gridded(raster(np.full((4, 4), 90.0)), raster(np.full((4, 4), 110.0)))
    np.testing.assert_allclose(result.thickness.values, 100)


def test_a_cell_with_little_ice_has_little_thickness() -> None:
    result = gridded(raster([[80, 0, 0, 0], [0, 0, 0, 0]]), template=ground(2, 2, 50.0))
    np.testing.assert_array_equal(result.thickness.values, np.array([[20, 0], [np.nan, np.nan]], np.float32))


# Numbers that are no thickness


def test_noise_around_zero_and_missing_values_are_no_ice_and_a_few_outliers_are_discarded_and_counted() -> None:
    values = np.full((10, 10), 100.0)
    values[0, :4] = (-0.4, -99999.0, np.nan, -9999.0)
    values[5, 5], values[7, 7] = -181.9, 3530.7
    result = gridded(raster(values), template=ground(10, 10), highest_m=550.0)
    np.testing.assert_array_equal(result.thickness.values[0, :4], 0)
    assert np.isnan(result.thickness.values[[5, 7], [5, 7]]).all()
    assert result.attrs["thickness_discarded"] == 2
    coarse = gridded(raster(values), template=ground(5, 5, 50.0), highest_m=550.0)
    assert coarse.thickness.values[2, 2] == 100  # an outlier is a gap in the ice, not a hole


def test_negative_thickness_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"glacier_00000: 16 of 16 cells that are not 0 lie below -1 or above 5000, fr"
    ):
        gridded(raster(np.full((4, 4), -80.0)))


def test_argentiere_has_outliers_that_the_catalogue_s_limit_discards(shared: Path) -> None:
    source = rioxarray.open_rasterio(shared / "data/french_alps/ice_thickness/argentiere_2003_glacioclim.tif")
    limited, free = (thickness.fields([("argentiere", source)], highest_m=limit)[0] for limit in (550.0, 5000.0))
    assert float(free.thickness.max()) > 3000
    assert float(limited.thickness.max()) <= 550
    assert limited.discarded - free.discarded == int((source > 550).sum()) > 0
    assert free.discarded == int(((source < -1) & (source > -9000)).sum())


def test_nodata_of_mer_de_glace_is_no_ice(shared: Path) -> None:
    source = rioxarray.open_rasterio(shared / "data/french_alps/ice_thickness/RGI60-11.03643_thickness.tif")
    field = thickness.fields([("RGI60-11.03643_thickness", source)])[0]
    assert (float(field.thickness.min()), field.discarded) == (0.0, 0)
    assert float(field.thickness.sum(dtype=float)) * 625e-9 == pytest.approx(2.9455, abs=1e-3)


# The surface it belongs to


def test_the_surface_is_the_mean_of_its_elevation_models_where_there_is_ice() -> None:
    ice = raster([[50, 50, 0, 0], [50, 50, 0, 0]])
    dem = raster([[2990, 2992, 1, 1], [2994, 2996, 1, 1]], crs=None)
    fields = thickness.fields([("x_00001", ice)], [("dem_00001.asc", dem)], surface_crs="EPSG:32632")
    result = thickness.onto_grid(fields, ground(2, 2, 50.0))
    np.testing.assert_array_equal(result.ice_surface.values, np.array([[2993, np.nan], [np.nan, np.nan]], np.float32))
    assert result.attrs["ice_surface_offset_m"] == 7
    assert "ice_surface" not in thickness.onto_grid(thickness.fields([("x_00001", ice)]), ground())


def test_the_bed_lies_below_the_surface_on_all_ice_of_the_oetztal(
    shared: Path, oetztal: list[tuple[str, xr.DataArray]]
) -> None:
    files = sorted((shared / "data/oetztal/ice_thickness").glob("dem_*.tif"))
    dems = [(file.stem, rioxarray.open_rasterio(file)) for file in files]
    elevation = terrain.normalize_dem(rioxarray.open_rasterio(shared / "data/oetztal/srtm_oetztal.tif"))
    result = thickness.onto_grid(thickness.fields(oetztal, dems[::-1], surface_crs="EPSG:32632"), elevation)
    iced = result.thickness.values > 0
    np.testing.assert_array_equal(np.isfinite(result.ice_surface.values), iced)
    assert (result.ice_surface - result.thickness).values[iced].min() > 2100
    assert abs(result.attrs["ice_surface_offset_m"]) < 10
    apart = np.abs((result.ice_surface - elevation).values[iced])
    assert np.percentile(apart, 95) < 50


def test_half_a_cell_apart_is_refused_unless_the_catalogue_knows_of_it(shared: Path) -> None:
    folder = shared / "data/french_alps/ice_thickness"
    ice = ("RGI60-11.03643_thickness", rioxarray.open_rasterio(folder / "RGI60-11.03643_thickness.tif"))
    dem = ("dem_03643.asc", rioxarray.open_rasterio(folder / "dem_03643.asc.tif"))
    with pytest.raises(
        ValueError,
        match=r"RGI60-11.03643_thickness and dem_03643.asc lie 0.5 cells apart in x and 0.5 in y; expected the same "
        r"cells.*set shifted: \['03643'\] in the catalogue",
    ):
        thickness.fields([ice], [dem])
    field = thickness.fields([ice], [dem], shifted=["03643"])[0]
    assert field.surface is not None
    xr.testing.assert_equal(field.surface.coords["x"], field.thickness.coords["x"])
    row, column = 200, 200  # a cell of ice lies in the middle of four of the elevation model
    middle = float(dem[1].isel(band=0)[row - 1 : row + 1, column - 1 : column + 1].mean())
    assert float(field.surface[row, column]) == pytest.approx(middle, abs=0.1)


@pytest.mark.parametrize(
    ("dem", "message"),
    [
        (raster(np.full((4, 4), 3000.0), x=640_300.0), r"lie 12 cells apart in x and 0 in y; expected the same cells"),
        (raster(np.full((4, 3), 3000.0)), r"have 4 x 4 and 4 x 3 cells; expected the same cells"),
        (raster(np.full((4, 4), 3000.0), step=26.0), r"lie 0.14 cells apart in x and 0.14 in y"),
        (raster(np.full((4, 4), 3000.0), crs="EPSG:32633"), r"have different CRS \(EPSG:32632 and EPSG:32633\)"),
        (raster(np.full((4, 4), 3000.0), crs=None), r"dem_00001 has no CRS; expected one"),
        (raster(np.full((4, 4), -9999.0)), r"dem_00001: 16 of 16 cells with ice of x_00001 have no elevation between"),
        (raster(np.full((4, 4), 9843.0)), r"dem_00001: 16 of 16 cells with ice .* between -500 and 9000 m.*and unit"),
    ],
)
def test_an_elevation_model_of_other_cells_or_without_elevations_is_refused(dem: xr.DataArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        thickness.fields([("x_00001", raster(np.full((4, 4), 50.0)))], [("dem_00001", dem)])


def test_rasters_are_paired_by_number_and_one_without_partner_is_refused() -> None:
    one, two = raster(np.full((4, 4), 50.0)), raster(np.full((4, 4), 3000.0))
    with pytest.raises(ValueError, match=r"RGI60-11.00897_thickness has no elevation model numbered '00897'"):
        thickness.fields([("RGI60-11.00897_thickness", one)], [("dem_00787.asc", two), ("dem_00789.asc", two)])
    with pytest.raises(ValueError, match="several rasters have the same number in their names"):
        thickness.fields([("RGI60-11.00897_thickness", one), ("RGI60-12.00897_thickness", one)])
    assert thickness.fields([("thickness", one)], [("surface", two)])[0].surface is not None


# Where it lies


def outlines(*boxes: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=[shapely.box(*one) for one in boxes], crs="EPSG:32632").to_crs("EPSG:4326")


def test_ice_outside_of_all_outlines_is_refused_above_a_share_unless_the_catalogue_knows_of_it() -> None:
    values = np.zeros((20, 20))
    values[5:15, 2:18] = 100.0  # 400 m from west to east, from 50 m on
    found = thickness.fields([("RGI60-11.00001_thickness", raster(values))])
    west, south, north = 640_050.0, 5_200_000.0 - 375, 5_200_000.0 - 125
    thickness.check_inside(found, outlines((west, south, west + 400, north)), 25.0)
    thickness.check_inside(found, outlines((west, south, west + 200, north), (west + 200, south, 641_000, north)), 25.0)
    half = outlines((west, south, west + 190, north))
    with pytest.raises(
        ValueError,
        match=r"RGI60-11.00001_thickness: 43.8 % of the ice volume lies outside of all outlines, more than a cell "
        r"away; expected at most 5 %. Check the CRS.*set beyond: \['00001'\]",
    ):
        thickness.check_inside(found, half, 25.0)
    thickness.check_inside(found, half, 25.0, beyond=["00001"])
    thickness.check_inside(found, half, 250.0)  # a terrain of cells so coarse cannot tell
    with pytest.raises(ValueError, match=r"100.0 % of the ice volume lies outside"):
        thickness.check_inside(found, outlines((west + 9000, south, west + 9200, north)), 25.0)


def test_a_raster_without_crs_takes_the_given_one() -> None:
    bare = raster(np.full((4, 4), 50.0), crs=None)
    np.testing.assert_allclose(gridded(bare, crs="EPSG:32632").thickness.values, 50.0)
    with pytest.raises(ValueError, match="glacier_00000 has no CRS"):
        gridded(bare)


def test_rasters_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="none of the 1 thickness rasters touches the grid"):
        gridded(raster(np.ones((2, 2)), x=900_000.0))
