"""Raster networks of all members of all folds as one Lightning task.

A step takes some glaciers and years; every network sees the observations there that its fold and its draw let it train
on. Networks share no parameter, so each gradient is the network's own; they go through a few at a time, so that what
they work on stays in the caches of a core or the memory of a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from glacierscale.models import constraints, likelihood, networks
from glacierscale.models.form import Tensors, draw
from glacierscale.models.raster import ELEMENTS_AT_ONCE, ELEMENTS_ON_GPU
from glacierscale.training import logs, workers
from glacierscale.training.checkpoints import Arrays, Checkpoints, OnStep, State, Watch
from glacierscale.training.lightning import moments, padded, quiet_trainer, remember, shaped, threads_of_torch
from glacierscale.training.raster_steps import CONSTRAINED_STEPS, Feed, Fitting, Lesson, Step
from glacierscale.training.shares import Machine, Share
from glacierscale.training.workers import Course

__all__ = ["Feed", "Fitting", "Lesson", "NonFiniteLossError", "RasterTask", "Step", "fit", "train"]

_WARM_SHARE = 0.05
_EXCESS_UNITS = {
    "cooler_is_not_worse": 10.0,
    "wetter_is_not_worse": 10.0,
    "gradient_with_elevation": 0.1,
    "melt_is_not_negative": 1.0,
}
"""Mean excess over each constraint that weighs as much as one unit of log likelihood; see `models.constraints`."""


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; `state` holds the last good parameters."""

    def __init__(self, message: str, state: Tensors) -> None:
        super().__init__(message)
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.state)  # so that it travels between processes


def fit(
    lesson: Lesson,
    fitting: Fitting,
    *,
    accelerator: str = "auto",
    checkpoints: Checkpoints | None = None,
    on_step: OnStep = lambda step, loss: None,
) -> Arrays:
    """Train all networks together, where `compute.current` says.

    Parameters
    ----------
    lesson : Lesson
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
        Parameters by name, each (network, ...).

    Raises
    ------
    NonFiniteLossError
        Naming the step whose loss was not finite, with the last good parameters.
    """
    course = Course(
        train=train,
        fitting=fitting,
        networks=len(lesson.weight),
        divisible=True,
        accelerator=accelerator,
        checkpoints=checkpoints,
    )
    return workers.run(course, lesson, on_step=on_step)


def train(lesson: Lesson, fitting: Fitting, share: Share, machine: Machine, watch: Watch) -> Arrays:
    """Train some of the networks, each as it would be trained among all others.

    Parameters
    ----------
    lesson : Lesson
        Of all networks.
    fitting : Fitting
    share : Share
        Which of them; and of every step which piece, in which case gradients are summed over the processes of
        `torch.distributed`.
    machine : Machine
    watch : Watch
        Knows where an earlier process got to, and is told of every step.

    Returns
    -------
    dict
        Parameters by name, each (network, ...).

    Raises
    ------
    NonFiniteLossError
        Naming the step whose loss was not finite, with the last good parameters.
    """
    state = watch.resume()
    task = RasterTask(lesson, fitting, share, watch, state)
    if task.step < fitting.steps:
        feed = Feed(lesson, fitting.cell_years, fitting.seed, first=task.step, piece=share.piece, pieces=share.pieces)
        with (
            threads_of_torch(1),
            ThreadPoolExecutor(machine.threads) as task.threads,
            quiet_trainer(machine, logs.loggers(watch, task.step), max_steps=fitting.steps - task.step) as trainer,
        ):
            on_gpu = trainer.strategy.root_device.type == "cuda"
            trainer.fit(task, DataLoader(feed, batch_size=None, pin_memory=on_gpu))
    if task.fault:
        raise NonFiniteLossError(task.fault, {name: value.cpu() for name, value in task.good.items()})
    return {name: value.detach().cpu().contiguous().numpy() for name, value in task.own.items()}


