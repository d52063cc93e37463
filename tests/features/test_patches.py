"""Patches: where they lie, what of them is ice, and their channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale.features import ice, patches
from glacierscale.features.coverage import Grid
from glacierscale.features.patches import Placement, Rings
from glacierscale.features.sampling import Lookup
from glacierscale.region import months

CHOICE: dict[str, Any] = {"resolution_m": 100.0, "buckets": (32, 64, 128), "margin_cells": 2, "coarsest_m": 400.0}
WKT = pyproj.CRS(proj="tmerc", lon_0=10.8, lat_0=46.8, k=1, ellps="WGS84").to_wkt()
LOCAL = pyproj.Proj(proj="tmerc", lon_0=10.8, lat_0=46.8, k=1, ellps="WGS84")


def rings_of(*polygons: Any, degrees: Any = None) -> Rings:
    """Rings of polygons in metres around 10.8 E, 46.8 N."""
    degrees = degrees or (lambda x, y: LOCAL(x, y, inverse=True))
    lon, lat, ring, owner = [], [], [], []
    for number, polygon in enumerate(polygons):
        oriented = shapely.orient_polygons(polygon)
        for nth, part in enumerate((oriented.exterior, *oriented.interiors)):
            x, y = np.array(part.coords)[:-1].T
            for values, new in zip((lon, lat), degrees(x, y), strict=True):
                values.append(new)
            ring.append(np.full(len(x), nth))
            owner.append(np.full(len(x), number))
    joined = [np.concatenate(values) for values in (lon, lat, ring, owner)]
    return Rings(lon=joined[0], lat=joined[1], ring=joined[2], polygon=joined[3], glaciers=len(polygons))


def box(width: float, height: float, x: float = 0, y: float = 0) -> Any:
    return shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def area_about(rings: Rings, placement: Placement, glacier: int) -> float:
    """Area of an outline in the projection of its patch, by PROJ and Shapely."""
    local = pyproj.Proj(
        proj="tmerc", lon_0=placement.centre_lon[glacier], lat_0=placement.centre_lat[glacier], k=1, ellps="WGS84"
    )
    mine = rings.polygon == glacier
    x, y = local(rings.lon[mine], rings.lat[mine])
    parts = [np.stack([x, y], -1)[rings.ring[mine] == nth] for nth in np.unique(rings.ring[mine])]
    return float(shapely.Polygon(parts[0], parts[1:]).area)


def built(
    elevation: Any,
    fraction: np.ndarray | None = None,
    resolution: float = 100.0,
    pad: float = 500.0,
    outline: ice.Outline | None = None,
    **others: Any,
) -> patches.Patch:
    """Patch of 32 cells on a grid of 20 m around it, from a function of metres east and north."""
    away = np.arange(-5000, 5001, 50.0)
    east, north = np.meshgrid(away, -away)
    source = {"elevation": elevation(east, north) if callable(elevation) else elevation} | others
    lookup = Lookup.of(
        10.8, 46.8, resolution, 32, patches.padding(resolution, pad), Grid.from_centres(away, -away), WKT
    )
    if fraction is None:
        fraction = np.zeros((32, 32))
        fraction[8:24, 8:24] = 1
    return patches.build(
        source,
        lookup,
        fraction,
        lat_deg=46.8,
        resolution_m=resolution,
        months=months("north"),
        azimuths=8,
        shading_m=pad,
        outline=outline,
    )


def channel(patch: patches.Patch, name: str, *optional: str) -> np.ndarray:
    return np.asarray(patch.rasters[patches.channels(("elevation", *optional)).index(name)])


# Placement


def test_the_smallest_patch_that_holds_an_outline_with_its_margin_is_taken() -> None:
    widths = (500, 2799, 2801, 5999, 6001)
    placement = patches.place(rings_of(*(box(w, 300) for w in widths)), **CHOICE)
    assert placement.bucket.tolist() == [32, 32, 64, 64, 128]
    assert placement.resolution.tolist() == [100] * 5
    assert (placement.reason == "").all()


def test_a_patch_lies_around_the_middle_of_the_outlines_box() -> None:
    placement = patches.place(rings_of(box(2000, 4000, x=3000, y=-1000), box(40000, 30000)), **CHOICE)
    x, y = LOCAL(placement.centre_lon, placement.centre_lat)
    np.testing.assert_allclose(x, (3000, 0), atol=0.5)
    np.testing.assert_allclose(y[0], -1000, atol=0.5)


def test_giants_have_coarser_cells_by_a_whole_factor() -> None:
    placement = patches.place(rings_of(box(12390, 3000), box(3000, 12500), box(30000, 30000)), **CHOICE)
    assert placement.bucket.tolist() == [128] * 3
    assert placement.resolution.tolist() == [100, 200, 300]
    assert (placement.reason == "").all()


def test_an_outline_larger_than_the_biggest_patch_is_set_aside_with_its_span() -> None:
    rings = rings_of(box(60000, 3000), box(2000, 2000))
    placement = patches.place(rings, **CHOICE)
    assert placement.reason[0].startswith("the outline spans 60 km, the biggest patch holds 50 km (128 cells of 400 m")
    assert placement.reason[0].endswith("raise buckets or coarsest_m.")
    assert placement.bucket.tolist() == [128, 32]
    assert placement.resolution.tolist() == [400, 100]
    fractions = patches.ice_fractions(rings, placement, 128)
    assert not fractions[0].any()
    assert fractions[1].sum() == pytest.approx(400, rel=1e-3)
    assert not patches.ice_fractions(rings, placement.take(np.array([0, 0])), 128).any()


def test_an_outline_without_vertices_or_area_is_a_patch_without_ice() -> None:
    rings = rings_of(shapely.Polygon([(0, 0), (1000, 0), (1000, 0)]))
    with_none = Rings(lon=rings.lon, lat=rings.lat, ring=rings.ring, polygon=rings.polygon + 1, glaciers=3)
    placement = patches.place(with_none, **CHOICE)
    assert (placement.reason == "").all()
    assert np.isnan(placement.centre_lon).tolist() == [True, False, True]
    fractions = patches.ice_fractions(with_none, placement, 32)
    assert not fractions.any()
    patch = built(lambda x, y: 0 * x, fractions[1])
    assert patch.reason.startswith("a patch without ice")
    assert np.isnan(patch.rasters).all()
    assert np.isnan(patch.radiation).all()


# Ice


@settings(max_examples=25, deadline=None)
@given(
    spokes=st.lists(st.floats(100, 1300), min_size=5, max_size=30),
    x=st.floats(-40000, 40000),
    resolution=st.sampled_from([50.0, 100.0, 300.0]),
)
def test_the_ice_of_a_patch_has_the_area_of_the_outline(spokes: list[float], x: float, resolution: float) -> None:
    angle = 2 * np.pi * np.arange(len(spokes)) / len(spokes)
    star = shapely.Polygon(np.stack([x + np.array(spokes) * np.cos(angle), np.array(spokes) * np.sin(angle)], -1))
    holed = shapely.Polygon(star.exterior, [shapely.Point(x, 0).buffer(20).exterior.coords])
    polygons = [star, holed if holed.is_valid else star]
    rings = rings_of(*polygons)
    placement = patches.place(rings, **{**CHOICE, "resolution_m": resolution})
    size = int(placement.bucket[0])
    ice = patches.ice_fractions(rings, placement, size).sum(axis=(1, 2), dtype=float) * resolution**2
    for glacier in range(2):
        assert ice[glacier] == pytest.approx(area_about(rings, placement, glacier), rel=1e-4)


def test_overlapping_glaciers_keep_all_of_their_ice() -> None:
    rings = rings_of(box(2000, 1000), box(2000, 1000, x=500))
    placement = patches.place(rings, **CHOICE)
    fractions = patches.ice_fractions(rings, placement, 32)
    np.testing.assert_allclose(fractions.sum(axis=(1, 2)), 200, rtol=1e-4)


def test_an_outline_across_the_antimeridian_is_the_one_elsewhere_shifted() -> None:
    polygon = shapely.Point(200, 0).buffer(1200) - shapely.box(-300, -200, 100, 300)
    lon0 = 180.0

    def across(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = LOCAL(x, y, inverse=True)
        return (lon - 10.8 + lon0 + 180) % 360 - 180, lat

    here, there = rings_of(polygon), rings_of(polygon, degrees=across)
    assert np.ptp(there.lon) > 359
    at_home, over = (patches.place(rings, **CHOICE) for rings in (here, there))
    assert abs(over.centre_lon[0]) == pytest.approx(180, abs=0.01)
    assert over.bucket == at_home.bucket == 32
    for rings, placement in ((here, at_home), (there, over)):
        assert placement.resolution == 100
        assert patches.ice_fractions(rings, placement, 32).sum() > 400
    np.testing.assert_allclose(
        patches.ice_fractions(there, over, 32), patches.ice_fractions(here, at_home, 32), atol=1e-5
    )


def test_ice_lies_where_the_outline_does_with_north_above_and_west_to_the_left() -> None:
    flag = shapely.union_all([box(100, 2000, x=-950), box(900, 400, x=-450, y=800)])  # pole in the west, cloth north
    rings = rings_of(flag)
    ice = patches.ice_fractions(rings, patches.place(rings, **CHOICE), 32)[0]
    rows, columns = (np.flatnonzero((ice > 0.5).any(axis=axis)) for axis in (1, 0))
    assert ice[rows[1:3], columns[4]].min() > 0.9
    assert ice[rows[-2], columns[0]] > 0.9
    assert ice[rows[-3:], columns[-3]].max() < 0.1


# Channels


@pytest.mark.parametrize(("east", "north"), [(0, 1), (0, -1), (1, 0), (-1, 0), (0.6, 0.8)])
def test_aspect_is_where_a_plane_falls_to(east: float, north: float) -> None:
    patch = built(lambda x, y: 3000 - 0.3 * (east * x + north * y))
    assert patch.reason == ""
    np.testing.assert_allclose(channel(patch, "cos_aspect"), north, atol=1e-3)
    np.testing.assert_allclose(channel(patch, "sin_aspect"), east, atol=1e-3)
    np.testing.assert_allclose(channel(patch, "slope"), np.degrees(np.arctan(0.3)), atol=1e-2)
    np.testing.assert_allclose(channel(patch, "curvature"), 0, atol=1e-6)


def test_flat_ground_has_no_aspect() -> None:
    patch = built(lambda x, y: 3000 + 0 * x)
    assert not channel(patch, "cos_aspect").any()
    assert not channel(patch, "sin_aspect").any()
    assert not channel(patch, "slope").any()


def test_curvature_is_the_laplacian_positive_in_a_hollow() -> None:
    patch = built(lambda x, y: 2000 + 2e-5 * (x**2 + 2 * y**2))
    np.testing.assert_allclose(channel(patch, "curvature"), 12e-5, rtol=0.02)


def test_margin_distance_is_that_to_the_nearest_cell_without_ice() -> None:
    ice = np.zeros((20, 20), bool)
    ice[3:18, 2:17] = True
    ice[8, 9] = False
    ice[3, :5] = False
    found = patches.margin_distance(ice, 50.0)
    free = np.argwhere(~np.pad(ice, 1)) - 1
    for row, column in np.ndindex(ice.shape):
        nearest = np.hypot(*(free - (row, column)).T).min() * 50
        assert found[row, column] == pytest.approx(nearest if ice[row, column] else 0)
    everywhere = patches.margin_distance(np.ones((5, 5), bool), 50.0)
    assert everywhere[2, 2] == 150  # beyond the patch there is none


def test_thickness_with_its_surface_and_velocity_are_channels_where_the_source_has_them() -> None:
    rings = rings_of(box(1600, 1600))
    around = ice.outline(rings, patches.place(rings, **CHOICE), 0, 32)
    source = {"thickness": np.full((201, 201), 80.0), "velocity": np.full((201, 201), 12.0)}
    patch = built(lambda x, y: 3000 + 0 * x, outline=around, **source)
    assert patch.reason == ""
    assert patches.channels(("elevation", "velocity", "thickness")) == list(patches.CHANNELS)
    assert patches.channels(("elevation",)) == [n for n in patches.CHANNELS if n not in patches.OPTIONAL]
    np.testing.assert_allclose(channel(patch, "velocity", "thickness", "velocity"), 12)
    covered = channel(patch, "ice_fraction", "thickness", "velocity") > 0
    np.testing.assert_allclose(channel(patch, "thickness", "thickness", "velocity"), np.where(covered, 80, 0))
    np.testing.assert_allclose(channel(patch, "ice_surface", "thickness", "velocity"), 3000)


def test_unknown_elevation_under_ice_sets_aside_and_counts_the_cells() -> None:
    away = np.arange(-5000, 5001, 50.0)
    east, north = np.meshgrid(away, -away)
    elevation = 3000 + 0.1 * east
    elevation[(np.abs(east) < 200) & (np.abs(north) < 200)] = np.nan
    patch = built(elevation)
    assert patch.reason.startswith("the elevation is unknown on 16 of 256 cells with ice")
    assert np.isnan(patch.rasters).all()
    assert np.isnan(patch.radiation).all()


def test_unknown_elevation_beside_the_ice_stays_unknown_and_leaves_a_one_sided_slope() -> None:
    away = np.arange(-5000, 5001, 50.0)
    east, north = np.meshgrid(away, -away)
    elevation = 3000 + 0.1 * east - 0.2 * north
    elevation[east > 810] = np.nan  # the ice ends at 800 m
    patch = built(elevation)
    assert patch.reason == ""
    ice = channel(patch, "ice_fraction") > 0
    assert np.isfinite(patch.rasters[:, ice]).all()
    assert np.isfinite(patch.radiation[:, ice]).all()
    np.testing.assert_allclose(channel(patch, "slope")[ice], np.degrees(np.arctan(np.hypot(0.1, 0.2))), atol=0.05)
    np.testing.assert_array_equal(np.isnan(channel(patch, "elevation")).all(axis=0), np.arange(32) > 23)
    assert np.isnan(patch.radiation[:, :, 26:]).all()


def test_terrain_around_the_patch_shades_it() -> None:
    wall = built(lambda x, y: np.where(y < -1700, 4500.0, 3000.0), pad=2000.0)  # south of the patch's last row
    no_wall = built(lambda x, y: 3000 + 0 * x, pad=2000.0)
    december, june = 2, 8
    assert wall.radiation[december, 25:].max() == 0
    assert no_wall.radiation[december].min() > 20
    np.testing.assert_allclose(wall.radiation[june, 5], no_wall.radiation[june, 5], rtol=0.05)
