"""Every kind of observation, predicted where it was not seen, and scored by kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from glacierscale.evaluation.kinds import gradient_ratio, predictions_by_kind, scores_by_kind


@pytest.fixture(scope="module")
def by_kind(raster_model: Any, scene: Any) -> pd.DataFrame:
    return predictions_by_kind(raster_model, scene)


def test_every_observation_is_predicted_once_per_scheme_and_network(
    by_kind: pd.DataFrame, raster_model: Any, scene: Any
) -> None:
    seen = scene.functionals
    assert set(by_kind.model) == set(raster_model.rasters) == {"hybrid", "temperature_index"}
    for (scheme, _), table in by_kind.groupby(["scheme", "model"]):
        assert scheme in ("logo", "year_blocks")
        assert table.kind.value_counts().to_dict() == {"annual": 60, "winter": 1}
        assert not table.duplicated(["glacier_id", "kind", "hydro_year"]).any()
        np.testing.assert_allclose(np.sort(table.observed), np.sort(seen.value))
    assert np.isfinite(by_kind[["observed", "predicted", "std"]].to_numpy()).all()
    assert (by_kind["std"] > 0).all()
    logo = by_kind[by_kind.scheme == "logo"]
    assert (logo.fold == logo.glacier_id).all()


def test_held_out_predictions_are_those_of_the_fold_s_own_members(
    by_kind: pd.DataFrame, raster_model: Any, scene: Any
) -> None:
    number = raster_model.raster_plan.of("logo")[1]
    fold = raster_model.raster_plan.folds[number]
    table = by_kind[(by_kind.model == "hybrid") & (by_kind.scheme == "logo") & (by_kind.fold == fold.name)]
    members = raster_model.rasters["hybrid"].observe(number, scene.functionals, fold.test, scene.surface, scene.weather)
    np.testing.assert_allclose(table.predicted, members.mean(axis=0), rtol=1e-4, atol=0.1)
    assert set(table.kind) == {"annual", "winter"}


def profile(glacier: str, kind: str = "band", slope: float = 1.0, bands: int = 5) -> pd.DataFrame:
    """Bands whose observed balance rises by 2 kg m-2 per m, predicted to rise `slope` times as much."""
    height = 2600.0 + 100 * np.arange(bands)
    common = {"scheme": "logo", "model": "hybrid", "glacier_id": glacier, "kind": kind, "hydro_year": 2000}
    observed = 2 * (height - 2800)
    return pd.DataFrame(
        common | {"elevation": height, "observed": observed, "predicted": slope * observed + 10, "std": 50.0}
    )


def test_the_gradient_ratio_is_the_median_over_profiles_with_bands_enough() -> None:
    bands = pd.concat([profile("A", slope=0.5), profile("B", slope=0.8), profile("C", slope=3.0)])
    ratio, count = gradient_ratio(bands)
    assert (ratio, count) == (pytest.approx(0.8), 3)
    few = profile("D", slope=9.0, bands=3)
    assert gradient_ratio(pd.concat([bands, few])) == (pytest.approx(0.8), 3)
    none = gradient_ratio(few)
    assert np.isnan(none[0])
    assert none[1] == 0


def test_scores_are_made_kind_by_kind_and_bands_also_have_a_gradient() -> None:
    table = pd.concat([profile("A", slope=0.5), profile("A", "point", slope=1.0)])
    scores = scores_by_kind(table).set_index(["scheme", "model", "kind", "metric"])
    bands, points = (scores.loc[("logo", "hybrid", kind)] for kind in ("band", "point"))
    error = -0.5 * 2 * (np.array([2600, 2700, 2800, 2900, 3000]) - 2800) + 10
    assert bands.value["rmse"] == pytest.approx(np.sqrt((error**2).mean()))
    assert bands.value["bias"] == pytest.approx(10)
    assert bands.value["coverage90"] == pytest.approx((np.abs(error) <= 1.645 * 50).mean())
    assert bands.value["gradient_ratio"] == pytest.approx(0.5)
    assert points.value["rmse"] == pytest.approx(10)
    assert "gradient_ratio" not in points.index
    assert (bands.n["rmse"], bands.n["gradient_ratio"], points.n["rmse"]) == (5, 1, 5)
