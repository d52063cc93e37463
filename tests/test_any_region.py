"""A region anywhere: the how-to as it stands, and what must not depend on where a region lies."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import glacierscale as gs
from glacierscale import pipeline, provenance, synthetic
from glacierscale.demonstration import write_raw
from glacierscale.features.options import RasterizeOptions
from glacierscale.features.rasters import rasterize
from glacierscale.sources import observations
from glacierscale.synthetic import SyntheticOptions, TrueProcess
from tests.commands import main

ROOT = Path(__file__).resolve().parents[1]
HOW_TO = (ROOT / "docs" / "any-region.md").read_text()
OVER, AWAY = (179.9, -45.0), (170.0, -45.0)
TRAIN = {
    "nets": ["lasso", "mlp"],
    "hold_out": ["spatial_blocks"],
    "members": 2,
    "epochs": 5,
    "hidden": [8],
    "glacier_groups": 4,
}
RGI6, RGI7 = "RGI60-99.", "RGI2000-v7.0-G-18-"


def place(centre: tuple[float, float], **options: Any) -> SyntheticOptions:
    return SyntheticOptions(glaciers=20, observed=10, first_year=2000, last_year=2011, centre=centre, **options)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", HOW_TO, flags=re.MULTILINE | re.DOTALL)


def filled(file: str, changes: dict[str, str]) -> str:
    """A template with the lines marked CHANGE changed, each text to be changed standing on one of them."""
    lines = (ROOT / file).read_text().splitlines()
    for old, new in changes.items():
        (at,) = [number for number, line in enumerate(lines) if "CHANGE" in line and old in line]
        lines[at] = lines[at].replace(old, new)
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SyntheticOptions], Path]:
    """A folder with a region's files, the template filled in, and a run file."""

    def prepare(options: SyntheticOptions) -> Path:
        folder = tmp_path_factory.mktemp("region")
        write_raw(options, folder / "data")
        changes = {"shapefile": "geoparquet", "outlines.shp": "outlines.parquet", "rgi7": "rgi6"}
        (folder / "catalog.yaml").write_text(filled("catalogs/template.yaml", changes))
        changes = {
            "../../catalogs/template.yaml": "catalog.yaml",
            "1981": "2000",
            "2020": "2011",
            "north}": f"{options.hemisphere}}}",
        }
        run = yaml.safe_load(filled("deploy/runs/template.yaml", changes))
        (folder / "run.yaml").write_text(yaml.safe_dump(run | {"train": TRAIN}))
        return folder

    return prepare


@pytest.fixture(scope="module")
def over_and_away(prepared: Callable[[SyntheticOptions], Path]) -> list[Path]:
    """Runs of one region at the antimeridian and ten degrees away from it."""
    folders = [prepared(place(centre)) for centre in (OVER, AWAY)]
    for folder in folders:
        pipeline.run(folder / "run.yaml", to=folder / "out", data=str(folder / "data"))
    return folders


def opened(folders: list[Path], store: str) -> list[xr.Dataset]:
    """A store of each, glaciers in the order of their ids."""
    found = [xr.open_zarr(folder / "out" / store).load() for folder in folders]
    return [dataset.isel(glacier=np.argsort(dataset.glacier_id.values.astype(object))) for dataset in found]


# Where a region lies


def test_glaciers_lie_on_both_sides_of_the_antimeridian_and_one_on_it(over_and_away: list[Path]) -> None:
    over, away = (gpd.read_parquet(folder / "data" / "outlines.parquet") for folder in over_and_away)
    assert over.CenLon.min() < -179.9 < 179.7 < over.CenLon.max()
    assert list(away.geom_type.unique()) == ["Polygon"]
    assert (over.geom_type == "MultiPolygon").sum() == 1


