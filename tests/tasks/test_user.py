"""A user's own files: names, merging, groups, splits, refusals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.mfcore.data.frames import has_label, set_labels, write_frames
from mfbench.mfcore.data.splits import groups_of, id_of
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from tests.contracts.task import TaskContract
from tests.tasks.toy import rattled as frames


def plain(atoms: Atoms, seed: int = 0, forces: bool = True) -> Atoms:
    """Return a copy with REF_energy and REF_forces."""
    rng = np.random.default_rng([seed, len(atoms)])
    copy = atoms.copy()
    copy.info["REF_energy"] = float(rng.normal()) + float(atoms.positions.sum())
    if forces:
        copy.arrays["REF_forces"] = rng.normal(size=(len(atoms), 3))
    return copy


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """60 LF frames, 40 HF frames; half of the HF geometries are in both files."""
    folder = tmp_path_factory.mktemp("user")
    geometries = frames(80, 0)
    write(folder / "low.xyz", [plain(a, 1) for a in geometries[:60]], format="extxyz")
    write(folder / "high.xyz", [plain(a, 2) for a in geometries[40:]], format="extxyz")
    return folder / "low.xyz", folder / "high.xyz"


class TestUserTask(TaskContract):
    regimes = (Regime(n_low=30, n_high=16, labels="low=EF,high=EF", coverage="full"),)
    n_high = (4, 8, 16)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls, files):
        return UserTask(*files)


def test_plain_files_are_named_merged_and_split(files):
    task = UserTask(*files)
    assert task.fidelities == ("low", "high")
    assert len(task.frames) == 80
    both = [a for a in task.frames if has_label(a, "low", Label.ENERGY) and has_label(a, "high", Label.ENERGY)]
    assert len(both) == 20
    assert all(has_label(a, "low", Label.FORCES) for a in both)
    split = task.split(task.default_regime, 0)
    assert task.default_regime.labels == "low=EF,high=EF"
    assert task.default_regime.pairing == "disjoint"
    assert len(split.tests["in_coverage"]) == 8
    assert len(split.training.validation) == 6
    assert len(split.training.train["high"]) == 26
    held = set(groups_of([*split.tests["in_coverage"], *split.training.validation]))
    assert not held & set(groups_of(split.training.train["low"]))


def test_fully_paired_files_train_on_all_low_labels(tmp_path):
    geometries = frames(40, 3)
    write(tmp_path / "low.xyz", [plain(a, 1) for a in geometries], format="extxyz")
    write(tmp_path / "high.xyz", [plain(a, 2, forces=False) for a in geometries[::2]], format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    assert task.default_regime.pairing == "paired"
    assert task.default_regime.labels == "low=EF,high=E"
    split = task.split(task.default_regime, 0)
    assert {id_of(a) for a in split.training.train["high"]} < {id_of(a) for a in split.training.train["low"]}


def test_prefixed_names_are_kept_and_one_file_may_serve_twice(tmp_path):
    made = frames(40, 4)
    for i, atoms in enumerate(made):
        set_labels(atoms, "pbe", energy=float(i))
        if i % 2:
            set_labels(atoms, "ccsd", energy=2.0 * i)
    write_frames(tmp_path / "all.xyz", made)
    path = tmp_path / "all.xyz"
    task = UserTask(path, path, low_name="pbe", high_name="ccsd")
    assert task.fidelities == ("pbe", "ccsd")
    assert len(task.frames) == 40
    assert UserTask(path, path, high_name="ccsd").fidelities == ("pbe", "ccsd")
    with pytest.raises(DataError, match=r"which labels are the high fidelity.*pbe, ccsd"):
        UserTask(path, path)


def test_two_fidelities_with_one_name_are_refused(tmp_path):
    made = frames(20, 5)
    for atoms in made:
        set_labels(atoms, "pbe", energy=0.0)
    write_frames(tmp_path / "a.xyz", made[:10])
    write_frames(tmp_path / "b.xyz", made[10:])
    with pytest.raises(DataError, match="same name 'pbe'"):
        UserTask(tmp_path / "a.xyz", tmp_path / "b.xyz")


def test_contradicting_labels_are_refused(tmp_path):
    made = frames(20, 6)
    for atoms in made:
        set_labels(atoms, "pbe", energy=1.0)
        set_labels(atoms, "ccsd", energy=2.0)
    write_frames(tmp_path / "high.xyz", made)
    for atoms in made:
        set_labels(atoms, "pbe", energy=1.5)
    write_frames(tmp_path / "low.xyz", made)
    with pytest.raises(DataError, match="one geometry with two energies"):
        UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz", low_name="pbe", high_name="ccsd")


def test_forces_are_not_taken_from_a_turned_copy(tmp_path):
    geometries = frames(30, 7)
    write(tmp_path / "high.xyz", [plain(a, 2) for a in geometries], format="extxyz")
    low = [plain(a, 1) for a in geometries]
    for atoms in low:
        atoms.rotate(90, "z")
    write(tmp_path / "low.xyz", low, format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    assert len(task.frames) == 30
    assert all(has_label(a, "low", Label.ENERGY) for a in task.frames)
    assert not any(has_label(a, "low", Label.FORCES) for a in task.frames)


def test_given_groups_and_near_duplicates_stay_together(tmp_path):
    geometries = frames(40, 8)
    for i, atoms in enumerate(geometries):
        atoms.info["trajectory"] = f"run{i // 5}"
    nudge = geometries[7].copy()
    nudge.positions += 0.002
    nudge.positions[0] += 0.004
    nudge.info["trajectory"] = "copied"
    write(tmp_path / "high.xyz", [plain(a, 2) for a in [*geometries, nudge]], format="extxyz")
    write(tmp_path / "low.xyz", [plain(a, 1) for a in frames(30, 9)], format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    high = [a for a in task.frames if has_label(a, "high", Label.ENERGY)]
    assert len(groups_of(high)) == 8
    assert high[-1].info["group"] == "run1"
    for draw in range(3):
        task.split(Regime(n_low=20, n_high=5, coverage="full"), draw)


def test_names_that_both_files_use_do_not_clash(tmp_path):
    for name, seed in (("low", 10), ("high", 11)):
        made = [plain(a, seed) for a in frames(20, seed)]
        for i, atoms in enumerate(made):
            atoms.info["structure_id"] = f"frame-{i}"
        write(tmp_path / f"{name}.xyz", made, format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    assert len({id_of(a) for a in task.frames}) == 40
    task.split(task.default_regime, 0)


def test_too_few_high_groups_are_refused(tmp_path):
    made = [plain(a, 1) for a in frames(30, 12)]
    for atoms in made:
        atoms.info["group"] = "one"
    write(tmp_path / "high.xyz", made, format="extxyz")
    write(tmp_path / "low.xyz", [plain(a, 1) for a in frames(30, 13)], format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    with pytest.raises(DataError, match=r"high\.xyz.*too few groups"):
        task.split(task.default_regime, 0)


def test_files_without_energies_are_refused(tmp_path):
    write(tmp_path / "a.xyz", frames(3, 14), format="extxyz")
    good = [plain(a, 1) for a in frames(20, 15)]
    write(tmp_path / "b.xyz", good, format="extxyz")
    with pytest.raises(DataError, match=r"a\.xyz.*which labels"):
        UserTask(tmp_path / "a.xyz", tmp_path / "b.xyz")


def test_a_dense_data_set_can_be_split(tmp_path):
    """Frames of a triatomic are near each other by chance: that must not unite them all in one group."""
    rng = np.random.default_rng(16)
    water = []
    for _ in range(600):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(scale=0.03, size=(3, 3))
        water.append(atoms)
    write(tmp_path / "low.xyz", [plain(a, 1) for a in water[:400]], format="extxyz")
    write(tmp_path / "high.xyz", [plain(a, 2) for a in water[300:]], format="extxyz")
    task = UserTask(tmp_path / "low.xyz", tmp_path / "high.xyz")
    split = task.split(task.default_regime, 0)
    assert len(split.tests["in_coverage"]) >= 60
    assert len(split.training.train["high"]) > 150
