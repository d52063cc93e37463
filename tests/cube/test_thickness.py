"""Thickness and the surface it belongs to go from a catalogue into a cube, or ingest names the entry and a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from rasterio.transform import Affine

import glacierscale as gs
from glacierscale.cube import IngestOptions

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
YEARS = gs.HydroYears(2000, 2012)


class Raw:
    """A copy of the small range's raw files, its terrain catalogued as the surface of its thickness too."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder / "raw")
        self.content = yaml.safe_load((CATALOGS / "demo.yaml").read_text())
        about = {"role": "thickness_dem", "dataset": "synthetic", "convention": "dem"}
        about |= {"license": "BSD-3-Clause", "citation": "synthetic"}
        args = {"urlpath": "{{ data }}/surface.tif", "chunks": {}}
        entry = {"driver": "rasterio", "description": "surface", "args": args, "metadata": about}
        self.content["sources"]["thickness_dem"] = entry
        shutil.copy(folder / "raw/dem.tif", folder / "raw/surface.tif")

    def about(self, entry: str, **metadata: Any) -> None:
        self.content["sources"][entry]["metadata"] |= metadata

    def rewrite(self, name: str, change: Any = None, shift_cells: float = 0.0) -> None:
        path = self.folder / "raw" / name
        with rasterio.open(path) as found:
            values, profile = found.read(), found.profile
        profile["transform"] @= Affine.translation(shift_cells, shift_cells)
        with rasterio.open(path, "w", **profile) as written:
            written.write(values if change is None else change(values))

    def ingest(self) -> gs.Store:
        (self.folder / "catalog.yaml").write_text(yaml.safe_dump(self.content))
        options = IngestOptions(data=str(self.folder / "raw"))
        region = gs.Region("small", years=YEARS)
        return gs.ingest(self.folder / "catalog.yaml", region, to=self.folder / "cube.zarr", options=options)


@pytest.fixture
def raw(small_raw: Path, tmp_path: Path) -> Raw:
    return Raw(small_raw, tmp_path)


def test_the_surface_is_known_where_there_is_ice(raw: Raw) -> None:
    raw.rewrite("surface.tif", lambda values: values - 4)
    cube = raw.ingest().open().load()
    iced = cube.thickness.values > 0
    assert iced.any()
    np.testing.assert_allclose(cube.ice_surface.values[iced], cube.elevation.values[iced] - 4, atol=0.01)
    assert np.isnan(cube.ice_surface.values[~iced]).all()
    assert cube.attrs["ice_surface_offset_m"] == 4
    assert cube.attrs["thickness_discarded"] == 0


def test_without_elevation_models_of_their_own_thicknesses_refer_to_the_terrain(raw: Raw) -> None:
    del raw.content["sources"]["thickness_dem"]
    cube = raw.ingest().open()
    assert "ice_surface" not in cube
    assert "ice_surface_offset_m" not in cube.attrs
    assert float(cube.thickness.max()) > 20


def test_a_surface_half_a_cell_apart_is_refused_or_resampled_if_the_catalogue_says_so(raw: Raw) -> None:
    raw.rewrite("surface.tif", shift_cells=0.5)
    with pytest.raises(
        ValueError,
        match=r"entry 'thickness': thickness and surface lie 0.5 cells apart in x and 0.5 in y; expected the same",
    ):
        raw.ingest()
    raw.about("thickness_dem", shifted=["thickness"])
    cube = raw.ingest().open().load()
    # What the same numbers half a cell further mean on a slope is some metres.
    apart = (cube.ice_surface - cube.elevation).values[cube.thickness.values > 0]
    assert 1 < np.nanpercentile(np.abs(apart), 90) < 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: -v,
            r"entry 'thickness': thickness: \d+ of \d+ cells that are not 0 lie below -1 or above 5000, from -1",
        ),
        (lambda v: np.where(v > 0, v + 8000, v), r"above 5000, from 0 to 8\d\d\d.*; expected ice thickness in m"),
        (lambda v: v[:, ::-1], r"% of the ice volume lies outside of all outlines, more than a cell away; expected at"),
    ],
)
def test_a_raster_that_is_no_thickness_of_these_glaciers_is_refused(raw: Raw, change: Any, message: str) -> None:
    raw.rewrite("thickness.tif", change)
    with pytest.raises(ValueError, match=message):
        raw.ingest()


