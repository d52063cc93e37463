"""A trained model: base, networks, scaler, predictors and folds in one object; safetensors and JSON on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import provenance
from glacierscale.folds import FoldPlan
from glacierscale.models import rows as rows_module
from glacierscale.models.held_out import HeldOut, held_out_of, row_numbers, rows_held, spread
from glacierscale.models.like_years import LikeYears
from glacierscale.models.packing import Net
from glacierscale.models.physics import BIASES_K, TemperatureIndex
from glacierscale.models.rows import Design
from glacierscale.models.scaling import Scaler

if TYPE_CHECKING:
    from glacierscale.models.raster import RasterNet
    from glacierscale.models.scene import Scene

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class SMBModel:
    """All members of all folds, and everything that prediction needs."""

    predictors: tuple[str, ...]
    """Names of the predictors, in order"""
    plan: FoldPlan
    """Who was held out of which fold; fold 0 holds out nothing and makes the reconstruction"""
    unit_id: npt.NDArray[np.str_]
    """(row,) observed glacier of each row of the plan"""
    hydro_year: npt.NDArray[np.integer]
    """(row,)"""
    scaler: Scaler
    """Fitted per fold"""
    base: TemperatureIndex
    """Fitted per fold; zero factors where the base is switched off"""
    nets: Mapping[str, Net]
    """Learned corrections by name"""
    residual_std: Mapping[str, Floats]
    """(fold,) by net, kg m-2: spread of what the net leaves unexplained in rows its members did not learn from"""
    unseen_std: Mapping[str, float]
    """By net, kg m-2: the same for glaciers without any observation, from folds that hold out glaciers and years"""
    best_observed: str
    """Net with the least error when years are held out: predicts glaciers that have observations"""
    best_unobserved: str
    """Net with the least error when glaciers are held out: predicts glaciers that have none"""
    lasting_share: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By net, for glaciers with observations and without: share of the residual variance that is alike in all years"""
    unseen_left: Mapping[str, Floats] = field(default_factory=dict)
    """(fold, glacier) by net, kg m-2: mean of what members without like years leave of a glacier that they did not
    learn from, NaN where there are none; glaciers in the order of their names"""
    like_years: Mapping[str, LikeYears] = field(default_factory=dict)
    """What nets leave in years of the same weather, by net; none where that was not asked for"""
    rasters: Mapping[str, RasterNet] = field(default_factory=dict)
    """Networks of ice cells by name"""
    raster_plan: FoldPlan = field(default_factory=lambda: FoldPlan(folds=()))
    """The plan over the observations that the networks of ice cells learn from"""
    raster_residual: Mapping[str, Floats] = field(default_factory=dict)
    """(fold, kind) by network of ice cells, kg m-2: what its members leave in observations they did not learn from"""
    row_kind: str = "annual"
    """Kind of observation that a row of the plan is"""
    recipe: Mapping[str, Any]
    """How its predictors were computed (options of featurize, reference years, hemisphere); others are refused"""
    stamp: provenance.Stamp
    """What made it"""

    def __repr__(self) -> str:
        nets = ", ".join([*self.nets, *self.rasters])
        plans = (*self.plan.folds, *self.raster_plan.folds)
        schemes = ", ".join(dict.fromkeys(fold.scheme for fold in plans if len(fold.test)))
        years = f", {self.hydro_year.min()}-{self.hydro_year.max()}" if len(self.hydro_year) else ""
        told = f"learned from {len(self.unit_id)} {self.row_kind} balances of {len(set(self.unit_id))} glaciers{years}"
        return f"<SMBModel of {nets}: {told}; held out: {schemes or 'nothing'}>"

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what made the model and of its weights."""
        from glacierscale.models import storing

        return storing.fingerprint_of(self.stamp, provenance.digest(storing.weights_of(self)))

    @cached_property
    def plain(self) -> SMBModel:
        """The same model without what its nets leave in like years: itself where that was not asked for."""
        alone = {net: years.residual_std for net, years in self.like_years.items()}
        return replace(self, like_years={}, residual_std={**self.residual_std, **alone}) if alone else self

    def predict(self, design: Design, net: str, fold: int = 0) -> Floats:
        """Balance of rows by every member.

        Parameters
        ----------
        design : Design
            With this model's predictors.
        net : str
            One of `nets`.
        fold : int
            Fold whose members predict.

        Returns
        -------
        numpy.ndarray
            (member, row) kg m-2 per hydrological year.
        """
        self._know(net)
        base = self.base.predict(fold, design.snow, design.degree_days)
        correction = self.nets[net].members(fold, self.scaler.transform(fold, design.predictors))
        if net in self.like_years and len(design.predictors):
            correction = correction + self.like_years[net].effect(fold, design.weather)
        return correction + base

    def held_out(self, design: Design, net: str, scheme: str) -> HeldOut:
        """Prediction of every held-out row of a scheme by the members that never saw it.

        Parameters
        ----------
        design : Design
            Of all rows of the plan.
        net : str
            One of `nets`.
        scheme : str
            Scheme of the plan.

        Returns
        -------
        HeldOut
            Mean and standard deviation of each held-out row, kg m-2.
        """
        parts = []
        for number in self.plan.of(scheme):
            test = self.plan.folds[number].test
            members = self.predict(design.take(test), net, number)
            parts.append((test, np.full(len(test), number), members.mean(axis=0), spread(members)))
        row, fold, mean, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        return HeldOut(row=row, fold=fold, mean=mean, spread=std, residual=self.residual_std[net][fold])

    def raster_held_out(self, scene: Scene, net: str, scheme: str) -> HeldOut:
        """Prediction of every held-out observation of a scheme by the members that never saw it.

        Parameters
        ----------
        scene : Scene
            The observations of `raster_plan`.
        net : str
            One of `rasters`.
        scheme : str
            Scheme of the plan.

        Returns
        -------
        HeldOut
            Mean and standard deviation of each held-out observation, kg m-2.
        """
        raster = self.rasters[self._know(net)]
        kind = np.array([raster.form.kinds.index(kind) for kind in scene.functionals.kind])
        numbers = self.raster_plan.of(scheme)
        tests = [self.raster_plan.folds[number].test for number in numbers]
        members = [
            raster.observe(number, scene.functionals, test, scene.surface, scene.weather)
            for number, test in zip(numbers, tests, strict=True)
        ]
        return held_out_of(numbers, tests, members, self.raster_residual[net], kind)

    def residual_of(self, net: str) -> float:
        """Standard deviation of what the members of fold 0 leave in annual balances (or in rows), kg m-2.

        Parameters
        ----------
        net : str
            One of `nets` or `rasters`.
        """
        if net in self.nets:
            return float(self.residual_std[net][0])
        kinds, own = self.rasters[net].form.kinds, self.raster_residual[net][0]
        return float(own[kinds.index("annual")] if "annual" in kinds else np.nanmean(own))

    def rows_of(self, scene: Scene, held: HeldOut) -> HeldOut:
        """The held-out observations that are rows of the plan, as such.

        Parameters
        ----------
        scene : Scene
            The observations of `raster_plan`.
        held : HeldOut
            What `raster_held_out` gives.

        Returns
        -------
        HeldOut
            With the numbers of rows of `plan`, kg m-2.
        """
        return rows_held(held, row_numbers(self.unit_id, self.hydro_year, self.row_kind, scene))

    def members_of(self, net: str) -> int:
        """How many members a fold of a net has.

        Parameters
        ----------
        net : str
            One of `nets` or `rasters`.
        """
        if self._know(net) in self.rasters:
            return self.rasters[net].members
        snow = np.zeros((0, len(BIASES_K)), np.float32)
        none = Design(predictors=np.zeros((0, len(self.predictors)), np.float32), snow=snow, degree_days=snow)
        return len(self.predict(none, net))

    def reconstruct(self, features: xr.Dataset, net: str) -> Floats:
        """Balance of every glacier and year of a (loaded) block of features by a tabular net.

        Parameters
        ----------
        features : xarray.Dataset
            A checked Features dataset or a slice of one along glacier.
        net : str
            One of `nets`.

        Returns
        -------
        numpy.ndarray
            (member, glacier, hydro_year) kg m-2.
        """
        design = rows_module.design_of(features, self.predictors, biases=[int(self.base.bias[0])])
        return self.predict(design, net).reshape(-1, features.sizes["glacier"], features.sizes["hydro_year"])

    def refuse_other_recipe(self, features: xr.Dataset) -> None:
        """Raise an error if features were computed in another way than those the model was trained on.

        Parameters
        ----------
        features : xarray.Dataset
            A checked Features dataset.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        own, found = dict(self.recipe), dict(provenance.nested(features.attrs.get("recipe", {})))
        other = [f"{k} {found.get(k)!r}, not {own.get(k)!r}" for k in sorted(own | found) if own.get(k) != found.get(k)]
        if other:
            raise ValueError(
                f"these features were computed with {'; '.join(other)}: the model would mistake them for other "
                "weather. Featurize with the options, reference_years included, that the model was trained on."
            )

    def _know(self, net: str) -> str:
        if net not in self.nets and net not in self.rasters:
            raise ValueError(f"the model has no net {net!r}; it has {sorted([*self.nets, *self.rasters])}.")
        return net

    def save(self, folder: str | Path | provenance.Folder) -> None:
        """Write the model; see `models.storing`.

        Parameters
        ----------
        folder : str, Path or Files
            A local folder, or ``Files.at(URL)`` for a bucket.
        """
        from glacierscale.models import storing

        storing.save(self, storing.folder_of(folder))

    @classmethod
    def load(cls, folder: str | Path | provenance.Folder) -> SMBModel:
        """Read a model back.

        Parameters
        ----------
        folder : str, Path or Files
            A local folder, or ``Files.at(URL)`` for a bucket.

        Returns
        -------
        SMBModel

        Raises
        ------
        FileNotFoundError
            If there is no model.
        ValueError
            If its weights are damaged, it is of another format, or the folder is a bare URL.
        """
        from glacierscale.models import storing

        return storing.load(storing.folder_of(folder))
