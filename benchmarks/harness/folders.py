"""Folders where commands put runs if they are not told."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("results/runs")
"""Folder of the folders of runs."""
