"""Lightning as both kinds of training use it: one device, nothing written, nothing said, and ended by SIGTERM."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from glacierscale.training.checkpoints import State
from glacierscale.training.shares import Machine

_REGISTER = 16
"""Elements in the longest vector register."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@contextmanager
def quiet_trainer(machine: Machine, loggers: Sequence[Logger] = (), **limits: Any) -> Iterator[pl.Trainer]:
    """A trainer without displays and other files than those of loggers, and meanwhile none of Lightning's advice.

    SIGTERM only sets `received_sigterm` of the trainer; who trains looks at it between steps.

    Parameters
    ----------
    machine : Machine
        Where to train.
    loggers : sequence of Logger
        Who is told losses.
    **limits
        How long to train, and other arguments of the trainer.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what hardware there is, and advertisements
    with warnings.catch_warnings(), _sigterm_left_to_lightning(), _algorithms_of_torch_left():
        # Batches are read ahead by a thread or are in memory, so worker processes would only cost time; and a machine
        # with a GPU is used when Lightning is told "auto".
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield pl.Trainer(
            accelerator=machine.accelerator,
            devices=1 if machine.device < 0 else [machine.device],
            logger=list(loggers) or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            deterministic=True,
            callbacks=[_Obedience()],
            **limits,
        )


class _Obedience(pl.Callback):
    """Ends a task in its own way where Lightning looks first: it would leave with exit code 0 and keep no state."""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save and raise `Terminated` in place of Lightning's own exception."""
        if isinstance(exception, SIGTERMException):
            task: Any = pl_module
            task.obey()


@contextmanager
def _sigterm_left_to_lightning() -> Iterator[None]:
    """Take away a handler that would end a step in its middle; Lightning calls those it finds beside its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    arrived: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    if arrived:  # after the last step
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def _algorithms_of_torch_left() -> Iterator[None]:
    """Set back which algorithms torch may take; a deterministic trainer sets it for the whole process."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Let torch split single operations over so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def padded(value: torch.Tensor) -> torch.Tensor:
    """Parameters of networks, each network's at the start of a vector register: (network, ...) -> (network, padded).

    Adam rounds the last few elements of a tensor in another way than those that fill a register; without padding, how a
    network is rounded would depend on which others it is trained with.
    """
    flat = value.reshape(len(value), -1)
    return torch.nn.functional.pad(flat, (0, -flat.shape[1] % _REGISTER))


def shaped(flat: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """A view of what was padded: (network, padded) -> (network, ...)."""
    return flat[:, : math.prod(shape)].view(len(flat), *shape)


def moments(
    optimizer: torch.optim.Optimizer, names: Sequence[str], parameters: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """What Adam remembers of parameters, by name; nothing before its first step."""
    return {
        f"{kind}.{name}": optimizer.state[value][kind]
        for name, value in zip(names, parameters, strict=True)
        if value in optimizer.state
        for kind in _MOMENTS
    }


def remember(
    optimizer: torch.optim.Optimizer,
    names: Sequence[str],
    parameters: Sequence[torch.Tensor],
    state: State,
    networks: torch.Tensor | slice = slice(None),
) -> None:
    """Give Adam back what `moments` took of it at a state, of all networks or some."""
    for name, value in zip(names, parameters, strict=True):
        found = {kind: torch.from_numpy(state.arrays[f"{kind}.{name}"].copy())[networks] for kind in _MOMENTS}
        optimizer.state[value] = {kind: moment.to(value.device) for kind, moment in found.items()}
        optimizer.state[value]["step"] = torch.tensor(float(state.step), device=value.device)


def keep(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.Tensor], networks: torch.Tensor) -> None:
    """Go on with some networks: (network, ...) of each parameter and of what Adam remembers of it."""
    for value in parameters:
        value.data, value.grad = value.data[networks], None
        if value in optimizer.state:
            optimizer.state[value] |= {kind: optimizer.state[value][kind][networks] for kind in _MOMENTS}
