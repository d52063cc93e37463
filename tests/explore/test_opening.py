from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glacierscale.exploration.atlas import LeftOut, open_atlas
from glacierscale.provenance import Input
from glacierscale.store import Store, StoreError
from tests.explore import scale
from tests.reporting import evolving
from tests.servers import S3, FaultProxy


def test_a_folder_gives_all_stores_of_a_run_and_says_who_the_glaciers_are(small_folder: str) -> None:
    atlas = open_atlas(small_folder)
    assert [Path(place).name for place in atlas.places] == ["smb.zarr", "ice.zarr", "cube.zarr"]
    assert atlas.title == "Range of scale"
    table = atlas.glaciers
    assert list(table) == ["glacier_id", "name", "subregion", "lon", "lat", "area_km2", "set_aside"]
    assert table.glacier_id.tolist() == [f"RGI60-99.{n + 1:05d}" for n in range(12)]
    assert table.subregion.tolist()[:2] == ["north", "south"]
    assert table.set_aside.tolist() == ["", "", "", "no climate there", *[""] * 8]
    own = Store.at(f"{small_folder}/smb.zarr").open()
    np.testing.assert_allclose(table.area_km2, own.area_m2.values / 1e6)
    west, south, east, north = atlas.bounds
    assert (west, south, east, north) == (
        own.lon.values.min(),
        own.lat.values.min(),
        own.lon.values.max(),
        own.lat.values.max(),
    )


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("smb", {"smb_mean", "smb", "smb_cumulative", "smb_std", "area_km2"}),
        ("ice", {"volume", "area", "volume_left", "area_left", "thickness", "future_smb", "runoff", "year_gone",
                 "area_km2"}),
        ("cube", {"area_km2", "observations"}),
    ],
)  # fmt: skip
def test_a_single_store_is_enough(small_folder: str, name: str, has: set[str]) -> None:
    atlas = open_atlas(Store.at(f"{small_folder}/{name}.zarr"))
    assert {quantity.name for quantity in atlas.quantities} == has
    assert len(atlas.glaciers) == 12
    for quantity in atlas.quantities:
        assert atlas.values(quantity.name).shape == (12,)


def test_what_a_single_store_lacks_is_refused_with_what_makes_it(small_folder: str) -> None:
    cube, smb = (open_atlas(f"{small_folder}/{name}.zarr") for name in ("cube", "smb"))
    assert (cube.balances, cube.courses, smb.balances) == ((), (), ("smb",))
    with pytest.raises(LookupError, match=r"no reconstruction among .*cube.zarr; `glacierscale reconstruct` makes one"):
        cube.balance(0)
    with pytest.raises(LookupError, match=r"no evolution among .*smb.zarr; `glacierscale evolve` makes one"):
        smb.evolution(0, "volume")
    assert smb.observations(0).empty
    assert smb.outlines() is None
    assert smb.hillshade() is None


def test_other_stores_are_matched_by_identifier_where_they_have_some_of_the_glaciers(
    small_folder: str, tmp_path: Path
) -> None:
    scale.make(tmp_path, 5, stores=("smb",))
    atlas = open_atlas(f"{small_folder}/ice.zarr", tmp_path / "smb.zarr")
    whole = open_atlas(f"{small_folder}/ice.zarr")
    assert len(atlas.glaciers) == 5
    assert len(whole.glaciers) == 12
    np.testing.assert_array_equal(atlas.values("volume"), whole.values("volume")[:5])
    other_way = open_atlas(f"{small_folder}/smb.zarr", scale.make(tmp_path / "few", 5, stores=("ice",)))
    assert np.isfinite(other_way.values("area")).tolist() == [True] * 5 + [False] * 7
    assert other_way.evolution(8, "area")["mean"].isna().all()
    for name in ("volume", "future_smb", "thickness", "sea_level"):
        assert other_way.region(name, glaciers=[8, 9])["mean"].isna().all()
        together = other_way.region(name, glaciers=[3, 8])["mean"]
        np.testing.assert_array_equal(together, other_way.region(name, glaciers=[3])["mean"])


