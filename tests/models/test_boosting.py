"""The boosting reference learns from the training rows of each fold alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from glacierscale import folds
from glacierscale.models import boosting


def test_what_is_held_out_changes_nothing(rows: Any) -> None:
    plan = folds.plan(rows.unit_id, rows.hydro_year, rows.lon, rows.lat, ["logo"])
    before = boosting.predict(rows, plan, "logo")
    numbers = plan.of("logo")
    test = np.concatenate([plan.folds[n].test for n in numbers])
    assert before.shape == test.shape
    own = plan.folds[numbers[0]].test
    spoiled = rows.observed.copy()
    spoiled[own] += 5000
    after = boosting.predict(dataclasses.replace(rows, observed=spoiled), plan, "logo")
    np.testing.assert_array_equal(after[: len(own)], before[: len(own)])
    assert (after[len(own) :] != before[len(own) :]).any()
