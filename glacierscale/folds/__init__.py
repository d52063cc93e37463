"""Who is held out of what: block cross-validation after Roberts et al. (2017, doi 10.1111/ecog.02881)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glacierscale.folds import places

DEFAULT_SCHEMES = ("logo", "loyo", "lsygo", "year_blocks", "spatial_blocks")
"""Leave one glacier out, leave one year out, hold out glaciers and years, blocks of years, blocks of space."""

SCHEMES = (*DEFAULT_SCHEMES, "glacier_groups", "latitude_bands", "halves")
"""And groups of glaciers drawn at random, for tables of thousands; bands of latitude; and one half of the points of
each glacier, cut at the median along the axis along which they spread most."""

HOLDS_OUT_YEARS = ("loyo", "lsygo", "year_blocks")
HOLDS_OUT_GLACIERS = ("logo", "lsygo", "spatial_blocks", "glacier_groups", "latitude_bands")

ALL = "all"
"""Scheme of the fold that holds nothing out; its members make the reconstruction."""

MIN_TRAINING_ROWS = 10
MANY_FOLDS = 400
"""More than this many splits of one scheme would train for days; grouped ones tell the same."""

Strings = npt.NDArray[np.str_]
Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


class LeakError(ValueError):
    """A training row shares with a test row what its scheme promises to hold out."""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One split."""

    scheme: str
    """One of `SCHEMES`, or `ALL`."""
    name: str
    """What is held out, in words."""
    train: Ints
    """Training rows."""
    test: Ints
    """Held-out rows."""
    glaciers: tuple[str, ...] = ()
    """Observed glaciers that are held out; none where the scheme holds out no glaciers."""
    years: tuple[int, ...] = ()
    """Hydrological years that are held out; none where the scheme holds out no years."""


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """Every split of a run over one table of rows."""

    folds: tuple[Fold, ...]
    """In the order their members are stored."""

    def of(self, scheme: str) -> list[int]:
        """Numbers of the folds of a scheme."""
        return [number for number, fold in enumerate(self.folds) if fold.scheme == scheme]


class _Sizes(NamedTuple):
    """How large what is held out together is."""

    block_years: int
    glacier_groups: int
    band_degrees: float
    seed: int


class _Table(NamedTuple):
    """Rows with the period that each spans, both years included, and where its glacier lies."""

    unit: Strings
    first: Ints
    last: Ints
    lon: Floats
    lat: Floats


def plan(
    unit: Strings,
    year: Ints,
    lon: Floats,
    lat: Floats,
    schemes: Sequence[str],
    *,
    block_years: int = 5,
    glacier_groups: int = 10,
    band_degrees: float = 1.0,
    buffer_km: float = 5.0,
    seed: int = 0,
    point_lon: Floats | None = None,
    point_lat: Floats | None = None,
    cut_km: float = 0.0,
) -> FoldPlan:
    """Plan every split of the schemes, and the fold that trains on all rows.

    Parameters
    ----------
    unit : (row,) str
        Observed glacier of each row.
    year : (row,) int
        Hydrological year of each row.
    lon, lat : (row,) degrees
        Where the glacier lies.
    schemes : sequence of str
        Out of `SCHEMES`.
    block_years : int
        Length of a block of years in ``lsygo`` and ``year_blocks``.
    glacier_groups : int
        At most this many groups of glaciers in ``lsygo`` and ``glacier_groups`` and blocks in ``spatial_blocks``.
    band_degrees : float
        Width of a band of ``latitude_bands``, which are counted from the equator.
    buffer_km : float
        Glaciers nearer than this to a held-out one are left out of training in ``spatial_blocks``.
    seed : int
        Seed of the draw of ``glacier_groups``.
    point_lon, point_lat : (row,) degrees, optional
        Where the point lies that a row observes, NaN where it observes no point. ``halves`` needs them.
    cut_km : float
        Points nearer than this to the cut between two halves are left out of training in ``halves``.

    Raises
    ------
    ValueError
        If a scheme is unknown or has more than `MANY_FOLDS` splits, ``halves`` lacks the positions of points, or a fold
        would train on fewer than ten rows.
    """
    unknown = sorted(set(schemes) - set(SCHEMES))
    if unknown:
        raise ValueError(f"unknown cross-validation schemes {unknown}; expected some of {list(SCHEMES)}.")
    table = _Table(unit, year, year, lon, lat)
    folds = [_rows_of(_held(ALL, "nothing"), table, buffer_km)]
    for scheme in dict.fromkeys(schemes):
        if scheme == "halves":
            folds += _halves(unit, point_lon, point_lat, cut_km)
        else:
            splits = _splits(scheme, table, _Sizes(block_years, glacier_groups, band_degrees, seed))
            _refuse_many(scheme, len(splits))
            folds += [fold for split in splits if len((fold := _rows_of(split, table, buffer_km)).test)]
    return _checked(folds, table)


