"""How scenarios are named and coloured, the same in every figure of every page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle

_PUBLISHED = {
    "ssp119": "#00adcf",
    "ssp126": "#173c66",
    "ssp245": "#f79420",
    "ssp370": "#e71d25",
    "ssp585": "#951b1e",
    "rcp26": "#003466",
    "rcp45": "#70a0cd",
    "rcp60": "#c47900",
    "rcp85": "#990002",
}
"""Colours of the Sixth Assessment Report of IPCC's working group I (https://github.com/IPCC-WG1/colormaps)."""
_OTHERS = ("#009e73", "#d55e00", "#b4649a", "#8c6d1f", "#56b4e9", "#7b8794")
"""Colours of all others, told apart by the colour-blind too (Okabe & Ito)."""


def scenario_label(name: str) -> str:
    """Name of a scenario as it is printed: rcp26 is RCP2.6, ssp126 SSP1-2.6, plus_2k +2 K."""
    name = re.sub(r"(?i)(?<![a-z0-9])rcp(\d)(\d)(?!\d)", r"RCP\1.\2", name)
    name = re.sub(r"(?i)(?<![a-z0-9])ssp(\d)(\d)(\d)(?!\d)", r"SSP\1-\2.\3", name)
    name = re.sub(r"(?i)\bplus ?(?=\d)", "+", name.replace("_", " "))
    return re.sub(r"(?<=\d) ?k\b", " K", name).strip()


def scenario_colours(names: Sequence[str]) -> dict[str, str]:
    """Colour of every scenario of a store: IPCC's for a pathway that has one, for others by their order.

    Parameters
    ----------
    names : sequence of str
        All scenarios of the store, not only those that are drawn, so that none changes its colour with the others.
    """
    others = cycle(_OTHERS)
    plain = {name: re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}  # SSP5-8.5 is ssp585
    return {name: _PUBLISHED.get(plain[name]) or next(others) for name in names}
