"""The dashboard without a browser: what it is in a notebook and a program, how it reads, scales, places and says."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glacierscale as gs
from glacierscale import exploration
from glacierscale.exploration import layers, looks, mercator, words, work
from glacierscale.exploration.atlas import Atlas, Quantity, open_atlas
from glacierscale.exploration.chart import Chart
from glacierscale.exploration.controls import labelled
from glacierscale.exploration.side import Side
from glacierscale.schema import scenarios


@pytest.fixture(scope="module")
def atlas(small_folder: str) -> Atlas:
    return open_atlas(small_folder)


# In a program and a notebook


def test_the_page_of_a_program_shows_what_is_chosen_at_once(small_folder: str, atlas: Atlas) -> None:
    page = gs.explore(small_folder)
    page.choose(atlas.glaciers.glacier_id[7])
    assert page.row == 7
    assert np.allclose(page._side._balance.modelled.data["smb"], atlas.balance(7).smb)
    page.choose(None)
    assert page.row is None
    with pytest.raises(LookupError, match="no glacier has 'Aletsch' in its identifier or name"):
        page.choose("Aletsch")


def test_the_verb_stays_a_function_after_its_first_use(small_folder: str) -> None:
    gs.explore(small_folder)
    assert callable(gs.explore)
    assert gs.explore is exploration.explore


def test_without_its_libraries_the_dashboard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploration, "_NEEDED", ("panel", "no_such_library"))
    with pytest.raises(ValueError, match=r"needs no_such_library; pip install 'glacierscale\[dashboard\]'"):
        gs.explore("out")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your element with mimetype")  # of nbconvert, on outputs without a text
def test_a_notebook_displays_the_page_without_the_internet_and_follows_what_is_chosen(
    small_folder: str, atlas: Atlas, browser: Any, tmp_path: Path
) -> None:
    nbformat, client = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    exporters = pytest.importorskip("nbconvert.exporters")
    cells = [
        "import glacierscale as gs",
        f"page = gs.explore({small_folder!r})\npage",
        "page.choose('00008')",
        "import asyncio\nawait asyncio.sleep(1)\nprint(page.row, len(page._side._balance.modelled.data['smb']))",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client.NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert book.cells[3].outputs[0].text == "7 30\n"
    saved = tmp_path / "saved.html"
    saved.write_text(exporters.HTMLExporter().from_notebook_node(book)[0])
    alone = browser.new_context(offline=True)
    page = alone.new_page()
    page.goto(saved.as_uri(), wait_until="domcontentloaded")
    page.wait_for_function("() => window.Bokeh && Bokeh.documents.length", timeout=60_000)
    drawn = "() => Array.from(Bokeh.documents[0].get_model_by_name('map').renderers[2].data_source.data.value)"
    assert np.allclose(page.evaluate(drawn), atlas.values("smb"), equal_nan=True)
    alone.close()


# Reading beside the page


def test_a_header_that_arrives_late_does_not_replace_that_of_what_was_chosen_after_it(atlas: Atlas) -> None:
    loop = Loop()
    desk = work.Desk(loop.deliver, lambda what, share: None, lambda error: None)
    side = Side(atlas, desk)
    side.show(3)
    side.show(None)
    loop.run(lambda: not desk._running)
    assert side._head.object == words.region(atlas)


class Loop:
    """Runs what is delivered, in order, where `run` is called."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.arrived = threading.Condition()

    def deliver(self, change: Any) -> None:
        with self.arrived:
            self.waiting.append(change)
            self.arrived.notify()

    def run(self, done: Any, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not done():
            with self.arrived:
                if not self.waiting and not self.arrived.wait(until - time.monotonic()):
                    raise AssertionError("nothing arrived")
                change = self.waiting.pop(0)
            change()


def test_of_several_questions_of_a_lane_the_first_and_the_newest_are_answered() -> None:
    loop, go = Loop(), threading.Event()
    shown: list[int] = []
    desk = work.Desk(loop.deliver, lambda what, share: None, lambda error: None)
    for number in range(5):
        desk.ask("map", "balance", lambda _, n=number: (go.wait(60), n)[1], shown.append)  # type: ignore[misc]
    go.set()
    loop.run(lambda: len(shown) == 2)
    assert shown == [0, 4]


def test_a_long_reading_in_one_lane_is_announced_with_its_share_and_holds_up_no_other() -> None:
    loop, go = Loop(), threading.Event()
    told: list[tuple[str, float]] = []
    shown: list[str] = []
    desk = work.Desk(loop.deliver, lambda what, share: told.append((what, share)), lambda error: None)

    def read(progress: Any) -> str:
        time.sleep(0.3)
        progress(0.5)
        go.wait(60)
        return "slow"

    desk.ask("map", "volume", read, shown.append)
    desk.ask("series", "balance", lambda _: "quick", shown.append)
    loop.run(lambda: ("volume", 0.5) in told)
    assert shown == ["quick"]
    go.set()
    loop.run(lambda: told[-1] == ("", 1.0) and shown == ["quick", "slow"])


def test_an_error_while_reading_is_told_and_the_lane_goes_on() -> None:
    loop = Loop()
    failed: list[str] = []
    shown: list[int] = []
    desk = work.Desk(loop.deliver, lambda what, share: None, lambda error: failed.append(str(error)))
    desk.ask("map", "balance", lambda _: 1 // 0, shown.append)
    loop.run(lambda: failed == ["integer division or modulo by zero"])
    desk.ask("map", "balance", lambda _: 7, shown.append)
    loop.run(lambda: shown == [7])


# Where glaciers lie


@given(st.floats(-180, 180), st.floats(-84, 84), st.floats(-180, 179))
def test_a_place_comes_back_from_the_map(lon: float, lat: float, centre: float) -> None:
    x, y = mercator.to_metres(lon, lat, centre)
    found, there = mercator.to_degrees(x, y)
    assert abs((found - lon + 180) % 360 - 180) < 1e-6
    assert there == pytest.approx(lat, abs=1e-6)


def test_the_middle_of_places_on_both_sides_of_the_antimeridian_lies_between_them() -> None:
    assert mercator.centre_of([178.0, -179.0, 181.5]) == pytest.approx(179.75 - 0.25, abs=0.6)
    x, _ = mercator.to_metres([178.0, -178.0], [70.0, 70.0], 180.0)
    assert x[1] - x[0] == pytest.approx(np.radians(4) * 6378137, rel=1e-6)


def test_a_degree_on_the_map_is_as_long_northward_as_eastward() -> None:
    for lat in (0.0, 46.8, 79.0, -65.0):
        (x, _), (_, y) = (
            mercator.to_metres([10, 10.001], [lat, lat], 10),
            mercator.to_metres([10, 10], [lat, lat + 0.001], 10),
        )
        east = (x[1] - x[0]) / np.cos(np.radians(lat))
        assert (y[1] - y[0]) == pytest.approx(east, rel=1e-3)


def test_outlines_are_drawn_where_they_can_be_seen_and_dots_elsewhere(atlas: Atlas) -> None:
    places = layers.Places(atlas)
    nothing = layers.Detail("dots", np.arange(0))
    near = layers.detail(places, places.home(), 50.0, nothing)
    assert (near.kind, len(near.rows)) == ("outlines", 12)
    assert layers.detail(places, places.home(), 60.0, near) is near, "what is drawn serves this view too"
    far = layers.detail(places, places.home(), 5000.0, near)
    assert (far.kind, len(far.rows)) == ("dots", 12)
    finer = layers.detail(places, places.home(), 5.0, near)
    assert finer is not near
    vertices = [sum(len(ring) for part in layers.rings(list(one.shapes))[0] for rings in part for ring in rings)
                for one in (near, finer) if one.shapes is not None]  # fmt: skip
    assert vertices[1] > vertices[0]
    chart = Chart(places)
    for one in (near, finer):
        chart.refine(one)
    assert sum(len(ring) for part in chart.outlines.data["xs"] for rings in part for ring in rings) == vertices[1]


def test_two_maps_of_one_label_can_both_be_chosen() -> None:
    known = [Quantity(name=name, label="Ice thickness", units="m") for name in ("ice_thickness", "patch:thickness")]
    assert labelled(known) == {"Ice thickness": "ice_thickness", "Ice thickness (patch)": "patch:thickness"}


# Colours and words


def test_scales_have_round_ends_and_zero_in_the_middle_of_balances() -> None:
    scale = looks.scale_of(np.append(np.linspace(-0.9, 0.4, 99), np.nan), True)
    assert (scale.low, scale.high) == (-1.0, 1.0)
    plain = looks.scale_of(np.linspace(2500, 3200, 99), False)
    assert plain.low <= 2514 <= 3186 <= plain.high
    skewed = looks.scale_of(10.0 ** np.linspace(-2, 2, 99), False, skewed=True)
    assert skewed.logarithmic
    assert (skewed.low, skewed.high) == (pytest.approx(0.01), pytest.approx(100))
    for none in ([], [np.nan], [3.0], [0.0, 0.0]):
        scale = looks.scale_of(none, False, skewed=True)
        assert scale.low < scale.high


def test_contrast_is_that_of_the_web_s_guidelines() -> None:
    assert looks.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert looks.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", sorted(scenarios._PUBLISHED))
def test_a_line_of_a_scenario_is_seen_on_dark_paper(name: str) -> None:
    colour = scenarios.scenario_colours([name])[name]
    assert looks.contrast(looks.in_the_dark(colour), looks.DARK[looks.PAPER]) >= 3
    assert looks.in_the_dark("#70a0cd") == "#70a0cd"  # as it is, where it can be seen


def test_figures_can_be_read_on_dark_paper_and_are_light_again_after(atlas: Atlas) -> None:
    desk = work.Desk(None, lambda what, share: None, lambda error: None)
    side, chart = Side(atlas, desk), Chart(layers.Places(atlas))
    chart.shade(chart.places.hillshade)
    figures = [chart.frame.figure, *(pane.object for pane in side.figures)]

    def seen(dark: bool) -> tuple[list[dict[tuple[str, str], str]], float]:
        for drawn in (chart, side):
            drawn.darken(dark)
        return [_colours_of(figure) for figure in figures], float(np.median(chart.relief.data["image"][0] & 255))

    before, light = [_colours_of(figure) for figure in figures], seen(False)[1]
    inks, relief = seen(True)
    assert relief < 84 < 196 < light
    for known, paper in ((before, looks.PAPER), (inks, looks.DARK[looks.PAPER])):
        texts = [colour for one in known for (_, name), colour in one.items() if name.endswith("text_color")]
        assert len(texts) > 20
        assert min(looks.contrast(colour, paper) for colour in texts) >= 4.5
    assert all(inks[0][key] != colour for key, colour in before[0].items())
    assert seen(False) == (before, light)


def _colours_of(figure: Any) -> dict[tuple[str, str], str]:
    """Colours of the words and of the ground of a figure."""
    names = ("major_label", "axis_label", "label")
    wanted = {"background_fill_color", *(f"{name}_text_color" for name in names)}
    known = {(model.id, name): getattr(model, name) for model in figure.references()
             for name in model.properties() & wanted}  # fmt: skip
    return {key: colour for key, colour in known.items() if isinstance(colour, str)}


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (-0.257, "m w.e.", "−0.26 m w.e."),
        (2949.3, "km2", "2,949 km²"),
        (0.0731, "km2", "0.073 km²"),
        (float("nan"), "m", "–"),
        (0.0, "km3", "0.00 km³"),
        (58.94, "million m3", "58.9 million m³"),
    ],
)
def test_numbers_are_said_with_three_digits_and_their_units(value: float, unit: str, said: str) -> None:
    assert looks.number(value, unit) == said


def test_the_header_says_who_a_glacier_is_and_is_safe_against_names_that_are_code(atlas: Atlas) -> None:
    row = atlas.glaciers.iloc[3].copy()
    row["name"] = "<script>alert(1)</script>"
    said = words.glacier(row, 2912.0, ["annual", "annual", "geodetic"])
    assert "<script>" not in said
    assert "2,912 m mean elevation" in said
    assert "observed: 2 annual, 1 geodetic" in said
    assert "Set aside: no climate there" in said
    assert "never observed" in words.glacier(atlas.glaciers.iloc[2], float("nan"), [])
