"""The report stage: figures and one self-contained HTML page that reads the same with no network."""

from glacierscale.report.options import ReportOptions
from glacierscale.report.stage import report

__all__ = ["ReportOptions", "report"]
