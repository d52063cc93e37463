"""Balances of massifs: weights, members, and how much of their errors glaciers share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.models.bundle import SMBModel
from glacierscale.provenance import StampMismatch
from glacierscale.reconstruction import ReconstructOptions, reconstruct
from glacierscale.reconstruction.subregions import NAME, WHOLE_REGION, _Sums, common_share, subregions
from glacierscale.store import Store
from tests.reconstruction.rewriting import rewritten

MASSIFS = ["Vanoise", "", "Ecrins", "Ecrins", "Vanoise", "Vanoise"]  # the second glacier lies in none


def held_out(error: np.ndarray) -> pd.DataFrame:
    """Errors (glacier, year) of one model with glaciers held out."""
    glacier, year = np.indices(error.shape)
    table = pd.DataFrame({"scheme": "logo", "model": "lasso", "hydro_year": 1990 + year.ravel(), "observed": 0.0})
    return table.assign(glacier_id=[f"g{n}" for n in glacier.ravel()], predicted=error.ravel())


def test_errors_that_all_glaciers_share_are_told_from_those_of_single_ones() -> None:
    rng = np.random.default_rng(0)
    of_year, of_glacier = rng.normal(size=(1, 400)), rng.normal(size=(12, 400))
    assert common_share(held_out(np.repeat(of_year, 12, axis=0))) == pytest.approx(1.0)
    assert common_share(held_out(of_glacier)) < 0.05
    assert common_share(held_out(np.sqrt(0.3) * of_year + np.sqrt(0.7) * of_glacier)) == pytest.approx(0.3, abs=0.06)


def test_years_with_one_glacier_tell_nothing_so_all_of_an_error_counts_as_shared() -> None:
    assert common_share(held_out(np.ones((1, 5)))) == 1.0


@pytest.mark.parametrize(("shared", "noise"), [(1.0, 40.0), (0.0, 40.0 / np.sqrt(2))])
def test_a_mean_is_weighted_by_area_and_keeps_what_errors_have_in_common(shared: float, noise: float) -> None:
    # Two glaciers of 1 and 1 km2 and noise of 40 kg m-2 each in one year; members agree but for +-10 kg m-2.
    area, each = 1e6, 40.0
    sums = _Sums(
        area=np.array([[2 * area]]),
        balance=np.array([[area * -500.0 + area * -300.0]]),
        member=np.array([[[2 * area * 10.0]], [[2 * area * -10.0]]]),
        noise=np.array([[2 * area * each]]),
        noise2=np.array([[2 * (area * each) ** 2]]),
        lasting=np.zeros((1, 1, 1)),
    )
    table = sums.table(np.array(["Vanoise"]), np.array([2000]), shared)
    assert table.massif.tolist() == ["Vanoise"]
    assert table.smb.tolist() == [-400.0]
    assert table.area.tolist() == [2 * area]
    assert table["std"][0] == pytest.approx(np.hypot(np.sqrt(200.0), noise))


def test_a_cumulative_balance_adds_up_and_members_drift_apart() -> None:
    years = np.array([2000, 2001, 2002])
    ones = np.ones((1, 3))
    sums = _Sums(
        area=ones,
        balance=-100 * ones,
        member=np.stack([10 * ones, -10 * ones]),
        noise=np.zeros((1, 3)),
        noise2=np.zeros((1, 3)),
        lasting=np.zeros((3, 1, 3)),
    )
    table = sums.together().table(np.array([""]), years, 1.0)
    assert table.cumulative.tolist() == [-100, -200, -300]
    np.testing.assert_allclose(table.cumulative_std, np.sqrt(200) * np.array([1, 2, 3]))
    np.testing.assert_allclose(table["std"], np.sqrt(200))


@pytest.fixture(scope="module")
def split(features: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The region's features, dealt out over two massifs and no massif."""
    return rewritten(features, tmp_path_factory.mktemp("split"), subregion=MASSIFS)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "gaps filled"])
