"""Rows that perceptrons learn from, and which of them each network sees at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.training.shares import Share

Floats = npt.NDArray[np.floating]
_PHILOX = 4  # numbers that one count of the generator makes


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


def steps_of(tables: Tables, fitting: Fitting) -> int:
    """Steps of one epoch: what the network with most rows needs to see them all."""
    return int(np.ceil(tables.training.sum(axis=2).max() / fitting.batch_size))


def draws(seed: int, step: int, share: Share, rows: int) -> Floats:
    """Uniform numbers of the networks of a share at a step, the same whatever the share: (network, row) below 1."""
    blocks = -(-rows // _PHILOX)
    counter = np.random.Philox(key=np.array([seed, step], np.uint64)).advance(share.start * blocks)
    return np.random.Generator(counter).random((share.count, blocks * _PHILOX))[:, :rows]


def lists(mask: npt.NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
    """Row numbers where each network's mask is true, padded with its first, and how many: (network, row)."""
    count = mask.sum(axis=1)
    order = np.argsort(~mask, axis=1, kind="stable")[:, : max(int(count.max()), 1)]
    order = np.where(np.arange(order.shape[1])[None] < count[:, None], order, order[:, :1])
    return torch.from_numpy(order), torch.from_numpy(count)
