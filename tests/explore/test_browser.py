"""The dashboard as people use it: by clicks and keys in a browser, on a server of its own."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from glacierscale.exploration import looks, mercator
from glacierscale.exploration.atlas import Atlas, open_atlas
from tests.explore import scale
from tests.explore.browsing import PHONE, Served, Tab, close, proxy, served

GLACIERS = 12
ASIDE = 3


@pytest.fixture(scope="module")
def run(small_folder: str) -> str:
    """A run with terrain, balances and futures; one glacier was set aside."""
    return small_folder


@pytest.fixture(scope="module")
def unfinished(run: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, whose future lacks a block."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("unfinished") / "run")
    next((folder / "ice.zarr/.blocks").glob("glacier-*.json")).unlink()
    return folder


@pytest.fixture(scope="module")
def atlas(run: str) -> Atlas:
    return open_atlas(run)


@pytest.fixture(scope="module")
def server(run: str) -> Iterator[Served]:
    with served(run) as running:
        yield running


@pytest.fixture
def tab(browser: Any, server: Served) -> Iterator[Tab]:
    """The page, which must neither complain nor ask anything from outside."""
    opened = Tab(browser, server.url)
    yield opened
    assert opened.wrong == []
    assert opened.outside == []
    opened.page.close()


def centre(atlas: Atlas, row: int) -> tuple[float, float]:
    """A point inside the outline of a glacier, on the map."""
    outlines = atlas.outlines([row], tolerance_m=0)
    assert outlines is not None
    inside = outlines.geometry.iloc[0].representative_point()
    x, y = mercator.to_metres(inside.x, inside.y, mercator.centre_of(atlas.glaciers.lon))
    return float(x), float(y)


def name_of(atlas: Atlas, row: int) -> str:
    return str(atlas.glaciers.glacier_id[row])


def test_the_page_tells_the_region_and_colours_every_glacier(tab: Tab, atlas: Atlas) -> None:
    assert atlas.title in tab.text
    assert "12 glaciers" in tab.text
    assert "1 set aside" in tab.text
    last = atlas.values("smb")
    tab.wait(lambda: close(tab.column("map", "value"), last), "values of the last year")
    assert tab.years("balance") == [2020]
    region = atlas.region("smb")
    tab.wait(lambda: close(tab.column("balance", "smb"), region.smb), "series of the region")
    tab.wait(
        lambda: close(tab.column("balance", "low"), region.shared_low), "what is drawn with it"
    )  # as cautious as the band of the sum
    tab.wait(lambda: close(tab.column("cumulative", "sum"), region.cumulative), "what is drawn with it")
    assert tab.page.title() == f"{atlas.title} · glacierscale"


def test_a_click_on_a_glacier_shows_its_series_and_who_it_is(tab: Tab, atlas: Atlas) -> None:
    for row in (7, ASIDE):
        tab.click("map", *centre(atlas, row))
        tab.wait(lambda row=row: f"{name_of(atlas, row)} " in tab.text, "header of the glacier")  # type: ignore[misc]
        told = atlas.balance(row)
        tab.wait(lambda told=told: close(tab.column("balance", "smb"), told.smb), "its series")  # type: ignore[misc]
        tab.wait(lambda told=told: close(tab.column("balance", "low"), told.low), "its band")  # type: ignore[misc]
        sums = told.cumulative_high
        tab.wait(lambda sums=sums: close(tab.column("cumulative", "high"), sums), "its sum")  # type: ignore[misc]
    assert "Set aside: no climate there" in tab.text
    tab.page.get_by_role("button", name="all glaciers").click()
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.region("smb").smb), "the region again")


def test_a_click_beside_all_glaciers_leads_back_to_the_region(tab: Tab, atlas: Atlas) -> None:
    tab.click("map", *centre(atlas, 2))
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(2).smb), "series of the glacier")
    corner = tab.page.evaluate(
        "() => { const m = Bokeh.documents[0].get_model_by_name('map'); return [m.x_range.start, m.y_range.start] }"
    )
    x, y = tab.pixel("map", *corner)
    tab.page.mouse.click(x + 4, y - 4)
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.region("smb").smb), "series of the region")


def test_the_year_is_chosen_by_slider_and_by_a_click_into_a_series(tab: Tab, atlas: Atlas) -> None:
    slider = tab.page.get_by_role("slider", name="Year").first
    slider.focus()
    for _ in range(9):
        tab.page.keyboard.press("ArrowLeft")
    tab.wait(lambda: close(tab.column("map", "value"), atlas.values("smb", year=2011)), "the map of 2011")
    assert tab.years("balance") == tab.years("cumulative") == [2011]
    tab.wait(lambda: "Year: 2011" in tab.text, "the year in words")
    tab.click("balance", 2003.2, 0.0)
    tab.wait(lambda: close(tab.column("map", "value"), atlas.values("smb", year=2003)), "the map of 2003")
    assert tab.years("balance") == [2003]
    assert "Year: 2003" in tab.text
    assert slider.get_attribute("aria-valuetext") == "2003"


def test_a_member_recolours_the_map_and_redraws_the_series(tab: Tab, atlas: Atlas) -> None:
    tab.click("map", *centre(atlas, 5))
    tab.choose("Member", "4")
    tab.wait(lambda: close(tab.column("map", "value"), atlas.values("smb", member=4)), "the map of the member")
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(5, 4).smb), "the series of the member")
    tab.page.get_by_role("button", name="all glaciers").click()
    region = atlas.region("smb", member=4)
    tab.wait(lambda: close(tab.column("balance", "smb"), region.smb), "the region of the member")
    tab.wait(lambda: close(tab.column("cumulative", "sum"), region.cumulative), "what is drawn with it")
    tab.tab("Future")
    volume = atlas.region("volume", scenarios=["ssp126"], member=4)["mean"]
    tab.wait(lambda: close(tab.column("evolution", "mean"), volume), "the future of the member")
    tab.wait(lambda: "Future climates: member 4 alone" in tab.text, "which member that is")
    tab.choose("Member", "mean")
    volume = atlas.region("volume", scenarios=["ssp126"])["mean"]
    tab.wait(lambda: close(tab.column("evolution", "mean"), volume), "the future of all members")
    tab.wait(lambda: "Future climates: mean, and 5 to 95 % of the members" in tab.text, "that these are all")


def test_the_map_shows_a_future_of_another_climate(tab: Tab, atlas: Atlas) -> None:
    tab.choose("Colour by", "Volume of ice")
    wanted = atlas.values("volume", year=2100, scenario="ssp126")
    tab.wait(lambda: close(tab.column("map", "value"), wanted), "volumes")
    tab.wait(lambda: "Year: 2100" in tab.text, "the year")
    tab.choose("Colour by", "Area of the outline")
    tab.wait(lambda: "Year:" not in tab.text, "no year where there is none to choose")
    tab.choose("Colour by", "Volume of ice")
    tab.choose("Future climate", "SSP5-8.5")
    wanted = atlas.values("volume", year=2100, scenario="ssp585")
    tab.wait(lambda: close(tab.column("map", "value"), wanted), "volumes of the other climate")
    bar = "() => Bokeh.documents[0].get_model_by_name('map').below.map((one) => one.title).join('')"
    assert tab.page.evaluate(bar) == "Volume of ice (km³)"


def test_futures_of_a_glacier_are_drawn_for_the_climates_that_are_ticked(
    tab: Tab, atlas: Atlas, tmp_path: Path
) -> None:
    tab.click("map", *centre(atlas, 9))
    tab.page.get_by_label("Balance", exact=True).press("ArrowRight")
    told = atlas.evolution(9, "volume")
    first = told[told.scenario == "ssp126"]
    tab.wait(lambda: close(tab.column("evolution", "mean"), first["mean"]), "the future of the glacier")
    # A line and a band for each of three; they are sent one after the other.
    tab.wait(lambda: len(tab.columns("evolution", "mean")) == 6, "three climates")
    tab.page.get_by_label("SSP1-2.6", exact=True).uncheck()
    tab.wait(lambda: len(tab.columns("evolution", "mean")) == 4, "two climates")
    area = atlas.evolution(9, "area")
    tab.choose("Quantity", "Area")
    wanted = area[area.scenario == "ssp245"]["high"]
    tab.wait(lambda: close(tab.column("evolution", "high"), wanted), "areas")
    tab.picture(tmp_path / "future.png")


def test_a_glacier_is_found_by_a_part_of_its_name(tab: Tab, atlas: Atlas) -> None:
    box = tab.page.get_by_label("Find a glacier")
    part = name_of(atlas, 10)[-3:]
    box.press_sequentially(part)
    tab.wait(lambda: name_of(atlas, 10) in tab.text, "the list of what was found")
    tab.page.get_by_text(name_of(atlas, 10)).first.click()
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(10).smb), "the series of what was chosen")
    box.fill("no such")
    said = tab.page.get_by_role("status").filter(has_text="No glacier has “no such” in its name or identifier.")
    tab.wait(said.is_visible, "that there is none, said to screen readers too")
    box.fill("RGI60")
    tab.wait(tab.page.get_by_role("status").filter(has_text="12 glaciers").is_visible, "how many were found")
    box.press("Tab")  # into the list, which chooses nothing yet
    for row in atlas.find("RGI60")[:2]:
        tab.page.keyboard.press("ArrowDown")
        told = atlas.balance(row).smb
        tab.wait(lambda told=told: close(tab.column("balance", "smb"), told), "the next of the list")  # type: ignore[misc]
    box.fill(name_of(atlas, 4))
    box.press("Enter")
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(4).smb), "the series of what was typed")
    x, y = tab.pixel("map", *centre(atlas, 4))
    assert 60 < x < 760
    assert 90 < y < 800


def test_a_pointer_over_a_glacier_tells_its_name_and_value(tab: Tab, atlas: Atlas) -> None:
    tab.page.mouse.move(*tab.pixel("map", *centre(atlas, 6)))
    value = f"{atlas.values('smb')[6]:.2f}".replace("-", "\N{MINUS SIGN}")
    tab.wait(lambda: f"{name_of(atlas, 6)} {value} m w.e." in tab.text, "the name and value under the pointer")


def test_small_numbers_under_a_pointer_keep_their_digits(tab: Tab, atlas: Atlas) -> None:
    tab.click("map", *centre(atlas, 9))
    tab.tab("Future")
    tab.choose("Quantity", "Rise of the sea level since 2003")
    rise = atlas.evolution(9, "sea_level", ["ssp585"]).set_index("hydro_year")
    tab.wait(lambda: close(tab.column("evolution", "mean", 4), rise["mean"]), "the rise")
    tab.page.mouse.move(*tab.pixel("evolution", 2050, rise["mean"][2050]))
    low, high = (float(f"{rise[band][2050]:.2g}") for band in ("low", "high"))
    assert 0 < low < 0.01
    tab.wait(lambda: f"({low} to {high})" in tab.text, "the band in two digits")


def test_every_control_has_a_name_for_those_who_do_not_see_it(tab: Tab, atlas: Atlas) -> None:
    tab.click("map", *centre(atlas, 9))
    tab.wait(tab.page.get_by_role("button", name="all glaciers").is_visible, "the way back")
    always = {"slider", "combobox", "textbox", "radio", "button"}

    def counted(**of: Any) -> dict[str, int]:
        roles = (*sorted(always), "checkbox", "listbox", "spinbutton")
        found = {role: tab.page.get_by_role(role, **of).count() for role in roles}
        return {role: count for role, count in found.items() if count}

    for page, more in {"Balance": set(), "Future": {"checkbox"}, "Maps": set()}.items():
        tab.tab(page)
        tab.wait(tab.page.get_by_role("radio", name=page, checked=True).is_visible, page)
        expected = always | more
        tab.wait(lambda expected=expected: counted().keys() == expected, f"all controls of {page}")  # type: ignore[misc]
        tab.wait(lambda: counted(name=re.compile(r"\w")) == counted(), f"names of all controls of {page}")
    box = tab.page.get_by_label("Find a glacier")
    box.press_sequentially("RGI60")
    tab.wait(tab.page.get_by_role("listbox", name="Glaciers found").is_visible, "the list, by its name")


def test_the_map_keeps_equal_scales_when_the_window_changes(tab: Tab) -> None:
    ratio = """() => {
      const m = Bokeh.documents[0].get_model_by_name("map")
      return (m.x_range.end - m.x_range.start) / m.inner_width / ((m.y_range.end - m.y_range.start) / m.inner_height)
    }"""
    for size in ({"width": 1400, "height": 900}, {"width": 1000, "height": 700}, {"width": 1500, "height": 650}):
        tab.page.set_viewport_size(size)
        tab.wait(lambda: abs(tab.page.evaluate(ratio) - 1) < 0.01, "equal scales")
    home = len(tab.columns("map", "value")[0])
    tab.page.mouse.move(*tab.pixel("map", *tab.page.evaluate(
        "() => { const m = Bokeh.documents[0].get_model_by_name('map'); return [m.x_range.end, m.y_range.end] }"
    )))  # fmt: skip
    assert home == GLACIERS


_PAINTED = """() => {
  const found = [], canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true})
  const hex = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1)
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data
    return alpha < 255 ? null : "#" + [red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")
  }
  const walk = (node, behind) => {
    for (const one of node.childNodes) {
      if (one.nodeType == 3 && one.textContent.trim())
        found.push([one.textContent.trim(), hex(getComputedStyle(one.parentElement ?? node.host).color), behind])
      if (one.nodeType != 1 || ["STYLE", "SCRIPT"].includes(one.tagName)) continue
      if (getComputedStyle(one).display == "none") continue
      const own = hex(getComputedStyle(one).backgroundColor) ?? behind
      if (one.shadowRoot) walk(one.shadowRoot, own)
      walk(one, own)
    }
  }
  walk(document.body, null)
  return found
}"""
"""All texts with their colours and those behind them, as #rrggbb."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_can_be_read_in_the_scheme_that_the_browser_prefers(
    browser: Any, server: Served, atlas: Atlas, scheme: str, tmp_path: Path
) -> None:
    tab = Tab(browser, server.url, scheme=scheme)
    tab.click("map", *centre(atlas, ASIDE))
    tab.wait(lambda: "Set aside: no climate there" in tab.text, "the glacier")
    tab.tab("Future")
    tab.page.get_by_label("Find a glacier").press_sequentially("RGI60")
    tab.wait(tab.page.get_by_role("listbox", name="Glaciers found").is_visible, "the list of what was found")
    wanted = {"Set aside: no climate there", "Colour by", "all glaciers", "SSP1-2.6", name_of(atlas, 10)}

    def painted() -> list[list[str]]:
        return [one for one in tab.page.evaluate(_PAINTED) if one[2]]

    tab.wait(lambda: wanted < {text for text, _, _ in painted()}, "all words")
    for text, ink, paper in painted():
        assert looks.contrast(ink, paper) >= 4.5, (text, ink, paper)
        assert (looks.contrast(paper, "#000000") < 3) == (scheme == "dark"), (text, paper)
    ground = "() => Bokeh.documents[0].get_model_by_name('map').background_fill_color"
    for turned in (scheme, *{"light", "dark"} - {scheme}, scheme):
        tab.page.emulate_media(color_scheme=turned)
        colour = looks.DARK[looks.GROUND] if turned == "dark" else looks.GROUND
        tab.wait(lambda colour=colour: tab.page.evaluate(ground) == colour, f"a {turned} map")  # type: ignore[misc]
    tab.picture(tmp_path / f"{scheme}.png")
    assert tab.wrong == []
    tab.page.close()


