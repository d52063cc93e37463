"""Balance of glaciers on the surface of the day, by the trained model: what ties geometry to climate.

Topography enters as the features have it in the first year plus what has changed since, so that a glacier that keeps
its shape has the very balance of the reconstruction, whatever its patch and the features differ by.

Rows are glaciers, each in every scenario and by every member. What is told of a row is elementwise, so that it does not
depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glacierscale.evolution.site import Nodes, Site, Terms, Weather
from glacierscale.features import climate
from glacierscale.models.bundle import SMBModel
from glacierscale.models.mlp import MLP
from glacierscale.models.physics import BIASES_K
from glacierscale.models.rows import DERIVED, SUMMER_TEMP, Design
from glacierscale.region import WINTER_MONTHS

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

_SEASONAL = ("cpdd", "winter_snow", "summer_snow")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Topography of rows."""

    area_m2: Floats
    """(row,)"""
    mean_elevation: Floats
    """(row,) m"""
    max_elevation: Floats
    """(row,) m"""
    slope20: Floats
    """(row,) degree"""
    at_nodes: Floats
    """(node of row,) m2 of ice at the elevations of each row's `Nodes`, one row after the other"""
    first: Ints
    """(row + 1,) where the nodes of each row start"""

    def where(self, row: npt.NDArray[np.bool_], other: Shape) -> Shape:
        """These rows where true, another's elsewhere."""
        names = ("area_m2", "mean_elevation", "max_elevation", "slope20")
        chosen = {name: np.where(row, getattr(self, name), getattr(other, name)) for name in names}
        at_nodes = np.where(np.repeat(row, np.diff(self.first)), self.at_nodes, other.at_nodes)
        return Shape(**chosen, at_nodes=at_nodes, first=self.first)

    def take(self, row: Ints) -> Shape:
        """Some rows, any of them more than once."""
        names = ("area_m2", "mean_elevation", "max_elevation", "slope20")
        parts = [self.at_nodes[self.first[one] : self.first[one + 1]] for one in row.tolist()]
        return Shape(
            **{name: getattr(self, name)[row] for name in names},
            at_nodes=np.concatenate(parts),
            first=np.concatenate([[0], np.cumsum([len(part) for part in parts])]),
        )


