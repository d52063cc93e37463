"""Raster networks of all members of all folds as one Lightning task.

A step takes some glaciers and years; every network sees the observations there that its fold and its draw let it train
on. Networks share no parameter, so each gradient is the network's own; they go through a few at a time, so that what
they work on stays in the caches of a core or the memory of a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from glacierscale import compute
from glacierscale.models import constraints, likelihood, networks
from glacierscale.models.form import Form, Tensors, draw
from glacierscale.models.functionals import Functionals
from glacierscale.models.likelihood import Targets
from glacierscale.models.networks import Cells, Weather
from glacierscale.models.raster import ELEMENTS_AT_ONCE, part_of, pieces
from glacierscale.models.surface import Surface
from glacierscale.training.lightning import quiet_trainer

Floats = npt.NDArray[np.floating]
_WARM_SHARE = 0.05
_CONSTRAINED_CELLS, _CONSTRAINED_YEARS, _CONSTRAINED_STEPS = 32, 2, 5
_EXCESS_UNITS = {
    "cooler_is_not_worse": 10.0,
    "wetter_is_not_worse": 10.0,
    "gradient_with_elevation": 0.1,
    "melt_is_not_negative": 1.0,
}
"""Mean excess over each constraint that weighs as much as one unit of log likelihood; see `models.constraints`."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What the networks learn from."""

    form: Form
    surface: Surface
    weather: Weather
    """Of the surface's outlines, all years of the features"""
    functionals: Functionals
    weight: Floats
    """(network, observation) how many independent values each stands for; 0 where a network does not train on it"""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How long and how fast."""

    steps: int
    learning_rate: float
    """Of the physical parameters; the convolution takes a tenth."""
    weight_decay: float
    cell_years: int
    """Cells x years in one step"""
    constraint_weight: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """Tensors of one step."""

    cells: Cells
    weather: Weather
    wanted: Targets
    share: float
    """One over how many steps an epoch has: all count the same observations once"""
    name: str
    """What it holds, in words"""

    def to(self, device: torch.device) -> Step:
        """The same on a device."""
        parts = {name: getattr(self, name).to(device) for name in ("cells", "weather", "wanted")}
        return Step(**parts, share=self.share, name=self.name)


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite; `state` holds the last good parameters."""

    def __init__(self, message: str, state: Tensors) -> None:
        super().__init__(message)
        self.state = state


class Feed(IterableDataset[Step]):
    """Steps without end, epoch after epoch: glaciers and years in a new order each time, the same for one seed."""

    def __init__(self, lesson: Lesson, cell_years: int, seed: int) -> None:
        self.lesson, self.cell_years, self.seed = lesson, cell_years, seed
        self.trained = np.flatnonzero(lesson.weight.any(axis=0))
        if not len(self.trained):
            raise ValueError(
                f"none of the {lesson.weight.shape[1]} observations trains any of the {len(lesson.weight)} networks; "
                "check the targets and what is held out."
            )

    def __iter__(self) -> Iterator[Step]:
        rng = np.random.default_rng(self.seed)
        lesson = self.lesson
        while True:
            cut = pieces(lesson.functionals, self.trained, lesson.surface, cell_years=self.cell_years, rng=rng)
            for outlines, years, some in cut:
                cells, of_piece = part_of(lesson.surface, lesson.form, outlines)
                yield Step(
                    cells=of_piece,
                    weather=lesson.weather.take(outlines, years),
                    wanted=likelihood.targets(lesson.functionals, some, cells, years, lesson.form.kinds),
                    share=1 / len(cut),
                    name=_named(lesson.functionals, some),
                )


def fit(
    lesson: Lesson, fitting: Fitting, *, accelerator: str = "auto", on_step: Callable[[], object] = lambda: None
) -> dict[str, Floats]:
    """Train all networks together.

    Parameters
    ----------
    lesson : Lesson
    fitting : Fitting
    accelerator : str
        Lightning's name of the hardware.
    on_step : callable
        Called after every step.

    Returns
    -------
    dict
        Parameters by name, each (network, ...).

    Raises
    ------
    NonFiniteLossError
        Naming the step whose loss was not finite, with the last good parameters.
    """
    task, feed = RasterTask(lesson, fitting, on_step), Feed(lesson, fitting.cell_years, fitting.seed)
    with (
        threads_of_torch(),
        ThreadPoolExecutor(compute.cores()) as task.threads,
        quiet_trainer(accelerator=accelerator, max_steps=fitting.steps) as trainer,
    ):
        trainer.fit(task, DataLoader(feed, batch_size=None))
    state = {name: value.detach().cpu() for name, value in task.own.items()}
    if task.fault:
        raise NonFiniteLossError(task.fault, {name: value.cpu() for name, value in task.good.items()})
    return {name: value.numpy() for name, value in state.items()}


