"""Held-out glaciers with gaps filled: what the climate-only net says, and what the other glaciers of the year add."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute
from glacierscale.models.bundle import SMBModel
from glacierscale.models.gapfill import Gapfill, predictive_std
from glacierscale.models.glacier_years import units_of
from glacierscale.models.held_out import row_numbers, spread
from glacierscale.models.observed import Observed, Places
from glacierscale.models.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from glacierscale.models.scene import Scene

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

NAME, SCHEME = "gapfilled", "logo"
"""Model and scheme in the tables of predictions and scores."""


def predictions(model: SMBModel, rows: Rows, features: xr.Dataset, scene: Scene | None = None) -> pd.DataFrame | None:
    """Every held-out row of leave-one-glacier-out, with the annual balances of all other glaciers in sight.

    As `reconstruct` does for glaciers without observations, but that the net is the one that leaves least in rows that
    the fold's members were trained beside: which net does best with glaciers held out, all glaciers had a say in. The
    residuals are those that these members leave in the rows that they learned from. Neither net nor members nor
    residuals nor the covariance and the doubt, learned anew in each fold, have seen the glacier that is predicted.

    Parameters
    ----------
    model : SMBModel
    rows : Rows
        Of its plan.
    features : xarray.Dataset
        For the places of the glaciers.
    scene : Scene, optional
        For a raster network.

    Returns
    -------
    pandas.DataFrame or None
        As `rows.held_out_predictions`; None where the model has no such folds, or learned from no annual balances.
    """
    import pandas as pd

    model = model.plain  # effects of years are the filling's own business
    numbers = model.plan.of(SCHEME)
    if model.row_kind != "annual" or not numbers:
        return None
    nothing = lambda glaciers: np.zeros((len(glaciers), 1))  # noqa: E731
    places = units_of(features, np.unique(rows.unit_id), nothing).places
    said = _Said(model, rows, scene)

    def of(number: int) -> pd.DataFrame:
        fold = model.plan.folds[number]
        net = best_net(model, number)
        trend, std = said.of(net, number)
        blind, unseen = _unseen(rows, fold.train, trend, said.blind(net, fold.glaciers), said.unseen_left(net, number))
        mean, spread_ = held_out(rows, fold.train, fold.test, places, trend, std, blind, unseen)
        table = {
            "scheme": SCHEME,
            "model": NAME,
            "fold": fold.name,
            "glacier_id": rows.unit_id[fold.test],
            "hydro_year": rows.hydro_year[fold.test].astype(np.int32),
            "observed": rows.observed[fold.test],
            "predicted": mean,
            "std": spread_,
        }
        return pd.DataFrame(table)

    return pd.concat(compute.map_items(of, list(numbers), label="fill gaps, folds"), ignore_index=True)


def held_out(
    rows: Rows, train: Ints, test: Ints, places: Places, trend: Floats, std: Floats, blind: Floats, unseen: Floats
) -> tuple[Floats, Floats]:
    """Test rows from the training rows, which are all that is read of the observations.

    Parameters
    ----------
    rows : Rows
    train, test : (row,) int
        No glacier is in both.
    places : Places
        Of all glaciers of the rows, sorted by name.
    trend, std : (row,) kg m-2
        What the fold's members say of all rows, and how sure they are.
    blind : (row,) kg m-2
        What members say that had not seen the row's year either, nor its glacier where `unseen` is known; NaN where
        there are none.
    unseen : (row,) kg m-2
        What members say that had not seen the row's glacier, NaN where there are none.

    Returns
    -------
    mean, std : (test,) kg m-2
    """
    years, column = np.unique(rows.hydro_year, return_inverse=True)
    unit = np.searchsorted(places.unit_id, rows.unit_id)
    whole = np.full((len(places), len(years)), np.nan)
    whole[unit, column] = trend
    known, number = np.unique(unit[train], return_inverse=True)
    filled = Gapfill.of(
        Observed(
            units=places.take(known),
            trend=whole[known],
            unit=number,
            weight=np.eye(len(years))[column[train]],
            value=rows.observed[train].astype(float),
            sigma=rows.sigma[train].astype(float),
            blind=blind[train],
            unseen=unseen[train],
        )
    )
    wanted, back = np.unique(unit[test], return_inverse=True)
    mean, variance = filled.predict(places.take(wanted), whole[wanted])
    prior = filled.prior(places.take(wanted))[back]
    at = back, column[test]
    return mean[at], predictive_std(std[test], variance[at], prior, filled.error)


def _unseen(rows: Rows, train: Ints, trend: Floats, blind: Floats, left: Floats) -> tuple[Floats, Floats]:
    """What members say that had not seen the year of a row, or its glacier: `blind` and `unseen` of `held_out`.

    Parameters
    ----------
    rows, train, trend
        As of `held_out`.
    blind : (row,) kg m-2
        What members say that had not seen the year of a row, but its glacier; NaN where there are none.
    left : (glacier,) kg m-2
        Mean of what members leave of each glacier that had not seen it; NaN where there are none.
    """
    _, unit = np.unique(rows.unit_id, return_inverse=True)
    count = np.bincount(unit[train], minlength=len(left))
    seen = np.bincount(unit[train], (rows.observed - trend)[train], len(left)) / np.maximum(count, 1)
    moved = (seen - left)[unit]
    known = np.where(np.isfinite(blind), blind, trend)
    return np.where(np.isfinite(moved), known + moved, blind), trend + moved


def best_net(model: SMBModel, fold: int) -> str:
    """Net that leaves least in annual balances that the members of a fold were trained beside, not on."""
    left = {net: std[fold] for net, std in model.residual_std.items() if net in model.nets}
    for net, raster in model.rasters.items():
        learns = raster.form.kind == "cnn" or raster.form.slack > 0  # else it is the yardstick
        if learns and "annual" in raster.form.kinds:
            left[net] = model.raster_residual[net][fold, raster.form.kinds.index("annual")]
    return min(left, key=lambda net: float(left[net]))


class _Said:
    """What folds say of all rows."""

    def __init__(self, model: SMBModel, rows: Rows, scene: Scene | None) -> None:
        self.model, self.rows, self.scene = model, rows, scene

    def blind(self, net: str, glaciers: Sequence[str]) -> Floats:
        """What folds say that saw neither some glaciers nor the year of a row: (row,) kg m-2, NaN without one."""
        found = np.full(len(self.rows), np.nan)
        for number in self.model.plan.of("lsygo"):
            fold = self.model.plan.folds[number]
            if set(glaciers) <= set(fold.glaciers):
                hidden = np.isin(self.rows.hydro_year, fold.years)
                found[hidden] = self.of(net, number)[0][hidden]
        return found

    def unseen_left(self, net: str, number: int) -> Floats:
        """What members of a fold leave of glaciers that they did not learn from: (glacier,) kg m-2, NaN without one."""
        found = self.model.unseen_left.get(net)
        return np.full(len(np.unique(self.rows.unit_id)), np.nan) if found is None else found[number]

    @cache  # noqa: B019  # each glacier of a group asks for the same folds, and this lives no longer than the table
    def of(self, net: str, number: int) -> tuple[Floats, Floats]:
        """Mean and predictive standard deviation by a net of a fold: (row,) kg m-2 each."""
        return _told(self.model, net, number, self.rows, self.scene)


def _told(model: SMBModel, net: str, number: int, rows: Rows, scene: Scene | None) -> tuple[Floats, Floats]:
    """Mean and predictive standard deviation of all rows by a net of a fold: (row,) kg m-2 each."""
    if net in model.nets:
        members, residual = model.predict(rows.design, net, number), float(model.residual_std[net][number])
    else:
        assert scene is not None  # a model with raster networks is not evaluated without
        raster, row = model.rasters[net], row_numbers(model.unit_id, model.hydro_year, model.row_kind, scene)
        seen = np.flatnonzero(row >= 0)
        members = np.full((raster.members, len(rows)), np.nan)
        members[:, row[seen]] = raster.observe(number, scene.functionals, seen, scene.surface, scene.weather)
        residual = float(model.raster_residual[net][number, raster.form.kinds.index("annual")])
    return members.mean(axis=0).astype(float), np.hypot(spread(members), residual).astype(float)
