"""Every member of every fold of the perceptron, trained together as one Lightning task.

The losses of the networks are summed; no parameter is shared, so each gradient is the network's own and Adam, which
works element by element, takes the very steps that separate trainings would take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from glacierscale.models import mlp
from glacierscale.training.lightning import quiet_trainer

Floats = npt.NDArray[np.floating]
_PATIENT_SHARE = 0.98


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the networks of all folds train on."""

    scaled: Floats
    """(fold, row, predictor) standardised with the fold's own numbers"""
    target: Floats
    """(fold, row) in units of the fold's scale"""
    weight: Floats
    """(row,)"""
    training: npt.NDArray[np.bool_]
    """(fold, member, row) rows a member learns from"""
    validation: npt.NDArray[np.bool_]
    """(fold, member, row) training rows of the fold kept aside to stop by; never a test row"""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How long and how fast."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int


def fit(
    tables: Tables, fitting: Fitting, *, accelerator: str = "auto", on_epoch: Callable[[], object] = lambda: None
) -> dict[str, Floats]:
    """Train all networks together.

    Parameters
    ----------
    tables : Tables
    fitting : Fitting
    accelerator : str
        Lightning's name of the hardware.
    on_epoch : callable
        Called after every epoch.

    Returns
    -------
    dict
        Parameters by name, each (fold, member, ...): those of the epoch with the least validation loss of each network.
    """
    task = EnsembleTask(tables, fitting, on_epoch)
    with quiet_trainer(accelerator=accelerator, max_epochs=fitting.epochs, deterministic=True) as trainer:
        trainer.fit(task, DataLoader(_Steps(task.steps_per_epoch), batch_size=None))
    folds, members = tables.training.shape[:2]
    return {n: v.cpu().numpy().reshape(folds, members, *v.shape[1:]) for n, v in task.best.items()}


class _Steps(IterableDataset[int]):
    """Step numbers of one epoch; the rows themselves are drawn on the device."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.steps))


class EnsembleTask(pl.LightningModule):
    """All networks as one module."""

    x: torch.Tensor
    y: torch.Tensor
    w: torch.Tensor
    fold: torch.Tensor
    learn: torch.Tensor
    count: torch.Tensor
    stop: torch.Tensor
    kept: torch.Tensor
    least: torch.Tensor
    waited: torch.Tensor

    def __init__(self, tables: Tables, fitting: Fitting, on_epoch: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.fitting, self.on_epoch = fitting, on_epoch
        folds, members, _ = tables.training.shape
        drawn = mlp.many(folds * members, tables.scaled.shape[-1], fitting.hidden, fitting.seed)
        self.names = list(drawn)
        self.networks = torch.nn.ParameterList(list(drawn.values()))
        self.best = {name: value.clone() for name, value in drawn.items()}
        learn, count = _lists(tables.training.reshape(folds * members, -1))
        stop, stop_count = _lists(tables.validation.reshape(folds * members, -1))
        self.steps_per_epoch = int(np.ceil(count.max().item() / fitting.batch_size))
        for name, value in {
            "x": torch.from_numpy(np.ascontiguousarray(tables.scaled, np.float32)),
            "y": torch.from_numpy(np.ascontiguousarray(tables.target, np.float32)),
            "w": torch.from_numpy(np.ascontiguousarray(tables.weight, np.float32)),
            "fold": torch.arange(folds).repeat_interleave(members)[:, None],
            "learn": learn,
            "count": count,
            "stop": stop,
            "kept": (torch.arange(stop.shape[1])[None] < stop_count[:, None]).float(),
            "least": torch.full((folds * members,), torch.inf),
            "waited": torch.zeros(folds * members),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def _loss(self, rows: torch.Tensor, mask: torch.Tensor | float = 1.0) -> torch.Tensor:
        """Weighted mean squared error of each network on its own rows: (network, row) -> (network,)."""
        x, y = self.x[self.fold, rows], self.y[self.fold, rows]
        parameters = dict(zip(self.names, self.networks, strict=True))
        error = mlp.forward(parameters, self.fitting.hidden, x) - y
        weight = self.w[rows] * mask
        return (weight * error**2).sum(1) / weight.sum(1).clamp_min(1e-12)

    def training_step(self, step: int) -> torch.Tensor:
        """One step of every network on a batch of its own."""
        draw = torch.rand(len(self.count), self.fitting.batch_size, generator=self.generator, device=self.device)
        rows = self.learn.gather(1, (draw * self.count[:, None]).long())
        return self._loss(rows).sum()

    def on_train_start(self) -> None:
        """Move what Lightning does not know about, and seed the draws."""
        self.generator = torch.Generator(self.device).manual_seed(self.fitting.seed)
        self.best = {name: value.to(self.device) for name, value in self.best.items()}
        self._keep_the_best()

    def on_train_epoch_end(self) -> None:
        """Keep what each network has that is better; stop when nearly all have not improved for a while."""
        self._keep_the_best()
        self.on_epoch()
        if (self.waited >= self.fitting.patience).float().mean() >= _PATIENT_SHARE:
            self.trainer.should_stop = True

    @torch.no_grad()
    def _keep_the_best(self) -> None:
        loss = self._loss(self.stop, self.kept)
        if not torch.isfinite(loss).all():
            broken = int((~torch.isfinite(loss)).sum())
            raise FloatingPointError(
                f"the loss of {broken} networks is not finite; lower learning_rate, or check the predictors for NaN."
            )
        better = loss < self.least - 1e-4 * self.least.clamp_max(1e6)
        self.least = torch.where(better, loss, self.least)
        for name, value in zip(self.names, self.networks, strict=True):
            self.best[name][better] = value[better]
        self.waited = torch.where(better, 0.0, self.waited + 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay, element by element."""
        return torch.optim.AdamW(
            self.parameters(), lr=self.fitting.learning_rate, weight_decay=self.fitting.weight_decay, fused=True
        )


def _lists(mask: npt.NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers where each network's mask is true, padded with its first, and how many: (network, row)."""
    count = mask.sum(axis=1)
    order = np.argsort(~mask, axis=1, kind="stable")[:, : max(int(count.max()), 1)]
    order = np.where(np.arange(order.shape[1])[None] < count[:, None], order, order[:, :1])
    return torch.from_numpy(order), torch.from_numpy(count)