def test_two_people_look_at_different_things_at_once(browser: Any, server: Served, tab: Tab, atlas: Atlas) -> None:
    other = Tab(browser, server.url)
    tab.click("map", *centre(atlas, 1))
    other.click("map", *centre(atlas, 8))
    other.choose("Colour by", "Area")
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(1).smb), "the one")
    other.wait(lambda: close(other.column("balance", "smb"), atlas.balance(8).smb), "the other")
    tab.wait(lambda: close(tab.column("map", "value"), atlas.values("smb")), "what is drawn with it")
    other.wait(lambda: close(other.column("map", "value"), atlas.values("area", year=2100)), "areas")
    other.page.close()


def test_on_a_phone_nothing_scrolls_sideways_and_a_tap_chooses(browser: Any, server: Served, atlas: Atlas) -> None:
    tab = Tab(browser, server.url, PHONE)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert tab.page.locator("meta[name=viewport]").count() == 1
    tab.click("map", *centre(atlas, 11))
    tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(11).smb), "the series")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert tab.wrong == []
    tab.page.close()


@pytest.mark.parametrize("kind", ["dots", "image"])
def test_where_there_are_many_glaciers_a_click_on_a_dot_or_a_shaded_cell_chooses(
    browser: Any, run: str, atlas: Atlas, kind: str
) -> None:
    most = {"dots": "layers.MOST_OUTLINES = 0", "image": "layers.MOST_OUTLINES = layers.MOST_DOTS = 0"}[kind]
    before = f"from glacierscale.exploration import layers; {most}; layers.MOST_DOTS_IN_VIEW = 3"
    column = {"dots": "size", "image": "image"}[kind]
    with served(run, before=before) as running:
        tab = Tab(browser, running.url, column=column)
        rows = atlas.glaciers
        x, y = mercator.to_metres(rows.lon[5], rows.lat[5], mercator.centre_of(rows.lon))
        if kind == "image":
            tab.wait(lambda: close(np.unique(_cells(tab)), _different(atlas.values("smb"))), "the cells")
            tab.page.mouse.move(*tab.pixel("map", float(x), float(y)))
            value = f"{atlas.values('smb')[5]:.2f}".replace("-", "\N{MINUS SIGN}")
            tab.wait(lambda: f"{value} m w.e. 1 glacier" in tab.text, "the value under the pointer")
        tab.click("map", float(x), float(y))
        tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(5).smb), "the series of the glacier")
        tab.choose("Colour by", "Mean balance, 1991–2020")
        mean = atlas.values("smb_mean")
        shown = (lambda: tab.column("map", "value")) if kind == "dots" else (lambda: np.unique(_cells(tab)))
        wanted = mean if kind == "dots" else _different(mean)
        tab.wait(lambda: close(shown(), wanted), "other colours")
        assert tab.wrong == []


