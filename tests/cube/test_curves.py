"""Two dated surfaces in a catalogue give glaciers their own curves, or ingest names the entry and a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import yaml
from rasterio.transform import Affine

import glacierscale as gs
from glacierscale import provenance
from glacierscale.cube import IngestOptions
from glacierscale.evolution.curves import HEIGHTS, LEAST_CELLS

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
ROCK_M = -60.0
"""Change off the ice: whatever takes it for ice is found out."""


class Raw:
    """A copy of the small range's raw files with a change of elevation, the square of the height below the top."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder / "raw")
        self.content = yaml.safe_load((CATALOGS / "demo.yaml").read_text())
        for name, role in (("dh", "elevation_change"), ("early", "elevation_change_dem")):
            about = {"role": role, "dataset": "synthetic", "convention": "dem"}
            about |= {"license": "BSD-3-Clause", "citation": "synthetic"}
            args = {"urlpath": f"{{{{ data }}}}/{name}_*.tif", "chunks": {}}
            self.content["sources"][name] = {
                "driver": "rasterio", "description": name, "args": args, "metadata": about
            }  # fmt: skip
        self.about("dh", years=[1980, 2000])
        with rasterio.open(self.raw / "dem.tif") as found:
            self.elevation, self.profile = found.read(1), found.profile
        self.outlines = gpd.read_parquet(self.raw / "outlines.parquet").to_crs(self.profile["crs"])
        self.change, self.count = np.full_like(self.elevation, ROCK_M), {}
        for name, outline in zip(self.outlines.RGIId, self.outlines.geometry, strict=True):
            mask = self.inside(outline)
            height = self.elevation[mask]
            self.change[mask] = -40 * ((height.max() - height) / np.ptp(height)) ** 2
            self.count[name] = int(mask.sum())
        self.write("all")

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    def inside(self, outline: Any) -> np.ndarray:
        shape, transform = self.elevation.shape, self.profile["transform"]
        return rasterio.features.rasterize([outline], out_shape=shape, transform=transform).astype(bool)

    def about(self, entry: str, **metadata: Any) -> None:
        self.content["sources"][entry]["metadata"] |= metadata

    def write(self, name: str, window: Any = np.s_[:, :], shift_cells: float = 0.0, **profile: Any) -> None:
        """The two surfaces, or a window of them; the change may lie some cells too far."""
        start = [part.start or 0 for part in window[::-1]]
        for kind, values, more in (("dh", self.change, shift_cells), ("early", self.elevation, 0.0)):
            part = values[window]
            transform = self.profile["transform"] @ Affine.translation(start[0] + more, start[1] + more)
            size = {"height": part.shape[0], "width": part.shape[1], "transform": transform}
            with rasterio.open(self.raw / f"{kind}_{name}.tif", "w", **(self.profile | size | profile)) as file:
                file.write(part, 1)

    def window_of(self, glacier: str) -> Any:
        mask = self.inside(self.outlines.set_index("RGIId").geometry[glacier])
        return tuple(slice(int(at.min()), int(at.max()) + 1) for at in np.nonzero(mask))

    def ingest(self, **region: Any) -> Any:
        """The cube, in memory."""
        (self.folder / "catalog.yaml").write_text(yaml.safe_dump(self.content))
        options = IngestOptions(data=str(self.raw), glaciers_per_block=5)
        place = gs.Region("small", years=gs.HydroYears(2000, 2012), **region)
        return (
            gs.ingest(self.folder / "catalog.yaml", place, to=self.folder / "cube.zarr", options=options).open().load()
        )

    def remove(self) -> None:
        for path in [*self.raw.glob("dh_*"), *self.raw.glob("early_*")]:
            path.unlink()


@pytest.fixture
def raw(small_raw: Path, tmp_path: Path) -> Raw:
    return Raw(small_raw, tmp_path)


def known(cube: Any) -> list[str]:
    has = np.isfinite(cube.thinning.values).all(axis=1)
    assert np.isnan(cube.thinning.values[~has]).all()
    return sorted(cube.glacier_id.values[has].tolist())


def test_every_glacier_of_a_mosaic_gets_the_curve_of_its_own_cells(raw: Raw) -> None:
    cube = raw.ingest()
    large = sorted(name for name, count in raw.count.items() if count >= LEAST_CELLS)
    assert known(cube) == large
    assert 3 < len(large) < len(raw.count)
    np.testing.assert_array_equal(cube.thinning_height.values, HEIGHTS)
    curves = cube.thinning.values[np.isin(cube.glacier_id.values, large)]
    np.testing.assert_allclose(curves, np.tile(HEIGHTS**2, (len(large), 1)), atol=0.06)
    told = cube.attrs["thinning_left_out"]
    small = len(raw.count) - len(large)
    assert told.startswith(f"{small} glaciers whose changes of elevation give no curve: ")
    assert "cells have a plausible elevation change)" in told
    assert ";" not in told


def test_rasters_of_single_glaciers_give_the_same_curves(raw: Raw) -> None:
    whole = raw.ingest()
    names = known(whole)[:2]
    raw.remove()
    shutil.rmtree(raw.folder / "cube.zarr")
    for number, name in enumerate(names):
        raw.write(f"G00{number}E46N", raw.window_of(name))
    single = raw.ingest()
    rows = np.isin(single.glacier_id.values, names)
    assert set(names) <= set(known(single))
    np.testing.assert_array_equal(single.thinning.values[rows], whole.thinning.values[rows])


