from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glacierscale.exploration.atlas import open_atlas
from glacierscale.exploration.reading import Cache, mean_of, part_of, percentiles
from glacierscale.store import StoreError


def test_series_of_a_glacier_read_its_own_chunks_alone(small_folder: str, tmp_path: Path) -> None:
    whole = open_atlas(small_folder)
    expected = whole.balance(7), whole.evolution(7, "volume")
    shutil.copytree(small_folder, tmp_path / "run")
    removed = 0
    for store in ("smb", "ice"):
        for name in ("smb", "smb_std", "smb_member", "volume", "area", "runoff"):
            for chunk in (tmp_path / "run" / f"{store}.zarr" / name).rglob("c/**/*"):
                parts = chunk.relative_to(tmp_path / "run" / f"{store}.zarr" / name / "c").parts
                along = parts[0] if name in ("smb", "smb_std") and store == "smb" else parts[1:2] and parts[1]
                if chunk.is_file() and along != "1":  # glaciers 5 to 9
                    chunk.unlink()
                    removed += 1
    assert removed >= 10
    torn = open_atlas(tmp_path / "run")
    assert torn.balance(7).equals(expected[0])
    assert torn.evolution(7, "volume").equals(expected[1])
    for other in (0, 11):
        with pytest.raises(StoreError, match="missing"):
            torn.balance(other)
        with pytest.raises(StoreError, match="missing"):
            torn.evolution(other, "volume")
    with pytest.raises(StoreError, match="missing"):
        torn.values("smb_mean")
    some = torn.region("volume", glaciers=[5, 9])  # reads the block that has them
    np.testing.assert_array_equal(some["mean"], whole.region("volume", glaciers=[5, 9])["mean"])


def test_what_was_not_asked_for_longest_goes_first_when_the_cache_is_full() -> None:
    cache, made = Cache(most_bytes=2000), []

    def ask(key: str, size: int = 100) -> None:
        cache.made(key, lambda: made.append(key) or np.zeros(size))  # type: ignore[func-returns-value]

    for key in "abacab":
        ask(key)
    assert made == ["a", "b", "c", "b"]
    assert cache.bytes == 1600
    ask("large", 1000)
    assert cache.bytes == 8000  # what is needed now is kept, alone
    ask("large")
    ask("a")
    assert made[4:] == ["large", "a"]


def test_a_reading_that_fails_is_tried_again_by_those_who_wait_and_leaves_nothing() -> None:
    cache, tries = Cache(), []  # type: ignore[var-annotated]

    def make() -> npt.NDArray[Any]:
        time.sleep(0.01)
        tries.append(len(tries))
        if len(tries) < 3:
            raise StoreError("not now")
        return np.ones(1)

    def ask(_: int) -> float | str:
        try:
            return float(cache.made("key", make)[0])
        except StoreError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert sorted(map(str, found)) == ["1.0"] * 6 + ["not now"] * 2
    assert len(tries) == 3
    assert cache._making == set()


def test_values_are_the_same_where_members_do_not_fit_into_the_cache(small_folder: str) -> None:
    roomy, tight = open_atlas(small_folder), open_atlas(small_folder)
    tight.cache.most_bytes = 5_000
    for name, scenario in (("smb", ""), ("volume", "ssp585"), ("thickness", "ssp245")):
        for member in (0, 9):
            np.testing.assert_array_equal(
                roomy.values(name, scenario=scenario, member=member),
                tight.values(name, scenario=scenario, member=member),
            )
    assert tight.cache.bytes < roomy.cache.bytes


def test_means_and_percentiles_are_of_what_is_known() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, np.nan, 4.0]])
    np.testing.assert_array_equal(mean_of(values), [2.0, np.nan, 4.0])
    np.testing.assert_array_equal(percentiles(values, (0.0, 100.0)), [[1, np.nan, 4], [3, np.nan, 4]])
    assert np.isnan(mean_of(np.empty((0, 2)))).all()


def test_progress_of_a_part_is_a_share_of_the_whole() -> None:
    told: list[float] = []
    second = part_of(told.append, 1, 2)
    assert second is not None
    second(0.5)
    assert told == [0.75]
    assert part_of(None, 0, 2) is None
