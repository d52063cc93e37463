"""Losses while networks learn, to Lightning's loggers, below the folder of the model."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.loggers import Logger

    from glacierscale.training.checkpoints import Watch

FOLDER = "logs"
"""Folder of the logs in the folder of the model."""

_TRACKING = "MLFLOW_TRACKING_URI"


def refuse(log: tuple[str, ...], place: str) -> None:
    """Raise `ValueError` where a kind of log cannot be written.

    Parameters
    ----------
    log : tuple of str
        Kinds of log.
    place : str
        Folder or URL of the model.
    """
    files = [kind for kind in log if kind != "mlflow"]
    if files and "://" in place:
        raise ValueError(
            f"log is {list(log)}, but {place} is no folder of this machine, where {' and '.join(files)} would write. "
            "Train into a folder, or log to mlflow."
        )
    if "mlflow" in log and importlib.util.find_spec("mlflow") is None:
        raise ValueError("log asks for mlflow, which is not installed; pip install 'glacierscale[mlflow]'.")
    if "mlflow" in log and not os.environ.get(_TRACKING):
        raise ValueError(f"log asks for mlflow, but {_TRACKING} is not set; set it to the URL of the server.")


def loggers(watch: Watch, step: int) -> list[Logger]:
    """Loggers of one process; none for all but the first process of a training, and where none are asked for.

    Parameters
    ----------
    watch : Watch
        Knows the model's folder, the net and the share of this process.
    step : int
        The first step; a training that continues logs beside what was logged before.
    """
    from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger

    kept, share = watch.checkpoints, watch.share
    if kept is None or share.start or share.piece:
        return []
    folder, run = Path(kept.place) / FOLDER, f"from_{step:06d}"
    made: dict[str, Any] = {
        "csv": lambda: CSVLogger(folder, name=kept.net, version=run),
        "tensorboard": lambda: TensorBoardLogger(folder, name=kept.net, version=run),
        "mlflow": lambda: MLFlowLogger(
            kept.net,
            run_name=f"{Path(kept.place).name} {run}",
            tracking_uri=os.environ.get(_TRACKING),
        ),
    }
    return [made[kind]() for kind in kept.log]


def tell(trainer: pl.Trainer, values: Mapping[str, Any], step: int) -> None:
    """Log values at a step; nothing is fetched from a GPU where nobody logs."""
    if trainer.loggers:
        told = {name: float(value) for name, value in values.items()}
        for logger in trainer.loggers:
            logger.log_metrics(told, step)
            logger.save()
