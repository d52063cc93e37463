"""One number for each glacier: the values that a map is coloured by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from glacierscale import schema
from glacierscale.exploration import observed
from glacierscale.exploration.opening import Source, Sources
from glacierscale.exploration.quantities import BALANCES, STORED_IN, Quantity, factor, scale_of, scenarios_of
from glacierscale.exploration.reading import (
    Cache,
    Floats,
    Progress,
    Reduction,
    blocks_of,
    each_block,
    mean_of,
    share,
    table_of,
)
from glacierscale.exploration.series import course

Table = npt.NDArray[np.float32]

_PARTS = 4
"""What is kept of all members of one variable may take this part of the cache."""


def values(
    sources: Sources,
    cache: Cache,
    quantity: Quantity,
    *,
    year: int | None,
    scenario: str,
    member: int | None,
    progress: Progress | None,
) -> Floats:
    """Values of a quantity, (glacier,) in its unit; NaN where there is none.

    Without a year the last one is told, without a scenario the first one, without a member the mean of all.
    """
    name = quantity.name
    if quantity.scenarios:
        scenario = scenario or quantity.scenarios[0]
        source = sources.needed(schema.EVOLUTION)
        if name == "year_gone":
            return _year_gone(source, cache, scenario, member, progress)
        at = quantity.years.index(quantity.years[-1] if year is None else year)
        return _course(source, cache, name, scenario, member, at, progress)
    variable = name.removesuffix("_mean").removesuffix("_cumulative").removesuffix("_std")
    if variable in BALANCES:
        source = sources.needed(schema.RECONSTRUCTION)
        stored = name if name.endswith("_std") else variable
        table = balance_table(source, cache, stored, member, progress)
        if name.endswith(("_mean", "_std")):
            return mean_of(table, axis=1)
        at = quantity.years.index(quantity.years[-1] if year is None else year)
        found: Floats = table[:, at].copy()  # nobody who keeps it keeps the table
        return table[:, : at + 1].astype(float).sum(axis=1) if name.endswith("_cumulative") else found
    return _static(sources, cache, name)


def balance_table(
    source: Source, cache: Cache, variable: str, member: int | None = None, progress: Progress | None = None
) -> Table:
    """Balance of all glaciers and years, (glacier, hydro_year) m w.e., the mean of the ensemble or of one member."""
    scale = factor("kg m-2", variable)[0]
    if member is not None:
        stored = ("smb_member",)
        return _of_member(source, cache, *stored, stored, lambda values: values["smb_member"] * scale, member, progress)

    def reduce(_: slice, values: dict[str, Floats]) -> Floats:
        return values[variable] * scale

    return _kept(source, cache, (variable, None), (variable,), reduce, source.data[variable].shape[1:], progress)


def course_table(
    source: Source, cache: Cache, name: str, scenario: str, member: int | None, progress: Progress | None = None
) -> Table:
    """A course of all glaciers in a scenario, (glacier, hydro_year) in shown units; the mean or one member."""
    stored = STORED_IN.get(name, (name,))

    def told(values: dict[str, Floats]) -> Floats:  # (member, glacier, hydro_year)
        return course(name, lambda variable: values[variable] * scale_of(variable))

    if member is not None:
        at = _members(source, scenario, member)
        if not len(at):
            return np.full((len(source.position), source.data.sizes["hydro_year"]), np.nan, np.float32)
        return _of_member(source, cache, name, stored, told, int(at[0]), progress)
    scenarios = scenarios_of(source)
    belongs = [_members(source, each, None) for each in scenarios]

    def reduce(_: slice, values: dict[str, Floats]) -> Floats:
        found = told(values)
        return np.stack([mean_of(found[of]) for of in belongs], axis=1)

    shape = (len(belongs), source.data.sizes["hydro_year"])  # all scenarios lie in the same chunks
    return _kept(source, cache, (name, None), stored, reduce, shape, progress)[:, scenarios.index(scenario)]


def _of_member(
    source: Source,
    cache: Cache,
    name: str,
    stored: tuple[str, ...],
    told: Callable[[dict[str, Floats]], Floats],
    member: int,
    progress: Progress | None,
) -> Table:
    """A member of an ensemble, (glacier, hydro_year); all are kept where they fit, as they lie in the same chunks."""
    members, _, years = source.data[stored[0]].shape
    fits = members * len(source.position) * years * np.float32().nbytes <= cache.most_bytes // _PARTS
    some = slice(None) if fits else slice(member, member + 1)

    def reduce(_: slice, values: dict[str, Floats]) -> Floats:
        return np.moveaxis(told({name: values[name][some] for name in stored}), 0, 1).astype(np.float32)

    key, count = (name, "members" if fits else member), members if fits else 1
    return _kept(source, cache, key, stored, reduce, (count, years), progress)[:, member if fits else 0]


def _members(source: Source, scenario: str, member: int | None) -> npt.NDArray[np.intp]:
    """Positions of the members of a scenario, or of the one that is asked for."""
    of = schema.text(source.data.scenario.values) == scenario
    return np.flatnonzero(of if member is None else of & (source.data.model_member.values == member))


def _kept(
    source: Source,
    cache: Cache,
    name: tuple[str, object],
    variables: tuple[str, ...],
    reduce: Reduction,
    shape: tuple[int, ...],
    progress: Progress | None = None,
) -> Table:
    """A table from the cache, or read now."""

    def read() -> Table:
        parts = each_block(source, variables, reduce, blocks=blocks_of(source, variables[0]), progress=progress)
        return table_of(source, parts, shape)

    return cache.made((source.store.url, *name), read)


def _course(
    source: Source, cache: Cache, name: str, scenario: str, member: int | None, year: int, progress: Progress | None
) -> Floats:
    # All members start alike, so that the mean of what is left is what is left of the mean.
    table = course_table(source, cache, name.removesuffix("_left"), scenario, member, progress)
    return share(table[:, year], table[:, 0], 100.0) if name.endswith("_left") else table[:, year].copy()


def _year_gone(source: Source, cache: Cache, scenario: str, member: int | None, progress: Progress | None) -> Floats:
    """Year when a glacier is gone, the median of the members; NaN where half of them or more still have it."""

    def reduce(_: slice, values: dict[str, Floats]) -> Floats:
        return np.where(values["year_gone"] > 0, values["year_gone"], np.inf).T  # (glacier, member)

    shape = (source.data.sizes["member"],)
    of = _members(source, scenario, member)
    year = _kept(source, cache, ("year_gone", None), ("year_gone",), reduce, shape, progress)[:, of]
    middle = np.sort(year, axis=1)[:, len(of) // 2] if len(of) else np.full(len(year), np.nan)
    return np.where(np.isfinite(middle), middle, np.nan)


def _static(sources: Sources, cache: Cache, name: str) -> Floats:
    """What does not change with the years: number of observations, elevation."""
    if name == "observations":
        return observed.counts(sources.one(schema.CUBE) or sources.needed(schema.FEATURES))
    return _elevation(sources.one(schema.FEATURES) or sources.needed(schema.CUBE), cache)


def _elevation(source: Source, cache: Cache) -> Floats:
    """Mean elevation of glaciers, m, from their hypsometry or else the last inventory that knows it."""
    banded = source.store.schema is schema.FEATURES
    names = ("band_elevation", "band_area") if banded else ("inventory_mean_elevation",)

    def reduce(_: slice, values: dict[str, Floats]) -> Floats:
        if not banded:
            return _last_known(values["inventory_mean_elevation"])[:, None]
        area = np.nan_to_num(values["band_area"])
        height = np.where(area > 0, values["band_elevation"], 0.0)
        return share((height * area).sum(1), area.sum(1), 1.0)[:, None]

    return _kept(source, cache, ("elevation", None), names, reduce, (1,))[:, 0].copy()


def _last_known(values: Floats) -> Floats:
    """The last known value of each row."""
    known = np.isfinite(values[:, ::-1])
    found: Floats = np.take_along_axis(values[:, ::-1], known.argmax(1)[:, None], 1)[:, 0]
    return found
