"""The comparison of batched dynamics with ASE runs what it says, and says what it ran."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfbench.benchmarks.performance import md_throughput


def test_both_ways_run_and_the_file_has_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "md.json"
    md_throughput.main(["--replicas", "1", "2", "--steps", "3", "--rounds", "1", "--channels", "4", "--out", str(file)])
    stored = json.loads(file.read_text(encoding="utf-8"))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + len(stored["results"])
    for line, text in zip(stored["results"], printed[2:], strict=True):
        assert (line["atoms"], line["steps"]) == (13, 3)
        assert line["ratio"] == pytest.approx(line["batched_atom_steps_per_cpu_s"] / line["ase_atom_steps_per_cpu_s"])
        assert int(text.split()[0]) == line["replicas"]
    assert stored["core"]["channels"] == 4


def test_nothing_falls_apart_on_the_way() -> None:
    model = md_throughput.potential(4)
    frames = [md_throughput.argyrodite(seed, primitive=True) for seed in range(2)]
    run = md_throughput.batched(model, frames, 60)
    assert [r.status for r in run.results] == ["survived"] * 2
    assert np.ptp(run.series[0][:, 1]) > 0  # the forces are not nothing