@dataclass(frozen=True, kw_only=True)
class Local:
    """One glacier, its climate, and what a temperature-index balance is made of at its elevations."""

    net: str
    """Which tells its balance"""
    site: Site
    weather: Weather
    nodes: Nodes
    terms: Terms
    """At the nodes"""
    offset: Terms
    """Of the bands of the features from the patch in the first year: (scenario, year, 1)"""

    @classmethod
    def of(
        cls, model: SMBModel, net: str, site: Site, weather: Weather, nodes: Nodes, start_at_nodes_m2: Floats
    ) -> Local:
        """Given the area at its nodes (node,) in the first year."""
        bias_k = float(BIASES_K[int(model.base.bias[0])])
        terms = Terms.at(weather, site, nodes.elevation_m, bias_k)
        own = Terms.at(weather, site, site.band_elevation, bias_k).mean(site.band_area)
        ours = terms.mean(start_at_nodes_m2)
        offset = Terms(degree_days=own.degree_days - ours.degree_days, snow=own.snow - ours.snow)
        return cls(net=net, site=site, weather=weather, nodes=nodes, terms=terms, offset=offset)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Tasks, each some members of one glacier in every scenario; rows run over members inside of scenarios inside."""

    task: tuple[tuple[int, tuple[int, ...]], ...]
    """Glacier and members of its net"""
    scenarios: int

    @property
    def sizes(self) -> Ints:
        """Rows of each task."""
        return np.array([self.scenarios * len(members) for _, members in self.task])

    @property
    def glacier(self) -> Ints:
        """Glacier of each row."""
        return np.repeat([glacier for glacier, _ in self.task], self.sizes)

    @property
    def scenario(self) -> Ints:
        """Scenario of each row."""
        return np.concatenate([np.repeat(np.arange(self.scenarios), len(members)) for _, members in self.task])


class Coupling:
    """The balance of rows in any year."""

    def __init__(self, model: SMBModel, locals_: Sequence[Local], start: Shape, rows: Rows) -> None:
        """Given glaciers, their shapes at the start, a row each, and the rows that are wanted."""
        self._model, glacier, scenario = model, rows.glacier, rows.scenario
        self._bias = int(model.base.bias[0])
        sites = [one.site for one in locals_]
        self._names, self._sigma_k = sites[0].names, sites[0].sigma_k
        self._place_names = tuple(sites[0].place)
        self._place = np.array([list(site.place.values()) for site in sites])[glacier]
        self._reference = np.stack([site.reference for site in sites])[glacier]
        self._lapse = np.stack([site.lapse_rate for site in sites])[glacier]
        self._ref_height = np.array([site.ref_height for site in sites])[glacier]
        self._rain = sites[0].rain
        self._start = start.take(glacier)
        at = glacier * rows.scenarios + scenario
        self._temp, self._precip = (
            _by_year([getattr(one.weather, name) for one in locals_])[:, at] for name in ("temp_degc", "precip_kg_m2")
        )  # (year, row, month)
        self._offset = {
            name: _by_year([getattr(one.offset, name) for one in locals_])[:, at, 0] for name in ("snow", "degree_days")
        }  # (year, row)
        # What glaciers have at their nodes lies side by side, (year, scenario x node); rows look up their own.
        counts = np.array([one.nodes.count for one in locals_])
        begin, every = np.cumsum(counts) - counts, int(counts.sum())
        self._terms = {
            name: np.concatenate([getattr(one.terms, name) for one in locals_], axis=-1).swapaxes(0, 1)
            for name in ("snow", "degree_days")
        }
        self._terms = {name: values.reshape(len(values), -1) for name, values in self._terms.items()}
        shift = scenario * every + begin[glacier] - self._start.first[:-1]
        self._node = np.arange(self._start.first[-1]) + np.repeat(shift, counts[glacier])
        self._chosen, self._summer, self._logarithm = _places(self._names, model.predictors)
        self._tellers = _tellers(model, [one.net for one in locals_], rows)

    @property
    def start(self) -> Shape:
        """Shape of each row in the first year."""
        return self._start

    def balance(self, year: int, shape: Shape) -> Floats:
        """Glacier-wide balance.

        Parameters
        ----------
        year : int
            Position of the year.
        shape : Shape
            Topography of each row.

        Returns
        -------
        numpy.ndarray
            (row,) kg m-2.
        """
        design = self.design(year, shape)
        balance = self._model.base.predict(0, design.snow, design.degree_days)
        scaled = self._model.scaler.transform(0, design.predictors)
        for row, tell in self._tellers:
            balance[row] += tell(scaled[row])
        return balance

    def design(self, year: int, shape: Shape) -> Design:
        """What the model is told of each row."""
        start, place = self._start, self._place.copy()
        for name in ("mean_elevation", "max_elevation", "slope20"):
            place[:, self._place_names.index(name)] += getattr(shape, name) - getattr(start, name)
        place[:, self._place_names.index("area")] *= shape.area_m2 / start.area_m2
        mean_elevation = place[:, self._place_names.index("mean_elevation")]
        wetter = self._rain.factor(mean_elevation - self._ref_height)
        raw = self._climate(year, mean_elevation, wetter)
        values = np.concatenate([raw, raw - self._reference, place], axis=-1, dtype=np.float32)
        columns = np.full((2, len(wetter), len(BIASES_K)), np.nan)
        area = np.add.reduceat(shape.at_nodes, shape.first[:-1])
        for column, name in zip(columns, ("snow", "degree_days"), strict=True):
            at_nodes = self._terms[name][year].take(self._node)
            at_nodes *= shape.at_nodes
            over = np.add.reduceat(at_nodes, shape.first[:-1]) / area
            column[:, self._bias] = np.maximum(over + self._offset[name][year], 0)
        return Design(predictors=self._predictors(values), snow=columns[0] * wetter[:, None], degree_days=columns[1])

    def profile(self, year: int) -> Floats:
        """Balance of the model's base at the elevations of the nodes: (node of row,) kg m-2.

        Precipitation is that of the first year's mean elevation; only differences between elevations are meant.
        """
        base = self._model.base
        wetter = self._rain.factor(self._place[:, self._place_names.index("mean_elevation")] - self._ref_height)
        snow = self._terms["snow"][year].take(self._node) * np.repeat(wetter, np.diff(self._start.first))
        melt = base.degree_day_factor[0] * self._terms["degree_days"][year].take(self._node)
        profile: Floats = base.precip_factor[0] * snow - melt
        return profile

    def _climate(self, year: int, mean_elevation_m: Floats, wetter: Floats) -> Floats:
        """Predictors of climate at the mean elevation, in stored order: (row, predictor)."""
        temp = self._temp[year] + self._lapse * (mean_elevation_m - self._ref_height)[:, None]  # (row, month)
        found = climate.annual_predictors(temp, self._precip[year] * wetter[:, None], self._sigma_k)
        seasonal = np.stack([found[name] for name in self._names if name in _SEASONAL], axis=-1)
        return np.concatenate([seasonal, found["temp"], found["snow"]], axis=-1)

    def _predictors(self, values: Floats) -> Floats:
        """The model's predictors from those that are stored, as of `models.rows.predictor_values`."""
        if len(self._summer):
            values = np.column_stack([values, values.take(self._summer, axis=1).mean(axis=1)])
        out = values.take(self._chosen, axis=1)
        out[:, self._logarithm] = np.log10(out[:, self._logarithm])
        return out


