"""What the networks of ice cells learned, as tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from glacierscale.evaluation import diagnostics
from glacierscale.folds import FoldPlan
from glacierscale.models import diagnosis
from glacierscale.models.surface import INPUTS


@pytest.fixture(scope="module")
def short(raster_model: Any) -> Any:
    """The model with two folds of years: the diagnostics take a while."""
    folds = raster_model.raster_plan.folds
    kept = [0, *raster_model.raster_plan.of("year_blocks")[:2]]

    def own(net: Any) -> Any:
        return dataclasses.replace(net, parameters={name: value[kept] for name, value in net.parameters.items()})

    return dataclasses.replace(
        raster_model,
        raster_plan=FoldPlan(folds=tuple(folds[n] for n in kept)),
        rasters={name: own(net) for name, net in raster_model.rasters.items()},
    )


def test_folds_that_hold_out_years_are_looked_at_first(raster_model: Any) -> None:
    plan = raster_model.raster_plan
    assert diagnostics.scheme_for(raster_model) == "year_blocks"
    for scheme, kept in (("logo", ("all", "logo")), ("all", ("all",))):
        fewer = FoldPlan(folds=tuple(fold for fold in plan.folds if fold.scheme in kept))
        assert diagnostics.scheme_for(dataclasses.replace(raster_model, raster_plan=fewer)) == scheme
    for scheme in ("glacier_groups", "spatial_blocks"):
        called = tuple(dataclasses.replace(fold, scheme=scheme) for fold in plan.folds if fold.scheme == "logo")
        assert diagnostics.scheme_for(dataclasses.replace(raster_model, raster_plan=FoldPlan(folds=called))) == scheme


def test_constraints_are_stated_for_every_network_as_shares_of_held_out_cells_and_years(short: Any, scene: Any) -> None:
    table = diagnostics.constraint_shares(short, scene).set_index(["model", "constraint"])
    assert len(table) == 2 * 4
    assert set(table.n) == {len(scene.surface.elevation) * 8}  # two blocks of four years
    told = table.share_satisfied.dropna()
    assert told.between(0, 1).all()
    physics = table.loc["temperature_index"].share_satisfied
    assert physics["cooler_is_not_worse"] == physics["melt_is_not_negative"] == 1.0


def test_sensitivities_are_those_of_a_warmer_and_a_wetter_climate(short: Any, scene: Any) -> None:
    table = diagnostics.sensitivities(short, scene)
    assert set(table.model) == {"hybrid", "temperature_index"}
    assert set(table.glacier_id) == set(scene.surface.unit_id)
    assert len(table) == 2 * 5  # one glacier has two outlines
    plain = table[table.model == "temperature_index"].set_index("glacier_id")
    assert (plain.dsmb_dt < 0).all()
    assert (plain.dsmb_dp > 0).all()
    net, weather = short.rasters["temperature_index"], scene.weather
    annual = np.flatnonzero(scene.functionals.kind == "annual")
    warmed, cooled = (
        net.observe(
            0, scene.functionals, annual, scene.surface, dataclasses.replace(weather, temp=weather.temp + step)
        ).mean(axis=0)
        for step in (0.5, -0.5)
    )
    slope = warmed - cooled
    for unit, told in plain.dsmb_dt.items():
        mine = scene.functionals.unit_id[annual] == unit
        assert told == pytest.approx(slope[mine].mean(), rel=0.05)


def test_importance_shuffles_every_input_and_what_no_network_reads_costs_nothing(short: Any, scene: Any) -> None:
    table = diagnostics.importance(short, scene, seed=0)
    assert set(table.model) == {"hybrid"}  # the plain model has a single member
    assert list(table.predictor) == [*diagnosis.CLIMATE_INPUTS, *INPUTS]
    assert set(table.scheme) == {"year_blocks"}
    grown = table.set_index("predictor").rmse_increase
    assert grown["thickness"] == grown["velocity"] == 0  # the region has neither
    assert (grown[list(diagnosis.CLIMATE_INPUTS)] != 0).all()
    again = diagnostics.importance(short, scene, seed=0)
    np.testing.assert_array_equal(again.rmse_increase, table.rmse_increase)


def test_climate_beyond_that_of_the_training_rows_is_counted(features: Any) -> None:
    dataset = features.open().load()
    names = dataset.predictor.values.tolist()
    values = dataset.predictors.values[:, :, names.index("cpdd")]
    mine = np.flatnonzero(dataset.unit_id.values == "RGI60-11.00002")
    unit, year = np.array(["RGI60-11.00002"] * 2), np.array([1992, 1993])
    table = diagnostics.climate_range(dataset, unit, year).set_index("variable")
    own = values[mine][:, [1, 2]]
    assert table.loc["cpdd", "training_low"] == pytest.approx(own.min())
    assert table.loc["cpdd", "training_high"] == pytest.approx(own.max())
    outside = ((values < own.min()) | (values > own.max())).mean()
    assert table.loc["cpdd", "share_outside"] == pytest.approx(outside)
    assert outside > 0.3
    assert (table.loc["cpdd", "low"], table.loc["cpdd", "high"]) == (values.min(), values.max())
    assert table.unit.to_dict() == {"cpdd": "K day", "winter_snow": "kg m-2", "summer_snow": "kg m-2"}


def test_a_model_trained_on_every_glacier_and_year_has_no_climate_outside(features: Any) -> None:
    dataset = features.open().load()
    unit = np.repeat(np.unique(dataset.unit_id.values), 12)
    year = np.tile(dataset.hydro_year.values, len(unit) // 12)
    table = diagnostics.climate_range(dataset, unit, year)
    assert (table.share_outside == 0).all()
    np.testing.assert_array_equal(table.training_low, table.low)
