"""The parallel linear model as an output of its own: what a standard deviation of each predictor does to the balance.

Effects are those of the whole prediction, base and correction. Their intervals come from refits on resampled glaciers
and years: the weight of a row is how often its glacier was drawn times how often its year was, which is mildly
conservative (Owen & Eckles 2012, doi 10.1214/12-AOAS547). The base is fitted anew each time; the penalty of the Lasso
is kept, since choosing it again costs a hundred fits a draw and moves the effects less than the draws do.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale.evaluation.drivers import DRIVERS, Links, Sample, links_of, sample_of
from glacierscale.models import lasso, physics
from glacierscale.models.bundle import SMBModel
from glacierscale.models.lasso import Lasso
from glacierscale.models.physics import TemperatureIndex
from glacierscale.models.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]

REFITS = 200
"""Draws of the bootstrap."""
INTERVAL = (5.0, 95.0)
"""Percentiles of draws, or of members, that make an interval."""
COLUMNS = (
    "model", "kind", "predictor", "effect", "low", "high", "base", "correction",
    "selected", "same_sign", "folds_same_sign",
)  # fmt: skip
_FEW_YEARS = 8
_ROWS_AT_ONCE = 600
_ATTEMPTS = 20
_log = logging.getLogger(__name__)


def effects(model: SMBModel, rows: Rows, seed: int) -> pd.DataFrame:
    """Effect of a standard deviation of every driver, predictor and interaction on the balance, by net.

    Parameters
    ----------
    model : SMBModel
    rows : Rows
        The rows it was trained on, in any order.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        model; kind: ``driver`` (the predictors of a driver move together as they do within glaciers), ``predictor`` or
        ``interaction`` (all others held); predictor; effect in kg m-2 per standard deviation, of it `base` through the
        temperature-index base and `correction` through what was learned; low, high: 90 % interval, of the bootstrap for
        the Lasso and over members for other nets. For the Lasso `selected` is the share of draws that give the
        correction a coefficient, `same_sign` the share of draws, `folds_same_sign` the share of folds with the sign of
        `effect`; for other nets `same_sign` is a share of members.

    Raises
    ------
    ValueError
        If rows are not finite, or too few to be resampled.
    """
    import pandas as pd

    sample = sample_of(model, rows)
    links = links_of(model, sample)
    if lacking := [stem for driver, stem in DRIVERS.items() if driver not in links.names]:
        _log.warning("what the base does through %s is not in the effects: no such predictor.", ", ".join(lacking))
    parts = [
        _linear(model, name, net, sample, links, seed) if isinstance(net, Lasso) else _local(model, name, sample, links)
        for name, net in model.nets.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _linear(model: SMBModel, name: str, net: Lasso, sample: Sample, links: Links, seed: int) -> pd.DataFrame:
    """Effects of a Lasso: of its members, and over refits and folds."""
    reference = _whole(net.coefficient[:1].mean(axis=1), _of_folds(model.base, slice(0, 1)), links)[0]
    correction, base = refits(model, net, sample, seed)
    drawn = _whole(correction, base, links)
    of_folds = _whole(_comparable(model, net)[1:], _of_folds(model.base, slice(1, None)), links)
    selected = np.full(len(reference), np.nan)
    selected[len(links.names) :] = (correction != 0).mean(axis=0)
    stable = {"selected": selected, "folds_same_sign": _same_sign(of_folds, reference)}
    names = [f"{model.predictors[a]} x {model.predictors[b]}" for a, b in net.pairs]
    return _table(model, name, links, names, reference, drawn, stable)


def _local(model: SMBModel, name: str, sample: Sample, links: Links) -> pd.DataFrame:
    """Effects of any net: mean change over rows when a driver or predictor moves by half a deviation to either side."""
    rows = thinned(sample, _ROWS_AT_ONCE)
    steps = np.concatenate([links.loading, np.eye(len(model.predictors))])
    sides = []
    for step in steps:
        up, down = (model.nets[name].members(0, sample.scaled[rows] + side * step) for side in (0.5, -0.5))
        sides.append((up - down).mean(axis=1))
    members = np.stack(sides, axis=1) + _of_base(links, model.base, len(model.predictors))[:1]
    blank = np.full(len(steps), np.nan)
    stable = {"selected": blank, "folds_same_sign": blank}
    return _table(model, name, links, [], members.mean(axis=0), members, stable)


def _table(
    model: SMBModel,
    name: str,
    links: Links,
    interactions: list[str],
    effect: Floats,
    drawn: Floats,
    stable: dict[str, Floats],
) -> pd.DataFrame:
    """One row for each driver, predictor and interaction: (row,), and (draw, row)."""
    import pandas as pd

    kinds = {"driver": list(links.names), "predictor": list(model.predictors), "interaction": interactions}
    base = np.zeros(len(effect))
    base[: len(links.names) + len(model.predictors)] = _of_base(links, model.base, len(model.predictors))[0]
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    columns = {
        "model": name,
        "kind": [kind for kind, names in kinds.items() for _ in names],
        "predictor": [one for names in kinds.values() for one in names],
        "effect": effect,
        "low": low,
        "high": high,
        "base": base,
        "correction": effect - base,
        "same_sign": _same_sign(drawn, effect),
        **stable,
    }
    return pd.DataFrame(columns)[list(COLUMNS)]


def _of_base(links: Links, base: TemperatureIndex, predictors: int) -> Floats:
    """What drivers and predictors do through the base: (fold, driver and predictor) kg m-2."""
    change = links.of_base(base)
    of_predictors = np.zeros((len(change), predictors))
    of_predictors[:, links.leader] = change
    return np.concatenate([change, of_predictors], axis=1)


def _whole(correction: Floats, base: TemperatureIndex, links: Links) -> Floats:
    """Effects of base and correction: (draw, column) of coefficients -> (draw, driver and column)."""
    width = links.loading.shape[1]
    whole = np.concatenate([correction[:, :width] @ links.loading.T, correction], axis=1)
    whole[:, : len(links.names) + width] += _of_base(links, base, width)
    return whole


def _comparable(model: SMBModel, net: Lasso) -> Floats:
    """Coefficients of every fold per standard deviation of the fold that holds out nothing: (fold, column)."""
    std = model.scaler.std
    ratio = np.where(np.isfinite(std[:1]) & np.isfinite(std), std[:1] / std, 0.0)
    products = [ratio[:, a] * ratio[:, b] for a, b in net.pairs]
    per_column: Floats = np.concatenate([ratio.T, np.array(products).reshape(-1, len(ratio))]).T
    comparable: Floats = net.coefficient.mean(axis=1) * per_column
    return comparable


def _of_folds(base: TemperatureIndex, folds: slice) -> TemperatureIndex:
    return TemperatureIndex(
        precip_factor=base.precip_factor[folds], degree_day_factor=base.degree_day_factor[folds], bias=base.bias[folds]
    )


def _same_sign(drawn: Floats, reference: Floats) -> Floats:
    """Share of draws with the sign of the reference, NaN where that is zero or there are none: (column,)."""
    if not len(drawn):
        return np.full(len(reference), np.nan)
    return np.where(reference == 0, np.nan, (np.sign(drawn) == np.sign(reference)).mean(axis=0))


def refits(model: SMBModel, net: Lasso, sample: Sample, seed: int) -> tuple[Floats, TemperatureIndex]:
    """Base and Lasso fitted to every draw.

    Returns
    -------
    coefficient : (draw, column)
        kg m-2 per standard deviation.
    base : TemperatureIndex
        One fold a draw.
    """
    from sklearn import linear_model

    x = np.asfortranarray(lasso.columns(sample.scaled, net.pairs))
    weight = drawn_weights(sample, np.random.default_rng(seed))
    learns_departure = model.base.precip_factor[0] > 0 or model.base.degree_day_factor[0] > 0
    base = physics.fit(sample.snow, sample.degree_days, sample.observed, weight * learns_departure)
    left = sample.observed - model.base.predict(0, sample.snow, sample.degree_days)
    years, units = (np.unique(of, return_inverse=True)[1] for of in (sample.year, sample.unit))
    coefficient = np.zeros((len(weight), x.shape[1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Objective did not converge")  # as in training
        penalty = lasso.chosen_penalty(x, left, sample.weight, years if years.max() > 1 else units)
        for draw, own in enumerate(weight):
            some = own > 0
            left = (sample.observed - base.predict(draw, sample.snow, sample.degree_days))[some]
            fitted = linear_model.Lasso(penalty, precompute=True, max_iter=5000, tol=1e-3)
            coefficient[draw] = fitted.fit(x[some], left, sample_weight=own[some]).coef_
    return coefficient, base


def drawn_weights(sample: Sample, rng: np.random.Generator) -> Floats:
    """Weights of rows in every draw: (draw, row).

    Glaciers are resampled, and years too where there are eight or more.

    Raises
    ------
    ValueError
        If hardly any draw holds rows enough.
    """
    units, unit = np.unique(sample.unit, return_inverse=True)
    years, year = np.unique(sample.year, return_inverse=True)
    if len(units) + len(years) < 3:
        raise ValueError(f"{len(sample)} rows of one glacier and year cannot be resampled; expected several of either.")
    kept: list[Floats] = []
    for _ in range(_ATTEMPTS):
        weight = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=REFITS)[:, unit] * sample.weight
        if len(years) >= _FEW_YEARS:
            weight = weight * rng.multinomial(len(years), np.full(len(years), 1 / len(years)), size=REFITS)[:, year]
        kept.append(weight[(weight > 0).sum(axis=1) >= min(10, len(sample) // 4)])
        if sum(map(len, kept)) >= REFITS:
            return np.concatenate(kept)[:REFITS]
    raise ValueError(
        f"{len(sample)} rows of {len(units)} glaciers in {len(years)} years are too few to resample; observe more."
    )


def thinned(sample: Sample, most: int) -> npt.NDArray[np.integer]:
    """At most so many rows, evenly over glaciers and years."""
    return np.unique(np.linspace(0, len(sample) - 1, min(most, len(sample))).astype(np.int64))
