from __future__ import annotations

from tests.cli.conftest import call
from tests.harness.conftest import fakes

__all__ = ["call", "fakes"]