@contextmanager
def threads_of_torch(count: int = 1) -> Iterator[None]:
    """Let torch split single operations over so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class RasterTask(pl.LightningModule):
    """All networks as one module, stepped by hand: gradients of a few networks at a time."""

    weight: torch.Tensor
    threads: Executor

    def __init__(self, lesson: Lesson, fitting: Fitting, on_step: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.form, self.fitting, self.on_step = lesson.form, fitting, on_step
        drawn = draw(lesson.form, len(lesson.weight), fitting.seed)
        self.names = list(drawn)
        self.networks = torch.nn.ParameterList(list(drawn.values()))
        self.register_buffer("weight", torch.from_numpy(lesson.weight.astype(np.float32)), persistent=False)
        self.good: Tensors = {name: value.clone() for name, value in drawn.items()}
        self.fault = ""

    @property
    def own(self) -> Tensors:
        """Parameters by name."""
        return dict(zip(self.names, self.networks, strict=True))

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """Move a step."""
        return batch.to(device)

    def training_step(self, batch: Step, number: int) -> None:
        """One step of every network, a few networks at a time."""
        optimizer: Any = self.optimizers()
        for value in self.networks:
            value.grad = torch.zeros_like(value)
        count = len(self.weight)
        elements = len(batch.cells.elevation) * batch.weather.temp.shape[1] * 12
        together = count if self.device.type != "cpu" else max(1, ELEMENTS_AT_ONCE // max(elements, 1))
        some = [slice(start, min(start + together, count)) for start in range(0, count, together)]
        finite = all(list(self.side_by_side(lambda which: self.descend(which, self.loss, batch, which), some)))
        if self.fitting.constraint_weight and number % _CONSTRAINED_STEPS == 0:
            finite = self.descend(slice(None), self.constraint_loss, batch, number) and finite
        if not finite:
            self.fault = (
                f"the loss is not finite after {self.global_step} steps, at {batch.name}; the last good parameters are "
                "kept. Lower learning_rate, or check these observations and their climate for NaN."
            )
            self.trainer.should_stop = True
            return
        self.good = {name: value.detach().clone() for name, value in self.own.items()}
        optimizer.step()
        schedule: Any = self.lr_schedulers()
        schedule.step()
        self.on_step()

    def side_by_side(self, work: Callable[[slice], bool], some: list[slice]) -> Iterator[bool]:
        """Go through networks: on a CPU one thread for each core, which beats several threads inside small products."""
        return self.threads.map(work, some) if self.device.type == "cpu" else map(work, some)

    def descend(self, which: slice, loss_of: Callable[..., torch.Tensor], *given: Any) -> bool:
        """Add the gradient of a loss of some networks to theirs; whether the loss is finite."""
        own = {name: value.detach()[which].requires_grad_() for name, value in self.own.items()}
        loss = loss_of(own, *given)
        torch.autograd.backward(loss.sum())
        for name, value in self.own.items():
            gradient = own[name].grad
            if gradient is not None:  # the noise has no part in the constraints
                assert value.grad is not None
                value.grad[which] += gradient
        return bool(torch.isfinite(loss).all())

    def loss(self, own: Tensors, batch: Step, which: slice) -> torch.Tensor:
        """Negative log posterior of some networks over all observations, as this step tells it: (network,)."""
        weight = self.weight[which]
        found = networks.balances(own, self.form, batch.cells, batch.weather)
        predicted = likelihood.observe(found.monthly, batch.wanted)
        surprise = likelihood.surprise(own, self.form, predicted, batch.wanted, weight[:, batch.wanted.number])
        whole = surprise / batch.share + likelihood.prior(own, self.form, found)
        return whole / weight.sum(1).clamp_min(1.0)

    def constraint_loss(self, own: Tensors, batch: Step, number: int) -> torch.Tensor:
        """What networks do that glaciers cannot, on a few cells and years of a step: (network,)."""
        generator = torch.Generator().manual_seed(self.fitting.seed + number)
        cells = torch.randperm(len(batch.cells.elevation), generator=generator)[:_CONSTRAINED_CELLS]
        years = torch.randperm(batch.weather.temp.shape[1], generator=generator)[:_CONSTRAINED_YEARS]
        weather = batch.weather.take(slice(None), years.to(self.device))
        found = networks.answer(own, self.form, batch.cells.take(cells.to(self.device)), weather)
        excess = constraints.penalties(found)
        total = torch.as_tensor(sum(excess[name] / unit for name, unit in _EXCESS_UNITS.items()))
        weighed = self.fitting.constraint_weight * _CONSTRAINED_STEPS * total
        return weighed / self.weight.sum(1).clamp_min(1.0)

    def configure_optimizers(self) -> Any:
        """Adam with decoupled weight decay on the convolution; the step size rises, then falls along a cosine."""
        physical = [value for name, value in self.own.items() if name.startswith(("global", "effect", "noise"))]
        drawn = [value for name, value in self.own.items() if not name.startswith(("global", "effect", "noise"))]
        rate = self.fitting.learning_rate
        groups = [
            {"params": physical, "lr": rate, "weight_decay": 0.0},
            {"params": drawn, "lr": rate / 10, "weight_decay": self.fitting.weight_decay},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        warm = max(1, round(_WARM_SHARE * self.fitting.steps))

        def factor(step: int) -> float:
            left = (step - warm) / max(self.fitting.steps - warm, 1)
            return (step + 1) / warm if step < warm else 0.02 + 0.49 * (1 + math.cos(math.pi * min(left, 1.0)))

        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, factor)]


def _named(functionals: Functionals, some: npt.NDArray[np.integer]) -> str:
    units = np.unique(functionals.unit_id[some])
    years = functionals.first_year[some].min(), functionals.last_year[some].max()
    more = f" and {len(units) - 3} more" if len(units) > 3 else ""
    return f"{len(some)} observations of {', '.join(units[:3])}{more}, {years[0]} to {years[1]}"
