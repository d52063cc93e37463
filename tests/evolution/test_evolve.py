"""Glaciers through the years: the verb, its blocks and its sums."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacierscale import provenance, schema
from glacierscale.cli import main
from glacierscale.evolution import EvolveOptions, Scenario, evolve
from glacierscale.store import Store
from glacierscale.units import ICE_DENSITY_KG_M3, OCEAN_AREA_M2, WATER_DENSITY_KG_M3
from tests.evolution.conftest import LAST, rewritten

WARM = Scenario(name="hot", of="warm", warming_k=20.0, precip_factor=0.0)
OPTIONS = EvolveOptions(
    first=1998,
    until=2036,
    scenarios=(Scenario(name="same"), WARM),
    net="mlp",
    members=2,
    snapshots=(1998, 2010, 2030),
    glaciers_per_block=2,
)


def contents(*folders: Path) -> dict[str, bytes]:
    """Every file below some folders, by its place."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def made_in(folder: Path) -> dict[str, bytes]:
    """Every file that evolve wrote into a folder."""
    files = contents(*sorted(folder.glob("ice*.zarr")))
    return files | {"totals": (folder / "ice_totals.parquet").read_bytes()}


@pytest.fixture(scope="module")
def ice(evolving: Path, model: Any, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The small region, evolved."""
    folder = tmp_path_factory.mktemp("ice")
    return evolve(model, evolving / "cube.zarr", to=folder / "ice.zarr", options=OPTIONS)


def test_every_glacier_has_a_course_or_a_reason(ice: Store) -> None:
    found = ice.open().load()
    reason = schema.text(found.set_aside.values)
    assert found.sizes == {"member": 4, "glacier": 6, "hydro_year": 39}
    assert found.scenario.values.tolist() == ["same", "same", "hot", "hot"]
    assert found.model_member.values.tolist() == [0, 1, 0, 1]
    for name in ("area", "volume", "smb", "runoff", "sea_level"):
        finite = np.isfinite(found[name].values).all(axis=(0, 2))
        np.testing.assert_array_equal(finite, reason == "", err_msg=name)
    assert (reason == "").sum() >= 4


def test_scenarios_and_snapshots_are_coordinates_to_group_and_select_by(ice: Store) -> None:
    volume = ice.open().volume.sum("glacier")
    left = volume.groupby("scenario").mean().sel(hydro_year=LAST)
    assert left.sel(scenario="hot") < left.sel(scenario="same")
    maps = Store.at(next(Path(ice.url).parent.glob("ice_map_*.zarr")), schema.ICE_MAPS).open()
    assert {"snapshot_scenario", "snapshot_year"} <= set(maps.thickness.coords)
    assert {"scenario", "model_member"} <= set(maps.volume.coords)


def test_the_first_year_is_that_of_the_survey(ice: Store, evolving: Path) -> None:
    found = ice.open().load()
    sound = schema.text(found.set_aside.values) == ""
    for name in ("area", "volume"):
        first = found[name].values[:, sound, 0]
        np.testing.assert_array_equal(first, np.broadcast_to(first[:1], first.shape))
    assert (found.runoff.values[:, sound, 0] == 0).all()
    for store in Store.all_in(evolving, "patches_*.zarr", schema.PATCHES):
        patches = store.open().load()
        names = patches.channel.values.tolist()
        depth, share = (patches.rasters.values[:, names.index(name)] for name in ("thickness", "ice_fraction"))
        cell = patches.resolution.values.astype(float)[:, None, None] ** 2
        for number, row in enumerate(patches.feature_row.values.tolist()):
            if sound[row]:
                volume = (depth * share * cell)[number].astype(float).sum()
                assert found.volume.values[0, row, 0] == pytest.approx(volume, rel=1e-6)


def test_volume_changes_by_the_balance_of_the_area_at_the_start_of_the_year(ice: Store) -> None:
    """Mass closes: to the rounding of what is stored, float32, while there is ice to lose."""
    found = ice.open().load()
    sound = schema.text(found.set_aside.values) == ""
    volume, smb, area = (found[name].values[:, sound].astype(float) for name in ("volume", "smb", "area"))
    change = smb[..., 1:] * area[..., :-1] / ICE_DENSITY_KG_M3
    there = volume[..., 1:] > 0
    np.testing.assert_allclose(np.diff(volume)[there], change[there], rtol=3e-7, atol=1e-3)
    assert (np.diff(volume)[~there] >= change[~there] - 1e-3).all()
    assert there.any()
    assert not there.all()


def test_water_and_sea_level_follow_from_the_volume(ice: Store) -> None:
    found = ice.open().load()
    sound = schema.text(found.set_aside.values) == ""
    volume = found.volume.values[:, sound]
    lost = np.maximum(-np.diff(volume), 0) * ICE_DENSITY_KG_M3
    np.testing.assert_allclose(found.runoff.values[:, sound, 1:], lost, rtol=1e-6)
    rise = (volume[..., :1] - volume) * ICE_DENSITY_KG_M3 / WATER_DENSITY_KG_M3 / OCEAN_AREA_M2
    np.testing.assert_allclose(found.sea_level.values[:, sound], rise, rtol=1e-12)
    assert found.sea_level.values[:, sound, -1].max() > 0


def test_a_glacier_that_is_gone_stays_gone(ice: Store) -> None:
    found = ice.open().load()
    years = found.hydro_year.values
    gone = found.year_gone.values
    assert (gone > 0).any()
    assert (gone == 0).any()
    for member, glacier in zip(*np.nonzero(gone), strict=True):
        after = years >= gone[member, glacier]
        assert (found.area.values[member, glacier][after] == 0).all()
        assert (found.volume.values[member, glacier][after] == 0).all()
        assert (found.smb.values[member, glacier][years > gone[member, glacier]] == 0).all()
        assert found.area.values[member, glacier][~after].min() > 0
    left = np.isfinite(found.area.values[..., -1]) & (gone == 0)
    assert (found.area.values[..., -1][left] > 0).all()


def test_a_warmer_climate_leaves_less_ice(ice: Store) -> None:
    last = ice.open().volume.values[:, :, -1]
    sound = np.isfinite(last[0])
    assert (last[2:, sound].sum(axis=1) < 0.7 * last[:2, sound].sum(axis=1)).all()


def test_maps_hold_the_volume_of_the_series(ice: Store) -> None:
    series = ice.open().load()
    seen = 0
    for store in Store.all_in(Path(ice.url).parent, "ice_map_*.zarr", schema.ICE_MAPS):
        maps = store.open().load()
        assert maps.snapshot_year.values.tolist() == [1998, 2010, 2030] * 2
        assert maps.snapshot_scenario.values.tolist() == ["same"] * 3 + ["hot"] * 3
        cell = maps.resolution.values.astype(float)[None, :, None, None] ** 2
        volume = (maps.thickness.values.astype(float) * maps.ice_fraction.values * cell).sum(axis=(2, 3))
        area = (maps.ice_fraction.values * cell).sum(axis=(2, 3))
        depth = (maps.surface - maps.bed).values
        for number, row in enumerate(maps.feature_row.values.tolist()):
            if maps.set_aside.values[number]:
                assert np.isnan(maps.thickness.values[:, number]).all()
                continue
            seen += 1
            np.testing.assert_allclose(depth[number], maps.thickness.values[0, number], atol=0.05)
            for snapshot, (year, members) in enumerate(zip([0, 12, 32] * 2, [[0, 1]] * 3 + [[2, 3]] * 3, strict=True)):
                for found, name in ((volume, "volume"), (area, "area")):
                    expected = series[name].values[members, row, year].mean()
                    assert found[snapshot, number] == pytest.approx(expected, rel=1e-5, abs=1.0), (name, snapshot)
    assert seen >= 4


def test_totals_are_sums_over_glaciers(ice: Store) -> None:
    table = provenance.read_table((Path(ice.url).parent / "ice_totals.parquet").read_bytes())
    found = ice.open().load()
    assert table.columns.tolist() == [
        *("subregion", "scenario", "member", "hydro_year", "glaciers", "area", "volume", "smb", "runoff", "sea_level")
    ]
    whole = table[table.subregion == ""]
    assert len(whole) == 4 * 39
    for name in ("area", "volume", "runoff", "sea_level"):
        expected = np.nansum(found[name].values.astype(float), axis=1).ravel()
        np.testing.assert_allclose(whole[name], expected, rtol=1e-6)
    one = whole[(whole.scenario == "hot") & (whole.member == 1) & (whole.hydro_year == 2010)].iloc[0]
    area, smb = found.area.values[3, :, 11].astype(float), found.smb.values[3, :, 12].astype(float)
    assert one.smb == pytest.approx(np.nansum(area * smb) / np.nansum(area), rel=1e-6)
    assert one.glaciers == (found.area.values[3, :, 12] > 0).sum()


def test_subregions_have_totals_of_their_own(ice: Store) -> None:
    from glacierscale.evolution import totals

    opened = ice.open().load()
    names = np.array(["east", "", "west", "west", "east", "west"])
    table = totals.table_of(opened.assign(subregion=("glacier", names)), ice.blocks())
    west = table[(table.subregion == "west") & (table.scenario == "same") & (table.member == 0)]
    expected = np.nansum(opened.volume.values[0, [2, 3, 5]], axis=0)
    np.testing.assert_allclose(west.volume, expected, rtol=1e-12)
    assert sorted(table.subregion.unique()) == ["", "east", "west"]


@pytest.mark.parametrize("blocks", [1, 6])
def test_blocks_and_threads_do_not_change_a_single_number(
    evolving: Path, model: Any, ice: Store, tmp_path: Path, blocks: int
) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(3 - threads if threads < 3 else 1)
    try:
        other = replace(OPTIONS, glaciers_per_block=blocks)
        again = evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=other)
    finally:
        torch.set_num_threads(threads)
    for name in ("ice.zarr", "ice_map_016.zarr", "ice_map_032.zarr"):
        one, two = (Store.at(Path(store.url).parent / name).open().load() for store in (ice, again))
        for variable in one.variables:
            np.testing.assert_array_equal(one[variable].values, two[variable].values, err_msg=f"{name} {variable}")


def test_members_that_follow_one_after_the_other_are_as_those_side_by_side(
    evolving: Path, model: Any, ice: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glacierscale.evolution.simulation.VALUES_AT_ONCE", 1)
    again = evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=OPTIONS).open().load()
    for name in ("area", "volume", "smb"):
        np.testing.assert_allclose(again[name].values, ice.open()[name].values, rtol=1e-6, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("lost", ["series", "map", "half"])
def test_whatever_a_kill_leaves_running_again_restores_the_bytes(
    evolving: Path, model: Any, ice: Store, tmp_path: Path, lost: str
) -> None:
    whole = Path(ice.url).parent
    shutil.copytree(whole, tmp_path / "out")
    out = tmp_path / "out"
    if lost != "map":
        (out / "ice.zarr/.blocks/glacier-000000002.json").unlink()
        (out / "ice_totals.parquet").unlink()
    if lost != "series":
        record = sorted(out.glob("ice_map_*.zarr/.blocks/glacier-0*.json"))[-1]
        record.unlink()
        chunk = next(path for path in (record.parents[1] / "thickness/c").rglob("*") if path.is_file())
        chunk.write_bytes(b"half writ")
    if lost == "half":
        shutil.rmtree(next(out.glob("ice_map_*.zarr")))
    again = evolve(model, evolving / "cube.zarr", to=out / "ice.zarr", options=OPTIONS)
    assert again.verify() == []
    assert made_in(out) == made_in(whole)


def test_a_finished_evolution_is_left_alone_and_other_options_are_refused(
    evolving: Path, model: Any, ice: Store
) -> None:
    folder = Path(ice.url).parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    evolve(model, evolving / "cube.zarr", to=ice.url, options=OPTIONS)
    with pytest.raises(provenance.StampMismatch, match=r"options\.until: there 2036, now 2029"):
        evolve(model, evolving / "cube.zarr", to=ice.url, options=replace(OPTIONS, until=2029))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_damage_is_repaired_from_what_the_stamps_name(
    evolving: Path, model_folder: Path, ice: Store, tmp_path: Path
) -> None:
    from glacierscale.repair import verify

    out = tmp_path / "out"
    made = evolve(model_folder, evolving / "cube.zarr", to=out / "ice.zarr", options=OPTIONS)
    whole = made_in(out)
    series, maps = Path(made.url), out / "ice_map_032.zarr"
    for damaged in (series / "volume/c/0/1/0", maps / "thickness/c/0/0/0/0"):
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(bytes(data))
    assert [damage.key for damage in verify(series)] == ["volume/c/0/1/0"]
    assert verify(maps, repair=True) == []
    assert verify(series, repair=True) == []
    assert made_in(out) == whole


def test_ice_that_flows_evolves_too(evolving: Path, model: Any, ice: Store, tmp_path: Path) -> None:
    own = replace(OPTIONS, method="sia", until=2012, members=1)
    found = evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=own).open().load()
    curves = ice.open().load().isel(member=[0, 2], hydro_year=slice(0, 15))
    sound = np.isfinite(found.volume.values[0, :, 0])
    np.testing.assert_array_equal(found.volume.values[:, sound, 0], curves.volume.values[:, sound, 0])
    np.testing.assert_array_equal(found.smb.values[:, sound, 1], curves.smb.values[:, sound, 1])
    change, expected = (one.volume.values[:, sound, 3] - one.volume.values[:, sound, 0] for one in (found, curves))
    whole = found.volume.values[:, sound, 0]
    np.testing.assert_allclose(change / whole, expected / whole, atol=0.03)
    assert (found.volume.values[:, sound] != curves.volume.values[:, sound]).any()


def cube_with(evolving: Path, folder: Path, **changed: Any) -> Path:
    """The folder of inputs with another cube."""
    for path in evolving.iterdir():
        if path.name != "cube.zarr":
            shutil.copytree(path, folder / path.name)
    rewritten(Store.at(evolving / "cube.zarr"), folder / "cube.zarr", **changed)
    return folder


def changed_patch(evolving: Path, folder: Path, change: Any) -> tuple[Path, int]:
    """The folder of inputs with another thickness of one glacier, given the old and where there is ice."""
    shutil.copytree(evolving, folder)
    source = Store.at(evolving / "patches_016.zarr")
    opened = source.open().load()
    names, number = opened.channel.values.tolist(), int(np.flatnonzero(opened.set_aside.values == "")[0])
    rasters = opened.rasters.values.copy()
    own = rasters[number]
    own[names.index("thickness")] = change(own[names.index("thickness")], own[names.index("ice_fraction")] > 0)
    shutil.rmtree(folder / "patches_016.zarr")
    rewritten(source, folder / "patches_016.zarr", rasters=(opened.rasters.dims, rasters))
    return folder, int(opened.feature_row.values[number])


def test_a_scenario_shorter_than_asked_is_refused_before_any_work(evolving: Path, model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter than asked: its last whole hydrological year is 2040, expected 2041"):
        evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=replace(OPTIONS, until=2041))
    assert list(tmp_path.iterdir()) == []


def test_thickness_that_nobody_knows_is_estimated_and_said_to_be(evolving: Path, model: Any, tmp_path: Path) -> None:
    folder, row = changed_patch(evolving, tmp_path / "in", lambda thickness, iced: np.where(iced, np.nan, thickness))
    own = replace(OPTIONS, until=2000)
    found = evolve(model, folder / "cube.zarr", to=tmp_path / "ice.zarr", options=own).open().load()
    assert np.flatnonzero(found.thickness_estimated.values).tolist() == [row]
    area, volume = found.area.values[0, row, 0], found.volume.values[0, row, 0]
    assert volume == pytest.approx(0.2055 * area**1.375, rel=1e-4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scenarios": (Scenario(name="rcp85"),)}, "holds no scenario rcp85; it has same, warm"),
        ({"scenarios": (Scenario(name="a", of="rcp26"),)}, "holds no scenario rcp26; it has same, warm"),
        ({"first": 1980}, "first is 1980, but the features have climate and topography of 1991..2002"),
        ({"first": 2003}, "first is 2003, but the features have climate and topography of 1991..2002"),
        ({"net": "forest"}, "the model has no net 'forest'; it has lasso, mlp"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    evolving: Path, model: Any, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=replace(OPTIONS, **changed))
    assert list(tmp_path.iterdir()) == []


def test_a_cube_without_future_climates_and_patches_without_ice_are_refused(
    evolving: Path, cube: Any, features: Any, patches: Path, model: Any, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"to": tmp_path / "ice.zarr", "options": OPTIONS}
    with pytest.raises(ValueError, match="have no ice thickness; expected the channels thickness and ice_surface"):
        evolve(model, cube, features=features, patches=patches, **given)
    with pytest.raises(ValueError, match="the cube holds no scenario; expected at least one future climate"):
        evolve(model, cube, features=features, patches=evolving, **given)
    assert list(tmp_path.iterdir()) == []


def test_stores_of_other_glaciers_are_refused(evolving: Path, model: Any, tmp_path: Path) -> None:
    names = Store.at(evolving / "cube.zarr").open().glacier_id.values[::-1].copy()
    folder = cube_with(evolving, tmp_path / "in", glacier_id=("glacier", names))
    with pytest.raises(ValueError, match="is not of the glaciers of"):
        evolve(model, folder / "cube.zarr", to=tmp_path / "ice.zarr", options=OPTIONS)


def test_a_network_of_ice_cells_is_refused_and_the_best_other_one_is_taken(
    evolving: Path, raster_model: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="net is 'hybrid', a network of ice cells, whose rasters do not follow"):
        evolve(raster_model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=replace(OPTIONS, net="hybrid"))
    own = replace(OPTIONS, until=2004, net="")
    model = dataclasses.replace(raster_model, best_observed="hybrid", best_unobserved="hybrid")
    found = evolve(model, evolving / "cube.zarr", to=tmp_path / "ice.zarr", options=own)
    assert found.open().attrs["net"] == "lasso"


@pytest.fixture(scope="module")
def without(evolving: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of inputs with a glacier whose patch has no ice, and its position."""
    folder = tmp_path_factory.mktemp("without") / "in"
    return changed_patch(evolving, folder, lambda thickness, _: thickness * 0)


def test_a_glacier_that_is_gone_at_the_start_is_set_aside(
    without: tuple[Path, int], model: Any, tmp_path: Path
) -> None:
    folder, row = without
    own = replace(OPTIONS, until=2000)
    found = evolve(model, folder / "cube.zarr", to=tmp_path / "ice.zarr", options=own).open().load()
    assert found.set_aside.values[row].startswith("gone at the start: no cell of its patch has ice")
    assert np.isnan(found.volume.values[:, row]).all()
    assert (found.set_aside.values == "").sum() == 5


def test_the_command_tells_its_options_and_names_what_was_set_aside(
    without: tuple[Path, int], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["evolve", "--help"])
    said = capsys.readouterr().out
    assert "--options.method {delta_h,sia}" in said
    assert "--options.scenarios" in said
    words = ["evolve", str(model_folder), str(without[0] / "cube.zarr"), "--to", str(tmp_path / "ice.zarr")]
    words += ["--options.first", "2000", "--options.until", "2004", "--options.members", "1"]
    assert main(words) == 3
    told = capsys.readouterr()
    assert str(tmp_path / "ice.zarr") in told.out
    assert "1 glaciers were set aside" in told.err
    assert "gone at the start" in told.err
    assert Store.at(tmp_path / "ice.zarr").open().scenario.values.tolist() == ["same", "warm"]