def _image(tab: Tab) -> list[Any]:
    found: list[Any] = tab.page.evaluate(
        """() => Array.from(Bokeh.documents[0].get_model_by_name("map").renderers
             .map((r) => r.data_source.data.image).filter((i) => i && i.length && i[0].dtype == "float32")[0][0])
             .map((v) => isFinite(v) ? v : null)"""
    )
    return found


def _different(values: np.ndarray) -> np.ndarray:
    return np.unique(values[np.isfinite(values)])


def _cells(tab: Tab) -> np.ndarray:
    return np.array([v for v in _image(tab) if v is not None], float)


def test_what_is_not_there_says_why_and_which_command_makes_it(
    browser: Any, cube: Any, patches: Path, tmp_path: Path
) -> None:
    with served(cube.url, patches) as running:
        tab = Tab(browser, running.url)
        assert "There is no surface mass balance among these stores. glacierscale reconstruct makes one" in tab.text
        tab.tab("Future")
        tab.wait(lambda: "glacierscale evolve makes one ( ice.zarr )" in tab.text, "why there is no future")
        tab.tab("Maps")
        tab.wait(lambda: "Choose a glacier on the map to see its maps." in tab.text, "what to do")
        there = open_atlas(cube.url, patches)
        tab.click("map", *centre(there, 1))
        raster = there.raster(1, there.rasters[0].name)
        assert raster is not None
        wanted = np.where(np.isfinite(raster), raster, 0)[::-1].ravel()
        shown = "() => Array.from(Bokeh.documents[0].get_model_by_name('patch').renderers[0].data_source.data.image[0])"
        tab.wait(
            lambda: close(np.nan_to_num(np.array(tab.page.evaluate(shown), float)), wanted), "the map of the glacier"
        )
        tab.picture(tmp_path / "patch.png")
        assert tab.wrong == []


