"""One thread, CPU time, and the hash of its source with every benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mfbench.mfcore.provenance import source_hash

_HERE = Path(__file__).resolve().parent

#: Files that a suite uses beside its own; the core's are not among them, since it is the core that is followed.
_SHARED = (
    _HERE / "conftest.py",
    _HERE.parent / "workloads.py",
    _HERE.parent / "measure.py",
    _HERE.parent / "contenders" / "base.py",
    _HERE.parent / "contenders" / "mfcore.py",
    _HERE.parent / "speed" / "settings.py",
    _HERE.parent / "speed" / "calls.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every benchmark of these suites the same settings."""
    settings: dict[str, Any] = {
        "timer": time.process_time,  # what other processes do hardly shows
        "min_rounds": 10,
        "max_time": 1.0,
        "min_time": 0.02,
        "warmup": True,
        "warmup_iterations": 3,
        "disable_gc": True,
    }
    for item in items:
        if _HERE in Path(item.path).parents:
            item.add_marker(pytest.mark.benchmark(**settings))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def source(request: pytest.FixtureRequest, benchmark: Any) -> None:
    """Keep the hash of what is timed with the result: an edited benchmark is another benchmark."""
    benchmark.extra_info["source_sha256"] = source_hash([Path(request.node.path), *_SHARED])
