"""What is known when a store is declared is written then, whole; stores that hold it by blocks stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.store import Block, Store, StoreError
from tests.test_store import SIZES, YEARS, arrays, flip, stamp, truncate
from tests.trees import digests

ABSENT = ["smb_winter", "smb_gapfilled", "smb_gapfilled_std", "lasting_share"]
IDENTITY = {
    name: ("glacier", values) for name, values in arrays(Block("glacier", 0, 10)).items() if name in schema.IDENTITY
}


def declared(url: str | Path, *, known: bool = True) -> Store:
    """A reconstruction of ten glaciers in blocks of four; its glaciers are known, or come with the blocks as before."""
    static = xr.Dataset({"hydro_year": ("hydro_year", YEARS)} | (IDENTITY if known else {}))
    store = Store(str(url), schema.RECONSTRUCTION)
    return store.declare(static, stamp(), sizes=SIZES, chunks={"glacier": 4}, without=ABSENT)


def block_of(block: Block) -> dict[str, np.ndarray]:
    """Values of a block, its glaciers as `declared` tells them."""
    return arrays(block) | {name: values[block.slice] for name, (_, values) in IDENTITY.items()}


def write_missing(store: Store) -> Store:
    for block in store.missing():
        store.write(block, block_of(block))
    return store


def chunks_of(store: Store, name: str) -> list[str]:
    return sorted(key for key in digests(store.url) if key.startswith(f"{name}/c/"))


@pytest.mark.parametrize("scheme", ["", "icechunk+file://"])
def test_who_the_glaciers_are_is_one_object_each_and_reads_as_if_written_by_blocks(scheme: str, tmp_path: Path) -> None:
    if scheme:
        pytest.importorskip("icechunk")
    whole = write_missing(declared(f"{scheme}{tmp_path}/whole.zarr"))
    blocks = write_missing(declared(f"{scheme}{tmp_path}/blocks.zarr", known=False))
    assert whole.verify() == []
    xr.testing.assert_identical(whole.open().load().drop_attrs(deep=False), blocks.open().load().drop_attrs(deep=False))
    if not scheme:
        assert chunks_of(whole, "glacier_id") == ["glacier_id/c/0"]
        assert chunks_of(blocks, "glacier_id") == [f"glacier_id/c/{number}" for number in range(3)]
        assert chunks_of(whole, "set_aside") == [f"set_aside/c/{number}" for number in range(3)]


def test_blocks_write_what_is_not_known_and_need_not_tell_the_rest_again(tmp_path: Path) -> None:
    store = declared(tmp_path / "smb.zarr")
    for block in store.missing():
        store.write(block, {name: values for name, values in block_of(block).items() if name not in schema.IDENTITY})
    assert store.verify() == []
    assert store.fingerprint() == write_missing(declared(tmp_path / "other.zarr")).fingerprint()


def test_names_are_kept_where_they_are_known_and_belong_to_who_a_glacier_is(tmp_path: Path) -> None:
    names = np.array([f"Ferner {number}" for number in range(10)])
    static = xr.Dataset({"hydro_year": ("hydro_year", YEARS)} | IDENTITY | {"glacier_name": ("glacier", names)})
    store = Store(str(tmp_path / "named.zarr"), schema.RECONSTRUCTION)
    store.declare(static, stamp(), sizes=SIZES, chunks={"glacier": 4}, without=ABSENT)
    named, nameless = (write_missing(of).open() for of in (store, declared(tmp_path / "nameless.zarr")))
    assert schema.text(named.glacier_name.values).tolist() == names.tolist()
    assert "glacier_name" in named.smb.coords
    assert set(schema.identity(named)) - set(schema.identity(nameless)) == {"glacier_name"}
    for name, variable in named.drop_vars("glacier_name").variables.items():
        xr.testing.assert_identical(variable.load(), nameless.variables[name].load())


def test_attributes_that_come_from_another_store_do_not_tell_the_layout(tmp_path: Path) -> None:
    source = write_missing(declared(tmp_path / "source.zarr")).open().load()
    static = source[["hydro_year"]].reset_coords(drop=True)
    assert static.attrs["glacierscale_whole"]
    copy = Store(str(tmp_path / "copy.zarr"), schema.RECONSTRUCTION)
    copy.declare(static, stamp(), sizes=SIZES, chunks={"glacier": 4}, without=ABSENT)
    assert write_missing(copy).open().glacier_id.values.tolist() == source.glacier_id.values.tolist()
    assert digests(copy.url) == digests(write_missing(declared(tmp_path / "blocks.zarr", known=False)).url)


def test_many_glaciers_lie_in_long_chunks_whatever_the_blocks(tmp_path: Path) -> None:
    count = 40_000
    identity = {name: ("glacier", np.resize(values, count)) for name, (_, values) in IDENTITY.items()}
    static = xr.Dataset({"hydro_year": ("hydro_year", YEARS)} | identity)
    store = Store(str(tmp_path / "smb.zarr"), schema.RECONSTRUCTION)
    sizes = {"glacier": count, "member": 2}
    store.declare(static, stamp(), sizes=sizes, chunks={"glacier": 4}, without=ABSENT)
    assert chunks_of(store, "glacier_id") == [f"glacier_id/c/{number}" for number in range(3)]
    found = store.open(partial=True)
    np.testing.assert_array_equal(found.lon, identity["lon"][1])
    assert schema.text(found.glacier_id.values)[-1] == identity["glacier_id"][1][-1]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("key", ["zarr.json", ".blocks/declared.json", "lon/zarr.json", "hydro_year/c/0"])
def test_what_a_declaration_wrote_is_mended_to_the_same_bytes_in_the_layout_of_the_store(
    key: str, known: bool, tmp_path: Path
) -> None:
    store = write_missing(declared(tmp_path / "smb.zarr", known=known))
    before = digests(store.url)
    for damage in (flip, truncate, Path.unlink):
        damage(Path(store.url) / key)
        store.forget(store.verify())
        declared(store.url)
        assert digests(store.url) == before
        assert store.verify() == []


def test_a_damaged_identifier_is_found_and_mended(tmp_path: Path) -> None:
    store = write_missing(declared(tmp_path / "smb.zarr"))
    before = digests(store.url)
    flip(Path(store.url) / "glacier_id/c/0")
    assert [(damage.key, damage.block) for damage in store.verify()] == [("glacier_id/c/0", None)]
    with pytest.raises(StoreError, match=r"checksum of glacier_id/c/0 differs; `glacierscale verify STORE --repair`"):
        store.open()
    store.forget(store.verify())
    assert declared(store.url).missing() == []
    assert digests(store.url) == before


def test_a_store_that_was_begun_with_identifiers_in_its_blocks_is_continued_so(tmp_path: Path) -> None:
    finished = write_missing(declared(tmp_path / "finished.zarr", known=False))
    store = declared(tmp_path / "smb.zarr", known=False)
    first = store.blocks()[0]
    store.write(first, block_of(first))
    write_missing(declared(store.url))
    assert digests(store.url) == digests(finished.url)


@pytest.mark.parametrize("known", [True, False])
def test_a_store_opens_in_dask_chunks_of_whole_blocks(known: bool, tmp_path: Path) -> None:
    store = write_missing(declared(tmp_path / "smb.zarr", known=known))
    plain = store.open().load()
    cases: Any = (({}, (4, 4, 2)), ({"glacier": 8}, (8, 2)), ({"glacier": -1}, (10,)), ("auto", (10,)))
    for asked, expected in cases:
        found = store.open(chunks=asked)
        assert found.chunks["glacier"] == expected
        xr.testing.assert_identical(found.load(), plain)
