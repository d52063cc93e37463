"""How the balance answers to one predictor over its observed range, in every tabular net: straight or bent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from glacierscale.evaluation.causes import INTERVAL, thinned
from glacierscale.evaluation.drivers import Links, Sample, groups_of, links_of, sample_of
from glacierscale.models.bundle import SMBModel
from glacierscale.models.rows import SUMMER_TEMP, Rows

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating]

STEPS = 21
_ROWS_AT_ONCE = 400
_UNITS = {SUMMER_TEMP: "K"}
"""Of predictors that are made of others when a model asks for them."""


def partial_effects(model: SMBModel, rows: Rows, units: Mapping[str, str]) -> pd.DataFrame:
    """Mean response of the balance when one variable takes each value of its observed range.

    Partial dependence (Friedman 2001, doi 10.1214/aos/1013203451): all else stays as observed in each row. A driver of
    climate takes with it what moves with it within glaciers, months and base included, since a warm summer of cold
    months was never seen; its axis is its leading predictor, whichever the model has (`drivers.links_of`). Topography
    moves alone.

    Parameters
    ----------
    model : SMBModel
    rows : Rows
        The rows it was trained on, in any order.
    units : mapping
        Unit of each predictor.

    Returns
    -------
    pandas.DataFrame
        model, variable (a driver or a predictor of topography), predictor, unit, value (of the predictor, in that
        unit), share_below (share of rows with at most that value), effect (kg m-2 against the mean over the rows as
        they are), low, high (90 % of the members).
    """
    import pandas as pd

    sample = sample_of(model, rows)
    links = links_of(model, sample)
    some = thinned(sample, _ROWS_AT_ONCE)
    parts = []
    for variable, predictor in variables_of(model, sample, links).items():
        grid, scaled, of_base = _moved(model, sample, links, some, variable, predictor)
        column = sample.values[:, predictor]
        common = {
            "variable": variable,
            "predictor": model.predictors[predictor],
            "unit": (_UNITS | {**units}).get(model.predictors[predictor], ""),
            "value": grid,
            "share_below": (column <= grid[:, None]).mean(axis=1),
        }
        for name, net in model.nets.items():
            found = net.members(0, scaled.reshape(-1, scaled.shape[-1])).reshape(-1, *scaled.shape[:2])
            still = net.members(0, sample.scaled[some])
            curve = (found - still[:, None]).mean(axis=2) + of_base.mean(axis=1)  # (member, step)
            low, high = np.percentile(curve, INTERVAL, axis=0)
            parts.append(
                pd.DataFrame({"model": name, **common, "effect": curve.mean(axis=0), "low": low, "high": high})
            )
    columns = ["model", "variable", "predictor", "unit", "value", "share_below", "effect", "low", "high"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def variables_of(model: SMBModel, sample: Sample, links: Links) -> dict[str, int]:
    """Drivers and predictors of topography that vary over the rows, with the number of their predictor."""
    found = dict(zip(links.names, links.leader, strict=True))
    place = [at for at, group in enumerate(groups_of(model)) if group == "topography"]
    found |= {model.predictors[at].replace("_", " "): at for at in place}
    return {name: at for name, at in found.items() if np.ptp(sample.scaled[:, at]) > 0}


def _moved(
    model: SMBModel, sample: Sample, links: Links, rows: npt.NDArray[np.integer], variable: str, predictor: int
) -> tuple[Floats, Floats, Floats]:
    """Rows with one variable moved along its range.

    Returns
    -------
    grid : (step,)
        Values in the unit of the predictor.
    scaled : (step, row, predictor)
    of_base : (step, row)
        What the move does through the base, kg m-2.
    """
    column = sample.values[:, predictor]
    grid = np.linspace(column.min(), column.max(), STEPS)
    shift = (grid[:, None] - column[rows]) / model.scaler.std[0, predictor]  # (step, row)
    if variable not in links.names:
        along, per_deviation = np.eye(len(model.predictors))[predictor], 0.0
    else:
        driver = links.names.index(variable)
        along, per_deviation = links.loading[driver], float(links.of_base(model.base)[0, driver])
    return grid, sample.scaled[rows] + shift[..., None] * along, shift * per_deviation
