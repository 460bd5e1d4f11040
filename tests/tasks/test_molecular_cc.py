"""The embedded task: contract, its own split, and what its data must be."""

import json

import numpy as np
import pytest
from ase.build import molecule

from mfbench.benchmarks.labelling.molecular_cc import generate
from mfbench.benchmarks.labelling.molecular_cc.convert import convert, label_frames, read_labels
from mfbench.benchmarks.labelling.verify import verify_task
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.molecular_cc.task import (
    HIGH,
    LOW,
    TEST_IN_COVERAGE,
    TEST_OUT_OF_COVERAGE,
    TRAINING_BEYOND,
    TRAINING_GAP,
    VALIDATION,
    MolecularCC,
)
from mfbench.mfcore.data.agreement import energy_force_slope
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, write_frames
from mfbench.mfcore.data.splits import groups_of
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import Label, LabelSet
from tests.contracts.task import TaskContract


class TestMolecularCC(TaskContract):
    regimes = (
        MolecularCC.default_regime,
        Regime(n_low=400, n_high=40, pairing="paired", coverage="full"),
        Regime(n_low=400, n_high=20, labels="low=E,high=EF", coverage="gap"),
    )
    n_high = (8, 16, 32)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        return MolecularCC()


@pytest.fixture(scope="module")
def task() -> MolecularCC:
    return MolecularCC()


def test_molecules_are_used_once_and_all():
    parts = (TEST_IN_COVERAGE, TEST_OUT_OF_COVERAGE, VALIDATION, TRAINING_GAP, TRAINING_BEYOND)
    assert sorted(sum(parts, ())) == sorted(generate.MOLECULES)


def test_the_gap_is_one_of_size(task):
    split = task.split(task.default_regime, 0)
    heavy = {
        name: {int((a.numbers > 1).sum()) for a in frames}
        for name, frames in {**split.training.train, **split.tests}.items()
    }
    assert heavy == {LOW: {1, 2, 3}, HIGH: {1, 2}, "in_coverage": {2}, "out_of_coverage": {3}}
    assert sorted(groups_of(split.training.validation)) == sorted(VALIDATION)
    assert all(n > 0 for n in split.record["n_high_forces"].values())


def test_tests_carry_low_labels(task):
    for frames in task.split(task.default_regime, 0).tests.values():
        assert all(has_label(a, LOW, Label.ENERGY) and has_label(a, LOW, Label.FORCES) for a in frames)


def test_forces_balance_and_are_minus_the_gradient(task):
    """A free molecule has no net force or torque; energies of neighbouring frames agree with the forces' work."""
    for fidelity, limit in ((LOW, 0.1), (HIGH, 0.002)):
        labelled = [a for a in task.frames if has_label(a, fidelity, Label.FORCES)]
        assert labelled
        for atoms in labelled:
            forces = forces_of(atoms, fidelity)
            torque = np.cross(atoms.positions - atoms.positions.mean(axis=0), forces).sum(axis=0)
            assert np.abs(forces.sum(axis=0)).max() < limit
            assert np.abs(torque).max() < limit
        assert energy_force_slope(labelled, fidelity) == pytest.approx(1.0, abs=0.15)


def test_levels_are_related_but_not_the_same(task):
    both = [a for a in task.frames if has_label(a, HIGH, Label.ENERGY)]
    for group in groups_of(both):
        members = [a for a in both if a.info["group"] == group]
        low, high = (np.array([energy_of(a, f) for a in members]) for f in (LOW, HIGH))
        assert 0.002 < np.std(high - low) < 0.3 * np.std(high)
        assert len(members) < 8 or np.corrcoef(low, high)[0, 1] > 0.98


def test_label_cost_grows_with_size_and_labels(task):
    small = [a for a in task.frames if a.info["group"] == "CH4"]
    large = [a for a in task.frames if a.info["group"] == "CH3OH"]
    energy, forces = LabelSet.parse("E"), LabelSet.parse("EF")
    for frames in (small, large):
        assert 0 < task.label_cost(frames, HIGH, energy) < task.label_cost(frames, HIGH, forces)
    assert task.label_cost(large, HIGH, energy) > 2 * task.label_cost(small, HIGH, energy)
    assert task.label_cost(large, HIGH, energy) > task.label_cost(large, LOW, forces)


def test_verification_passes_and_sees_a_changed_file(task, tmp_path):
    checks = verify_task(task)
    assert all(check.ok for check in checks), checks
    assert len(checks) >= 6
    (tmp_path / "data").mkdir()
    (tmp_path / "dataset.yml").write_text((task.folder / "dataset.yml").read_text())
    text = (task.folder / "data" / "molecular_cc.extxyz").read_text()
    (tmp_path / "data" / "molecular_cc.extxyz").write_text(text.replace("0.1", "0.2", 1))
    (check,) = verify_task(MolecularCC(tmp_path))
    assert not check.ok
    assert "sha256" in check.detail


# --- raw labels to frames -----------------------------------------------------------------------------------


