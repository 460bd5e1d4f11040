"""Tables, recommendations and figures, all computed from stored rows."""

from benchmarks.reports.recommend import recommendation
from benchmarks.reports.tables import report

__all__ = ["recommendation", "report"]
