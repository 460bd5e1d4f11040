"""Five small molecules at MP2 and CCSD(T): the contract on an eighth of the real data, and what a file may not be."""

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from mfbench.benchmarks.tasks import fetch as fetching
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.ccsdt_small_molecules.task import HIGH, LOW, OUTSIDE, CCSDTSmallMolecules
from mfbench.benchmarks.tasks.npz import check_same_geometries, read_npz
from mfbench.mfcore.data.agreement import energy_force_slope
from mfbench.mfcore.data.frames import forces_of, has_label
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from tests.contracts.task import TaskContract

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_files = pytest.mark.skipif(
    not (SHARED / "ccsdt_small_molecules").is_dir(),
    reason="the files of the small molecules are not beside the checkout (../shared/data)",
)
MOLECULES = {"h2co": 3601, "hcooh": 5401, OUTSIDE: 7201, "ch3cho": 10073, "ch3cooh": 10910}


class Eighth(CCSDTSmallMolecules):
    """Every eighth frame."""

    reserved_high = 500
    n_test: ClassVar = {"h2co": 40, "hcooh": 40, OUTSIDE: 80}
    n_validation = 20

    def load(self):
        frames = super().load()
        self.n_frames = Counter(a.info["molecule"] for a in frames)
        return frames[::8]


@needs_files
class TestCCSDTSmallMolecules(TaskContract):
    regimes = (
        Regime(n_low=1000, n_high=50, labels="low=EF,high=E", coverage="gap"),
        Regime(n_low=1000, n_high=50, labels="low=EF,high=EF", pairing="paired", coverage="full"),
    )
    n_high = (20, 50, 200)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(fetching.DATA_VARIABLE, str(SHARED))
            task = Eighth()
            assert len(task.frames) == -(-sum(MOLECULES.values()) // 8)
            yield task

    @pytest.fixture(autouse=True)
    def _local_files(self, monkeypatch):
        monkeypatch.setenv(fetching.DATA_VARIABLE, str(SHARED))

    def test_frames_and_levels(self, task):
        assert dict(task.n_frames) == MOLECULES
        high = {a.info["molecule"] for a in task.frames if has_label(a, HIGH, Label.FORCES)}
        assert high == {"h2co", "hcooh", OUTSIDE}
        assert all(has_label(a, LOW, Label.FORCES) for a in task.frames)

    def test_units_agree_and_net_forces_vanish(self, task):
        for molecule in MOLECULES:
            frames = [a for a in task.frames if a.info["molecule"] == molecule]
            for level in task.fidelities if has_label(frames[0], HIGH, Label.ENERGY) else (LOW,):
                assert energy_force_slope(frames, level) == pytest.approx(1.0, abs=0.05)
                assert max(np.abs(forces_of(a, level).sum(0)).max() for a in frames) < 1e-5

    def test_the_gap_is_a_molecule_that_low_fidelity_knows(self, task):
        split = task.split(Regime(n_low=1000, n_high=50, coverage="gap"), 0)
        assert {a.info["molecule"] for a in split.training.train[HIGH]} == {"h2co", "hcooh"}
        assert {a.info["molecule"] for a in split.training.validation} == {"h2co", "hcooh"}
        assert {a.info["molecule"] for a in split.tests["out_of_coverage"]} == {OUTSIDE}
        assert {a.info["molecule"] for a in split.training.train[LOW]} == set(MOLECULES)
        assert len(split.training.validation) == task.n_validation

    def test_low_sets_do_not_depend_on_the_high_set(self, task):
        splits = [task.split(Regime(n_low=1000, n_high=n, coverage="full"), 1) for n in self.n_high]
        assert len({s.record["sha256"]["train_mp2"] for s in splits}) == 1
        low, high = splits[-1].training.train[LOW], splits[-1].training.train[HIGH]
        assert not {a.info["structure_id"] for a in low} & {a.info["structure_id"] for a in high}


def test_arrays_are_cut_to_the_atoms_there_are(tmp_path):
    padded = {
        "N": np.array([2, 2]),
        "Z": np.array([[6, 8, 0]] * 2),
        "R": np.pad(np.ones((2, 2, 3)), ((0, 0), (0, 1), (0, 0))),
        "F": np.zeros((2, 3, 3)),
        "E": np.zeros(2),
    }
    path = tmp_path / "a.npz"
    np.savez(path, **padded)
    arrays = read_npz(path)
    assert arrays["Z"].tolist() == [[6, 8]] * 2
    np.testing.assert_array_equal(arrays["R"], np.ones((2, 2, 3)))
    np.savez(path, **padded | {"N": np.array([2, 3])})
    with pytest.raises(DataError, match="2 numbers of atoms"):
        read_npz(path)


def test_other_geometries_are_refused_by_frame(tmp_path):
    first = np.zeros((3, 2, 3))
    second = first.copy()
    check_same_geometries(first, second, tmp_path, 1e-6)
    second[1, 0, 2] = 1e-3
    with pytest.raises(DataError, match="geometry differs") as caught:
        check_same_geometries(first, second, tmp_path, 1e-6)
    assert caught.value.frame == 1
    with pytest.raises(DataError, match=r"2 frames of 2 atoms, expected 3"):
        check_same_geometries(first, second[:2], tmp_path, 1e-6)


def test_addresses_are_of_a_commit_and_every_file_has_its_sum():
    card = CCSDTSmallMolecules().card
    assert card["address"].startswith("https://")
    assert len(card["address"].split("/")[-2]) == 40
    entries = [entry for levels in card["molecules"].values() for entry in levels.values()]
    assert len(entries) == 8
    assert all(len(entry["sha256"]) == 64 and entry["name"].endswith(".npz") for entry in entries)
