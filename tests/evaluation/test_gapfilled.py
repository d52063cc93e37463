"""Held-out glaciers with the year's other glaciers in sight: scored beside the nets, and blind to what they predict."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from glacierscale.evaluation import EvaluateOptions, evaluate, gapfilled
from glacierscale.features.tensors import featurize
from glacierscale.models.observed import Places
from glacierscale.models.rows import observed_rows
from glacierscale.training.loop import train
from glacierscale.training.options import TrainOptions
from tests.conftest import write_cube


def test_every_held_out_row_is_there_once_in_the_order_of_the_nets(
    model: Any, rows: Any, features: Any, predictions: pd.DataFrame
) -> None:
    found = gapfilled.predictions(model, rows, features.open())
    net = predictions[(predictions.scheme == "logo") & (predictions.model == "lasso")]
    assert found is not None
    assert set(found.model) == {"gapfilled"}
    for name in ("fold", "glacier_id", "hydro_year", "observed"):
        np.testing.assert_array_equal(found[name], net[name])
    assert np.isfinite(found["predicted"]).all()
    assert (found["std"] > 0).all()


def test_rows_do_not_change_when_the_held_out_glacier_had_other_values(model: Any, rows: Any, features: Any) -> None:
    unit = np.unique(rows.unit_id)[0]
    own = rows.unit_id == unit
    shifted = dataclasses.replace(rows, observed=np.where(own, -3.0 * rows.observed + 2000.0, rows.observed))
    before, after = (gapfilled.predictions(model, some, features.open()) for some in (rows, shifted))
    assert before is not None
    assert after is not None
    mine = (before.glacier_id == unit).to_numpy()
    for name in ("predicted", "std"):
        np.testing.assert_array_equal(after[name][mine], before[name][mine])
        assert (after[name][~mine] != before[name][~mine]).any()


def test_a_wild_observation_moves_its_own_prediction_by_no_bit_from_the_training_on(
    region: SimpleNamespace, tmp_path: Path
) -> None:
    """Nets, their base, what they leave, the covariance: all are learned again, one balance being 12 m w.e."""
    options = TrainOptions(hold_out=("logo", "lsygo"), members=2, epochs=1, hidden=(4,), block_years=6)
    unit, at, found = next(iter(region.observed)), 4, []
    for number, value in enumerate((region.observed[unit][at], 12_000.0)):
        other = copy.copy(region)
        other.observed = {name: values.copy() for name, values in region.observed.items()}
        other.observed[unit][at] = value
        features = featurize(write_cube(other, str(tmp_path / f"{number}.zarr")), to=tmp_path / f"f{number}.zarr")
        model = train(features, to=tmp_path / f"m{number}", options=options)
        dataset = features.open()
        rows = observed_rows(dataset, model.predictors)
        table = gapfilled.predictions(model, rows, dataset)
        assert table is not None
        found.append(table.set_index(["glacier_id", "hydro_year"])[["predicted", "std"]])
    plain, wild = found
    pd.testing.assert_frame_equal(wild.loc[unit], plain.loc[unit], check_exact=True)
    assert (wild.drop(unit, level=0) != plain.drop(unit, level=0)).all().all()


def test_the_net_is_chosen_without_a_word_of_the_held_out_glacier(model: Any, rows: Any, features: Any) -> None:
    """Which one does best with glaciers held out, that glacier had a say in."""
    dataset = features.open()
    first, second = (
        gapfilled.predictions(dataclasses.replace(model, best_unobserved=net), rows, dataset)
        for net in ("lasso", "mlp")
    )
    assert first is not None
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    fold = model.plan.of("logo")[0]
    least = min(model.nets, key=lambda net: model.residual_std[net][fold])
    assert gapfilled.best_net(model, fold) == least


def test_a_model_without_leave_one_glacier_out_has_no_such_rows(model: Any, rows: Any, features: Any) -> None:
    plan = dataclasses.replace(model.plan, folds=tuple(f for f in model.plan.folds if f.scheme != "logo"))
    assert gapfilled.predictions(dataclasses.replace(model, plan=plan), rows, features.open()) is None


def test_the_tables_and_scores_hold_it(model: Any, features: Any, tmp_path: Path) -> None:
    scores = evaluate(model, features, to=tmp_path, options=EvaluateOptions(draws=100))
    assert set(scores.scheme[scores.model == "gapfilled"]) == {"logo"}
    assert {"rmse", "coverage90", "rmse_difference_to_same_year_mean"} <= set(
        scores.metric[scores.model == "gapfilled"]
    )
    assert "gapfilled" in set(pd.read_parquet(tmp_path / "predictions.parquet").model)


def test_a_raster_network_can_be_what_gaps_are_filled_around(
    raster_model: Any, features: Any, scene: Any, rows: Any
) -> None:
    left = {"lasso": np.full(len(raster_model.plan.folds), np.inf)}  # so that the hybrid leaves less
    model = dataclasses.replace(raster_model, residual_std=left)
    assert gapfilled.best_net(model, model.plan.of("logo")[0]) == "hybrid"  # not the yardstick, whatever that leaves
    found = gapfilled.predictions(model, rows, features.open(), scene)
    assert found is not None
    assert np.isfinite(found["predicted"]).all()


def test_on_the_french_glaciers_it_beats_the_same_year_mean(shared: Path) -> None:
    """A plain Lasso on summer temperature of a proxy and on topography, six of 26 glaciers held out in turn."""
    rows, places, predictors = french(shared / "data" / "french_alps")
    squares: dict[str, list[float]] = {"gapfilled": [], "same_year_mean": [], "climate": []}
    for unit in np.unique(rows.unit_id)[::5]:
        test, train = np.flatnonzero(rows.unit_id == unit), np.flatnonzero(rows.unit_id != unit)
        trend = lasso(predictors, rows.observed, train, rows.unit_id)
        std = np.full(len(rows.observed), np.std((rows.observed - trend)[train]))
        unseen = np.full(len(rows.observed), np.nan)
        unseen[train] = without_each(predictors[train], rows.observed[train], rows.unit_id[train])
        mean, _ = gapfilled.held_out(rows, train, test, places, trend, std, unseen, unseen)
        same = rows.hydro_year[train] == rows.hydro_year[test][:, None]
        naive = same @ rows.observed[train] / same.sum(axis=1)
        for name, found in {"gapfilled": mean, "same_year_mean": naive, "climate": trend[test]}.items():
            squares[name] += ((found - rows.observed[test]) ** 2).tolist()
    rmse = {name: np.sqrt(np.mean(values)) for name, values in squares.items()}
    assert rmse["gapfilled"] < 0.95 * rmse["same_year_mean"]
    assert rmse["gapfilled"] < 0.8 * rmse["climate"]


def french(folder: Path) -> tuple[Any, Places, np.ndarray]:
    """Rows, places and predictors straight from the published tables."""
    import xarray as xr

    from glacierscale.models.rows import Design, Rows

    matrix = pd.read_csv(folder / "smb_annual_train.csv")
    inventory = pd.read_csv(folder / "glims" / "GLIMS_Rabatel_30_2003.csv", sep=";").set_index("GLIMS_ID")
    table = matrix.melt(id_vars=["glacier", "glims_id"], var_name="year", value_name="value").dropna()
    table = table.join(inventory[["x_coord", "y_coord", "MEAN_Pixel"]], on="glims_id")
    year, unit = table.year.to_numpy(int), np.array(table.glims_id.tolist())
    lon, lat, height = (table[name].to_numpy(float) for name in ("x_coord", "y_coord", "MEAN_Pixel"))
    with xr.open_dataset(folder / "climate_proxy" / "climate_monthly_RGI50-11.01270.nc") as climate:
        monthly = climate.temp.values.reshape(-1, 12)  # from October 1801
    summer, winter = monthly[year - 1802][:, 7:].mean(axis=1), monthly[year - 1802][:, :7].mean(axis=1)
    none = Design(**{name: np.zeros((len(unit), 0)) for name in ("predictors", "snow", "degree_days")})
    rows = Rows(
        unit_id=unit,
        hydro_year=year,
        observed=table.value.to_numpy(float) * 1000,
        sigma=np.full(len(unit), 200.0),
        lon=lon,
        lat=lat,
        ols_terms=np.zeros((len(unit), 2)),
        design=none,
    )
    names, at = np.unique(unit, return_index=True)
    places = Places(unit_id=names, lon=lon[at], lat=lat[at], height_m=height[at])
    return rows, places, np.column_stack([summer, winter, height, lon, lat])


def without_each(predictors: np.ndarray, observed: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Out of bag by five groups of glaciers."""
    from sklearn.model_selection import GroupKFold

    found = np.full(len(observed), np.nan)
    for inner, outer in GroupKFold(5).split(predictors, groups=unit):
        found[outer] = lasso(predictors, observed, inner, unit)[outer]
    return found


def lasso(predictors: np.ndarray, observed: np.ndarray, train: np.ndarray, unit: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import GroupKFold

    scaled = (predictors - predictors[train].mean(axis=0)) / predictors[train].std(axis=0)
    splits = list(GroupKFold(5).split(scaled[train], groups=unit[train]))
    found: np.ndarray = (
        LassoCV(cv=splits, alphas=20, max_iter=20_000).fit(scaled[train], observed[train]).predict(scaled)
    )
    return found
