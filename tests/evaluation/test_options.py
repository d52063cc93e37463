"""Options of evaluate."""

from __future__ import annotations

import pytest

from glacierscale.evaluation.options import EvaluateOptions


@pytest.mark.parametrize("options", [{"draws": 10}, {"block_years": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 100 and 1"):
        EvaluateOptions(**options)