def smb(model_folder: Path, split: Store, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Store:
    """A reconstruction of it, with noise of which a part lasts."""
    options = ReconstructOptions(gapfill=request.param)
    model = SMBModel.load(model_folder)
    model = dataclasses.replace(model, lasting_share=dict.fromkeys(model.nets, (0.3, 0.6)))
    return reconstruct(model, split, to=tmp_path_factory.mktemp("split_smb") / "smb.zarr", options=options)


def by_hand(found: xr.Dataset, area: np.ndarray, massif: str | None, shared: float) -> pd.DataFrame:
    """Numbers of a massif, or of all glaciers, one year and one glacier at a time."""
    some = [n for n, name in enumerate(MASSIFS) if found.set_aside.values[n] == "" and massif in (None, name)]
    filled, records, means, lasts = "smb_gapfilled" in found, [], [], found.lasting_share.values[some]
    assert (lasts > 0).all()
    stayed = np.zeros(len(some))  # sum over years of each glacier's part of what lasts
    for at, year in enumerate(found.hydro_year.values):
        a = area[some, at]
        members = found.smb_member.values[:, some, at]  # (member, glacier)
        mean, std = found.smb.values[some, at], found.smb_std.values[some, at].astype(float)
        noise = np.sqrt(np.maximum(std**2 - members.var(axis=0, ddof=1), 0))
        if filled:
            less = found.smb_gapfilled_std.values[some, at] / std
            members, noise = (members - mean) * less + found.smb_gapfilled.values[some, at], noise * less
            mean = found.smb_gapfilled.values[some, at]
        means.append(members @ a / a.sum())
        weight, yearly, lasting = a / a.sum(), np.sqrt(1 - lasts) * noise, np.sqrt(lasts) * noise
        variance = shared * (weight @ yearly) ** 2 + (1 - shared) * ((weight * yearly) ** 2).sum()
        stayed = stayed + weight * lasting
        std = np.sqrt(means[-1].var(ddof=1) + variance + ((weight * lasting) ** 2).sum())
        records.append((year, weight @ mean, std, a.sum(), variance, (stayed**2).sum()))
    table = pd.DataFrame(records, columns=["hydro_year", "smb", "std", "area", "variance", "stayed"])
    drift = np.cumsum(means, axis=0).std(axis=1, ddof=1)
    variance = table.pop("variance").cumsum() + table.pop("stayed")
    return table.assign(cumulative=table.smb.cumsum(), cumulative_std=np.sqrt(drift**2 + variance))


def test_the_tables_hold_what_is_computed_by_hand(split: Store, smb: Store, tmp_path: Path) -> None:
    errors = held_out(np.random.default_rng(0).normal(size=(4, 30)) + np.random.default_rng(1).normal(size=(1, 30)))
    shared = common_share(errors)
    assert 0.2 < shared < 0.8
    table = subregions(smb, split, to=tmp_path, held_out=errors)
    assert table is not None
    dataset, found = split.open(), smb.open().load()
    area = dataset.predictors.values[:, :, dataset.predictor.values.tolist().index("area")].astype(float)
    stored = pd.read_parquet(tmp_path / NAME)
    pd.testing.assert_frame_equal(stored, table)
    assert list(stored.massif.unique()) == ["Ecrins", "Vanoise"]
    for massif, rows in stored.groupby("massif"):
        wanted = by_hand(found, area, str(massif), shared)
        pd.testing.assert_frame_equal(
            rows.drop(columns="massif").reset_index(drop=True), wanted, check_dtype=False, rtol=1e-5
        )
    region = pd.read_parquet(tmp_path / WHOLE_REGION)
    pd.testing.assert_frame_equal(region, by_hand(found, area, None, shared), check_dtype=False, rtol=1e-5)
    assert (region.area > stored.groupby("hydro_year").area.sum().to_numpy()).all()  # the glacier of no massif counts


def test_tables_that_are_there_stay_and_a_missing_one_is_written_again(
    split: Store, smb: Store, tmp_path: Path
) -> None:
    subregions(smb, split, to=tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in (NAME, WHOLE_REGION)}
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    subregions(smb, split, to=tmp_path)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == times
    for lost in before:
        (tmp_path / lost).unlink()
        subregions(smb, split, to=tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", [NAME, WHOLE_REGION])
def test_a_table_that_was_made_otherwise_is_refused_and_kept(
    split: Store, smb: Store, tmp_path: Path, name: str
) -> None:
    other = pd.DataFrame({"massif": ["Vanoise"], "smb": [-1.0]})
    other.to_parquet(tmp_path / name)
    with pytest.raises(StampMismatch, match=name):
        subregions(smb, split, to=tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), other)
    (tmp_path / name).unlink()
    subregions(smb, split, to=tmp_path)
    with pytest.raises(StampMismatch, match=r"(?s)massifs\.parquet.*common_share: there 1\.0, now"):
        subregions(smb, split, to=tmp_path, held_out=held_out(np.random.default_rng(0).normal(size=(4, 30))))


def test_where_no_subregion_is_known_nothing_is_written(model_folder: Path, features: Store, tmp_path: Path) -> None:
    nowhere = rewritten(features, tmp_path, subregion=[""] * len(MASSIFS))
    smb = reconstruct(model_folder, nowhere, to=tmp_path / "smb.zarr")
    assert subregions(smb, nowhere, to=tmp_path / "tables") is None
    assert not (tmp_path / "tables").exists()