def raw(tmp_path, rows):
    frames = []
    for i in range(4):
        atoms = molecule("H2O")
        atoms.positions *= 1 + 0.02 * i
        atoms.info = {"structure_id": f"H2O-{i}", "group": "H2O", "molecule": "H2O", "n_heavy": 1}
        frames.append(atoms)
    write_frames(tmp_path / "geometries.extxyz", frames)
    (tmp_path / "w0.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return frames


def row(i, level, energy=-2000.0, forces=None, **more):
    made = {"structure_id": f"H2O-{i}", "level": level, "energy_eV": energy, "cpu_s": 2.0}
    if forces is not None:
        made["forces_eV_per_A"] = forces
    return {**made, **more}


ZERO = [[0.0, 0.0, 0.0]] * 3


def test_conversion_merges_levels_and_repeats_itself(tmp_path):
    rows = [
        row(0, "high", -2001.0, cpu_s=3.0),
        row(0, "low", -2000.0, ZERO),
        row(0, "high_forces", -2001.000001, ZERO, cpu_s=9.0),
        row(1, "low", -2000.5, ZERO),
        row(2, "high", -2001.5, cpu_s=5.0),
        {"structure_id": "H2O-3", "level": "low", "error": "RuntimeError: SCF did not converge", "cpu_s": 1.0},
    ]
    raw(tmp_path, rows)
    with (tmp_path / "w0.jsonl").open("a") as stream:
        stream.write('{"structure_id": "H2O-3", "lev')  # its writer was killed
    out = tmp_path / "out"
    convert(tmp_path, out)
    task = MolecularCC(out)
    frames = {a.info["structure_id"]: a for a in task.load()}
    assert list(frames) == ["H2O-0", "H2O-1", "H2O-2"]
    assert energy_of(frames["H2O-0"], HIGH) == -2001.000001
    assert has_label(frames["H2O-0"], HIGH, Label.FORCES)
    assert not has_label(frames["H2O-1"], HIGH, Label.ENERGY)
    assert not has_label(frames["H2O-2"], LOW, Label.ENERGY)
    assert task.card["failures"] == ["H2O-3 low: RuntimeError: SCF did not converge"]
    assert task.card["levels"][HIGH]["counts"] == {"energy": 2, "forces": 1}
    assert task.card["levels"][HIGH]["mean_cpu_s_by_n_heavy"] == {1: 4.0}
    untimed = task.label_cost([frames["H2O-1"], frames["H2O-2"]], HIGH, LabelSet.parse("E"))
    assert untimed == pytest.approx(4.0 + 5.0)
    first = (out / "data" / "molecular_cc.extxyz").read_bytes()
    (tmp_path / "w0.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[::-1]))
    convert(tmp_path, out)
    assert (out / "data" / "molecular_cc.extxyz").read_bytes() == first


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([row(9, "low", forces=ZERO)], "no geometry"),
        ([row(0, "guess")], "unknown"),
        ([row(0, "high", -2001.0), row(0, "high_forces", -2001.1, ZERO)], "differ by"),
        ([row(0, "low", forces=[[0.5, 0, 0], [0, 0, 0], [0, 0, 0]])], "net force"),
        ([row(0, "high_forces", forces=[[0, 0, 0], [0, 0.5, 0], [0, -0.5, 0]])], None),
        ([row(0, "high_forces", forces=[[0, 0, 0], [0, 0, 0.5], [0, 0, -0.5]])], "net torque"),
    ],
)
def test_impossible_labels_are_refused(tmp_path, rows, text):
    frames = raw(tmp_path, rows)
    if text is None:
        assert len(label_frames(frames, rows)) == 1
        return
    with pytest.raises(DataError, match=text):
        label_frames(frames, rows)


def test_a_broken_label_file_is_named(tmp_path):
    (tmp_path / "w0.jsonl").write_text('{"structure_id": "a"}\n{}\n')
    with pytest.raises(DataError, match=r"w0\.jsonl.*line 1"):
        read_labels(tmp_path)


# --- the generator ------------------------------------------------------------------------------------------


def test_the_plan_covers_what_was_computed_and_nothing_twice(task):
    jobs = generate.plan(task.frames)
    assert len(set(jobs)) == len(jobs)
    with_forces = {key for key, level in jobs if level == "high_forces"}
    assert not {key for key, level in jobs if level == "high"} & with_forces
    assert [level for _, level in jobs] == sorted((level for _, level in jobs), key=generate.LEVELS.index)
    assert {level for _, level in generate.plan(task.frames, ["low"])} == {"low"}
    with pytest.raises(ConfigError, match="'medium'"):
        generate.plan(task.frames, ["medium"])


def test_composite_forces_are_minus_the_gradient_of_the_composite_energy():
    pytest.importorskip("pyscf", reason="PySCF (extra 'data') is not installed")
    water = molecule("H2O")
    water.positions += np.random.default_rng(0).normal(scale=0.08, size=(3, 3))
    forces = np.array(generate.compute(water, "high_forces")["forces_eV_per_A"])
    step = 0.004
    for atom, axis in ((0, 2), (1, 1)):
        energies = []
        for sign in (1, -1):
            moved = water.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(generate.compute(moved, "high")["energy_eV"])
        assert forces[atom, axis] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=2e-3)


def test_generation_goes_on_where_it_was(tmp_path, monkeypatch):
    """With a stand-in for the programs: labels that are there are not computed again."""
    raw(tmp_path, [row(0, "low", -2000.0, ZERO)])
    asked = []

    class Inline:
        def __init__(self, *args, **kwargs):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def submit(self, work, *args):
            from concurrent.futures import Future

            future: Future[None] = Future()
            future.set_result(work(*args))
            return future

    def compute(atoms, level):
        asked.append(atoms.info["structure_id"])
        return {"energy_eV": -2000.0, "forces_eV_per_A": ZERO}

    monkeypatch.setattr(generate, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(generate, "compute", compute)
    monkeypatch.setattr(generate, "_require_programs", lambda: None)
    seen = []
    file = generate.generate(tmp_path, ["low"], limit=2, progress=lambda *state: seen.append(state))
    assert asked == ["H2O-1", "H2O-2"]
    assert [s[:2] for s in seen] == [(1, 2), (2, 2)]
    generate.generate(tmp_path, ["low"])
    assert asked == ["H2O-1", "H2O-2", "H2O-3"]
    assert file.exists()
