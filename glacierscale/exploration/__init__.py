"""The dashboard of the stores of a run: a map of all glaciers, and series, futures and maps of the chosen one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from glacierscale.store import Store

if TYPE_CHECKING:
    from glacierscale.exploration.page import Explorer

_NEEDED = ("panel", "bokeh", "colorcet", "datashader")
_SETTLE_S = 10.0
"""What is read of a run in that time is part of a notebook that is saved."""


def explore(*places: str | Path | Store) -> Explorer:
    """Look at the stores of a run: a map of its glaciers, and series, futures and maps of the one that is clicked.

    In a notebook the page shows itself in the cell; ``.show()`` opens it in a browser, ``.servable()`` makes it an
    application of ``panel serve``. No store is read whole, so they may lie in a bucket.

    Parameters
    ----------
    *places : str, Path or Store
        Stores, or folders and URLs of a run, whose finished stores are all taken.

    Returns
    -------
    glacierscale.exploration.page.Explorer
        An object of Panel; its method ``choose`` chooses a glacier by a part of its name.

    Raises
    ------
    ValueError
        If the dashboard is not installed, or stores do not belong together.
    StoreError
        If there is no store at a place, or one that is named is unfinished.
    """
    require()
    from glacierscale.exploration.atlas import open_atlas
    from glacierscale.exploration.page import Explorer

    atlas = open_atlas(*places)
    return Explorer(atlas, settle_s=_SETTLE_S if _load_in_notebook() else 0)


def require() -> None:
    """Raise `ValueError` where what the dashboard needs is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"the dashboard needs {', '.join(missing)}; pip install 'glacierscale[dashboard]'.")


def _load_in_notebook() -> bool:
    """Bring Panel's part for the browser into a notebook that lacks it, as one may be offline; whether this is one."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return False
    import panel as pn

    if not pn.extension._loaded:
        pn.extension(inline=True)
    return True
