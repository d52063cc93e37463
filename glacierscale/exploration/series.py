"""What happened to one glacier, or to many together, in every year: balance and evolution with their spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd

from glacierscale import schema
from glacierscale.exploration.opening import Source
from glacierscale.exploration.quantities import STORED_IN, factor, scale_of, scenarios_of
from glacierscale.exploration.reading import Floats, mean_of, percentiles, share

Z90 = NormalDist().inv_cdf(0.95)
"""Standard deviations on either side of the mean between which 90 % of a normal distribution lie."""
BAND = (5.0, 95.0)
"""Percentiles of the members between which a band is drawn."""


def balance(source: Source, glacier: int, member: int | None, variable: str) -> pd.DataFrame:
    """Balance of one glacier in every year and its running sum, with 90 % intervals, m w.e.

    The spread of members is carried into the sum member by member, so that what they share is kept; what is left of
    the predictive variance is noise, of which a share lasts and the rest is independent between years.
    """
    years = source.data.hydro_year.values.astype(int)
    position = int(source.position[glacier])
    if position < 0:
        nothing = np.full(len(years), np.nan)
        return _balance_frame(years, nothing, nothing, nothing)
    part = source.data.isel(glacier=position)
    scale = factor("kg m-2", variable)[0]
    mean, std = part[variable].values * scale, part[f"{variable}_std"].values.astype(float) * scale
    lasting = float(source.lasting_share[position])

    def summed(noise: Floats) -> Floats:
        """Variance of the running sum of noise, from its standard deviation in every year."""
        return (1 - lasting) * (noise**2).cumsum() + lasting * noise.cumsum() ** 2

    if variable != "smb":  # observations condition it: members tell nothing of its spread
        return _balance_frame(years, mean, std, np.sqrt(summed(std)))
    members = part["smb_member"].values.astype(float) * scale  # (member, hydro_year)
    noise = np.sqrt(np.clip(std**2 - spread(members) ** 2, 0, None))
    if member is not None:
        return _balance_frame(years, members[member], noise, np.sqrt(summed(noise)))
    return _balance_frame(years, mean, std, np.sqrt(spread(members.cumsum(1)) ** 2 + summed(noise)))


def spread(members: Floats) -> Floats:
    """Standard deviation over the first axis of what is known."""
    return np.sqrt(mean_of((members - mean_of(members)) ** 2))


def _balance_frame(years: Floats, mean: Floats, std: Floats, sum_std: Floats) -> pd.DataFrame:
    mean, total = mean.astype(float), mean.astype(float).cumsum()
    return pd.DataFrame(
        {
            "hydro_year": years,
            "smb": mean,
            "low": mean - Z90 * std,
            "high": mean + Z90 * std,
            "cumulative": total,
            "cumulative_low": total - Z90 * sum_std,
            "cumulative_high": total + Z90 * sum_std,
        }
    )


def evolution(source: Source, glacier: int, name: str, scenarios: Sequence[str], member: int | None) -> pd.DataFrame:
    """What becomes of one glacier: scenario, hydro_year, mean, and low and high, 5 and 95 % of the members."""
    position = int(source.position[glacier])
    years = source.data.hydro_year.values.astype(int)

    def members(variable: str) -> Floats:
        if position < 0:
            return np.full((source.data.sizes["member"], len(years)), np.nan)
        return source.data[variable].isel(glacier=position).values.astype(float) * scale_of(variable)

    return banded(source, course(name, members), scenarios, member)


def course(name: str, members: Callable[[str], Floats]) -> Floats:
    """A course of every member (member, ..., hydro_year) from the stored variables, which are asked for by name."""
    if name == "thickness":
        return share(members("volume"), members("area"), 1e3)  # km3 over km2
    if name == "future_smb":
        return np.where(at_start(members("area")) > 0, members("smb"), np.nan)  # stored as 0 where there is no ice
    found = members(STORED_IN.get(name, (name,))[0])
    return share(found, found[..., :1], 100.0) if name.endswith("_left") else found


def at_start(area: Floats) -> Floats:
    """Area at the start of each year (..., hydro_year), which its balance is of, from that at the end."""
    return np.concatenate([area[..., :1], area[..., :-1]], axis=-1)


def banded(source: Source, found: Floats, scenarios: Sequence[str], member: int | None) -> pd.DataFrame:
    """Mean and band of the members (member, hydro_year) of each scenario, or the course of one, without a band."""
    of, years = schema.text(source.data.scenario.values), source.data.hydro_year.values.astype(int)
    asked = np.ones(len(of), bool) if member is None else source.data.model_member.values == member
    tables = []
    for scenario in scenarios or scenarios_of(source):
        own = found[(of == scenario) & asked]
        low, high = percentiles(own if member is None else own[:0], BAND)
        columns = {"scenario": scenario, "hydro_year": years, "mean": mean_of(own), "low": low, "high": high}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