def test_a_region_on_the_antimeridian_has_the_predictors_of_one_elsewhere(over_and_away: list[Path]) -> None:
    over, away = opened(over_and_away, "features.zarr")
    for name in ("temp", "precip", "lapse_rate", "ref_height", "band_elevation", "band_area", "area_m2"):
        np.testing.assert_allclose(over[name], away[name], rtol=1e-5, atol=1e-4, err_msg=name)
    longitude = dict(zip(over.predictor.values, range(over.sizes["predictor"]), strict=True))["lon"]
    other = np.delete(np.arange(over.sizes["predictor"]), longitude)
    np.testing.assert_allclose(over.predictors[..., other], away.predictors[..., other], rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(over.predictors[..., longitude] - away.predictors[..., longitude], 9.9, atol=2e-5)
    assert provenance.nested(over.attrs["recipe"])["longitudes"] == "from 0 to 360"
    assert "longitudes" not in provenance.nested(away.attrs["recipe"])


def test_a_region_on_the_antimeridian_has_the_balance_of_one_elsewhere(over_and_away: list[Path]) -> None:
    over, away = opened(over_and_away, "smb.zarr")
    np.testing.assert_allclose(over.smb, away.smb, atol=0.1)  # kg m-2; longitude is a float32 predictor
    np.testing.assert_allclose(over.smb_std, away.smb_std, atol=0.1)
    tables = [pd.read_parquet(folder / "out" / "predictions.parquet") for folder in over_and_away]
    key = ["scheme", "model", "fold", "glacier_id", "hydro_year"]
    both = tables[0].merge(tables[1], on=key, validate="1:1")
    assert len(both) == len(tables[0]) == len(tables[1])
    away_from = (both.predicted_x - both.predicted_y).abs()
    assert away_from[both.model != "mlp"].max() < 0.1
    assert away_from.max() < 3.0


def test_rasters_on_the_antimeridian_are_those_of_elsewhere(over_and_away: list[Path], tmp_path: Path) -> None:
    options = RasterizeOptions(resolution_m=200.0, buckets=(16, 32), azimuths=4)
    for folder in over_and_away:
        rasterize(folder / "out" / "cube.zarr", to=tmp_path / folder.name, options=options)
    stores = [sorted((tmp_path / folder.name).glob("patches_*.zarr")) for folder in over_and_away]
    assert [store.name for store in stores[0]] == [store.name for store in stores[1]]
    for over, away in zip(*stores, strict=True):
        first, second = xr.open_zarr(over).load(), xr.open_zarr(away).load()
        assert list(first.glacier_id.values) == list(second.glacier_id.values)
        np.testing.assert_allclose(first.rasters, second.rasters, rtol=1e-3, atol=0.02)


def test_the_report_of_a_southern_region_names_its_months_and_draws_the_antimeridian(over_and_away: list[Path]) -> None:
    page = (over_and_away[0] / "out" / "report.html").read_text()
    assert "April to March" in page
    assert ">180°<" in page.replace("\n", "")
    assert "180° W" not in page
    assert "179.8° E" in page


def test_a_southern_region_is_its_northern_twin_half_a_year_earlier(
    prepared: Callable[[SyntheticOptions], Path], tmp_path: Path
) -> None:
    """All but the length of months and the place of climate cells is the same, if glaciers melt alike on all sides."""
    found = {}
    for lat in (-45.0, 45.0):
        options = place((170.0, lat), process=TrueProcess(aspect_effect=0.0))
        folder = prepared(options)
        years = gs.HydroYears(2000, 2011, options.hemisphere)
        ingest = gs.IngestOptions(data=str(folder / "data"))
        region = gs.Region("twin", years=years)
        cube = gs.ingest(folder / "catalog.yaml", region, to=folder / "cube.zarr", options=ingest)
        features = gs.featurize(cube, to=folder / "features.zarr").open().load()
        order = np.argsort(features.glacier_id.values.astype(object))
        found[options.hemisphere] = features.isel(glacier=order), cube.open(), synthetic.truth_seasonal(options)
    (south, southern, true_south), (north, northern, true_north) = found["south"], found["north"]

    assert str(southern.time.values[0])[:7] == "1999-04"
    assert str(northern.time.values[0])[:7] == "1999-10"
    np.testing.assert_allclose(south.temp, north.temp, atol=0.05)
    days = [cube.time.dt.days_in_month.values.reshape(12, 12) for cube in (southern, northern)]
    np.testing.assert_allclose(south.precip / days[0], north.precip / days[1], rtol=0.01)
    names = [list(dataset.predictor.values) for dataset in (south, north)]
    of_south = dict(zip(names[0], names[1], strict=True))
    assert (of_south["temp_apr"], of_south["snow_jan_anomaly"]) == ("temp_oct", "snow_jul_anomaly")
    temperature = [number for number, name in enumerate(names[0]) if name.startswith("temp_")]
    np.testing.assert_allclose(south.predictors[..., temperature], north.predictors[..., temperature], atol=0.05)
    for season, largest in {"winter": 40.0, "summer": 120.0}.items():  # kg m-2, of some 1100 and 1800
        np.testing.assert_allclose(true_south[season], true_north[season], atol=largest)
        assert np.corrcoef(true_south[season].values.ravel(), true_north[season].values.ravel())[0, 1] > 0.999


# The how-to


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The how-to followed step by step at the antimeridian, with made data instead of downloads."""
    options = place((179.95, -45.0), projection="utm")
    folder = tmp_path_factory.mktemp("how_to")
    write_raw(options, folder / "raw")
    for name in ("catalogs", "deploy"):
        (folder / name).symlink_to(ROOT / name)
    make_folder, make_terrain, check, run = blocks("bash")
    shell(make_folder, folder)

    outlines = gpd.read_parquet(folder / "raw" / "outlines.parquet")
    outlines["rgi_id"] = outlines.RGIId.str.replace(RGI6, RGI7)
    outlines = outlines.rename(columns={"CenLon": "cenlon", "CenLat": "cenlat", "Area": "area_km2"})
    outlines.drop(columns="RGIId").to_file(folder / "my_region" / "data" / "outlines.shp")
    table = pd.read_csv(folder / "raw" / "observations.csv")
    table["obs_unit_id"] = table.obs_unit_id.str.replace(RGI6, RGI7)
    table.to_csv(folder / "my_region" / "data" / "observations.csv", index=False)

    (folder / "tiles").mkdir()
    for name, west, east in (("E179", "179.65", "180"), ("W180", "-180", "-179.75")):
        tile = shlex.split(f"raw/dem.tif tiles/{name}.tif --dst-crs EPSG:4326 --res 0.0009 --resampling bilinear")
        bounds = ["--bounds", west, "-45.2", east, "-44.8", "--src-nodata", "-9999", "--dst-nodata", "-9999"]
        subprocess.run([Path(sys.executable).with_name("rio"), "warp", *tile, *bounds], cwd=folder, check=True)
    shell(make_terrain.replace("EPSG:32759", "EPSG:32760"), folder)

    climate = xr.open_zarr(folder / "raw" / "climate.zarr").load()
    half = climate.assign_coords(time=climate.time + np.timedelta64(14, "D"))
    hourly = xr.concat([climate, half], "time", data_vars="minimal", coords="minimal", compat="override")
    names = {"t2m": "2m_temperature", "tp": "total_precipitation", "z": "geopotential_at_surface"}
    hourly = hourly.sortby("time").assign(tp=hourly.tp / 24).rename(names)
    (make_climate,) = blocks("python")
    before = Path.cwd()
    os.chdir(folder)
    try:
        box = {"west": 179.2, "east": 180.8, "south": -46, "north": -44, "first": "1999-04", "last": "2011-03"}
        exec(make_climate, {"xr": xr, "hourly": hourly, **box})
        changes = {"name: template": "name: made", "title: Template": "title: Made", "region: template": "region: made"}
        Path("my_region/catalog.yaml").write_text(filled("catalogs/template.yaml", changes))
        (text,) = blocks("yaml")
        plan = yaml.safe_load(text)
        plan["region"] |= {"name": "Made", "bounds": [178.0, -47.0, -178.0, -43.0]}
        plan["region"]["years"] |= {"first": 2000, "last": 2011}
        plan["train"] |= {"members": 2, "epochs": 5, "hidden": [8], "glacier_groups": 4}
        Path("my_region/run.yaml").write_text(yaml.safe_dump(plan))
        for line in (check + run).splitlines():
            assert main(shlex.split(line, comments=True)[1:]) == 0, line
    finally:
        os.chdir(before)
    return folder


def shell(script: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True, env=os.environ | {"PATH": path})


def test_the_steps_of_the_how_to_reconstruct_a_region_of_made_data(followed: Path) -> None:
    smb = xr.open_zarr(followed / "my_region" / "out" / "smb.zarr").load()
    assert smb.sizes["glacier"] == 20
    assert (smb.set_aside == "").all()
    true = pd.read_csv(followed / "raw" / "truth.csv").pivot(index="glacier_id", columns="hydro_year", values="smb")
    ids = [str(name).replace(RGI7, RGI6) for name in smb.glacier_id.values]
    error = smb.smb.values - true.loc[ids].to_numpy()
    assert np.sqrt((error**2).mean()) < 0.4 * true.to_numpy().std()
    assert (followed / "my_region" / "out" / "report.html").is_file()


def test_tiles_of_both_sides_of_the_antimeridian_make_the_terrain_that_they_were_cut_from(followed: Path) -> None:
    import rioxarray

    with rioxarray.open_rasterio(followed / "my_region" / "data" / "dem.tif", masked=True) as made:
        with rioxarray.open_rasterio(followed / "raw" / "dem.tif") as raw:
            there = raw.isel(band=0).load()
        away = np.abs(made.isel(band=0).sel(x=there.x, y=there.y, method="nearest").values - there.values)
    assert np.isfinite(away).mean() > 0.99
    assert np.nanquantile(away, 0.95) < 60.0  # m, after two resamplings of rough relief
    assert np.nanmedian(away) < 15.0


def test_the_table_of_the_how_to_is_read(tmp_path: Path) -> None:
    (text,) = blocks("csv")
    (tmp_path / "observations.csv").write_text(text)
    table = observations.glacierscale(pd.read_csv(tmp_path / "observations.csv"), hemisphere="south")
    assert list(table.obs_kind) == ["annual", "winter", "point", "geodetic"]
    np.testing.assert_allclose(table.obs_value, [-610.0, 1420.0, -1900.0, -450.0])
    assert str(table.obs_start[0])[:10] == "2008-04-01"
    assert str(table.obs_end[1])[:10] == "2008-10-31"


def test_links_of_the_how_to_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https)([^)#]+)\)", HOW_TO):
        assert (ROOT / "docs" / target).exists(), target


REMEDIES = dict(re.findall(r"^\| (`.+?) \| (.+) \|$", HOW_TO.split("## 6.")[1], flags=re.MULTILINE))


def test_the_how_to_quotes_messages_that_exist() -> None:
    source = " ".join(file.read_text() for file in (ROOT / "glacierscale").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    fields = {"the terrain": "{what}", "the climate": "{what}", "lie in the south": "lie in the {where}"}
    fields |= {"those of the north": "those of the {region.years.hemisphere}"}
    assert len(REMEDIES) >= 10
    for told in re.findall(r"`([^`]+)`", " ".join(REMEDIES)):
        for said, written in fields.items():
            told = told.replace(said, written)
        assert told in source, told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hemisphere": "north"}, "all glaciers lie in the south, but the hydrological years are those of the north"),
        ({"last": 2012}, "its climate covers"),
        ({"outlines": "cross"}, "cross the antimeridian in one ring"),
        ({"outlines": "far"}, "glacier off the grid"),
    ],
)
def test_what_goes_wrong_is_said_as_the_how_to_quotes_it(
    over_and_away: list[Path], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    assert any(words in message for message in REMEDIES)
    shutil.copytree(over_and_away[0] / "data", tmp_path / "data")
    shutil.copy(over_and_away[0] / "catalog.yaml", tmp_path)
    outlines = gpd.read_parquet(tmp_path / "data" / "outlines.parquet")
    kind = change.pop("outlines", "")
    if kind == "cross":
        whole = gpd.GeoSeries.from_wkt(
            ["POLYGON ((-179.99 -45, 179.99 -45, 179.99 -44.99, -179.99 -44.99, -179.99 -45))"]
        )
        outlines.geometry = [whole[0], *outlines.geometry[1:]]
    elif kind == "far":
        outlines.geometry = [outlines.geometry[0].buffer(0).envelope, *outlines.geometry[1:]]
        outlines.geometry = outlines.geometry.translate(yoff=0.3)
    outlines.to_parquet(tmp_path / "data" / "outlines.parquet")
    years = gs.HydroYears(**({"first": 2000, "last": 2011, "hemisphere": "south"} | change))
    options = gs.IngestOptions(data=str(tmp_path / "data"))
    with pytest.raises(ValueError, match=re.escape(words)):
        gs.ingest(
            tmp_path / "catalog.yaml", gs.Region("wrong", years=years), to=tmp_path / "cube.zarr", options=options
        )