@pytest.mark.slow
def test_stores_in_a_bucket_are_explored_where_they_lie(browser: Any, atlas: Atlas, s3: Any) -> None:
    place = scale.make("s3://ice/explored", 12, aside=(ASIDE,))
    with served(place) as running:
        tab = Tab(browser, running.url)
        tab.wait(lambda: close(tab.column("map", "value"), atlas.values("smb")), "the map")
        tab.click("map", *centre(atlas, 7))
        tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(7).smb), "the series")
        assert tab.wrong == []


# Behind a proxy, as on a hub


@pytest.mark.parametrize("kept", [False, True], ids=["prefix taken off", "prefix kept"])
def test_behind_the_proxy_of_a_hub_the_page_works_below_its_path(
    browser: Any, run: str, atlas: Atlas, kept: bool
) -> None:
    with proxy(kept) as hub:
        flags = ["--prefix", hub.path] if kept else []
        with served(run, "--origins", hub.host, *flags) as running:
            hub.behind = running.url.removesuffix("/").removesuffix(hub.path)
            tab = Tab(browser, f"http://{hub.host}{hub.path}/")
            tab.click("map", *centre(atlas, 7))
            tab.wait(lambda: close(tab.column("balance", "smb"), atlas.balance(7).smb), "the series")
            assert tab.wrong == []
            assert {urlsplit(url).netloc for url in tab.asked if url.startswith(("http", "ws"))} == {hub.host}
            tab.page.close()


