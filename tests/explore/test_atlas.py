from __future__ import annotations

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.evolution import totals
from glacierscale.exploration.atlas import Atlas, open_atlas
from glacierscale.reporting.summary import regional_series
from glacierscale.store import Store
from tests.explore import scale

Z90 = 1.6448536


@pytest.fixture(scope="module")
def atlas(small_folder: str) -> Atlas:
    return open_atlas(small_folder)


@pytest.fixture(scope="module")
def smb(small_folder: str) -> xr.Dataset:
    return Store.at(f"{small_folder}/smb.zarr").open().load()


@pytest.fixture(scope="module")
def ice(small_folder: str) -> xr.Dataset:
    return Store.at(f"{small_folder}/ice.zarr").open().load()


def test_values_of_a_balance_are_those_stored_in_metres_of_water(atlas: Atlas, smb: xr.Dataset) -> None:
    def close(found: Any, stored: Any) -> None:
        np.testing.assert_allclose(found, stored / 1000, rtol=2e-5, atol=1e-6)

    close(atlas.values("smb_mean"), smb.smb.mean("hydro_year"))
    close(atlas.values("smb", year=1995), smb.smb.values[:, 4])
    close(atlas.values("smb"), smb.smb.values[:, -1])
    close(atlas.values("smb", year=1995, member=7), smb.smb_member.values[7, :, 4])
    close(atlas.values("smb_mean", member=0), smb.smb_member[0].mean("hydro_year"))
    close(atlas.values("smb_cumulative", year=1993), smb.smb.values[:, :3].sum(1))
    close(atlas.values("smb_std"), smb.smb_std.mean("hydro_year"))
    assert np.isnan(atlas.values("smb")).nonzero()[0].tolist() == [3]  # set aside


def test_values_of_the_future_are_means_of_the_members_of_a_scenario(atlas: Atlas, ice: xr.Dataset) -> None:
    worst = ice.isel(member=ice.scenario.values == "ssp585")
    at = int(np.flatnonzero(scale.FUTURE == 2030)[0])
    volume, area = (worst[name].values.mean(0)[:, at] for name in ("volume", "area"))
    asked: dict[str, Any] = {"year": 2030, "scenario": "ssp585"}
    np.testing.assert_allclose(atlas.values("volume", **asked), volume / 1e9, rtol=1e-5)
    np.testing.assert_allclose(atlas.values("area", **asked), area / 1e6, rtol=1e-5)
    each = worst.volume.values[:, :, at] / worst.area.values[:, :, at]
    np.testing.assert_allclose(atlas.values("thickness", **asked), each.mean(0), rtol=1e-5)
    first = worst.volume.values.mean(0)[:, 0]
    np.testing.assert_allclose(atlas.values("volume_left", **asked), 100 * volume / first, rtol=1e-5)
    np.testing.assert_allclose(atlas.values("runoff", **asked), worst.runoff.values.mean(0)[:, at] / 1e9, rtol=1e-5)
    one = worst.volume.values[4, :, at] / 1e9
    np.testing.assert_allclose(atlas.values("volume", member=4, **asked), one, rtol=1e-5)
    start = ice.isel(member=ice.scenario.values == "ssp126").volume.values.mean(0)[:, -1]
    np.testing.assert_allclose(atlas.values("volume"), start / 1e9, rtol=1e-5)  # first scenario, last year


