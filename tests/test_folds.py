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
    plan = folds.plan(**table(glaciers=4), schemes=folds.DEFAULT_SCHEMES, block_years=6, buffer_km=0.0)
    names = {scheme: [plan.folds[n].name for n in plan.of(scheme)] for scheme in folds.DEFAULT_SCHEMES}
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
    near = folds.places.within(lon, lat, np.array([True, False, False]), 5.0)
    assert near.tolist() == [True, True, False]


def test_spatial_blocks_of_many_glaciers_are_few_and_hold_every_glacier_whole() -> None:
    t = table(glaciers=30, years=3)
    plan = folds.plan(**t, schemes=["spatial_blocks"], glacier_groups=4, buffer_km=1.0)
    tested = [set(t["unit"][plan.folds[n].test]) for n in plan.of("spatial_blocks")]
    assert len(tested) == 4
    assert sum(map(len, tested)) == 30
    assert set.union(*tested) == set(t["unit"])


def planted(scheme: str, train: list[int], test: list[int]) -> folds.Fold:
    return folds.Fold(scheme=scheme, name="x", train=np.array(train, int), test=np.array(test, int))


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
    plan = folds.plan(**t, schemes=folds.DEFAULT_SCHEMES, glacier_groups=3, block_years=4)
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


def observations(t: dict[str, np.ndarray], extra: int, seed: int) -> dict[str, np.ndarray]:
    """The annual rows, then others: of their glaciers and two without annual rows, over one year or many."""
    rng = np.random.default_rng(seed)
    names, at = np.unique(t["unit"], return_index=True)
    place = {n: (t["lon"][i], t["lat"][i]) for n, i in zip(names, at, strict=True)}
    place |= {"X0": (place[names[0]][0] + 0.01, place[names[0]][1]), "X1": (40.0, 40.0)}
    unit = rng.choice(list(place), extra)
    first = rng.integers(1985, 2008, extra)
    lon, lat = np.array([place[u] for u in unit]).reshape(-1, 2).T
    return {
        "unit": np.concatenate([t["unit"], unit]),
        "first_year": np.concatenate([t["year"], first]),
        "last_year": np.concatenate([t["year"], first + rng.choice([0, 0, 0, 1, 3, 10], extra)]),
        "lon": np.concatenate([t["lon"], lon]),
        "lat": np.concatenate([t["lat"], lat]),
    }


@settings(max_examples=25, deadline=None)
@given(
    st.integers(7, 9), st.integers(10, 14), st.floats(0.8, 1), st.integers(2, 3), st.integers(4, 12), st.integers(0, 99)
)
def test_an_extended_plan_keeps_its_folds_and_never_trains_on_what_they_hold_out(
    glaciers: int, years: int, keep: float, block_years: int, groups: int, seed: int
) -> None:
    t = table(glaciers, years, keep, seed)
    schemes = ("logo", "loyo", "lsygo", "year_blocks")
    plan = folds.plan(**t, schemes=schemes, block_years=block_years, glacier_groups=groups)
    o = observations(t, 80, seed)
    many = folds.extend(plan, **o)
    annual = np.arange(len(t["unit"]))
    for one, fold in zip(plan.folds, many.folds, strict=True):
        assert (one.scheme, one.name) == (fold.scheme, fold.name)
        np.testing.assert_array_equal(np.intersect1d(fold.train, annual), one.train)
        np.testing.assert_array_equal(np.intersect1d(fold.test, annual), one.test)
        held_years, held_units = set(t["year"][one.test].tolist()), set(t["unit"][one.test].tolist())
        trained = set(fold.train.tolist())
        for row in range(len(o["unit"])):
            period = set(range(o["first_year"][row], o["last_year"][row] + 1))
            touched = one.scheme in folds.HOLDS_OUT_YEARS and period & held_years
            ours = one.scheme in folds.HOLDS_OUT_GLACIERS and o["unit"][row] in held_units
            if touched or ours:
                assert row not in trained
            elif one.scheme != "lsygo":  # its years and glaciers without a test row are held out all the same
                assert (row in trained) or period & set(fold.years)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0, 20))
def test_a_plan_extended_to_its_own_rows_is_the_same_plan(seed: int, buffer_km: float) -> None:
    t = table(glaciers=9, years=12, keep=0.9, seed=seed)
    own = {"unit": t["unit"], "first_year": t["year"], "last_year": t["year"], "lon": t["lon"], "lat": t["lat"]}
    plan = folds.plan(**t, schemes=folds.DEFAULT_SCHEMES, glacier_groups=5, buffer_km=buffer_km)
    for before, after in zip(plan.folds, folds.extend(plan, **own, buffer_km=buffer_km).folds, strict=True):
        assert (before.scheme, before.name) == (after.scheme, after.name)
        np.testing.assert_array_equal(before.train, after.train)
        np.testing.assert_array_equal(before.test, after.test)


