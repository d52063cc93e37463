"""The report stage: from stores and tables to a page that is kept while nothing changes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from glacierscale import provenance, schema
from glacierscale.reporting import ReportOptions, report
from glacierscale.reporting.stage import background, outlines_of
from glacierscale.store import Store


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
    store.declare(static, stamp, sizes=dict(data.sizes), chunks={"glacier": len(ids)})
    names = ("glacier_id", "unit_id", "lon", "lat", "area_m2", "smb", "smb_std", "smb_member")
    store.write(store.blocks()[0], {name: data[name].values for name in names})
    provenance.write_table(made.predictions(data), tmp_path / "predictions.parquet", stamp)
    provenance.write_table(made.scores(), tmp_path / "scores.parquet", stamp)
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