def test_a_glacier_is_gone_in_the_median_year_of_its_members_or_not(atlas: Atlas, ice: xr.Dataset) -> None:
    gone = ice.year_gone.values[ice.scenario.values == "ssp585"].astype(float)
    median = np.sort(np.where(gone > 0, gone, np.inf), axis=0)[scale.MEMBERS // 2]
    expected = np.where(np.isfinite(median), median, np.nan)
    assert 0 < np.isfinite(expected).sum() < 12
    np.testing.assert_array_equal(atlas.values("year_gone", scenario="ssp585"), expected)
    assert np.isnan(atlas.values("year_gone", scenario="ssp126")).all()


def test_what_is_not_there_is_refused_by_naming_what_is(atlas: Atlas) -> None:
    for asked, told in (
        ({"name": "snow"}, "there is no quantity 'snow'; there are smb_mean, smb, "),
        ({"name": "smb", "year": 2050}, "no year of smb 2050; there are 1991 to 2020"),
        ({"name": "area", "scenario": "rcp85"}, "no scenario of area 'rcp85'; there are ssp126, ssp245, ssp585"),
        ({"name": "smb", "member": 10}, "no member of smb 10; there are 0, 1, "),
        ({"name": "smb_mean", "year": 2000}, "no year of smb_mean 2000; there are none"),
    ):
        with pytest.raises(ValueError, match=told):
            atlas.values(**asked)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no glacier in row 12; rows go from 0 to 11"):
        atlas.balance(12)
    with pytest.raises(ValueError, match="there is no course 'smb'; there are volume, "):
        atlas.evolution(0, "smb")
    with pytest.raises(ValueError, match="there is no raster 'smb_map'; there are none"):
        atlas.raster(0, "smb_map")


def test_quantities_speak_in_words_and_in_units_that_people_read(atlas: Atlas) -> None:
    told = {quantity.name: (quantity.label, quantity.units) for quantity in atlas.quantities}
    assert told["smb_mean"] == ("Mean balance, 1991–2020", "m w.e. per year")
    assert told["smb"] == ("Balance of a year", "m w.e.")
    assert told["smb_cumulative"] == ("Sum of the balance since 1991", "m w.e.")
    assert told["volume_left"] == ("Volume left of that of 2003", "%")
    assert told["volume"][1], told["area_km2"][1] == ("km3", "km2")
    yearly = next(quantity for quantity in atlas.quantities if quantity.name == "area")
    assert (yearly.years[0], yearly.years[-1], yearly.scenarios) == (2003, 2100, tuple(scale.SCENARIOS))
    assert yearly.members == tuple(range(10))
    assert [quantity.name for quantity in atlas.quantities if quantity.diverging] == [
        "smb_mean",
        "smb",
        "smb_cumulative",
        "future_smb",
    ]


def test_progress_is_told_while_a_store_is_read_and_not_again(atlas: Atlas, small_folder: str) -> None:
    fresh, told = open_atlas(small_folder), []
    fresh.values("thickness", progress=told.append)
    assert told == pytest.approx([1 / 3, 2 / 3, 1.0])  # three blocks
    fresh.values("volume", progress=told.append)
    told.clear()
    fresh.values("thickness", year=2050, scenario="ssp585", progress=told.append)
    fresh.values("volume_left", progress=told.append)
    assert told == []


def test_what_many_ask_at_the_same_time_is_read_once(small_folder: str) -> None:
    fresh, told = open_atlas(small_folder), [[] for _ in range(8)]  # type: ignore[var-annotated]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda mine: fresh.values("volume", progress=mine.append), told))
    assert sorted(map(len, told)) == [0] * 7 + [3]
    for values in found[1:]:
        np.testing.assert_array_equal(values, found[0])


def test_who_asks_gets_values_alone_and_neither_keeps_nor_changes_the_table(atlas: Atlas) -> None:
    for name in ("smb", "smb_mean", "smb_cumulative", "volume", "volume_left", "thickness", "year_gone"):
        before = atlas.values(name)
        found = atlas.values(name)
        assert found.base is None or found.base.nbytes <= 2 * found.nbytes
        found[:] = -1
        np.testing.assert_array_equal(atlas.values(name), before)


def test_a_map_of_the_future_tells_what_the_series_of_its_glaciers_tell(atlas: Atlas) -> None:
    for course in atlas.courses:
        if course.name == "sea_level":  # of all together
            continue
        for year in (2003, 2030, 2060, 2100):
            values = atlas.values(course.name, year=year, scenario="ssp585")
            for row in (0, 3, 5):  # one that stays, one that was set aside, one that goes
                series = atlas.evolution(row, course.name, ["ssp585"]).set_index("hydro_year")["mean"]
                np.testing.assert_allclose(values[row], series[year], rtol=1e-5, err_msg=f"{course.name} {year} {row}")


def test_members_without_ice_have_no_part_in_balance_and_thickness(atlas: Atlas, ice: xr.Dataset) -> None:
    worst = ice.isel(member=ice.scenario.values == "ssp585", glacier=5)
    gone = int(worst.year_gone.values[worst.year_gone.values > 0].max())
    some = int(worst.year_gone.values[worst.year_gone.values > 0].min())
    for name in ("future_smb", "thickness"):
        alone = atlas.evolution(5, name, ["ssp585"]).set_index("hydro_year")
        together = atlas.region(name, glaciers=[5], scenarios=["ssp585"]).set_index("hydro_year")
        assert alone["mean"].loc[gone + 1 :].isna().all()
        assert np.isfinite(alone["mean"].loc[:some]).all()
        np.testing.assert_allclose(alone["mean"], together["mean"], rtol=1e-5)
    at = int(np.flatnonzero(some + 1 == scale.FUTURE)[0])
    there = worst.area.values[:, at - 1] > 0
    assert 0 < there.sum() < scale.MEMBERS
    balance = atlas.evolution(5, "future_smb", ["ssp585"])["mean"][at]
    assert balance == pytest.approx(worst.smb.values[there, at].mean() / 1000, rel=1e-5)


def test_the_balance_of_a_glacier_has_the_interval_and_the_sum_of_the_report(atlas: Atlas, smb: xr.Dataset) -> None:
    table, own = atlas.balance(5), smb.isel(glacier=5)
    mean, std, members = (own[name].values.astype(float) / 1000 for name in ("smb", "smb_std", "smb_member"))
    assert list(table) == ["hydro_year", "smb", "low", "high", "cumulative", "cumulative_low", "cumulative_high"]
    assert table.hydro_year.tolist() == scale.YEARS.tolist()
    np.testing.assert_allclose(table.smb, mean)
    np.testing.assert_allclose(table.high - table.smb, Z90 * std, rtol=1e-5)
    residual = np.clip(std**2 - members.var(0), 0, None)
    lasting = float(own.lasting_share)
    assert lasting > 0
    noise = (1 - lasting) * residual.cumsum() + lasting * np.sqrt(residual).cumsum() ** 2
    total = np.sqrt(members.cumsum(1).var(0) + noise)
    np.testing.assert_allclose(table.cumulative, mean.cumsum(), rtol=1e-5)
    np.testing.assert_allclose(table.cumulative_high - table.cumulative, Z90 * total, rtol=1e-4)


def test_a_member_is_told_with_its_own_noise_alone(atlas: Atlas, smb: xr.Dataset) -> None:
    table = atlas.balance(5, member=9)
    np.testing.assert_allclose(table.smb, smb.smb_member.values[9, 5] / 1000, rtol=1e-5)
    np.testing.assert_allclose((table.high - table.low) / 2, Z90 * scale.RESIDUAL / 1000, rtol=1e-3)
    years = np.arange(1, len(table) + 1)
    lasting = float(smb.lasting_share[5])
    wide = Z90 * scale.RESIDUAL / 1000 * np.sqrt((1 - lasting) * years + lasting * years**2)
    np.testing.assert_allclose(table.cumulative_high - table.cumulative, wide, rtol=1e-3)


def test_a_glacier_that_was_set_aside_has_series_of_nothing(atlas: Atlas) -> None:
    assert atlas.balance(3).drop(columns="hydro_year").isna().all(axis=None)
    future = atlas.evolution(3, "volume")
    assert len(future) == 3 * 98
    assert future[["mean", "low", "high"]].isna().all(axis=None)


def test_the_evolution_of_a_glacier_is_the_mean_and_the_band_of_each_scenario(atlas: Atlas, ice: xr.Dataset) -> None:
    table = atlas.evolution(6, "volume", ["ssp245"])
    own = ice.volume.values[ice.scenario.values == "ssp245", 6] / 1e9
    assert set(table.scenario) == {"ssp245"}
    np.testing.assert_allclose(table["mean"], own.mean(0))
    np.testing.assert_allclose(table[["low", "high"]].T, np.percentile(own, [5, 95], axis=0))
    left = atlas.evolution(6, "volume_left", ["ssp245"])
    np.testing.assert_allclose(left["mean"], (100 * own / own[:, :1]).mean(0))
    assert atlas.evolution(6, "area").scenario.unique().tolist() == list(scale.SCENARIOS)
    assert {course.name for course in atlas.courses} > {"volume", "area", "thickness", "sea_level"}
    with pytest.raises(ValueError, match="no scenario 'rcp26'; there are ssp126, ssp245, ssp585"):
        atlas.evolution(6, "area", ["rcp26"])


def test_a_member_without_values_does_not_hide_the_others(small_folder: str, tmp_path: Path) -> None:
    made = scale.courses

    def broken(who: dict[str, Any], axes: xr.Dataset, first: int) -> dict[str, Any]:
        found = made(who, axes, first)
        found["volume"][2] = np.nan
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "courses", broken)
        lacking = open_atlas(scale.make(tmp_path, 12, aside=(3,), stores=("ice",)))
    known = lacking.evolution(0, "volume", ["ssp126"])
    assert np.isfinite(known[["mean", "low", "high"]]).all(axis=None)
    together = lacking.region("volume", scenarios=["ssp126"])
    stored = Store.at(tmp_path / "ice.zarr").open().volume.values[:10].astype(float)
    sums = np.nansum(np.delete(stored, 2, axis=0), axis=1) / 1e9
    np.testing.assert_allclose(together["mean"], sums.mean(0))
    assert np.isfinite(lacking.values("volume")).sum() == 11
    assert np.isnan(lacking.values("volume", member=2)).all()


