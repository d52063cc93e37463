"""Balances of whole massifs, or other subregions, from those of their glaciers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from glacierscale import provenance, schema
from glacierscale.store import Files, Store

Floats = npt.NDArray[np.floating]

NAME = "massifs.parquet"
WHOLE_REGION = "region.parquet"


def subregions(
    smb: str | Path | Store, features: str | Path | Store, *, to: str | Path, held_out: pd.DataFrame | None = None
) -> pd.DataFrame | None:
    """Write the balance of every massif and of the region in every year.

    Parameters
    ----------
    smb : str, Path or Store
        A reconstruction; gap-filled balances are taken where it has them.
    features : str, Path or Store
        The features it was made of.
    to : str or Path
        Folder or URL for ``massifs.parquet`` and, of all glaciers together, those of no subregion too,
        ``region.parquet``.
    held_out : pandas.DataFrame, optional
        Held-out predictions (``predictions.parquet``), whose errors tell how much of an error the glaciers of a year
        have in common; without it all of it.

    Returns
    -------
    pandas.DataFrame or None
        massif, hydro_year, smb, std (kg m-2), area (m2, of that year), cumulative, cumulative_std (kg m-2, since the
        first year); None, and no file, where no subregion is known.

        Means are weighted by the area of the year. ``std`` keeps what errors have in common: that of a mean over the
        members' own means, and noise that glaciers of a year share as far as held-out errors do. What lasts of noise is
        independent between glaciers and the same in all years; the rest is independent between years.
    """
    source, made_of = Store.at(smb, schema.RECONSTRUCTION), Store.at(features, schema.FEATURES)
    names = np.unique(schema.text(source.open().subregion.values))
    if not names.any():
        return None
    shared = 1.0 if held_out is None else common_share(held_out)
    stamp = provenance.Stamp(
        verb="reconstruct",
        options={"common_share": round(shared, 6)},
        inputs={
            name: provenance.Input(url=name, fingerprint=store.fingerprint())
            for name, store in (("smb", source), ("features", made_of))
        },
    )
    files = Files.at(to)
    found = {name: data for name in (NAME, WHOLE_REGION) if (data := files.read(name)) is not None}
    for name, data in found.items():
        provenance.refuse_other_table(data, stamp, f"{files.url}/{name}")
    if len(found) == 2:
        return provenance.read_table(found[NAME])  # type: ignore[no-any-return]
    sums = _summed(source, made_of, names)
    years = source.open().hydro_year.values
    region = sums.together().table(np.array([""]), years, shared).drop(columns="massif")
    provenance.write_table(region, files, WHOLE_REGION, stamp)
    table = sums.take(names != "").table(names[names != ""], years, shared)
    provenance.write_table(table, files, NAME, stamp)
    return table


def common_share(held_out: pd.DataFrame) -> float:
    """Share of the variance of held-out errors that glaciers of one year have in common, 0 to 1.

    Parameters
    ----------
    held_out : pandas.DataFrame
        scheme, model, glacier_id, hydro_year, observed, predicted. Glaciers are held out (logo) where that scheme is
        there, else whatever the first scheme holds out, by the first model.
    """
    scheme = "logo" if "logo" in set(held_out["scheme"]) else held_out["scheme"].iloc[0]
    rows = held_out[held_out["scheme"] == scheme]
    rows = rows[rows["model"] == rows["model"].iloc[0]]
    error = (rows["predicted"] - rows["observed"]).groupby(rows["hydro_year"])
    count, total, squares = error.size(), error.sum(), error.apply(lambda one: float((one**2).sum()))
    pairs = float((count * (count - 1)).sum())
    if pairs == 0 or squares.sum() == 0:
        return 1.0
    shared = float((total**2 - squares).sum()) / pairs / (float(squares.sum()) / float(count.sum()))
    return float(np.clip(shared, 0.0, 1.0))


@dataclass(frozen=True)
class _Sums:
    """Sums over glaciers, weighted by area a: (subregion, hydro_year), members first."""

    area: Floats
    balance: Floats
    member: Floats
    """departure of each member from the balance"""
    noise: Floats
    """of a times the noise that does not last"""
    noise2: Floats
    """of the squares of these"""
    lasting: Floats
    """of a times the noise that lasts, each year's times every other's, the latter first"""

    def take(self, which: npt.NDArray[np.bool_]) -> _Sums:
        """Some of the subregions."""
        return _Sums(*(getattr(self, name)[..., which, :] for name in self.__dataclass_fields__))

    def together(self) -> _Sums:
        """All subregions as one."""
        return _Sums(*(getattr(self, name).sum(axis=-2, keepdims=True) for name in self.__dataclass_fields__))

    def table(self, names: npt.NDArray[np.str_], years: npt.NDArray[np.integer], shared: float) -> pd.DataFrame:
        """One row a subregion and year."""
        area = np.where(self.area > 0, self.area, np.nan)
        mean, members = self.balance / area, self.member / area
        noise = (shared * self.noise**2 + (1 - shared) * self.noise2) / area**2
        lasting = self.lasting / area / area.T[:, :, None]  # (hydro_year, subregion, hydro_year)
        stays = np.einsum("tst->st", lasting)
        stayed = np.einsum("tst->st", lasting.cumsum(axis=0).cumsum(axis=2))
        drift = np.cumsum(members, axis=-1)
        columns: dict[str, Any] = {
            "massif": np.repeat(names, len(years)),
            "hydro_year": np.tile(years, len(names)),
            "smb": mean,
            "std": np.sqrt(_variance(members) + noise + stays),
            "area": self.area,
            "cumulative": np.cumsum(mean, axis=-1),
            "cumulative_std": np.sqrt(_variance(drift) + np.cumsum(noise, axis=-1) + stayed),
        }
        return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})


def _variance(members: Floats) -> Floats:
    variance: Floats = (members**2).sum(axis=0) / max(len(members) - 1, 1)
    return variance


def _summed(smb: Store, features: Store, names: npt.NDArray[np.str_]) -> _Sums:
    """Sums over the glaciers of each subregion, "" being one too, block by block."""
    made, source = smb.open(), features.open()
    row = list(source.predictor.values).index("area")
    sums: _Sums | None = None
    for block in smb.blocks():
        part = made.isel(glacier=block.slice).load()
        area = source.predictors.isel(glacier=block.slice, predictor=row).values.astype(float)
        mean, std = part.smb.values.astype(float), part.smb_std.values.astype(float)
        departure = part.smb_member.values - mean
        noise2 = np.maximum(std**2 - _variance(departure), 0)
        if "smb_gapfilled" in part:
            filled_std = part.smb_gapfilled_std.values
            less = np.where(std > 0, filled_std / np.where(std > 0, std, 1), 1)
            mean, departure, noise2 = part.smb_gapfilled.values, departure * less, noise2 * less**2
        weight = np.where(np.isfinite(mean), area, 0.0)
        lasts = part.lasting_share.values[:, None] if "lasting_share" in part else 0.0
        yearly, lasting = np.sqrt((1 - lasts) * noise2), np.nan_to_num(weight * np.sqrt(lasts * noise2))
        member_of = (schema.text(part.subregion.values) == names[:, None]).astype(float)  # (subregion, glacier)

        def over(values: Floats, member_of: Floats = member_of) -> Floats:
            total: Floats = member_of @ np.nan_to_num(values)
            return total

        own = _Sums(
            over(weight),
            over(weight * mean),
            over(weight * departure),
            over(weight * yearly),
            over((weight * yearly) ** 2),
            np.einsum("sg,gt,gu->tsu", member_of, lasting, lasting, optimize=True),
        )
        sums = own if sums is None else _Sums(*(vars(sums)[name] + vars(own)[name] for name in vars(own)))
    assert sums is not None  # a store has a glacier
    return sums
