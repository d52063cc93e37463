"""The page: a map of all glaciers on the left, what is known of the chosen one on the right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.events import DoubleTap, Tap

from glacierscale.exploration import style, words
from glacierscale.exploration.atlas import Atlas, Quantity
from glacierscale.exploration.chart import Chart
from glacierscale.exploration.controls import Choice, Search, Spoken
from glacierscale.exploration.layers import Detail, Places
from glacierscale.exploration.looks import Scale, scale_of
from glacierscale.exploration.side import Side
from glacierscale.exploration.work import Desk, Progress, delivery

Floats = npt.NDArray[np.floating]

_VALUES_SCALED = 2_000_000  # values that make the ends of the colours, which stay for all years


class Explorer(pn.viewable.Viewer):  # type: ignore[misc]
    """A page on the stores of a run, alone on a server or in a cell of a notebook.

    Parameters
    ----------
    atlas : Atlas
        Opened stores; many pages may share one.
    settle_s : float
        Seconds that it may take to fill a page that others display as it is made, as a notebook does.
    """

    def __init__(self, atlas: Atlas, *, settle_s: float = 0) -> None:
        super().__init__()
        self.atlas, self.row = atlas, None  # type: Atlas, int | None
        self._dark = False
        self._scales: dict[str, Scale] = {}
        self._busy = pn.pane.HTML("", stylesheets=[style.TEXT], margin=0)
        self._trouble = Spoken("", stylesheets=[style.TEXT], margin=0)
        self._desk = Desk(delivery(pn.state.curdoc, self._push), self._reading, self._failed)
        self._chart = Chart(Places(atlas))
        yearly = next((one.name for one in atlas.quantities if one.years), None)
        self._choice = Choice(atlas.quantities, "Colour by", lambda: self._desk.do(self._recolour), first=yearly)
        self._search = Search(atlas, self.choose)
        self._side = Side(atlas, self._desk)
        self._figure = pn.pane.Bokeh(self._chart.frame.figure, sizing_mode="stretch_both", margin=0)
        self._layout = self._lay_out()
        self._listen()
        with self._desk.settled(settle_s):
            self._recolour()
            self._side.show(None)
            self._desk.ask("terrain", "terrain", lambda _: self._chart.places.hillshade, self._chart.shade)

    def __panel__(self) -> Any:
        """What Panel displays."""
        return self._layout

    def choose(self, glacier: str | int | None) -> None:
        """Choose a glacier as a click does.

        Parameters
        ----------
        glacier : str, int or None
            A part of its identifier or name, its row, or None for the whole region.

        Raises
        ------
        LookupError
            If no glacier holds the text.
        """
        if isinstance(glacier, str):
            rows = self.atlas.find(glacier)
            if not rows:
                raise LookupError(f"no glacier has {glacier!r} in its identifier or name; try a shorter part of it.")
            glacier = rows[0]
        row = glacier
        self._desk.do(lambda: self._choose(row, approach=True))

    def _lay_out(self) -> Any:
        css = [style.PAGE]
        choice = self._choice
        head = pn.Row(
            pn.pane.HTML(words.banner(self.atlas), stylesheets=[style.TEXT], margin=0, sizing_mode="stretch_width"),
            self._trouble, self._busy,
            css_classes=["explore-row"], stylesheets=css, margin=0, sizing_mode="stretch_width",
        )  # fmt: skip
        above = pn.Row(
            choice.quantity, choice.scenario, choice.member, self._search.layout,
            css_classes=["explore-row"], stylesheets=css, margin=0, sizing_mode="stretch_width",
        )  # fmt: skip
        left = pn.Column(
            above, self._figure, choice.when_shown,
            css_classes=["explore-map"], stylesheets=css, margin=0, sizing_mode="stretch_both",
        )  # fmt: skip
        right = self._side.layout(css)
        body = pn.Row(left, right, css_classes=["explore-body"], stylesheets=css, margin=0, sizing_mode="stretch_both")
        return pn.Column(
            head, body, css_classes=["explore-page"], stylesheets=css, margin=0, sizing_mode="stretch_both"
        )

    def _listen(self) -> None:
        frame = self._chart.frame
        for axis in (frame.figure.x_range, frame.figure.y_range):
            for side in ("start", "end"):
                axis.on_change(side, lambda attr, old, new: self._look())
        for clicked in (Tap, DoubleTap):  # two quick clicks on two glaciers arrive as one double click
            frame.figure.on_event(clicked, lambda event: self._choose(self._chart.glacier_at(event.x, event.y)))
        self._side.on_year(self._choice.turn_to)
        self._side.on_back(lambda: self.choose(None))
        told = pn.state.browser_info if pn.state.curdoc else None  # a notebook has paper of its own
        if told is not None:
            self._layout.css_classes = [*self._layout.css_classes, style.FOLLOWS]
            told.param.watch(lambda event: self._desk.do(lambda: self._darken(bool(event.new))), "dark_mode")

    def _darken(self, dark: bool) -> None:
        """Draw figures on dark paper, or on light; style sheets see to the rest."""
        if dark != self._dark:
            self._dark = dark
            self._chart.darken(dark)
            self._side.darken(dark)

    def _look(self) -> None:
        self._desk.ask("view", "glaciers in view", lambda _: self._chart.look(), self._refine)

    def _refine(self, found: Detail) -> None:
        self._chart.refine(found)
        self._chart.mark(self.row)

    def _choose(self, row: int | None, *, approach: bool = False) -> None:
        self.row, self._trouble.object = row, ""
        if row is not None and approach:
            self._chart.approach(row)
        self._chart.mark(row)
        self._side.show(row)

    def _recolour(self) -> None:
        choice, now = self._choice, self._choice.now
        self._trouble.object = ""
        year, scenario, member = choice.when, choice.scenario.value or "", choice.who

        def read(progress: Progress) -> tuple[Scale, Floats]:
            scale = self._scale(now, progress)
            return scale, self.atlas.values(now.name, year=year, scenario=scenario, member=member, progress=progress)

        self._desk.ask("map", now.label.lower(), read, lambda found: self._colour(now, *found))
        self._side.turn(choice.when, choice.who)

    def _scale(self, now: Quantity, progress: Progress) -> Scale:
        """Ends of the colours, the same for all years, climates and members of a quantity."""
        if now.name not in self._scales:
            climates = now.scenarios or ("",)
            every = 1 + len(climates) * len(now.years) * len(self.atlas.glaciers) // _VALUES_SCALED
            found = [
                self.atlas.values(now.name, year=year, scenario=climate, progress=progress)
                for climate in climates
                for year in now.years[::every] or [None]
            ]
            self._scales[now.name] = scale_of(np.concatenate(found), now.diverging, skewed=True)
        return self._scales[now.name]

    def _colour(self, now: Quantity, scale: Scale, values: Floats) -> None:
        self._chart.scale(scale)
        self._chart.colour(values, now.label, now.units)
        if self._chart.drawn.kind == "image" or not len(self._chart.drawn.rows):
            self._look()

    def _reading(self, what: str, share: float) -> None:
        self._busy.object = words.reading(what, share)

    def _failed(self, error: Exception) -> None:
        self._trouble.object = words.failure(error)

    def _push(self) -> None:
        pn.io.push_notebook(self._figure, *self._side.figures)
