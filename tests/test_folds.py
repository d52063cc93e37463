"""Cross-validation plans: disjoint, complete, and without leaks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glacierscale import folds


def table(glaciers: int = 6, years: int = 12, keep: float = 1.0, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit, year = (a.ravel() for a in np.meshgrid(np.arange(glaciers), 1990 + np.arange(years), indexing="ij"))
    lon, lat = rng.uniform(10, 12, glaciers), rng.uniform(46, 47, glaciers)
    kept = rng.uniform(size=len(unit)) < keep
    unit, year = unit[kept], year[kept]
    return {"unit": np.array([f"G{u:02d}" for u in unit]), "year": year, "lon": lon[unit], "lat": lat[unit]}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(7, 9), st.integers(10, 14), st.floats(0.9, 1), st.integers(2, 3), st.integers(4, 12), st.integers(0, 99)
)
def test_every_scheme_tests_each_row_once_and_never_trains_on_what_it_holds_out(
    glaciers: int, years: int, keep: float, block_years: int, groups: int, seed: int
) -> None:
    t = table(glaciers, years, keep, seed)
    schemes = ("logo", "loyo", "lsygo", "year_blocks")
    plan = folds.plan(**t, schemes=schemes, block_years=block_years, glacier_groups=groups)
    for scheme in schemes:
        own = [plan.folds[n] for n in plan.of(scheme)]
        tested = np.concatenate([fold.test for fold in own])
        np.testing.assert_array_equal(np.sort(tested), np.arange(len(t["unit"])))
        for fold in own:
            assert not np.intersect1d(fold.train, fold.test).size
            for what, held in (("year", ("loyo", "lsygo", "year_blocks")), ("unit", ("logo", "lsygo"))):
                if scheme in held:
                    assert not np.intersect1d(t[what][fold.train], t[what][fold.test]).size
            if scheme != "lsygo":  # nothing is wasted
                assert len(fold.train) + len(fold.test) == len(t["unit"])


def test_the_first_fold_holds_nothing_out_and_trains_on_all() -> None:
    t = table()
    first = folds.plan(**t, schemes=["logo"]).folds[0]
    assert (first.scheme, len(first.train), len(first.test)) == (folds.ALL, 72, 0)


def test_names_say_what_is_held_out() -> None:
    plan = folds.plan(**table(glaciers=4), schemes=folds.SCHEMES, block_years=6, buffer_km=0.0)
    names = {scheme: [plan.folds[n].name for n in plan.of(scheme)] for scheme in folds.SCHEMES}
    assert names["logo"] == ["G00", "G01", "G02", "G03"]
    assert names["loyo"][0] == "1990"
    assert names["year_blocks"] == ["1990-1995", "1996-2001"]
    assert "G00 in 1990-1995" in names["lsygo"]


def test_glaciers_nearer_than_the_buffer_neither_train_nor_test() -> None:
    t = table(glaciers=6)
    place = np.array([10.0, 10.02, 11.0, 11.5, 12.0, 12.5])  # the first two lie 1.5 km apart at 47 degrees
    unit = np.array([int(u[1:]) for u in t["unit"]])
    t |= {"lon": place[unit], "lat": np.full(len(unit), 47.0)}
    plan = folds.plan(**t, schemes=["spatial_blocks"], glacier_groups=6, buffer_km=5.0)
    trained = [set(np.unique(unit[plan.folds[n].train])) for n in plan.of("spatial_blocks")]
    assert trained[0] == trained[1] == {2, 3, 4, 5}
    assert trained[2] == {0, 1, 3, 4, 5}


def test_distance_is_right_across_the_date_line() -> None:
    lon, lat = np.array([179.99, -179.99, 170.0]), np.zeros(3)
    near = folds._within(lon, lat, np.array([True, False, False]), 5.0)
    assert near.tolist() == [True, True, False]


def test_spatial_blocks_of_many_glaciers_are_few_and_hold_every_glacier_whole() -> None:
    t = table(glaciers=30, years=3)
    plan = folds.plan(**t, schemes=["spatial_blocks"], glacier_groups=4, buffer_km=1.0)
    tested = [set(t["unit"][plan.folds[n].test]) for n in plan.of("spatial_blocks")]
    assert len(tested) == 4
    assert sum(map(len, tested)) == 30
    assert set.union(*tested) == set(t["unit"])


def planted(scheme: str, train: list[int], test: list[int]) -> folds.Fold:
    return folds.Fold(scheme=scheme, name="x", train=np.array(train), test=np.array(test))


@pytest.mark.parametrize(
    ("scheme", "train", "test", "words"),
    [
        ("loyo", [0, 1, 3], [2], "the years .1991. are in training and test"),  # row 3 is of the same year
        ("year_blocks", [3], [2], "the years .1991. are in training and test"),
        ("logo", [0, 1], [2], "the glaciers .'B'. are in training and test"),
        ("lsygo", [1], [2], "the glaciers .'B'. are in training and test"),
        ("lsygo", [3], [2], "the years .1991. are in training and test"),
        ("spatial_blocks", [1], [2], "the glaciers .'B'. are in training and test"),
        ("logo", [0, 2], [2], "rows .2. are in training and test"),
        (folds.ALL, [0, 2], [2], "rows .2. are in training and test"),
    ],
)
def test_a_planted_leak_is_found(scheme: str, train: list[int], test: list[int], words: str) -> None:
    unit, year = np.array(["A", "B", "B", "C"]), np.array([1990, 1990, 1991, 1991])
    with pytest.raises(folds.LeakError, match=words):
        folds.check_no_leak(planted(scheme, train, test), unit, year)


def test_moving_one_test_row_into_training_is_a_leak_in_every_scheme() -> None:
    t = table()
    plan = folds.plan(**t, schemes=folds.SCHEMES, glacier_groups=3, block_years=4)
    for fold in plan.folds[1:]:
        leaky = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]))
        with pytest.raises(folds.LeakError):
            folds.check_no_leak(leaky, t["unit"], t["year"])


def test_a_fold_with_too_few_rows_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ValueError, match=r"logo without G00 leaves 6 rows to train on, expected at least 10.*leave 'logo'"
    ):
        folds.plan(**table(glaciers=2, years=6), schemes=["logo"])


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown cross-validation schemes \['kfold'\]"):
        folds.plan(**table(), schemes=["logo", "kfold"])
