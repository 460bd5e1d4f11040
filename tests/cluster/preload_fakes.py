"""Lets a worker find the fakes, as if another package had installed them: given to Dask as a file to load first."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "harness" / "plugin"))