class RasterTask(pl.LightningModule):
    """All networks as one module, stepped by hand: gradients of a few networks at a time."""

    weight: torch.Tensor
    threads: Executor

    def __init__(self, lesson: Lesson, fitting: Fitting, share: Share, watch: Watch, state: State | None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.form, self.fitting, self.share, self.watch, self.state = lesson.form, fitting, share, watch, state
        self.step = state.step if state is not None else 0
        drawn = draw(lesson.form, len(lesson.weight), fitting.seed)
        own = {name: padded(value[share.networks]) for name, value in drawn.items()}
        if state is not None:
            own = {name: torch.from_numpy(state.arrays[f"now.{name}"].copy()) for name in drawn}
        self.names = list(drawn)
        self.networks = torch.nn.ParameterList(list(own.values()))
        weight = torch.from_numpy(lesson.weight[share.networks].astype(np.float32))
        self.register_buffer("weight", weight, persistent=False)
        self.good: Tensors = {name: value.detach().clone() for name, value in self.own.items()}
        self.fault = ""
        self.logged = watch.checkpoints is not None and bool(watch.checkpoints.log)
        self.losses: list[torch.Tensor] = []

    @property
    def own(self) -> Tensors:
        """Parameters by name, (network, ...) each."""
        shapes = self.form.shapes
        return {name: shaped(value, shapes[name]) for name, value in zip(self.names, self.networks, strict=True)}

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """Move a step."""
        return batch.to(device)

    def training_step(self, batch: Step, number: int) -> None:
        """One step of every network, a few networks at a time."""
        optimizer: Any = self.optimizers()
        for value in self.networks:
            value.grad = torch.zeros_like(value)
        finite = all(list(self.side_by_side(lambda w, alone: self.descend(w, alone, self.loss, batch, w), batch)))
        if self.fitting.constraint_weight and batch.probe is not None:
            alone = len(self.weight) == 1 < self.share.of
            finite = self.descend(slice(None), alone, self.constraint_loss, batch) and finite
        if not self.together(finite):
            self.fault = (
                f"the loss is not finite after {self.step} steps, at {batch.name}; the last good parameters are "
                "kept. Lower learning_rate, or check these observations and their climate for NaN."
            )
            self.trainer.should_stop = True
            return
        self.good = {name: value.detach().clone() for name, value in self.own.items()}
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()
        self.step += 1

    def on_train_batch_end(self, *_: Any) -> None:
        """Save and tell, unless the step went wrong."""
        if not self.fault:
            if self.losses:
                logs.tell(self.trainer, {"loss": torch.stack(self.losses).sum() / len(self.weight)}, self.step)
                self.losses.clear()
            done = self.step == self.fitting.steps
            self.watch.after(self.step, self.arrays, done=done, terminated=self.trainer.received_sigterm)

    def obey(self) -> None:
        """End here: SIGTERM arrived between two steps."""
        self.watch.after(self.step, self.arrays, done=False, terminated=True)

    def arrays(self) -> Arrays:
        """The state of all networks: (network, ...) each."""
        optimizer: Any = self.optimizers()
        now: Tensors = {f"now.{name}": value for name, value in zip(self.names, self.networks, strict=True)}
        now |= moments(optimizer.optimizer, self.names, list(self.networks))
        return {name: value.detach().cpu().numpy() for name, value in now.items()}

    def together(self, finite: bool) -> bool:
        """Sum gradients over the processes that take pieces of the same steps; whether all losses are finite."""
        if self.share.pieces == 1:
            return finite
        gradients = [value.grad.flatten() for value in self.networks if value.grad is not None]
        everything = torch.cat([*gradients, torch.tensor([float(not finite)], device=self.device)])
        torch.distributed.all_reduce(everything)
        for value, summed in zip(self.networks, torch.split(everything[:-1], [len(g) for g in gradients]), strict=True):
            value.grad = summed.view_as(value).clone()
        return bool(everything[-1] == 0)

    def side_by_side(self, work: Callable[[slice, bool], bool], batch: Step) -> Iterator[bool]:
        """Go through networks: on a CPU one thread for each core, which beats several threads inside small products."""
        count, elements = len(self.weight), len(batch.cells.elevation) * batch.weather.temp.shape[1] * 12
        if not elements:
            return iter([])
        together = max(1, (ELEMENTS_AT_ONCE if self.device.type == "cpu" else ELEMENTS_ON_GPU) // elements)
        some = [slice(start, min(start + together, count)) for start in range(0, count, together)]
        alone = [one.stop - one.start == 1 < min(together, self.share.of) for one in some]
        return self.threads.map(work, some, alone) if self.device.type == "cpu" else map(work, some, alone)

    def descend(self, which: slice, alone: bool, loss_of: Callable[..., torch.Tensor], *given: Any) -> bool:
        """Add the gradient of a loss of some networks to theirs; whether the loss is finite.

        A network that is alone where others have company gets a twin: products of one matrix are rounded in another
        way than those of several, and where a share ends must not be seen in what it learns.
        """
        own = {name: value.detach()[which] for name, value in self.own.items()}
        own = {name: torch.cat([v, v]) if alone else v for name, v in own.items()}
        own = {name: value.requires_grad_() for name, value in own.items()}
        loss = loss_of(own, *given)
        loss = loss[:1] if alone else loss
        torch.autograd.backward(loss.sum())
        if self.logged:
            self.losses.append(loss.detach().sum())
        for name, value in zip(self.names, self.networks, strict=True):
            gradient = own[name].grad
            if gradient is not None:  # the noise has no part in the constraints
                assert value.grad is not None
                shaped(value.grad, gradient.shape[1:])[which] += gradient[:1] if alone else gradient
        return bool(torch.isfinite(loss).all())

    def loss(self, own: Tensors, batch: Step, which: slice) -> torch.Tensor:
        """Negative log posterior of some networks over all observations, as this step tells it: (network,)."""
        weight = self.weight[which]
        found = networks.balances(own, self.form, batch.cells, batch.weather)
        predicted = likelihood.observe(found.monthly, batch.wanted)
        surprise = likelihood.surprise(own, self.form, predicted, batch.wanted, weight[:, batch.wanted.number])
        whole = surprise / batch.share + likelihood.prior(own, self.form, found) * batch.part
        return whole / weight.sum(1).clamp_min(1.0)

    def constraint_loss(self, own: Tensors, batch: Step) -> torch.Tensor:
        """What networks do that glaciers cannot, on a few cells and years of a step: (network,)."""
        assert batch.probe is not None
        excess = constraints.penalties(networks.answer(own, self.form, *batch.probe))
        total = torch.as_tensor(sum(excess[name] / unit for name, unit in _EXCESS_UNITS.items()))
        weighed = self.fitting.constraint_weight * CONSTRAINED_STEPS * batch.part * total
        return weighed / self.weight.sum(1).clamp_min(1.0)

    def configure_optimizers(self) -> Any:
        """Adam with decoupled weight decay on the convolution; the step size rises, then falls along a cosine."""
        named = list(zip(self.names, self.networks, strict=True))
        physical = [value for name, value in named if name.startswith(("global", "effect", "noise"))]
        drawn = [value for name, value in named if not name.startswith(("global", "effect", "noise"))]
        rate = self.fitting.learning_rate
        groups = [
            {"params": physical, "lr": rate, "weight_decay": 0.0},
            {"params": drawn, "lr": rate / 10, "weight_decay": self.fitting.weight_decay},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        if self.state is not None:
            remember(optimizer, self.names, list(self.networks), self.state)
        warm, before = max(1, round(_WARM_SHARE * self.fitting.steps)), self.step

        def factor(since: int) -> float:
            step = before + since
            left = (step - warm) / max(self.fitting.steps - warm, 1)
            return (step + 1) / warm if step < warm else 0.02 + 0.49 * (1 + math.cos(math.pi * min(left, 1.0)))

        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, factor)]