def test_rasters_of_other_regions_are_counted(raw: Raw) -> None:
    west, east = raw.outlines.sort_values("CenLon").iloc[[0, -1]].itertuples()
    raw.remove()
    raw.write("G001", raw.window_of(west.RGIId))
    raw.write("G002", raw.window_of(east.RGIId))
    cube = raw.ingest(bounds=(west.CenLon - 0.001, west.CenLat - 0.001, west.CenLon + 0.001, west.CenLat + 0.001))
    assert cube.glacier_id.values.tolist() == [west.RGIId]
    assert "1 rasters of glaciers of other regions: dh_G002" in cube.attrs["thinning_left_out"]


def test_less_than_half_of_a_glacier_is_no_glacier(raw: Raw) -> None:
    name = max(raw.count, key=raw.count.__getitem__)
    rows, columns = raw.window_of(name)
    raw.remove()
    raw.write("G001", (slice(rows.start, rows.start + (rows.stop - rows.start) // 3), columns))
    cube = raw.ingest()
    assert name not in known(cube)
    assert (
        "1 rasters that cover at most 50% of each outline, or less than others do: dh_G001"
        in (cube.attrs["thinning_left_out"])
    )


def test_without_surveys_the_cube_has_no_curves(raw: Raw) -> None:
    del raw.content["sources"]["dh"], raw.content["sources"]["early"]
    cube = raw.ingest()
    assert not {"thinning", "thinning_height", "thinning_left_out"} & {*cube.variables, *cube.attrs}


def test_other_years_make_another_cube(raw: Raw) -> None:
    raw.ingest()
    raw.about("dh", years=[1990, 2000])
    with pytest.raises(provenance.StampMismatch, match=r"inputs\.dh: there"):
        raw.ingest()


@pytest.mark.parametrize("years", [None, 1979, [1979], [2011, 1979], [1979, 1995, 2011], ["1979", "2011"], [True, 9]])
def test_years_that_are_no_two_are_refused(raw: Raw, years: Any) -> None:
    raw.about("dh", years=years)
    with pytest.raises(
        ValueError, match=r"entry 'dh': years is .*; expected those of the earlier and the later survey"
    ):
        raw.ingest()


def test_half_a_cell_apart_is_refused(raw: Raw) -> None:
    raw.write("all", shift_cells=0.5)
    with pytest.raises(
        ValueError,
        match=r"entry 'dh': dh_all and early_all: elevation change and elevation lie 0.5 cells apart along x; expected",
    ):
        raw.ingest()


def test_a_change_without_its_surface_is_refused(raw: Raw) -> None:
    raw.write("G001")
    (raw.raw / "early_G001.tif").rename(raw.raw / "early_G002.tif")
    with pytest.raises(ValueError, match=r"entry 'dh': dh_G001 has no elevation model with the identifier 'G001'"):
        raw.ingest()
    del raw.content["sources"]["early"]
    with pytest.raises(
        ValueError, match=r"has 1 entries of role elevation_change and 0 of role elevation_change_dem \(dh\); expected"
    ):
        raw.ingest()


def test_an_unknown_crs_is_refused(raw: Raw) -> None:
    raw.write("all", crs=None)
    with pytest.raises(ValueError, match="entry 'dh': dh_all has no CRS; expected one that states what x and y are"):
        raw.ingest()
    raw.about("dh", crs="EPSG:99999")
    with pytest.raises(ValueError, match="entry 'dh': dh_all has no CRS, and the one that is given is unknown"):
        raw.ingest()


def test_a_raster_that_is_nowhere_on_a_glacier_is_refused(raw: Raw) -> None:
    raw.write("all", crs="EPSG:32632")
    with pytest.raises(
        ValueError, match=r"entry 'dh': dh_all knows the change of elevation nowhere inside an outline; expected that"
    ):
        raw.ingest()


@pytest.mark.shared
def test_french_glaciers_have_their_own_curves(shared: Path, tmp_path: Path) -> None:
    options = IngestOptions(data=str(shared / "data"))
    region = gs.Region("french_alps", years=gs.HydroYears(2002, 2003))
    store = gs.ingest(CATALOGS / "french_alps.yaml", region, to=tmp_path / "cube.zarr", options=options)
    cube = store.open().load()
    has = np.isfinite(cube.thinning.values).all(axis=1)
    assert has.sum() == 43
    told = cube.attrs["thinning_left_out"]
    assert told.startswith("3 glaciers whose changes of elevation give no curve: RGI60-11.03677 (the typical height")
    assert "6 rasters that cover at most 50% of each outline" in told
    published = shared / "data/french_alps/delta_h_param"
    for name, glims in (("RGI60-11.03638", "G006985E45951N"), ("RGI60-11.03643", "G006934E45883N")):
        down, thinning = (np.loadtxt(published / f"{glims}_{what}.csv")[::-1] for what in ("DEM", "dh"))
        own = cube.thinning.values[cube.glacier_id.values == name][0]
        assert np.sqrt(np.mean((own - np.interp(HEIGHTS, down, thinning)) ** 2)) < 0.08, name
