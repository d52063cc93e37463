"""The right side of the page: who the chosen glacier is, its balance, its future and its maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn

from glacierscale.exploration import looks, style, words
from glacierscale.exploration.atlas import Atlas, Quantity
from glacierscale.exploration.controls import Choice, Spoken
from glacierscale.exploration.courses import Balance, Cumulative, Evolution
from glacierscale.exploration.patch import Patch
from glacierscale.exploration.work import Desk, Progress
from glacierscale.schema.scenarios import scenario_colours, scenario_label

_BALANCE, _FUTURE, _MAPS = range(3)
_NAMES = {"smb": "modelled", "smb_gapfilled": "gaps filled"}
"""How a balance was made, by its variable."""
_WIDGET: dict[str, Any] = {"margin": 0, "stylesheets": [style.WIDGET]}


class Side:
    """Figures of one glacier or of the region; only those in sight are read."""

    def __init__(self, atlas: Atlas, desk: Desk) -> None:
        self._atlas, self._desk = atlas, desk
        self._row: int | None = None
        self._member: int | None = None
        self._head = pn.pane.HTML("", stylesheets=[style.TEXT], margin=0, sizing_mode="stretch_width")
        told = [one for one in atlas.quantities if one.name.startswith("smb")]
        self._balance, self._patch = Balance([year for one in told for year in one.years]), Patch()
        self._cumulative = Cumulative(self._balance)
        scenarios = list(dict.fromkeys(name for course in atlas.courses for name in course.scenarios))
        self._evolution = Evolution(scenarios, [year for one in atlas.courses for year in one.years])
        self._variable = pn.widgets.RadioBoxGroup(
            options={_NAMES[name]: name for name in atlas.balances}, inline=True, visible=False, **_WIDGET
        )
        self._course = pn.widgets.Select(
            label="Quantity", options={one.label: one.name for one in atlas.courses}, width=250, **_WIDGET
        )
        self._scenarios = pn.widgets.CheckBoxGroup(
            options={scenario_label(name): name for name in scenarios}, value=scenarios, inline=True, margin=0,
            stylesheets=[style.WIDGET, style.underlined(scenario_colours(scenarios).values())],
        )  # fmt: skip
        self._climates = Spoken(words.climates(None), stylesheets=[style.TEXT], margin=0)
        self._map = Choice(atlas.rasters, "Map", lambda: desk.do(self._show_map)) if atlas.rasters else None
        self._maps_notice = pn.pane.HTML(words.notice(words.CHOOSE), stylesheets=[style.TEXT], margin=0)
        self._seen: dict[tuple[int | None, str], list[Any]] = {}
        self._panes = [
            pn.pane.Bokeh(one.figure, sizing_mode="stretch_both", margin=0)
            for one in (self._balance, self._cumulative, self._evolution, self._patch.frame)
        ]
        self._pages = self._fill()
        # Tabs of bokeh cannot be turned to with the keyboard.
        self._tabs = pn.widgets.RadioBoxGroup(
            options={"Balance": _BALANCE, "Future": _FUTURE, "Maps": _MAPS}, value=_BALANCE, inline=True, margin=0,
            stylesheets=[style.TABS], sizing_mode="stretch_width",
        )  # fmt: skip
        self._back = pn.widgets.Button(label="all glaciers", visible=False, width=110, **_WIDGET)
        self._listen()

    @property
    def figures(self) -> list[Any]:
        """Panes that hold figures."""
        return self._panes

    def _listen(self) -> None:
        for widget in (self._variable, self._course, self._scenarios):
            widget.param.watch(lambda _: self._desk.do(self._refresh), "value")
        self._tabs.param.watch(self._turn_page, "value")

    def darken(self, dark: bool) -> None:
        """Draw on dark paper, or on light."""
        colours = scenario_colours(list(self._evolution.sources)).values()
        for pane in self._panes:
            looks.repaint(pane.object, dark, colours)

    def layout(self, css: list[str]) -> Any:
        """The column."""
        head = pn.Row(self._head, self._back, css_classes=["explore-row"], stylesheets=css, margin=0,
                      sizing_mode="stretch_width")  # fmt: skip
        return pn.Column(head, self._tabs, *self._pages, css_classes=["explore-side"], stylesheets=css, margin=0,
                         sizing_mode="stretch_both")  # fmt: skip

    def _fill(self) -> list[Any]:
        """What there is to see, one page after the other; only the first is shown."""
        balance, total, future, patch = self._panes
        atlas = self._atlas
        both: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": (8, 0)}
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "css_classes": ["explore-row"]}
        row["stylesheets"] = [style.PAGE]
        pages = [_notice(words.NO_BALANCE), _notice(words.NO_FUTURE), _notice(words.NO_MAPS)]
        if atlas.balances:
            pages[_BALANCE] = pn.Column(self._variable, balance, total, **both)
        if atlas.courses:
            climates = pn.Column(self._climates, self._scenarios, margin=0)
            pages[_FUTURE] = pn.Column(pn.Row(self._course, climates, **row), future, **both)
        if self._map:
            choice = pn.Row(self._map.quantity, self._map.scenario, **row)
            pages[_MAPS] = pn.Column(choice, self._maps_notice, patch, self._map.when_shown, **both)
        for page in pages[1:]:
            page.visible = False
        return pages

    def on_year(self, chosen: Callable[[int], None]) -> None:
        """Call a function with a year that is clicked in a series."""
        for figure in (self._balance, self._cumulative, self._evolution):
            figure.on_year(chosen)

    def on_back(self, back: Callable[[], None]) -> None:
        """Call a function when the whole region is wanted again."""
        self._back.on_click(lambda _: back())

    def turn(self, year: int | None, member: int | None) -> None:
        """Mark a year in the series; a member has series of its own, as far as the stores have it."""
        for figure in (self._balance, self._cumulative, self._evolution):
            figure.mark(year)
        if member != self._member:
            self._member = member
            self._refresh()

    def show(self, row: int | None) -> None:
        """Show another glacier; None for the region."""
        self._row = row
        self._back.visible = row is not None
        self._variable.visible = row is not None and len(self._atlas.balances) > 1  # a region is told as modelled
        self._desk.ask("who", "", lambda _: self._who(row), lambda said: self._head.param.update(object=said))
        self._refresh()

    def _who(self, row: int | None) -> str:
        if row is None:
            return words.region(self._atlas)
        names = {quantity.name for quantity in self._atlas.quantities}
        height = self._atlas.values("elevation")[row] if "elevation" in names else np.nan
        return words.glacier(
            self._atlas.glaciers.iloc[row], float(height), self._atlas.observations(row)["kind"].tolist()
        )

    def _turn_page(self, event: Any) -> None:
        for number, page in enumerate(self._pages):
            page.visible = number == event.new
        self._desk.do(self._refresh)

    def _refresh(self) -> None:
        """Read what is in sight."""
        active = self._tabs.value
        if active == _BALANCE and self._atlas.balances:
            self._show_balance()
        elif active == _FUTURE and self._atlas.courses:
            self._show_future()
        elif active == _MAPS and self._map:
            self._show_map()

    def _ask(self, what: str, read: Callable[[Progress], Any], show: Callable[[Any], None]) -> None:
        """Read for the glacier or region that is chosen now; glaciers do not wait for a region, which takes long."""
        region = self._row is None

        def show_if_wanted(found: Any) -> None:
            if region == (self._row is None):
                show(found)

        self._desk.ask("region" if region else "glacier", what, read, show_if_wanted)

    def _show_balance(self) -> None:
        row, atlas, variable = self._row, self._atlas, "smb" if self._row is None else self._variable.value
        member = self._member_of(variable, atlas.quantities)
        name = _NAMES[variable] if member is None else f"{_NAMES[variable]}, member {member}"

        def read(progress: Progress) -> Any:
            if row is not None:
                return atlas.balance(row, member, variable=variable), atlas.observations(row), name
            table = atlas.region("smb", member=member, progress=progress)
            return table.assign(low=table.shared_low, high=table.shared_high), None, name  # as of the sum below

        def show(found: Any) -> None:
            self._balance.show(*found)
            self._cumulative.show(found[0])

        self._ask("balance", read, show)

    def _show_future(self) -> None:
        row, atlas, name = self._row, self._atlas, self._course.value
        course = next(one for one in atlas.courses if one.name == name)
        chosen, member = list(self._scenarios.value), self._member_of(name, atlas.courses)

        def read(progress: Progress) -> Any:
            if row is None:
                return atlas.region(name, member=member, progress=progress)
            return atlas.evolution(row, name, member=member)

        def show(table: Any) -> None:
            self._climates.object = words.climates(member)
            self._evolution.show(table, looks.titled(course.label, course.units), chosen, member)

        self._ask("future", read, show)

    def _member_of(self, name: str, known: Sequence[Quantity]) -> int | None:
        """The member that is chosen for the map, where a quantity has it too."""
        return self._member if self._member in next(one for one in known if one.name == name).members else None

    def _show_map(self) -> None:
        if self._map is None:
            return
        row, now, atlas = self._row, self._map.now, self._atlas
        year, scenario = self._map.when, self._map.scenario.value or ""

        def read(_: Progress) -> Any:
            if row is None:
                return None
            raster = atlas.raster(row, now.name, year=year, scenario=scenario)
            first = atlas.raster(row, now.name, year=now.years[0]) if now.years else raster
            return raster, first

        def show(found: Any) -> None:
            if found is None:
                self._no_map(words.CHOOSE)
            elif found[0] is None:
                self._no_map(words.NO_PATCH)
            else:
                self._draw_map((row, now.name), now, *found)

        self._ask(now.label.lower(), read, show)

    def _draw_map(self, key: tuple[int | None, str], now: Quantity, raster: Any, first: Any) -> None:
        self._maps_notice.visible = False
        self._panes[-1].visible = True
        both = [raster.to_numpy().ravel(), first.to_numpy().ravel(), *self._seen.get(key, [])]
        scale = looks.scale_of(np.concatenate(both), now.diverging)
        self._seen = {key: [np.array([scale.low, scale.high])]}  # colours of a year stay as years go on
        self._patch.show(raster, first, now.label, now.units, scale)

    def _no_map(self, text: str) -> None:
        self._patch.clear()
        self._maps_notice.object, self._maps_notice.visible = words.notice(text), True
        self._panes[-1].visible = False


def _notice(text: str) -> Any:
    return pn.pane.HTML(words.notice(text), stylesheets=[style.TEXT], margin=0, sizing_mode="stretch_width")
