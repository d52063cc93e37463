"""Raw files broken one at a time: `glacierscale ingest` ends with one message that names the entry, and code 2."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import xarray as xr
import yaml

from glacierscale.store import Store
from tests.commands import main

CATALOG = Path(__file__).resolve().parents[2] / "catalogs" / "demo.yaml"


class Raw:
    """A copy of the small range's raw files, with a catalogue beside them."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder / "raw"
        self.catalog = folder / "catalog.yaml"
        self.cube = folder / "cube.zarr"
        shutil.copytree(source, self.folder)
        shutil.copy(CATALOG, self.catalog)

    def climate(self, change: Callable[[xr.Dataset], xr.Dataset]) -> None:
        path = self.folder / "climate.zarr"
        with xr.open_zarr(path) as found:
            dataset = change(found.load())
        for name in dataset.variables:
            dataset[name].encoding = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=True)

    def outlines(self, change: Callable[[gpd.GeoDataFrame], Any]) -> None:
        table = gpd.read_parquet(self.folder / "outlines.parquet")
        table = found if (found := change(table)) is not None else table
        table.to_parquet(self.folder / "outlines.parquet", index=False)

    def table(self, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        change(pd.read_csv(self.folder / name)).to_csv(self.folder / name, index=False)

    def terrain(self, cells: slice = slice(None), **profile: Any) -> None:
        path = self.folder / "dem.tif"
        with rasterio.open(path) as raster:
            values, kept = raster.read()[:, cells], raster.profile
        kept.update(height=values.shape[1], **profile)
        with rasterio.open(path, "w", **kept) as raster:
            raster.write(values)

    def entries(self, change: Callable[[dict[str, Any]], Any]) -> None:
        content = yaml.safe_load(self.catalog.read_text())
        change(content["sources"])
        self.catalog.write_text(yaml.safe_dump(content))

    def ingest(self, first: int = 2000, last: int = 2012, *more: str) -> int:
        words = ["ingest", str(self.catalog), "--region.name", "small", "--to", str(self.cube)]
        words += ["--region.years.first", str(first), "--region.years.last", str(last)]
        return main([*words, "--options.data", str(self.folder), *more])


@pytest.fixture
def raw(small_raw: Path, tmp_path: Path) -> Raw:
    return Raw(small_raw, tmp_path)


def assigned(name: str, **attrs: Any) -> Callable[[xr.Dataset], xr.Dataset]:
    """Give a climate variable other attributes; None removes one."""

    def change(ds: xr.Dataset) -> xr.Dataset:
        kept = {key: value for key, value in {**ds[name].attrs, **attrs}.items() if value is not None}
        ds[name].attrs = kept
        return ds

    return change


def one_value(name: str, value: float) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(ds: xr.Dataset) -> xr.Dataset:
        ds[name].values[30, 2, 3] = value
        return ds

    return change


def in_calendar(calendar: str) -> Callable[[xr.Dataset], xr.Dataset]:
    """The same months, stamped at their middle in another calendar."""

    def change(ds: xr.Dataset) -> xr.Dataset:
        dates = pd.DatetimeIndex(ds.time.values)
        days = {"noleap": 365, "360_day": 360}[calendar]
        lengths = {"noleap": [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], "360_day": [30] * 12}[calendar]
        starts = np.cumsum([0, *lengths[:-1]])
        stamps = np.array([(d.year - 1990) * days + starts[d.month - 1] + 14 for d in dates])
        ds = ds.assign_coords(time=("time", stamps))
        ds.time.attrs = {"units": "days since 1990-01-01", "calendar": calendar}
        return ds

    return change


def undecodable(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.assign_coords(time=("time", np.arange(ds.sizes["time"])))
    ds.time.attrs = {"units": "days since 1999-01-01", "calendar": "martian"}
    return ds


def undated(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign_coords(time=("time", np.arange(ds.sizes["time"])))


def swapped(ds: xr.Dataset) -> xr.Dataset:
    return ds.rename(latitude="longitude", longitude="latitude")


def moved(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Shift one glacier a degree to the east."""
    table.loc[3, "geometry"] = shapely.transform(table.geometry[3], lambda xy: np.add(xy, [1.0, 0.0]))
    return table


def emptied(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    table.loc[3, "geometry"] = shapely.Polygon()
    return table


def twice(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    table.loc[3, "RGIId"] = table.RGIId[2]
    return table


def flipped(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return table.set_geometry(
        gpd.GeoSeries(shapely.transform(table.geometry.to_numpy(), lambda xy: xy[:, ::-1]))
    ).set_crs(4326)


CLIMATE = {
    "a unit missing": (assigned("t2m", units=None), r"t2m.*unit"),
    "an unknown unit": (assigned("tp", units="bananas"), r"tp.*bananas"),
    "a unit of another quantity": (assigned("t2m", units="m"), r"t2m.*'m'"),
    "an undecodable calendar": (undecodable, r"martian"),
    "stamps that are no dates": (undated, r"time is not decoded.*CF units"),
    "latitude and longitude swapped": (swapped, r"latitude.*swapped"),
    "a precipitation missing": (lambda ds: ds.drop_vars("tp"), r"no precipitation found: expected one of tp"),
    "a grid that ends before the glaciers": (
        lambda ds: ds.isel(latitude=slice(0, 4)), r"RGI60-99\.\d+.* outside the climate of entry 'climate'"
    ),
    "a month missing": (lambda ds: ds.isel(time=np.r_[0:40, 41:168]), r"missing months 2002-05 between"),
    "a month twice": (lambda ds: ds.isel(time=np.r_[0:41, 40:168]), r"duplicated months 2002-05; expected one stamp"),
    "a hole in one cell": (one_value("t2m", np.nan), r"t2m has 1 missing values \(NaN\)"),
    "-9999": (one_value("t2m", -9999.0), r"t2m holds 1 undeclared missing values \(-9999 or the like\).*_FillValue"),
    "1e20": (one_value("tp", 1e20), r"tp holds 1 undeclared missing values \(inf or 1e20\)"),
    "inf": (one_value("tp", np.inf), r"tp holds 1 undeclared missing values \(inf or 1e20\)"),
    "unscaled integers": (
        lambda ds: ds.assign(t2m=(ds.t2m * 100).astype("int32").assign_attrs(units="K")), r"t2m holds unscaled int"
    ),
    "degrees taken for kelvin": (
        lambda ds: ds.assign(t2m=(ds.t2m - 273.15).assign_attrs(units="K")), r"t2m runs from -2\d\d.*expected -90 to 60"
    ),
}  # fmt: skip
OUTLINES = {
    "metres where degrees stand": (lambda t: t.set_crs(32632, allow_override=True), r"look like degrees.*UTM zone 32N"),
    "no CRS": (lambda t: t.set_crs(None, allow_override=True), r"outlines have no CRS"),
    "latitude before longitude": (flipped, r"swapped"),
    "a glacier off the terrain": (moved, r"glacier off the grid: RGI60-99.00004 reach outside the terrain"),
    "an identifier twice": (twice, r"duplicated glacier ids: RGI60-99.00003"),
    "an empty polygon": (emptied, r"empty outlines: RGI60-99.00004"),
    "no glacier": (lambda t: t.iloc[:0], r"holds no glacier"),
    "no identifiers": (lambda t: t.drop(columns="RGIId"), r"no identifier column.*RGIId"),
}
OBSERVED = {
    "no unit": (lambda t: t.drop(columns="units"), r"observations state no unit"),
    "an unknown unit": (lambda t: t.assign(units="bananas"), r"obs_value.*bananas"),
    "-9999": (lambda t: t.assign(obs_value=t.obs_value.where(t.index != 5, -9999.0)), r"-9999"),
    "a row twice": (lambda t: pd.concat([t, t.iloc[[5]]]), r"duplicated observations"),
    "metres taken for mm": (lambda t: t.assign(obs_value=t.obs_value / 1000), r"wrong unit, m w.e. taken for kg m-2"),
    "an unknown kind": (lambda t: t.assign(obs_kind="autumn"), r"obs_kind is not one of annual, winter"),
    "a column missing": (lambda t: t.drop(columns="obs_year"), r"observations lack obs_year"),
}


def refused(raw: Raw, message: str, capsys: pytest.CaptureFixture[str], entry: str = "", *more: str) -> None:
    """Ingest ends with code 2, one message, no traceback, and leaves no store behind."""
    capsys.readouterr()
    assert raw.ingest(2000, 2012, *more) == 2
    said = capsys.readouterr().err
    assert re.search(message, said, re.DOTALL), said
    assert "Traceback" not in said
    assert said.count("glacierscale: ") == 1
    assert not entry or f"{entry!r}" in said or f"entry {entry}" in said, said
    assert not raw.cube.exists()


@pytest.mark.parametrize("fault", CLIMATE)
def test_broken_climate_is_refused_naming_its_entry(fault: str, raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = CLIMATE[fault]
    raw.climate(change)
    refused(raw, message, capsys, "climate")


@pytest.mark.parametrize("fault", OUTLINES)
def test_broken_outlines_are_refused_naming_their_entry(
    fault: str, raw: Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = OUTLINES[fault]
    raw.outlines(change)
    refused(raw, message, capsys, "outlines")


@pytest.mark.parametrize("fault", OBSERVED)
def test_broken_observations_are_refused_naming_their_entry(
    fault: str, raw: Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = OBSERVED[fault]
    raw.table("observations.csv", change)
    refused(raw, message, capsys, "observations")


def test_a_terrain_in_the_wrong_projection_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.terrain(crs="EPSG:32632")
    refused(raw, r"RGI60-99\.\d+.* reach outside the terrain", capsys, "outlines")


def test_a_terrain_without_projection_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.terrain(crs=None)
    refused(raw, r"has no CRS", capsys, "dem")


def test_a_terrain_that_ends_inside_a_glacier_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.terrain(cells=slice(0, 100))
    refused(raw, r"glacier off the grid: RGI60-99\.\d+.* outside the terrain", capsys, "outlines")


def test_a_file_that_is_not_there_is_named(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    (raw.folder / "dem.tif").unlink()
    refused(raw, r"dem\.tif", capsys, "dem")


def test_a_file_of_another_kind_is_refused_naming_its_entry(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    (raw.folder / "outlines.parquet").write_text("no parquet")
    refused(raw, r"outlines\.parquet cannot be read .*geoparquet opens", capsys, "outlines")


def test_a_cut_off_raster_is_refused_naming_its_entry(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    path = raw.folder / "dem.tif"
    path.write_bytes(path.read_bytes()[:5000])
    refused(raw, r"[Rr]ead", capsys, "dem")


def test_a_catalogue_without_terrain_and_without_inventory_is_refused(
    raw: Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    def drop(sources: Any) -> None:
        for name in [n for n, one in sources.items() if one["metadata"]["role"] in ("terrain", "inventory")]:
            del sources[name]

    raw.entries(drop)
    refused(raw, r"has neither an entry of role terrain nor an inventory; add one of them", capsys)


def test_a_catalogue_without_climate_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.entries(lambda sources: sources.pop("climate"))
    refused(raw, r"offers climate of no data set.*option `climate`", capsys)


def test_a_data_set_that_the_catalogue_lacks_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        raw,
        r"climate of \['era5_like', 'stable', 'warming'\]; asked for histalp",
        capsys,
        "",
        "--options.climate",
        "histalp",
    )


def test_a_convention_nobody_reads_is_refused_naming_its_entry(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.entries(lambda sources: sources["climate"]["metadata"].update(convention="mars"))
    refused(raw, r"unknown climate convention 'mars'; expected one of histalp", capsys, "climate")


def test_a_catalogue_that_is_not_there_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.catalog.unlink()
    refused(raw, r"catalog\.yaml", capsys)


def test_years_outside_the_climate_are_refused_with_the_months(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    for first, last, needed in ((1999, 2012, "1998-10 to 2012-09"), (2000, 2013, "1999-10 to 2013-09")):
        assert raw.ingest(first, last) == 2
        said = capsys.readouterr().err
        assert "entry 'climate': its climate covers 1999-01 to 2012-12" in said
        assert f"need {needed}" in said
    assert raw.ingest(2012, 2000) == 2
    assert "2012..2000 are not a span" in capsys.readouterr().err


def test_bounds_without_a_glacier_are_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    refused(raw, r"no glacier .* bounds", capsys, "", "--region.bounds", "[20, 40, 21, 41]")


def test_years_of_the_other_hemisphere_are_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        raw, r"all glaciers lie in the north, .* those of the south", capsys, "", "--region.years.hemisphere", "south"
    )


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_climate_in_other_calendars_is_read_month_by_month_with_their_lengths(
    calendar: str, raw: Raw, small_run: Path
) -> None:
    raw.climate(in_calendar(calendar))
    assert raw.ingest() == 0
    found, plain = Store.at(raw.cube).open(), Store.at(small_run / "cube.zarr").open()
    np.testing.assert_array_equal(found.time, plain.time)
    np.testing.assert_array_equal(found.temp, plain.temp)
    days = found.time.dt.days_in_month
    theirs = xr.where(days == 29, 28, days) if calendar == "noleap" else xr.full_like(days, 30)
    assert (days != theirs).any()
    np.testing.assert_allclose(found.precip, plain.precip * (theirs / days), rtol=1e-5)


def test_a_bow_tie_is_repaired(raw: Raw) -> None:
    x, y = gpd.read_parquet(raw.folder / "outlines.parquet").geometry[3].centroid.coords[0]
    tie = shapely.Polygon([(x, y), (x + 0.01, y + 0.01), (x + 0.01, y), (x, y + 0.01)])
    assert not tie.is_valid

    def broken(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        table.loc[3, "geometry"] = tie
        return table

    raw.outlines(broken)
    assert raw.ingest() == 0
    cube = Store.at(raw.cube).open()
    at = int(np.flatnonzero(cube.glacier_id.values == "RGI60-99.00004")[0])
    whole = gpd.GeoSeries([tie.buffer(0)], crs=4326).to_crs(3035).area[0]
    both = gpd.GeoSeries([shapely.make_valid(tie)], crs=4326).to_crs(3035).area[0]
    assert float(cube.area_m2[at]) == pytest.approx(both, rel=2e-3)
    assert both >= whole > 0


def test_too_few_observations_for_a_fold_name_the_scheme_and_the_count(
    raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def few(table: pd.DataFrame) -> pd.DataFrame:
        annual = table[table.obs_kind == "annual"]
        return pd.concat([rows.head(6) for _, rows in annual.groupby("obs_unit_id")][:2])

    raw.table("observations.csv", few)
    assert raw.ingest() == 0
    assert main(["featurize", str(raw.cube), "--to", str(tmp_path / "features.zarr")]) == 0
    words = ["train", str(tmp_path / "features.zarr"), "--to", str(tmp_path / "model")]
    assert main([*words, "--options.hold_out", '["loyo", "logo"]']) == 2
    said = capsys.readouterr().err
    assert re.search(r"too few observations for a fold: logo without RGI60-99\.\d+ leaves 6 rows.*at least 10", said)
    assert not (tmp_path / "model" / "model.json").exists()


def test_a_table_without_observations_is_told_at_training(
    raw: Raw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.table("observations.csv", lambda table: table.iloc[:0])
    assert raw.ingest() == 0
    assert main(["featurize", str(raw.cube), "--to", str(tmp_path / "features.zarr")]) == 0
    assert main(["train", str(tmp_path / "features.zarr"), "--to", str(tmp_path / "model")]) == 2
    assert re.search(r"observ", capsys.readouterr().err)


def test_a_subregion_without_glaciers_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    message = r"Ubaye has no glacier in the region; expected some of .*Correct `subregions`"
    refused(raw, message, capsys, "", "--options.subregions", '["Ubaye"]')


def test_an_inventory_that_names_a_glacier_twice_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.table("inventories.csv", lambda t: pd.concat([t, t.iloc[[3]]]))
    refused(raw, r"in the inventory twice, such as RGI60-99\.\d+ in \d+; keep one row", capsys)


def test_inventories_that_disagree_by_more_than_a_glacier_are_refused(
    raw: Raw, capsys: pytest.CaptureFixture[str]
) -> None:
    raw.table("inventories.csv", lambda t: t.assign(area_m2=t.area_m2 * np.where(t.index == len(t) - 1, 100, 1)))
    refused(raw, r"the inventories disagree by more than the glacier's size at 1 glaciers", capsys)


def test_months_after_the_climate_are_refused_or_a_climatology(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    raw.climate(lambda ds: ds.isel(time=slice(0, -12)))
    end = int(str(last_month(raw))[:4])
    assert raw.ingest(2000, end + 1) == 2
    assert f"years after {end} can be filled with means (climate_end: climatology)" in capsys.readouterr().err
    raw.table("observations.csv", lambda t: t.assign(obs_year=t.obs_year.where(t.index != 0, end + 1)))
    assert raw.ingest(2000, end + 1, "--options.climate_end", "climatology") == 0
    cube = Store.at(raw.cube).open()
    assert cube.attrs["last_year_with_climate"] == end
    assert "the climate ends there; catalogue a longer one to use them" in cube.attrs["observations_left_out"]
    assert cube.sizes["time"] == 12 * (end + 2 - 2000)
    with xr.open_zarr(raw.folder / "climate.zarr") as found:
        means = found.t2m.groupby("time.month").mean().values[:9] - 273.15  # of all its years, fewer than 30
    filled = cube.temp.isel(time=slice(-9, None)).values  # its last months are October to December
    assert np.abs(np.sort(filled, axis=None) - np.sort(means, axis=None)).max() < 1e-3


def last_month(raw: Raw) -> np.datetime64:
    with xr.open_zarr(raw.folder / "climate.zarr") as found:
        return np.asarray(found.time.values, "datetime64[M]")[-1]


def test_a_geodetic_error_of_zero_is_refused(raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    def zero(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(obs_kind="geodetic", obs_sigma=0.0, obs_start="2001-10-01", obs_end="2006-09-30").iloc[:1]

    raw.table("observations.csv", zero)
    refused(raw, r"obs_sigma is not positive; leave it empty for the default", capsys)


def test_a_catalogue_without_terrain_takes_the_inventories(raw: Raw) -> None:
    from glacierscale.features.tensors import featurize

    raw.entries(lambda entries: [entries.pop(n) for n in list(entries) if entries[n]["metadata"]["role"] == "terrain"])
    elevations = {"min_elevation": lambda t: t.mean_elevation - 250.0, "aspect": 90.0}
    raw.table("inventories.csv", lambda t: t.assign(**elevations))
    assert raw.ingest() == 0
    cube = Store.at(raw.cube).open()
    assert ("elevation" in cube, cube.sizes["x"], cube.sizes["y"]) == (False, 0, 0)
    features = featurize(raw.cube, to=raw.folder / "features.zarr").open()
    known = np.isfinite(cube.inventory_mean_elevation.values).any(axis=1)
    np.testing.assert_array_equal(np.array(features.set_aside.values.tolist()) == "", known)
    mean = (features.band_elevation * features.band_area).sum("band") / features.band_area.sum("band")
    stated = np.nanmean(cube.inventory_mean_elevation.values[known], axis=1)
    np.testing.assert_allclose(mean.values[known], stated, atol=15)
    sin = features.predictors.values[known][:, :, np.array(features.predictor.values.tolist()) == "sin_aspect"]
    np.testing.assert_allclose(sin, 1.0, atol=1e-6)
