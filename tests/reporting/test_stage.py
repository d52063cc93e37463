"""The report stage: from stores and tables to a page that is kept while nothing changes."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from glacierscale import provenance, schema
from glacierscale.reporting import ReportOptions, report
from glacierscale.reporting.stage import _tables, background, inputs, outlines_of
from glacierscale.store import Files, Store
from tests.reporting import evolving


@pytest.fixture
def run(made, cube, tmp_path):
    """A reconstruction of the outlines of the session's cube and the tables of its scores, in one folder."""
    dataset = cube.open()
    ids = schema.text(dataset.glacier_id.values)
    data = made.reconstruction(glaciers=len(ids))
    data = data.assign({name: ("glacier", dataset[name].values) for name in ("glacier_id", "unit_id", "lon", "lat")})
    stamp = provenance.Stamp(verb="reconstruct", options={"net": "mlp"}, inputs={})
    store = Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)
    static = data[["hydro_year"]].reset_coords(drop=True).assign_attrs(hemisphere="north")
    store.declare(
        static,
        stamp,
        sizes=dict(data.sizes),
        chunks={"glacier": len(ids)},
        without=["smb_winter", "smb_gapfilled", "smb_gapfilled_std", "lasting_share"],
    )
    names = (*schema.identity(data), "smb", "smb_std", "smb_member", "set_aside")
    store.write(store.blocks()[0], {name: data[name].values for name in names})
    provenance.write_table(made.predictions(data), Files.at(tmp_path), "predictions.parquet", stamp)
    provenance.write_table(made.scores(), Files.at(tmp_path), "scores.parquet", stamp)
    return tmp_path


def test_a_page_is_made_of_stores_and_tables_and_kept_while_they_stay_the_same(run, made, cube):
    page = report(run / "smb.zarr", scores=run, cube=cube, to=run / "out" / "report.html")
    text, written = page.read_text(), page.stat().st_mtime_ns
    assert "<title>Surface mass balance of Oetztal Alps</title>" in text
    assert text.count("smb_map-outlines") == 1
    assert not re.search(str(run), text)
    assert report(run / "smb.zarr", scores=run, cube=cube, to=page).stat().st_mtime_ns == written
    report(run / "smb.zarr", scores=run, cube=cube, to=page, options=ReportOptions(title="Other"))
    assert "<title>Other</title>" in page.read_text()
    assert [file.name for file in page.parent.iterdir()] == ["report.html"]


