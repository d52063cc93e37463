"""A small mountain range with known truth: the embedded default region, and the generator of scale tests.

Glaciers sit one per tile of a lattice, and every random number is keyed by the seed, its purpose and its place, so that
any block of glaciers or slab of rows, made alone, equals the same part of the whole byte for byte.

The true mass balance comes from a monthly temperature-index model (`TrueProcess`) on elevation bands of the constant
outlines; observations are that truth and Gaussian noise of the standard errors they state.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from glacierscale.synthetic.options import SyntheticOptions, TrueProcess

if TYPE_CHECKING:
    from glacierscale.synthetic.atmosphere import climate as climate
    from glacierscale.synthetic.futures import FUTURES as FUTURES
    from glacierscale.synthetic.futures import future as future
    from glacierscale.synthetic.margins import inventories as inventories
    from glacierscale.synthetic.margins import outlines as outlines
    from glacierscale.synthetic.margins import vertices as vertices
    from glacierscale.synthetic.mass_balance import degree_day_factors as degree_day_factors
    from glacierscale.synthetic.mass_balance import truth as truth
    from glacierscale.synthetic.mass_balance import truth_at as truth_at
    from glacierscale.synthetic.mass_balance import truth_seasonal as truth_seasonal
    from glacierscale.synthetic.relief import terrain as terrain
    from glacierscale.synthetic.relief import thickness as thickness
    from glacierscale.synthetic.survey import observations as observations

_HOME = {
    "FUTURES": "futures",
    "climate": "atmosphere",
    "degree_day_factors": "mass_balance",
    "future": "futures",
    "inventories": "margins",
    "observations": "survey",
    "outlines": "margins",
    "terrain": "relief",
    "thickness": "relief",
    "truth": "mass_balance",
    "truth_at": "mass_balance",
    "truth_seasonal": "mass_balance",
    "vertices": "margins",
}

__all__ = [
    "FUTURES",
    "SyntheticOptions",
    "TrueProcess",
    "climate",
    "degree_day_factors",
    "future",
    "inventories",
    "observations",
    "outlines",
    "terrain",
    "thickness",
    "truth",
    "truth_at",
    "truth_seasonal",
    "vertices",
]


def __getattr__(name: str) -> Any:
    # Geospatial libraries load with the first generator that is asked for: a command line needs only the options.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
