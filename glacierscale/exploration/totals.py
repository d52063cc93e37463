"""Series of many glaciers together: area-weighted balance with its uncertainty, and summed evolution."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale.exploration.opening import Ints, Source
from glacierscale.exploration.quantities import factor, scale_of
from glacierscale.exploration.reading import (
    Cache,
    Floats,
    Progress,
    Reduction,
    blocks_of,
    each_block,
    part_of,
    share,
)
from glacierscale.exploration.series import Z90, at_start, banded, course, spread


def balance(
    source: Source, cache: Cache, rows: Ints, member: int | None = None, progress: Progress | None = None
) -> pd.DataFrame:
    """Balance of glaciers together, area-weighted, with 90 % intervals, m w.e.

    The spread of the ensemble is averaged member by member; a member alone has none. What is left of the predictive
    variance is noise. A share of it lasts: it is the same in all years of a glacier and independent between glaciers.
    The rest is independent between years, and between glaciers (`low`, `high`) or shared by all glaciers of a year
    (`shared_low`, `shared_high`, and the interval of the sum).
    """
    years = source.data.hydro_year.values.astype(int)
    sums = _balance_sums(source, cache, rows, progress)
    members, lasting, (noise2, shared, area, smb) = np.split(sums, [-len(years) - 4, -4])
    whole = np.where(area > 0, area, np.nan)  # (hydro_year,): a year stands on the glaciers it has
    mean, each, lasting = smb / whole, members / whole, lasting / np.multiply.outer(whole, whole)
    if member is not None:
        mean, each = each[member], each[[member]]
    of_members, shared = spread(each), (shared / whole) ** 2
    std, wide = np.hypot(of_members, np.sqrt(noise2) / whole), np.sqrt(of_members**2 + shared + np.diagonal(lasting))
    summed = np.diagonal(lasting.cumsum(0).cumsum(1)) + shared.cumsum()
    total, sum_std = mean.cumsum(), np.sqrt(spread(each.cumsum(1)) ** 2 + summed)
    columns = {"hydro_year": years, "smb": mean}
    for name, middle, half in (("", mean, std), ("shared_", mean, wide), ("cumulative_", total, sum_std)):
        columns |= {f"{name}low": middle - Z90 * half, f"{name}high": middle + Z90 * half}
    return pd.DataFrame(columns | {"cumulative": total})


def _balance_sums(source: Source, cache: Cache, rows: Ints, progress: Progress | None) -> Floats:
    """Area-weighted sums over glaciers (row, year): members, covariance of lasting noise with every year, and four.

    The four are the variance of noise, the standard deviation of what does not last if it is shared, area and balance.
    """
    scale = factor("kg m-2", "smb")[0]
    wanted, lasts = _wanted(source, rows), source.lasting_share

    def reduce(block: slice, values: dict[str, Floats]) -> Floats:
        own = wanted[block]
        smb, std = values["smb"][own].astype(float) * scale, values["smb_std"][own].astype(float) * scale
        members = values["smb_member"][:, own].astype(float) * scale  # (member, glacier, year)
        members = np.where(np.isfinite(members), members, smb)
        area = np.where(np.isfinite(smb), np.nan_to_num(values["area_m2"][own].astype(float))[:, None], 0.0)
        noise = np.nan_to_num(area * np.sqrt(np.clip(std**2 - spread(members) ** 2, 0, None)))
        part = lasts[block][own][:, None]
        lasting, yearly = np.sqrt(part) * noise, np.sqrt(1 - part) * noise
        sums = [np.square(noise).sum(0), yearly.sum(0), area.sum(0), np.nansum(area * smb, 0)]
        return np.concatenate([np.nansum(area * members, 1), lasting.T @ lasting, sums])

    return _summed(source, cache, ("smb", "smb_std", "smb_member", "area_m2"), rows, reduce, progress)


def evolution(
    source: Source,
    cache: Cache,
    name: str,
    rows: Ints,
    scenarios: Sequence[str],
    member: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """What becomes of glaciers together: scenario, hydro_year, mean, and low and high, 5 and 95 % of the members.

    Volumes, areas, runoff and rise of the sea are summed, member by member; the balance is that of the area at the
    start of each year.
    """

    def members(variable: str) -> Floats:
        own = part_of(progress, int(variable == "area"), 2) if name == "thickness" else progress
        return _course_sums(source, cache, variable, rows, own) * scale_of(variable)

    if name == "future_smb":
        return banded(source, _balance_of_course(source, cache, rows, progress), scenarios, member)
    return banded(source, course(name, members), scenarios, member)


def _course_sums(source: Source, cache: Cache, variable: str, rows: Ints, progress: Progress | None) -> Floats:
    wanted = _wanted(source, rows)

    def reduce(block: slice, values: dict[str, Floats]) -> Floats:
        found = values[variable][:, wanted[block]].astype(float)
        return np.stack([np.nansum(found, axis=1), np.isfinite(found).sum(axis=1)])

    total, known = _summed(source, cache, (variable,), rows, reduce, progress)
    return np.where(known > 0, total, np.nan)


def _balance_of_course(source: Source, cache: Cache, rows: Ints, progress: Progress | None) -> Floats:
    """Balance of the area at the start of each year (member, hydro_year); NaN without ice."""
    wanted = _wanted(source, rows)

    def reduce(block: slice, values: dict[str, Floats]) -> Floats:
        area, smb = (values[name][:, wanted[block]].astype(float) for name in ("area", "smb"))
        weight = np.where(np.isfinite(smb), np.nan_to_num(at_start(area)), 0.0)
        return np.stack([weight.sum(1), (weight * np.nan_to_num(smb)).sum(1)])

    weight, weighted = _summed(source, cache, ("area", "smb"), rows, reduce, progress)
    return share(weighted, weight, scale_of("smb"))


def _wanted(source: Source, rows: Ints) -> npt.NDArray[np.bool_]:
    """Which glaciers of a store are among the rows."""
    position = source.position[rows]
    wanted = np.zeros(source.data.sizes["glacier"], bool)
    wanted[position[position >= 0]] = True
    return wanted


def _summed(
    source: Source,
    cache: Cache,
    names: tuple[str, ...],
    rows: Ints,
    reduce: Reduction,
    progress: Progress | None,
) -> Floats:
    """Sum of what every block is reduced to, from the cache or read now."""
    key = (source.store.url, "sum", *names, hashlib.sha256(np.sort(rows).tobytes()).hexdigest())

    def read() -> Floats:
        blocks = blocks_of(source, names[0], rows) or [slice(0, 0)]  # none of them is in the store: sums of nothing
        parts = each_block(source, names, reduce, blocks=blocks, progress=progress)
        return functools.reduce(np.add, (part for _, part in parts))

    return cache.made(key, read)
