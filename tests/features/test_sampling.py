"""Sampling: the same surface on any source grid gives the same patch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest

from glacierscale.features.coverage import Grid
from glacierscale.features.sampling import Lookup, sample, to_degrees, to_metres

UTM, DEGREES = pyproj.CRS("EPSG:32632"), pyproj.CRS("EPSG:4326")
CELLS = 24


def hills(lon: Any, lat: Any) -> np.ndarray:
    """A surface in metres, given on the Earth."""
    return np.asarray(
        2800 + 300 * np.sin(np.radians(lon) * 3000) * np.cos(np.radians(lat) * 4000) + 2000 * (lat - 46.8)
    )


def truth(lon: float, lat: float, resolution: float, cells: int = CELLS) -> np.ndarray:
    """The surface at the centres of a patch's cells, by PROJ's own projection about the centre."""
    away = (np.arange(cells) - (cells - 1) / 2) * resolution
    local = pyproj.Proj(proj="tmerc", lon_0=lon, lat_0=lat, k=1, ellps="WGS84")
    return hills(*local(*np.meshgrid(away, -away), inverse=True))


def gridded(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, Grid]:
    lon, lat = pyproj.Transformer.from_crs(crs, DEGREES, always_xy=True).transform(*np.meshgrid(x, y))
    return hills(lon, lat), Grid.from_centres(x, y)


def patch(source: tuple[np.ndarray, Grid], crs: pyproj.CRS, lon: float, lat: float, parts: int = 1) -> np.ndarray:
    lookup = Lookup.of(lon, lat, 100.0, CELLS, 3, source[1], crs.to_wkt())
    return sample(source[0], lookup, np.arange(float(CELLS)), parts)


def test_metres_are_those_of_the_transverse_mercator_projection_of_the_centre() -> None:
    lon, lat = np.array([10.7, 10.9, 11.4]), np.array([46.7, 46.8, 47.3])
    local = pyproj.Proj(proj="tmerc", lon_0=10.8, lat_0=46.75, k=1, ellps="WGS84")
    x, y = to_metres(lon, lat, np.full(3, 10.8), np.full(3, 46.75))
    np.testing.assert_allclose((x, y), local(lon, lat), atol=1e-6)
    np.testing.assert_allclose(to_degrees(x, y, np.full(3, 10.8), np.full(3, 46.75)), (lon, lat), atol=1e-9)


def test_a_surface_in_utm_and_in_degrees_gives_the_same_patch() -> None:
    in_utm = gridded(UTM, 640000 + 60.0 * np.arange(120), 5190000 - 60.0 * np.arange(120))
    in_degrees = gridded(DEGREES, 10.83 + 0.0006 * np.arange(160), 46.79 + 0.0005 * np.arange(160))  # south to north
    lon, lat = 10.88, 46.83
    expected = truth(lon, lat, 100.0)
    assert np.ptp(expected) > 300
    for source, crs in ((in_utm, UTM), (in_degrees, DEGREES)):
        found = patch(source, crs, lon, lat)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, atol=1.5)  # of linear interpolation between 60 m cells
    np.testing.assert_allclose(patch(in_utm, UTM, lon, lat), patch(in_degrees, DEGREES, lon, lat), atol=2.5)


@pytest.mark.parametrize("first_lon", [179.9, -180.1], ids=["0 to 360", "-180 to 180"])
def test_a_patch_on_the_antimeridian_is_found_however_longitudes_are_counted(first_lon: float) -> None:
    source = gridded(DEGREES, first_lon + 0.0006 * np.arange(334), 46.85 - 0.0005 * np.arange(160))
    lookup = Lookup.of(179.999, 46.81, 100.0, CELLS, 3, source[1], DEGREES.to_wkt())
    assert np.ptp(lookup.column) < 100
    # The surface itself jumps where longitudes do, so it is looked up in a field that does not.
    north = np.broadcast_to(46.85 - 0.0005 * np.arange(160)[:, None], source[0].shape)
    found = sample(north, lookup, np.arange(float(CELLS)))
    assert np.isfinite(found).all()
    away = (np.arange(CELLS) - (CELLS - 1) / 2) * 100
    _, lat = to_degrees(*np.meshgrid(away, -away), np.full(1, 179.999), np.full(1, 46.81))
    np.testing.assert_allclose(found, lat, atol=1e-5)


def test_a_grid_around_the_earth_is_counted_on_past_its_edge() -> None:
    grid = Grid.from_centres(np.arange(-179.95, 180, 0.1), np.arange(60.0, 50, -0.1))
    lookup = Lookup.of(-179.99, 55.0, 800.0, 32, 1, grid, DEGREES.to_wkt())
    assert np.ptp(lookup.column) < 10
    assert lookup.column.min() < 0 < lookup.column.max() + 1


def test_a_finer_source_is_averaged_and_does_not_alias() -> None:
    x, y = 640000 + 20.0 * np.arange(200), 5190000 - 20.0 * np.arange(200)
    stripes = 2000 + 100.0 * (-1) ** (np.add.outer(np.arange(200), np.arange(200)) // 2 % 2)
    lon, lat = pyproj.Transformer.from_crs(UTM, DEGREES, always_xy=True).transform(642000, 5188000)
    lookup = Lookup.of(lon, lat, 100.0, CELLS, 3, Grid.from_centres(x, y), UTM.to_wkt())
    assert lookup.cells_of_source() == pytest.approx(5, rel=0.03)
    at = np.arange(float(CELLS))
    assert np.ptp(sample(stripes, lookup, at)) > 100
    assert np.abs(sample(stripes, lookup, at, 5) - 2000).max() < 45
    fine = gridded(UTM, x, y)
    wanted = truth(lon, lat, 20.0, 5 * CELLS).reshape(CELLS, 5, CELLS, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(sample(fine[0], lookup, at, 5), wanted, atol=0.3)


def test_a_cell_is_known_where_at_least_half_of_its_weight_is() -> None:
    values, grid = gridded(UTM, 640000 + 100.0 * np.arange(60), 5190000 - 100.0 * np.arange(60))
    values[30, 30] = np.nan
    values[40:50, 20:30] = np.nan
    lon, lat = pyproj.Transformer.from_crs(UTM, DEGREES, always_xy=True).transform(643000, 5187000)
    lookup = Lookup.of(lon, lat, 100.0, 48, 1, grid, UTM.to_wkt())
    unknown = np.isnan(sample(values, lookup, np.arange(48.0)))
    row, column = lookup.at(np.arange(48.0), np.arange(48.0))
    block = (row > 40) & (row < 49) & (column > 20) & (column < 29)
    assert unknown[block].all()
    near = (row > 38.9) & (row < 50.1) & (column > 18.9) & (column < 30.1)
    assert not unknown[~near & (np.hypot(row - 30, column - 30) > 1)].any()
    assert unknown.sum() - unknown[near].sum() <= 1


def test_what_lies_outside_the_source_is_unknown() -> None:
    source = gridded(UTM, 640000 + 100.0 * np.arange(30), 5190000 - 100.0 * np.arange(30))
    lon, lat = pyproj.Transformer.from_crs(UTM, DEGREES, always_xy=True).transform(640000, 5188550)
    found = patch(source, UTM, lon, lat)
    np.testing.assert_array_equal(np.isnan(found).all(axis=0), np.arange(CELLS) < CELLS / 2 - 1)
    assert np.isnan(patch(source, UTM, -170.0, 46.8)).all()
