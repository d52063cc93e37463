"""What the page says: who a glacier is, and why something is not shown and which command makes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from glacierscale.exploration import looks
from glacierscale.exploration.finding import MOST_FOUND

if TYPE_CHECKING:
    from glacierscale.exploration.atlas import Atlas

NO_BALANCE = (
    "There is no surface mass balance among these stores. <code>glacierscale reconstruct</code> makes one "
    "(<code>smb.zarr</code>); give it, or the folder that it is in."
)
NO_FUTURE = (
    "There is no future of these glaciers among the stores. <code>glacierscale evolve</code> makes one "
    "(<code>ice.zarr</code>) where the cube has future climates; give it, or the folder that it is in."
)
NO_MAPS = (
    "There are no maps among these stores. <code>glacierscale rasterize</code> makes those of the terrain "
    "(<code>patches_*.zarr</code>), <code>reconstruct</code> with a raster network those of the balance, "
    "<code>evolve</code> those of the ice."
)
NO_PATCH = "This glacier has no such map: it was set aside when patches were cut, or is larger than the largest patch."
CHOOSE = "Choose a glacier on the map to see its maps."


def notice(text: str) -> str:
    """A sentence in place of a figure."""
    return f'<p class="notice">{text}</p>'


def banner(atlas: Atlas) -> str:
    """Name of the region, and what there is of it."""
    count = len(atlas.glaciers)
    area = float(np.nansum(atlas.glaciers.area_km2))
    aside = int((atlas.glaciers.set_aside != "").sum())
    facts = [f"{count:,} glacier{'s' if count != 1 else ''}", looks.number(area, "km2")]
    years = [year for quantity in atlas.quantities for year in quantity.years]
    if years:
        facts.append(f"{min(years)}–{max(years)}")
    if aside:
        facts.append(f"{aside:,} set aside")
    unfinished = "".join(f'<div class="aside">{_code(escape(said))}</div>' for said in left_out(atlas))
    return f'<h1>{escape(atlas.title)}</h1><span class="facts">{" · ".join(facts)}</span>{unfinished}'


def _code(text: str) -> str:
    return re.sub("`(.*?)`", r"<code>\1</code>", text)


def left_out(atlas: Atlas) -> list[str]:
    """Sentences on the stores that are not shown."""
    return [
        f"{one.url} is unfinished ({one.why}) and left out; the same `{one.command}` as before continues it."
        for one in atlas.left_out
    ]


def found(text: str, count: int) -> str:
    """What a search found, a line above the list."""
    if not text.strip():
        return ""
    few = f"{count} glacier{'s' if count != 1 else ''}" if count < MOST_FOUND else f"the first {MOST_FOUND} glaciers"
    said = few if count else f"No glacier has “{escape(text.strip())}” in its name or identifier."
    return f'<div class="found">{said}</div>'


def region(atlas: Atlas) -> str:
    """What stands above the series of all glaciers together."""
    return (
        f"<h2>{escape(atlas.title)}, all glaciers</h2>"
        '<div class="facts">Balance weighted by area; its band holds where errors of a year are shared by all '
        "glaciers. Click a glacier, or search for it, to see its own series.</div>"
    )


def glacier(row: Any, elevation_m: float, observed: Sequence[str]) -> str:
    """Who a glacier is.

    Parameters
    ----------
    row : pandas.Series
        Of `Atlas.glaciers`.
    elevation_m : float
        Mean elevation, NaN where it is not known.
    observed : sequence of str
        Kind of every observation.
    """
    name = row["name"] or row.glacier_id
    facts = [row.glacier_id] if row["name"] else []
    facts += [looks.number(row.area_km2, "km2")]
    facts += [f"{looks.number(elevation_m, 'm')} mean elevation"] if np.isfinite(elevation_m) else []
    facts += [f"subregion {row.subregion}"] if row.subregion else []
    facts += [f"{abs(row.lat):.3f}° {'N' if row.lat >= 0 else 'S'}, {_longitude(row.lon)}"]
    kinds = [f"{count:,} {kind}" for kind, count in Counter(observed).most_common()]
    facts += [f"observed: {', '.join(kinds)}" if kinds else "never observed"]
    aside = f'<div class="aside">Set aside: {escape(row.set_aside)}</div>' if row.set_aside else ""
    said = " · ".join(escape(str(fact)) for fact in facts)
    return f'<h2>{escape(str(name))}</h2><div class="facts">{said}</div>{aside}'


def _longitude(lon: float) -> str:
    turned = (lon + 180) % 360 - 180
    return f"{abs(turned):.3f}° {'E' if turned >= 0 else 'W'}"


def reading(what: str, share: float) -> str:
    """A bar while something is read."""
    if not what:
        return ""
    width = f"{100 * share:.0f}%" if share > 0 else "30%"
    moving = "" if share > 0 else " moving"
    return f'<div class="bar{moving}"><div style="width: {width}"></div></div><span>reading {escape(what)}</span>'


def climates(member: int | None) -> str:
    """What is drawn of every future climate."""
    drawn = "mean, and 5 to 95\N{NO-BREAK SPACE}% of the members" if member is None else f"member {member} alone"
    return f'<span class="label">Future climates: {drawn}</span>'


def failure(error: Exception) -> str:
    """What went wrong, in the words of the error."""
    return f'<div class="failure">{escape(str(error) or type(error).__name__)}</div>'
