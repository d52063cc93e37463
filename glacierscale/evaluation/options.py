"""Options of evaluate."""

from __future__ import annotations

from dataclasses import dataclass

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How scores are made."""

    draws: int = 2000
    """Resamples of the block bootstrap."""
    block_years: int = 5
    """Years that are resampled together; where glaciers are held out and there are eight or more, glaciers are."""
    seed: int = 0
    """Seed of the bootstrap."""
    boosting: bool = False
    """Fit gradient boosting in each fold too, as a reference beside the nets and the nulls."""

    def __post_init__(self) -> None:
        if self.draws < 100 or self.block_years < 1:
            raise ValueError(f"draws is {self.draws}, block_years {self.block_years}; expected at least 100 and 1.")
