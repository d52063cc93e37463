"""What is chosen above and below the map: a quantity, a future climate, a member, a year, a glacier by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import panel as pn
import param

from glacierscale.exploration import style, words
from glacierscale.exploration.atlas import Atlas, Quantity
from glacierscale.schema.scenarios import scenario_label

_LOOK: dict[str, Any] = {"margin": 0, "stylesheets": [style.WIDGET]}

_MOST_LISTED = 8
_MEAN = -1  # a choice of None would show as a blank


class Spoken(pn.pane.HTML):  # type: ignore[misc]
    """Words that a screen reader says when they change."""

    def _get_properties(self, doc: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._get_properties(doc)
        return found | {"html_attributes": {"role": "status"}}


class Years(pn.reactive.ReactiveHTML):  # type: ignore[misc]
    """A slider over years: the browser's own, which tells screen readers its name and the year."""

    years = param.List([0], item_type=int)
    value = param.Integer(0)

    _template = """<input id="slider" type="range" min="0" aria-label="Year" oninput="${script('move')}" />"""
    _scripts: ClassVar[dict[str, str]] = {
        "render": "self.years()",
        "years": "slider.max = data.years.length - 1; self.value()",
        "value": "slider.value = data.years.indexOf(data.value); slider.setAttribute('aria-valuetext', data.value)",
        "move": "data.value = data.years[slider.value]",
    }


def nearest(years: Sequence[int], year: int | None) -> int | None:
    """The year of some that is nearest to one, the last where none is wanted; None without years."""
    if not years:
        return None
    return years[-1] if year is None else min(years, key=lambda one: abs(one - year))


def labelled(known: Sequence[Quantity]) -> dict[str, str]:
    """Names by their labels; of two with one label, the second also tells the store that it is from."""
    found: dict[str, str] = {}
    for one in known:
        found[f"{one.label} ({one.name.partition(':')[0]})" if one.label in found else one.label] = one.name
    return found


class Choice:
    """A quantity or raster with its year, climate and member; widgets that have nothing to choose hide."""

    def __init__(
        self,
        known: Sequence[Quantity],
        label: str,
        changed: Callable[[], None],
        first: str | None = None,
    ) -> None:
        self._known = {one.name: one for one in known}
        self._changed, self._quiet = changed, False
        self._wanted: int | None = None
        self.quantity = pn.widgets.Select(
            label=label,
            options=labelled(known),
            min_width=180,
            sizing_mode="stretch_width",
            **_LOOK,
        )
        self.scenario = pn.widgets.Select(label="Future climate", width=150, **_LOOK)
        self.member = pn.widgets.Select(label="Member", width=110, **_LOOK)
        self.year = Years(margin=0, stylesheets=[style.SLIDER], sizing_mode="stretch_width")
        self._title = Spoken("", margin=0, stylesheets=[style.TEXT, ":host { font-size: 12px; }"])
        # Hidden in its place: where it came and went, the figure beside it would be laid out anew each time.
        self.when_shown = pn.Column(self._title, self.year, margin=0, sizing_mode="stretch_width")
        if first is not None:
            self.quantity.value = first
        self._offer()
        self.quantity.param.watch(self._requantify, "value")
        for widget in (self.scenario, self.member):
            widget.param.watch(self._tell, "value")
        self.year.param.watch(self._move, "value")

    @property
    def now(self) -> Quantity:
        """What is chosen."""
        return self._known[self.quantity.value]

    @property
    def who(self) -> int | None:
        """Member that is chosen; None for the mean of all."""
        return None if self.member.value in (None, _MEAN) else int(self.member.value)

    @property
    def when(self) -> int | None:
        """Year that is chosen; None where there is none to choose."""
        return int(self.year.value) if self.now.years else None

    def turn_to(self, year: int) -> None:
        """Choose the nearest year that there is."""
        found = nearest(self.now.years, year)
        if found is not None:
            self.year.value = found

    def _offer(self) -> None:
        """Show what can be chosen of the quantity; keep what was chosen where it is there."""
        now, members = self.now, self.now.members
        self._quiet = True
        self.scenario.options = {scenario_label(name): name for name in now.scenarios}
        if now.scenarios and self.scenario.value not in now.scenarios:
            self.scenario.value = now.scenarios[0]
        kept = self.member.value if self.member.value in members else _MEAN
        self.member.param.update(options={"mean": _MEAN} | {f"{number}": number for number in members}, value=kept)
        year = nearest(now.years, self._wanted)
        self.year.param.update(years=list(now.years) or [0], value=year if year is not None else 0)
        self.scenario.visible, self.member.visible = len(now.scenarios) > 1, len(members) > 1
        self.when_shown.styles = {"visibility": "inherit" if len(now.years) > 1 else "hidden"}
        self._entitle()
        self._quiet = False

    def _entitle(self) -> None:
        self._title.object = f"Year: <b>{self.year.value}</b>" if len(self.now.years) > 1 else "&nbsp;"

    def _requantify(self, _: Any) -> None:
        self._offer()
        self._tell()

    def _move(self, event: Any) -> None:
        if not self._quiet:
            self._wanted = int(event.new)
            self._entitle()
            self._tell()

    def _tell(self, *_: Any) -> None:
        if not self._quiet:
            self._changed()


class Search:
    """A box for a part of a name or identifier, and the glaciers that hold it; they hide when neither has the focus."""

    def __init__(self, atlas: Atlas, chosen: Callable[[int], None]) -> None:
        self._atlas, self._chosen = atlas, chosen
        self.text = pn.widgets.TextInput(label="Find a glacier", placeholder="name or id", width=170, **_LOOK)
        self._said = Spoken("", margin=0, stylesheets=[style.TEXT])
        self.found = pn.widgets.MultiSelect(
            label="Glaciers found", visible=False, width=340, margin=0, stylesheets=[style.WIDGET, style.FOUND]
        )
        below = pn.Column(self._said, self.found, margin=0, css_classes=["explore-below"])
        self.layout = pn.Column(self.text, below, margin=0, stylesheets=[style.SEARCH])
        self.text.param.watch(self._look, "value_input")
        self.text.param.watch(self._first, "enter_pressed")  # the value changes whenever the box is left, too
        self.found.param.watch(self._take, "value")

    def _look(self, event: Any) -> None:
        rows = self._atlas.find(event.new)
        table = self._atlas.glaciers
        names = {row: "  ".join(filter(None, (table["glacier_id"][row], table["name"][row]))) for row in rows}
        self._said.object = words.found(event.new, len(rows))
        self.found.param.update(
            options={name: row for row, name in names.items()},
            value=[],
            size=min(max(len(rows), 2), _MOST_LISTED),
            visible=bool(rows),
        )

    def _first(self, _: Any) -> None:
        rows = self._atlas.find(self.text.value_input)
        if rows:
            self._said.object, self.found.visible = "", False
            self._chosen(rows[0])

    def _take(self, event: Any) -> None:
        if event.new:
            self._chosen(event.new[0])
