"""One likelihood for every kind of observation: what a network predicts of each, and how surprised it is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from glacierscale.models.form import FIELDS, GLOBAL, LOOSENED, NOISE, RESIDUAL_KG_M2, Form, Tensors
from glacierscale.models.functionals import Functionals
from glacierscale.models.networks import Balances

Ints = npt.NDArray[np.integer]

FIELDS_COUNT_AS = 10.0
"""Independent values in the fields of one network: how firmly they are held to zero."""

RESIDUALS_COUNT_AS = 30.0
"""The same for the residual."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Some observations over some cells and years, on a device."""

    space: torch.Tensor
    """(place, cell)"""
    place: torch.Tensor
    """(part,) row of `space`"""
    year: torch.Tensor
    """(part,)"""
    weight: torch.Tensor
    """(part, month)"""
    observation: torch.Tensor
    """(part,)"""
    value: torch.Tensor
    """(observation,) kg m-2"""
    sigma: torch.Tensor
    """(observation,) kg m-2"""
    kind: torch.Tensor
    """(observation,) int, into the form's kinds"""
    number: torch.Tensor
    """(observation,) int, in the whole table"""

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        return Targets(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


def targets(functionals: Functionals, which: Ints, cells: Ints, years: Ints, kinds: tuple[str, ...]) -> Targets:
    """Some of the observations as tensors.

    Parameters
    ----------
    functionals : Functionals
    which : (observation,)
        Ascending numbers of observations; all of their cells and years must be there.
    cells, years : (cell,), (year,)
        Ascending numbers of the cells and years that the predictions will be made for.
    kinds : tuple of str
        Kinds in the order of the form.
    """
    some = functionals.take(which)
    places, place = np.unique(some.place, return_inverse=True)
    space = functionals.space[places][:, cells].toarray().astype(np.float32)
    return Targets(
        space=torch.from_numpy(space),
        place=torch.from_numpy(place[some.time_observation]),
        year=torch.from_numpy(np.searchsorted(years, some.time_year)),
        weight=torch.from_numpy(some.time_weight.astype(np.float32)),
        observation=torch.from_numpy(some.time_observation),
        value=torch.from_numpy(some.value.astype(np.float32)),
        sigma=torch.from_numpy(some.sigma.astype(np.float32)),
        kind=torch.from_numpy(np.array([kinds.index(kind) for kind in some.kind], np.int64)),
        number=torch.from_numpy(np.asarray(which, np.int64)),
    )


def observe(monthly_kg_m2: torch.Tensor, wanted: Targets) -> torch.Tensor:
    """Predicted observations: (network, cell, year, month) kg m-2 -> (network, observation) kg m-2."""
    networks, cells, *time = monthly_kg_m2.shape
    at_place = (wanted.space @ monthly_kg_m2.reshape(networks, cells, -1)).reshape(networks, -1, *time)
    parts = (at_place[:, wanted.place, wanted.year] * wanted.weight).sum(-1)  # (network, part)
    return parts.new_zeros(networks, len(wanted.value)).index_add(1, wanted.observation, parts)


def noise_std(own: Tensors, form: Form) -> torch.Tensor:
    """Learned noise of each kind of observation: (network, kind) kg m-2."""
    start = torch.tensor([NOISE[kind] for kind in form.kinds], device=own["noise"].device)
    return start * torch.exp(own["noise"])


def surprise(own: Tensors, form: Form, predicted: torch.Tensor, wanted: Targets, weight: torch.Tensor) -> torch.Tensor:
    """Negative log likelihood, Gaussian with the stated error and the learned noise: (network,).

    Parameters
    ----------
    predicted : (network, observation) kg m-2
    weight : (network, observation)
        How many independent values each observation stands for; 0 where it does not train a network.
    """
    variance = wanted.sigma**2 + noise_std(own, form)[:, wanted.kind] ** 2
    return (weight * ((predicted - wanted.value) ** 2 / variance + torch.log(variance))).sum(1) / 2


def prior(own: Tensors, form: Form, found: Balances) -> torch.Tensor:
    """How far the parameters are from the centre of their priors: (network,)."""
    total = own["noise"].square().sum(1) / 2
    if form.kind == "cnn":
        return total
    for name in (*GLOBAL, *LOOSENED):
        total = total + own[f"global.{name}"].square() / 2
    for name, value in own.items():
        if name.startswith("effect."):
            total = total + value.square().sum((1, 2)) / 2
    total = total + found.fields[..., : len(FIELDS)].square().mean((1, 2)) * (FIELDS_COUNT_AS / 2)
    if 0 < form.slack < 1:
        size = (found.residual / RESIDUAL_KG_M2).square().mean((1, 2, 3))
        total = total + size * (RESIDUALS_COUNT_AS / 2 * (1 / form.slack - 1))
    return total
