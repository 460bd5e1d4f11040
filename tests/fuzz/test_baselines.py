"""Mutated baselines: refused with the file's name, or what was written."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.benchmarks.regression.baseline import Baseline, BaselineCell, BaselineSpeed, read_baseline, write_baseline
from tests.fuzz import mutate
from tests.fuzz.watch import Watch

LONG = 500
JUNK = (*mutate.JUNK, "NaN", "Infinity", '"a": 1,', "{}", "[]", "0/0", '"values": {"0/0": 1.0},')


def original() -> Baseline:
    cells = [
        BaselineCell(
            task="water",
            regime="n_low=10 low=EF,high=E",
            arm=arm,
            split=split,
            metric="force_mae_mev_per_A",
            benchmark="ab12" * 16,
            values={f"0/{seed}": 10.0 + seed / 7 for seed in range(6)},
        )
        for arm in ("single_fidelity", "transfer")
        for split in ("in_coverage", "out_of_coverage")
    ]
    return Baseline(
        preset="regress",
        date="2026-01-01T00:00:00+00:00",
        mfbench_version="0.1.0",
        commit=None,
        torch_version="2.13.0",
        cells=cells,
        speed=[BaselineSpeed(name="a::b", source="cd34", ratios=[1.5, 1.25])],
    )


def check(path: Path, seed: int, watch: Watch) -> str:
    chance = random.Random(seed)
    write_baseline(original(), path)
    text = mutate.text(path.read_text(), chance, JUNK)
    path.write_bytes(mutate.data(text.encode(), chance) if seed % 4 == 0 else text.encode())
    found = watch.run(lambda: read_baseline(path))
    if found is None:
        return "refused"
    assert found == original()
    return "accepted"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_mutated_baselines(tmp_path: Path, seed: int) -> None:
    check(tmp_path / "baseline.json", seed, Watch())


@pytest.mark.slow
def test_many_mutated_baselines(tmp_path: Path) -> None:
    watch = Watch()
    ends = [check(tmp_path / "baseline.json", seed, watch) for seed in range(LONG)]
    print(f"\nbaselines: {watch}")  # noqa: T201
    assert len(ends) >= 200
    assert ends.count("refused") > 0.5 * len(ends)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(original(), path)
    assert read_baseline(path).cells == original().cells
