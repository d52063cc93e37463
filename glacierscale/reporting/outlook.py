"""Glaciers under future climates in words and tables: what is left, what is gone, and whether scenarios differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glacierscale.reporting.evolution import LEVEL, WINDOW, Floats, Future
from glacierscale.reporting.style import between, number
from glacierscale.schema.scenarios import scenario_label

_MM, _KM2, _KM3 = 1e3, 1e-6, 1e-9


def decimals(size: float, digits: int = 2) -> int:
    """Decimals that print a number of this size with so many significant digits."""
    return max(0, digits - 1 - int(np.floor(np.log10(size)))) if np.isfinite(size) and size > 0 else 0


def per_cent(share: float) -> str:
    """A share in per cent; what is less than half a per cent is not nothing."""
    return "<1" if 0 < share < 0.005 else number(100 * share, 0)


def _spread(low: float, high: float) -> str:
    """Ends of a spread of shares; nothing where they read the same."""
    ends = per_cent(low), per_cent(high)
    return "" if ends[0] == ends[1] else "–".join(ends)


def _range(low: float, high: float) -> str:
    """Ends of a spread of whole numbers; nothing where they are one."""
    return "" if round(low) == round(high) else f"{low:.0f}–{high:.0f}"


def _whole(middle: float, low: float, high: float) -> str:
    """A whole number with its spread."""
    ends = _range(low, high)
    return f"{middle:.0f} ({ends})" if ends else f"{middle:.0f}"


def left_words(shares: Floats) -> str:
    """Middle and spread of what is left: (3,) -> text."""
    low, middle, high = shares
    ends = _spread(low, high)
    return f"{per_cent(middle)} % ({ends})" if ends else f"{per_cent(middle)} %"


def baseline(future: Future) -> dict[str, str]:
    """What there is in the first year, as it is printed."""
    volume, area = float(future.volume[:, 0].mean()) * _KM3, float(future.area[:, 0].mean()) * _KM2
    return {
        "year": str(future.years[0]),
        "last": str(future.years[-1]),
        "glaciers": number(future.glaciers.sizes["glacier"], 0),
        "volume": number(volume, decimals(volume)),
        "area": number(area, decimals(area)),
        "estimated": _estimated(future),
        "members": _members(future),
        "level": LEVEL,
        "window": str(WINDOW),
    }


def _estimated(future: Future) -> str:
    """Say how many glaciers have a thickness that was estimated; empty where none has."""
    which = future.glaciers["thickness_estimated"].values == 1
    area = future.glaciers["area_m2"].values.astype(float)
    if not which.any():
        return ""
    share = per_cent(float(area[which].sum() / area.sum()))
    return (
        f"The thickness of {number(which.sum(), 0)} of them, {share} % of the area, is in no catalogue; it was "
        "estimated from their area."
    )


def _members(future: Future) -> str:
    counts = sorted(set(np.bincount(future.of).tolist()))
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def told(future: Future) -> dict[str, Any]:
    """All that the page says of a future beside its figures."""
    ways = {"delta_h": "ice moves by curves of elevation change (delta-h)", "sia": "ice flows by the shallow-ice law"}
    return {
        "start": baseline(future),
        "by": ways.get(str(future.options.get("method")), "glaciers evolve"),
        "perturbed": perturbed(future),
        "findings": findings(future),
        "scenarios": scenario_table(future),
        "subregions": subregion_table(future),
    }


def perturbed(future: Future) -> list[str]:
    """Say of each scenario that was changed what was done to it."""
    out = []
    for each in future.options.get("scenarios") or ():
        warming, factor = float(each["warming_k"]), float(each["precip_factor"])
        done = [f"{number(abs(warming), 1)} K {'warmer' if warming > 0 else 'colder'}"] if warming else []
        done += [f"{number(100 * factor, 0)} % of the precipitation"] if factor != 1 else []
        if done:
            of = scenario_label(each["of"] or each["name"])
            out.append(f"{scenario_label(each['name'])} is {of} changed steadily until 2100: {', '.join(done)}.")
    return out


def scenario_table(future: Future) -> dict[str, Any]:
    """What is left, gone and risen under each scenario, ready to print: headings, and rows of cells."""
    last = future.told[-1]
    headings = [(what, str(year)) for what in ("Volume left", "Area left", "Glaciers gone") for year in future.told]
    digits = decimals(float(future.sea_level[:, -1].max()) * _MM, 3)
    rows = []
    for place, name in enumerate(future.scenarios):
        cells = [
            {"text": f"{per_cent(middle)} %", "interval": _spread(low, high)}
            for values in (future.volume, future.area)
            for low, middle, high in (future.spread(future.share(values, year), place) for year in future.told)
        ]
        for low, middle, high in future.spread(future.gone, place).T:
            cells.append({"text": number(middle, 0), "interval": _range(low, high)})
        low, middle, high = future.spread(future.sea_level[:, -1], place) * _MM
        cells.append(
            {
                "text": number(middle, digits),
                "interval": between(low, high, digits).replace(" to ", "–"),
            }
        )
        rows.append({"label": scenario_label(name), "cells": cells})
    return {"headings": [*headings, ("Sea level, mm", str(last))], "rows": rows}


def subregion_table(future: Future) -> dict[str, Any] | None:
    """Volume of each subregion and what is left of it under each scenario; None where there is one only."""
    if not future.subregions:
        return None
    rows = []
    for name, volume in sorted(future.subregions.items(), key=lambda item: -float(item[1][:, 0].mean())):
        start = float(volume[:, 0].mean()) * _KM3
        shares = volume[:, -1] / volume[:, 0]
        cells = [left_words(future.spread(shares, place)) for place in range(len(future.scenarios))]
        rows.append({"label": name or "elsewhere", "cells": [number(start, decimals(start)), *cells]})
    headings = [f"Volume {future.years[0]}, km³", *map(scenario_label, future.scenarios)]
    return {"headings": headings, "rows": rows}


def findings(future: Future) -> list[str]:
    """Sentences on what is left, what is gone, when runoff peaks and whether the scenarios can be told apart."""
    told = [_left(future, future.told[-1]), _gone(future), _peaks(future), _apart(future)]
    return [sentence for sentence in told if sentence]


def _left(future: Future, year: int) -> str:
    shares = future.share(future.volume, year)
    parts = [
        f"{left_words(future.spread(shares, place))} under {scenario_label(name)}"
        for place, name in enumerate(future.scenarios)
    ]
    return f"Of the ice of {future.years[0]} there is left in {year}: {_joined(parts)}."


def _gone(future: Future) -> str:
    count = future.glaciers.sizes["glacier"]
    parts = []
    for place, name in enumerate(future.scenarios):
        low, middle, high = future.spread(future.gone[:, -1], place)
        parts.append(f"{_whole(middle, low, high)} under {scenario_label(name)}")
    if not future.gone[:, -1].any():
        return f"None of the {count} glaciers is gone by {future.told[-1]}."
    return f"Of {count} glaciers there are gone by {future.told[-1]}: {_joined(parts)}."


def _peaks(future: Future) -> str:
    """When the running mean of runoff is highest; nothing where years are too few for one."""
    years, melt = future.melt()
    if years.size < WINDOW or not melt.any():
        return ""
    parts = []
    for place, name in enumerate(future.scenarios):
        low, middle, high = future.spread(years[melt.argmax(axis=1)], place)
        when = "at the start" if round(high) == years[0] else f"about {_whole(middle, low, high)}"
        parts.append(f"{when} under {scenario_label(name)}")
    return f"Runoff from the loss of ice, over {WINDOW} years, is highest {_joined(parts)}."


def _apart(future: Future) -> str:
    """Say from when on the two scenarios that end furthest from each other differ by more than their members."""
    if len(future.scenarios) < 2:
        return ""
    bands = [future.spread(future.volume, place) for place in range(len(future.scenarios))]
    most, least = (chosen(range(len(bands)), key=lambda n: bands[n][1, -1]) for chosen in (max, min))
    upper, lower = (scenario_label(future.scenarios[n]) for n in (most, least))
    overlap = np.flatnonzero(bands[most][0] <= bands[least][2])
    if overlap.size and overlap[-1] == future.years.size - 1:
        return (
            f"{upper} and {lower} cannot be told apart: their spreads of volume, {LEVEL} of the members each, still "
            f"overlap in {future.years[-1]}."
        )
    first = int(future.years[overlap[-1] + 1 if overlap.size else 0])
    return (
        f"From {first} on the spreads of volume under {upper} and {lower}, {LEVEL} of the members each, do not "
        "overlap; the scenario matters more than the member from then on."
    )


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
