from __future__ import annotations

from tests.harness.conftest import fakes

__all__ = ["fakes"]
