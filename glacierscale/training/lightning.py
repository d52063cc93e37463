"""Lightning as both kinds of training use it: one device, nothing written, nothing said."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl


@contextmanager
def quiet_trainer(*, accelerator: str, **limits: Any) -> Iterator[pl.Trainer]:
    """A trainer without files and displays, and meanwhile none of Lightning's advice.

    Parameters
    ----------
    accelerator : str
        Lightning's name of the hardware.
    **limits
        How long to train, and other arguments of the trainer.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what hardware there is, and advertisements
    with warnings.catch_warnings():
        # Batches are made of what is in memory already, so worker processes would only cost time; and a machine with a
        # GPU is used when Lightning is told "auto".
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield pl.Trainer(
            accelerator=accelerator,
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **limits,
        )
