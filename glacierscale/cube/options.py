"""Options of ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glacierscale.options import spelt


@spelt
@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What is taken from a catalogue."""

    data: str = ""
    """Folder with the catalogue's files, or public to fetch those that are published; empty takes what the catalogue
    says by default."""
    climate: str = ""
    """Climate data set of the catalogue (`dataset` in its metadata); may be empty where there is one."""
    member: int | None = None
    """Member of a climate ensemble; None takes the mean over members."""
    outlines: str = ""
    """Outline data set of the catalogue; may be empty where there is one."""
    subregions: tuple[str, ...] = ()
    """Massifs or other subregions whose glaciers are taken, as the outlines name them; empty takes all."""
    climate_end: Literal["refuse", "climatology"] = "refuse"
    """What becomes of the region's months after the end of the climate: refuse them, or take the mean of that calendar
    month over the last 30 years of the climate."""
    scenarios: tuple[str, ...] = ()
    """Climate data sets of the catalogue that are runs of climate models into the future, to evolve glaciers under;
    each is called what `scenario` in its metadata says. Empty takes none."""
    glaciers_per_block: int = 512
    """Glaciers in one block of the store."""

    def __post_init__(self) -> None:
        if self.glaciers_per_block < 1:
            raise ValueError(f"glaciers_per_block is {self.glaciers_per_block}; expected at least 1.")
        twice = sorted({name for name in self.scenarios if self.scenarios.count(name) > 1})
        if twice:
            raise ValueError(f"scenarios names {', '.join(twice)} twice; expected each data set once.")
