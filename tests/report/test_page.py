"""The page: what it says, what it refuses, and how it behaves in a browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from glacierscale import schema
from glacierscale.report import page

FACTS = {
    "Catalogue": [{"entry": "outlines", "licence": "CC-BY 4.0", "citation": "RGI Consortium (2017)"}],
    "Options": {"train": {"net": "mlp", "members": 4}},
    "Versions": {"glacierscale": "0.1.0"},
}
YEARS = np.arange(1953, 2015)
HARM = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def reconstruction(glaciers: int = 20, members: int = 4, residual: float = 250.0) -> xr.Dataset:
    rng = np.random.default_rng(glaciers)
    member = rng.normal(-400, 500, (1, glaciers, YEARS.size)) + rng.normal(0, 80, (members, glaciers, YEARS.size))
    values = {
        "smb": member.mean(0),
        "smb_std": np.sqrt(member.var(0) + residual**2),
        "smb_member": member,
        "glacier_id": [f"RGI60-11.{n:05d}" for n in range(glaciers)],
        "unit_id": [f"RGI60-11.{n:05d}" for n in range(glaciers)],
        "lon": rng.uniform(10.7, 11.0, glaciers),
        "lat": rng.uniform(46.75, 46.95, glaciers),
        "area_m2": rng.uniform(2e5, 2e7, glaciers),
        "hydro_year": YEARS,
    }
    wanted = schema.RECONSTRUCTION.variables
    arrays = {
        name: xr.Variable(
            wanted[name].dims,
            np.asarray(value) if wanted[name].dtype == "string" else np.asarray(value, dtype=wanted[name].dtype),
            {"units": wanted[name].units} if wanted[name].units else {},
        )
        for name, value in values.items()
    }
    return xr.Dataset(arrays, attrs={"region": "Oetztal Alps", "net": "mlp"})


def predictions(data: xr.Dataset) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    ids = data.glacier_id.values.astype(str)[:3]
    rows = [
        ("logo", model, name, name, int(year), observed, observed + rng.normal(0, 300), 300.0)
        for name in ids
        for year in YEARS[:15]
        for observed in [rng.normal(-400, 500)]
        for model in ("lasso", "mlp", "temperature_index")
    ]
    names = ["scheme", "model", "fold", "glacier_id", "hydro_year", "observed", "predicted", "std"]
    return pd.DataFrame(rows, columns=names)


def scores(difference: tuple[float, float, float] = (-30.0, -50.0, -10.0), mlp: float = 310.0) -> pd.DataFrame:
    rows = [("logo", m, "rmse", v, v - 30, v + 30, 45) for m, v in
            {"lasso": 350.0, "mlp": mlp, "temperature_index": 340.0}.items()]  # fmt: skip
    rows += [("logo", "mlp", "coverage90", 0.8, 0.7, 0.9, 45), ("logo", "lasso", "coverage90", 0.95, 0.9, 1.0, 45)]
    rows += [("logo", "mlp", "rmse_difference_to_temperature_index", *difference, 45)]
    return pd.DataFrame(rows, columns=["scheme", "model", "metric", "value", "low", "high", "n"])


def rendered(data: xr.Dataset | None = None, **changes) -> str:
    data = reconstruction() if data is None else data
    given = {"predictions": predictions(data), "scores": scores(), "facts": FACTS, "title": "Oetztal"} | changes
    return page.render(data, given.pop("predictions"), given.pop("scores"), **given)


def words(html: str) -> str:
    body = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", body))


def test_the_region_of_one_glacier_has_the_uncertainty_of_that_glacier():
    data = reconstruction(glaciers=1)
    series = page.regional_series(data)
    np.testing.assert_allclose(series["mean"], data.smb[0], rtol=1e-5)
    np.testing.assert_allclose(series["std"], data.smb_std[0], rtol=1e-5)
    np.testing.assert_allclose(series["shared_std"], data.smb_std[0], rtol=1e-5)


def test_independent_residuals_average_out_over_equal_glaciers_and_shared_ones_do_not():
    data = reconstruction(glaciers=25, residual=300.0)
    data["smb_member"] = data.smb_member * 0 + data.smb
    data["smb_std"] = data.smb_std * 0 + 300
    data = data.assign_coords(area_m2=data.area_m2 * 0 + 1e6)
    series = page.regional_series(data)
    np.testing.assert_allclose(series["std"], 60.0, rtol=1e-5)
    np.testing.assert_allclose(series["shared_std"], 300.0, rtol=1e-5)
    np.testing.assert_allclose(series["cumulative_std"][-1], 60 * np.sqrt(YEARS.size), rtol=1e-5)


def test_what_members_share_does_not_average_out():
    data = reconstruction(residual=0.0)
    offset = xr.DataArray([-100.0, 100.0, -100.0, 100.0], dims="member")
    data["smb_member"] = offset + data.smb
    data["smb_std"] = data.smb_std * 0 + 100
    series = page.regional_series(data)
    np.testing.assert_allclose(series["std"], 100.0, rtol=1e-4)
    assert series.attrs["std"] == pytest.approx(100, rel=1e-4)
    np.testing.assert_allclose(series["cumulative_std"][-1], 100 * YEARS.size, rtol=1e-4)


def test_the_regional_mean_weighs_by_area_over_the_glaciers_that_have_a_value():
    data = reconstruction(glaciers=3)
    data = data.assign_coords(area_m2=("glacier", np.float32([1e6, 3e6, 9e6]), {"units": "m2"}))
    data["smb"][2, 0] = np.nan
    mean = page.regional_series(data)["mean"]
    assert mean[0] == pytest.approx(float(0.25 * data.smb[0, 0] + 0.75 * data.smb[1, 0]), rel=1e-5)
    assert mean[1] == pytest.approx(float(np.average(data.smb[:, 1], weights=[1, 3, 9])), rel=1e-5)


def test_blocks_of_glaciers_change_nothing(monkeypatch):
    data = reconstruction()
    whole = page.regional_series(data)
    monkeypatch.setattr(page, "_BLOCK", 3)
    xr.testing.assert_allclose(page.regional_series(data), whole)


@pytest.mark.parametrize(
    ("difference", "state", "said"),
    [
        ((-30.0, -50.0, -10.0), "ahead", "0.030 below that of the temperature-index null"),
        ((-10.0, -40.0, 20.0), "tie", "which includes zero: the two cannot be told apart"),
        ((25.0, 5.0, 45.0), "behind", "it loses to the null"),
        ((np.nan, np.nan, np.nan), "unknown", "was not compared"),
    ],
)
def test_the_verdict_follows_the_bootstrap_interval(difference, state, said):
    verdict = page.verdict(scores(difference), "logo")
    assert verdict["state"] == state
    assert said in verdict["text"]
    assert said in words(rendered(scores=scores(difference)))


def test_a_null_that_wins_is_named_as_the_winner():
    table = scores((60.0, 20.0, 90.0), mlp=345.0)
    same_year = pd.DataFrame([("logo", "same_year_mean", "rmse", 300.0, 280.0, 320.0, 45)], columns=table.columns)
    assert page.verdict(table, "logo")["text"].startswith("Temperature index has the lowest RMSE, 0.340")
    text = words(rendered(scores=pd.concat([table, same_year])))
    assert "Same-year mean has the lowest RMSE, 0.300" in text
    assert "one of them has the lowest RMSE in 1 of 1" in text


def test_the_first_screen_says_what_where_when_and_how_much():
    data = reconstruction()
    text = words(rendered(data))
    mean = page.regional_series(data).attrs["mean"] / 1000
    for said in ("Oetztal Alps", "20 glaciers", "1953–2014", "45 observed glacier-years", "with MLP"):
        assert said in text
    assert f"{mean:.2f} m w.e. per year".replace("-", "−") in text


def test_the_best_of_a_column_is_marked():
    html = rendered()
    assert "<strong>0.310</strong>" in html
    assert "<strong>95</strong>" in html  # nearer 90 than 80 is
    assert "<strong>0.350</strong>" not in html


def test_only_the_largest_glaciers_travel_in_the_page_and_it_says_so():
    data = reconstruction(glaciers=page.MOST_GLACIERS + 20)
    embedded = page._embedded(data, predictions(data))
    areas = np.sort(data.area_m2.values)[::-1]
    assert [g["area"] for g in embedded["glaciers"]] == [round(float(a) / 1e6, 2) for a in areas[: page.MOST_GLACIERS]]
    assert f"The {page.MOST_GLACIERS} largest glaciers with values, of 320" in words(rendered(data))


def test_observations_of_a_unit_reach_each_of_its_outlines():
    data = reconstruction(glaciers=3)
    parts = np.array(["RGI60-11.00000_d01", "RGI60-11.00000_d02", "RGI60-11.00002"])
    table = predictions(data)
    data = data.assign(glacier_id=("glacier", parts), unit_id=("glacier", [p.split("_")[0] for p in parts]))
    found = {g["id"]: len(g["observed"]) for g in page._embedded(data, table)["glaciers"]}
    assert found == dict.fromkeys(parts.tolist(), 15)


def test_sections_without_data_are_left_out():
    table = scores()
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
def test_bad_input_is_refused_with_what_to_do(spoil, said):
    data = reconstruction(glaciers=3)
    bad = spoil(data, predictions(data), scores())
    with pytest.raises(ValueError, match=said):
        page.render(*bad, facts=FACTS, title="t")


def test_bad_backgrounds_are_refused():
    flat = xr.DataArray(np.zeros((3, 3)), dims=("y", "x"))
    with pytest.raises(ValueError, match="expected \\(y, x\\) with x and y coordinates and crs_wkt"):
        rendered(elevation=flat)
    import geopandas as gpd

    nameless = gpd.GeoDataFrame({"name": ["a"]}, geometry=gpd.points_from_xy([1], [1]), crs="EPSG:4326")
    with pytest.raises(ValueError, match="expected glacier_id and geometry in EPSG:4326"):
        rendered(outlines=nameless)


def test_names_from_data_are_text_everywhere():
    data = reconstruction(glaciers=4)
    names = data.glacier_id.values.astype(object)
    names[0] = HARM
    data = data.assign(glacier_id=("glacier", names.astype(str)))
    data.attrs |= {"region": HARM, "net": HARM}
    table = predictions(data).replace({"logo": HARM, "lasso": HARM})
    coefficients = pd.DataFrame({"scheme": [HARM], "fold": [0], "predictor": [HARM], "effect": [1.0]})
    facts = {HARM: {HARM: [HARM]}, "list": [{HARM: HARM}]}
    html = rendered(
        data,
        predictions=table,
        scores=scores().replace("lasso", HARM),
        coefficients=coefficients,
        facts=facts,
        title=HARM,
    )
    assert html.count("<script") == 2  # the data and the code of the page
    assert html.count("</script") == 2
    assert "<img" not in html


def test_nothing_in_the_page_points_outside():
    html = rendered()
    assert "default-src 'none'" in html
    links = re.findall(r"""(?:src|href|action)=["']([^"']+)["']|url\(([^)]+)\)|@import""", html)
    assert all(link.startswith(("#", "data:")) for pair in links for link in pair if link)


@pytest.fixture
def browser(monkeypatch):
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH; install one to test the page in a browser")
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=quiet)
        yield running
        running.close()


def opened(browser, html: str, file: Path):
    file.write_text(html, encoding="utf-8")
    tab, said, asked = browser.new_page(viewport={"width": 1200, "height": 900}), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    return tab, said, asked


def test_choosing_a_glacier_redraws_its_series_without_errors_or_requests(browser, tmp_path):
    data = reconstruction()
    tab, said, asked = opened(browser, rendered(data), tmp_path / "page.html")
    chart = tab.locator("#chart")
    assert chart.locator("rect.bar").count() == YEARS.size
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


def test_gaps_in_a_series_are_left_blank_in_the_browser(browser, tmp_path):
    data = reconstruction(glaciers=1)
    data["smb"][0, 10:15] = np.nan
    tab, said, _ = opened(browser, rendered(data), tmp_path / "page.html")
    assert tab.locator("#chart rect.bar").count() == YEARS.size - 5
    assert "NaN" not in tab.locator("#chart").inner_html()
    assert said == []


def test_a_harmful_name_stays_a_name_in_the_browser(browser, tmp_path):
    data = reconstruction(glaciers=2)
    data = data.assign(glacier_id=("glacier", np.array([HARM, "b"])))
    tab, said, _ = opened(browser, rendered(data, title=HARM), tmp_path / "page.html")
    assert tab.title() == HARM
    assert any(HARM in text for text in tab.locator("#pick option").all_inner_texts())
    assert tab.locator("img").count() == 0
    assert said == []


def test_a_narrow_screen_does_not_scroll_sideways(browser, tmp_path):
    tab, _, _ = opened(browser, rendered(), tmp_path / "page.html")
    tab.set_viewport_size({"width": 360, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
