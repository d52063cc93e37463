"""Published outlines become identified, valid polygons and flat vertices, or are refused by name."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, Polygon, box

from glacierscale.sources import outlines


def table(shapes: list[object], crs: str | None = "EPSG:4326", **columns: object) -> gpd.GeoDataFrame:
    ids = [f"RGI60-11.{number:05d}" for number in range(1, len(shapes) + 1)]
    return gpd.GeoDataFrame({"RGIId": ids, **columns}, geometry=shapes, crs=crs)


@pytest.fixture(scope="module")
def oetztal(shared: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(shared / "data/oetztal/rgi/rgi_oetztal.shp")


@pytest.fixture(scope="module")
def french(shared: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(shared / "data/french_alps/outlines/GLIMS_glaciers_2003_ID_massif.shp")


def test_oetztal_outlines_are_read_with_clean_names_and_true_areas(oetztal: gpd.GeoDataFrame) -> None:
    result = outlines.normalize(oetztal, "rgi5").set_index("glacier_id")
    assert len(result) == 20
    assert result.loc["RGI50-11.00897", "name"] == "Hintereisferner"
    assert result.loc["RGI50-11.00648", "name"] == ""
    assert list(result.index[result["unit_id"] == "RGI50-11.00719"]) == ["RGI50-11.00719_d01", "RGI50-11.00719_d02"]
    assert set(result["survey_year"]) == {2003}
    assert result.loc["RGI50-11.00897", "lon"] == 10.7584
    assert result.loc["RGI50-11.00897", "published_area_m2"] == pytest.approx(8.036e6)
    np.testing.assert_allclose(result["area_m2"], result["published_area_m2"], rtol=1e-3)


def test_self_intersections_are_repaired_and_recorded(oetztal: gpd.GeoDataFrame) -> None:
    result = outlines.normalize(oetztal, "rgi5")
    assert result.attrs["repaired"] == ["RGI50-11.00648", "RGI50-11.00887", "RGI50-11.00958"]
    assert bool(result.geometry.is_valid.all())


def test_south_glacier_has_the_area_its_readme_states(shared: Path) -> None:
    result = outlines.normalize(gpd.read_file(shared / "data/south_glacier/SouthGlacier.shp"), "rgi6")
    assert float(result["area_m2"].iloc[0]) == pytest.approx(5.346e6, rel=1e-3)
    assert int(result["survey_year"].iloc[0]) == 2010


def test_french_rows_cut_at_massif_borders_are_joined(french: gpd.GeoDataFrame) -> None:
    result = outlines.normalize(french, "glims")
    assert (len(french), len(result), result.attrs["joined"]) == (686, 660, 26)
    assert int(result["glacier_id"].str.startswith("RGI60-11.").sum()) == 567
    whole = result.set_index("glacier_id").loc["RGI60-11.03662"]
    assert whole["glims_id"] == "G006881E45423N"
    assert whole["area_m2"] == pytest.approx(4.3105e6, rel=0.002)
    assert whole["published_area_m2"] == pytest.approx(4.3105e6, rel=0.002)
    assert result["survey_year"].value_counts().to_dict() == {2003: 649, 2004: 11}


def test_separate_parts_of_a_french_glacier_add_their_areas(shared: Path) -> None:
    source = gpd.read_file(shared / "data/french_alps/outlines/glaciers_2015_05.shp", encoding="ISO-8859-1")
    result = outlines.normalize(source, "glims")
    assert result.attrs["joined"] == 1
    argentiere = result[result["glims_id"] == "G006985E45951N"]
    assert float(argentiere["published_area_m2"].sum()) == pytest.approx(
        1e6 * float(source.loc[source["GLIMS_ID"] == "G006985E45951N", "Area"].sum())
    )
    assert set(result["survey_year"]) == {2015}


def test_rgi7_and_our_own_columns_are_read() -> None:
    shape = box(10, 46, 10.1, 46.1)
    rgi7 = gpd.GeoDataFrame(
        {
            "rgi_id": ["RGI2000-v7.0-G-11-00001"],
            "glac_name": ["A"],
            "cenlon": [10.05],
            "cenlat": [46.05],
            "area_km2": [85.9],
            "src_date": ["2003-08-06T00:00:00"],
        },
        geometry=[shape],
        crs="EPSG:4326",
    )
    first = outlines.normalize(rgi7, "rgi7")
    assert int(first["survey_year"].iloc[0]) == 2003
    again = outlines.normalize(first, "glacierscale")
    assert again.drop(columns=["geometry", "lon", "lat"]).equals(first.drop(columns=["geometry", "lon", "lat"]))
    assert float(again["lon"].iloc[0]) == pytest.approx(10.05)


def test_vertices_give_the_polygons_back(oetztal: gpd.GeoDataFrame) -> None:
    result = outlines.normalize(oetztal, "rgi5")
    flat = outlines.to_vertices(result, "EPSG:32632")
    assert flat["vertex_start"].dtype == "int64"
    assert {flat[name].dtype.str for name in ("vertex_count", "vertex_ring")} == {"<i4"}
    assert int(flat["vertex_count"].sum()) == len(flat["vertex_x"])
    projected = result.to_crs("EPSG:32632").geometry
    for number, shape in enumerate(projected):
        start, count = flat["vertex_start"][number], flat["vertex_count"][number]
        x, y = flat["vertex_x"][start : start + count], flat["vertex_y"][start : start + count]
        ring = flat["vertex_ring"][start : start + count]
        area = 0.0
        for which in range(ring.max() + 1):
            rx, ry = x[ring == which], y[ring == which]
            size = abs(float(np.sum(rx * np.roll(ry, -1) - ry * np.roll(rx, -1)))) / 2
            area += size if which == 0 else -size
        if shape.geom_type == "Polygon":
            assert area == pytest.approx(shape.area, rel=1e-6)


def test_rings_are_open_and_counted_inside_each_outline() -> None:
    holed = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (2, 1), (2, 2), (1, 2)]])
    apart = MultiPolygon([box(10, 0, 11, 1), box(12, 0, 13, 1)])
    flat = outlines.to_vertices(outlines.normalize(table([holed, apart]), "rgi6"), "EPSG:4326")
    assert list(flat["vertex_count"]) == [8, 8]
    assert list(flat["vertex_start"]) == [0, 8]
    assert list(flat["vertex_ring"]) == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    np.testing.assert_array_equal(flat["vertex_x"], flat["vertex_lon"])


def test_a_hundred_thousand_glaciers_take_seconds() -> None:
    rng = np.random.default_rng(1)
    centres = gpd.points_from_xy(rng.uniform(-150, -140, 100_000), rng.uniform(58, 64, 100_000))
    source = table(list(centres.buffer(0.01, quad_segs=4)))
    result = outlines.normalize(source, "rgi6")
    flat = outlines.to_vertices(result, "EPSG:32607")
    assert len(flat["vertex_x"]) == 1_600_000
    assert np.all(flat["vertex_count"] == 16)


def test_missing_crs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no CRS; expected one. Add the .prj file"):
        outlines.normalize(table([box(10, 46, 11, 47)], crs=None), "rgi6")


def test_projected_coordinates_labelled_as_degrees_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"beyond longitude 180 or latitude 90: RGI60-11.00001; the geometry looks projected"
    ):
        outlines.normalize(table([box(640000, 5180000, 641000, 5181000)]), "rgi6")


def test_degrees_labelled_as_projected_are_refused() -> None:
    with pytest.raises(ValueError, match="which look like degrees, but their CRS is the projected"):
        outlines.normalize(table([box(10, 46, 11, 47)], crs="EPSG:32632"), "rgi6")


def test_swapped_axes_are_found_by_the_published_centres() -> None:
    source = table([box(46, 10, 46.1, 10.1), box(46.2, 10, 46.3, 10.1)], CenLon=[10.05, 10.05], CenLat=[46.05, 46.25])
    with pytest.raises(
        ValueError, match=r"longitude and latitude look swapped: 2 of 2 outlines lie at \(CenLat, CenLon\)"
    ):
        outlines.normalize(source, "rgi6")


def test_duplicated_ids_are_named(oetztal: gpd.GeoDataFrame) -> None:
    source = oetztal.copy()
    source.loc[3, "RGIId"] = source.loc[4, "RGIId"]
    with pytest.raises(ValueError, match=r"duplicated glacier ids: RGI50-11.00674; expected one row per outline"):
        outlines.normalize(source, "rgi5")


def test_missing_ids_and_columns_are_refused(oetztal: gpd.GeoDataFrame) -> None:
    source = oetztal.copy()
    source.loc[0, "RGIId"] = None
    with pytest.raises(ValueError, match="1 outlines have no identifier"):
        outlines.normalize(source, "rgi5")
    with pytest.raises(
        ValueError, match=r"no identifier column for 'rgi7' outlines: expected rgi_id, the table has Area"
    ):
        outlines.normalize(oetztal, "rgi7")
    with pytest.raises(ValueError, match="unknown outline convention 'rgi4'"):
        outlines.normalize(oetztal, "rgi4")
    with pytest.raises(ValueError, match="holds no glacier"):
        outlines.normalize(oetztal.iloc[:0], "rgi5")


def test_empty_missing_and_collapsed_outlines_are_named() -> None:
    with pytest.raises(ValueError, match=r"empty outlines: RGI60-11.00002, RGI60-11.00003; expected polygons"):
        outlines.normalize(table([box(10, 46, 11, 47), Polygon(), None]), "rgi6")
    with pytest.raises(ValueError, match=r"outlines that are no polygons: RGI60-11.00001"):
        outlines.normalize(table([Point(10, 46)]), "rgi6")
    with pytest.raises(ValueError, match=r"outlines without area: RGI60-11.00001"):
        outlines.normalize(table([Polygon([(10, 46), (11, 47), (10, 46), (10, 46)])]), "rgi6")


def test_outlines_over_the_antimeridian_have_to_be_cut() -> None:
    with pytest.raises(ValueError, match=r"cross the antimeridian in one ring: RGI60-11.00001; cut them"):
        outlines.normalize(table([box(-179.9, 70, 179.9, 71)]), "rgi6")
    cut = MultiPolygon([box(179.9, 70, 180, 71), box(-180, 70, -179.95, 71)])
    result = outlines.normalize(table([cut]), "rgi6")
    assert float(result["lon"].iloc[0]) == pytest.approx(179.95)


def test_glaciers_off_the_grid_are_named(oetztal: gpd.GeoDataFrame) -> None:
    result = outlines.normalize(oetztal, "rgi5")
    west, south, east, north = result.total_bounds
    outlines.check_on_grid(result, (west, south, east, north), "the terrain")
    with pytest.raises(ValueError, match=r"glacier off the grid: RGI50-11.00770 reach outside the climate grid"):
        outlines.check_on_grid(result, (west + 0.005, south, east, north), "the climate grid")
    projected = tuple(result.to_crs("EPSG:32632").total_bounds)
    outlines.check_on_grid(result, projected, "the terrain", crs="EPSG:32632")


def test_a_glacier_on_the_antimeridian_lies_on_a_grid_that_runs_on_over_it() -> None:
    cut = MultiPolygon([box(179.9, 70, 180, 70.1), box(-180, 70, -179.95, 70.1)])
    result = outlines.normalize(table([cut]), "rgi6")
    for grid in ((179.5, 69, 181, 71), (-181, 69, -179.5, 71), (-180.125, 69, 179.875, 71), (0, 69, 360, 71)):
        outlines.check_on_grid(result, grid, "the climate")
    for grid in ((179.95, 69, 181, 71), (179.5, 69, 180.01, 71), (-180, 69, -179.5, 71)):
        with pytest.raises(ValueError, match=r"glacier off the grid: RGI60-11\.00001 reach outside the climate"):
            outlines.check_on_grid(result, grid, "the climate")
