"""A store: declared, written by blocks, continued, read strictly, verified."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.provenance import Stamp, StampMismatch
from glacierscale.store import Block, Files, HeldError, NoStoreError, Store, StoreError, hold
from tests.trees import digests

YEARS = np.arange(1990, 2000)
SIZES = {"glacier": 10, "member": 2}


def stamp(**options: object) -> Stamp:
    return Stamp(verb="reconstruct", options={"net": "lasso", **options}, inputs={})


def declared(tmp_path: Path, **options: object) -> Store:
    store = Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)
    static = xr.Dataset({"hydro_year": ("hydro_year", YEARS)})
    return store.declare(
        static,
        stamp(**options),
        sizes=SIZES,
        chunks={"glacier": 4},
        without=["smb_winter", "smb_gapfilled", "smb_gapfilled_std", "lasting_share"],
    )


def arrays(block: Block, seed: int = 0) -> dict[str, np.ndarray]:
    n, rng = block.stop - block.start, np.random.default_rng(seed + block.start)
    return {
        "glacier_id": np.array([f"G{i}" for i in range(block.start, block.stop)]),
        "unit_id": np.array([f"U{i}" for i in range(block.start, block.stop)]),
        "subregion": np.full(block.stop - block.start, "north"),
        "lon": rng.uniform(10, 11, n),
        "lat": rng.uniform(46, 47, n),
        "area_m2": rng.uniform(1e5, 1e7, n),
        "smb": rng.normal(-500, 300, (n, len(YEARS))),
        "smb_std": np.full((n, len(YEARS)), np.nan),
        "smb_member": rng.normal(-500, 300, (2, n, len(YEARS))),
        "set_aside": np.full(n, ""),
    }


def written(tmp_path: Path) -> Store:
    store = declared(tmp_path)
    for block in store.blocks():
        store.write(block, arrays(block))
    return store


def test_what_is_written_by_blocks_is_read_back_with_units_and_dates(tmp_path: Path) -> None:
    found = written(tmp_path).open().load()
    assert found.sizes == {"glacier": 10, "hydro_year": 10, "member": 2}
    assert found.smb.attrs["units"] == "kg m-2"
    assert list(found.glacier_id.values[[0, 9]]) == ["G0", "G9"]
    np.testing.assert_array_equal(found.smb[4:8], arrays(Block("glacier", 4, 8))["smb"].astype("float32"))


def test_blocks_tile_the_dimension_and_writing_one_takes_it_off_the_list(tmp_path: Path) -> None:
    store = declared(tmp_path)
    blocks = store.blocks()
    assert [(b.start, b.stop) for b in blocks] == [(0, 4), (4, 8), (8, 10)]
    store.write(blocks[1], arrays(blocks[1]))
    assert store.missing() == [blocks[0], blocks[2]]


def test_an_unfinished_store_is_refused_unless_partial_is_asked_for(tmp_path: Path) -> None:
    store = declared(tmp_path)
    store.write(store.blocks()[0], arrays(store.blocks()[0]))
    with pytest.raises(StoreError, match=r"unfinished: 2 blocks are missing, the first is glacier 4\.\.7"):
        store.open()
    assert np.isfinite(store.open(partial=True).smb[:4].values).all()


def test_a_missing_chunk_is_an_error_and_never_nan(tmp_path: Path) -> None:
    store = written(tmp_path)
    (Path(store.url) / "smb/c/1/0").unlink()
    with pytest.raises(StoreError, match="chunk smb/c/1/0 is missing"):
        store.open().smb.load()


def test_a_flipped_bit_is_an_error_when_read(tmp_path: Path) -> None:
    store = written(tmp_path)
    flip(Path(store.url) / "smb/c/1/0")
    with pytest.raises(ValueError, match="checksum"):
        store.open().smb.load()


def flip(path: Path, bit: int = 77) -> None:
    data = bytearray(path.read_bytes())
    data[(bit // 8) % len(data)] ^= 1 << (bit % 8)
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_verify_names_every_flipped_truncated_and_deleted_object_and_nothing_else(tmp_path: Path) -> None:
    store = written(tmp_path)
    assert store.verify() == []
    for number, key in enumerate(digests(store.url)):
        path = Path(store.url) / key
        whole = path.read_bytes()
        for damage in (partial(flip, bit=13 * number), truncate, Path.unlink):
            damage(path)
            assert [d.key for d in store.verify()] == [key]
            path.write_bytes(whole)
    assert store.verify() == []


def test_forgetting_damaged_blocks_and_writing_them_again_restores_the_bytes(tmp_path: Path) -> None:
    store = written(tmp_path)
    before = digests(store.url)
    flip(Path(store.url) / "smb_member/c/0/2/0")
    store.forget(store.verify())
    assert store.missing() == [Block("glacier", 8, 10)]
    store.write(store.missing()[0], arrays(store.missing()[0]))
    assert digests(store.url) == before


def test_two_stores_of_the_same_content_are_equal_byte_for_byte(tmp_path: Path) -> None:
    assert digests(written(tmp_path / "a").url) == digests(written(tmp_path / "b").url)
    assert written(tmp_path / "a").fingerprint() == written(tmp_path / "b").fingerprint()


def test_other_options_are_refused_with_the_difference(tmp_path: Path) -> None:
    declared(tmp_path)
    with pytest.raises(StampMismatch, match=r"options.net: there 'lasso', now 'mlp'"):
        declared(tmp_path, net="mlp")


def test_a_place_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "smb.zarr").mkdir()
    (tmp_path / "smb.zarr" / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="no glacierscale store; write elsewhere"):
        declared(tmp_path)
    assert (tmp_path / "smb.zarr" / "thesis.tex").read_text() == "precious"


def test_a_misaligned_block_and_a_misshapen_variable_are_refused(tmp_path: Path) -> None:
    store = declared(tmp_path)
    with pytest.raises(ValueError, match="not aligned to the chunks"):
        store.write(Block("glacier", 2, 6), arrays(Block("glacier", 2, 6)))
    block = store.blocks()[0]
    with pytest.raises(ValueError, match=r"smb has shape \(3, 10\), expected \(4, 10\)"):
        store.write(block, arrays(block) | {"smb": np.zeros((3, 10))})
    assert block in store.missing()


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"smb.zarr cannot be made: .*Not a directory"):
        Store(str(tmp_path / "file" / "smb.zarr"), schema.RECONSTRUCTION).declare(
            xr.Dataset({"hydro_year": ("hydro_year", YEARS)}), stamp(), sizes=SIZES
        )


def test_a_store_of_another_kind_or_none_is_refused(tmp_path: Path) -> None:
    store = written(tmp_path)
    assert Store.at(store.url).schema.name == "reconstruction"
    with pytest.raises(StoreError, match="is a reconstruction store; expected a features store"):
        Store.at(store.url, schema.FEATURES)
    with pytest.raises(StoreError, match="is not a glacierscale store"):
        Store.at(tmp_path / "nothing.zarr")


def test_a_folder_of_stores_is_answered_with_their_names(tmp_path: Path) -> None:
    store = written(tmp_path)
    (tmp_path / "model").mkdir()
    words = r"is a folder of stores, not one itself; name one of smb\.zarr in it\.$"
    for wanted in (None, schema.FEATURES):
        with pytest.raises(StoreError, match=words):
            Store.at(Path(store.url).parent, wanted)


def test_a_place_without_metadata_says_that_nothing_was_declared(tmp_path: Path) -> None:
    store = written(tmp_path)
    (Path(store.url) / "zarr.json").unlink()
    for ask in (store.blocks, store.missing, store.unfinished, store.open, store.fingerprint):
        with pytest.raises(StoreError, match=r"smb\.zarr was never declared"):
            ask()


def test_an_output_that_another_run_writes_is_refused_with_its_name(tmp_path: Path) -> None:
    store = declared(tmp_path)
    with store.hold(), pytest.raises(HeldError, match="reconstruct"), hold(store.url, "map"):
        pass
    with store.hold():
        assert not store.is_complete(stamp())


def test_the_stamp_is_json_text_in_the_root_attributes(tmp_path: Path) -> None:
    store = written(tmp_path)
    attributes = json.loads((Path(store.url) / "zarr.json").read_text())["attributes"]
    assert json.loads(attributes["glacierscale_stamp"])["options"] == {"net": "lasso"}
    assert store.stamp == stamp()


@pytest.mark.parametrize("key", ["zarr.json", ".blocks/declared.json", "smb/zarr.json", "hydro_year/c/0"])
@pytest.mark.parametrize("damage", ["flip", "delete", "garble"])
def test_damaged_metadata_is_found_and_declaring_again_restores_the_bytes(
    tmp_path: Path, key: str, damage: str
) -> None:
    store = written(tmp_path)
    before, path = digests(store.url), Path(store.url) / key
    {"flip": flip, "delete": Path.unlink, "garble": lambda p: p.write_bytes(b"{")}[damage](path)
    found = Store.at(store.url)
    assert [d.key for d in found.verify()] == [key]
    found.forget(found.verify())
    assert not found.is_complete(stamp())
    declared(tmp_path)
    assert digests(store.url) == before
    assert found.is_complete(stamp())


def test_a_store_without_its_record_still_refuses_other_options(tmp_path: Path) -> None:
    store = written(tmp_path)
    (Path(store.url) / ".blocks/declared.json").unlink()
    with pytest.raises(StampMismatch, match=r"options.net: there 'lasso', now 'mlp'"):
        declared(tmp_path, net="mlp")


def test_all_stores_of_a_kind_in_a_folder_come_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("smb_b", "smb_a", "other"):
        (tmp_path / name).mkdir()
        written(tmp_path / name)
        (tmp_path / name / "smb.zarr").rename(tmp_path / f"{name}.zarr")
    found = Store.all_in(tmp_path, "smb_*.zarr", schema.RECONSTRUCTION)
    assert [Path(store.url).name for store in found] == ["smb_a.zarr", "smb_b.zarr"]
    with pytest.raises(NoStoreError, match=r"holds no maps_\*\.zarr; run `glacierscale reconstruct` into it first"):
        Store.all_in(tmp_path, "maps_*.zarr", schema.RECONSTRUCTION)
    with pytest.raises(NoStoreError, match="is a reconstruction store; expected a features store"):
        Store.all_in(tmp_path, "smb_*.zarr", schema.FEATURES)


def test_garbled_metadata_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    store = written(tmp_path)
    (Path(store.url) / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"cannot be read: .*; `glacierscale verify STORE --repair` mends it"):
        store.open()


def test_one_long_reason_does_not_widen_all_others(tmp_path: Path) -> None:
    store, reason = declared(tmp_path), "no climate " * 1000
    for block in store.blocks():
        aside = arrays(block)["set_aside"].astype(object)
        aside[0] = reason
        store.write(block, arrays(block) | {"set_aside": schema.text(aside)})
    found = store.open()
    assert found.nbytes < 4 * len(reason)
    assert found.set_aside.values.tolist() == [reason if number % 4 == 0 else "" for number in range(10)]
    assert found.isel(glacier=slice(1, 3)).load().set_aside.values.tolist() == ["", ""]


def test_a_store_prints_its_place_and_what_it_holds() -> None:
    title = "Reconstructed annual glacier-wide surface mass balance"
    assert repr(Store("out/smb.zarr", schema.RECONSTRUCTION)) == f"<Store out/smb.zarr: {title}>"


def test_a_slash_at_the_end_of_a_place_changes_nothing(tmp_path: Path) -> None:
    assert Store(f"{tmp_path}/smb.zarr/", schema.RECONSTRUCTION) == Store(f"{tmp_path}/smb.zarr", schema.RECONSTRUCTION)
    assert Store("s3://bucket/run//", schema.RECONSTRUCTION).url == "s3://bucket/run"
    assert Files.at(f"{tmp_path}/run/").url == f"{tmp_path}/run"
    assert Files.at("/").url == "/"


@pytest.mark.parametrize("place", ["s3://bucket/run", "https://host/run", "icechunk+gs://bucket/run"])
def test_a_url_that_pathlib_has_made_a_path_of_is_refused(place: str) -> None:
    for opened in (Files.at, Store.at, lambda path: Store(str(path), schema.CUBE), lambda path: hold(path, "run")):
        with pytest.raises(ValueError, match="is a URL that went through Path; give it as text"):
            opened(Path(place))
