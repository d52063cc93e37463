"""A reconstruction in few numbers: series of the region, series of its largest glaciers, and the headline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale import schema
from glacierscale.reporting.style import M_WE, Z90, between, number

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_GLACIERS = 300
"""Glaciers whose series travel inside the page; the largest ones are kept."""
_BLOCK = 4_096
_SPOKEN = {
    "mlp": "perceptron (MLP)",
    "lasso": "Lasso",
    "cnn": "convolutional network (CNN)",
    "kriging": "Gaussian process (kriging)",
    "hybrid": "hybrid of network and degree-day model",
}


def regional_series(reconstruction: xr.Dataset) -> xr.Dataset:
    """Average a reconstruction over the region by area and carry its uncertainty along.

    The spread of the ensemble members is averaged member by member, so what members share is kept. The rest of the
    predictive variance, ``smb_std**2`` less the members' variance, is residual noise. Its ``lasting_share`` is the same
    in all years of a glacier and independent between glaciers. The rest is independent between years, and between
    glaciers in `std`, fully shared by all glaciers of a year in `shared_std`.

    Parameters
    ----------
    reconstruction : xarray.Dataset
        A dataset of `schema.RECONSTRUCTION`; it is read glacier block by glacier block.

    Returns
    -------
    xarray.Dataset
        (hydro_year) kg m-2: `mean`, `std`, `shared_std` and the same of the running sum, `cumulative`,
        `cumulative_std`, `cumulative_shared_std`. The attributes `mean`, `std`, `shared_std` are those of a mean year.
    """
    import xarray as xr

    sums = dict.fromkeys(("area", "smb", "members"), np.zeros(()))
    parts = []
    for start in range(0, reconstruction.sizes["glacier"], _BLOCK):
        part = reconstruction.isel(glacier=slice(start, start + _BLOCK))
        smb, members, residual = _block(part)
        area = np.nan_to_num(part["area_m2"].values.astype(float))[:, np.newaxis]
        weight = np.where(np.isfinite(smb), area, 0.0)  # (glacier, year): a year stands on the glaciers it has
        sums["area"] = sums["area"] + weight.sum(0)
        sums["smb"] = sums["smb"] + np.where(weight > 0, weight * smb, 0.0).sum(0)
        sums["members"] = sums["members"] + np.where(weight > 0, weight * members, 0.0).sum(1)  # (member, year)
        parts.append(np.where(weight > 0, weight * residual, 0.0).astype(np.float32))
    area = np.where(sums["area"] > 0, sums["area"], np.nan)
    mean, members, noise = sums["smb"] / area, sums["members"] / area, np.concatenate(parts) / area
    share = lasting_share(reconstruction)
    yearly, own = (np.sqrt(part)[:, np.newaxis] * noise for part in (1 - share, share))
    out: dict[str, np.ndarray] = {"mean": mean, "cumulative": mean.cumsum()}
    attrs = {"mean": float(np.nanmean(mean))}
    years = int(np.isfinite(mean).sum())
    spread = float(np.nanmean(members, axis=1).std())
    stays, piled = (own**2).sum(0), (own.cumsum(1) ** 2).sum(0)
    stayed = float((np.nansum(own, axis=1) ** 2).sum())
    for name, variance in {"std": (yearly**2).sum(0), "shared_std": yearly.sum(0) ** 2}.items():
        out[name] = np.sqrt(members.var(0) + variance + stays)
        out[f"cumulative_{name}"] = np.sqrt(members.cumsum(1).var(0) + variance.cumsum() + piled)
        attrs[name] = float(np.sqrt(spread**2 + (np.nansum(variance) + stayed) / years**2))
    year = reconstruction["hydro_year"].values
    return xr.Dataset({k: ("hydro_year", v) for k, v in out.items()}, coords={"hydro_year": year}, attrs=attrs)


def lasting_share(reconstruction: xr.Dataset) -> np.ndarray:
    """Share of the residual variance that is the same in all years: (glacier,); none where the store does not say."""
    if "lasting_share" not in reconstruction:
        return np.zeros(reconstruction.sizes["glacier"])
    return reconstruction["lasting_share"].values.astype(float)


def _block(part: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (glacier, year), members (member, glacier, year) and residual standard deviation (glacier, year), kg m-2."""
    smb = part["smb"].values.astype(float)
    members = part["smb_member"].values.astype(float)
    residual = np.sqrt(np.clip(part["smb_std"].values.astype(float) ** 2 - members.var(0), 0, None))
    return smb, members, residual