def test_a_period_that_touches_a_held_out_year_does_not_train_and_tests_only_if_it_lies_within() -> None:
    plan = folds.plan(**table(glaciers=4), schemes=["logo", "loyo", "lsygo", "year_blocks"], block_years=6)
    t = table(glaciers=4)
    more = [("G00", 1990, 1995), ("G00", 1994, 1997), ("G01", 1994, 1994), ("Z", 1994, 1994), ("Z", 1970, 1989)]
    unit, first, last = (
        np.concatenate([t[k], [row[i] for row in more]]) for i, k in ((0, "unit"), (1, "year"), (2, "year"))
    )
    degrees = np.full(len(unit), 11.0)
    many = folds.extend(plan, unit, first, last, degrees, degrees)
    start = len(t["unit"])

    def states(name: str) -> str:
        """What becomes of each of the other observations: t test, l learn, - neither."""
        fold = next(fold for fold in many.folds if fold.name == name)
        rows = range(start, start + len(more))
        return "".join("t" if row in fold.test else "l" if row in fold.train else "-" for row in rows)

    assert states("nothing") == "lllll"
    assert states("G00") == "ttlll"
    assert states("1994") == "--ttl"
    assert states("1990-1995") == "t-ttl"
    assert states("G00 in 1990-1995") == "t---l"
    assert states("G01 in 1996-2001") == "l--ll"


def test_a_year_inside_a_held_out_block_is_held_out_though_no_annual_row_is_of_it() -> None:
    t = table(glaciers=4)
    kept = t["year"] != 1992
    plan = folds.plan(**{k: v[kept] for k, v in t.items()}, schemes=["year_blocks"], block_years=6)
    many = folds.extend(plan, t["unit"], t["year"], t["year"], t["lon"], t["lat"])
    tested = t["year"][many.folds[1].test]
    assert (tested == 1992).sum() == 4
    assert 1992 not in t["year"][many.folds[1].train]


def test_glaciers_without_annual_rows_do_not_train_inside_the_buffer_of_a_held_out_one() -> None:
    t = table(glaciers=6)
    plan = folds.plan(**t, schemes=["spatial_blocks"], glacier_groups=6, buffer_km=1.0)
    o = observations(t, 200, 3)
    many = folds.extend(plan, **o, buffer_km=1.0)
    first = many.folds[1]
    assert first.glaciers == ("G00",)
    assert "X0" not in o["unit"][first.train]
    assert "X1" in o["unit"][first.train]
    assert set(o["unit"][first.test]) == {"G00"}


def test_long_periods_that_leave_nothing_to_learn_from_are_refused() -> None:
    t = table()
    plan = folds.plan(**t, schemes=["loyo"])
    with pytest.raises(ValueError, match="loyo without 1990 leaves 0 rows to train on"):
        folds.extend(plan, t["unit"], np.full(72, 1980), np.full(72, 2010), t["lon"], t["lat"])
    with pytest.raises(ValueError, match="72 observations end before their first year"):
        folds.extend(plan, t["unit"], t["year"], t["year"] - 1, t["lon"], t["lat"])


def test_a_plan_that_does_not_say_what_it_holds_out_is_not_extended() -> None:
    t = table()
    plan = folds.plan(**t, schemes=["logo"])
    bare = tuple(dataclasses.replace(fold, glaciers=()) for fold in plan.folds)
    with pytest.raises(ValueError, match="logo without G00 states no glaciers or years that it holds out"):
        folds.extend(folds.FoldPlan(folds=bare), t["unit"], t["year"], t["year"], t["lon"], t["lat"])


@pytest.mark.parametrize(
    ("scheme", "train", "test", "words"),
    [
        ("loyo", [0, 3], [1], "the years .1991. are in training and test"),  # row 0 spans 1990 to 1992
        ("year_blocks", [2], [0], "the years .1992. are in training and test"),
        ("lsygo", [0], [3], "the years .1992. are in training and test"),
    ],
)
def test_a_leak_through_a_period_is_found(scheme: str, train: list[int], test: list[int], words: str) -> None:
    unit = np.array(["A", "B", "C", "D"])
    first, last = np.array([1990, 1991, 1992, 1992]), np.array([1992, 1991, 1992, 1995])
    with pytest.raises(folds.LeakError, match=words):
        folds.check_no_leak(planted(scheme, train, test), unit, first, last)


