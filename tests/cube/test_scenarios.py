"""Runs of climate models enter the cube beside the climate, on the months of all; what is not one run is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import glacierscale as gs
from glacierscale.cube import IngestOptions
from glacierscale.cube.scenarios import side_by_side

CATALOGS = Path(__file__).resolve().parents[2] / "catalogs"
OPTIONAL = ("scenario", "scenario_time", "scenario_lat", "scenario_lon", "scenario_temp", "scenario_precip")


class Range:
    """The small range's raw files with runs of climate models beside them."""

    def __init__(self, raw: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(raw, folder / "raw")
        self.content = yaml.safe_load((CATALOGS / "demo.yaml").read_text())
        with xr.open_zarr(folder / "raw" / "climate.zarr") as found:
            self.lat, self.lon = float(found.latitude.mean()), float(found.longitude.mean())

    def run(
        self, name: str, first: int, last: int, cells: int = 4, calendar: str = "standard", **metadata: Any
    ) -> None:
        """A run on a grid of 1 degree around the range, its precipitation 1e-5 kg m-2 s-1, as two entries."""
        stamps = [cftime.datetime(y, m, 15, calendar=calendar) for y in range(first, last + 1) for m in range(1, 13)]
        axis = np.arange(cells) - (cells - 1) / 2
        for variable, unit, value in (("tas", "K", 270.0), ("pr", "kg m-2 s-1", 1e-5)):
            values = value * np.ones((len(stamps), cells, cells), np.float32)
            values *= 1 + 1e-4 * np.arange(cells)[:, None] + (1e-3 * np.arange(cells))
            ds = xr.Dataset(
                {variable: (("time", "lat", "lon"), values, {"units": unit})},
                coords={"time": stamps, "lat": self.lat + axis, "lon": (self.lon + axis) % 360},
            )
            ds.time.encoding = {"units": f"days since {first}-01-01"}
            ds.to_netcdf(self.folder / "raw" / f"{name}_{variable}.nc")
            self.content["sources"][f"{name}_{variable}"] = {
                "driver": "netcdf",
                "args": {"urlpath": f"{{{{ data }}}}/{name}_{variable}.nc"},
                "metadata": {"role": "climate", "dataset": name, "convention": "cmip6", "license": "x", "citation": "x"}
                | metadata,
            }

    def ingest(self, *scenarios: str, climate: str = "era5_like") -> gs.Store:
        catalog = self.folder / "catalog.yaml"
        catalog.write_text(yaml.safe_dump(self.content, sort_keys=False))
        region = gs.Region("small", years=gs.HydroYears(2000, 2012))
        options = IngestOptions(data=str(self.folder / "raw"), climate=climate, scenarios=scenarios)
        return gs.ingest(catalog, region, to=self.folder / "cube.zarr", options=options)


@pytest.fixture
def small(small_raw: Path, tmp_path: Path) -> Range:
    return Range(small_raw, tmp_path)


def test_runs_of_different_months_and_grids_lie_side_by_side(small: Range) -> None:
    small.run("dry", 1990, 2020, scenario="ssp126", calendar="noleap")
    small.run("wet", 2005, 2030, cells=2, calendar="360_day")
    cube = small.ingest("wet", "dry").open()
    assert cube.scenario.values.tolist() == ["wet", "ssp126"]
    months = np.arange("1990-01", "2031-01", dtype="datetime64[M]").astype("datetime64[ns]")
    np.testing.assert_array_equal(cube.scenario_time, months)
    cells = np.isfinite(cube.scenario_lon.values).sum(axis=1)
    assert cells[0] == 4
    assert 4 < cells[1] <= 16
    assert cube.sizes["scenario_cell"] == cells[1]
    known = np.isfinite(cube.scenario_temp.values)
    np.testing.assert_array_equal(known, np.isfinite(cube.scenario_precip.values))
    assert known[0, :4, 15 * 12 :].all()
    assert known[1, :, : 31 * 12].all()
    assert known.sum() == 4 * 26 * 12 + cells[1] * 31 * 12
    february = cube.scenario_precip.sel(scenario_time="2008-02-01").values
    assert february[0, 0] == pytest.approx(1e-5 * 86400 * 30, rel=1e-5)
    assert february[1, 0] / 28 == pytest.approx(1e-5 * 86400, rel=1e-2)


def test_values_are_those_of_their_cells(small: Range) -> None:
    small.run("run", 1990, 2020)
    cube = small.ingest("run").open()
    lat = np.round(cube.scenario_lat.values[0] - small.lat + 1.5)
    lon = np.round(cube.scenario_lon.values[0] - small.lon + 1.5)
    expected = 270 * (1 + 1e-4 * lat + 1e-3 * lon) - 273.15
    np.testing.assert_allclose(cube.scenario_temp.values[0, :, 5], expected, atol=1e-3)
    assert cube.scenario_temp.attrs["units"] == "degC"
    assert cube.scenario_precip.attrs["units"] == "kg m-2"


def test_a_cube_without_scenarios_has_none_and_another_one_is_no_rerun(small: Range) -> None:
    small.run("run", 1990, 2020)
    cube = small.ingest().open()
    assert not [name for name in OPTIONAL if name in cube.variables]
    with pytest.raises(ValueError, match="scenarios"):
        small.ingest("run")


def test_files_of_scenarios_are_part_of_the_stamp(small: Range) -> None:
    small.run("run", 1990, 2020)
    store = small.ingest("run")
    inputs = store.stamp.inputs
    assert {"run_tas", "run_pr"} <= set(inputs)
    small.ingest("run")  # nothing to do
    small.run("run", 1990, 2021)
    with pytest.raises(ValueError, match="run_tas"):
        small.ingest("run")


def test_unknown_scenarios_are_refused_with_what_there_is(small: Range) -> None:
    small.run("run", 1990, 2020)
    there = r"\['era5_like', 'run', 'stable', 'warming'\]"
    message = rf"offers climate of {there}; asked for the scenarios rcp26\. Correct the option `scenarios`"
    with pytest.raises(ValueError, match=message):
        small.ingest("rcp26")


def test_a_data_set_of_two_scenarios_is_refused(small: Range) -> None:
    small.run("run", 1990, 2020, scenario="ssp126")
    small.content["sources"]["run_pr"]["metadata"]["scenario"] = "ssp585"
    with pytest.raises(ValueError, match=r"entry 'run_tas': the data set 'run' holds the scenarios ssp126, ssp585"):
        small.ingest("run")


def test_two_data_sets_of_one_name_are_refused(small: Range) -> None:
    small.run("one", 1990, 2020, scenario="ssp126")
    small.run("two", 1990, 2020, scenario="ssp126")
    with pytest.raises(ValueError, match=r"entry 'two_tas': the data set 'two' is the scenario 'ssp126', as another"):
        small.ingest("one", "two")


def test_a_data_set_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="scenarios names run twice"):
        IngestOptions(scenarios=("run", "run"))


