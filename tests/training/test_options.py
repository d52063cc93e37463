"""Options of training."""

from __future__ import annotations

from typing import Any

import pytest

from glacierscale import folds
from glacierscale.training.options import TrainOptions


def test_by_default_every_scheme_is_held_out_and_every_net_trained() -> None:
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
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainOptions(**options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hold_out": "loyo"}, r"hold_out is the text 'loyo'; expected a list, as in \[loyo\]"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"hidden": (0,)}, r"hidden is \(0,\)"),
        ({"seed": -1}, "seed -1; expected"),
    ],
)
def test_a_text_for_a_list_and_numbers_that_cannot_train_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainOptions(**given)  # type: ignore[arg-type]
