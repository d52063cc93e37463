"""Ice as cells, without the patches they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glacierscale.evolution.geometry import Ice


def ice_of(bed: Any, area: Any, thickness: Any) -> Ice:
    """What the curve needs of glaciers: (glacier, cell) each; the rest is not read."""
    values = [torch.as_tensor(np.asarray(value), dtype=torch.float64) for value in (bed, area, thickness)]
    ice = object.__new__(Ice)
    for name, value in zip(("bed", "cell_area", "thickness"), values, strict=True):
        object.__setattr__(ice, name, value)
    return ice
