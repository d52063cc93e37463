"""Options of training."""

from __future__ import annotations

from dataclasses import dataclass

from glacierscale import folds

NETS = ("lasso", "mlp")
"""Models that can be trained."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the models are trained and what is held out."""

    nets: tuple[str, ...] = ("lasso", "mlp")
    """Models to train, out of lasso and mlp."""
    hold_out: tuple[str, ...] = folds.SCHEMES
    """Cross-validation schemes, out of logo, loyo, lsygo, year_blocks and spatial_blocks."""
    predictors: tuple[str, ...] = ()
    """Predictors by name; empty takes the anomalies of climate and the topography."""
    base: bool = True
    """Learn the departure from a temperature-index model fitted in each fold, instead of the balance itself."""
    members: int = 20
    """Ensemble members of each fold."""
    seed: int = 0
    """Seed of every random draw."""
    block_years: int = 5
    """Years in a block of lsygo and year_blocks."""
    glacier_groups: int = 10
    """At most this many groups of glaciers in lsygo and spatial_blocks."""
    buffer_km: float = 5.0
    """Glaciers nearer than this to a held-out one do not train in spatial_blocks."""
    interactions: bool = True
    """Let topography and seasonal climate interact in the Lasso."""
    hidden: tuple[int, ...] = (32, 16)
    """Widths of the perceptron's hidden layers."""
    epochs: int = 100
    """At most this many passes over the rows."""
    batch_size: int = 32
    """Rows in one step of one network."""
    learning_rate: float = 3e-3
    """Step size of Adam."""
    weight_decay: float = 1e-2
    """Decoupled weight decay."""
    patience: int = 15
    """Epochs without improvement on the inner validation rows before a network counts as done."""
    validation_share: float = 0.25
    """Share of the training years kept aside, drawn anew for each member, to stop by."""

    def __post_init__(self) -> None:
        for name in ("nets", "hold_out", "predictors"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"{name} is the text {given!r}; expected a list, as in [{given}].")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not self.buffer_km >= 0 or self.seed < 0:
            raise ValueError(
                f"learning_rate is {self.learning_rate}, weight_decay {self.weight_decay}, buffer_km {self.buffer_km}, "
                f"seed {self.seed}; expected a positive learning_rate and none of the others below 0."
            )
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; expected one width or more, each at least 1.")
        unknown = sorted(set(self.nets) - set(NETS))
        if unknown or not self.nets:
            raise ValueError(f"nets are {list(self.nets)}; expected some of {list(NETS)}.")
        unknown = sorted(set(self.hold_out) - set(folds.SCHEMES))
        if unknown:
            raise ValueError(f"unknown cross-validation schemes {unknown}; expected some of {list(folds.SCHEMES)}.")
        if not 0.05 <= self.validation_share <= 0.5:
            raise ValueError(f"validation_share is {self.validation_share}; expected 0.05 to 0.5.")
        for name in ("members", "block_years", "glacier_groups", "epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
