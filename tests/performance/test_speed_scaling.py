"""Sizes, their order, what is made of their times, and the roofline of known work."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from rich.console import Console

from mfbench.benchmarks.performance.harness.progress import Shown
from mfbench.benchmarks.performance.scaling import execute
from mfbench.benchmarks.performance.scaling.__main__ import _DEFAULT_OUT, results_file
from mfbench.benchmarks.performance.scaling.execute import one_round, time_once
from mfbench.benchmarks.performance.scaling.report import (
    exponents,
    memory_table,
    roofline_table,
    sizes,
    table_of,
    verdict,
)
from mfbench.benchmarks.performance.scaling.roofline import bound_s, copy, gemm
from mfbench.benchmarks.performance.scaling.settings import ATOMS, AXES, BASE, FIXED_ATOMS, Point, points
from mfbench.benchmarks.performance.speed.settings import Job

ROOT = Path(__file__).parents[2]


def record(exponent: float) -> dict[str, Any]:
    """Two rounds whose total time grows with a known power; the second one is slower."""

    def at(n: int, factor: float) -> dict[str, Any]:
        return {
            **Point("atoms", n, BASE).as_dict(),
            "n_edges": 28 * n,
            "graph_cpu_s": factor * 1e-5 * n**exponent,
            "energy_forces_cpu_s": factor * 3e-5 * n**exponent,
            "energy_forces_system_s": 0.0,
        }

    return {"rounds": [[at(n, factor) for n in ATOMS] for factor in (1.0, 1.3)]}


def test_exponent_is_that_of_the_fastest_rounds() -> None:
    law = exponents(record(1.02), "atoms")
    assert law is not None
    assert law.exponent == pytest.approx(1.02)
    assert law.factor == pytest.approx(4e-5)
    assert sizes(record(1.0), "atoms")[0].total_s == pytest.approx(4e-5 * 104)
    assert exponents(record(1.0), "lmax") is None
    assert table_of(record(1.0), "atoms").row_count == len(ATOMS)


@pytest.mark.parametrize(("exponent", "passed"), [(1.0, True), (1.04, True), (1.2, False)])
def test_verdict(exponent: float, passed: bool) -> None:
    found, sentence = verdict(record(exponent))
    assert found is passed
    assert f"{exponent:.3f}" in sentence


def test_small_sizes_decide_nothing_where_there_are_large_ones() -> None:
    """Overheads make small sizes dear, which would make a bad exponent look good."""
    made = record(1.2)
    for one in made["rounds"]:
        one[0]["energy_forces_cpu_s"] = one[1]["energy_forces_cpu_s"] = one[2]["energy_forces_cpu_s"]
    law = exponents(made, "atoms")
    assert law is not None
    assert law.exponent < 1.2
    assert verdict(made)[0] is False


def test_the_tracked_growth_is_reported() -> None:
    (stored,) = results_file(ROOT / _DEFAULT_OUT).read()
    for axis in AXES:
        assert table_of(stored, axis).row_count == len(points(axes=[axis]))
    assert memory_table(stored["memory"]).row_count == len(stored["memory"]) > 0
    assert roofline_table(stored["roofline"]).row_count == len(stored["roofline"]["rows"])
    assert verdict(stored)[0] is True


class Quick:
    """Stands for timing: one atom takes a microsecond."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[int] = []
        monkeypatch.setattr(execute, "time_once", self)

    def __call__(self, point: Point, seconds: float, number: int) -> dict[str, float]:
        self.made.append(point.n_atoms)
        times = dict.fromkeys(("graph_cpu_s", "energy_forces_cpu_s", "energy_forces_system_s"), 1e-6 * point.n_atoms)
        return {**times, "n_edges": 28 * point.n_atoms}


def test_rounds_go_on_to_and_fro_and_memory_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, asked = Quick(monkeypatch), []

    def memory(job: Job, python: str, quantities: list[str]) -> dict[str, Any]:
        asked.append((job.contender, job.workload, python, quantities))
        return {"energy_forces": 1000, "versions": {}} if job.contender == "mfcore" else {"reason": "no memory"}

    monkeypatch.setattr(execute, "asked_memory", memory)
    out, few = results_file(tmp_path / "scaling.json"), points([104, FIXED_ATOMS], ["atoms"])
    told = Shown(Console(file=io.StringIO()), 1.0)
    for rounds in (1, 2, 2):
        found = execute.record_of(out, few, memory_kept=True)
        execute.add_rounds(found, few, rounds, 0.1, out, told)
        execute.add_memory(found, [104, FIXED_ATOMS], "peers/python", out, told)
    assert quick.made == [104, FIXED_ATOMS, FIXED_ATOMS, 104]
    assert [[place["n_atoms"] for place in one] for one in found["rounds"]] == [[104, FIXED_ATOMS]] * 2
    crystal, what = f"crystal:{FIXED_ATOMS}", ["energy_forces"]
    assert asked == [("mfcore", crystal, sys.executable, what), ("nequip", crystal, "peers/python", what)]
    assert [(e["name"], e.get("bytes"), e.get("reason")) for e in found["memory"]] == [
        ("mfcore", 1000, None),
        ("nequip", None, "no memory"),
    ]
    assert out.read() == [found]
    assert execute.record_of(out, few, memory_kept=False)["rounds"] == []  # another setting is another record


