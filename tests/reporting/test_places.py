"""Where glaciers lie on a map."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, box

from glacierscale.reporting import maps, places


def test_an_outline_cut_at_the_date_line_is_drawn_as_one(made, drawing):
    data = made.reconstruction(glaciers=2)
    data = data.assign(lon=("glacier", [179.99, -179.9]), lat=("glacier", [-45.0, -45.0]))
    cut = MultiPolygon([box(179.97, -45.01, 180, -44.99), box(-180, -45.01, -179.98, -44.99)])
    shapes = [cut, box(-179.91, -45.01, -179.89, -44.99)]
    outlines = gpd.GeoDataFrame({"glacier_id": data.glacier_id.values}, geometry=shapes, crs="EPSG:4326")
    found = places.places(data, np.array([True, True]), outlines)
    points = np.concatenate([path.vertices for path in found.paths])
    np.testing.assert_allclose([*points.min(0), *points.max(0)], [-180.03, -45.01, -179.89, -44.99])
    assert [int((path.codes == path.CLOSEPOLY).sum()) for path in found.paths] == [1, 1]
    assert drawing.marks(maps.smb_map(data, outlines=outlines), "outlines") == 2


def test_an_outline_belongs_to_its_glacier_whatever_the_order_and_strangers_are_left_out(made):
    data = made.reconstruction(glaciers=3)
    ids = data.glacier_id.values[[2, 0]].tolist()
    shapes = [Point(x, 46.0).buffer(0.01) for x in (10.0, 11.0, 50.0)]
    outlines = gpd.GeoDataFrame({"glacier_id": [*ids, "stranger"]}, geometry=shapes, crs="EPSG:4326")
    found = places.places(data, np.array([False] * 3), outlines)
    assert found.outlined.tolist() == [2, 0]
    assert found.paths[0].vertices[:, 0].mean() == pytest.approx(10.0, abs=0.01)
    assert found.extent[1] < 12