# How it is started and ended


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_the_server_says_where_it_is_and_what_it_leaves_out_and_ends_in_order(
    browser: Any, unfinished: Path, sent: int, code: int, word: str
) -> None:
    with served(unfinished) as running:
        assert running.said.startswith("Range of scale, 12 glaciers: http://127.0.0.1:")
        assert running.said.count("\n") == 1
        tab = Tab(browser, running.url)
        left = f"{unfinished}/ice.zarr is unfinished (1 block is missing) and left out; the same "
        assert f"{left}glacierscale evolve as before continues it." in tab.text
        told = f"glacierscale: {left}`glacierscale evolve` as before continues it.\n"
        assert running.end(sent) == (code, f"{told}{word}; run the same command again to continue.\n")
        tab.page.close()


def refused(*words: str) -> tuple[int, str]:
    """Exit code and words of a command that does not start a server."""
    command = [sys.executable, "-m", "glacierscale.cli", "explore", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_what_cannot_be_served_is_refused_in_a_sentence(run: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = f"glacierscale: port {port} of 127.0.0.1 is taken; choose another with --port, 0 for any.\n"
        assert refused(run, "--port", str(port)) == (2, told)
    code, said = refused(str(tmp_path / "none.zarr"), "--port", "0")
    assert code == 2
    assert "is not there" in said
    code, said = refused(run, "--port", "0", "--address", "192.0.2.1")
    assert code == 2
    assert "cannot listen on 192.0.2.1:0" in said
