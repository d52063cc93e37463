"""The report stage: figures and one self-contained HTML page that reads the same with no network."""

from glacierscale.reporting.options import ReportOptions
from glacierscale.reporting.stage import report

__all__ = ["ReportOptions", "report"]
