"""What the raster networks learned, as tables: constraints, sensitivities, importance and the range of climate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from glacierscale import folds
from glacierscale.models import constraints, diagnosis
from glacierscale.models.bundle import SMBModel
from glacierscale.models.scene import Scene
from glacierscale.models.surface import INPUTS
from glacierscale.schema import text

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]

_PREFERRED = ("year_blocks", "loyo", "lsygo", "logo", "glacier_groups", "spatial_blocks", "latitude_bands", "halves")
_MOST_FOLDS = 12
_LIMITS = {
    "cooler_is_not_worse": "dSMB/dT <= 0",
    "wetter_is_not_worse": "dSMB/dP >= 0",
    "gradient_with_elevation": f"0 to {constraints.GRADIENT_LIMIT_KG_M2_M:g} kg m-2 m-1 in ablation areas",
    "melt_is_not_negative": "monthly melt >= 0",
}
_RANGED = ("cpdd", "winter_snow", "summer_snow")


def scheme_for(model: SMBModel) -> str:
    """Scheme whose folds the diagnostics are made on: one that holds out years, if there is one, else glaciers."""
    there = {fold.scheme for fold in model.raster_plan.folds} - {folds.ALL}
    return next((scheme for scheme in _PREFERRED if scheme in there), folds.ALL)


def constraint_shares(model: SMBModel, scene: Scene) -> pd.DataFrame:
    """Share of held-out cells and years that obey each constraint, by network."""
    import pandas as pd

    scheme, seen, records = scheme_for(model), scene.functionals, []
    for net in model.rasters:
        found = []
        for number in model.raster_plan.of(scheme)[:_MOST_FOLDS]:
            fold = model.raster_plan.folds[number]
            rows = fold.test if len(fold.test) else fold.train
            outlines = np.flatnonzero(np.isin(scene.surface.unit_id, seen.unit_id[rows]))
            years = np.unique(seen.time_year[np.isin(seen.time_observation, rows)])
            found.append(diagnosis.obeyed(model.rasters[net], number, scene, outlines, years))
        for name, limit in _LIMITS.items():
            share = np.array([shares[name] for shares, _ in found])
            count = np.array([n for _, n in found])
            told = np.isfinite(share)
            mean = float(np.average(share[told], weights=count[told])) if told.any() else np.nan
            records.append((net, name, mean, limit, int(count.sum())))
    return pd.DataFrame(records, columns=["model", "constraint", "share_satisfied", "limit", "n"])


def sensitivities(model: SMBModel, scene: Scene) -> pd.DataFrame:
    """Answer of the balance of observed glaciers to 1 K and to 10 % more precipitation, by network."""
    import pandas as pd

    area = np.bincount(scene.whole.outline, scene.whole.area)
    units, number = np.unique(scene.surface.unit_id, return_inverse=True)
    records = []
    for net in model.rasters:
        kelvin, percent = (
            np.bincount(number, area * values) / np.bincount(number, area)
            for values in diagnosis.sensitivities(model.rasters[net], scene)
        )
        records += [(net, str(unit), float(t), float(p)) for unit, t, p in zip(units, kelvin, percent, strict=True)]
    return pd.DataFrame(records, columns=["model", "glacier_id", "dsmb_dt", "dsmb_dp"])


def importance(model: SMBModel, scene: Scene, seed: int) -> pd.DataFrame:
    """Growth of the held-out error when one input is shuffled, by network, kg m-2.

    On annual balances where there are any, else on all observations.
    """
    import pandas as pd

    scheme, seen, records = scheme_for(model), scene.functionals, []
    annual = seen.kind == "annual"
    counted = annual if annual.any() else np.ones(len(seen), bool)
    numbers = model.raster_plan.of(scheme)[:_MOST_FOLDS]
    tests = {n: np.flatnonzero(counted & np.isin(np.arange(len(seen)), _rows(model, n))) for n in numbers}
    for net in [net for net in model.rasters if model.rasters[net].members > 1] or list(model.rasters):
        raster = model.rasters[net]

        def rmse(view: Scene, raster=raster) -> float:  # type: ignore[no-untyped-def]
            squares = [
                (raster.observe(n, seen, test, view.surface, view.weather).mean(axis=0) - seen.value[test]) ** 2
                for n, test in tests.items()
                if len(test)
            ]
            return float(np.sqrt(np.concatenate(squares).mean()))

        whole = rmse(scene)
        for name in (*diagnosis.CLIMATE_INPUTS, *INPUTS):
            view = diagnosis.shuffled(scene, name, np.random.default_rng(seed))
            records.append((net, scheme, name, rmse(view) - whole))
    return pd.DataFrame(records, columns=["model", "scheme", "predictor", "rmse_increase"])


def climate_range(features: xr.Dataset, unit_id: npt.NDArray[np.str_], year: npt.NDArray[np.integer]) -> pd.DataFrame:
    """Where the climate of all glaciers and years leaves that of the rows trained on.

    Parameters
    ----------
    features : xarray.Dataset
    unit_id, year : (row,)
        Observed glacier and hydrological year of each row.
    """
    import pandas as pd

    names = text(features.predictor.values).tolist()
    units = dict(zip(names, text(features.predictor_units.values).tolist(), strict=True))
    owner, years = text(features.unit_id.values), features.hydro_year.values
    trained = np.zeros((len(owner), len(years)), bool)
    position = np.searchsorted(years, year)
    for unit in np.unique(unit_id):
        trained[np.ix_(owner == unit, position[unit_id == unit])] = True
    records = []
    for name in _RANGED:
        values = features.predictors[:, :, names.index(name)].values
        known = np.isfinite(values)
        low, high = values[known & trained].min(), values[known & trained].max()
        outside = (values[known] < low) | (values[known] > high)
        span = float(values[known].min()), float(values[known].max())
        records.append((name, units[name], float(low), float(high), *span, float(outside.mean())))
    columns = ["variable", "unit", "training_low", "training_high", "low", "high", "share_outside"]
    return pd.DataFrame(records, columns=columns)


def _rows(model: SMBModel, number: int) -> npt.NDArray[np.integer]:
    fold = model.raster_plan.folds[number]
    return fold.test if fold.scheme != folds.ALL else fold.train
