"""Changes of elevation find their elevation models and the glaciers they are of, or are refused with a remedy."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import shapely
import xarray as xr

from glacierscale.sources import elevation_change

NORTH, WEST = 5_200_000.0, 640_000.0


def raster(values: Any, *, crs: str | None = "EPSG:32632", step: float = 50.0, nodata: float | None = None) -> Any:
    array = np.asarray(values, np.float32)
    rows, columns = array.shape
    coords = {"y": NORTH - step * (np.arange(rows) + 0.5), "x": WEST + step * (np.arange(columns) + 0.5)}
    result = xr.DataArray(array, dims=("y", "x"), coords=coords)
    result = result if nodata is None else result.rio.write_nodata(nodata)
    return result.rio.write_crs(crs) if crs else result


def box(west: float, south: float, east: float, north: float) -> Any:
    """In metres from the upper left corner of the rasters, southwards negative."""
    return shapely.box(WEST + west, NORTH + south, WEST + east, NORTH + north)


def survey(change: Any, elevation: Any) -> elevation_change.Survey:
    return elevation_change.surveys([("dh", change)], [("DEM", elevation)])[0]


def cells(found: elevation_change.Survey, *outlines: Any) -> dict[int, elevation_change.Cells]:
    return dict(elevation_change.inside(found, gpd.GeoSeries(outlines, crs="EPSG:32632")))


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("dh_G006985E45538N", "G006985E45538N"),
        ("DEM_G006985E45951N", "G006985E45951N"),
        ("dh_1979_2011_00897", "00897"),
        ("RGI60-11.00897_dh", "00897"),
        ("change", "change"),
    ],
)
def test_the_identifier_is_the_word_with_the_most_digits(name: str, identifier: str) -> None:
    assert elevation_change.identifier_of(name) == identifier


def test_each_change_finds_its_elevation_model_in_any_order() -> None:
    names = ["G006985E45538N", "G006985E45951N", "G006988E45515N"]
    changes = [(f"dh_{name}", raster(np.full((2, 3), -number))) for number, name in enumerate(names)]
    models = [(f"DEM_{name}", raster(np.full((2, 3), 3000 + number))) for number, name in enumerate(names)]
    found = elevation_change.surveys(changes, models[::-1])
    assert [one.other for one in found] == [f"DEM_{name}" for name in names]
    assert [float(one.elevation[0, 0] + one.change[0, 0]) for one in found] == [3000.0] * 3


def test_one_of_each_belong_together_whatever_their_names() -> None:
    found = survey(raster([[-1, -2]] * 2), raster([[3000, 3001]] * 2))
    assert (found.name, found.other) == ("dh", "DEM")


def test_no_value_is_unknown_tagged_or_not() -> None:
    found = survey(raster([[-3.4e38, -2], [-1, -1]]), raster([[3000, 3000], [0, 3000]], nodata=0.0))
    np.testing.assert_array_equal(found.change, [[np.nan, -2], [-1, -1]])
    np.testing.assert_array_equal(found.elevation, [[3000, 3000], [np.nan, 3000]])
    inner = cells(found, box(0, -100, 100, 0))[0]
    assert inner.change_m.tolist() == [-2, -1]
    assert inner.share == 0.5


def test_cells_inside_an_outline_are_its_own() -> None:
    rows, columns = np.mgrid[:6, :8]
    found = survey(raster(-rows - columns), raster(3000 + 10 * rows + columns))
    inner = cells(found, box(200, -250, 300, -100), box(0, -50, 50, 0), box(900, -50, 950, 0))
    assert sorted(inner) == [0, 1]
    np.testing.assert_array_equal(inner[0].change_m, [-6, -7, -7, -8, -8, -9])
    np.testing.assert_array_equal(inner[0].elevation_m, [3024, 3025, 3034, 3035, 3044, 3045])
    assert inner[0].share == 1
    assert inner[1].change_m.tolist() == [0]


def test_rows_may_run_from_south_to_north() -> None:
    rows, columns = np.mgrid[:6, :8]
    change, elevation = raster(-rows - columns), raster(3000 + 10 * rows + columns)
    outline = box(210, -260, 320, -90)
    down = cells(survey(change, elevation), outline)[0]
    up = cells(survey(change.isel(y=slice(None, None, -1)), elevation.isel(y=slice(None, None, -1))), outline)[0]
    assert sorted(zip(down.change_m, down.elevation_m, strict=True)) == sorted(
        zip(up.change_m, up.elevation_m, strict=True)
    )
    assert len(down.change_m) == 6


def test_the_share_counts_what_lies_beyond_the_raster() -> None:
    found = survey(raster(np.full((2, 4), -1.0)), raster(np.full((2, 4), 3000.0)))
    assert cells(found, box(0, -400, 200, 0))[0].share == 0.25


def test_a_hole_is_not_inside() -> None:
    found = survey(raster(np.full((4, 4), -1.0)), raster(np.full((4, 4), 3000.0)))
    ring = box(0, -200, 200, 0) - box(50, -150, 150, -50)
    assert len(cells(found, ring)[0].change_m) == 12


def test_a_change_without_elevation_model_is_refused() -> None:
    changes = [("dh_00897", raster([[-1, -2]] * 2)), ("dh_00898", raster([[-1, -2]] * 2))]
    with pytest.raises(
        ValueError, match=r"dh_00898 has no elevation model with the identifier '00898'; expected one of each change"
    ):
        elevation_change.surveys(changes, [("DEM_00897", raster([[3000, 3000]] * 2))])


def test_two_rasters_of_one_identifier_are_refused() -> None:
    one = raster([[-1, -2]] * 2)
    with pytest.raises(ValueError, match="several rasters have the same identifier in their names; expected one"):
        elevation_change.surveys([("dh_00897", one), ("late_00897", one)], [("DEM_00897", one), ("DEM_00898", one)])


def test_rasters_without_crs_take_the_catalogue_s_or_are_refused() -> None:
    pair = [("dh", raster([[-1, -2]] * 2, crs=None))], [("DEM", raster([[3000, 3000]] * 2))]
    with pytest.raises(ValueError, match="dh has no CRS; expected one that states what x and y are"):
        elevation_change.surveys(*pair)
    with pytest.raises(ValueError, match="dh has no CRS, and the one that is given is unknown: 'EPSG:99999'; expected"):
        elevation_change.surveys(*pair, crs="EPSG:99999")
    assert elevation_change.surveys(*pair, crs="EPSG:32632")[0].change.rio.crs.to_epsg() == 32632


def test_pairs_of_two_crs_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"dh and DEM have different CRS \(EPSG:32632 and EPSG:32631\); expected one grid"
    ):
        survey(raster([[-1, -2]] * 2), raster([[3000, 3000]] * 2, crs="EPSG:32631"))
