"""Tables of decade means give the outlines, climate cells and inventory that they imply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glacierscale.sources import decades, observations, outlines
from glacierscale.sources.observations import hugonnet_decades, inventories

MONTHS = np.array([2.0, -3, -6, -8, -8, -6, -2, 3, 7, 10, 9, 5])


def attributes(lon: list[float], lat: list[float]) -> pd.DataFrame:
    n = len(lon)
    return pd.DataFrame(
        {
            "RGIId": [f"RGI60-08.{number:05d}" for number in range(n)],
            "O1Region": "8",
            "O2Region": "2",
            "BgnDate": "-9999999",
            "EndDate": "-9999999",
            "CenLon": lon,
            "CenLat": lat,
            "Area": 0.5 + np.arange(n),
            "Zmin": 1000,
            "Zmax": 1400,
            "Zmed": 1200 + 10 * np.arange(n),
            "Slope": 20.0,
            "Aspect": [-9, *[90] * (n - 1)],
            "Name": None,
        }
    )


def table(places: pd.DataFrame, cell: list[int], heights: list[float], warmer: float = 0.5) -> pd.DataFrame:
    """Two decades, the second one warmer; each cell has its own height and temperature."""
    rows = []
    for number, glacier in enumerate(places.itertuples()):
        for period, change in (("2000-2010", 0.0), ("2010-2020", warmer)):
            temp = MONTHS + change - 0.3 * cell[number]
            moved = temp + 0.006 * (glacier.Zmed - heights[cell[number]])
            row = {"rgi_id": glacier.RGIId, "period": period, "zmed": glacier.Zmed, "PDD": np.maximum(moved, 0).sum()}
            row |= {f"temp_{m + 1:02d}": temp[m] for m in range(12)}
            rows.append(row | {f"prcp_{m + 1:02d}": 100.0 + 10 * cell[number] + m for m in range(12)})
    return pd.DataFrame(rows)


PLACES = attributes([10.02, 10.1, 10.3, 10.31], [61.02, 61.1, 61.05, 61.1])
CELLS, HEIGHTS = [0, 0, 1, 1], [700.0, 950.0]


def test_the_height_of_a_cell_follows_from_the_sum_of_positive_temperatures() -> None:
    rng = np.random.default_rng(0)
    temp, glacier, cell = rng.normal(0, 8, (200, 12)), rng.uniform(200, 2200, 200), rng.uniform(100, 1700, 200)
    positive = np.maximum(temp + 0.006 * (glacier - cell)[:, None], 0).sum(axis=1)
    found = decades.height_of_cells(temp, positive, glacier)
    told = positive > 0
    assert told.sum() > 190
    np.testing.assert_allclose(found[told], cell[told], atol=1e-6)
    assert np.isnan(found[~told]).all()


def test_every_year_of_a_decade_has_the_months_of_its_cell() -> None:
    found = decades.climate([table(PLACES, CELLS, HEIGHTS)], PLACES)
    assert (str(found.time.values[0])[:7], str(found.time.values[-1])[:7]) == ("1999-10", "2019-09")
    for lon, lat, cell in ((10.02, 61.02, 0), (10.3, 61.05, 1)):
        here = found.sel(clim_lon=lon, clim_lat=lat, method="nearest")
        by_year = here.temp.values.reshape(20, 12)
        np.testing.assert_allclose(by_year[:10], np.tile(MONTHS - 0.3 * cell, (10, 1)), rtol=1e-5)
        np.testing.assert_allclose(by_year[10:], np.tile(MONTHS - 0.3 * cell + 0.5, (10, 1)), rtol=1e-5)
        np.testing.assert_allclose(here.precip.values[:12], 100 + 10 * cell + np.arange(12))
        assert float(here.clim_height) == pytest.approx(HEIGHTS[cell], abs=0.1)
    assert np.isfinite(found.clim_height.values).sum() == 2
    assert found.attrs["other_cell"] == 0


def test_a_cell_takes_the_climate_of_most_of_its_glaciers_and_counts_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decades, "OTHERS_ALLOWED", 0.3)
    places = attributes([10.02, 10.1, 10.14, 10.3], [61.02, 61.1, 61.05, 61.1])
    found = decades.climate([table(places, [0, 0, 1, 1], HEIGHTS)], places)  # the third has its neighbour's climate
    assert found.attrs["other_cell"] == 2
    assert float(found.clim_height.sel(clim_lon=10.1, clim_lat=61.1, method="nearest")) == pytest.approx(700, abs=0.1)


def test_what_the_table_cannot_mean_is_refused() -> None:
    good = table(PLACES, CELLS, HEIGHTS)
    for bad, places, message in (
        (good.drop(columns="PDD"), PLACES, "the table of decades lacks PDD"),
        (good, PLACES[1:], r"lacks 1 glaciers of the climate, such as RGI60-08.00000"),
        (good.replace("2010-2020", "2011-2020"), PLACES, "do not follow one another"),
        (good.replace("2010-2020", "late"), PLACES, "the period 'late' is none; expected such as 2000-2010"),
        (pd.concat([good, good[:1]]), PLACES, "twice in one period"),
        (table(PLACES, [0, 1, 0, 1], HEIGHTS), PLACES, "4 of 8 rows have another climate than most glaciers of their"),
    ):
        with pytest.raises(ValueError, match=message):
            decades.climate([bad], places)


def test_a_disc_of_its_area_stands_for_each_glacier() -> None:
    found = outlines.normalize(decades.discs(PLACES), "rgi6")
    np.testing.assert_allclose(found.area_m2, PLACES.Area * 1e6, rtol=1e-4)
    np.testing.assert_allclose(found[["lon", "lat"]], PLACES[["CenLon", "CenLat"]])
    assert set(found.subregion) == {"08-02"}
    with pytest.raises(ValueError, match=r"1 glaciers such as RGI60-08.00001 have no position or no area"):
        decades.discs(PLACES.assign(Area=[1, 0, 1, 1]))
    with pytest.raises(ValueError, match="the attribute table lacks CenLat"):
        decades.discs(PLACES.drop(columns="CenLat"))


def test_the_attribute_table_is_an_inventory() -> None:
    found = inventories(decades.inventory(PLACES), "glacierscale", year=2003)
    np.testing.assert_allclose(found.mean_elevation, PLACES.Zmed)
    np.testing.assert_allclose(found.area_m2, PLACES.Area * 1e6)
    assert set(found.year) == {2003}
    assert np.isnan(found.aspect[0])
    assert (found.aspect[1:] == 90).all()


def test_decades_count_as_whole_hydrological_years() -> None:
    given = pd.DataFrame(
        {"rgi_id": "a", "period": ["2000-2010", "2010-2020"], "dmdtda": [-0.5, -0.6], "err_dmdtda": 0.3}
    )
    found = hugonnet_decades(given)
    assert [str(day)[:10] for day in found.obs_start] == ["1999-10-01", "2009-10-01"]
    assert [str(day)[:10] for day in found.obs_end] == ["2009-09-30", "2019-09-30"]
    assert found.obs_year.tolist() == [2009, 2019]
    with pytest.raises(ValueError, match="obs_sigma is not positive"):
        hugonnet_decades(given.assign(err_dmdtda=[0.3, 0.0]))


def test_the_real_table_has_447_cells_whose_glaciers_agree_on_their_height(shared: Path) -> None:
    import pyogrio

    folder = shared / "data/scandinavia"
    places = pyogrio.read_dataframe(folder / "08_rgi60_Scandinavia.dbf")
    tables = [pd.read_csv(folder / name) for name in ("train.csv", "block_features.csv")]
    found = decades.climate(tables, places)
    assert np.isfinite(found.clim_height.values).sum() == 447
    assert found.attrs["other_cell"] == 18
    assert 100 < float(found.clim_height.min()) < float(found.clim_height.max()) < 1800
    whole = pd.concat(tables, ignore_index=True)
    temp = whole[[f"temp_{m:02d}" for m in range(1, 13)]].to_numpy()
    height = decades.height_of_cells(temp, whole.PDD.to_numpy(), whole.zmed.to_numpy())
    by_decade = pd.DataFrame({"id": whole.rgi_id, "period": whole.period, "height": height})
    twice = by_decade.pivot(index="id", columns="period", values="height")
    assert (twice["2000-2010"] - twice["2010-2020"]).abs().median() < 10
    kept = observations.hugonnet_decades(pd.read_csv(folder / "train.csv"))
    assert len(kept) == 5430
