"""Options of reconstruct."""

from __future__ import annotations

from dataclasses import dataclass

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class ReconstructOptions:
    """What is predicted."""

    net: str = ""
    """Net that predicts all glaciers; empty takes the one that wins with years held out for observed glaciers and the
    one that wins with glaciers held out for the others."""
    maps: bool = True
    """Write maps of the balance (smb_map_*.zarr, beside the reconstruction) where the model has a raster network."""
    seasonal: bool = False
    """Write winter balances too, as maps and per glacier, by the raster network."""
    gapfill: bool = False
    """Write smb_gapfilled and smb_gapfilled_std too: the ensemble mean conditioned on annual and geodetic balances, of
    other glaciers, of other years, never on the value that it predicts."""
