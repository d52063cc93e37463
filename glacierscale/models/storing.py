"""Models in a folder or bucket: safetensors and JSON, never pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glacierscale import provenance
from glacierscale.folds import Fold, FoldPlan
from glacierscale.models import packing
from glacierscale.models.bundle import SMBModel
from glacierscale.models.like_years import LikeYears
from glacierscale.models.physics import TemperatureIndex
from glacierscale.models.scaling import Scaler
from glacierscale.provenance import Folder

Arrays = dict[str, npt.NDArray[Any]]

FORMAT = 3
_OF_LIKE_YEARS = ("weather", "spread", "weight", "residual_std")
_JSON, _TENSORS = "model.json", "weights.safetensors"
_AGAIN = "Remove it and run `glacierscale train` again."


@dataclass(frozen=True)
class _Local:
    """A folder on this machine."""

    url: str

    def read(self, name: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        path = Path(self.url, name)
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        path = Path(self.url, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(data)
        fresh.replace(path)


def folder_of(place: str | Path | Folder) -> Folder:
    """A place as something to read and write files in; a path is a folder on this machine.

    Raises
    ------
    ValueError
        If it is a URL: who opens buckets is `store.Files`.
    """
    if not isinstance(place, str | Path):
        return place
    if "://" in str(place):
        raise ValueError(f"{place} is a URL, expected a local folder; pass glacierscale.store.Files.at(URL).")
    return _Local(str(place))


def save(model: SMBModel, folder: Folder) -> None:
    """Write a model to a folder; the JSON, which carries the checksum of the weights, comes last."""
    weights = weights_of(model)
    description = {
        "format": FORMAT,
        "predictors": model.predictors,
        "row_kind": model.row_kind,
        "unit_id": model.unit_id.tolist(),
        "folds": _plan_words(model.plan),
        "observation_folds": _plan_words(model.raster_plan),
        "nets": {name: packing.PACK[name](net)[1] for name, net in model.nets.items()},
        "like_years": list(model.like_years),
        "rasters": {name: asdict(raster.form) for name, raster in model.rasters.items()},
        "unseen_std": dict(model.unseen_std),
        "lasting_share": dict(model.lasting_share),
        "best_observed": model.best_observed,
        "best_unobserved": model.best_unobserved,
        "recipe": dict(model.recipe),
        "stamp": model.stamp.as_dict(),
        "weights_sha256": provenance.digest(weights),
    }
    folder.write(_TENSORS, weights)
    folder.write(_JSON, json.dumps(description, indent=1).encode())


def weights_of(model: SMBModel) -> bytes:
    """All arrays of a model as safetensors: the same bytes before it is saved and after it is loaded."""
    from safetensors.numpy import save as dump

    arrays: Arrays = {
        "scaler.mean": model.scaler.mean,
        "scaler.std": model.scaler.std,
        "scaler.low": model.scaler.low,
        "scaler.high": model.scaler.high,
        "base.precip_factor": model.base.precip_factor,
        "base.degree_day_factor": model.base.degree_day_factor,
        "base.bias": model.base.bias,
        "row.hydro_year": model.hydro_year.astype(np.int64),
        **_plan_arrays("fold", model.plan, len(model.unit_id)),
    }
    for name, net in model.nets.items():
        arrays |= {f"{name}.{key}": value for key, value in packing.PACK[name](net)[0].items()}
        arrays[f"{name}.residual_std"] = model.residual_std[name]
    arrays |= {f"{name}.unseen_left": left for name, left in model.unseen_left.items()}
    for name, years in model.like_years.items():
        arrays |= {f"like_years.{name}.{key}": getattr(years, key) for key in _OF_LIKE_YEARS}
    observations = max((int(fold.train.max(initial=-1)) + 1 for fold in model.raster_plan.folds), default=0)
    observations = max([observations, *(int(f.test.max(initial=-1)) + 1 for f in model.raster_plan.folds)])
    arrays |= _plan_arrays("observation", model.raster_plan, observations)
    for name, raster in model.rasters.items():
        arrays |= {f"raster.{name}.p.{key}": np.asarray(value) for key, value in raster.parameters.items()}
        arrays[f"raster.{name}.residual"] = model.raster_residual[name]
    return dump({key: np.ascontiguousarray(value) for key, value in arrays.items()})


def fingerprint_of(stamp: provenance.Stamp, weights_sha256: str) -> str:
    """Digest of what made a model and of its weights."""
    return provenance.digest(stamp.fingerprint + weights_sha256)


def load(folder: Folder) -> SMBModel:
    """Read a model back; see `SMBModel.load`."""
    about, a = _read(folder)
    own = {name: _below(a, f"{name}.") for name in about["nets"]}
    rasters, residual = {}, {}
    if about["rasters"]:
        from glacierscale.models.form import Form
        from glacierscale.models.raster import RasterNet

        for name, form in about["rasters"].items():
            words: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in form.items()
            }
            rasters[name] = RasterNet(form=Form(**words), parameters=_below(a, f"raster.{name}.p."))
            residual[name] = a[f"raster.{name}.residual"]
    return SMBModel(
        predictors=tuple(about["predictors"]),
        plan=_plan(about["folds"], a, "fold"),
        unit_id=np.array(about["unit_id"], np.str_),
        hydro_year=a["row.hydro_year"],
        row_kind=about["row_kind"],
        scaler=Scaler(**{name: a[f"scaler.{name}"] for name in ("mean", "std", "low", "high")}),
        base=TemperatureIndex(
            precip_factor=a["base.precip_factor"],
            degree_day_factor=a["base.degree_day_factor"],
            bias=a["base.bias"],
        ),
        nets={name: packing.UNPACK[name](own[name], about["nets"][name]) for name in about["nets"]},
        residual_std={name: own[name]["residual_std"] for name in own},
        unseen_left={name: own[name]["unseen_left"] for name in own if "unseen_left" in own[name]},
        like_years={name: LikeYears(**_below(a, f"like_years.{name}.")) for name in about["like_years"]},
        rasters=rasters,
        raster_plan=_plan(about["observation_folds"], a, "observation"),
        raster_residual=residual,
        unseen_std=about["unseen_std"],
        lasting_share={name: tuple(shares) for name, shares in about.get("lasting_share", {}).items()},
        best_observed=about["best_observed"],
        best_unobserved=about["best_unobserved"],
        recipe=about["recipe"],
        stamp=provenance.Stamp.from_dict(about["stamp"]),
    )


def _read(folder: Folder) -> tuple[dict[str, Any], Arrays]:
    """Description and arrays of a model, checked against each other."""
    from safetensors.numpy import load as parse

    place, described = folder.url, folder.read(_JSON)
    if described is None:
        raise FileNotFoundError(f"no model at {place}: {_JSON} is missing. Train one with `glacierscale train`.")
    try:
        about = json.loads(described)
    except ValueError as error:
        raise ValueError(f"{place}/{_JSON} is no JSON ({error}). {_AGAIN}") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{place} holds a model of format {about.get('format')}, expected {FORMAT}. {_AGAIN}")
    weights = folder.read(_TENSORS) or b""
    if provenance.digest(weights) != about["weights_sha256"]:
        raise ValueError(f"{place}/{_TENSORS} does not have the checksum that {_JSON} states. {_AGAIN}")
    return about, parse(weights)


def _below(arrays: Mapping[str, Any], prefix: str) -> Arrays:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _plan_arrays(prefix: str, plan: FoldPlan, rows: int) -> Arrays:
    """Training and test rows of every fold as packed masks, (fold, row / 8) uint8, and how many rows there are."""
    masks = {
        "train": packing.mask([f.train for f in plan.folds], rows),
        "test": packing.mask([f.test for f in plan.folds], rows),
    }
    packed: Arrays = {f"{prefix}.{name}": np.packbits(value, axis=1) for name, value in masks.items()}
    return {**packed, f"{prefix}.rows": np.array([rows], np.int64)}


def _plan_words(plan: FoldPlan) -> list[list[Any]]:
    return [[fold.scheme, fold.name, list(fold.glaciers), [int(y) for y in fold.years]] for fold in plan.folds]


def _plan(words: list[list[Any]], arrays: Arrays, prefix: str) -> FoldPlan:
    rows = int(arrays[f"{prefix}.rows"][0])
    train, test = (np.unpackbits(arrays[f"{prefix}.{name}"], axis=1, count=rows) for name in ("train", "test"))
    return FoldPlan(
        folds=tuple(
            Fold(
                scheme=scheme,
                name=name,
                train=np.flatnonzero(train[number]),
                test=np.flatnonzero(test[number]),
                glaciers=tuple(glaciers),
                years=tuple(years),
            )
            for number, (scheme, name, glaciers, years) in enumerate(words)
        )
    )
