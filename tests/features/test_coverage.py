"""Exact coverage of grid cells by polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.features.coverage import Coverage, Grid, cover

GRID = Grid(x0=0.0, y0=20.0, dx=1.0, dy=-1.0, shape=(20, 30))


def covered(polygons: list[shapely.Polygon], grid: Grid = GRID) -> Coverage:
    xy, ring, owner = [], [], []
    for number, polygon in enumerate(polygons):
        oriented = shapely.orient_polygons(polygon)
        for of, part in enumerate((oriented.exterior, *oriented.interiors)):
            points = np.array(part.coords)[:-1]
            xy.append(points)
            ring.append(np.full(len(points), of))
            owner.append(np.full(len(points), number))
    x, y = np.concatenate(xy).T
    return cover(x, y, np.concatenate(ring), np.concatenate(owner), len(polygons), grid)


def image(c: Coverage, polygon: int, grid: Grid = GRID) -> np.ndarray:
    found = np.zeros(grid.shape)
    of = c.polygon == polygon
    np.add.at(found, (c.row[of], c.column[of]), c.fraction[of])
    return found


def star(rng: np.random.Generator, size: float, corners: int = 15) -> shapely.Polygon:
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = size * rng.uniform(0.4, 1, corners)
    x, y = rng.uniform(-2, 32), rng.uniform(-2, 22)
    whole = shapely.Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])).buffer(0)
    whole = max(shapely.get_parts(whole), key=lambda part: part.area)
    hole = shapely.Point(whole.representative_point()).buffer(0.3 * size * rng.uniform(0, 0.5), quad_segs=3)
    return whole - hole if whole.contains(hole) else whole


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.01, 0.3, 2.0, 9.0]),
    st.sampled_from([(1.0, -1.0), (0.7, 1.3), (-2.0, -0.6)]),
)
def test_covered_areas_are_those_of_the_polygons_inside_the_grid(
    seed: int, size: float, step: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    polygons = [star(rng, size) for _ in range(6)]
    dx, dy = step
    grid = Grid(x0=0.0 if dx > 0 else 30.0, y0=20.0 if dy < 0 else 0.0, dx=dx, dy=dy, shape=(15, 14))
    far_x, far_y = grid.x0 + 14 * dx, grid.y0 + 15 * dy
    frame = shapely.box(min(grid.x0, far_x), min(grid.y0, far_y), max(grid.x0, far_x), max(grid.y0, far_y))
    c = covered(polygons, grid)
    area = np.bincount(c.polygon, c.fraction, 6) * abs(dx * dy)
    expected = shapely.area(shapely.intersection(polygons, frame))
    np.testing.assert_allclose(area, expected, rtol=1e-4, atol=1e-6 * size**2)
    assert (c.fraction > 0).all()
    assert (c.fraction <= 1).all()


def test_every_cell_agrees_with_an_independent_exact_implementation() -> None:
    import exactextract
    import geopandas as gpd
    from exactextract.raster import NumPyRasterSource

    rng = np.random.default_rng(5)
    polygons = [star(rng, size) for size in rng.uniform(0.2, 9, 60)]  # some reach over the edge
    c = covered(polygons)
    crs = "EPSG:32632"
    raster = NumPyRasterSource(
        np.ones(GRID.shape), xmin=0, ymin=0, xmax=30, ymax=20, srs_wkt=gpd.GeoSeries(crs=crs).crs.to_wkt()
    )
    shapes = gpd.GeoDataFrame({"i": range(60)}, geometry=polygons, crs=crs)
    told = exactextract.exact_extract(raster, shapes, ["cell_id", "coverage"], output="pandas")
    for number in range(60):
        expected = np.zeros(GRID.shape)
        expected.ravel()[np.asarray(told.cell_id[number], int)] = told.coverage[number]
        np.testing.assert_allclose(image(c, number), expected, atol=2e-6)


def test_a_hole_is_left_out() -> None:
    whole = shapely.box(1, 1, 9, 9) - shapely.box(3, 3, 5.5, 5)
    found = image(covered([whole]), 0)
    assert found.sum() == pytest.approx(whole.area)
    assert found[20 - 4, 3] == 0
    assert found[20 - 4, 5] == pytest.approx(0.5)


def test_an_island_in_a_hole_counts() -> None:
    ring = shapely.box(1, 1, 9, 9) - shapely.box(2, 2, 8, 8)
    island = shapely.box(4, 4, 6, 6)
    parts = [
        np.array(p.coords)[:-1]
        for p in (shapely.orient_polygons(ring).exterior, *shapely.orient_polygons(ring).interiors)
    ]
    parts.append(np.array(shapely.orient_polygons(island).exterior.coords)[:-1])
    x, y = np.concatenate(parts).T
    c = cover(x, y, np.repeat([0, 1, 2], 4), np.zeros(12, int), 1, GRID)
    assert c.fraction.sum() == pytest.approx(ring.area + island.area)


def test_overlapping_polygons_do_not_disturb_each_other() -> None:
    rng = np.random.default_rng(2)
    polygons = [star(rng, 6) for _ in range(8)]
    together = covered(polygons)
    for number, polygon in enumerate(polygons):
        np.testing.assert_allclose(image(together, number), image(covered([polygon]), 0), atol=1e-12)


def test_entries_are_sorted_by_polygon_row_and_column_without_repeats() -> None:
    rng = np.random.default_rng(3)
    c = covered([star(rng, 4) for _ in range(10)])
    key = (c.polygon * 1000 + c.row) * 1000 + c.column
    assert (np.diff(key) > 0).all()


def test_the_direction_of_turning_and_the_first_vertex_do_not_matter() -> None:
    polygon = np.array([(2.3, 3.1), (8.7, 4.2), (5.5, 9.9)])
    images = []
    for points in (polygon, polygon[::-1], np.roll(polygon, 1, axis=0)):
        c = cover(*points.T, np.zeros(3, int), np.zeros(3, int), 1, GRID)
        images.append(image(c, 0))
    np.testing.assert_allclose(images[1], images[0])
    np.testing.assert_allclose(images[2], images[0])


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 1e-6])
def test_a_polygon_that_is_tiny_beside_its_cell_is_still_seen(size: float) -> None:
    rng = np.random.default_rng(0)
    before = [star(rng, 8) for _ in range(20)]  # whose rounding must not spill over
    c = covered([*before, shapely.box(7.3, 4.6, 7.3 + size, 4.6 + size), star(rng, 8)])
    of = c.polygon == 20
    assert (c.row[of].tolist(), c.column[of].tolist()) == ([15], [7])
    assert c.fraction[of][0] == pytest.approx(size**2, rel=1e-6)


def test_a_polygon_outside_the_grid_covers_nothing_and_a_polygon_without_vertices_neither() -> None:
    c = covered([shapely.box(100, 100, 110, 110), shapely.box(1, 1, 2, 2)])
    assert set(c.polygon) == {1}
    x, y = np.array([1.0, 2, 2]), np.array([1.0, 1, 2])
    c = cover(x, y, np.zeros(3, int), np.full(3, 1), 3, GRID)
    assert (set(c.polygon), c.polygons) == ({1}, 3)


def test_cells_on_grid_lines_are_covered_whole() -> None:
    found = image(covered([shapely.box(3, 4, 7, 9)]), 0)
    np.testing.assert_allclose(found[20 - 9 : 20 - 4, 3:7], 1)
    assert found.sum() == 20


def test_a_grid_follows_from_cell_centres_in_either_direction() -> None:
    grid = Grid.from_centres([0.5, 1.5, 2.5], [9.5, 8.5])
    assert grid == Grid(x0=0.0, y0=10.0, dx=1.0, dy=-1.0, shape=(2, 3))
    assert Grid.from_centres([10.0], [46.0], step=(360.0, 360.0)).shape == (1, 1)


def test_an_irregular_axis_and_an_axis_of_one_cell_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the x axis is not regular: steps run from 1.0 to 2.0"):
        Grid.from_centres([0.0, 1.0, 3.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="the y axis has one cell and no step; give `step`"):
        Grid.from_centres([0.0, 1.0], [0.0])