def test_training_on_what_a_fold_says_it_holds_out_is_a_leak_though_nothing_is_tested() -> None:
    unit, year = np.array(["A", "B"]), np.array([1990, 1991])
    empty = planted("lsygo", [0], [])
    with pytest.raises(folds.LeakError, match=r"the years .1990. are in training"):
        folds.check_no_leak(dataclasses.replace(empty, years=(1990,)), unit, year)
    with pytest.raises(folds.LeakError, match=r"the glaciers .'A'. are in training"):
        folds.check_no_leak(dataclasses.replace(empty, glaciers=("A",)), unit, year)


def points(east_m: np.ndarray, north_m: np.ndarray, lon: float = 20.0, lat: float = 66.0) -> dict[str, np.ndarray]:
    """Points of one glacier by their distance from a place."""
    metres = np.radians(1) * 6_371_000
    n = len(east_m)
    degrees = ((lon + east_m / metres / np.cos(np.radians(lat)) + 180) % 360 - 180, lat + north_m / metres)
    centre = {"lon": np.full(n, lon), "lat": np.full(n, lat)}
    identity = {"unit": np.full(n, "G"), "year": np.full(n, 2000)}
    return identity | centre | {"point_lon": degrees[0], "point_lat": degrees[1]}


@pytest.mark.parametrize("lon", [20.0, 180.0])
def test_halves_are_cut_across_the_longer_axis_in_metres(lon: float) -> None:
    east, north = (a.ravel() for a in np.meshgrid(np.arange(0, 1000, 100.0), np.arange(0, 1800, 100.0)))
    # 1 km is more degrees of longitude at 66 degrees north than 1.8 km are of latitude, yet the glacier runs north
    plan = folds.plan(**points(east, north, lon), schemes=["halves"])
    assert [(fold.scheme, fold.name) for fold in plan.folds[1:]] == [
        ("halves", "first half"),
        ("halves", "second half"),
    ]
    south, rest = plan.folds[1:]
    assert set(north[south.test]) == set(np.arange(0, 900, 100.0))
    assert set(north[rest.test]) == set(np.arange(900, 1800, 100.0))
    np.testing.assert_array_equal(south.train, rest.test)
    np.testing.assert_array_equal(rest.train, south.test)


def test_a_glacier_that_runs_diagonally_is_cut_across_its_run() -> None:
    along, across = (a.ravel() for a in np.meshgrid(np.arange(-2000, 2001, 160.0), np.arange(-500, 501, 250.0)))
    plan = folds.plan(**points(along - across, along + across), schemes=["halves"])
    assert (along[plan.folds[1].test] < 0).all()
    assert (along[plan.folds[2].test] >= 0).all()


def test_points_near_the_cut_test_but_do_not_train() -> None:
    east = np.arange(0, 4000, 100.0)  # cut at 1950 m
    plan = folds.plan(**points(east, np.zeros(40)), schemes=["halves"], cut_km=0.2)
    west, rest = plan.folds[1:]
    assert east[west.test].max() == 1900
    assert east[west.train].min() == 2200
    assert east[rest.test].min() == 2000
    assert east[rest.train].max() == 1700


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(40, 60), st.integers(1, 4), st.floats(0, 0.3), st.integers(0, 99))
def test_halves_test_each_point_once_and_never_train_at_a_place_that_they_test(
    glaciers: int, places: int, years: int, cut_km: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts = [points(*rng.normal(0, 1500, (2, places)), 20.0 + g) for g in range(glaciers)]
    t = {k: np.tile(np.concatenate([part[k] for part in parts]), years) for k in parts[0]}
    t["unit"] = np.tile(np.repeat([f"G{g}" for g in range(glaciers)], places), years)
    whole = {k: np.append(v, v[0]) for k, v in t.items()} | {"point_lon": np.append(t["point_lon"], np.nan)}
    plan = folds.plan(**whole, schemes=["halves"], cut_km=cut_km)
    tested = np.concatenate([fold.test for fold in plan.folds[1:]])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(t["unit"])))  # the last row observes no point
    for fold in plan.folds[1:]:
        assert len(t["unit"]) not in fold.train
        trained, held = ({(t["point_lon"][r], t["point_lat"][r]) for r in rows} for rows in (fold.train, fold.test))
        assert not trained & held
        for glacier in np.unique(t["unit"]):
            share = (t["unit"][fold.test] == glacier).sum() / (t["unit"] == glacier).sum()
            assert share == pytest.approx(0.5, abs=0.5 / places + 1e-9)


