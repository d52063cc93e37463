"""Ice as cells, without the patches they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glacierscale.evolution import curves
from glacierscale.evolution.geometry import Ice


def ice_of(bed: Any, area: Any, thickness: Any) -> Ice:
    """What the curve needs of glaciers: (glacier, cell) each; the rest is not read."""
    values = [torch.as_tensor(np.asarray(value), dtype=torch.float64) for value in (bed, area, thickness)]
    ice = object.__new__(Ice)
    for name, value in zip(("bed", "cell_area", "thickness"), values, strict=True):
        object.__setattr__(ice, name, value)
    return ice


def some_glaciers(sizes: tuple[int, ...] = (40, 7, 200, 1, 90), seed: int = 1) -> Ice:
    """Glaciers of different sizes, padded; the fourth is one cell."""
    rng = np.random.default_rng(seed)
    shape = (len(sizes), max(sizes))
    real = np.arange(shape[1]) < np.array(sizes)[:, None]
    bed = np.where(real, rng.uniform(2400, 3400, shape), 0)
    return ice_of(bed, np.where(real, rng.uniform(1e3, 1e4, shape), 0), np.where(real, rng.uniform(1, 90, shape), 0))


def small_class(ice: Ice) -> np.ndarray:
    return curves.class_curves(np.full(len(ice.bed), 1e6))