def extend(
    plan: FoldPlan, unit: Strings, first_year: Ints, last_year: Ints, lon: Floats, lat: Floats, buffer_km: float = 5.0
) -> FoldPlan:
    """Carry a plan over to another table: observations of all kinds, some spanning many years.

    The folds stay in order and hold out the glaciers and years that they held out before. An observation is a test row
    if its glacier is held out (in schemes that hold out glaciers) and all of its period is (in schemes that hold out
    years), and a training row if its glacier is not held out and no year of its period is. Years from the first to the
    last of a block count as held out, also those that the first table lacked; other glaciers and years it lacked train.
    A fold may be left with nothing to test.

    Parameters
    ----------
    plan : FoldPlan
        As made by `plan`, usually over one annual row per glacier and year.
    unit : (observation,) str
        Observed glacier.
    first_year, last_year : (observation,) int
        First and last hydrological year that the period of the observation touches.
    lon, lat, buffer_km
        As in `plan`.

    Raises
    ------
    ValueError
        If a period ends before it starts, the plan does not say what its folds hold out, or a fold would train on
        fewer than ten observations.
    """
    if backwards := int((last_year < first_year).sum()):
        raise ValueError(f"{backwards} observations end before their first year; give the first year, then the last.")
    table = _Table(unit, first_year, last_year, lon, lat)
    for fold in plan.folds:
        if fold.scheme != ALL and not (fold.glaciers or fold.years):
            raise ValueError(
                f"{fold.scheme} without {fold.name} states no glaciers or years that it holds out (halves hold out "
                "points, and a stored plan keeps rows only); plan it over these observations themselves."
            )
    return _checked([_rows_of(fold, table, buffer_km) for fold in plan.folds], table)


def check_no_leak(fold: Fold, unit: Strings, year: Ints, last_year: Ints | None = None) -> None:
    """Raise `LeakError` if training rows share with test rows what the scheme holds out.

    Rows have an observed glacier and a hydrological year, or a period from `year` to `last_year`, both included.
    """
    where = f"{fold.scheme} without {fold.name}"
    shared = np.intersect1d(fold.train, fold.test)
    if len(shared):
        raise LeakError(f"{where}: rows {shared[:5].tolist()} are in training and test.")
    last = year if last_year is None else last_year
    seen, tested = (_spanned(year[rows], last[rows]) for rows in (fold.train, fold.test))
    kept_apart = {
        "years": (seen, tested, np.array(fold.years, np.int64), HOLDS_OUT_YEARS),
        "glaciers": (unit[fold.train], unit[fold.test], np.array(fold.glaciers, np.str_), HOLDS_OUT_GLACIERS),
    }
    for what, (trained, test, held, schemes) in kept_apart.items():
        both = np.intersect1d(trained, np.union1d(test, held)).tolist() if fold.scheme in schemes else []
        if both:
            raise LeakError(f"{where}: the {what} {both[:5]} are in training and test.")


def _spanned(first: Ints, last: Ints) -> Ints:
    """Every year that some period touches."""
    periods = set(zip(first.tolist(), last.tolist(), strict=True))
    return np.array(sorted({year for start, end in periods for year in range(start, end + 1)}), np.int64)


def _checked(folds: Sequence[Fold], table: _Table) -> FoldPlan:
    for fold in folds:
        if len(fold.train) < MIN_TRAINING_ROWS:
            raise ValueError(
                f"too few observations for a fold: {fold.scheme} without {fold.name} leaves {len(fold.train)} rows to "
                f"train on, expected at least {MIN_TRAINING_ROWS}. Add observations or leave {fold.scheme!r} out of "
                "the schemes."
            )
        check_no_leak(fold, table.unit, table.first, table.last)
    return FoldPlan(folds=tuple(folds))


