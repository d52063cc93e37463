"""What a features store says of observed glaciers: where they lie, and which years their balances are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale.models import periods
from glacierscale.models.bundle import SMBModel
from glacierscale.models.observed import Observed, Places
from glacierscale.models.outlines import Outlines
from glacierscale.models.rows import observed_rows
from glacierscale.region import seamless
from glacierscale.schema import text

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

KINDS = ("annual", "geodetic")
"""Kinds of observation that are means over hydrological years of a whole glacier."""

Blind = Mapping[tuple[str, str, int], float]
"""What an ensemble says that had not seen an observation, kg m-2, by kind, observed glacier and last year."""

_BLIND = ("lsygo", "spatial_blocks", "latitude_bands", "glacier_groups", "logo")
"""Schemes that hold out glaciers, those first that hold out more."""

_AT_ONCE = 512  # glaciers


def places_of(features: xr.Dataset) -> Places:
    """Glaciers of a (loaded) block of features, at their mean elevation over the years."""
    names = text(features.predictor.values).tolist()
    height = features.predictors.values[:, :, names.index("mean_elevation")].astype(float)
    known = np.isfinite(height)
    return Places(
        unit_id=text(features.unit_id.values),
        lon=features.lon.values.astype(float),
        lat=features.lat.values.astype(float),
        height_m=np.where(known, height, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1),
    )


@dataclass(frozen=True, kw_only=True)
class Units:
    """Observed glaciers, means over the area of their outlines; outlines that were set aside do not count."""

    places: Places
    trend: Floats
    """(unit, year) kg m-2"""


def units_of(features: xr.Dataset, wanted: npt.NDArray[np.str_], trend_of: Callable[[Ints], Floats]) -> Units:
    """Where some observed glaciers lie and what the ensemble says of them.

    Parameters
    ----------
    features : xarray.Dataset
        A checked Features dataset, lazy or not; it is read a few hundred outlines at a time.
    wanted : (unit,) str
        Observed glaciers; those without a usable outline are left out.
    trend_of : callable
        Ensemble mean of outlines by their positions, ascending: (outline, year) kg m-2, NaN where there is none.
    """
    outlines = Outlines.of(features, wanted)
    at = outlines.position
    pieces = [at[start : start + _AT_ONCE] for start in range(0, len(at), _AT_ONCE)]
    found = [places_of(features[_PLACED].isel(glacier=piece).load()) for piece in pieces]

    def mean(values: list[Floats]) -> Floats:
        return outlines.mean(np.concatenate(values) if values else np.zeros((0, 1)))

    lon = seamless(np.concatenate([np.zeros(0), *(part.lon for part in found)]))
    places = Places(
        unit_id=outlines.unit_id,
        lon=mean([lon]),
        lat=mean([p.lat for p in found]),
        height_m=mean([p.height_m for p in found]),
    )
    return Units(places=places, trend=mean([trend_of(piece) for piece in pieces]))


def blind_of(model: SMBModel, features: xr.Dataset, net: str) -> Blind:
    """What folds that had not seen an observation say of it, by kind, observed glacier and year.

    Empty where the model has no scheme that holds out glaciers, the net is one of ice cells, or the features hold other
    observations than the model was trained on.
    """
    scheme = next((scheme for scheme in _BLIND if model.plan.of(scheme)), None)
    if scheme is None or net not in model.nets or model.row_kind not in KINDS:
        return {}
    if not (text(features.obs_kind.values) == model.row_kind).any():
        return {}
    rows = observed_rows(features, model.predictors, model.row_kind)
    if not (np.array_equal(rows.unit_id, model.unit_id) and np.array_equal(rows.hydro_year, model.hydro_year)):
        return {}
    held = model.held_out(rows.design, net, scheme)
    units, years = rows.unit_id[held.row].tolist(), rows.hydro_year[held.row].tolist()
    keys = ((model.row_kind, unit, year) for unit, year in zip(units, years, strict=True))
    return dict(zip(keys, held.mean.tolist(), strict=True))


def observed_of(features: xr.Dataset, trend_of: Callable[[Ints], Floats], blind: Blind) -> Observed:
    """Annual and geodetic balances of a features store against what the ensemble says of them.

    Left out are balances of glaciers without a usable outline, and of years that the features do not have or for which
    the ensemble says nothing. A geodetic period counts as the whole years nearest to it.

    Parameters
    ----------
    features, trend_of
        As in `units_of`.
    blind : mapping
        From `blind_of`.

    Raises
    ------
    ValueError
        If there is nothing to condition on, or an error is not above zero.
    """
    years, unit = features.hydro_year.values, text(features.obs_unit_id.values)
    kind = text(features.obs_kind.values)
    row = np.flatnonzero(np.isin(kind, KINDS))
    first, last = periods.years_of(features, row)
    inside = (first >= years[0]) & (last <= years[-1])
    row, first, last = row[inside], first[inside], last[inside]
    units = units_of(features, np.unique(unit[row]), trend_of)
    names = units.places.unit_id
    kept = np.isin(unit[row], names)
    row, first, last = row[kept], first[kept], last[kept]
    number = np.searchsorted(names, unit[row])
    within = (years >= first[:, None]) & (years <= last[:, None])
    told = ~(within & ~np.isfinite(units.trend[number])).any(axis=1)
    weight = within / np.maximum(within.sum(axis=1, keepdims=True), 1)
    row, last = row[told], last[told]
    keys = zip(kind[row].tolist(), unit[row].tolist(), last.tolist(), strict=True)
    held = np.array([blind.get(key, np.nan) for key in keys], float)
    return Observed(
        units=units.places,
        trend=units.trend,
        unit=number[told],
        weight=weight[told],
        value=features.obs_value.values[row].astype(float),
        sigma=features.obs_sigma.values[row].astype(float),
        blind=held,
        unseen=held,
    )


_PLACED = ["unit_id", "lon", "lat", "predictors", "predictor"]
