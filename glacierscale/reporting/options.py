"""Options of the report."""

from __future__ import annotations

from dataclasses import dataclass

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the page shows."""

    title: str = ""
    """Title of the page; empty makes one of the region's name."""
    map_glaciers: int = 4
    """Glaciers whose balance is drawn as a map, where there are maps: observed ones first, then the largest."""
    thickness_of: str = ""
    """Glacier whose ice thickness is mapped, where there are maps of future ice; empty takes the largest."""

    def __post_init__(self) -> None:
        if self.map_glaciers < 0:
            raise ValueError(f"map_glaciers is {self.map_glaciers}; expected 0 (no maps) or more.")