def embedded_series(reconstruction: xr.Dataset, predictions: pd.DataFrame) -> dict[str, Any]:
    """Series of the largest glaciers as whole kg m-2, for the page's selector."""
    area = np.nan_to_num(reconstruction["area_m2"].values.astype(float))
    some = reconstruction["smb"].notnull().any("hydro_year").values
    largest = np.argsort(np.where(some, -area, np.inf), kind="stable")[: min(MOST_GLACIERS, int(some.sum()))]
    order = np.sort(largest)
    part = reconstruction.isel(glacier=order)
    smb, members, residual = _block(part)
    share = lasting_share(part)[:, np.newaxis]
    noise = (1 - share) * (residual**2).cumsum(1) + share * residual.cumsum(1) ** 2
    total_std = np.sqrt(members.cumsum(2).var(0) + noise)
    rows = predictions.drop_duplicates(["glacier_id", "hydro_year"])
    rows = rows[np.isfinite(rows["observed"])]
    observed = {str(k): g[["hydro_year", "observed"]].to_numpy() for k, g in rows.groupby("glacier_id")}
    nothing = np.empty((0, 2))
    ids, units = (schema.text(part[name].values).tolist() for name in ("glacier_id", "unit_id"))
    names = schema.text(part["glacier_name"].values).tolist() if "glacier_name" in part else [""] * len(ids)

    def whole(values: np.ndarray) -> list[int | None]:
        return [round(float(value)) if np.isfinite(value) else None for value in values]

    glaciers = [
        {
            "id": glacier_id,
            "name": name,
            "area": round(float(area[order[i]]) / 1e6, 2),
            "smb": whole(smb[i]),
            "std": whole(part["smb_std"].values[i]),
            "sum": whole(smb[i].cumsum()),
            "sum_std": whole(total_std[i]),
            "observed": [whole(pair) for pair in observed.get(glacier_id, observed.get(unit_id, nothing))],
        }
        for i, (glacier_id, unit_id, name) in enumerate(zip(ids, units, names, strict=True))
    ]
    glaciers.sort(key=lambda glacier: -float(glacier["area"]))
    return {"years": whole(part["hydro_year"].values), "z90": Z90, "glaciers": glaciers}


def reconstructed_by(net: str) -> str:
    """Say in words which model or models made a reconstruction, from its attribute `net`.

    The forms are those of the reconstruct stage, ``"lasso"`` and ``"mlp for observed glaciers, lasso for the others"``;
    anything else is repeated as it stands.
    """
    spoken = {name: f"the {label}" for name, label in _SPOKEN.items()}
    two = re.fullmatch(r"(\S+) for observed glaciers, (\S+) for the others", net)
    if two:
        observed, others = (spoken.get(name, name) for name in two.groups())
        return f"{observed} for observed glaciers and {others} for the others"
    return spoken.get(net, net) if net else "a model that the store does not name"


def headline(reconstruction: xr.Dataset, predictions: pd.DataFrame, series: xr.Dataset, title: str) -> dict[str, Any]:
    """Facts of the first screen: what, where, when, how much, by which model."""
    years = reconstruction["hydro_year"].values
    rows = predictions[np.isfinite(predictions["observed"])].drop_duplicates(["glacier_id", "hydro_year"])
    middle, total = series.attrs["mean"] * M_WE, float(series["cumulative"].values[-1]) * M_WE
    half, wide = Z90 * M_WE * series.attrs["std"], Z90 * M_WE * series.attrs["shared_std"]
    total_half = Z90 * M_WE * float(series["cumulative_shared_std"].values[-1])
    smb = reconstruction["smb"]
    return {
        "region": str(reconstruction.attrs.get("region") or title),
        "model": reconstructed_by(str(reconstruction.attrs.get("net", ""))),
        "years": f"{years.min()}–{years.max()}",
        "year_count": str(years.size),
        "glaciers": number(reconstruction.sizes["glacier"], 0),
        "area": number(float(np.nansum(reconstruction["area_m2"].values)) / 1e6, 1),
        "members": str(reconstruction.sizes["member"]),
        "observations": number(len(rows), 0),
        "observed_glaciers": number(rows["glacier_id"].nunique(), 0),
        "mean": number(middle),
        "mean_interval": between(middle - half, middle + half),
        "mean_shared": between(middle - wide, middle + wide),
        "total": number(total, 1),
        "lasting": number(100 * float(lasting_share(reconstruction).mean()), 0),
        "total_interval": between(total - total_half, total + total_half, 1),
        "missing": number(100 * (1 - float(np.isfinite(smb).mean())), 1) if bool((~np.isfinite(smb)).any()) else "",
    }
