"""The folder of compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """$MFBENCH_CACHE, or the user's cache folder; kernels have a folder of their own in it."""
    root = os.environ.get("MFBENCH_CACHE")
    return (Path(root) if root else platformdirs.user_cache_path("mfbench")) / "kernels"