def test_a_place_that_is_no_store_is_refused_with_what_was_expected(small_folder: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("x")
    for place, told in (
        (tmp_path / "nowhere", "nowhere is not there; expected a store such as smb.zarr, or a folder"),
        (tmp_path / "page.html", "page.html is a file; expected a store"),
        (tmp_path, "is no store and holds none; expected a store .* Make them with `glacierscale run`"),
        (f"{small_folder}/smb.zarr/smb", "lies inside a store; name the store itself"),
    ):
        with pytest.raises(StoreError, match=told):
            open_atlas(place)
    with pytest.raises(ValueError, match="no store was named; give stores or the folder of a run"):
        open_atlas()


def test_an_unfinished_store_is_refused_where_it_is_named_and_left_out_of_a_folder(
    small_folder: str, tmp_path: Path
) -> None:
    shutil.copytree(small_folder, tmp_path / "run")
    store = Store.at(tmp_path / "run" / "ice.zarr")
    (tmp_path / "run" / "ice.zarr" / ".blocks" / f"{store.blocks()[1].name}.json").unlink()
    with pytest.raises(StoreError, match=r"ice.zarr is unfinished: 1 blocks are missing.*`glacierscale evolve`"):
        open_atlas(tmp_path / "run" / "smb.zarr", tmp_path / "run" / "ice.zarr")
    atlas = open_atlas(tmp_path / "run")
    assert [Path(place).name for place in atlas.places] == ["smb.zarr", "cube.zarr"]
    left = LeftOut(url=f"{tmp_path}/run/ice.zarr", why="1 block is missing", command="glacierscale evolve")
    assert atlas.left_out == (left,)
    assert open_atlas(tmp_path / "run", tmp_path / "run").left_out == (left,)
    assert open_atlas(small_folder).left_out == ()
    for name in ("smb", "cube"):
        shutil.rmtree(tmp_path / "run" / f"{name}.zarr")
    with pytest.raises(StoreError, match=r"holds no finished store; begun are .*ice.zarr. Run the same command"):
        open_atlas(tmp_path / "run")


def test_a_store_of_another_layout_is_refused_by_name(small_folder: str, tmp_path: Path) -> None:
    shutil.copytree(f"{small_folder}/smb.zarr", tmp_path / "smb.zarr")
    root = json.loads((tmp_path / "smb.zarr/zarr.json").read_text())
    del root["consolidated_metadata"]["metadata"]["smb_std"]
    (tmp_path / "smb.zarr/zarr.json").write_text(json.dumps(root))
    with pytest.raises(
        ValueError, match=r"(?s)smb.zarr is not laid out .* smb_std: missing.*`glacierscale reconstruct`"
    ):
        open_atlas(tmp_path)


def test_stores_of_two_runs_are_refused(small_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = scale.make(tmp_path / "other", 12, stores=("ice",))
    with pytest.raises(ValueError, match="are both evolution stores, of two runs; give the stores of one"):
        open_atlas(small_folder, other)
    monkeypatch.setattr(scale, "MODEL", {"model": Input(url="model", fingerprint="of another")})
    strange = scale.make(tmp_path / "strange", 12, stores=("ice",))
    with pytest.raises(ValueError, match=r"smb.zarr and .*ice.zarr come from different models"):
        open_atlas(f"{small_folder}/smb.zarr", strange)


def test_stores_of_other_glaciers_are_refused(small_folder: str, tmp_path: Path) -> None:
    other = evolving.store(str(tmp_path / "ice.zarr"))
    with pytest.raises(ValueError, match=r"ice.zarr has none of the 12 glaciers of .*smb.zarr: there it begins with "
                       r"RGI60-99.00001, here with RGI60-11.00000. Give stores of one region"):  # fmt: skip
        open_atlas(f"{small_folder}/smb.zarr", other)


def test_two_stores_of_maps_of_the_same_glaciers_are_refused(tmp_path: Path) -> None:
    names = ["RGI60-99.00001"]
    maps = [evolving.maps(str(tmp_path / f"ice_map_{n}.zarr"), names, [1e6]) for n in (1, 2)]
    with pytest.raises(ValueError, match="have maps of the same glaciers, of two runs"):
        open_atlas(*maps)


def test_the_same_place_named_twice_is_taken_once(small_folder: str) -> None:
    assert len(open_atlas(small_folder, f"{small_folder}/smb.zarr").places) == 3


def test_a_run_on_icechunk_opens_as_any_other(tmp_path: Path) -> None:
    pytest.importorskip("icechunk")
    scale.make(f"icechunk+file://{tmp_path}/run", 3, stores=("smb",))
    atlas = open_atlas(f"icechunk+file://{tmp_path}/run/smb.zarr")
    assert np.isfinite(atlas.values("smb_mean")).all()
    assert open_atlas(f"icechunk+file://{tmp_path}/run").places == atlas.places


def test_one_glacier_and_one_year_are_enough(tmp_path: Path) -> None:
    folder = scale.make(tmp_path, 1, years=np.array([2000], "int32"))
    atlas = open_atlas(folder)
    assert atlas.values("smb_mean").shape == (1,)
    assert next(q.label for q in atlas.quantities if q.name == "smb_mean") == "Mean balance, 2000"
    assert len(atlas.balance(0)) == 1
    assert len(atlas.region("smb")) == 1
    outlines: Any = atlas.outlines()
    assert len(outlines) == 1
    assert atlas.nearest(0, 0) == 0


def test_on_object_storage_a_glacier_costs_a_few_requests(s3: S3, fault_proxy: FaultProxy) -> None:
    blocks = {"cube": 50, "smb": 50, "ice": 10}
    url = scale.make(s3.url("atlas"), 200, per_block=blocks)
    atlas = open_atlas(url)
    fault_proxy.clear()
    balance = atlas.balance(120)
    assert fault_proxy.requests == 4  # one chunk each of the mean, its error, what of it lasts, and the members
    fault_proxy.clear()
    atlas.balance(20, member=3)
    assert fault_proxy.requests == 3  # what lasts is one chunk for all, and kept
    fault_proxy.clear()
    course = atlas.evolution(120, "volume")
    assert fault_proxy.requests == 1
    fault_proxy.clear()
    values = atlas.values("volume", scenario="ssp585")
    assert fault_proxy.requests == 20  # every block once
    atlas.values("volume_left", year=2050, scenario="ssp126")
    assert fault_proxy.requests == 20  # nothing more
    last = course[course.scenario == "ssp585"].iloc[-1]
    np.testing.assert_allclose(values[120], last["mean"], rtol=1e-5)
    np.testing.assert_allclose(balance.smb.mean(), atlas.values("smb_mean")[120], rtol=1e-5)


def test_opening_on_object_storage_costs_no_request_for_each_block(s3: S3, fault_proxy: FaultProxy) -> None:
    few, many = (scale.make(s3.url(name), 60, per_block=dict.fromkeys(("cube", "smb", "ice"), length))
                 for name, length in (("few", 60), ("many", 2)))  # fmt: skip
    counts = []
    for url in (few, many):
        fault_proxy.clear()
        assert len(open_atlas(url).glaciers) == 60
        counts.append(fault_proxy.requests)
    assert counts[0] < 70
    assert counts[1] == counts[0] + 29  # why glaciers were set aside is known by blocks


def test_object_storage_without_a_store_is_refused(s3: S3) -> None:
    with pytest.raises(StoreError, match=re.escape(f"{s3.url('nothing')} is no store and holds none; expected")):
        open_atlas(s3.url("nothing"))
