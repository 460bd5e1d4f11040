"""Frames that the generator labels, in which order, and that pending labels are known and converted."""

import json
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from mfbench.benchmarks.labelling.gpaw import generation
from mfbench.benchmarks.labelling.gpaw.generation import Crystal
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.fidelity import Label


def frame(name: str, levels: str, near: bool, **info) -> Atoms:
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [2.2, 0, 0]], cell=[9, 9, 9], pbc=True)
    atoms.info = {"structure_id": name, "group": name, "levels": levels, "near": near, **info}
    return atoms


def rattled() -> list[Atoms]:
    high = [frame(f"high{k}", "pbe+r2scan", near=k < 3) for k in range(4)]
    return [frame("low0", "pbe", near=False), *high, frame("low1", "pbe", near=True)]


def label(name: str, level: str) -> str:
    record = {"structure_id": name, "level": level, "energy_eV": -1.0, "forces_eV_per_A": np.zeros((2, 3)).tolist()}
    record |= {"stress_eV_per_A3": [0.0] * 6} if level == "pbe" else {}
    return json.dumps(record | {"cpu_s": 1.0, "gpaw": "0.0", "ase": "0.0"}) + "\n"


@pytest.fixture
def crystal(tmp_path) -> Crystal:
    home = tmp_path / "argon"
    (home / "pending").mkdir(parents=True)
    return Crystal("argon", "Argon", home, rattled, dict, True, {}, lambda atoms: atoms.info["near"])


@pytest.fixture
def asked(monkeypatch) -> list[Atoms]:
    """Frames that labels were asked for."""
    found: list[Atoms] = []

    def compute(frames, out, levels, workers, limit, progress, known, settings):
        found.extend(frames)
        return out

    monkeypatch.setattr(generation, "compute", compute)
    return found


def test_frames_of_both_levels_come_first_and_both_sides_in_turns(crystal, asked, tmp_path):
    further = [frame(f"md{k}", "pbe+r2scan", near=k > 0, kind="md") for k in range(2)]
    write(tmp_path / "sampled-further.extxyz", further, format="extxyz")
    crystal.generate(tmp_path, ("pbe", "r2scan"))
    names = [atoms.info["structure_id"] for atoms in asked]
    assert Counter(names) == Counter(a.info["structure_id"] for a in (*rattled(), *further))
    assert set(names[:4]) == {"high0", "high3", "md0", "md1"}  # one of each kind and side
    assert names[4:6] == ["high1", "high2"]
    assert set(names[6:]) == {"low0", "low1"}


def test_pending_labels_are_not_computed_again_and_are_converted(crystal, asked, tmp_path):
    pending = crystal.home / "pending"
    both, one = [True, True], [True, False]
    finished = {"high0": both, "low0": one, "md0": both, "high1": one}
    lines = [label(name, level) for name, has in finished.items() for level in ("pbe", "r2scan")[: sum(has)]]
    (pending / "labels.jsonl").write_text("".join(lines))
    further = [frame("md0", "pbe+r2scan", near=False, kind="md"), frame("md1", "pbe+r2scan", near=False, kind="md")]
    write(pending / "sampled-further.extxyz", further, format="extxyz")
    crystal.generate(tmp_path / "out", ("pbe", "r2scan"))
    assert {a.info["structure_id"] for a in asked} == {"high1", "high2", "high3", "low1", "md1"}

    out = tmp_path / "out"
    out.mkdir()
    (out / "labels_0.jsonl").write_text(label("low1", "pbe"))
    kept = read_frames(crystal.converted(out))
    levels = {a.info["structure_id"]: [has_label(a, name, Label.ENERGY) for name in ("pbe", "r2scan")] for a in kept}
    assert levels == finished | {"low1": one}