def teller(model: SMBModel, net: str, member: Sequence[int]) -> Callable[[Floats], Floats]:
    """What a net adds to the balance of the model's base, each row told by the one member that it belongs to.

    Parameters
    ----------
    model : SMBModel
    net : str
        One of its tabular nets.
    member : sequence of int
        Members of fold 0.

    Returns
    -------
    callable
        (row, predictor) standardised -> (row,) kg m-2; rows run over `member` inside of scenarios.
    """
    chosen, learned = np.asarray(member), model.nets[net]
    each = learned.one_each(0, chosen) if isinstance(learned, MLP) else None

    def tell(scaled: Floats) -> Floats:
        by_member = scaled.reshape(-1, len(chosen), scaled.shape[-1])  # (scenario, member, predictor)
        if each is not None:
            return each(by_member).reshape(-1)
        found = learned.members(0, scaled).reshape(-1, *by_member.shape[:2])  # (every member, scenario, member)
        own: Floats = found[chosen, :, np.arange(len(chosen))].T.reshape(-1)
        return own

    return tell


def _tellers(model: SMBModel, nets: Sequence[str], rows: Rows) -> list[tuple[Ints, Callable[[Floats], Floats]]]:
    """Rows and what tells of them.

    Tasks of one network and the same members are told of at once. Other nets multiply matrices, which may round as
    the number of rows is, and so take the tasks one by one.
    """
    ends = np.cumsum(rows.sizes)
    sets: dict[tuple[object, ...], list[Ints]] = {}
    for number, (glacier, members) in enumerate(rows.task):
        alone = -1 if isinstance(model.nets[nets[glacier]], MLP) else number
        own = np.arange(ends[number] - rows.sizes[number], ends[number])
        sets.setdefault((nets[glacier], members, alone), []).append(own)
    return [(np.concatenate(own), teller(model, str(net), members)) for (net, members, _), own in sets.items()]  # type: ignore[arg-type]


def _places(names: Sequence[str], predictors: Sequence[str]) -> tuple[Ints, Ints, list[int]]:
    """Where the model's predictors are among those stored, and which of them are logarithms.

    Between them: the months of the mean of summer where that is wanted, which goes behind those stored.
    """
    months = [at for at, name in enumerate(names) if name.startswith("temp_") and name.endswith("_anomaly")]
    summer = months[WINTER_MONTHS:] if SUMMER_TEMP in predictors else []
    known = [*names, SUMMER_TEMP]
    chosen = np.array([known.index(DERIVED.get(name, name)) for name in predictors])
    return chosen, np.array(summer, int), [at for at, name in enumerate(predictors) if name in DERIVED]


def _by_year(values: Sequence[Floats]) -> Floats:
    """Of each glacier (scenario, year, ...) -> (year, glacier x scenario, ...)."""
    stacked = np.moveaxis(np.stack(values), 2, 0)
    return np.ascontiguousarray(stacked).reshape(len(stacked), -1, *stacked.shape[3:])
