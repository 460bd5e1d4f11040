from __future__ import annotations

from tests.cli.conftest import call
from tests.cli.test_own_files import files

__all__ = ["call", "files"]
