"""Published balances become one checked table in kg m-2, or are refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.models import operators, periods
from glacierscale.schema import OBSERVATIONS
from glacierscale.sources import observations as obs
from glacierscale.sources import outlines
from glacierscale.sources.observations.glacierwide import REMOTE_SENSING_SIGMA_KG_M2


def own(rows: int = 3, **columns: object) -> pd.DataFrame:
    """Build a good table in our own columns, to be spoiled."""
    table = {
        "obs_unit_id": ["RGI60-11.00001"] * rows,
        "obs_kind": ["annual"] * rows,
        "obs_year": np.arange(2000, 2000 + rows),
        "obs_value": np.linspace(-1500.0, 500.0, rows),
        "units": ["mm w.e."] * rows,
    }
    return pd.DataFrame(table | columns)


@pytest.fixture(scope="module")
def links(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/oetztal/wgms_rgi_links.csv")


@pytest.fixture(scope="module")
def ids(shared: Path) -> list[str]:
    return list(gpd.read_file(shared / "data/oetztal/rgi/rgi_oetztal.shp")["RGIId"])


def profiles(folder: Path) -> dict[int | str, pd.DataFrame]:
    return {file.stem: pd.read_csv(file) for file in sorted(folder.glob("profile_*.csv"))}


def test_oetztal_balances_are_joined_through_the_link_table(shared: Path, links: pd.DataFrame, ids: list[str]) -> None:
    files = sorted((shared / "data/oetztal/wgms").glob("mbdata_*.csv"))
    result = obs.wgms([pd.read_csv(file) for file in files], links, ids)
    counts = result.groupby(["obs_unit_id", "obs_kind"]).size().to_dict()
    assert counts == {
        ("RGI50-11.00897", "annual"): 53,
        ("RGI50-11.00719", "annual"): 41,
        ("RGI50-11.00719", "winter"): 40,
        ("RGI50-11.00719", "summer"): 40,
        ("RGI50-11.00929", "annual"): 8,
    }
    assert result.attrs["dropped_glaciers"] == [492]
    hintereis = result[result["obs_unit_id"] == "RGI50-11.00897"].set_index("obs_year")
    assert (hintereis.index.min(), hintereis.index.max()) == (1953, 2005)
    assert hintereis.loc[1953, "obs_value"] == -540.0
    assert hintereis.loc[1953, "obs_start"] == pd.Timestamp("1952-10-01")
    assert hintereis.loc[1953, "obs_end"] == pd.Timestamp("1953-09-30")


def test_tables_have_the_columns_and_dtypes_of_the_schema(shared: Path, links: pd.DataFrame, ids: list[str]) -> None:
    table = pd.read_csv(shared / "data/oetztal/wgms/mbdata_WGMS-00489.csv")
    result = obs.wgms([table], links, ids)
    assert list(result.columns) == list(OBSERVATIONS)
    for name, variable in OBSERVATIONS.items():
        assert str(result[name].dtype) == {"string": "object"}.get(variable.dtype, variable.dtype)
    winter = result[(result["obs_kind"] == "winter") & (result["obs_year"] == 1966)].iloc[0]
    assert (winter["obs_start"], winter["obs_end"]) == (pd.Timestamp("1965-10-01"), pd.Timestamp("1966-04-30"))
    assert (winter["obs_value"], winter["obs_sigma"]) == (1570.0, 140.0)
    unlinked = obs.wgms([table], links, ["RGI50-11.00001"])
    assert len(unlinked) == 0
    assert unlinked.dtypes.to_dict() == result.dtypes.to_dict()


def test_every_wgms_balance_of_the_world_is_read_with_its_survey_dates(shared: Path) -> None:
    folder = shared / "data/wgms"
    links = pd.read_csv(folder / "rgi_wgms_links_20220112.csv")
    periods = pd.read_csv(folder / "mb_overview_seasonal_mb_time_periods_20220301.csv")
    tables = [pd.read_csv(file) for file in sorted((folder / "mbdata").glob("*.csv"))]
    result = obs.wgms(tables, links, list(links["RGI60_ID"]), periods=periods)
    assert result["obs_kind"].value_counts().to_dict() == {"annual": 6344, "winter": 4042, "summer": 4030}
    south = result[(result["obs_unit_id"] == "RGI60-19.01992") & (result["obs_kind"] == "annual")]
    assert set(south["obs_start"].dt.month) <= {1, 2, 3, 4, 12}
    plain = obs.wgms(tables, links, list(links["RGI60_ID"]))
    assert set(plain.loc[plain["obs_unit_id"] == "RGI60-19.01992", "obs_start"].dt.month) <= {4, 11}
    rgi50 = obs.wgms(tables, links, list(links["RGI50_ID"].dropna()))
    assert 0 < len(rgi50["obs_unit_id"].unique()) < len(result["obs_unit_id"].unique())


def test_the_rgi_version_of_the_outlines_chooses_the_link_column(links: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "YEAR": [2000],
            "WGMS_ID": [491],
            "ANNUAL_BALANCE": [-600.0],
            "WINTER_BALANCE": [np.nan],
            "SUMMER_BALANCE": [np.nan],
        }
    )
    assert list(obs.wgms([table], links, ["RGI60-11.00897"])["obs_unit_id"]) == ["RGI60-11.00897"]
    with pytest.raises(ValueError, match=r"outline ids of RGI50 and RGI60 cannot be linked"):
        obs.wgms([table], links, ["RGI60-11.00897", "RGI50-11.00897"])
    with pytest.raises(ValueError, match="the link table has no column of RGI2000 ids"):
        obs.wgms([table], links, ["RGI2000-v7.0-G-11-00001"])
    with pytest.raises(ValueError, match="the WGMS table lacks WINTER_BALANCE"):
        obs.wgms([table.drop(columns="WINTER_BALANCE")], links, ["RGI60-11.00897"])


def test_a_wgms_glacier_linked_to_two_outlines_is_refused() -> None:
    links = pd.DataFrame({"WGMS_ID": [1, 1], "RGI60_ID": ["RGI60-11.00001", "RGI60-11.00002"]})
    with pytest.raises(ValueError, match=r"WGMS ids 1 link to several outlines; mark the outlines as parts"):
        obs.wgms([], links, ["RGI60-11.00001", "RGI60-11.00002"])


def test_profiles_become_bands(shared: Path, links: pd.DataFrame, ids: list[str]) -> None:
    result = obs.wgms_profiles(profiles(shared / "data/oetztal/wgms"), links, ids)
    assert result.groupby("obs_unit_id")["obs_year"].nunique().to_dict() == {
        "RGI50-11.00897": 42,
        "RGI50-11.00719": 41,
        "RGI50-11.00929": 8,
    }
    lowest = result[(result["obs_unit_id"] == "RGI50-11.00719") & (result["obs_year"] == 1965)].iloc[0]
    assert (lowest["obs_elevation"], lowest["obs_value"], lowest["obs_kind"]) == (2725.0, -2269.0, "band")
    assert result.attrs == {"dropped_glaciers": [492], "dropped_values": 0}


def test_impossible_band_values_of_the_world_collection_are_dropped_and_counted(shared: Path) -> None:
    links = pd.read_csv(shared / "data/wgms/rgi_wgms_links_20220112.csv")
    result = obs.wgms_profiles(profiles(shared / "data/wgms/mb_profiles"), links, list(links["RGI60_ID"]))
    assert float(result["obs_value"].abs().max()) < 17_000
    assert result.attrs["dropped_values"] == 106
    assert -9999.0 not in set(result["obs_value"])


def test_the_french_matrix_gives_678_values(shared: Path) -> None:
    folder = shared / "data/french_alps"
    matrix, glaciers = pd.read_csv(folder / "smb_annual_train.csv"), pd.read_csv(folder / "smb_glaciers.csv")
    result = obs.alpgm_matrix(matrix, glaciers)
    assert len(result) == 678
    assert result["obs_unit_id"].nunique() == 26
    glacier = result[result["obs_unit_id"] == "RGI60-11.03643"].set_index("obs_year")
    assert glacier.loc[1980, "obs_value"] == pytest.approx(2240.0)
    assert glacier.loc[1980, "obs_sigma"] == 200.0
    mahure = result[result["obs_unit_id"] == "G006745E45302N"]
    assert len(mahure) > 0
    assert set(mahure["obs_sigma"]) == {REMOTE_SENSING_SIGMA_KG_M2}
    source = gpd.read_file(folder / "outlines/GLIMS_glaciers_2003_ID_massif.shp")
    named = obs.alpgm_matrix(matrix, glaciers, outlines.normalize(source, "glims"))
    assert int((named["obs_unit_id"] == "RGI60-11.03670").sum()) == len(mahure)
    with pytest.raises(ValueError, match="no entry for G006159E45160N in the table of glaciers"):
        obs.alpgm_matrix(matrix, glaciers[glaciers["glims_id"] != "G006159E45160N"])


def test_the_remote_sensing_error_is_the_published_cumulative_one_in_quadrature(shared: Path) -> None:
    table = pd.read_csv(
        shared / "data/french_alps/coordinates/glaciers_rabatel_uncertainties.csv", sep=";", header=None, index_col=0
    )
    assert table.index[-1] - table.index[0] + 1 == 31
    assert float(table[1].iloc[-1]) / np.sqrt(31) * 1000 == pytest.approx(REMOTE_SENSING_SIGMA_KG_M2, abs=5)


def test_norwegian_glacier_wide_counts_and_dates(shared: Path) -> None:
    table = pd.read_csv(shared / "data/norway/massbalance_gw_Norway.csv", sep=";", encoding="utf-8-sig")
    result = obs.norway_glacier_wide(table)
    assert result["obs_kind"].value_counts().to_dict() == {"annual": 762, "winter": 746, "summer": 745}
    unnamed = result[result["obs_unit_id"].str.startswith("BREID-") & (result["obs_kind"] == "annual")]
    assert unnamed["obs_unit_id"].nunique() == 14
    first = result[(result["obs_unit_id"] == "BREID-0026") & (result["obs_year"] == 1979)].iloc[0]
    assert (first["obs_kind"], first["obs_value"]) == ("winter", pytest.approx(2100.0))
    assert (first["obs_start"], first["obs_end"]) == (pd.Timestamp("1978-10-01"), pd.Timestamp("1979-05-01"))


def test_norwegian_stakes_are_points_with_plausible_dates(shared: Path) -> None:
    file = next((shared / "data/norway").glob("*stake*.csv"))
    table = pd.read_csv(file)
    result = obs.norway_stakes(table)
    assert len(result) + result.attrs["averaged"] == 3752 + 3929 + 3910
    assert set(result["obs_kind"]) == {"point"}
    days = (result["obs_end"] - result["obs_start"]).dt.days
    assert (days.min(), days.max()) == (72, 476)
    assert result["obs_year"].between(1962, 2021).all()
    stake = result[(result["obs_elevation"] == 471.0) & (result["obs_year"] == 2013)]
    assert sorted(stake["obs_value"].round()) == [-6240.0, -4920.0, 1320.0]
    assert set(stake["obs_start"]) == {pd.Timestamp("2012-09-25"), pd.Timestamp("2013-05-14")}
    twice = result[(result["obs_elevation"] == 1049.0) & (result["obs_start"] == "2009-10-07")]
    assert sorted(twice["obs_value"].round()) == [240.0, 2350.0]
    assert len(obs.norway_stakes(table, ["winter"])) < 3753
    with pytest.raises(ValueError, match="unknown seasons spring; expected annual, winter, summer"):
        obs.norway_stakes(table, ["spring"])


def test_icelandic_stakes_keep_their_dates(shared: Path) -> None:
    result = obs.iceland_stakes(pd.read_csv(shared / "data/iceland/iceland_topographical_features.csv"))
    assert len(result) == 55
    assert set(result["obs_unit_id"]) == {"RGI60-06.00228", "RGI60-06.00232"}
    first = result.iloc[0]
    assert (first["obs_value"], first["obs_start"]) == (pytest.approx(2070.0), pd.Timestamp("1994-09-17"))
    assert first["obs_elevation"] == pytest.approx(1450.4)
    with pytest.raises(ValueError, match="has no RGIId; take the one with topographical features"):
        obs.iceland_stakes(pd.read_csv(shared / "data/iceland/iceland_wgms_dataset.csv"))


def test_norwegian_geodetic_ids_are_corrected(shared: Path) -> None:
    result = obs.geodetic_norway(pd.read_csv(shared / "data/norway/Bgeod_Norway.csv", sep=";", encoding="utf-8-sig"))
    assert len(result) == 16
    assert result["obs_unit_id"].nunique() == 12
    assert result["obs_unit_id"].str.match(r"^RGI60-08\.\d{5}$").all()
    first = result.iloc[0]
    assert (first["obs_value"], first["obs_sigma"], first["obs_year"]) == (pytest.approx(-700), pytest.approx(40), 2008)
    assert (first["obs_start"], first["obs_end"]) == (pd.Timestamp("1966-07-11"), pd.Timestamp("2008-09-09"))


def test_scandinavian_decades_lose_the_regional_fill_values(shared: Path) -> None:
    result = obs.hugonnet_decades(pd.read_csv(shared / "data/scandinavia/train.csv"))
    assert len(result) == 5516 - 86
    assert result.attrs["dropped_fills"] == 86
    assert (np.abs(result["obs_value"] + 458.772) > 1e-3).all()
    first = result.iloc[0]
    assert (first["obs_unit_id"], first["obs_year"]) == ("RGI60-08.00012", 2009)
    assert first["obs_value"] == pytest.approx(-997.2)
    assert first["obs_sigma"] == pytest.approx(510.5)


@pytest.mark.parametrize(("hemisphere", "first", "last"), [("north", 2000, 2009), ("south", 2001, 2010)])
def test_a_decade_is_ten_hydrological_years_in_either_hemisphere(hemisphere: str, first: int, last: int) -> None:
    decades = ["2000-2010", "2010-2020"]
    table = pd.DataFrame({"rgi_id": "a", "period": decades, "dmdtda": -0.5, "err_dmdtda": 0.1})
    found = obs.hugonnet_decades(table, hemisphere=hemisphere)
    assert found["obs_year"].tolist() == [last, last + 10]
    begin, end = (found[side].to_numpy("datetime64[D]") for side in ("obs_start", "obs_end"))
    assert end[0] + 1 == begin[1]
    features = xr.Dataset(
        {name: ("observation", found[name]) for name in ("obs_year", "obs_kind", "obs_start")},
        attrs={"hemisphere": hemisphere},
    )
    years = periods.years_of(features, np.arange(2))
    assert [values.tolist() for values in years] == [[first, first + 10], [last, last + 10]]
    weight = operators.many_year_weights(begin[0], end[0], first, last, hemisphere)
    np.testing.assert_allclose(weight, 0.1)


def test_geodetic_errors_add_in_quadrature() -> None:
    value, sigma = obs.geodetic_from_dh([-10.0, 0.0], [0.5, 0.5], ["2000-01-01"] * 2, ["2010-01-01"] * 2)
    np.testing.assert_allclose(value, [-850.0, 0.0], atol=0.5)
    np.testing.assert_allclose(sigma, [np.hypot(0.5 * 850, 10 * 60) / 10, 42.5], rtol=1e-3)
    with pytest.raises(ValueError, match="1 geodetic periods do not end after they start"):
        obs.geodetic_from_dh(-10.0, 0.5, "2010-01-01", "2000-01-01")
    with pytest.raises(ValueError, match="1 standard errors of elevation change are negative"):
        obs.geodetic_from_dh(-10.0, -0.5, "2000-01-01", "2010-01-01")


def test_our_own_table_is_converted_row_by_row() -> None:
    table = own(obs_value=[-1.5, -500.0, 0.5], units=["m w.e.", "mm w.e.", "m w.e."], obs_sigma=[0.1, np.nan, 0.3])
    result = obs.glacierscale(table)
    np.testing.assert_allclose(result["obs_value"], [-1500, -500, 500])
    np.testing.assert_allclose(result["obs_sigma"], [100, 200, 300])
    south = obs.glacierscale(own(), hemisphere="south")
    assert south.loc[0, "obs_start"] == pd.Timestamp("1999-04-01")
    assert south.loc[0, "obs_end"] == pd.Timestamp("2000-03-31")


def test_winter_and_summer_of_the_south_fill_its_year() -> None:
    table = own(2, obs_kind=["winter", "summer"], obs_year=[2000, 2000])
    result = obs.glacierscale(table, hemisphere="south")
    assert list(result["obs_start"]) == [pd.Timestamp("1999-04-01"), pd.Timestamp("1999-11-01")]
    assert list(result["obs_end"]) == [pd.Timestamp("1999-10-31"), pd.Timestamp("2000-03-31")]


def test_a_table_without_units_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state no unit; add a column 'units' or pass units"):
        obs.glacierscale(own().drop(columns="units"))
    with pytest.raises(ValueError, match="1 observations state no unit"):
        obs.glacierscale(own(units=["mm w.e.", None, "mm w.e."]))
    with pytest.raises(ValueError, match="obs_value has the unknown unit 'furlong of ice'"):
        obs.glacierscale(own().drop(columns="units"), "furlong of ice")
    with pytest.raises(ValueError, match="the observations lack obs_kind"):
        obs.glacierscale(own().drop(columns="obs_kind"))


@pytest.mark.parametrize("sentinel", [-9999.0, 1e20, np.inf])
def test_sentinels_are_refused(sentinel: float) -> None:
    with pytest.raises(ValueError, match=r"obs_value holds 1 values that mean 'no value'.*na_values"):
        obs.glacierscale(own(obs_value=[-500.0, sentinel, 100.0]))
    with pytest.raises(ValueError, match=r"obs_sigma holds 1 values that mean 'no value'"):
        obs.glacierscale(own(obs_sigma=[200.0, sentinel, 200.0]))


def test_a_sentinel_is_found_after_conversion_too() -> None:
    with pytest.raises(ValueError, match=r"obs_value holds 1 values that mean 'no value'"):
        obs.glacierscale(own(obs_value=[-0.5, -9999.0, 0.1]).drop(columns="units"), "m w.e.")


def test_values_in_the_wrong_unit_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"obs_value is beyond 15,000 kg m-2 .*likely a wrong unit.*1 rows, such as RGI60"
    ):
        obs.glacierscale(own(obs_value=[-500.0, -18000.0, 100.0]))
    with pytest.raises(
        ValueError, match=r"all 12 observations lie within .* likely a wrong unit, m w.e. taken for kg m-2"
    ):
        obs.glacierscale(own(12, obs_value=np.linspace(-2.0, 1.0, 12)))


def test_duplicated_observations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"duplicated observations; keep one of each \(2 rows"):
        obs.glacierscale(own(obs_year=[2000, 2000, 2001]))


def test_kinds_years_errors_decadesand_places_are_checked() -> None:
    for column, value, words in (
        ("obs_kind", "monthly", "obs_kind is not one of annual, winter"),
        ("obs_year", 20, "obs_year is no hydrological year"),
        ("obs_sigma", 0.0, "obs_sigma is not positive"),
        ("obs_elevation", 12000.0, "obs_elevation is no elevation in metres"),
        ("obs_lon", 200.0, "obs_lon is beyond 180 degrees"),
        ("obs_lat", -100.0, "obs_lat is beyond 90 degrees"),
        ("obs_unit_id", "", "obs_unit_id is empty"),
        ("obs_end", pd.Timestamp("1900-01-01"), "the period ends before it starts"),
    ):
        table = obs.glacierscale(own())
        table[column] = value
        with pytest.raises(ValueError, match=words):
            obs.check_observations(table)
    with pytest.raises(ValueError, match="observations lack the columns obs_lat"):
        obs.check_observations(obs.glacierscale(own()).drop(columns="obs_lat"))


def test_a_geodetic_balance_needs_its_period() -> None:
    table = own(obs_kind="geodetic")
    with pytest.raises(ValueError, match=r"3 geodetic observations state no period \(such as RGI60-11.00001\)"):
        obs.glacierscale(table)
    dated = obs.glacierscale(table.assign(obs_start="1990-08-01", obs_end="2000-09-01"))
    assert set(dated["obs_start"]) == {pd.Timestamp("1990-08-01")}


def test_rows_without_a_value_are_left_out() -> None:
    assert list(obs.glacierscale(own(obs_value=[-500.0, np.nan, 100.0]))["obs_year"]) == [2000, 2002]
    assert len(obs.glacierscale(own(obs_value=[np.nan] * 3))) == 0
    with pytest.raises(ValueError, match="no WGMS table was given"):
        obs.wgms([], pd.DataFrame({"WGMS_ID": [1], "RGI60_ID": ["RGI60-11.00001"]}), ["RGI60-11.00001"])


def test_a_good_table_passes_unchanged() -> None:
    table = obs.glacierscale(own())
    pd.testing.assert_frame_equal(obs.check_observations(table), table)