def test_a_fault_of_a_run_names_its_entry(small: Range) -> None:
    small.run("run", 1990, 2020)
    del small.content["sources"]["run_pr"]
    with pytest.raises(ValueError, match=r"entry 'run_tas': no precipitation found: expected one of pr"):
        small.ingest("run")
    small.lat -= 30
    small.run("run", 1990, 2020)
    with pytest.raises(ValueError, match=r"entry 'run_tas': tas has cells at latitude .* none near the glaciers"):
        small.ingest("run")


def test_cells_without_data_are_left_out() -> None:
    shape = (24, 2, 2)
    temp = np.zeros(shape, np.float32)
    temp[:, 0, 1] = np.nan
    run = xr.Dataset(
        {"temp": (("time", "clim_lat", "clim_lon"), temp), "precip": (("time", "clim_lat", "clim_lon"), temp + 1)},
        coords={
            "time": pd.date_range("2000-01-01", periods=24, freq="MS"),
            "clim_lat": [60.0, 61.0],
            "clim_lon": [179.5, 180.5],
        },
    )
    cube = side_by_side({"run": run})
    np.testing.assert_array_equal(cube.scenario_lat.values, [[60.0, 61.0, 61.0]])
    np.testing.assert_array_equal(cube.scenario_lon.values, [[179.5, 179.5, -179.5]])
    assert np.isfinite(cube.scenario_temp.values).all()


def test_the_oetztal_has_its_scenario(shared: Path, tmp_path: Path) -> None:
    region = gs.Region("oetztal", years=gs.HydroYears(2010, 2014))
    options = IngestOptions(data=str(shared / "data"), climate="histalp", scenarios=("cmip5",))
    cube = gs.ingest(CATALOGS / "oetztal.yaml", region, to=tmp_path / "cube.zarr", options=options).open()
    assert cube.scenario.values.tolist() == ["rcp26"]
    assert cube.scenario_temp.shape == (1, 1, 2772)
    assert (float(cube.scenario_lat[0, 0]), float(cube.scenario_lon[0, 0])) == (46.25, 11.25)
    raw = xr.open_dataset(shared / "data/oetztal/cmip5/tas_mon_CCSM4_rcp26_r1i1p1_g025.nc")
    np.testing.assert_allclose(cube.scenario_temp[0, 0], raw.tas[:, 0, 0] - 273.15, atol=1e-4)


def test_the_climate_need_not_be_named_beside_futures(small: Range) -> None:
    unnamed = small.ingest("stable", climate="").open().load()
    assert unnamed.scenario.values.tolist() == ["stable"]
    shutil.rmtree(small.folder / "cube.zarr")
    named = small.ingest("stable").open()
    xr.testing.assert_equal(unnamed[["temp", "precip", "scenario_temp"]], named[["temp", "precip", "scenario_temp"]])


def test_a_second_climate_that_is_no_future_has_to_be_named(small: Range) -> None:
    small.run("run", 1990, 2020)
    with pytest.raises(
        ValueError, match=r"offers climate of \['era5_like', 'run'\]; asked for the only one\. Name one"
    ):
        small.ingest(climate="")
