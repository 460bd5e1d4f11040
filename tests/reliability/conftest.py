from __future__ import annotations

import pytest

from tests.cli.conftest import call
from tests.harness.conftest import fakes
from tests.reliability.counts import lines

__all__ = ["call", "fakes"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was tried."""
    if found := lines():
        terminalreporter.section("tried")
        for line in found:
            terminalreporter.write_line(line)
