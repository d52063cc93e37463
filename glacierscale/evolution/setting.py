"""What all glaciers of an evolution share: years, scenarios, members and the nets that tell the balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import schema
from glacierscale.evolution.futures import Futures
from glacierscale.evolution.options import EvolveOptions
from glacierscale.evolution.simulation import Course
from glacierscale.models.bundle import SMBModel

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything but the glaciers."""

    model: SMBModel
    near: str
    """Net of observed glaciers"""
    far: str
    """Net of the others"""
    members: int
    """How many of the model; nets that have fewer use them over again"""
    members_of: Mapping[str, tuple[int, ...]]
    """Members of each of the nets that are run"""
    futures: Futures
    years: Ints
    """(hydro_year,)"""
    snapshots: tuple[int, ...]
    """Years whose thickness is kept"""
    method: str
    thinning: xr.DataArray | None
    """Own curves of the cube's glaciers (glacier, thinning_height), lazy; None where it has none"""

    @classmethod
    def of(cls, model: SMBModel, cube: xr.Dataset, features: xr.Dataset, options: EvolveOptions) -> Setting:
        """Check what is asked for against what there is, before any work is done.

        Raises
        ------
        ValueError
            If features are of another recipe, the net is no tabular one, shallow ice has no base to tell how balance
            changes with elevation, or years or scenarios are not there.
        """
        model.refuse_other_recipe(features)
        near, far = _nets(model, options.net)
        base = model.base
        if options.method == "sia" and not (base.precip_factor[0] or base.degree_day_factor[0]):
            raise ValueError(
                "method is 'sia', but the model has no base that tells how the balance changes with elevation; take "
                "delta_h, or train with a base."
            )
        known = features.hydro_year.values[
            features.hydro_year.values <= features.attrs.get("last_year_with_climate", np.inf)
        ]
        if not known[0] <= options.first <= known[-1]:
            raise ValueError(
                f"first is {options.first}, but the features have climate and topography of {known[0]}..{known[-1]}; "
                "expected a year among them, that of the survey of surface and thickness."
            )
        have = {net: model.members_of(net) for net in (near, far)}
        most = max(have.values())
        members = min(options.members or most, most)
        setting = cls(
            model=model,
            near=near,
            far=far,
            members=members,
            members_of={net: tuple(number % count for number in range(members)) for net, count in have.items()},
            futures=Futures.of(cube, options.scenarios),
            years=np.arange(options.first, options.until + 1, dtype=np.int32),
            snapshots=tuple(year for year in options.snapshots if options.first <= year <= options.until)
            or (options.until,),
            method=options.method,
            thinning=cube.get("thinning"),
        )
        sound = np.flatnonzero(schema.text(features.set_aside.values) == "")[:1]
        if len(sound):  # scenarios that are too short are found on any glacier
            setting.futures.weather(features.isel(glacier=sound).load(), 0, setting.years)
        return setting

    @property
    def net(self) -> str:
        """Which net tells the balance, in words."""
        return self.near if self.near == self.far else f"{self.near} for observed glaciers, {self.far} for the others"

    def own_curves(self, rows: Ints) -> list[Floats | None]:
        """Curves of thinning of some glaciers, given their positions in the cube; None where one has none."""
        if self.thinning is None:
            return [None] * len(rows)
        found = self.thinning.isel(glacier=rows).values.astype(float)
        return [own if np.isfinite(own).all() else None for own in found]

    @property
    def course(self) -> Course:
        """What is run."""
        return Course(
            scenarios=len(self.futures.wanted),
            years=len(self.years),
            snapshots=tuple(int(np.searchsorted(self.years, year)) for year in self.snapshots),
        )

    def static(self) -> dict[str, tuple[str, np.ndarray]]:
        """Variables that tell years and members of a store."""
        names = [own.name for own in self.futures.wanted]
        return {
            "hydro_year": ("hydro_year", self.years),
            "scenario": ("member", np.repeat(np.array(names), self.members)),
            "model_member": ("member", np.tile(np.arange(self.members, dtype=np.int32), len(names))),
        }


def _nets(model: SMBModel, wanted: str) -> tuple[str, str]:
    """Nets of observed and of other glaciers: the one that is wanted, or the best, of those of glaciers."""
    names = sorted(model.nets)
    if wanted in model.rasters:
        raise ValueError(
            f"net is {wanted!r}, a network of ice cells, whose rasters do not follow the surface; expected one of "
            f"{', '.join(names)}."
        )
    if wanted and wanted not in names:
        raise ValueError(f"the model has no net {wanted!r}; it has {', '.join(names)}.")
    if not names:
        raise ValueError("the model has networks of ice cells only; train one of glaciers too, such as lasso.")

    def best(first: str, error: dict[str, float]) -> str:
        return wanted or (first if first in names else min(names, key=error.__getitem__))

    left = {name: float(model.residual_std[name][0]) for name in names}
    return best(model.best_observed, left), best(model.best_unobserved, dict(model.unseen_std))
