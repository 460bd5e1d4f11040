"""Tests that need the network of another package."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def need(package: str) -> None:
    """Skip a module of tests where a package is missing; `tox run -e peers-tests` has them all."""
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: tox run -e peers-tests", allow_module_level=True)