def test_axes_change_one_thing_each() -> None:
    for axis, changed in (("edges", "cutoff"), ("channels", "channels"), ("lmax", "lmax")):
        along = points(axes=[axis])
        assert len({point.n_atoms for point in along}) == 1
        values = [getattr(point.network, changed) for point in along]
        assert values == sorted(set(values))
        assert {replace(point.network, **{changed: 1}) for point in along} == {replace(BASE, **{changed: 1})}
    assert {point.network for point in points(axes=["atoms"])} == {BASE}
    assert max(ATOMS) >= 100_000


def test_one_size() -> None:
    network = replace(BASE, lmax=1, channels=8, n_layers=1, radial_hidden=(8,))
    found = time_once(Point("atoms", 104, network), 0.01)
    assert found["n_edges"] == pytest.approx(27.7 * 104, rel=0.02)
    assert found["graph_cpu_s"] > 0
    assert found["energy_forces_cpu_s"] > 0


def test_every_measurement_finds_its_neighbours_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process keeps the neighbour lists of frames that it has seen; a graph from there would cost nothing."""
    from mfbench.mfcore.data import graphs

    made: list[int] = []
    plain = graphs.neighbour_list

    def counting(atoms: Atoms, cutoff: float) -> Any:
        made.append(len(atoms))
        return plain(atoms, cutoff)

    monkeypatch.setattr(graphs, "neighbour_list", counting)
    network = replace(BASE, lmax=1, channels=8, n_layers=1, radial_hidden=(8,))
    same = [Point("channels", 936, network), Point("lmax", 936, network)]
    for number in (0, 1):
        one_round(same, number, 0.01, lambda point: None)
    assert made.count(936) == 4


def test_the_roofline_bounds_by_what_takes_longer() -> None:
    assert bound_s(100.0, 1.0, gemm_rate=10.0, copy_rate=10.0) == pytest.approx(10.0)
    assert bound_s(1.0, 100.0, gemm_rate=10.0, copy_rate=20.0) == pytest.approx(5.0)


def test_yardsticks_count_what_they_do() -> None:
    assert gemm().flops == 2 * 1024**3
    assert copy().n_bytes == 2 * 256 * 2**20
    rows = {
        "gemm": {"flops": 2e9, "bytes": 1e6, "cpu_s": [0.03, 0.02]},
        "copy": {"flops": 0.0, "bytes": 5e8, "cpu_s": [0.025]},
        "convolution": {"flops": 1e9, "bytes": 1e6, "cpu_s": [0.02]},
    }
    table = roofline_table({"workload": "crystal:416", "gemm_size": 1024, "copy_bytes": 2**28, "rows": rows})
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["GFLOP/s"] == ["100.0", "", "50.0"]
    assert cells["GB/s"] == ["0.1", "20.0", "0.1"]
    assert cells["of the bound"] == ["100 %", "100 %", "50 %"]


def test_memory_names_what_did_not_fit() -> None:
    entries = [
        {"contender": "mfcore", "n_atoms": 1000, "bytes": 4e7},
        {"contender": "NequIP", "n_atoms": 1000, "reason": "killed by signal 9 (out of memory?)"},
    ]
    cells = [list(column.cells) for column in memory_table(entries).columns]
    assert cells[3] == ["40.0", ""]
    assert "out of memory" in cells[2][1]


@pytest.mark.skipif(find_spec("pytest_benchmark") is None, reason="pytest-benchmark is not installed")
def test_suites_give_cpu_times_and_the_hash_of_their_source(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-json", str(out)),
        *("-k", "reference or molecules", "benchmarks/performance/suites/test_reference.py"),
        "benchmarks/performance/suites/test_neighbours.py",
    ]
    # this run's workers and folders are none of its business
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command += ["--basetemp", str(tmp_path / "own")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    entries = {entry["name"]: entry for entry in json.loads(out.read_text())["benchmarks"]}
    assert set(entries) == {"test_reference_gemm", "test_graphs[molecules:32]"}
    assert len({entry["extra_info"]["source_sha256"] for entry in entries.values()}) == 2
    for entry in entries.values():
        assert "process_time" in entry["options"]["timer"]
        assert entry["stats"]["rounds"] >= 10
    # a product of this size takes from a millisecond to a second on anything that runs this
    assert 1e-3 < entries["test_reference_gemm"]["stats"]["min"] < 1.0
