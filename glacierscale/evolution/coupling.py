"""Balance of one glacier on the surface of the day, by the trained model: what ties geometry to climate.

Topography enters as the features have it in the first year plus what has changed since, so that a glacier that keeps
its shape has the very balance of the reconstruction, whatever its patch and the features differ by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from glacierscale.evolution.site import Nodes, Site, Terms, Weather
from glacierscale.features import climate
from glacierscale.models.bundle import SMBModel
from glacierscale.models.mlp import MLP, forward
from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import Design, predictor_values

Floats = npt.NDArray[np.floating]

_SEASONAL = ("cpdd", "winter_snow", "summer_snow")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Topography of one glacier in some rows, such as one of each scenario and member."""

    area_m2: Floats
    """(row,)"""
    mean_elevation: Floats
    """(row,) m"""
    max_elevation: Floats
    """(row,) m"""
    slope20: Floats
    """(row,) degree"""
    at_nodes: Floats
    """(row, node) m2 of ice at the elevations of `Nodes`"""

    def where(self, row: npt.NDArray[np.bool_], other: Shape) -> Shape:
        """These rows where true, another's elsewhere."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in vars(self))
        return Shape(**{name: np.where(row.reshape(-1, *[1] * (a.ndim - 1)), a, b) for name, a, b in pairs})


class Coupling:
    """The balance of one glacier in any year, by any members of a net."""

    def __init__(self, model: SMBModel, net: str, site: Site, weather: Weather, nodes: Nodes, start: Shape) -> None:
        self._model, self._net, self._site, self._weather, self._start = model, net, site, weather, start
        self._bias = int(model.base.bias[0])
        self._bias_k = float(BIASES_K[self._bias])
        self.at_nodes = Terms.at(weather, site, nodes.elevation_m, self._bias_k)
        own = Terms.at(weather, site, site.band_elevation, self._bias_k).mean(site.band_area)
        ours = self.at_nodes.mean(start.at_nodes[0])
        self._rows = _table(site.names, 0)
        self._offset = Terms(degree_days=own.degree_days - ours.degree_days, snow=own.snow - ours.snow)

    def balance(self, year: int, shape: Shape, scenario: npt.NDArray[np.integer], member: Sequence[int]) -> Floats:
        """Glacier-wide balance.

        Parameters
        ----------
        year : int
            Position of the year.
        shape : Shape
            Topography of each row; rows run over `member` inside of scenarios.
        scenario : (row,) int
            Scenario of each row.
        member : sequence of int
            Members of the net, the same for each scenario.

        Returns
        -------
        numpy.ndarray
            (row,) kg m-2.
        """
        design = self.design(year, shape, scenario)
        return own_members(self._model, self._net, design, member)

    def design(self, year: int, shape: Shape, scenario: npt.NDArray[np.integer]) -> Design:
        """What the model is told of each row."""
        site, start = self._site, self._start
        now = {
            name: site.place[name] + getattr(shape, name) - getattr(start, name)
            for name in ("mean_elevation", "max_elevation", "slope20")
        }
        now["area"] = site.place["area"] * shape.area_m2 / start.area_m2
        place = np.stack([now.get(name, np.full(len(scenario), site.place[name])) for name in site.place], axis=-1)
        wetter = site.wetter(now["mean_elevation"])
        raw = self._climate(year, now["mean_elevation"], wetter, scenario)
        if self._rows.sizes["glacier"] != len(scenario):
            self._rows = _table(site.names, len(scenario))
        np.concatenate([raw, raw - site.reference, place], axis=-1, out=self._rows.predictors.values[:, 0])
        share = shape.at_nodes / shape.at_nodes.sum(axis=1, keepdims=True)
        columns = np.full((2, len(scenario), len(BIASES_K)), np.nan)
        for column, name in zip(columns, ("snow", "degree_days"), strict=True):
            over = (share * getattr(self.at_nodes, name)[scenario, year]).sum(axis=1)
            column[:, self._bias] = np.maximum(over + getattr(self._offset, name)[scenario, year, 0], 0)
        return Design(
            predictors=predictor_values(self._rows, self._model.predictors)[:, 0],
            snow=columns[0] * wetter[:, None],
            degree_days=columns[1],
        )

    def profile(self, year: int) -> Floats:
        """Balance of the model's base at the elevations of the nodes: (scenario, node) kg m-2.

        Precipitation is that of the first year's mean elevation; only differences between elevations are meant.
        """
        base, terms = self._model.base, self.at_nodes
        snow = terms.snow[:, year] * self._site.wetter(np.array([self._site.place["mean_elevation"]]))
        melt = base.degree_day_factor[0] * terms.degree_days[:, year]
        profile: Floats = base.precip_factor[0] * snow - melt
        return profile

    def _climate(
        self, year: int, mean_elevation_m: Floats, wetter: Floats, scenario: npt.NDArray[np.integer]
    ) -> Floats:
        """Predictors of climate at the mean elevation, in stored order: (row, predictor)."""
        site, weather = self._site, self._weather
        temp = weather.temp_degc[scenario, year]  # (row, month)
        temp = temp + site.lapse_rate * (mean_elevation_m - site.ref_height)[:, None]
        precip = weather.precip_kg_m2[scenario, year] * wetter[:, None]
        found = climate.annual_predictors(temp, precip, site.sigma_k)
        seasonal = np.stack([found[name] for name in site.names if name in _SEASONAL], axis=-1)
        return np.concatenate([seasonal, found["temp"], found["snow"]], axis=-1)


def _table(names: Sequence[str], rows: int) -> xr.Dataset:
    """Rows as the features have glaciers, of one year; made once and filled anew each year, which is much faster."""
    values = np.zeros((rows, 1, len(names)), np.float32)
    return xr.Dataset(
        {
            "predictors": (("glacier", "hydro_year", "predictor"), values),
            "predictor": ("predictor", np.array(names)),
        }
    )


def own_members(model: SMBModel, net: str, design: Design, member: Sequence[int]) -> Floats:
    """Balance of every row by the one member that the row belongs to.

    Parameters
    ----------
    model : SMBModel
    net : str
        One of its tabular nets.
    design : Design
        Rows run over `member` inside of scenarios.
    member : sequence of int
        Members of fold 0.

    Returns
    -------
    numpy.ndarray
        (row,) kg m-2.
    """
    chosen = np.asarray(member)
    scaled = model.scaler.transform(0, design.predictors)
    learned, base = model.nets[net], model.base.predict(0, design.snow, design.degree_days)
    by_member = scaled.reshape(-1, len(chosen), scaled.shape[-1]).swapaxes(0, 1)  # (member, scenario, predictor)
    if isinstance(learned, MLP):  # each network sees its own rows only
        own = {name: torch.from_numpy(values[0][chosen]) for name, values in learned.parameters.items()}
        with torch.no_grad():
            correction = forward(own, learned.hidden, torch.from_numpy(np.ascontiguousarray(by_member))).numpy()
        correction = correction * learned.scale[0]
    else:
        found = learned.members(0, scaled).reshape(-1, *by_member.shape[1::-1])  # (every member, scenario, member)
        correction = found[chosen, :, np.arange(len(chosen))]
    return correction.T.reshape(-1) + base