def test_the_region_s_balance_is_that_of_the_report(atlas: Atlas, smb: xr.Dataset) -> None:
    table, report = atlas.region("smb"), regional_series(smb) / 1000
    pairs = {"smb": "mean", "cumulative": "cumulative"}
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(table[ours], report[theirs], rtol=1e-5)
    for low, middle, std in (("low", "smb", "std"), ("shared_low", "smb", "shared_std"),
                             ("cumulative_low", "cumulative", "cumulative_shared_std")):  # fmt: skip
        np.testing.assert_allclose(table[middle] - table[low], Z90 * report[std], rtol=1e-4)


def test_the_region_of_a_member_is_its_line_with_the_noise_alone(atlas: Atlas, smb: xr.Dataset) -> None:
    table, own = atlas.region("smb", member=9), smb.isel(glacier=np.delete(np.arange(12), 3))
    area = own.area_m2.values.astype(float)
    mean = np.average(own.smb_member.values[9].astype(float), axis=0, weights=area) / 1000
    np.testing.assert_allclose(table.smb, mean, rtol=1e-5)
    np.testing.assert_allclose(table.cumulative, mean.cumsum(), rtol=1e-5)
    noise = scale.RESIDUAL / 1000 * area / area.sum()
    np.testing.assert_allclose(table.high - table.smb, Z90 * np.sqrt((noise**2).sum()), rtol=1e-3)
    lasting = own.lasting_share.values
    shared = np.sqrt((np.sqrt(1 - lasting) * noise).sum() ** 2 + (lasting * noise**2).sum())
    np.testing.assert_allclose(table.shared_high - table.smb, Z90 * shared, rtol=1e-3)
    for column, alone in atlas.balance(7, member=4).items():
        np.testing.assert_allclose(atlas.region("smb", glaciers=[7], member=4)[column], alone, rtol=1e-4)
    with pytest.raises(ValueError, match="no member 10; there are 0, 1, "):
        atlas.region("smb", member=10)


