"""What temperature, snow and topography contribute to the anomaly of each decade's regional balance.

Each group of inputs is put back to its mean over the reference years, in all combinations; the Shapley value (Shapley
1953; Lundberg & Lee 2017, arXiv 1705.07874) shares out what they do together. Contributions therefore add up to the
anomaly, whatever the net. Predictions are summed over the region before they are compared, so that blocks of glaciers
pass one after another. They weigh by the areas of the outlines in all years, as the region's series in the report does:
weights that change would be a term of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import product
from math import factorial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import compute, provenance
from glacierscale.evaluation.drivers import DRIVERS, GROUPS, groups_of
from glacierscale.features.climate import band_balance_terms
from glacierscale.models.bundle import SMBModel
from glacierscale.models.held_out import spread
from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import predictor_values
from glacierscale.region import WINTER_MONTHS
from glacierscale.schema import text

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

TOTAL = "total"
COLUMNS = ("model", "subregion", "first_year", "last_year", "term", "anomaly", "std")


class Inputs(NamedTuple):
    """All that predictions of some glaciers depend on."""

    predictors: Floats
    """(glacier, hydro_year, predictor)"""
    terms: Floats
    """(glacier, hydro_year, 3) of the base, as `DRIVERS`: degree days, K day, winter and summer snow, kg m-2"""


class Sums(NamedTuple):
    """Sums over glaciers, weighted by area."""

    area: Floats
    """(region, hydro_year) m2 of glaciers with a value"""
    balance: dict[str, Floats]
    """By net (combination, member, region, hydro_year) kg m-2 m2"""


def contributions(model: SMBModel, features: xr.Dataset, blocks: Sequence[slice]) -> pd.DataFrame:
    """Contribution of each group of inputs to each decade's anomaly of the area-weighted mean balance, by net.

    Parameters
    ----------
    model : SMBModel
    features : xarray.Dataset
        Features of all glaciers of the region, lazy.
    blocks : sequence of slice
        Runs of glaciers that are read at once.

    Returns
    -------
    pandas.DataFrame
        model, subregion ("" is the region), first_year, last_year, term (a group of `drivers.GROUPS`, or ``total``),
        anomaly against the reference years (kg m-2 per year, mean over members), std over members. The terms of a
        decade add up to its total.

    Raises
    ------
    ValueError
        If no glacier has climate in the reference years.
    """
    import pandas as pd

    years = features.hydro_year.values
    reference = reference_years(features)
    names = subregions(features)
    groups = used_groups(model)
    work = partial(_sums_of_block, model, features, names, reference, groups)
    parts = compute.map_items(work, list(blocks), label="contributions, blocks")
    found = reduce(_added, parts)
    if not found.area[0][reference].any():
        raise ValueError(
            f"no glacier has climate in the reference years {years[reference][0]}..{years[reference][-1]}; "
            "featurize with reference_years that have all their months."
        )
    known = found.area > 0  # a subregion may have no value in any year
    usual = known & reference
    records = []
    for net, balance in found.balance.items():
        terms = shapley(balance, len(groups)) / np.where(known, found.area, 1.0)  # (group, member, region, year)
        total = np.where(usual, terms, 0.0).sum(axis=-1, keepdims=True)
        terms = terms - total / np.maximum(usual.sum(axis=-1, keepdims=True), 1)
        for at, region in enumerate(["", *names]):
            for decade in decades(years, known[at]):
                mean = terms[:, :, at][..., np.isin(years, decade)].mean(axis=-1)  # (group, member)
                told = [*zip(groups, mean, strict=True), (TOTAL, mean.sum(axis=0))]
                records += [
                    (net, region, int(decade[0]), int(decade[-1]), term, float(m.mean()), float(spread(m)))
                    for term, m in told
                ]
    return pd.DataFrame(records, columns=list(COLUMNS))


def reference_years(features: xr.Dataset) -> Bools:
    """Years that anomalies refer to, as the features were made with: (hydro_year,)."""
    years = features.hydro_year.values
    recipe = provenance.nested(features.attrs.get("recipe", {}))
    first, last = recipe.get("reference_years") or (years[0], years[-1])
    inside: Bools = (years >= first) & (years <= last)
    return inside


def subregions(features: xr.Dataset) -> list[str]:
    """Names of the subregions, if there are several."""
    if "subregion" not in features:
        return []
    names = sorted(set(text(features.subregion.values)[text(features.set_aside.values) == ""]) - {""})
    return names if len(names) > 1 else []


def used_groups(model: SMBModel) -> list[str]:
    """Groups that the predictions depend on: those of climate always, the others where they have predictors."""
    own = groups_of(model)
    return [group for group in GROUPS if group in DRIVERS or group in own]


def decades(years: npt.NDArray[np.integer], known: Bools) -> list[npt.NDArray[np.integer]]:
    """Hydrological years with values, by calendar decade; the first and last may be short."""
    told = years[known]
    return [told[told // 10 == decade] for decade in np.unique(told // 10)]


def inputs_of(model: SMBModel, features: xr.Dataset) -> Inputs:
    """All that predictions of a loaded block of features depend on; together they make those of `SMBModel`."""
    predictors = predictor_values(features, model.predictors)
    warmed = features.temp.values + np.float32(BIASES_K[model.base.bias[0]])
    precip, lapse = features.precip.values, features.lapse_rate.values
    rise = features.band_elevation.values - features.ref_height.values[:, None]
    weight = features.band_area.values / features.band_area.values.sum(axis=1, keepdims=True)
    winter, summer = (
        band_balance_terms(
            warmed[..., part], precip[..., part], lapse[..., part], rise, weight,
            float(features.attrs["degree_day_sigma_k"]),
        )
        for part in (slice(None, WINTER_MONTHS), slice(WINTER_MONTHS, None))
    )  # fmt: skip
    return Inputs(predictors, np.stack([winter[0] + summer[0], winter[1], summer[1]], axis=-1))


def predicted(model: SMBModel, net: str, inputs: Inputs) -> Floats:
    """Balance by the members that were trained on all rows: (member, glacier, hydro_year) kg m-2."""
    base, shape = model.base, inputs.terms.shape[:2]
    factors = np.array([-base.degree_day_factor[0], base.precip_factor[0], base.precip_factor[0]])
    scaled = model.scaler.transform(0, inputs.predictors.reshape(shape[0] * shape[1], len(model.predictors)))
    correction = model.nets[net].members(0, scaled)
    whole: Floats = correction.reshape(len(correction), *shape) + inputs.terms @ factors
    return whole


def shapley(balance: Floats, groups: int) -> Floats:
    """Share of each group in the difference between all and none: (combination, ...) -> (group, ...).

    Combinations count up in binary, the first group being the highest digit.
    """
    shares = np.zeros((groups, *balance.shape[1:]))
    for combination, members in enumerate(product((False, True), repeat=groups)):
        size = sum(members)
        for group, inside in enumerate(members):
            if not inside:
                share = factorial(size) * factorial(groups - size - 1) / factorial(groups)
                with_it = combination | 1 << (groups - 1 - group)
                shares[group] += share * (balance[with_it] - balance[combination])
    return shares


def _sums_of_block(
    model: SMBModel, features: xr.Dataset, names: list[str], reference: Bools, groups: list[str], glaciers: slice
) -> Sums:
    """Area-weighted sums of every net and combination of groups over a run of glaciers."""
    some = features.isel(glacier=glaciers).load()
    some = some.isel(glacier=np.flatnonzero(text(some.set_aside.values) == ""))
    inputs = inputs_of(model, some)
    known = np.logical_and.reduce([np.isfinite(values).all(axis=-1) for values in inputs])  # (glacier, year)
    known &= (known & reference).any(axis=1, keepdims=True)
    means = Inputs(*(_mean(values, known & reference) for values in inputs))
    inputs = Inputs(*(np.where(known[..., None], v, m) for v, m in zip(inputs, means, strict=True)))
    weight = np.where(known, some.area_m2.values[:, None], 0.0)
    inside = np.ones((1, len(weight)))
    if names:
        inside = np.concatenate([inside, text(some.subregion.values)[None] == np.array(names)[:, None]])
    balance = {net: _combined(model, net, inputs, means, groups, weight, inside) for net in model.nets}
    return Sums(inside @ weight, balance)


def _combined(
    model: SMBModel, net: str, inputs: Inputs, means: Inputs, groups: list[str], weight: Floats, inside: Floats
) -> Floats:
    """Sums of one net: (combination, member, region, hydro_year)."""
    own = np.array(groups_of(model))
    still = {group for group in groups if _same(inputs, means, own, group)}
    # A catalogue of decades says the same of every year of one, so that equal years are predicted once.
    _, first, year = np.unique(np.concatenate(inputs, axis=-1), axis=1, return_index=True, return_inverse=True)
    inputs = Inputs(*(values[:, first] for values in inputs))
    sums: dict[tuple[bool, ...], Floats] = {}
    for combination in product((False, True), repeat=len(groups)):
        moving = {g for g, on in zip(groups, combination, strict=True) if on and g not in still}
        key = tuple(group in moving for group in groups)
        if key not in sums:
            of_predictor, of_term = np.isin(own, list(moving)), np.isin(list(DRIVERS), list(moving))
            chosen = Inputs(
                np.where(of_predictor, inputs.predictors, means.predictors),
                np.where(of_term, inputs.terms, means.terms),
            )
            told = predicted(model, net, chosen)[..., year.ravel()]
            sums[key] = np.einsum("rg,gy,mgy->mry", inside, weight, told, optimize=True)
        sums[combination] = sums[key]
    return np.stack([sums[combination] for combination in product((False, True), repeat=len(groups))])


def _same(inputs: Inputs, means: Inputs, own: npt.NDArray[np.str_], group: str) -> bool:
    """Whether a group of predictors stays at its mean in all years, up to rounding."""
    mine = own == group
    return group not in DRIVERS and np.allclose(
        inputs.predictors[..., mine], means.predictors[..., mine], rtol=1e-6, atol=0
    )


def _mean(values: Floats, chosen: Bools) -> Floats:
    """Mean over the chosen years, zero where there is none: (glacier, year, value) -> (glacier, 1, value)."""
    total = np.where(chosen[..., None], values, 0).sum(axis=1, keepdims=True, dtype=float)
    mean: Floats = (total / np.maximum(chosen.sum(axis=1), 1)[:, None, None]).astype(values.dtype)
    return mean


def _added(one: Sums, other: Sums) -> Sums:
    """Sums of two runs of glaciers."""
    return Sums(one.area + other.area, {net: one.balance[net] + other.balance[net] for net in one.balance})
