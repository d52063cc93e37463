"""Style sheets of the page; each goes into the shadow of the components that it is for."""

from __future__ import annotations

from collections.abc import Iterable

from glacierscale.exploration import looks

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

_COLOURS = ("INK", "SOFT", "RULE", "GROUND", "PAPER", "ACCENT", "WARNING", "FAILURE")


def _either(colour: str) -> str:
    """A colour on light paper and what it is on dark paper."""
    return f"light-dark({colour}, {looks.in_the_dark(colour)})"


_VARIABLES = " ".join(f"--explore-{name.lower()}: {_either(getattr(looks, name))};" for name in _COLOURS)
FOLLOWS = "explore-follows"
"""Class of a page whose paper is dark where the browser prefers it."""

PAGE = f"""
:host {{ min-width: 0 !important; }}
:host(.explore-page) {{ color-scheme: light; {_VARIABLES} }}
:host(.{FOLLOWS}) {{
  color-scheme: light dark;
  --design-background-color: var(--explore-paper); --design-background-text-color: var(--explore-ink);
  --design-surface-color: var(--explore-ground); --design-surface-text-color: var(--explore-ink);
}}
:host(.explore-page) {{
  height: clamp(640px, 100vh, 1200px); box-sizing: border-box; padding: 12px 18px 10px; overflow: hidden;
  font-family: {FONT}; color: var(--explore-ink); background: var(--explore-paper);
}}
:host(.explore-body) {{ gap: 22px; min-height: 0; }}
:host(.explore-map) {{ flex: 1.25 1 0 !important; min-width: 0; min-height: 0; gap: 6px; }}
:host(.explore-side) {{ flex: 1 1 0 !important; min-width: 0; min-height: 0; gap: 6px; }}
:host(.explore-row) {{ gap: 10px; flex-wrap: wrap; align-items: end; }}
@media (max-width: 820px) {{
  :host(.explore-page) {{ height: auto; overflow: visible; padding: 10px; }}
  :host(.explore-body) {{ flex-direction: column !important; }}
  :host(.explore-map) {{ flex: none !important; width: 100% !important; height: 78vh !important; min-height: 560px; }}
  :host(.explore-side) {{ flex: none !important; width: 100% !important; height: 720px !important; }}
}}
"""

TEXT = f"""
:host {{ font-family: {FONT}; color: var(--explore-ink); font-size: 14px; line-height: 1.4; }}
h1 {{ font-size: 20px; font-weight: 600; margin: 0 14px 0 0; display: inline; }}
h2 {{ font-size: 17px; font-weight: 600; margin: 0; }}
.facts {{ color: var(--explore-soft); }}
.aside {{ color: var(--explore-warning); margin-top: 2px; }}
.found {{ background: var(--explore-paper); border: 1px solid var(--explore-rule); padding: 4px 10px;
  font-size: 13px; }}
.label {{ color: var(--explore-soft); font-size: 12px; }}
.notice {{ color: var(--explore-soft); max-width: 34em; margin: 24px 4px; }}
code {{ font-size: 13px; background: var(--explore-ground); padding: 1px 4px; border-radius: 3px; }}
.failure {{ color: var(--explore-failure); border-left: 3px solid var(--explore-failure); padding-left: 10px; }}
.bar {{ width: 90px; height: 4px; border-radius: 2px; background: var(--explore-rule); overflow: hidden;
  display: inline-block; vertical-align: middle; margin-right: 8px; }}
.bar div {{ height: 100%; background: var(--explore-accent); }}
.bar.moving div {{ animation: moving 1.1s ease-in-out infinite alternate; }}
@keyframes moving {{ from {{ margin-left: 0 }} to {{ margin-left: 70% }} }}
"""

WIDGET = f"""
:host {{ font-family: {FONT}; }}
label {{ color: var(--explore-soft); font-size: 12px; }}
select.bk-input:not([multiple]) {{
  background-image: conic-gradient(from -34deg at 50% 100%, currentColor 68deg, transparent 0);
}}
"""

SLIDER = """
input { width: 100%; height: 22px; margin: 0; accent-color: var(--explore-accent); cursor: pointer; }
input:focus-visible { outline: 2px solid var(--explore-accent); }
"""

TABS = f"""
:host {{ font-family: {FONT}; font-size: 14px; border-bottom: 1px solid var(--explore-rule); }}
.bk-input-group.bk-inline {{ gap: 0; }}
label {{ position: relative; }}
input {{ position: absolute; inset: 0; opacity: 0; margin: 0; width: 100%; height: 100%; cursor: pointer; }}
span {{ display: block; padding: 5px 14px; color: var(--explore-soft); border-bottom: 2px solid transparent; }}
input:checked + span {{ color: var(--explore-ink); border-color: var(--explore-accent); }}
input:focus-visible + span {{ outline: 2px solid var(--explore-accent); outline-offset: -2px; }}
"""

SEARCH = """
:host { position: relative; z-index: 5; overflow: visible; }
.explore-below { position: absolute; top: 100%; right: 0; width: max-content; max-width: 90vw; }
:host(:not(:focus-within)) .explore-below { display: none; }
@media (max-width: 820px) { .explore-below { left: 0; right: auto; } }
"""

FOUND = """
label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
"""The number of what was found stands above the list, so its label is for screen readers."""


def underlined(colours: Iterable[str]) -> str:
    """Style sheet of a group of boxes to tick, each underlined in its colour."""
    return "label { font-size: 13px; } span { color: var(--explore-ink); }\n" + "".join(
        f"label:nth-of-type({place}) span {{ border-bottom: 3px solid {_either(colour)}; }}\n"
        for place, colour in enumerate(colours, 1)
    )
