"""Options of the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What the page shows."""

    title: str = ""
    """Title of the page; empty makes one of the region's name."""
