"""Style sheets of the page; each goes into the shadow of the components that it is for."""

from __future__ import annotations

from collections.abc import Iterable

from glacierscale.exploration import looks

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

PAGE = f"""
:host {{ min-width: 0 !important; }}
:host(.explore-page) {{
  height: clamp(640px, 100vh, 1200px); box-sizing: border-box; padding: 12px 18px 10px; overflow: hidden;
  font-family: {FONT}; color: {looks.INK}; background: {looks.PAPER};
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
:host {{ font-family: {FONT}; color: {looks.INK}; font-size: 14px; line-height: 1.4; }}
h1 {{ font-size: 20px; font-weight: 600; margin: 0 14px 0 0; display: inline; }}
h2 {{ font-size: 17px; font-weight: 600; margin: 0; }}
.facts {{ color: {looks.SOFT}; }}
.aside {{ color: #8a4b00; margin-top: 2px; }}
.found {{ background: {looks.PAPER}; border: 1px solid {looks.RULE}; padding: 4px 10px; font-size: 13px; }}
.label {{ color: {looks.SOFT}; font-size: 12px; }}
.notice {{ color: {looks.SOFT}; max-width: 34em; margin: 24px 4px; }}
code {{ font-size: 13px; background: {looks.GROUND}; padding: 1px 4px; border-radius: 3px; }}
.failure {{ color: #8c1d18; border-left: 3px solid #8c1d18; padding-left: 10px; }}
.bar {{ width: 90px; height: 4px; border-radius: 2px; background: {looks.RULE}; overflow: hidden;
  display: inline-block; vertical-align: middle; margin-right: 8px; }}
.bar div {{ height: 100%; background: {looks.ACCENT}; }}
.bar.moving div {{ animation: moving 1.1s ease-in-out infinite alternate; }}
@keyframes moving {{ from {{ margin-left: 0 }} to {{ margin-left: 70% }} }}
"""

WIDGET = f"""
:host {{ font-family: {FONT}; }}
label {{ color: {looks.SOFT}; font-size: 12px; }}
"""

TABS = f"""
:host {{ font-family: {FONT}; font-size: 14px; border-bottom: 1px solid {looks.RULE}; }}
.bk-input-group.bk-inline {{ gap: 0; }}
label {{ position: relative; }}
input {{ position: absolute; inset: 0; opacity: 0; margin: 0; width: 100%; height: 100%; cursor: pointer; }}
span {{ display: block; padding: 5px 14px; color: {looks.SOFT}; border-bottom: 2px solid transparent; }}
input:checked + span {{ color: {looks.INK}; border-color: {looks.ACCENT}; }}
input:focus-visible + span {{ outline: 2px solid {looks.ACCENT}; outline-offset: -2px; }}
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
    return "label { font-size: 13px; }\n" + "".join(
        f"label:nth-of-type({place}) span {{ border-bottom: 3px solid {colour}; color: {looks.INK}; }}\n"
        for place, colour in enumerate(colours, 1)
    )
