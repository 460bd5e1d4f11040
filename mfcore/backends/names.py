"""Names of the backends."""

from __future__ import annotations

from typing import Literal

Backend = Literal["auto", "reference", "cpp", "numba", "triton"]
