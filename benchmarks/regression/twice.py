"""A planted slowdown: everything that pytest-benchmark times is done twice.

`pytest -p mfbench.benchmarks.regression.twice` does so for all but the reference kernel, as a change of the code would.
"""

from __future__ import annotations

from typing import Any

import pytest

from mfbench.benchmarks.regression.speed import REFERENCE


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Wrap what the test gives to the fixture `benchmark`."""
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if benchmark is None or item.name == REFERENCE:
        return (yield)

    def run_twice(function: Any, *arguments: Any, **options: Any) -> Any:
        def both() -> Any:
            function(*arguments, **options)
            return function(*arguments, **options)

        return benchmark(both)

    fixtures = item.funcargs  # type: ignore[attr-defined]
    fixtures["benchmark"] = run_twice
    try:
        return (yield)
    finally:
        fixtures["benchmark"] = benchmark  # the plugin makes its report of it
