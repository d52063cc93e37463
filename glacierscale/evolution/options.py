"""Options of evolve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A future climate: one that the cube holds, as it is or perturbed."""

    name: str
    """What it is called in the output."""
    of: str = ""
    """Scenario of the cube; empty takes the one of the same name."""
    warming_k: float = 0.0
    """Warming on top of it, K in 2100, growing linearly from the end of the observed climate."""
    precip_factor: float = 1.0
    """Factor on its precipitation in 2100, reached likewise."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a scenario has no name; expected one such as rcp26.")
        if not (math.isfinite(self.warming_k) and abs(self.warming_k) <= 20):
            raise ValueError(f"warming_k of scenario {self.name} is {self.warming_k}; expected -20 to 20 K.")
        if not (math.isfinite(self.precip_factor) and 0 <= self.precip_factor <= 10):
            raise ValueError(f"precip_factor of scenario {self.name} is {self.precip_factor}; expected 0 to 10.")


@spelt
@dataclass(frozen=True, kw_only=True)
class EvolveOptions:
    """How glaciers evolve."""

    first: int = 2003
    """Hydrological year at whose end glaciers have the geometry of the patches."""
    until: int = 2100
    """Last hydrological year."""
    scenarios: tuple[Scenario, ...] = ()
    """Future climates; empty takes every scenario of the cube."""
    method: Literal["delta_h", "sia"] = "delta_h"
    """How ice is moved: by curves of elevation change (Huss et al. 2010), or by shallow-ice flow."""
    net: str = ""
    """Network of the balance; empty takes the best for observed glaciers, and the best for the others. Networks of ice
    cells, whose rasters do not follow the surface, are left out."""
    members: int = 0
    """Members of the ensemble, the first so many; 0 takes all."""
    snapshots: tuple[int, ...] = (2003, 2025, 2050, 2075, 2100)
    """Hydrological years whose thickness is kept, those between first and until; the last year where none is."""
    glaciers_per_block: int = 8
    """Glaciers in one block of the store, each with all members and scenarios."""

    def __post_init__(self) -> None:
        if self.until <= self.first:
            raise ValueError(f"until is {self.until} and first {self.first}; expected a later year than the first.")
        for name, least in (("members", 0), ("glaciers_per_block", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}.")
        names = [scenario.name for scenario in self.scenarios]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"scenarios {', '.join(twice)} are named twice; give each a name of its own.")
