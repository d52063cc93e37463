"""Who is held out of what: block cross-validation after Roberts et al. (2017, doi 10.1111/ecog.02881)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SCHEMES = ("logo", "loyo", "lsygo", "year_blocks", "spatial_blocks")
"""Leave one glacier out, leave one year out, hold out glaciers and years, blocks of years, blocks of space."""

HOLDS_OUT_YEARS = ("loyo", "lsygo", "year_blocks")
HOLDS_OUT_GLACIERS = ("logo", "lsygo", "spatial_blocks")

ALL = "all"
"""Scheme of the fold that holds nothing out; its members make the reconstruction."""

MIN_TRAINING_ROWS = 10
EARTH_RADIUS_KM = 6371.0

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


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """Every split of a run over one table of rows."""

    folds: tuple[Fold, ...]
    """In the order their members are stored."""

    def of(self, scheme: str) -> list[int]:
        """Numbers of the folds of a scheme."""
        return [number for number, fold in enumerate(self.folds) if fold.scheme == scheme]


def plan(
    unit: Strings,
    year: Ints,
    lon: Floats,
    lat: Floats,
    schemes: Sequence[str],
    *,
    block_years: int = 5,
    glacier_groups: int = 10,
    buffer_km: float = 5.0,
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
        At most this many groups of glaciers in ``lsygo`` and blocks in ``spatial_blocks``.
    buffer_km : float
        Glaciers nearer than this to a held-out one are left out of training in ``spatial_blocks``.

    Raises
    ------
    ValueError
        If a scheme is unknown, or a fold would train on fewer than ten rows.
    """
    unknown = sorted(set(schemes) - set(SCHEMES))
    if unknown:
        raise ValueError(f"unknown cross-validation schemes {unknown}; expected some of {list(SCHEMES)}.")
    every = np.arange(len(unit))
    folds = [Fold(scheme=ALL, name="nothing", train=every, test=every[:0])]
    for scheme in dict.fromkeys(schemes):
        for name, test, train in _splits(scheme, unit, year, lon, lat, block_years, glacier_groups, buffer_km):
            folds.append(Fold(scheme=scheme, name=name, train=every[train], test=every[test]))
    for fold in folds:
        if len(fold.train) < MIN_TRAINING_ROWS:
            raise ValueError(
                f"too few observations for a fold: {fold.scheme} without {fold.name} leaves {len(fold.train)} rows to "
                f"train on, expected at least {MIN_TRAINING_ROWS}. Add observations or leave {fold.scheme!r} out of "
                "the schemes."
            )
        check_no_leak(fold, unit, year)
    return FoldPlan(folds=tuple(folds))


def check_no_leak(fold: Fold, unit: Strings, year: Ints) -> None:
    """Raise `LeakError` if training rows share with test rows what the scheme holds out."""
    shared = np.intersect1d(fold.train, fold.test)
    if len(shared):
        raise LeakError(f"{fold.scheme} without {fold.name}: rows {shared[:5].tolist()} are in training and test.")
    held_out = {
        "years": (year, fold.scheme in HOLDS_OUT_YEARS),
        "glaciers": (unit, fold.scheme in HOLDS_OUT_GLACIERS),
    }
    for what, (values, applies) in held_out.items():
        both = np.intersect1d(values[fold.train], values[fold.test]).tolist() if applies else []
        if both:
            raise LeakError(f"{fold.scheme} without {fold.name}: the {what} {both[:5]} are in training and test.")


def _splits(
    scheme: str,
    unit: Strings,
    year: Ints,
    lon: Floats,
    lat: Floats,
    block_years: int,
    glacier_groups: int,
    buffer_km: float,
) -> list[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Name, test mask and training mask of every split of a scheme."""
    units, first = np.unique(unit, return_index=True)
    block = (year - year.min()) // block_years
    names = {b: f"{year[block == b].min()}-{year[block == b].max()}" for b in np.unique(block)}
    if scheme == "logo":
        return [(str(u), unit == u, unit != u) for u in units]
    if scheme == "loyo":
        return [(str(y), year == y, year != y) for y in np.unique(year)]
    if scheme == "year_blocks":
        return [(names[b], block == b, block != b) for b in names]
    group = _spatial_groups(lon[first], lat[first], glacier_groups)[np.searchsorted(units, unit)]
    groups = np.unique(group)
    if scheme == "spatial_blocks":
        near = {g: _within(lon, lat, group == g, buffer_km) for g in groups}
        return [(f"block {g}", group == g, (group != g) & ~near[g]) for g in groups]
    splits = [
        (f"{_spelt(units, group, unit, g)} in {names[b]}", (group == g) & (block == b), (group != g) & (block != b))
        for g in groups
        for b in names
    ]
    return [split for split in splits if split[1].any()]


def _spelt(units: Strings, group: Ints, unit: Strings, g: int) -> str:
    members = np.unique(unit[group == g])
    return str(members[0]) if len(members) == 1 else f"{len(members)} glaciers of group {g}"


def _positions_km(lon: Floats, lat: Floats) -> Floats:
    """Points on the sphere, so that distance is right everywhere, the date line included."""
    along, up = np.radians(lon), np.radians(lat)
    return EARTH_RADIUS_KM * np.stack([np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)], axis=-1)


def _spatial_groups(lon: Floats, lat: Floats, groups: int) -> Ints:
    """Neighbouring glaciers in at most `groups` groups, by k-means."""
    if len(lon) <= groups:
        return np.arange(len(lon))
    from sklearn.cluster import KMeans

    labels = KMeans(groups, n_init=4, random_state=0).fit_predict(_positions_km(lon, lat))
    return np.unique(labels, return_inverse=True)[1]


def _within(lon: Floats, lat: Floats, test: npt.NDArray[np.bool_], buffer_km: float) -> npt.NDArray[np.bool_]:
    from scipy.spatial import cKDTree

    position = _positions_km(lon, lat)
    distance, _ = cKDTree(position[test]).query(position)
    near: npt.NDArray[np.bool_] = distance < buffer_km
    return near