def test_a_future_of_a_member_is_its_own_course_without_a_band(atlas: Atlas, ice: xr.Dataset) -> None:
    at = int(np.flatnonzero((ice.scenario.values == "ssp245") & (ice.model_member.values == 4))[0])
    stored = ice.volume.values[at].astype(float) / 1e9
    alone, together = atlas.evolution(6, "volume", member=4), atlas.region("volume", member=4)
    for table, expected in ((alone, stored[6]), (together, np.nansum(stored, axis=0))):
        assert table.scenario.unique().tolist() == list(scale.SCENARIOS)
        np.testing.assert_allclose(table[table.scenario == "ssp245"]["mean"], expected, rtol=1e-5)
        assert table[["low", "high"]].isna().all(axis=None)
    balance = atlas.region("future_smb", scenarios=["ssp245"], member=4)["mean"]
    area = np.nan_to_num(ice.area.values[at].astype(float))
    start = np.concatenate([area[:, :1], area[:, :-1]], axis=1)
    with np.errstate(invalid="ignore"):  # no balance without ice
        expected = (start * np.nan_to_num(ice.smb.values[at])).sum(0) / start.sum(0) / 1000
    np.testing.assert_allclose(balance, expected, rtol=1e-5)
    for ask in (lambda: atlas.evolution(6, "volume", member=10), lambda: atlas.region("volume", member=10)):
        with pytest.raises(ValueError, match="no member 10; there are 0, 1, "):
            ask()