def test_missing_tables_are_named_with_the_command_that_makes_them(run):
    (run / "scores.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"scores\.parquet; make them with `glacierscale evaluate`"):
        report(run / "smb.zarr", scores=run, to=run / "report.html")


def test_outlines_come_back_with_their_holes_and_parts(cube, region):
    found = outlines_of(cube.open()).set_index("glacier_id").to_crs("EPSG:32632").geometry
    for name, polygon in region.polygons.items():
        assert found[name].area == pytest.approx(polygon.area, rel=1e-3)
        assert sum(len(part.interiors) for part in found[name].geoms) == len(polygon.interiors)


def test_the_background_keeps_small_terrain_and_thins_large(cube, region, monkeypatch):
    from glacierscale.reporting import stage

    whole = background(cube.open())
    np.testing.assert_allclose(whole.values, region.elevation, rtol=1e-6)
    assert "crs_wkt" in whole.attrs
    monkeypatch.setattr(stage, "_MAX_BACKGROUND_CELLS", 500)
    assert background(cube.open()).size <= 500


SECTIONS = ("surfaces", "profiles", "kinds", "physics", "importance")


def test_maps_and_tables_are_shown_where_there_are_any_and_the_page_is_made_again(run, made):
    page = report(run / "smb.zarr", scores=run, to=run / "report.html")
    bare = page.read_text()
    assert not [part for part in (*SECTIONS, "outside", "aside") if f'id="{part}"' in bare]
    stamp = provenance.Stamp(verb="evaluate", options={}, inputs={})
    ids = ["RGI60-11.00002", "RGI60-11.00003"]
    made.surface_store(str(run / "smb_map_032.zarr"), ids, [2e6, 1e6], aside=(ids[1],))
    for name, table in made.tables().items():
        provenance.write_table(table, Files.at(run), f"{name}.parquet", stamp)
    full = report(run / "smb.zarr", scores=run, to=page).read_text()
    assert [part for part in SECTIONS if f'<section id="{part}"' in full] == list(SECTIONS)
    assert "<strong>RGI60-11.00003</strong>: no climate there" in full
    assert 'id="outside"' in full
    assert len(full) < 3_000_000


def test_every_store_and_table_that_is_shown_decides_the_stamp(run, made):
    stamp = provenance.Stamp(verb="evaluate", options={}, inputs={})
    for name, table in made.tables().items():
        provenance.write_table(table, Files.at(run), f"{name}.parquet", stamp)
    maps = [made.surface_store(str(run / f"smb_map_{n:03d}.zarr"), ["G"], [1e6], cells=n) for n in (32, 64)]
    tables = _tables(Files.at(run))
    before = inputs(maps, tables, str(run))
    assert set(before) == {"smb_map_032", "smb_map_064", "predictions", "scores", *made.tables()}
    for name, table in made.tables().items():
        provenance.write_table(table.iloc[1:], Files.at(run), f"{name}.parquet", stamp)
    made_otherwise = provenance.Stamp(verb="map", options={"other": 1}, inputs={})
    shutil.rmtree(run / "smb_map_064.zarr")
    maps[1] = made.surface_store(maps[1].url, ["G"], [1e6], cells=64, stamp=made_otherwise)
    after = inputs(maps, _tables(Files.at(run)), str(run))
    changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
    assert changed == {"smb_map_064", *made.tables()}


def test_maps_can_be_left_out(run, made):
    made.surface_store(str(run / "smb_map_032.zarr"), ["RGI60-11.00002"], [2e6])
    page = report(run / "smb.zarr", scores=run, to=run / "report.html", options=ReportOptions(map_glaciers=0))
    assert 'id="surfaces"' not in page.read_text()
    with pytest.raises(ValueError, match="map_glaciers is -1; expected 0"):
        ReportOptions(map_glaciers=-1)


def test_maps_of_another_model_are_refused(run, made, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    entry = provenance.Input(url="model", fingerprint="a" * 64)
    stamp = provenance.Stamp(verb="map", options={}, inputs={"model": entry})
    made.surface_store(str(other / "smb_map_032.zarr"), ["RGI60-11.00002"], [2e6], stamp=stamp)
    entry = provenance.Input(url="model", fingerprint="b" * 64)
    stamp = provenance.Stamp(verb="reconstruct", options={}, inputs={"model": entry})
    data = made.reconstruction(glaciers=1)
    store = Store(str(other / "smb.zarr"), schema.RECONSTRUCTION)
    store.declare(data[["hydro_year"]].reset_coords(drop=True), stamp, sizes=dict(data.sizes))
    with pytest.raises(ValueError, match=r"smb_map_032\.zarr maps another model than the one that made"):
        report(store, scores=run, to=other / "report.html")


def test_evolving_glaciers_beside_the_reconstruction_are_shown_and_decide_the_stamp(run):
    page = report(run / "smb.zarr", scores=run, to=run / "report.html")
    bare = page.read_text()
    assert 'id="future"' not in bare
    evolving.store(str(run / "ice.zarr"), aside=(5,))
    evolving.maps(str(run / "ice_map_048.zarr"), evolving.ids()[:2], [1.8e7, 1e7])
    full = report(run / "smb.zarr", scores=run, to=page).read_text()
    assert '<a href="#future">' in full
    for figure in ("course_figure", "water_figure", "left_figure", "thickness_figure"):
        assert full.count(f'class="{figure}"') == 1
    assert "Of the ice of 2003 there is left in 2100:" in full
    assert "ice moves by curves of elevation change (delta-h)" in full
    assert "<strong>RGI60-11.00005</strong>: no thickness" in full
    assert "<dt>Evolve</dt>" in full
    assert len(full) - len(bare) < 1_000_000
    written = page.stat().st_mtime_ns
    assert report(run / "smb.zarr", scores=run, to=page).stat().st_mtime_ns == written
    shutil.rmtree(run / "ice.zarr")
    shutil.rmtree(run / "ice_map_048.zarr")
    assert report(run / "smb.zarr", scores=run, to=page).read_text() == bare


def test_the_glacier_whose_thickness_is_mapped_can_be_named_and_the_store_given(run, tmp_path_factory):
    other = tmp_path_factory.mktemp("future")
    ice = evolving.store(str(other / "ice.zarr"))
    evolving.maps(str(other / "ice_map_048.zarr"), evolving.ids()[:2], [1.8e7, 1e7])
    options = ReportOptions(thickness_of=evolving.ids()[1])
    page = report(run / "smb.zarr", scores=run, ice=ice.url, to=run / "report.html", options=options)
    assert f"ice thickness of {evolving.ids()[1]}, m" in page.read_text()
    with pytest.raises(ValueError, match="no map of the ice of G9"):
        report(run / "smb.zarr", scores=run, ice=ice.url, to=run / "b.html", options=ReportOptions(thickness_of="G9"))


def test_glaciers_evolved_by_another_model_are_refused(run, made, tmp_path):
    entries = [provenance.Input(url="model", fingerprint=letter * 64) for letter in "ab"]
    stamps = [provenance.Stamp(verb=verb, options={}, inputs={"model": entry})
              for verb, entry in zip(("reconstruct", "evolve"), entries, strict=True)]  # fmt: skip
    data = made.reconstruction(glaciers=1)
    store = Store(str(tmp_path / "of_a" / "smb.zarr"), schema.RECONSTRUCTION)
    lacking = ["smb_winter", "smb_gapfilled", "smb_gapfilled_std", "lasting_share"]
    static = data[["hydro_year"]].reset_coords(drop=True)
    store.declare(static, stamps[0], sizes=dict(data.sizes), without=lacking)
    evolving.store(str(tmp_path / "of_a" / "ice.zarr"), stamp=stamps[1])
    with pytest.raises(ValueError, match=r"evolves by another model than the one that made .*; evolve by that one"):
        report(store, scores=run, to=tmp_path / "report.html")
