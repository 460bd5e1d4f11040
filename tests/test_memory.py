"""Freed memory is kept where the C library can, and only if it may be."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from mfbench.mfcore.memory import VARIABLE, keep_freed_memory, memory_report

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")

_COUNT = """
import resource
import numpy as np
{setup}
def call():
    np.ones(12_000_000)  # 96 MB: more than glibc keeps by itself
call()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(setup: str, **environment: str) -> int:
    """Page faults of twenty calls that need a large array, in a process of its own."""
    kept = {k: v for k, v in os.environ.items() if k != VARIABLE and not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT.format(setup=setup)],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


KEEP = "from mfbench.mfcore.memory import keep_freed_memory; keep_freed_memory(); keep_freed_memory()"


@glibc
def test_a_second_call_finds_its_memory_in_place() -> None:
    assert faults(KEEP) < 200
    # at least 46 for each call, where pages are of 2 MB
    assert faults("") > 500
    assert faults(KEEP, **{VARIABLE: "0"}) > 500
    assert faults("import mfbench.mfcore.memory, mfbench.mfcore.potentials.calculator") > 500  # nothing at import


@glibc
def test_the_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert keep_freed_memory()
    assert memory_report().startswith("kept for the next call")
    monkeypatch.setenv(VARIABLE, "off")
    assert not keep_freed_memory()
    assert memory_report().startswith("as the C library has it")
