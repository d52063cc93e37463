"""Options of training."""

from __future__ import annotations

from typing import Any

import pytest

from glacierscale import folds, schema
from glacierscale.training.options import NETS, RASTER, TABULAR, TrainOptions


def test_by_default_every_scheme_but_halves_is_held_out_and_every_tabular_net_trained() -> None:
    assert (TrainOptions().hold_out, TrainOptions().nets) == (folds.DEFAULT_SCHEMES, ("lasso", "mlp"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nets": ("lasso", "cnn3")}, r"nets are \['lasso', 'cnn3'\]; expected some of"),
        ({"nets": ()}, r"nets are \[\]"),
        ({"hold_out": ("loocv",)}, r"unknown cross-validation schemes \['loocv'\]"),
        ({"validation_share": 0.9}, "validation_share is 0.9; expected 0.05 to 0.5"),
        ({"members": 0}, "members is 0; expected at least 1"),
        ({"patience": -1}, "patience is -1; expected at least 1"),
        ({"glacier_groups": 0}, "glacier_groups is 0"),
        ({"targets": ("annual", "monthly")}, r"targets are \['annual', 'monthly'\]; expected some of \['annual'"),
        ({"targets": ()}, r"targets are \[\]; expected some of"),
        ({"slack": -0.1}, r"slack is -0\.1, kernel 3; expected a slack from 0 \(a plain temperature-index model\)"),
        ({"slack": 1.1}, r"to 1 \(twice the prior ranges, no penalty\)"),
        ({"slack": 1.5}, r"slack is 1\.5"),
        ({"slack": float("nan")}, "slack is nan"),
        ({"kernel": 4}, r"slack is 0\.5, kernel 4; .* a kernel of 1, 3, 5 or 7 cells"),
        ({"raster_members": 6}, "raster_members is 6; expected 1, or a multiple of 4: members differ in the signs"),
        ({"raster_members": 0}, "raster_members is 0; expected at least 1"),
        ({"raster_members": -4}, "raster_members is -4; expected at least 1"),
        ({"raster_validation_share": 0.0}, r"raster_validation_share is 0\.0, .* expected 0\.05 to 0\.5"),
        ({"raster_validation_share": 0.6}, r"raster_validation_share is 0\.6"),
        ({"constraint_weight": -1.0}, r"constraint_weight -1\.0; expected 0\.05 to 0\.5, and at least 0"),
        ({"constraint_weight": float("nan")}, "constraint_weight nan"),
        ({"raster_learning_rate": 0.0}, r"raster_learning_rate is 0\.0, .* expected a positive rate and a decay"),
        ({"raster_weight_decay": -0.1}, r"raster_weight_decay -0\.1; expected .* a decay of at least 0"),
        ({"steps": 0}, "steps is 0; expected at least 1"),
        ({"cell_years": 0}, "cell_years is 0; expected at least 1"),
        ({"band_degrees": 0.0}, r"band_degrees is 0\.0, .* expected above 0 and up to 90 degrees"),
        ({"geodetic_sigma": -1.0}, r"geodetic_sigma -1\.0; .* at least 0 kg m-2"),
        ({"rows": "geodetic", "nets": ("lasso", "cnn")}, "rows are geodetic, but hybrid and cnn learn from all"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainOptions(**options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hold_out": "loyo"}, r"hold_out is the text 'loyo'; expected a list, as in \[loyo\]"),
        ({"targets": "point"}, r"targets is the text 'point'; expected a list, as in \[point\]"),
        ({"nets": "hybrid"}, r"nets is the text 'hybrid'"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"hidden": (0,)}, r"hidden is \(0,\)"),
        ({"seed": -1}, "seed -1; expected"),
    ],
)
def test_a_text_for_a_list_and_numbers_that_cannot_train_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainOptions(**given)  # type: ignore[arg-type]


def test_raster_networks_learn_from_every_kind_and_take_the_prior_ranges() -> None:
    options = TrainOptions()
    assert (options.targets, options.slack) == (schema.OBSERVATION_KINDS, 0.5)
    assert set(NETS) == {*TABULAR, *RASTER} == {"lasso", "mlp", "kriging", "hybrid", "cnn"}


@pytest.mark.parametrize(
    "given", [{"slack": 0.0}, {"slack": 1.0}, {"kernel": 7}, {"raster_members": 1}, {"nets": NETS}]
)
def test_the_ends_of_the_ranges_are_accepted(given: dict[str, Any]) -> None:
    options = TrainOptions(**given)
    assert {name: getattr(options, name) for name in given} == given
