"""The page: what it says, what it refuses, and how it behaves in a browser."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale.reporting import evolution, ice_maps, page, summary
from tests.reporting import evolving

FACTS = {
    "Catalogue": [{"entry": "outlines", "licence": "CC-BY 4.0", "citation": "RGI Consortium (2017)"}],
    "Options": {"train": {"net": "mlp", "members": 4}},
    "Versions": {"glacierscale": "0.1.0"},
}
HARM = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def rendered(made):
    """Render the made inputs, some of them replaced."""

    @cache
    def usual() -> str:
        return render(made.reconstruction())

    def render(data: xr.Dataset | None = None, **changes) -> str:
        if data is None and not changes:
            return usual()
        data = made.reconstruction() if data is None else data
        given = {
            "predictions": made.predictions(data),
            "scores": made.scores(),
            "facts": FACTS,
            "title": "Oetztal",
        } | changes
        return page.render(data, given.pop("predictions"), given.pop("scores"), **given)

    return render


def words(html: str) -> str:
    body = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_the_first_screen_says_what_where_when_and_how_much(made, rendered):
    data = made.reconstruction()
    text = words(rendered(data))
    mean = summary.regional_series(data).attrs["mean"] / 1000
    for said in (
        "Oetztal Alps",
        "20 glaciers",
        "1953–2014",
        "45 observed glacier-years",
        "reconstructed by the perceptron (MLP) (4 ens",
    ):
        assert said in text
    assert f"{mean:.2f} m w.e. per year".replace("-", "−") in text


def test_the_best_of_a_column_is_marked(rendered):
    html = rendered()
    assert "<strong>0.310</strong>" in html
    assert "<strong>95</strong>" in html  # nearer 90 than 80 is
    assert "<strong>0.350</strong>" not in html


def test_only_the_largest_glaciers_travel_in_the_page_and_it_says_so(made, rendered):
    data = made.reconstruction(glaciers=summary.MOST_GLACIERS + 20)
    embedded = summary.embedded_series(data, made.predictions(data))
    most = summary.MOST_GLACIERS
    areas = np.sort(data.area_m2.values)[::-1]
    assert [g["area"] for g in embedded["glaciers"]] == [round(float(a) / 1e6, 2) for a in areas[:most]]
    assert f"The {most} largest glaciers with values, of 320" in words(rendered(data))


def test_sections_without_data_are_left_out(made, rendered):
    table = made.scores()
    html = rendered(scores=table[~table.metric.str.startswith("coverage")], coefficients=pd.DataFrame())
    assert 'id="calibration"' not in html
    assert 'id="coefficients"' not in html
    assert 'id="coefficients"' in rendered(
        coefficients=pd.DataFrame({"scheme": ["logo"], "fold": ["a"], "predictor": ["cpdd"], "effect": [-200.0]})
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d, p, s: (d.drop_vars("smb_member"), p, s), "smb_member: missing"),
        (lambda d, p, s: (d.assign(smb=d.smb * np.nan).assign(smb=lambda x: x.smb.assign_attrs(units="kg m-2")), p, s),
         "holds no finite smb"),
        (lambda d, p, s: (d.isel(glacier=slice(0, 0)), p, s), "holds no finite smb"),
        (lambda d, p, s: (d, p.drop(columns="observed"), s), r"predictions table lacks the columns \['observed'\]"),
        (lambda d, p, s: (d, p.iloc[:0], s), "predictions table is empty"),
        (lambda d, p, s: (d, p.assign(observed=np.nan), s), "no row with finite observed and predicted"),
        (lambda d, p, s: (d, p, s.drop(columns=["low", "high"])), r"scores table lacks the columns \['low', 'high'\]"),
        (lambda d, p, s: (d, p, s.iloc[:0]), "scores table is empty"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_what_to_do(spoil, said, made):
    data = made.reconstruction(glaciers=3)
    bad = spoil(data, made.predictions(data), made.scores())
    with pytest.raises(ValueError, match=said):
        page.render(*bad, facts=FACTS, title="t")


def test_bad_backgrounds_are_refused(rendered):
    flat = xr.DataArray(np.zeros((3, 3)), dims=("y", "x"))
    with pytest.raises(ValueError, match="expected \\(y, x\\) with x and y coordinates and crs_wkt"):
        rendered(elevation=flat)
    import geopandas as gpd

    nameless = gpd.GeoDataFrame({"name": ["a"]}, geometry=gpd.points_from_xy([1], [1]), crs="EPSG:4326")
    with pytest.raises(ValueError, match="expected glacier_id and geometry in EPSG:4326"):
        rendered(outlines=nameless)


def test_names_from_data_are_text_everywhere(made, rendered):
    data = made.reconstruction(glaciers=4)
    names = data.glacier_id.values.astype(object)
    names[0] = HARM
    data = data.assign(glacier_id=("glacier", names.astype(str)))
    data.attrs |= {"region": HARM, "net": HARM}
    table = made.predictions(data).replace({"logo": HARM, "lasso": HARM})
    coefficients = pd.DataFrame({"scheme": [HARM], "fold": [0], "predictor": [HARM], "effect": [1.0]})
    facts = {HARM: {HARM: [HARM]}, "list": [{HARM: HARM}]}
    html = rendered(
        data,
        predictions=table,
        scores=made.scores().replace("lasso", HARM),
        coefficients=coefficients,
        facts=facts,
        title=HARM,
    )
    assert html.count("<script") == 2  # the data and the code of the page
    assert html.count("</script") == 2
    assert "<img" not in html


def test_nothing_in_the_page_points_outside(rendered):
    html = rendered()
    assert "default-src 'none'" in html
    links = re.findall(r"""(?:src|href|action)=["']([^"']+)["']|url\(([^)]+)\)|@import""", html)
    assert all(link.startswith(("#", "data:")) for pair in links for link in pair if link)


def opened(browser, html: str, file: Path):
    file.write_text(html, encoding="utf-8")
    tab, said, asked = browser.new_page(viewport={"width": 1200, "height": 900}), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    return tab, said, asked


def test_choosing_a_glacier_redraws_its_series_without_errors_or_requests(browser, tmp_path, made, rendered):
    data = made.reconstruction()
    tab, said, asked = opened(browser, rendered(data), tmp_path / "page.html")
    chart = tab.locator("#chart")
    assert chart.locator("rect.bar").count() == made.years.size
    assert chart.locator("circle.observed").count() == 15  # observed glaciers come first
    before = chart.inner_html()
    last = tab.locator("#pick option").last
    tab.select_option("#pick", last.get_attribute("value"))
    assert chart.inner_html() != before
    assert chart.locator("circle.observed").count() == 0
    assert "no observation" in tab.locator("#about").inner_text()
    chosen = int(last.get_attribute("value"))
    largest = data.glacier_id.values[np.argsort(-data.area_m2.values)[chosen]]
    assert str(largest) in tab.locator("#about").inner_text()
    tab.click("#back")
    assert str(largest) not in tab.locator("#about").inner_text()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_gaps_in_a_series_are_left_blank_in_the_browser(browser, tmp_path, made, rendered):
    data = made.reconstruction(glaciers=1)
    data["smb"][0, 10:15] = np.nan
    tab, said, _ = opened(browser, rendered(data), tmp_path / "page.html")
    assert tab.locator("#chart rect.bar").count() == made.years.size - 5
    assert "NaN" not in tab.locator("#chart").inner_html()
    assert said == []


def test_a_glacier_is_called_by_its_name_where_it_has_one(browser, tmp_path, made, rendered):
    data = made.reconstruction(glaciers=2)
    data = data.assign(glacier_name=("glacier", np.array(["Hintereisferner", ""])))
    tab, said, _ = opened(browser, rendered(data), tmp_path / "page.html")
    named, nameless = data.glacier_id.values.tolist()
    found = {text.rpartition(" · ")[0] for text in tab.locator("#pick option").all_inner_texts()}
    assert found == {f"Hintereisferner, {named}", nameless}
    tab.select_option("#pick", label=next(t for t in tab.locator("#pick option").all_inner_texts() if named in t))
    assert tab.locator("#about").inner_text().startswith(f"Hintereisferner, {named}, ")
    assert said == []


def test_a_harmful_name_stays_a_name_in_the_browser(browser, tmp_path, made, rendered):
    data = made.reconstruction(glaciers=2)
    data = data.assign(glacier_id=("glacier", np.array([HARM, "b"])), glacier_name=("glacier", np.array(["", HARM])))
    tab, said, _ = opened(browser, rendered(data, title=HARM), tmp_path / "page.html")
    assert tab.title() == HARM
    assert all(HARM in text for text in tab.locator("#pick option").all_inner_texts())
    assert tab.locator("img").count() == 0
    assert said == []


def test_tables_fit_a_usual_screen_and_only_tables_and_figures_scroll_on_a_narrow_one(browser, rendered, tmp_path):
    tab, _, _ = opened(browser, rendered(), tmp_path / "page.html")
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).length"
    assert tab.evaluate(wide) == 0
    tab.set_viewport_size({"width": 360, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(wide) > 0


def test_what_went_in_is_printed_as_tables_and_nested_lists(rendered):
    html = rendered()
    table = re.search(r'<table class="facts">.*?</table>', html, flags=re.DOTALL).group()
    assert re.findall(r"<th scope[^>]*>(.*?)</th>", table) == ["entry", "licence", "citation"]
    cells = [words(cell).strip() for cell in re.findall(r"<td>(.*?)</td>", table, flags=re.DOTALL)]
    assert cells == ["outlines", "CC-BY 4.0", "RGI Consortium (2017)"]
    assert re.search(r"<dt>train</dt><dd>\s*<dl>\s*<div><dt>net</dt>", html)


def test_the_level_of_the_intervals_and_the_hidden_year_are_explained_on_the_page(made, rendered):
    assert "with its 95 % block-bootstrap interval" in words(rendered())
    assert "falls back to the training mean" not in words(rendered())
    rows = [("loyo", "same_year_mean", name, value, 1.0, 2.0, 9) for name, value in
            {"rmse": 550.0, "rmse_told_the_year": 301.0}.items()]  # fmt: skip
    text = words(rendered(scores=pd.concat([made.scores(), pd.DataFrame(rows, columns=made.scores().columns)])))
    assert text.count("which this scheme hides from every model") == 1
    assert text.count("falls back to the training mean") == 1
    assert "one of them has the lowest RMSE in 1 of 2" in text


def test_tables_of_a_raster_run_need_their_columns_and_empty_ones_count_as_absent(made, rendered):
    tables = made.tables()
    with pytest.raises(ValueError, match=r"constraints table lacks the columns \['limit'\]"):
        rendered(more={"constraints": tables["constraints"].drop(columns="limit")})
    empty = rendered(more={name: table.iloc[:0] for name, table in tables.items()})
    assert empty == rendered()


@pytest.fixture(scope="module")
def raster_page(made, rendered, surfaces, tmp_path_factory) -> str:
    """A page with all that a raster run adds, and evolving glaciers."""
    folder = tmp_path_factory.mktemp("evolving")
    future = evolution.future(evolving.store(str(folder / "ice.zarr")).open(), {"method": "sia"})
    thickness = ice_maps.thickness([evolving.maps(str(folder / "ice_map_048.zarr"), ["G"], [1e6]).open()])
    return rendered(
        more=made.tables(), rasters=surfaces, aside=[("G<9>", "no ice " * 60)], future=future, thickness=thickness
    )


def test_sections_of_a_raster_run_say_what_their_tables_hold(raster_page):
    html, text = raster_page, words(raster_page)
    spaced = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "temp °C −10.0 to 8.0 −11.0 to 9.5 2.1 %" in spaced
    assert "precip" not in spaced[: spaced.index("1 glacier was set aside")]
    assert "1 glacier was set aside" in text
    assert "<strong>G&lt;9&gt;</strong>: no ice" in html
    assert "dSMB/dT ≤ 0" in text
    headings = re.findall(r'<h2 id="h-(\w+)"', html)
    assert headings[:3] == ["outside", "aside", "summary"]
    assert headings.index("future") == headings.index("glaciers") + 1
    assert "ice flows by the shallow-ice law" in text
    assert "RCP2.6 +4 K" in text
    assert [h for h in headings if h in ("surfaces", "profiles", "kinds", "physics", "importance")] == [
        "surfaces", "profiles", "kinds", "physics", "importance",
    ]  # fmt: skip
    assert set(re.findall(r'<a href="#(\w+)">', html)) <= set(re.findall(r' id="(\w+)"', html))


def test_a_raster_page_fits_its_screen_without_errors(browser, raster_page, tmp_path):
    tab, said, asked = opened(browser, raster_page, tmp_path / "page.html")
    tab.set_viewport_size({"width": 1280, "height": 900})
    bar = tab.locator("nav ul")
    assert bar.evaluate("bar => bar.scrollWidth - bar.clientWidth") <= 0
    tab.set_viewport_size({"width": 360, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
