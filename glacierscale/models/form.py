"""What a raster network is made of: its prior ranges, its size and its freely drawn parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.floating]
Tensors = dict[str, torch.Tensor]

NETS = ("hybrid", "cnn")
"""Raster networks that can be trained."""

GLOBAL = {
    "ddf_snow": (4.5, 0.3, "log"),
    "ddf_ratio": (1.4, 0.2, "log"),
    "precip_factor": (1.5, 0.3, "log"),
    "temp_bias": (0.0, 1.0, "add"),
}
"""Parameters of the plain temperature-index model: centre and width of the prior, and how the width acts.

Degree-day factor of snow in kg m-2 K-1 day-1 and that of ice over it (Hock 2003, doi 10.1016/S0022-1694(03)00257-9;
Braithwaite 2008, doi 10.3189/002214308784886162), precipitation factor, temperature bias in K.
"""

LOOSENED = {
    "sigma": (0.0, 0.2),
    "lapse": (0.0, 1.0),
    "precip_gradient": (0.0, 0.2),
    "winter_precip": (0.0, 0.2),
    "radiation": (0.5, 0.5),
    "equilibrium": (6.0, 1.0),
}
"""What slack adds, centre and width at slack 0.5.

``sigma``: log change of the spread of daily temperature. ``lapse``: K km-1 on top of the climate's.
``precip_gradient``: log precipitation per km. ``winter_precip``: log precipitation of the first seven months, whose
gauges catch less and whose gradients are steeper. ``radiation``: share of melt that follows potential radiation
(Hock 1999, doi 10.3189/S0022143000003087). ``equilibrium``: K by which a glacier whose mean elevation lies a km higher
is warmer than the climate says. Glaciers lie where accumulation and shade let them, so that mean elevations follow the
equilibrium line (Braithwaite and Raper 2009, doi 10.3189/172756410790595930) and elevation tells less between glaciers
than on one.
"""

FIELDS = {"temperature": 1.0, "precipitation": 0.4, "melt": 0.3}
"""Fields that the convolution draws on the glacier, largest at slack 0.5: K, and log change of snowfall and of both
degree-day factors.
"""

EFFECTS = {"temperature": 0.3, "precipitation": 0.15, "melt": 0.1}
"""Standard deviation at slack 0.5 of what sets one observed glacier apart, as a level and as a slope over `SPAN_M`."""

SPAN_M = 300.0
"""Height over which the slope of an effect is stated."""

NOISE = {"annual": 150.0, "winter": 200.0, "summer": 200.0, "point": 300.0, "band": 300.0, "geodetic": 100.0}
"""Start of the learned noise of each kind of observation, kg m-2, beside its stated error."""

RESIDUAL_KG_M2 = 25.0
"""Standard deviation at slack 0.5 of what a month's balance may leave the degree-day model, kg m-2."""

MONTHLY_INPUTS = 7  # see `networks.conditioning`


@dataclass(frozen=True, kw_only=True)
class Form:
    """Everything about a raster network but its weights."""

    kind: Literal["hybrid", "cnn"]
    """``hybrid`` goes through the degree-day model; ``cnn`` maps surface and climate to the balance freely."""
    slack: float
    """0 is a plain temperature-index model, 0.5 the prior ranges of this module, 1 twice those and no penalty."""
    sigma_k: float
    """Standard deviation of daily temperature within a month, K."""
    units: tuple[str, ...]
    """Observed glaciers that have effects of their own."""
    kinds: tuple[str, ...]
    """Kinds of observation that have a noise of their own."""
    targets: tuple[str, ...]
    """Kinds of observation that were asked for, in order."""
    channels: tuple[str, ...]
    """Static inputs, see `surface.INPUTS`."""
    reference_elevation: float
    """Mean elevation of the region's ice, m."""
    kernel: int = 3
    """Side of the neighbourhood that the convolution sees, cells."""
    hidden: tuple[int, int] = (12, 8)
    """Channels of the two hidden layers."""
    latents: int = 2
    """Patterns of the residual."""

    def __post_init__(self) -> None:
        if self.kind not in NETS:
            raise ValueError(f"net is {self.kind!r}; expected one of {list(NETS)}.")
        if not 0 <= self.slack <= 1:
            raise ValueError(
                f"slack is {self.slack}; expected 0 (a plain temperature-index model) to 1 (twice the prior ranges, no "
                "penalty)."
            )
        if self.kernel not in (1, 3, 5, 7):
            raise ValueError(f"kernel is {self.kernel}; expected 1, 3, 5 or 7 cells.")

    @property
    def freedom(self) -> float:
        """Factor on every width that slack loosens."""
        return 2.0 * self.slack

    @property
    def inputs(self) -> int:
        """Static inputs of one cell."""
        return len(self.channels) * self.kernel**2

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter of one network."""
        first, second = self.hidden
        outputs = (len(FIELDS) if self.kind == "hybrid" else 0) + self.latents
        shapes: dict[str, tuple[int, ...]] = {
            "conv1.weight": (self.inputs, first),
            "conv1.bias": (first,),
            "conv2.weight": (first, second),
            "conv2.bias": (second,),
            "conv3.weight": (second, outputs),
            "conv3.bias": (outputs,),
            "month1.weight": (MONTHLY_INPUTS, 8),
            "month1.bias": (8,),
            "month2.weight": (8, self.latents),
            "month2.bias": (self.latents,),
            "noise": (len(self.kinds),),
        }
        if self.kind == "hybrid":
            shapes |= {f"global.{name}": () for name in (*GLOBAL, *LOOSENED)}
            shapes |= {f"effect.{name}": (len(self.units) + 1, 2) for name in EFFECTS}
        return shapes


def draw(form: Form, networks: int, seed: int) -> Tensors:
    """Freshly drawn parameters of many networks: (network, ...) each.

    The last layers start near zero, so training departs from the centre of the priors.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, shape in form.shapes.items():
        value = torch.zeros(networks, *shape)
        if name.endswith(".weight"):
            gain = 0.1 if name == "conv3.weight" and form.kind == "hybrid" else 1.0
            value = torch.randn(networks, *shape, generator=generator) * (gain / shape[0] ** 0.5)
        drawn[name] = value
    return drawn
