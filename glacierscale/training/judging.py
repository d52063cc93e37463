"""What held-out rows say of a model: which net is better for whom, and what it leaves unexplained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from glacierscale import folds, metrics
from glacierscale.models.bundle import SMBModel
from glacierscale.models.held_out import HeldOut
from glacierscale.models.rows import Rows

Floats = npt.NDArray[np.floating]

_STRICT = ("lsygo", "spatial_blocks", "latitude_bands", "logo", "glacier_groups")
"""Schemes by how little a held-out glacier has in common with those trained on."""


def residual_std(left: Floats, out_of_bag: Floats) -> Floats:
    """Spread of what is left in rows that members did not learn from: (fold, row), (fold, member, row) -> (fold,)."""
    counted = np.isfinite(out_of_bag)
    told = counted.any(axis=1)
    mean = np.where(counted, out_of_bag, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    square = np.where(told, (left - mean) ** 2, 0).sum(axis=1)
    std: Floats = np.sqrt(square / np.maximum(told.sum(axis=1), 1))
    return std


def unseen_left(
    left: Floats, out_of_bag: Floats, group: npt.NDArray[np.integer], glacier: npt.NDArray[np.integer]
) -> Floats:
    """Mean of what is left of each glacier by members that did not learn from it, kg m-2: (fold, glacier).

    Parameters
    ----------
    left : (fold, row) kg m-2
    out_of_bag : (fold, member, row) kg m-2
        NaN where a member learned from the row.
    group : (fold, row)
        What members leave out as a whole.
    glacier : (row,)
        Number of the glacier.

    Returns
    -------
    numpy.ndarray
        NaN for glaciers that every member learned from or that the fold holds out, and where members leave out years.
    """
    found = np.full((len(left), glacier.max() + 1), np.nan)
    counted = np.isfinite(out_of_bag)
    for fold in np.flatnonzero((group == glacier).all(axis=1)):
        members = counted[fold].sum(axis=0)
        mean = left[fold] - np.where(counted[fold], out_of_bag[fold], 0).sum(axis=0) / np.maximum(members, 1)
        rows = np.bincount(glacier[members > 0], minlength=found.shape[1])
        total = np.bincount(glacier[members > 0], mean[members > 0], found.shape[1])
        found[fold, rows > 0] = total[rows > 0] / rows[rows > 0]
    return found


def judged(model: SMBModel, rows: Rows, held: Mapping[tuple[str, str], HeldOut]) -> SMBModel:
    """The model with what its held-out rows say: which net is better for whom, and the spread without observations."""
    names = list(dict.fromkeys(net for net, _ in held)) or [*model.nets, *model.rasters]
    schemes = [s for s in folds.SCHEMES if all((net, s) in held and len(held[net, s].row) for net in names)]
    square = {key: (found.mean - rows.observed[found.row]) ** 2 for key, found in held.items()}

    def better(among: tuple[str, ...]) -> str:
        counted = [scheme for scheme in among if scheme in schemes] or schemes
        if not counted:
            return names[0]
        error = {net: np.mean([np.sqrt(square[net, scheme].mean()) for scheme in counted]) for net in names}
        return min(error, key=lambda net: error[net])

    strict = next((scheme for scheme in _STRICT if scheme in schemes), None)
    unseen = {}
    for net in dict.fromkeys([*names, *model.rasters]):  # the yardstick can reconstruct too
        unseen[net] = model.residual_of(net)
        if strict and (net, strict) in held:
            excess = np.mean(square[net, strict] - held[net, strict].spread ** 2)
            unseen[net] = float(np.sqrt(max(excess, unseen[net] ** 2)))
    return replace(
        model,
        unseen_std=unseen,
        lasting_share={net: lasting_shares(rows, held, net) for net in unseen},
        best_observed=better(("loyo", "year_blocks")),
        best_unobserved=better(tuple(sorted(folds.HOLDS_OUT_GLACIERS))),
    )


def lasting_shares(rows: Rows, held: Mapping[tuple[str, str], HeldOut], net: str) -> tuple[float, float]:
    """Share of the variance of errors that stays with a glacier: of glaciers that a net knows, and of others, 0 to 1.

    Parameters
    ----------
    rows : Rows
    held : mapping
        Predictions of held-out rows by net and scheme.
    net : str

    Returns
    -------
    tuple
        As the first scheme tells that holds years alone out, and the first that holds glaciers out; 0 without one.
    """
    shares = []
    for unseen in (False, True):
        among = [s for s in folds.SCHEMES if (s in folds.HOLDS_OUT_GLACIERS) == unseen and (net, s) in held]
        found = held[net, among[0]] if among else None
        error = np.empty(0) if found is None else found.mean - rows.observed[found.row]
        group = np.empty(0, np.str_) if found is None else rows.unit_id[found.row]
        shares.append(metrics.lasting_share(error, group))
    return shares[0], shares[1]
