"""Dated inventories tied to outlines: by id where that can be believed, by position where not, one row a glacier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from glacierscale.sources import observations as obs
from glacierscale.sources import outlines


@pytest.fixture(scope="module")
def french(shared: Path) -> gpd.GeoDataFrame:
    """Outlines of 2003."""
    source = gpd.read_file(shared / "data/french_alps/outlines/GLIMS_glaciers_2003_ID_massif.shp")
    return outlines.normalize(source, "glims")


def table(shared: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(shared / f"data/french_alps/glims/GLIMS_{name}.csv", sep=";", encoding="ISO-8859-1")


def two_parts() -> gpd.GeoDataFrame:
    """Two outlines of one GLIMS id, 3 and 1 km2, and a neighbour 20 km away."""
    boxes = [shapely.box(x, 45.0, x + 0.02, 45.01) for x in (7.0, 7.03, 7.3)]
    return gpd.GeoDataFrame(
        {
            "glacier_id": ["a", "b", "c"],
            "glims_id": ["G1", "G1", "G2"],
            "published_area_m2": [3e6, 1e6, 2e6],
            "area_m2": [3e6, 1e6, 2e6],
            "mean_elevation": [3000.0, 3200.0, 2900.0],
            "max_elevation": [3400.0, 3300.0, 3100.0],
            "min_elevation": [2600.0, 3100.0, 2700.0],
        },
        geometry=boxes,
        crs=4326,
    )


def rows(*given: tuple[str, float, float, float]) -> pd.DataFrame:
    """A French inventory: GLIMS id, area (km2), mean elevation (m), longitude."""
    found = pd.DataFrame(given, columns=["GLIMS_ID", "Area", "MEAN_Pixel", "x_coord"])
    return found.assign(MIN_Pixel=2500, MAX_Pixel=3500, Annee=1985, y_coord=45.005)


def test_outlines_of_one_id_share_its_area_and_move_with_it() -> None:
    found = obs.inventories(rows(("G1", 6.0, 3000.0, 7.01)), "glims", outlines=two_parts()).set_index("glacier_id")
    assert found["area_m2"].to_dict() == pytest.approx({"a": 4.5e6, "b": 1.5e6})
    assert found.loc["b", "mean_elevation"] - found.loc["a", "mean_elevation"] == pytest.approx(200)
    assert set(found["year"]) == {1985}


def test_a_lone_row_of_the_size_of_one_part_is_that_part() -> None:
    found = obs.inventories(rows(("G1", 2.8, 3000.0, 7.01)), "glims", outlines=two_parts())
    assert found[["glacier_id", "area_m2"]].to_numpy().tolist() == [["a", 2.8e6]]


def test_outlines_stay_as_they_are() -> None:
    shapes = two_parts().astype({"glims_id": object})  # as older pandas holds text
    obs.inventories(rows(("G1", 2.8, 3000.0, 7.01)), "glims", outlines=shapes)
    assert shapes["glims_id"].tolist() == ["G1", "G1", "G2"]


def test_a_row_with_the_id_of_a_glacier_elsewhere_goes_where_it_lies() -> None:
    inventory = rows(("G1", 4.2, 3000.0, 7.01), ("G1", 2.2, 2950.0, 7.31), ("", 9.0, 3000.0, 8.0))
    found = obs.inventories(inventory, "glims", outlines=two_parts())
    assert found.set_index("glacier_id")["area_m2"]["c"] == pytest.approx(2.2e6)
    assert found.attrs["dropped_rows"] == 1


def test_the_inventory_of_1967_71_is_in_square_metres_and_has_its_axes_swapped(
    shared: Path, french: gpd.GeoDataFrame
) -> None:
    found = obs.inventories(table(shared, "1967-71"), "glims", outlines=french, year=1969).set_index("glacier_id")
    assert found["area_m2"].sum() / 1e6 == pytest.approx(365.4, abs=0.5)  # 369 km2, Gardent et al. 2014
    assert found.loc["RGI60-11.03643", "area_m2"] == 31849100.0  # Mer de Glace, under the id of Leschaux
    assert found.loc["RGI60-11.03674", "area_m2"] == 3544970.0  # Saint Sorlin, without id
    assert set(found["year"]) == {1969}


def test_inventories_without_numbers_find_their_glaciers(shared: Path, french: gpd.GeoDataFrame) -> None:
    total = {}
    for name in ("1985", "2003", "2003_ID_massif", "2015"):
        found = obs.inventories(table(shared, name), "glims", outlines=french)
        total[name] = (len(found), round(float(found["area_m2"].sum()) / 1e6, 1))
        assert found["mean_elevation"].between(found["min_elevation"], found["max_elevation"]).mean() > 0.95
    assert total == {"1985": (659, 345.7), "2003": (660, 304.0), "2003_ID_massif": (660, 304.4), "2015": (457, 230.9)}
    mahure = obs.inventories(table(shared, "2003"), "glims", outlines=french).set_index("glacier_id")
    assert mahure.loc["RGI60-11.03670", "area_m2"] == pytest.approx(2.3921e6)  # number 3520 in the table


def test_the_smb_inventories_tell_the_slopes_of_tongues(shared: Path, french: gpd.GeoDataFrame) -> None:
    found = obs.inventories(table(shared, "Rabatel_30_2015"), "glims", outlines=french, year=2015)
    assert (len(found), int(found["slope20"].notna().sum())) == (32, 32)
    mer_de_glace = found.set_index("glacier_id").loc["RGI60-11.03643"]
    assert (mer_de_glace["area_m2"], mer_de_glace["slope20"]) == pytest.approx((28.869e6, 6.9))
    known = obs.merged([found])
    assert known is not None
    slope = french.set_index("glacier_id")["mean_slope"]
    filled = obs.estimated_slope20(pd.concat([known, obs.of_outlines(french, 2015)]), slope)
    assert filled.attrs["slope20_ratio"] == pytest.approx(0.92, abs=0.1)


def test_massifs_have_one_spelling(french: gpd.GeoDataFrame) -> None:
    counts = french["subregion"].value_counts()
    assert (len(counts), int(counts["Aiguilles d'Arves"]), int(counts["Ecrins"])) == (13, 7, 310)
    assert "" not in counts.index
    accented = french.rename(columns={"subregion": "Massif"}).assign(GLIMS_ID=french["glims_id"])
    accented["Massif"] = "Haute Vallée de l'Isère"
    again = outlines.normalize(accented.iloc[:1], "glims")
    assert list(again["subregion"]) == ["Haute Vallee de l'Isere"]


def own(**columns: Any) -> pd.DataFrame:
    row = {"glacier_id": "g", "year": 2000, "area_m2": 1e6, "mean_elevation": 3000.0, "max_elevation": 3300.0}
    return pd.DataFrame([row | {"slope20": 12.0} | columns])


def test_of_one_year_the_first_that_states_a_number_counts() -> None:
    first, second = own(slope20=np.nan), own(area_m2=1.1e6)
    read = [obs.inventories(one, "glacierscale") for one in (first, second)]
    found = obs.merged(read)
    assert found is not None
    assert found[["area_m2", "slope20"]].to_numpy().tolist() == [[1e6, 12.0]]
    assert obs.merged([]) is None


@pytest.mark.parametrize("year", [2000, 2010])
def test_inventories_that_disagree_by_more_than_the_glacier_are_refused(year: int) -> None:
    read = [obs.inventories(one, "glacierscale") for one in (own(), own(year=year, area_m2=2.5e6))]
    with pytest.raises(
        ValueError, match=r"disagree by more than the glacier's size at 1 glaciers \(g in .*2.5e\+06 m2"
    ):
        obs.merged(read)


def test_a_later_inventory_in_another_unit_is_refused_but_glaciers_may_vanish() -> None:
    before = inventory(1985, *[(name, 3e6) for name in "abc"])
    with pytest.raises(ValueError, match=r"areas of the inventory of 2003 are 1e-06 of those before.*Check its unit"):
        obs.merged([before, inventory(2003, *[(name, 3.0) for name in "abc"])])
    gone = obs.merged([before, inventory(2003, ("a", 0.0), ("b", 1e3), ("c", 2e6))])
    assert gone is not None
    assert gone[gone.year == 2003]["area_m2"].tolist() == [0.0, 1e3, 2e6]


def inventory(year: int, *glaciers: tuple[str, float]) -> pd.DataFrame:
    """Areas of some glaciers, m2."""
    found = pd.DataFrame(glaciers, columns=["glacier_id", "area_m2"]).assign(year=year)
    return obs.inventories(found.assign(mean_elevation=3000, max_elevation=3300, slope20=20), "glacierscale")


def test_a_glacier_that_an_inventory_gives_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="1 glaciers are in the inventory twice, such as g in 2000; keep one row"):
        obs.inventories(pd.concat([own(), own()]), "glacierscale")


def test_impossible_inventories_are_refused(shared: Path, french: gpd.GeoDataFrame) -> None:
    given = table(shared, "Rabatel_30_2015")
    for change, message in (
        ({"Area": given["Area"] * 1e6}, "32 glaciers have an impossible area_m2"),
        ({"MEAN_Pixel": given["MEAN_Pixel"] * 3.28}, "impossible mean_elevation"),
        ({"slope20_evo": 120.0}, "impossible slope20"),
    ):
        with pytest.raises(ValueError, match=message):
            obs.inventories(given.assign(**change), "glims", outlines=french)
    with pytest.raises(ValueError, match="the inventory lacks area_m2; it has Perimeter"):
        obs.inventories(given.drop(columns="Area"), "glims", outlines=french)
    with pytest.raises(ValueError, match="give the outlines"):
        obs.inventories(given, "glims")
    with pytest.raises(ValueError, match="unknown inventory convention 'rgi'"):
        obs.inventories(given, "rgi")
    with pytest.raises(ValueError, match="the inventory lacks glacier_id"):
        obs.inventories(given, "glacierscale")
