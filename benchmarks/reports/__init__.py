"""Tables, recommendations and figures, all computed from stored rows."""

from mfbench.benchmarks.reports.recommend import recommendation
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.tables import report

__all__ = ["Results", "recommendation", "report"]