def test_glaciers_without_points_train_in_both_halves() -> None:
    t = points(np.arange(0, 4000, 100.0), np.zeros(40))
    t = {k: np.append(v, v[:2]) for k, v in t.items()}
    t["unit"][-1] = "H"
    t["point_lon"][-2:] = np.nan  # a balance of all of G, and one of H
    plan = folds.plan(**t, schemes=["halves"])
    for fold in plan.folds[1:3]:
        assert 41 in fold.train
        assert 40 not in {*fold.train, *fold.test}


def test_halves_without_positions_are_refused_and_not_extended() -> None:
    with pytest.raises(ValueError, match="halves need the positions of points: give point_lon and point_lat"):
        folds.plan(**table(), schemes=["halves"])
    nowhere = np.full(72, np.nan)
    with pytest.raises(ValueError, match="halves need the positions of points"):
        folds.plan(**table(), schemes=["halves"], point_lon=nowhere, point_lat=nowhere)
    t = points(np.arange(0, 4000, 100.0), np.zeros(40))
    plan = folds.plan(**t, schemes=["halves"])
    with pytest.raises(ValueError, match=r"halves without first half states no .* \(halves hold out points"):
        folds.extend(plan, t["unit"], t["year"], t["year"], t["lon"], t["lat"])


def scattered(glaciers: int = 60, seed: int = 3) -> dict[str, np.ndarray]:
    """Two rows of every glacier, over seven degrees of latitude."""
    rng = np.random.default_rng(seed)
    unit = np.repeat([f"G{u:03d}" for u in range(glaciers)], 2)
    lon, lat = (np.repeat(rng.uniform(*ends, glaciers), 2) for ends in ((5, 20), (60, 67)))
    return {"unit": unit, "year": np.tile([2009, 2019], glaciers), "lon": lon, "lat": lat}


def test_groups_of_glaciers_are_about_equal_and_the_same_for_one_seed() -> None:
    t = scattered()
    plan = folds.plan(**t, schemes=["glacier_groups"], glacier_groups=7)
    held = [plan.folds[n].glaciers for n in plan.of("glacier_groups")]
    assert sorted(len(group) for group in held) == [8, 8, 8, 9, 9, 9, 9]
    assert sorted(unit for group in held for unit in group) == sorted(set(t["unit"].tolist()))
    again = folds.plan(**t, schemes=["glacier_groups"], glacier_groups=7)
    assert [fold.glaciers for fold in again.folds] == [(), *held]
    other = folds.plan(**t, schemes=["glacier_groups"], glacier_groups=7, seed=1)
    assert [fold.glaciers for fold in other.folds] != [(), *held]


@pytest.mark.parametrize("degrees", [0.5, 1.0, 2.0])
def test_bands_of_latitude_hold_out_whole_bands(degrees: float) -> None:
    t = scattered()
    plan = folds.plan(**t, schemes=["latitude_bands"], band_degrees=degrees)
    own = [plan.folds[n] for n in plan.of("latitude_bands")]
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in own])), np.arange(120))
    for fold in own:
        assert np.ptp(t["lat"][fold.test]) < degrees
        assert not np.isin(np.floor(t["lat"][fold.train] / degrees), np.floor(t["lat"][fold.test] / degrees)).any()
        assert not np.intersect1d(t["unit"][fold.train], t["unit"][fold.test]).size
    if degrees == 2.0:
        assert [fold.name for fold in own][:2] == ["latitude 60 to 62", "latitude 62 to 64"]


@pytest.mark.parametrize("scheme", ["glacier_groups", "latitude_bands"])
def test_a_glacier_on_both_sides_of_a_group_or_band_is_a_leak(scheme: str) -> None:
    t = scattered()
    plan = folds.plan(**t, schemes=[scheme], glacier_groups=5)
    fold = plan.folds[plan.of(scheme)[0]]
    leaking = dataclasses.replace(fold, train=np.append(fold.train, fold.test[0]), test=fold.test[1:])
    with pytest.raises(folds.LeakError, match=r"the glaciers .* are in training and test"):
        folds.check_no_leak(leaking, t["unit"], t["year"])


def test_thousands_of_folds_are_refused_and_groups_proposed() -> None:
    t = scattered(glaciers=folds.MANY_FOLDS + 1)
    with pytest.raises(
        ValueError, match=r"logo would make 401 folds.*glacier_groups, latitude_bands or spatial_blocks"
    ):
        folds.plan(**t, schemes=["logo"])
    assert len(folds.plan(**t, schemes=["glacier_groups"]).folds) == 11
