from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mfbench.mfcore.cores.registry
import mfbench.strategies.registry
from mfbench.benchmarks.harness import prepare
from mfbench.benchmarks.harness.columns import detail_types
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.observables.registry import observables
from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.metrics import metrics, report_sections
from mfbench.benchmarks.tasks.base import Regime

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Install the fakes as another package would; yields the file in which arms note their steps."""
    arms = mfbench.strategies.registry
    caches = (arms._points, traits, prepare._task, prepare._split, observables, metrics, report_sections)
    caches = (*caches, detail_types, mfbench.mfcore.cores.registry._points)
    monkeypatch.syspath_prepend(PLUGIN)
    log = tmp_path / "steps.log"
    log.touch()
    monkeypatch.setenv("MFBENCH_FAKE_LOG", str(log))
    for cache in caches:
        cache.cache_clear()
    yield log
    for cache in caches:
        cache.cache_clear()


def spec(arm: str = "fake_mean", **changes: object) -> RunSpec:
    """A run of the fake task."""
    regime = Regime(n_low=10, n_high=9, coverage="full")
    values: dict[str, object] = {"task": "fake_task", "regime": regime, "arm": arm, "budget": 1000.0, "seed": 0}
    return RunSpec(**(values | {"draw": 0} | changes))  # type: ignore[arg-type]
