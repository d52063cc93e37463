"""Train: every fold blind to what it holds out; a model made once is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glacierscale import folds, provenance
from glacierscale.models.held_out import HeldOut
from glacierscale.training import judging, loop, nets
from glacierscale.training.options import TrainOptions

STAMP = provenance.Stamp(verb="train", options={}, inputs={})
NAMES = ("cpdd_anomaly", "winter_snow_anomaly", "slope20", "area")
QUICK = TrainOptions(hold_out=("logo",), members=2, epochs=4, hidden=(4,))


@pytest.fixture(scope="module")
def few(features: Any) -> Any:
    from glacierscale.models.rows import observed_rows

    return observed_rows(features.open(), NAMES)


def test_absurd_targets_of_held_out_rows_change_nothing_in_the_fold_that_holds_them_out(few: Any) -> None:
    options = dataclasses.replace(QUICK, like_years=True)
    before = loop.fit(few, NAMES, options, STAMP)
    number = before.plan.of("logo")[2]
    observed = few.observed.copy()
    observed[before.plan.folds[number].test] = 1e7
    after = loop.fit(dataclasses.replace(few, observed=observed), NAMES, options, STAMP)
    for name in ("precip_factor", "degree_day_factor", "bias"):
        assert getattr(after.base, name)[number] == getattr(before.base, name)[number]
    for name in ("mean", "std", "low", "high"):
        np.testing.assert_array_equal(getattr(after.scaler, name)[number], getattr(before.scaler, name)[number])
    np.testing.assert_array_equal(after.nets["lasso"].coefficient[number], before.nets["lasso"].coefficient[number])
    assert after.nets["mlp"].scale[number] == before.nets["mlp"].scale[number]
    for name, value in before.nets["mlp"].parameters.items():
        np.testing.assert_array_equal(after.nets["mlp"].parameters[name][number], value[number])
    for net in before.nets:
        assert after.residual_std[net][number] == before.residual_std[net][number]
        np.testing.assert_array_equal(after.like_years[net].weight[number], before.like_years[net].weight[number])
    assert after.base.degree_day_factor[0] != before.base.degree_day_factor[0]  # the fold of all rows did see them


def test_what_is_left_of_glaciers_that_members_had_not_seen_knows_nothing_of_the_one_that_is_held_out(few: Any) -> None:
    """Enough glaciers, by name alone, for members to leave some of them out."""
    rows = dataclasses.replace(few, unit_id=np.array([f"G{n % 10}" for n in range(len(few))]))
    options = dataclasses.replace(QUICK, nets=("lasso",), members=8)
    before = loop.fit(rows, NAMES, options, STAMP)
    number = before.plan.of("logo")[2]
    observed = rows.observed.copy()
    observed[before.plan.folds[number].test] = 1e7
    after = loop.fit(dataclasses.replace(rows, observed=observed), NAMES, options, STAMP)
    left = before.unseen_left["lasso"]
    np.testing.assert_array_equal(after.unseen_left["lasso"][number], left[number])
    assert np.isnan(left[number, 2])
    assert np.isfinite(left[number]).sum() > 6
    assert np.isnan(left[0]).all()  # members of the fold of all rows leave out years


def test_like_years_help_held_out_glaciers_where_the_predictors_know_no_year_and_survive_storing(
    few: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    years, of_row = np.unique(few.hydro_year, return_inverse=True)
    shared = 800.0 * rng.normal(size=len(years))[of_row]
    rows = dataclasses.replace(few, observed=few.observed + shared)
    options = dataclasses.replace(QUICK, nets=("lasso",), hold_out=("logo", "loyo"), members=3)

    def errors(like_years: bool) -> tuple[Any, dict[str, float]]:
        model = loop.fit(rows, NAMES, dataclasses.replace(options, like_years=like_years), STAMP)
        held = {scheme: model.held_out(rows.design, "lasso", scheme) for scheme in ("logo", "loyo")}
        return model, {s: float(np.sqrt(np.mean((h.mean - rows.observed[h.row]) ** 2))) for s, h in held.items()}

    (bare, without), (model, found) = errors(False), errors(True)
    assert found["logo"] < 0.7 * without["logo"]
    assert found["loyo"] < 1.1 * without["loyo"]  # nothing is known of a year that is held out
    model.save(tmp_path)
    again = type(model).load(tmp_path)
    assert again.fingerprint == model.fingerprint
    np.testing.assert_array_equal(again.predict(rows.design, "lasso"), model.predict(rows.design, "lasso"))
    np.testing.assert_array_equal(again.plain.predict(rows.design, "lasso"), bare.predict(rows.design, "lasso"))
    np.testing.assert_array_equal(again.plain.residual_std["lasso"], bare.residual_std["lasso"])
    assert bare.plain is bare


def test_like_years_are_refused_for_rows_of_many_years(few: Any) -> None:
    with pytest.raises(ValueError, match="like_years asks for annual rows, but these are of kind geodetic; leave it"):
        loop.fit(geodetic(few), PLACED, dataclasses.replace(GEODETIC, like_years=True), STAMP, row_kind="geodetic")


def planned(glaciers: int) -> tuple[np.ndarray, np.ndarray, folds.FoldPlan]:
    unit = np.repeat([f"G{n:02d}" for n in range(glaciers)], 12)
    year = np.tile(np.arange(1990, 2002), glaciers)
    place = np.repeat(np.arange(glaciers, dtype=float), 12)
    return unit, year, folds.plan(unit, year, place, place, ("logo", "loyo", "lsygo"), block_years=6, glacier_groups=20)


@pytest.mark.parametrize("glaciers", [4, 12])
def test_members_stop_by_whole_glaciers_where_the_fold_holds_out_them_alone_and_has_enough_else_by_years(
    glaciers: int,
) -> None:
    unit, year, plan = planned(glaciers)
    rows, number = len(unit), len(plan.folds)
    lesson = nets.Lesson(
        scaled=np.zeros((number, rows, 1)),
        left=np.zeros((number, rows)),
        weight=np.ones(rows),
        stated=np.ones(rows),
        group=nets.inner_groups(plan, unit, year),
        plan=plan,
        predictors=("a",),
    )
    training, validation = nets.draw(lesson, TrainOptions(members=3))
    for at, fold in enumerate(plan.folds):
        whole = unit if glaciers == 12 and fold.scheme == "logo" else year
        for learn, stop in zip(training[at], validation[at], strict=True):
            np.testing.assert_array_equal(np.flatnonzero(learn | stop), np.sort(fold.train))  # never a test row
            assert not np.intersect1d(whole[learn], whole[stop]).size
            assert stop.any()
            assert not (learn & stop).any()
    assert (validation[0, 0] != validation[0, 1]).any()


def test_the_spread_of_what_is_left_counts_rows_outside_the_bag_alone() -> None:
    left = np.array([[1.0, 2.0, 30.0]])
    out_of_bag = np.array([[[0.0, np.nan, np.nan], [4.0, 5.0, np.nan]]])
    np.testing.assert_allclose(judging.residual_std(left, out_of_bag), [np.sqrt(((1 - 2) ** 2 + (2 - 5) ** 2) / 2)])


def test_what_is_left_of_a_glacier_is_a_mean_over_rows_that_members_did_not_learn_from() -> None:
    glacier, year = np.array([0, 0, 1, 2]), np.array([1990, 1991, 1990, 1990])
    left = np.array([[1.0, 2.0, 30.0, 7.0]] * 2)
    out_of_bag = np.array([[[0.0, 0.0, np.nan, np.nan], [4.0, 2.0, np.nan, 5.0]]] * 2)
    found = judging.unseen_left(left, out_of_bag, np.stack([glacier, year]), glacier)
    np.testing.assert_allclose(found, [[((1 - 2) + (2 - 1)) / 2, np.nan, 2.0], [np.nan] * 3])


def test_sums_of_errors_spread_as_the_share_says_that_lasts() -> None:
    """Errors of 200 glaciers over 15 years, of which 200 kg m-2 are the glacier's own and 100 each year's."""
    rng, glaciers, years = np.random.default_rng(0), 200, 15
    own = 200 * rng.normal(size=(glaciers, 1))
    each = 100 * rng.normal(size=(glaciers, years))
    rows: Any = SimpleNamespace(observed=np.zeros(each.size), unit_id=np.repeat(np.arange(glaciers), years).astype(str))

    def held(error: Any) -> HeldOut:
        number = np.arange(each.size)
        return HeldOut(row=number, fold=number, mean=error.ravel(), spread=0 * number, residual=0 * number)

    found = {("mlp", "logo"): held(own + each), ("mlp", "loyo"): held(each)}
    known, unknown = judging.lasting_shares(rows, found, "mlp")
    assert known == pytest.approx(0.0, abs=0.02)
    assert unknown == pytest.approx(0.8, abs=0.05)
    std = np.hypot(200, 100) * np.sqrt((1 - unknown) * years + unknown * years**2)
    assert np.mean(np.abs((own + each).sum(axis=1)) < 1.645 * std) == pytest.approx(0.9, abs=0.05)
    assert judging.lasting_shares(rows, {}, "mlp") == (0.0, 0.0)


def test_a_single_member_trains_without_a_spread(few: Any) -> None:
    found = loop.fit(few, NAMES, dataclasses.replace(QUICK, members=1), STAMP)
    assert all(np.isfinite(value) and value > 0 for value in found.unseen_std.values())


def test_without_folds_the_first_net_is_best_and_all_rows_train(few: Any) -> None:
    options = dataclasses.replace(QUICK, hold_out=(), nets=("mlp", "lasso"))
    found = loop.fit(few, NAMES, options, STAMP)
    assert (found.best_observed, found.best_unobserved) == ("mlp", "mlp")
    assert [fold.scheme for fold in found.plan.folds] == [folds.ALL]


@pytest.mark.parametrize("order", [("lasso", "mlp"), ("mlp", "lasso")])
def test_the_net_with_less_error_is_best_whichever_comes_first(few: Any, order: tuple[str, ...]) -> None:
    found = loop.fit(few, NAMES, dataclasses.replace(QUICK, nets=order), STAMP)
    error = {}
    for net in found.nets:
        held = found.held_out(few.design, net, "logo")
        error[net] = np.sqrt(np.mean((held.mean - few.observed[held.row]) ** 2))
    assert found.best_unobserved == found.best_observed == min(error, key=lambda net: error[net])


def test_without_the_base_the_nets_learn_the_balance_itself(few: Any) -> None:
    found = loop.fit(few, NAMES, dataclasses.replace(QUICK, base=False, nets=("lasso",)), STAMP)
    np.testing.assert_array_equal(found.base.predict(0, few.design.snow, few.design.degree_days), 0)
    held = found.held_out(few.design, "lasso", "logo")
    for unit in np.unique(few.unit_id):
        of = few.unit_id[held.row] == unit
        assert np.corrcoef(held.mean[of], few.observed[held.row][of])[0, 1] > 0.8  # anomalies tell years apart


def test_a_model_that_exists_is_loaded_and_other_options_are_refused(
    features: Any, model_folder: Path, train_options: TrainOptions
) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in model_folder.iterdir()}
    again = loop.train(features, to=model_folder, options=train_options)
    assert {p.name: p.stat().st_mtime_ns for p in model_folder.iterdir()} == before
    assert again.stamp.options["members"] == 3
    with pytest.raises(provenance.StampMismatch, match=r"options.members: there 3, now 4"):
        loop.train(features, to=model_folder, options=dataclasses.replace(train_options, members=4))


def test_training_again_gives_the_same_model_byte_for_byte(features: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        loop.train(features, to=tmp_path / name, options=dataclasses.replace(QUICK, predictors=NAMES))
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()


def test_what_does_not_train_is_told_with_its_reasons(caplog: pytest.LogCaptureFixture) -> None:
    loop._tell_left_out([f"glacier {n} band 1990: no ice between 2700 and 2750 m." for n in range(7)], None)
    assert "left out of training: glacier 0 band 1990: no ice between 2700 and 2750 m;" in caplog.text
    assert "and 2 more" in caplog.text
    caplog.clear()
    loop._tell_left_out([], None)
    assert caplog.text == ""


def geodetic(few: Any, glaciers: int = 20) -> Any:
    """Two decades of many glaciers, balances a line in the predictors."""
    rng = np.random.default_rng(5)
    rows = 2 * glaciers
    predictors = np.repeat(rng.normal(size=(glaciers, 4)), 2, axis=0) + np.tile([[0.3], [-0.3]], (glaciers, 1))
    take = np.zeros(rows, int)
    design = dataclasses.replace(few.design.take(take), predictors=predictors.astype(np.float32))
    return dataclasses.replace(
        few,
        unit_id=np.repeat([f"G{n:03d}" for n in range(glaciers)], 2),
        hydro_year=np.tile([2009, 2019], glaciers),
        observed=200 * predictors[:, 0] - 100 * predictors[:, 1] - 400 + rng.normal(0, 30, rows),
        sigma=np.tile([100.0, 400.0], glaciers),
        lon=np.repeat(rng.uniform(5, 20, glaciers), 2),
        lat=np.repeat(rng.uniform(60, 67, glaciers), 2),
        ols_terms=rng.normal(size=(rows, 2)),
        design=design,
    )


GEODETIC = TrainOptions(
    nets=("lasso", "mlp", "kriging"), hold_out=("glacier_groups", "latitude_bands"), glacier_groups=4, members=3,
    epochs=20, hidden=(4,), base=False, band_degrees=2.0,
)  # fmt: skip
PLACED = ("lat", "lon", "cpdd_anomaly", "cpdd")


def test_geodetic_rows_train_every_net_of_rows_and_folds_hold_out_whole_glaciers(few: Any, tmp_path: Path) -> None:
    from glacierscale.models.bundle import SMBModel

    rows = geodetic(few)
    found = loop.fit(rows, PLACED, GEODETIC, STAMP, row_kind="geodetic")
    assert set(found.nets) == {"lasso", "mlp", "kriging"}
    for fold in found.plan.folds[1:]:
        assert not np.intersect1d(rows.unit_id[fold.train], rows.unit_id[fold.test]).size
    held = found.held_out(rows.design, "kriging", "glacier_groups")
    assert np.sqrt(np.mean((held.mean - rows.observed[held.row]) ** 2)) < 0.7 * rows.observed.std()
    found.save(tmp_path / "model")
    again = SMBModel.load(tmp_path / "model")
    for net in found.nets:
        np.testing.assert_array_equal(again.predict(rows.design, net), found.predict(rows.design, net))
    assert again.row_kind == "geodetic"


def test_absurd_targets_that_are_held_out_change_no_process(few: Any) -> None:
    rows, options = geodetic(few), dataclasses.replace(GEODETIC, nets=("kriging",))
    before = loop.fit(rows, PLACED, options, STAMP, row_kind="geodetic")
    number = before.plan.of("latitude_bands")[1]
    observed = rows.observed.copy()
    observed[before.plan.folds[number].test] = 1e7
    after = loop.fit(dataclasses.replace(rows, observed=observed), PLACED, options, STAMP, row_kind="geodetic")
    for name in ("support", "weight", "kernel", "centre"):
        one, other = getattr(before.nets["kriging"], name)[number], getattr(after.nets["kriging"], name)[number]
        np.testing.assert_array_equal(one, other)


def test_years_cannot_be_held_out_of_geodetic_rows(few: Any) -> None:
    options = dataclasses.replace(GEODETIC, hold_out=("loyo", "glacier_groups"))
    with pytest.raises(
        ValueError, match=r"hold_out asks for \['loyo'\], but geodetic rows span many years.*glacier_groups"
    ):
        loop.fit(geodetic(few), PLACED, options, STAMP, row_kind="geodetic")


def test_errors_count_beside_what_no_model_explains(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setitem(
        nets._FIT, "lasso", lambda lesson, *rest: seen.update(w=lesson.weight) or nets.fit_lasso(lesson, *rest)
    )
    loop.fit(geodetic(few), PLACED, dataclasses.replace(GEODETIC, nets=("lasso",)), STAMP, row_kind="geodetic")
    assert seen["w"][0] / seen["w"][1] == pytest.approx((400**2 + 250**2) / (100**2 + 250**2))


def test_inner_groups_are_bands_where_a_band_is_held_out_and_glaciers_where_there_are_two_years(few: Any) -> None:
    rows = geodetic(few)
    plan = folds.plan(rows.unit_id, rows.hydro_year, rows.lon, rows.lat, GEODETIC.hold_out, band_degrees=1.0)
    group = nets.inner_groups(plan, rows.unit_id, rows.hydro_year)
    number = np.unique(rows.unit_id, return_inverse=True)[1]
    np.testing.assert_array_equal(group[0], number)
    np.testing.assert_array_equal(group[plan.of("glacier_groups")[0]], number)
    band = np.floor(rows.lat)
    found = group[plan.of("latitude_bands")[0]]
    assert all(len(set(band[found == one])) == 1 for one in set(found.tolist()))


@pytest.mark.parametrize(
    ("kinds", "options", "expected"),
    [
        (["annual", "geodetic"], {}, "annual"),
        (["geodetic", "point"], {}, "geodetic"),
        (["annual", "geodetic"], {"rows": "geodetic"}, "geodetic"),
        (["geodetic"], {"rows": "annual"}, "annual"),
        (["geodetic"], {"nets": ("lasso", "hybrid")}, "annual"),
    ],
)
def test_rows_are_annual_where_there_are_annual_balances(
    kinds: list[str], options: dict[str, Any], expected: str
) -> None:
    import xarray as xr

    data = xr.Dataset(
        {
            "obs_kind": ("observation", np.array(kinds)),
            "obs_year": ("observation", np.full(len(kinds), 2009)),
            "hydro_year": ("hydro_year", np.arange(2000, 2010)),
        }
    )
    assert loop._kind_of_rows(data, TrainOptions(**options)) == expected
