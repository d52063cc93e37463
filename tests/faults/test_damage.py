"""Bits flipped, files cut short and files deleted, in every kind of store: each found, named and repaired."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glacierscale import schema
from glacierscale.cli import main
from glacierscale.store import Store
from tests.faults import ranges, running
from tests.faults.conftest import Told
from tests.trees import digests

KINDS = ("cube", "features", "patches", "smb", "smb_map")
_WAYS = ("bit flip", "truncation", "deletion")


class Bench:
    """A copy of all stores of a range, damaged and restored one file at a time."""

    def __init__(self, given: ranges.Range, folder: Path) -> None:
        self.folder = folder / "inputs"
        shutil.copytree(given.input("reconstruct"), self.folder)
        (folder / "raw").symlink_to(given.folder / "raw")
        self.stores = {kind: sorted(self.folder.glob(f"{kind}*.zarr")) for kind in KINDS}
        self.stores["smb"] = [self.folder / "smb.zarr"]
        self.files = {
            kind: [path for store in stores for path in sorted(store.rglob("*")) if path.is_file()]
            for kind, stores in self.stores.items()
        }

    @contextlib.contextmanager
    def damaged(self, path: Path, way: str, rng: random.Random) -> Iterator[None]:
        """Damage a file, and restore it afterwards."""
        data = path.read_bytes()
        if way == "deletion":
            path.unlink()
        elif way == "truncation":
            path.write_bytes(data[: rng.randrange(len(data))])
        else:
            place, changed = rng.randrange(8 * len(data)), bytearray(data)
            changed[place // 8] ^= 1 << place % 8
            path.write_bytes(changed)
        assert not path.exists() or path.read_bytes() != data
        try:
            yield
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def store_of(self, path: Path) -> Path:
        """The store that a file belongs to."""
        return next(parent for parent in path.parents if parent.suffix == ".zarr" and parent.parent == self.folder)

    def verified(self, path: Path, *words: str) -> tuple[int, str]:
        """Exit code and words of `glacierscale verify` for the store of a file."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(["verify", str(self.store_of(path)), *words])
        return code, said.getvalue()


def names_it(bench: Bench, path: Path, said: str) -> bool:
    """Whether the fault of a file is named, by the name of the file in its store."""
    name = path.relative_to(bench.store_of(path)).as_posix()
    return any(line.startswith(f"{name}: ") for line in said.splitlines())


def find(given: ranges.Range, folder: Path, told: Told, counts: dict[str, int]) -> None:
    """Damage files of every kind of store one at a time; each must be named by `verify`."""
    bench, rng = Bench(given, folder), random.Random(1)
    for kind in KINDS:
        assert bench.files[kind], kind
        for store in bench.stores[kind]:
            assert bench.verified(store / "zarr.json") == (0, f"{store}: no fault\n")
        for way in _WAYS:
            since, count, missed, unnamed = time.monotonic(), -(-counts[way] // len(KINDS)), [], []
            for _ in range(count):
                path = rng.choice(bench.files[kind])
                with bench.damaged(path, way, rng):
                    code, said = bench.verified(path)
                if code != 4:
                    missed.append((path, code, said))
                elif not names_it(bench, path, said):
                    unnamed.append((path, said))
            row = {"fired": count, "recovered": count - len(missed), "seconds": time.monotonic() - since}
            told(
                f"{way}: found",
                kind,
                **row,
                unnamed=len(unnamed),
                examples=[str(each) for each in (missed + unnamed)[:3]],
            )
            assert not missed, missed[:3]
            assert not unnamed, unnamed[:3]


def repair(given: ranges.Range, folder: Path, told: Told, count: int) -> None:
    """Damage files of every kind of store one at a time and have each repaired: all bytes as before."""
    bench, rng = Bench(given, folder), random.Random(2)
    for kind in KINDS:
        expected = {store: digests(store) for store in bench.stores[kind]}
        since, each, failed = time.monotonic(), -(-count // len(KINDS)), []
        for number in range(each):
            way = _WAYS[number % len(_WAYS)]
            path = rng.choice(bench.files[kind])
            with bench.damaged(path, way, rng):
                code, said = bench.verified(path, "--repair")
                store = bench.store_of(path)
                differing = running.differing(store, expected[store])
            if code or differing:
                failed.append((way, path, code, said, differing))
                shutil.rmtree(store)
                shutil.copytree(given.folder / "inputs" / store.name, store)
        row = {"fired": each, "recovered": each - len(failed), "seconds": time.monotonic() - since}
        told("damage: repaired", kind, **row, examples=[str(one) for one in failed[:3]])
        assert not failed, failed[:3]


def test_damage_in_every_kind_of_store_is_found_and_named(small: ranges.Range, tmp_path: Path, told: Told) -> None:
    find(small, tmp_path, told, {"bit flip": 50, "truncation": 15, "deletion": 15})


def test_damage_in_every_kind_of_store_is_repaired_to_the_same_bytes(
    small: ranges.Range, tmp_path: Path, told: Told
) -> None:
    repair(small, tmp_path, told, len(KINDS))


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_thousand_bit_flips_are_found_and_named(small: ranges.Range, tmp_path: Path, told: Told) -> None:
    find(small, tmp_path, told, {"bit flip": 1000, "truncation": 100, "deletion": 100})


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_fifty_damages_are_repaired_to_the_same_bytes(small: ranges.Range, tmp_path: Path, told: Told) -> None:
    repair(small, tmp_path, told, 50)


@pytest.mark.campaign
def test_ten_thousand_good_chunks_are_not_accused(small: ranges.Range, tmp_path: Path, told: Told) -> None:
    since, source = time.monotonic(), Store.at(small.input("featurize") / "features.zarr")
    dataset = source.open().load()
    blocks, per_block = dataset.sizes["glacier"], sum("glacier" in dataset[name].dims for name in dataset.variables)
    count = -(-10_000 // per_block)
    static = dataset.drop_dims("glacier")
    static.attrs = {name: value for name, value in dataset.attrs.items() if not name.startswith("glacierscale_")}
    store = Store(str(tmp_path / "many.zarr"), schema.FEATURES)
    store.declare(static, source.stamp, sizes={"glacier": count, "band": dataset.sizes["band"]}, chunks={"glacier": 1})
    rng = np.random.default_rng(0)
    for block in store.blocks():
        one = dataset.isel(glacier=slice(block.start % blocks, block.start % blocks + 1))
        arrays = {str(name): one[name].values for name in one.variables if "glacier" in one[name].dims}
        arrays["predictors"] = arrays["predictors"] + rng.normal(0, 1, arrays["predictors"].shape).astype("float32")
        store.write(block, arrays)
    chunks = sum(1 for _ in (tmp_path / "many.zarr").glob("*/c/**/*") if _.is_file())
    assert chunks >= 10_000
    assert store.verify() == []
    told("good chunks accused", "features", fired=chunks, recovered=chunks, seconds=time.monotonic() - since)
