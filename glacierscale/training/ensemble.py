"""Every member of every fold of the perceptron, trained together as one Lightning task.

The losses of the networks are summed; no parameter is shared, so each gradient is the network's own and Adam, which
works element by element, takes the very steps that separate trainings would take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from glacierscale.models import mlp
from glacierscale.training import logs, workers
from glacierscale.training.checkpoints import Arrays, Checkpoints, OnStep, State, Watch
from glacierscale.training.lightning import keep, moments, padded, quiet_trainer, remember, shaped, threads_of_torch
from glacierscale.training.shares import Machine, Share
from glacierscale.training.tables import Fitting, Tables, draws, lists, steps_of
from glacierscale.training.workers import Course

__all__ = ["EnsembleTask", "Fitting", "Tables", "draws", "fit", "steps_of", "train"]


def fit(
    tables: Tables,
    fitting: Fitting,
    *,
    accelerator: str = "auto",
    checkpoints: Checkpoints | None = None,
    on_step: OnStep = lambda step, loss: None,
) -> Arrays:
    """Train all networks together, where `compute.current` says.

    Parameters
    ----------
    tables : Tables
    fitting : Fitting
    accelerator : str
        Lightning's name of the hardware.
    checkpoints : Checkpoints
        Where to keep the state of an unfinished training, and to continue from; None keeps nothing.
    on_step : callable
        As of `workers.run`.

    Returns
    -------
    dict
        Parameters by name, each (fold, member, ...): those of the epoch with the least validation loss of each network.
    """
    folds, members = tables.training.shape[:2]
    course = Course(
        train=train,
        fitting=fitting,
        networks=folds * members,
        divisible=False,  # a step of a network is a few rows
        accelerator=accelerator,
        checkpoints=checkpoints,
    )
    best = workers.run(course, tables, on_step=on_step)
    return {name: value.reshape(folds, members, *value.shape[1:]) for name, value in best.items()}


def train(tables: Tables, fitting: Fitting, share: Share, machine: Machine, watch: Watch) -> Arrays:
    """Train some of the networks, each as it would be trained among all others.

    Parameters
    ----------
    tables : Tables
        Of all networks.
    fitting : Fitting
    share : Share
        Which of them, in order of fold and member.
    machine : Machine
    watch : Watch
        Knows where an earlier process got to, and is told of every step.

    Returns
    -------
    dict
        Parameters by name, each (network, ...): those of the epoch with the least validation loss of each network.

    Raises
    ------
    FloatingPointError
        If a loss is not finite.
    """
    state = watch.resume()
    task = EnsembleTask(tables, fitting, share, watch, state)
    if state is None or not state.done:
        steps = range(task.step, task.steps_per_epoch * fitting.epochs)
        with (
            quiet_trainer(machine, logs.loggers(watch, task.step), max_steps=len(steps)) as trainer,
            threads_of_torch(machine.threads),
        ):
            trainer.fit(task, DataLoader(_Steps(steps), batch_size=None))
    return {name: shaped(value.cpu(), task.shapes[name]).contiguous().numpy() for name, value in task.best.items()}


class _Steps(IterableDataset[int]):
    """Step numbers; the rows themselves are drawn by the task."""

    def __init__(self, steps: range) -> None:
        self.steps = steps

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)


class EnsembleTask(pl.LightningModule):
    """Some of the networks as one module; those that have stopped improving take no more steps."""

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
    going: torch.Tensor

    def __init__(self, tables: Tables, fitting: Fitting, share: Share, watch: Watch, state: State | None) -> None:
        super().__init__()
        self.fitting, self.share, self.watch, self.state = fitting, share, watch, state
        self.step = state.step if state is not None else 0
        folds, members, _ = tables.training.shape
        drawn = mlp.many(folds * members, tables.scaled.shape[-1], fitting.hidden, fitting.seed)
        self.shapes = {name: value.shape[1:] for name, value in drawn.items()}
        own = {name: padded(value[share.networks]) for name, value in drawn.items()}
        best = {name: value.clone() for name, value in own.items()}
        least, waited = torch.full((share.count,), torch.inf), torch.zeros(share.count)
        if state is not None:
            found = {name: torch.from_numpy(value.copy()) for name, value in state.arrays.items()}
            own, best = ({name: found[f"{kind}.{name}"] for name in drawn} for kind in ("now", "best"))
            least, waited = found["least"], found["waited"]
        self.names = list(drawn)
        going = torch.nonzero(waited < fitting.patience)[:, 0]
        self.networks = torch.nn.ParameterList([value[going] for value in own.values()])
        self.best, self.left = best, float(least.mean())
        learn, count = lists(tables.training.reshape(folds * members, -1))
        stop, stop_count = lists(tables.validation.reshape(folds * members, -1))
        self.steps_per_epoch = steps_of(tables, fitting)
        each = {
            "fold": torch.arange(folds).repeat_interleave(members)[:, None],
            "learn": learn,
            "count": count,
            "stop": stop,
            "kept": (torch.arange(stop.shape[1])[None] < stop_count[:, None]).float(),
        }
        self.of_each = tuple(each)
        for name, value in {
            **{name: value[share.networks][going] for name, value in each.items()},
            "x": torch.from_numpy(np.array(tables.scaled, np.float32)),
            "y": torch.from_numpy(np.array(tables.target, np.float32)),
            "w": torch.from_numpy(np.array(tables.weight, np.float32)),
            "least": least,
            "waited": waited,
            "going": going,  # networks of the share that still learn
        }.items():
            self.register_buffer(name, value, persistent=False)

    def _loss(self, rows: torch.Tensor, mask: torch.Tensor | float = 1.0) -> torch.Tensor:
        """Weighted mean squared error of each network on its own rows: (network, row) -> (network,)."""
        x, y = self.x[self.fold, rows], self.y[self.fold, rows]
        parameters = {
            name: shaped(value, self.shapes[name]) for name, value in zip(self.names, self.networks, strict=True)
        }
        error = mlp.forward(parameters, self.fitting.hidden, x) - y
        weight = self.w[rows] * mask
        return (weight * error**2).sum(1) / weight.sum(1).clamp_min(1e-12)

    def training_step(self, step: int) -> torch.Tensor:
        """One step of every network on a batch of its own."""
        draw = torch.from_numpy(draws(self.fitting.seed, int(step), self.share, self.fitting.batch_size))
        rows = self.learn.gather(1, (draw.to(self.device)[self.going] * self.count[:, None]).long())
        return self._loss(rows).sum()

    def on_train_start(self) -> None:
        """Move what Lightning does not know about."""
        self.best = {name: value.to(self.device) for name, value in self.best.items()}
        if self.state is None:
            self._keep_the_best()

    def on_train_batch_end(self, *_: Any) -> None:
        """After an epoch, keep what each network has that is better; a network is done that has not for a while."""
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            self._keep_the_best()
        done = bool(self._is_done().all()) or self.step == self.steps_per_epoch * self.fitting.epochs
        self.trainer.should_stop = self.trainer.should_stop or done
        terminated = self.trainer.received_sigterm
        self.watch.after(self.step, self.arrays, done=done, terminated=terminated, loss=self.left)

    def _is_done(self) -> torch.Tensor:
        return self.waited >= self.fitting.patience

    @torch.no_grad()
    def _keep_the_best(self) -> None:
        loss, least = self._loss(self.stop, self.kept), self.least[self.going]
        if not torch.isfinite(loss).all():
            broken = int((~torch.isfinite(loss)).sum())
            raise FloatingPointError(
                f"the loss of {broken} networks is not finite; lower learning_rate, or check the predictors for NaN."
            )
        # Whether a network goes on depends on itself alone, so that it does not matter which others it is trained with.
        better = loss < least - 1e-4 * least.clamp_max(1e6)
        self.least[self.going] = torch.where(better, loss, least)
        for name, value in zip(self.names, self.networks, strict=True):
            self.best[name][self.going[better]] = value[better]
        self.waited[self.going] = torch.where(better, 0.0, self.waited[self.going] + 1)
        self.left = float(self.least.mean())
        self._leave_the_done()
        told = {"validation_loss": loss.mean(), "best_validation_loss": self.left, "learning": len(self.going)}
        logs.tell(self.trainer, told, self.step)

    def _leave_the_done(self) -> None:
        """Go on with the networks that still learn, if there are any."""
        still = ~self._is_done()[self.going]
        if still.all() or not still.any():
            return
        for name in (*self.of_each, "going"):
            setattr(self, name, getattr(self, name)[still])
        optimizer: Any = self.optimizers()
        keep(optimizer.optimizer, list(self.networks), still)

    def obey(self) -> None:
        """End here: SIGTERM arrived between two steps."""
        self.watch.after(self.step, self.arrays, done=False, terminated=True)

    def arrays(self) -> Arrays:
        """The state of all networks: (network, ...) each."""
        optimizer: Any = self.optimizers()
        now = {f"now.{name}": value for name, value in zip(self.names, self.networks, strict=True)}
        now |= moments(optimizer.optimizer, self.names, list(self.networks))
        held = {f"best.{name}": value for name, value in self.best.items()}
        held |= {"least": self.least, "waited": self.waited}
        for name, value in now.items():  # nobody asks for what networks have that are done
            held[name] = value.new_zeros(self.share.count, *value.shape[1:]).index_copy(0, self.going, value)
        return {name: value.detach().cpu().numpy() for name, value in held.items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay, element by element."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.fitting.learning_rate, weight_decay=self.fitting.weight_decay, fused=True
        )
        if self.state is not None:
            remember(optimizer, self.names, list(self.networks), self.state, self.going.cpu())
        return optimizer