def test_some_glaciers_together_are_weighted_by_their_area(atlas: Atlas, smb: xr.Dataset) -> None:
    table = atlas.region("smb", glaciers=[7, 2, 3])  # the fourth was set aside
    own = smb.isel(glacier=[2, 7])
    expected = np.average(own.smb.values.astype(float), axis=0, weights=own.area_m2.values) / 1000
    np.testing.assert_allclose(table.smb, expected, rtol=1e-5)
    np.testing.assert_allclose(atlas.region("smb", glaciers=[7]).smb, atlas.balance(7).smb, rtol=1e-5)
    with pytest.raises(ValueError, match="no glacier was chosen"):
        atlas.region("smb", glaciers=[])


def test_the_region_s_future_is_that_of_the_totals_of_a_run(atlas: Atlas, small_folder: str) -> None:
    store = Store.at(f"{small_folder}/ice.zarr")
    whole = totals.table_of(store.open(), store.blocks())
    mean = whole[whole.subregion == ""].groupby(["scenario", "hydro_year"], sort=False)
    north = whole[whole.subregion == "north"].groupby(["scenario", "hydro_year"], sort=False)
    for course, stored, unit in (("volume", "volume", 1e9), ("area", "area", 1e6), ("runoff", "runoff", 1e9),
                                 ("sea_level", "sea_level", 1e-3)):  # fmt: skip
        expected = mean[stored].mean().to_numpy() / unit
        np.testing.assert_allclose(atlas.region(course)["mean"], expected, rtol=1e-5, atol=1e-12)
    there = (mean.area.min() > 0).to_numpy()  # a member without ice has no balance
    found = atlas.region("future_smb")["mean"].to_numpy()
    np.testing.assert_allclose(found[there], mean.smb.mean().to_numpy()[there] / 1e3, rtol=1e-5)
    assert 0 < np.isnan(found).sum() < (~there).sum()
    rows = np.flatnonzero(atlas.glaciers.subregion == "north")
    np.testing.assert_allclose(
        atlas.region("volume", glaciers=rows)["mean"], north.volume.mean().to_numpy() / 1e9, rtol=1e-5
    )
    left = atlas.region("volume_left", scenarios=["ssp585"])
    assert left["mean"].iloc[0] == pytest.approx(100)
    assert (left.low <= left.high).all()


def test_observations_are_those_of_the_unit_in_metres_of_water(atlas: Atlas) -> None:
    table = atlas.observations(0)
    assert table.kind.tolist() == ["annual", "annual", "point", "winter", "geodetic"]
    assert table.first_year.tolist() == [2000, 2001, 2001, 2001, 2001]
    assert table.last_year.tolist() == [2000, 2001, 2001, 2001, 2010]
    np.testing.assert_allclose(table.smb, [0.25, -0.7, -2.5, 1.2, -0.9])
    np.testing.assert_allclose(table.error, [0.1, 0.1, 0.2, 0.15, 0.12])
    assert table.elevation[2] == 2750
    assert atlas.observations(5).empty
    counted = atlas.values("observations")
    assert counted[:2].tolist() == [5, 1]
    assert np.isnan(counted[2:]).all()


