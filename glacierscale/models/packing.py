"""Nets as named arrays and JSON, and back: never pickles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glacierscale.folds import FoldPlan

Floats = npt.NDArray[np.floating]


class Net(Protocol):
    """Learned correction to the base model."""

    def members(self, fold: int, scaled: Floats) -> Floats:
        """(row, predictor) standardised -> (member, row) kg m-2."""


def _pack_lasso(net: Any) -> tuple[dict[str, Floats], dict[str, Any]]:
    return {"coefficient": net.coefficient, "intercept": net.intercept}, {"pairs": net.pairs}


def _unpack_lasso(own: Mapping[str, Floats], about: Mapping[str, Any]) -> Net:
    from glacierscale.models.lasso import Lasso

    pairs = tuple((int(a), int(b)) for a, b in about["pairs"])
    return Lasso(coefficient=own["coefficient"], intercept=own["intercept"], pairs=pairs)


def _pack_mlp(net: Any) -> tuple[dict[str, Floats], dict[str, Any]]:
    return {**{f"p.{k}": v for k, v in net.parameters.items()}, "scale": net.scale}, {"hidden": net.hidden}


def _unpack_mlp(own: Mapping[str, Floats], about: Mapping[str, Any]) -> Net:
    from glacierscale.models.mlp import MLP

    parameters = {key.removeprefix("p."): value for key, value in own.items() if key.startswith("p.")}
    return MLP(parameters=parameters, hidden=tuple(about["hidden"]), scale=own["scale"])


_OF_KRIGING = ("support", "weight", "kernel", "centre")


def _pack_kriging(net: Any) -> tuple[dict[str, Floats], dict[str, Any]]:
    return {name: getattr(net, name) for name in _OF_KRIGING}, {"place": net.place, "yearly": net.yearly}


def _unpack_kriging(own: Mapping[str, Floats], about: Mapping[str, Any]) -> Net:
    from glacierscale.models.kriging import Kriging

    arrays = {name: own[name] for name in _OF_KRIGING}
    return Kriging(**arrays, place=tuple(about["place"]), yearly=tuple(about["yearly"]))


PACK: dict[str, Callable[[Any], tuple[dict[str, Floats], dict[str, Any]]]] = {
    "lasso": _pack_lasso,
    "mlp": _pack_mlp,
    "kriging": _pack_kriging,
}
UNPACK: dict[str, Callable[[Mapping[str, Floats], Mapping[str, Any]], Net]] = {
    "lasso": _unpack_lasso,
    "mlp": _unpack_mlp,
    "kriging": _unpack_kriging,
}


def mask(members: Sequence[npt.NDArray[np.integer]], length: int) -> npt.NDArray[np.uint8]:
    """Lists of row numbers as 0 and 1: (list, row)."""
    mask = np.zeros((len(members), length), np.uint8)
    for number, rows in enumerate(members):
        mask[number, rows] = 1
    return mask


def fold_weights(plan: FoldPlan, weight: Floats) -> Floats:
    """Weight of every row in the training of every fold: (fold, row), zero outside its training rows."""
    return mask([fold.train for fold in plan.folds], len(weight)) * weight