def test_ice_that_no_outline_holds_is_refused_unless_the_catalogue_knows_of_it(raw: Raw) -> None:
    path = raw.folder / "raw/outlines.parquet"
    table = gpd.read_parquet(path)
    largest = table.to_crs("EPSG:3857").area.to_numpy().argmax()
    table.drop(index=table.index[largest]).to_parquet(path, index=False)
    with pytest.raises(
        ValueError, match=r"entry 'thickness': .* % of the ice volume lies outside.*beyond: \['thickness'"
    ):
        raw.ingest()
    raw.about("thickness", beyond=["thickness"])
    assert float(raw.ingest().open().thickness.max()) > 20


@pytest.mark.parametrize(
    ("entry", "metadata", "message"),
    [
        ("thickness", {"highest_m": "thick"}, r"entry 'thickness': highest_m is 'thick'; expected the most ice"),
        ("thickness", {"highest_m": True}, r"highest_m is True; expected"),
        ("thickness", {"beyond": "03643"}, r"beyond is '03643'; expected a list of numbers in quotes"),
        ("thickness_dem", {"shifted": [3643]}, r"shifted is \[3643\]; expected a list of numbers in quotes"),
        ("thickness_dem", {"role": "thickness"}, r"thickness, thickness_dem are several entries of role thickness"),
    ],
)
def test_what_a_catalogue_says_of_thickness_is_checked(
    raw: Raw, entry: str, metadata: dict[str, Any], message: str
) -> None:
    raw.about(entry, **metadata)
    with pytest.raises(ValueError, match=message):
        raw.ingest()


def test_a_limit_of_the_catalogue_discards_what_is_above_and_counts_it(raw: Raw) -> None:
    def spiked(values: np.ndarray) -> np.ndarray:
        at = np.argwhere(values > 0)[::50]
        values[tuple(at.T)] = 700
        return values

    raw.rewrite("thickness.tif", spiked)
    raw.about("thickness", highest_m=550)
    cube = raw.ingest().open()
    assert cube.attrs["thickness_discarded"] > 0
    assert float(cube.thickness.max()) <= 550


@pytest.mark.shared
def test_mer_de_glace_and_argentiere_have_their_volume_and_the_glaciers_beside_them_none(
    shared: Path, tmp_path: Path
) -> None:
    options = IngestOptions(data=str(shared / "data"))
    region = gs.Region("mont_blanc", years=gs.HydroYears(2000, 2003), bounds=(6.85, 45.82, 7.05, 45.99))
    store = gs.ingest(CATALOGS / "french_alps.yaml", region, to=tmp_path / "cube.zarr", options=options)
    cube = store.open()
    assert abs(cube.attrs["ice_surface_offset_m"]) < 1
    surfaces, known = float((cube.ice_surface > 0).sum()), float((cube.thickness > 0).sum())
    assert 0.99 * known < surfaces <= known
    volumes, unknown = {}, []
    for patch in gs.rasterize(store, to=tmp_path):
        dataset = patch.open().load()
        at = {name: dataset.rasters.values[:, number] for number, name in enumerate(dataset.channel.values)}
        for number, name in enumerate(dataset.glacier_id.values):
            iced = at["ice_fraction"][number] > 0
            if dataset.set_aside.values[number]:
                continue
            if np.isnan(at["thickness"][number][iced]).any():
                assert np.isnan(at["thickness"][number][iced]).all()
                unknown.append(str(name))
                continue
            assert at["thickness"][number][iced].min() > 0
            volumes[str(name)] = float((at["thickness"] * at["ice_fraction"])[number].sum(dtype=float)) * 1e4
    assert volumes["RGI60-11.03643"] == pytest.approx(2.9455e9, rel=0.01)
    assert volumes["RGI60-11.03638"] == pytest.approx(2.3510e9, rel=0.01)
    assert len(unknown) > 5
