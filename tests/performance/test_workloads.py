"""The timed frames are those of their names, and the clocks and peaks are those of a call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfbench.benchmarks.performance.measure import mean_spent, origin, peak_increment_bytes, spent
from mfbench.benchmarks.performance.workloads import argyrodite, crystal_of, workload
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "n_frames", "n_atoms", "edges_per_atom"),
    [
        ("crystal:52", 1, 52, 1442 / 52),
        ("crystal:416", 1, 416, 27.7),
        ("crystal:4x52", 4, 208, 27.7),
        ("molecules:32", 32, 288, 8.0),
        ("crystal:2x13", 2, 26, 27.7),
    ],
)
def test_workloads_are_what_their_names_say(name: str, n_frames: int, n_atoms: int, edges_per_atom: float) -> None:
    frames = workload(name)
    assert len(frames) == n_frames
    assert sum(len(atoms) for atoms in frames) == n_atoms
    n_edges = sum(len(neighbour_list(atoms, 5.0)[0]) for atoms in frames)
    assert n_edges / n_atoms == pytest.approx(edges_per_atom, rel=0.01)
    for atoms in frames:
        assert min(np.linalg.norm(v) for v in _vectors(atoms)) > 0.8
    if name.startswith("crystal"):
        for atoms in frames:
            counts = {symbol: atoms.get_chemical_symbols().count(symbol) for symbol in ("Li", "P", "S", "Cl")}
            unit = counts["P"]
            assert counts == {"Li": 6 * unit, "P": unit, "S": 5 * unit, "Cl": unit}


def _vectors(atoms: Any) -> np.ndarray:
    sender, receiver, shift = neighbour_list(atoms, 5.0)
    return atoms.positions[sender] - atoms.positions[receiver] + shift


def test_crystals_of_any_size_have_one_density() -> None:
    density = 52 / argyrodite().get_volume()
    for n_atoms in (104, 1404, 3328):
        atoms = crystal_of(n_atoms)
        assert len(atoms) == n_atoms
        assert len(atoms) / atoms.get_volume() == pytest.approx(density)


@pytest.mark.parametrize("name", ["crystal", "crystal:x", "crystal:0", "molecules:2x3", "water:3"])
def test_unknown_workloads_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected crystal:ATOMS"):
        workload(name)


def test_measures() -> None:
    array = np.zeros(2_000_000)
    short, calls = mean_spent(array.sum, 0.05)
    assert calls > 5
    assert 0 < short.cpu_s < 0.05
    one, calls = mean_spent(lambda: [array.sum() for _ in range(200)], 0.02)
    assert calls == 1
    assert one.cpu_s > 20 * short.cpu_s
    assert spent(lambda: None).wall_s < 0.1


def test_peak_memory_is_that_of_the_call() -> None:
    size = 300 * 2**20
    found = peak_increment_bytes(lambda: np.ones(size // 8).sum())
    assert found == pytest.approx(size, rel=0.05)


def test_peak_memory_of_a_process_is_not_that_of_its_parent() -> None:
    parent = np.ones(800 * 2**20 // 8)
    code = (
        "import numpy as np\n"
        "from mfbench.benchmarks.performance.measure import peak_increment_bytes\n"
        "print(peak_increment_bytes(lambda: np.ones(100 * 2**20 // 8).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert parent[0] == 1
    assert int(done.stdout) == pytest.approx(100 * 2**20, rel=0.1)


def test_origin_names_machine_and_versions() -> None:
    found = origin(("numpy", "no-such-distribution"))
    assert found["versions"] == {"numpy": np.__version__, "no-such-distribution": "not installed"}
    assert found["machine"]["cores"] >= 1