def _held(scheme: str, name: str, glaciers: Sequence[str] = (), years: Sequence[int] = ()) -> Fold:
    """What a fold holds out, before its rows are known."""
    none = np.arange(0)
    return Fold(scheme=scheme, name=name, train=none, test=none, glaciers=tuple(glaciers), years=tuple(years))


def _rows_of(fold: Fold, table: _Table, buffer_km: float) -> Fold:
    """The same fold with the rows of a table that train and test."""
    test, train = (np.full(len(table.unit), keep) for keep in (fold.scheme != ALL, True))
    if fold.glaciers:
        ours = np.isin(table.unit, fold.glaciers)
        test, train = test & ours, train & ~ours
        if fold.scheme == "spatial_blocks":
            train &= ~places.within(table.lon, table.lat, ours, buffer_km)
    if fold.years:
        count = np.searchsorted(fold.years, table.last, "right") - np.searchsorted(fold.years, table.first)
        test, train = test & (count == table.last - table.first + 1), train & (count == 0)
    return replace(fold, train=np.flatnonzero(train), test=np.flatnonzero(test))


def _refuse_many(scheme: str, splits: int) -> None:
    if splits > MANY_FOLDS:
        raise ValueError(
            f"{scheme} would make {splits} folds, each a training of its own; expected at most {MANY_FOLDS}. Hold out "
            "groups instead: glacier_groups, latitude_bands or spatial_blocks for glaciers, year_blocks for years."
        )


def _splits(scheme: str, table: _Table, sizes: _Sizes) -> list[Fold]:
    """What every split of a scheme holds out."""
    units, at = np.unique(table.unit, return_index=True)
    present = np.unique(table.first)
    if scheme == "logo":
        return [_held(scheme, u, [u]) for u in units.tolist()]
    if scheme == "loyo":
        return [_held(scheme, str(y), years=[y]) for y in present.tolist()]
    if scheme == "glacier_groups":
        drawn = places.random_groups(len(units), sizes.glacier_groups, sizes.seed)
        return [_held(scheme, f"group {g}", units[drawn == g].tolist()) for g in range(drawn.max() + 1)]
    if scheme == "latitude_bands":
        south = places.bands(table.lat[at], sizes.band_degrees)
        spans = {edge: f"latitude {edge:g} to {edge + sizes.band_degrees:g}" for edge in np.unique(south).tolist()}
        return [_held(scheme, name, units[south == edge].tolist()) for edge, name in spans.items()]
    block = (present - present[0]) // sizes.block_years
    ends = [present[block == b][[0, -1]].tolist() for b in np.unique(block)]
    blocks = {f"{first}-{last}": range(first, last + 1) for first, last in ends}
    if scheme == "year_blocks":
        return [_held(scheme, span, years=years) for span, years in blocks.items()]
    group = places.spatial_groups(table.lon[at], table.lat[at], sizes.glacier_groups)
    groups = {g: units[group == g].tolist() for g in np.unique(group)}
    if scheme == "spatial_blocks":
        return [_held(scheme, f"block {g}", members) for g, members in groups.items()]
    spelt = {g: own[0] if len(own) == 1 else f"{len(own)} glaciers of group {g}" for g, own in groups.items()}
    return [_held(scheme, f"{spelt[g]} in {span}", groups[g], blocks[span]) for g in groups for span in blocks]


def _halves(unit: Strings, lon: Floats | None, lat: Floats | None, cut_km: float) -> list[Fold]:
    """Two splits of the points of each glacier. What observes all of it has seen both halves and does not train."""
    if lon is None or lat is None or not (placed := np.isfinite(lon) & np.isfinite(lat)).any():
        raise ValueError("halves need the positions of points: give point_lon and point_lat, or drop the scheme.")
    away = np.where(np.isin(unit, unit[placed]), np.nan, np.inf)  # km beyond the cut; glaciers without points train
    for u in np.unique(unit[placed]):
        own = placed & (unit == u)
        away[own] = places.from_cut_km(lon[own], lat[own])
    folds = []
    for name, test in (("first half", away < 0), ("second half", (away >= 0) & np.isfinite(away))):
        train = ~test & (np.abs(away) >= cut_km)
        folds.append(replace(_held("halves", name), train=np.flatnonzero(train), test=np.flatnonzero(test)))
    return folds