def test_features_know_elevation_and_observations_too(features: Any) -> None:
    atlas = open_atlas(features)
    row = atlas.find("RGI60-11.00001")[0]
    data = features.open()
    expected = np.average(data.band_elevation.values[row], weights=data.band_area.values[row])
    assert atlas.values("elevation")[row] == pytest.approx(expected, rel=1e-5)
    assert len(atlas.observations(row)) == (data.obs_unit_id.values == "RGI60-11.00001").sum() >= 12
    parts = atlas.find("11.00719")
    assert [atlas.glaciers.name[part] for part in parts] == ["RGI50-11.00719"] * 2  # two outlines of one unit
    assert atlas.observations(parts[0]).equals(atlas.observations(parts[1]))


def test_a_glacier_is_found_by_the_end_of_its_number_before_others(atlas: Atlas) -> None:
    assert atlas.find("rgi60-99.00004") == [3]
    assert atlas.find("2") == [1, 11]
    assert atlas.find("1")[0] == 0
    assert atlas.find("  ") == []
    assert atlas.find("(") == []
    assert len(atlas.find("RGI60")) == 12


def test_a_glacier_is_found_by_its_name(small_run: Path) -> None:
    atlas = open_atlas(str(small_run))
    names = atlas.glaciers.name.tolist()
    assert names == schema.text(Store.at(small_run / "cube.zarr").open().glacier_name.values).tolist()
    assert sorted(names) == sorted(f"Glacier {number}" for number in range(1, 13))
    assert atlas.find("glacier 7") == [names.index("Glacier 7")]


def test_the_nearest_glacier_is_found_over_the_antimeridian(tmp_path: Path) -> None:
    atlas = open_atlas(scale.make(tmp_path, 40, stores=("smb", "cube"), centre=(180.0, 65.0), terrain=True))
    lon, lat = atlas.glaciers.lon.to_numpy(), atlas.glaciers.lat.to_numpy()
    assert lon.min() < 180 < lon.max()  # next to each other
    for row in range(40):
        assert atlas.nearest(lon[row], lat[row]) == row
        assert atlas.nearest((lon[row] + 180) % 360 - 180, lat[row]) == row
    west, _, east, _ = atlas.bounds
    assert east - west < 5
    outlines, shade = atlas.outlines(tolerance_m=0), atlas.hillshade()
    assert outlines is not None
    assert shade is not None
    assert outlines.total_bounds[0] > west - 1
    assert outlines.total_bounds[2] < east + 1
    assert outlines.geometry.is_valid.all()
    assert shade.west < west < east < shade.east
    assert np.isfinite(shade.shade).mean() > 0.5


@pytest.mark.slow
def test_ten_thousand_glaciers_open_and_answer_in_little_time_and_memory(large_folder: Path) -> None:
    def seconds(work: Any) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    took = {"open": seconds(lambda: open_atlas(large_folder))}
    atlas = open_atlas(large_folder)
    whole = Store.at(large_folder / "ice.zarr").open().volume.nbytes
    tracemalloc.start()
    took["values"] = seconds(lambda: atlas.values("volume_left"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 3, f"{peak / 1e6:.0f} MB of {whole / 1e6:.0f}"
    took["again"] = seconds(lambda: atlas.values("volume_left", year=2050, scenario="ssp585"))
    took["balance"] = seconds(lambda: atlas.balance(9_000))
    took["evolution"] = seconds(lambda: atlas.evolution(9_000, "volume"))
    most = {"open": 20, "values": 20, "again": 0.1, "balance": 1, "evolution": 1}
    assert all(took[name] < most[name] for name in most), took
