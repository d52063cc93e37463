"""Predictions that several tests of the evaluation read."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def predictions(model: Any, rows: Any) -> pd.DataFrame:
    """Held-out predictions of the tabular model."""
    from glacierscale.evaluation.rows import held_out_predictions

    return held_out_predictions(model, rows)
