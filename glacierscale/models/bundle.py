"""A trained model: base, networks, scaler, predictors and folds in one object; safetensors and JSON on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import provenance
from glacierscale.folds import Fold, FoldPlan
from glacierscale.models import packing
from glacierscale.models import rows as rows_module
from glacierscale.models.packing import Net
from glacierscale.models.physics import TemperatureIndex
from glacierscale.models.rows import Design
from glacierscale.models.scaling import Scaler
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
FORMAT = 1
_JSON, _TENSORS = "model.json", "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Predictions of held-out rows."""

    row: npt.NDArray[np.integer]
    """(prediction,) row of the plan"""
    fold: npt.NDArray[np.integer]
    """(prediction,) fold that held it out"""
    mean: Floats
    """(prediction,) ensemble mean, kg m-2"""
    spread: Floats
    """(prediction,) standard deviation over members, kg m-2"""
    residual: Floats
    """(prediction,) standard deviation of what no member explains, kg m-2"""

    @property
    def std(self) -> Floats:
        """(prediction,) predictive standard deviation, kg m-2."""
        return np.hypot(self.spread, self.residual)


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
    recipe: Mapping[str, Any]
    """How its predictors were computed (options of featurize, reference years, hemisphere); others are refused"""
    stamp: provenance.Stamp
    """What made it"""

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
        """
        parts = []
        for number in self.plan.of(scheme):
            test = self.plan.folds[number].test
            members = self.predict(design.take(test), net, number)
            parts.append((test, np.full(len(test), number), members.mean(axis=0), spread(members)))
        row, fold, mean, std = (np.concatenate(part) for part in zip(*parts, strict=True))
        return HeldOut(row=row, fold=fold, mean=mean, spread=std, residual=self.residual_std[net][fold])

    def reconstruct(self, features: xr.Dataset, net: str = "") -> tuple[Floats, Floats]:
        """Balance of every glacier and year of a (loaded) block of features.

        Parameters
        ----------
        features : xarray.Dataset
            A checked Features dataset or a slice of one along glacier.
        net : str
            One of `nets` for all glaciers; empty takes `best_observed` and `best_unobserved`, each for its glaciers.

        Returns
        -------
        members : (member, glacier, hydro_year) kg m-2
        residual : (glacier,) kg m-2
            Standard deviation of what no member explains.
        """
        design = rows_module.design_of(features, self.predictors, biases=[int(self.base.bias[0])])
        shape = (-1, features.sizes["glacier"], features.sizes["hydro_year"])
        observed = np.isin(text(features.unit_id.values), self.unit_id)
        near, far = (self._know(net or best) for best in (self.best_observed, self.best_unobserved))
        members = self.predict(design, near).reshape(shape)
        if far != near and not observed.all():
            members = np.where(observed[:, None], members, self.predict(design, far).reshape(shape))
        return members, np.where(observed, self.residual_std[near][0], self.unseen_std[far])

    def refuse_other_recipe(self, features: xr.Dataset) -> None:
        """Raise `ValueError` if features were computed in another way than those the model was trained on."""
        own, found = dict(self.recipe), dict(features.attrs.get("recipe", {}))
        other = [f"{k} {found.get(k)!r}, not {own.get(k)!r}" for k in sorted(own | found) if own.get(k) != found.get(k)]
        if other:
            raise ValueError(
                f"these features were computed with {'; '.join(other)}: the model would mistake them for other "
                "weather. Featurize with the options, reference_years included, that the model was trained on."
            )

    def _know(self, net: str) -> str:
        if net not in self.nets:
            raise ValueError(f"the model has no net {net!r}; it has {sorted(self.nets)}.")
        return net

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder; the JSON, which carries the checksum of the weights, comes last."""
        from safetensors.numpy import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, npt.NDArray[Any]] = {
            "scaler.mean": self.scaler.mean,
            "scaler.std": self.scaler.std,
            "scaler.low": self.scaler.low,
            "scaler.high": self.scaler.high,
            "base.precip_factor": self.base.precip_factor,
            "base.degree_day_factor": self.base.degree_day_factor,
            "base.bias": self.base.bias,
            "row.hydro_year": self.hydro_year.astype(np.int64),
            "fold.train": _mask([f.train for f in self.plan.folds], len(self.unit_id)),
            "fold.test": _mask([f.test for f in self.plan.folds], len(self.unit_id)),
        }
        about: dict[str, Any] = {}
        for name, net in self.nets.items():
            tensors, rest = packing.PACK[name](net)
            arrays |= {f"{name}.{key}": value for key, value in tensors.items()}
            arrays[f"{name}.residual_std"] = self.residual_std[name]
            about[name] = {"unseen_std": self.unseen_std[name], **rest}
        weights = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
        description = {
            "format": FORMAT,
            "predictors": self.predictors,
            "unit_id": self.unit_id.tolist(),
            "folds": [[f.scheme, f.name] for f in self.plan.folds],
            "nets": about,
            "best_observed": self.best_observed,
            "best_unobserved": self.best_unobserved,
            "recipe": dict(self.recipe),
            "stamp": self.stamp.as_dict(),
            "weights_sha256": provenance.digest(weights),
        }
        _replace(folder / _TENSORS, weights)
        _replace(folder / _JSON, json.dumps(description, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> SMBModel:
        """Read a model back.

        Raises
        ------
        FileNotFoundError
            If there is no model.
        ValueError
            If its weights are damaged or it is of another format.
        """
        from safetensors.numpy import load

        folder = Path(folder)
        if not (folder / _JSON).exists():
            raise FileNotFoundError(f"no model at {folder}: {_JSON} is missing. Train one with `glacierscale train`.")
        try:
            about = json.loads((folder / _JSON).read_text())
        except ValueError as error:
            raise ValueError(f"{folder / _JSON} is no JSON ({error}); train the model again.") from error
        if about.get("format") != FORMAT:
            raise ValueError(f"{folder} holds a model of format {about.get('format')}, expected {FORMAT}; train again.")
        weights = (folder / _TENSORS).read_bytes()
        if provenance.digest(weights) != about["weights_sha256"]:
            raise ValueError(f"{folder / _TENSORS} does not have the checksum that {_JSON} states; train again.")
        a = load(weights)
        train, test = a["fold.train"], a["fold.test"]
        folds = tuple(
            Fold(scheme=scheme, name=name, train=np.flatnonzero(train[i]), test=np.flatnonzero(test[i]))
            for i, (scheme, name) in enumerate(about["folds"])
        )
        own = {n: {k.removeprefix(f"{n}."): v for k, v in a.items() if k.startswith(f"{n}.")} for n in about["nets"]}
        return cls(
            predictors=tuple(about["predictors"]),
            plan=FoldPlan(folds=folds),
            unit_id=np.array(about["unit_id"]),
            hydro_year=a["row.hydro_year"],
            scaler=Scaler(**{name: a[f"scaler.{name}"] for name in ("mean", "std", "low", "high")}),
            base=TemperatureIndex(
                precip_factor=a["base.precip_factor"],
                degree_day_factor=a["base.degree_day_factor"],
                bias=a["base.bias"],
            ),
            nets={name: packing.UNPACK[name](own[name], about["nets"][name]) for name in about["nets"]},
            residual_std={name: own[name]["residual_std"] for name in own},
            unseen_std={name: about["nets"][name]["unseen_std"] for name in own},
            best_observed=about["best_observed"],
            best_unobserved=about["best_unobserved"],
            recipe=about["recipe"],
            stamp=provenance.Stamp.from_dict(about["stamp"]),
        )


def spread(members: Floats) -> Floats:
    """Standard deviation over members, zero for a single one: (member, ...) -> (...)."""
    std: Floats = members.std(axis=0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1:])
    return std


def fold_weights(plan: FoldPlan, weight: Floats) -> Floats:
    """Weight of every row in the training of every fold: (fold, row), zero outside its training rows."""
    return _mask([fold.train for fold in plan.folds], len(weight)) * weight


def _mask(members: Sequence[npt.NDArray[np.integer]], length: int) -> npt.NDArray[np.uint8]:
    mask = np.zeros((len(members), length), np.uint8)
    for number, rows in enumerate(members):
        mask[number, rows] = 1
    return mask


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.replace(path)
