"""Elevation models of single glaciers become one grid: overlaps, other resolutions, other projections, gaps."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import shapely
import xarray as xr

from glacierscale.sources import terrain

# rioxarray multiplies affine transforms with "*", which affine 3 announces to deprecate.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

EAST, NORTH = 640_000.0, 5_190_000.0


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A tilted plane, m."""
    return 2000 + 0.2 * (x - EAST) + 0.1 * (y - NORTH)


def raster(
    west: float, south: float, east: float, north: float, *, step: float, value: float | None = None
) -> xr.DataArray:
    """A raster over some metres from a corner: the plane, or one value."""
    x = EAST + west + step * (np.arange(round((east - west) / step)) + 0.5)
    y = NORTH + north - step * (np.arange(round((north - south) / step)) + 0.5)
    values = plane(x[None, :], y[:, None]) if value is None else np.full((len(y), len(x)), value)
    array = xr.DataArray(values.astype(np.float32), dims=("y", "x"), coords={"y": y, "x": x})
    return array.rio.write_crs("EPSG:32632").rio.write_nodata(-9999.0)


def outlines(west: float = 0, south: float = 0, east: float = 1000, north: float = 500) -> gpd.GeoDataFrame:
    box = shapely.box(EAST + west, NORTH + south, EAST + east, NORTH + north)
    return gpd.GeoDataFrame(geometry=[box], crs="EPSG:32632")


def at(joined: xr.DataArray, east: float, north: float) -> float:
    return float(joined.sel(x=EAST + east, y=NORTH + north, method="nearest"))


def test_the_grid_lies_around_all_outlines_with_room_to_spare_on_whole_multiples_of_its_cells() -> None:
    joined = terrain.mosaic([raster(0, 0, 1000, 500, step=25)], outlines(12, 13, 988, 487), resolution_m=50)
    x, y = joined.x.values, joined.y.values
    assert (np.diff(x) == 50).all()
    assert (np.diff(y) == -50).all()
    np.testing.assert_array_equal((x - 25) % 50, 0)
    np.testing.assert_array_equal((y - 25) % 50, 0)
    edges = [x[0] - 25, y[-1] - 25, x[-1] + 25, y[0] + 25]
    room = np.abs(np.array([EAST + 12, NORTH + 13, EAST + 988, NORTH + 487]) - edges)
    assert (room >= 200).all()
    assert (room <= 300).all()
    assert (joined.dims, joined.dtype, joined.attrs["units"]) == (("y", "x"), np.float32, "m")
    assert "UTM zone 32N" in joined.attrs["crs_wkt"]


def test_where_rasters_overlap_their_mean_counts_and_elsewhere_the_one_there_is() -> None:
    parts = [raster(0, 0, 600, 500, step=25, value=1000), raster(400, 0, 1000, 500, step=25, value=1200)]
    joined = terrain.mosaic(parts, outlines(), resolution_m=50)
    assert [at(joined, east, 250) for east in (200, 500, 800)] == [1000, 1100, 1200]
    np.testing.assert_array_equal(terrain.mosaic(parts[::-1], outlines(), resolution_m=50), joined)


def test_rasters_of_other_resolutions_and_shifts_make_one_surface() -> None:
    parts = [
        raster(-100, -100, 520, 600, step=10),
        raster(487, -113, 760, 600 - 13, step=21),  # shifted by parts of its cells and of the grid's
        raster(700, -100, 1100, 600, step=80),  # coarser than the grid
    ]
    joined = terrain.mosaic(parts, outlines(), resolution_m=50)
    inside = joined.sel(x=slice(EAST, EAST + 1000), y=slice(NORTH + 500, NORTH))
    away = np.abs(inside - plane(inside.x.values[None, :], inside.y.values[:, None]))
    assert np.isfinite(inside).all()
    for west, east, largest in ((0, 450, 0.01), (550, 650, 0.5), (800, 1000, 4.0)):  # where one raster covers cells
        assert float(away.sel(x=slice(EAST + west, EAST + east)).max()) < largest
    assert float(away.max()) < 8.0  # at their edges, half of the coarsest cell on this slope


def test_a_gap_is_filled_by_another_raster_and_stays_a_gap_where_there_is_none() -> None:
    holed = raster(0, 0, 1000, 500, step=25, value=1000)
    gap = (holed.x > EAST + 300) & (holed.x < EAST + 700)
    holed = holed.where(~gap, -9999.0).rio.write_crs("EPSG:32632").rio.write_nodata(-9999.0)
    other = raster(300, 0, 500, 500, step=25, value=1300)
    joined = terrain.mosaic([holed, other], outlines(), resolution_m=50)
    assert [at(joined, east, 250) for east in (150, 400, 850)] == [1000, 1300, 1000]
    assert np.isnan(at(joined, 600, 250))
    assert np.isnan(at(joined, -150, 250))  # beyond all rasters
    assert set(np.unique(joined.values[np.isfinite(joined.values)])) <= {1000.0, 1150.0, 1300.0}


def test_a_raster_in_another_projection_is_brought_to_that_of_the_first() -> None:
    degrees = raster(450, -200, 1200, 700, step=10).rio.reproject("EPSG:4326", nodata=-9999.0)
    joined = terrain.mosaic([raster(-100, -100, 500, 600, step=10), degrees], outlines(), resolution_m=50)
    east = joined.sel(x=slice(EAST + 550, EAST + 1000), y=slice(NORTH + 500, NORTH))
    assert np.isfinite(east).all()
    np.testing.assert_allclose(east, plane(east.x.values[None, :], east.y.values[:, None]), atol=4.0)


def test_rasters_that_touch_no_outline_are_left_out_or_refused_if_none_does() -> None:
    far = raster(50_000, 0, 51_000, 500, step=25, value=3000)
    near = raster(0, 0, 1000, 500, step=25, value=1000)
    joined = terrain.mosaic([far, near], outlines(), resolution_m=50)
    assert float(joined.max()) == 1000.0
    with pytest.raises(ValueError, match="none of the 1 elevation rasters touches an outline; check their CRS"):
        terrain.mosaic([far], outlines(), resolution_m=50)


def test_rasters_without_projection_take_the_given_one_or_are_refused() -> None:
    bare = raster(0, 0, 1000, 500, step=25, value=1000).drop_vars("spatial_ref")
    with pytest.raises(ValueError, match="has no CRS"):
        terrain.mosaic([bare], outlines(), resolution_m=50)
    joined = terrain.mosaic([bare], outlines(), resolution_m=50, crs="EPSG:32632")
    assert at(joined, 500, 250) == 1000.0
