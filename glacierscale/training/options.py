"""Options of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glacierscale import folds, schema
from glacierscale.options import spelt

TABULAR = ("lasso", "mlp", "kriging")
"""Models of one row per glacier and year, or per glacier and geodetic period."""

RASTER = ("hybrid", "cnn")
"""Models of every ice cell and month."""

LOGS = ("csv", "tensorboard", "mlflow")
"""Kinds of log."""

NETS = (*TABULAR, *RASTER)
"""Models that can be trained."""


@spelt
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How the models are trained and what is held out."""

    nets: tuple[str, ...] = ("lasso", "mlp")
    """Models to train, out of lasso, mlp, kriging, hybrid and cnn; the last two need patches."""
    rows: Literal["auto", "annual", "geodetic"] = "auto"
    """Observations that lasso, mlp and kriging learn from: annual balances, or geodetic ones, whose predictors are
    means over their years; auto takes the annual ones where there are any."""
    hold_out: tuple[str, ...] = folds.DEFAULT_SCHEMES
    """Cross-validation schemes, by what they hold out: logo one glacier, loyo one year, lsygo a group of glaciers in a
    block of years, year_blocks, spatial_blocks, glacier_groups, latitude_bands; halves for maps of points."""
    predictors: tuple[str, ...] = ()
    """Predictors by name; empty takes the anomalies of climate and the topography. log_area is made from area,
    summer_temp_anomaly from the summer months."""
    geodetic_sigma: float = 250.0
    """What models leave unexplained in a geodetic row, kg m-2 per year: added in quadrature to its stated error when
    lasso and mlp weight rows, since one whose error is half as large does not tell four times as much of the model."""
    like_years: bool = False
    """Add to lasso, mlp and kriging what they leave in years of the same weather, told apart by the temperatures of its
    months: for a climate of few stations, where the other glaciers of a year tell what it does not."""
    base: bool = True
    """Learn the departure from a temperature-index model fitted in each fold, instead of the balance itself."""
    members: int = 20
    """Ensemble members of each fold."""
    seed: int = 0
    """Seed of every random draw."""
    block_years: int = 5
    """Years in a block of lsygo and year_blocks."""
    glacier_groups: int = 10
    """At most this many groups of glaciers in lsygo, spatial_blocks and glacier_groups."""
    band_degrees: float = 1.0
    """Width of a band of latitude_bands, degrees."""
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
    targets: tuple[str, ...] = schema.OBSERVATION_KINDS
    """Kinds of observation that the raster networks learn from."""
    slack: float = 0.5
    """How far the hybrid may leave the plain temperature-index model, which it is at 0: 0.5 takes the prior ranges of
    its physics, 1 twice those and a residual free of penalty."""
    raster_members: int = 4
    """Ensemble members of each fold of the raster networks: 1, or a multiple of 4."""
    kernel: int = 3
    """Side of the neighbourhood that the convolution sees, cells: 1, 3, 5 or 7."""
    steps: int = 200
    """Steps of the raster networks; all members of all folds take each of them."""
    raster_learning_rate: float = 0.08
    """Largest step size of the physical parameters; the convolution takes a tenth."""
    raster_weight_decay: float = 5e-2
    """Decoupled weight decay of the convolution."""
    raster_validation_share: float = 0.15
    """Share of the training years that a member leaves out; what it makes of them tells how far to trust it."""
    cell_years: int = 8000
    """About how many ice cells x years one step works on."""
    constraint_weight: float = 1.0
    """Weight of the physical constraints in the loss; 0 switches them off."""
    log: tuple[Literal["csv", "tensorboard", "mlflow"], ...] = ()
    """Where to log losses while mlp, hybrid and cnn learn, out of csv and tensorboard (below the model's folder logs)
    and mlflow (the server that MLFLOW_TRACKING_URI names); the model is the same with and without."""

    def __post_init__(self) -> None:
        for name in ("nets", "hold_out", "predictors", "targets", "log"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise ValueError(f"{name} is the text {given!r}; expected a list, as in [{given}].")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not self.buffer_km >= 0 or self.seed < 0:
            raise ValueError(
                f"learning_rate is {self.learning_rate}, weight_decay {self.weight_decay}, buffer_km {self.buffer_km}, "
                f"seed {self.seed}; expected a positive learning_rate and none of the others below 0."
            )
        if self.rows == "geodetic" and set(self.nets) & set(RASTER):
            raise ValueError(
                "rows are geodetic, but hybrid and cnn learn from all observations; leave out rows, or them."
            )
        if not 0 < self.band_degrees <= 90 or not self.geodetic_sigma >= 0:
            raise ValueError(
                f"band_degrees is {self.band_degrees}, geodetic_sigma {self.geodetic_sigma}; expected above 0 and up "
                "to 90 degrees, and at least 0 kg m-2."
            )
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden is {self.hidden}; expected one width or more, each at least 1.")
        unknown = sorted(set(self.nets) - set(NETS))
        if unknown or not self.nets:
            raise ValueError(f"nets are {list(self.nets)}; expected some of {list(NETS)}.")
        unknown = sorted(set(self.log) - set(LOGS))
        if unknown:
            raise ValueError(f"log is {list(self.log)}; expected some of {list(LOGS)}.")
        unknown = sorted(set(self.hold_out) - set(folds.SCHEMES))
        if unknown:
            raise ValueError(f"unknown cross-validation schemes {unknown}; expected some of {list(folds.SCHEMES)}.")
        unknown = sorted(set(self.targets) - set(schema.OBSERVATION_KINDS))
        if unknown or not self.targets:
            raise ValueError(f"targets are {list(self.targets)}; expected some of {list(schema.OBSERVATION_KINDS)}.")
        if not 0 <= self.slack <= 1 or self.kernel not in (1, 3, 5, 7):
            raise ValueError(
                f"slack is {self.slack}, kernel {self.kernel}; expected a slack from 0 (a plain temperature-index "
                "model) to 1 (twice the prior ranges, no penalty) and a kernel of 1, 3, 5 or 7 cells."
            )
        if self.raster_members != 1 and self.raster_members % 4:
            raise ValueError(
                f"raster_members is {self.raster_members}; expected 1, or a multiple of 4: members differ in the signs "
                "of what sets an unseen glacier apart, which balance over four."
            )
        if not 0.05 <= self.raster_validation_share <= 0.5 or not self.constraint_weight >= 0:
            raise ValueError(
                f"raster_validation_share is {self.raster_validation_share}, constraint_weight "
                f"{self.constraint_weight}; expected 0.05 to 0.5, and at least 0."
            )
        if not self.raster_learning_rate > 0 or not self.raster_weight_decay >= 0:
            raise ValueError(
                f"raster_learning_rate is {self.raster_learning_rate}, raster_weight_decay {self.raster_weight_decay}; "
                "expected a positive rate and a decay of at least 0."
            )
        if not 0.05 <= self.validation_share <= 0.5:
            raise ValueError(f"validation_share is {self.validation_share}; expected 0.05 to 0.5.")
        counts = ("members", "block_years", "glacier_groups", "epochs", "batch_size", "patience")
        for name in (*counts, "raster_members", "steps", "cell_years"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1.")
