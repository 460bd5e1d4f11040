"""Mixing energies, hull and bulk moduli of a made-up alloy whose every number is known."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.units import GPa
from pydantic import ValidationError

from mfbench.benchmarks.harness.columns import detail_frame
from mfbench.benchmarks.observables.alloy import alloy_of
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.benchmarks.observables.hull.measurement import HULL, hull
from mfbench.benchmarks.observables.hull.observable import HullPlan
from mfbench.benchmarks.observables.mixing.observable import MIXING, MixingPlan, mixing
from mfbench.benchmarks.reports.metrics import metric_of
from mfbench.benchmarks.tasks.ingan.task import InGaN
from mfbench.mfcore.data.frames import energy_of, set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.potentials import relax_many
from mfbench.mfcore.potentials.relax import relax
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import tiny_settings
from tests.tasks.toy import ToyTask

LOW, HIGH = "pbe", "r2scan"
OMEGA = 0.12
"""eV/atom: at x = 1/4 the mixing energy is 22.5 meV/atom, at 1/2 it is 30."""

VOLUME = 90.0
"""Å³ of the cells of eight atoms where no stress is."""

STIFFNESS = 100.0
"""eV: the energy of a cell is this times (V/V0 - 1)²."""

INNER = np.array([0.25, 0.5, 0.5, 0.75])


def share(atoms: Atoms) -> float:
    symbols = atoms.get_chemical_symbols()
    return symbols.count("In") / (symbols.count("In") + symbols.count("Ga"))


class Solution(Calculator):
    """A regular solution: linear in x plus omega x (1 - x) per atom, whatever the order, and an elastic cell."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(
        self,
        omega: float = OMEGA,
        linear: tuple[float, float] = (-5.0, -3.5),
        volume: float = VOLUME,
        stiffness: float = STIFFNESS,
        broken: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        self.omega, self.linear, self.volume, self.stiffness, self.broken = omega, linear, volume, stiffness, broken

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        x, off = share(self.atoms), self.atoms.get_volume() / self.volume - 1.0
        chemical = self.linear[0] * (1 - x) + self.linear[1] * x + self.omega * x * (1 - x)
        forces = np.full((len(self.atoms), 3), np.nan if x in self.broken else 0.0)
        stress = np.zeros(6)
        stress[:3] = 2.0 * self.stiffness * off / self.volume
        energy = len(self.atoms) * chemical + self.stiffness * off**2
        self.results = {"energy": energy, "forces": forces, "stress": stress}


class Fake:
    """A potential that is an analytic calculator."""

    requires_low_labels: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **solution) -> None:
        self.solution = solution

    def calculator(self, fidelity):
        assert fidelity == HIGH
        return Solution(**self.solution)

    def predict(self, frames, fidelity, *, forces):
        assert fidelity == HIGH
        energies = []
        for atoms in frames:
            bare = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True, calculator=Solution())
            bare.calc = Solution(**self.solution)
            energies.append(bare.get_potential_energy())
        return SimpleNamespace(energies=np.array(energies))


def cell(n_indium: int, volume: float, **info) -> Atoms:
    atoms = bulk("GaN", "zincblende", a=volume ** (1 / 3), cubic=True)
    gallium = [i for i, symbol in enumerate(atoms.get_chemical_symbols()) if symbol == "Ga"]
    for i in gallium[:n_indium]:
        atoms[i].symbol = "In"
    atoms.info |= {"x_In": n_indium / 4} | info
    for fidelity, omega in ((LOW, 0.5 * OMEGA), (HIGH, OMEGA)):
        level = Solution(omega)
        level.calculate(atoms)
        set_labels(atoms, fidelity, **level.results)
    return atoms


def alloy_frames() -> list[Atoms]:
    frames = [
        cell(n, VOLUME, kind="ordering", structure_id=f"o{k}", group=f"o{k}") for k, n in enumerate((0, 1, 2, 2, 3, 4))
    ]
    for member, n in (("GaN", 0), ("InN", 4)):
        for k, ratio in enumerate((0.94, 0.97, 1.0, 1.03, 1.06)):
            name = f"{member}{k}"
            frames.append(cell(n, ratio * VOLUME, kind="eos", member=member, structure_id=name, group=name))
    return frames


def task_with(frames: list[Atoms]) -> InGaN:
    task = InGaN()
    task.frames = frames
    return task


@pytest.fixture
def task() -> InGaN:
    return task_with([*alloy_frames(), cell(1, 1.1 * VOLUME, structure_id="rattled", group="rattled")])


def measure(potential, task, *, thresholds: tuple[float, ...] | None = None, **plan) -> Evaluation:
    """Mixing energies and hull of one relaxation."""
    relaxation = {key: value for key, value in plan.items() if key != "bulk_modulus"}
    distances = {} if thresholds is None else {"thresholds_ev_per_atom": thresholds}
    asked = HullPlan(**relaxation, **distances)
    classified = hull(potential, task, asked, asked.thresholds_ev_per_atom)
    return mixing(potential, task, MixingPlan(**plan)).and_also(classified)


def scores(evaluation) -> dict[str, float]:
    assert {row["split"] for row in evaluation.rows} <= {MIXING, HULL}
    assert len({row["metric"] for row in evaluation.rows}) == len(evaluation.rows)
    return {row["metric"]: row["value"] for row in evaluation.rows}


def test_a_perfect_potential_has_no_error_and_positive_mixing_energies(task):
    found = measure(Fake(), task)
    values = scores(found)
    assert values["mixing_energy_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-6)
    assert values["mixing_energy_unrelaxed_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-6)
    assert values["mixing_energy_r2"] == pytest.approx(1.0)
    assert values["mixing_n_failed"] == 0
    lines = {line["structure_id"]: line for line in found.details["mixing"]}
    assert len(lines) == 6  # the orderings, and not the rattled frame
    for line in lines.values():
        expected = 1000 * OMEGA * line["x"] * (1 - line["x"])
        assert line["energy_ref_mev_per_atom"] == pytest.approx(expected, abs=1e-9)
        assert line["energy_pred_mev_per_atom"] == pytest.approx(expected, abs=1e-6)
    # all mix with a positive energy: the hull is the line between the end members, which are not scored
    assert [line["structure_id"] for line in found.details["hull"]] == ["o1", "o2", "o3", "o4"]
    for line in found.details["hull"]:
        assert line["distance_ref_ev_per_atom"] == pytest.approx(OMEGA * line["x"] * (1 - line["x"]), abs=1e-12)
    for name, records in found.details.items():
        assert len(detail_frame(name, records)) == len(records)


def test_errors_are_those_put_in_and_what_is_linear_in_x_cancels(task):
    """Omega is 40 meV/atom too large, and both end members are off by different constants."""
    found = scores(measure(Fake(omega=OMEGA + 0.04, linear=(-1.0, 2.0)), task))
    errors = 40.0 * INNER * (1 - INNER)
    assert found["mixing_energy_mae_mev_per_atom"] == pytest.approx(errors.mean(), abs=1e-6)
    reference = 1000 * OMEGA * INNER * (1 - INNER)
    r2 = 1 - (errors**2).sum() / ((reference - reference.mean()) ** 2).sum()
    assert found["mixing_energy_r2"] == pytest.approx(r2, abs=1e-6)


def test_relaxation_and_energy_errors_are_told_apart(task):
    """The potential's cells are 4 % larger: of no effect where all are off alike, of some where end members are not."""
    larger = 1.04 * VOLUME
    found = scores(measure(Fake(volume=larger), task, fmax_ev_per_a=1e-5))
    assert found["mixing_energy_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-3)
    for atoms in task.orderings():
        if atoms.info["x_In"] in (0.0, 1.0):  # the end members lie at the minimum, the others do not
            atoms.set_cell(atoms.cell * 1.04 ** (1 / 3), scale_atoms=True)
    found = scores(measure(Fake(volume=larger), task, fmax_ev_per_a=1e-5))
    elastic = 1000 * STIFFNESS * (VOLUME / larger - 1) ** 2 / 8
    assert found["mixing_energy_unrelaxed_mae_mev_per_atom"] == pytest.approx(elastic, abs=1e-3)
    assert found["mixing_energy_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-3)


def test_classification_at_each_threshold(task):
    """Distances are 22.5, 30, 30, 22.5 meV/atom; those of the potential 18.75, 25, 25, 18.75."""
    found = measure(Fake(omega=0.1), task, thresholds=(0.028, 0.024))
    values = scores(found)
    assert values["hull_threshold_mev_per_atom"] == 28.0
    assert values["hull_recall"] == 1.0
    assert values["hull_precision"] == 0.5  # at 28 meV/atom the potential calls all stable
    assert values["hull_f1"] == pytest.approx(2 / 3)
    assert values["hull_daf"] == 1.0
    assert values["hull_n_missing"] == 0.0
    assert values["hull_mae_mev_per_atom"] == pytest.approx(np.mean([3.75, 5.0, 5.0, 3.75]), abs=1e-6)
    assert values["hull_unrelaxed_mae_mev_per_atom"] == pytest.approx(np.mean([3.75, 5.0, 5.0, 3.75]), abs=1e-6)
    assert values["hull_unrelaxed_f1"] == pytest.approx(2 / 3)
    assert values["hull_f1_24mev_per_atom"] == 1.0
    assert values["hull_daf_24mev_per_atom"] == 2.0
    assert {row["n"] for row in found.rows if row["split"] == HULL} == {4}


def test_the_hull_is_that_of_the_reference(task):
    """With a compound at x = 1/2 the reference's hull has a corner, and the potential, which has none, is above it."""
    compound = task.orderings()[2]
    ends = energy_of(task.orderings()[0], HIGH), energy_of(task.orderings()[5], HIGH)
    set_labels(compound, HIGH, energy=0.5 * sum(ends) - 8 * 0.02)
    found = measure(Fake(), task, thresholds=(0.01,))
    lines = {line["structure_id"]: line for line in found.details["hull"]}
    assert lines["o2"]["distance_ref_ev_per_atom"] == pytest.approx(0.0, abs=1e-12)
    assert lines["o1"]["distance_ref_ev_per_atom"] == pytest.approx(0.0225 + 0.01)
    assert lines["o3"]["distance_ref_ev_per_atom"] == pytest.approx(0.03 + 0.02)
    assert lines["o2"]["distance_pred_ev_per_atom"] == pytest.approx(0.03 + 0.02, abs=1e-8)
    values = scores(found)
    assert (values["hull_f1"], values["hull_recall"]) == (0.0, 0.0)
    assert "hull_precision" not in values  # nothing was called stable


def test_a_failed_relaxation_is_missing_and_unstable(task, caplog):
    found = measure(Fake(broken=(0.25,)), task, thresholds=(0.028,))
    values = scores(found)
    assert values["mixing_n_failed"] == 1.0
    assert values["hull_n_missing"] == 1.0
    assert (values["hull_precision"], values["hull_recall"]) == (1.0, 0.5)
    assert values["mixing_energy_mae_mev_per_atom"] == pytest.approx(0.0, abs=1e-6)
    assert {row["n"] for row in found.rows if row["metric"].startswith("mixing_energy")} == {4}
    assert {row["n"] for row in found.rows if row["metric"] == "mixing_n_failed"} == {6}
    assert [line["structure_id"] for line in found.details["hull"] if np.isnan(line["distance_pred_ev_per_atom"])] == [
        "o1"
    ]
    assert "1 of 6 relaxations failed; o1" in caplog.text


def test_without_an_end_member_nothing_has_a_mixing_energy(task, caplog):
    values = scores(measure(Fake(broken=(1.0,)), task, thresholds=(0.028,)))
    assert "mixing_energy_mae_mev_per_atom" not in values
    assert "mixing_energy_r2" not in values
    assert values["mixing_n_failed"] == 1.0
    assert values["hull_n_missing"] == 4.0
    assert values["hull_f1"] == 0.0
    assert "an end member has no relaxed energy" in caplog.text


@pytest.mark.parametrize(("threshold", "word"), [(0.001, "none"), (0.5, "all")])
def test_one_class_alone_is_no_classification(task, caplog, threshold, word):
    with caplog.at_level(logging.WARNING):
        values = scores(measure(Fake(), task, thresholds=(threshold,)))
    assert f"{word} of 4 phases are stable" in caplog.text
    assert {name for name in values if name.startswith("hull")} == {
        "hull_threshold_mev_per_atom",
        "hull_n_missing",
        "hull_mae_mev_per_atom",
        "hull_unrelaxed_mae_mev_per_atom",
    }


def test_bulk_moduli_are_two_k_over_v(task):
    """B = V d²E/dV² = 2 k / V at the minimum; the potential's is 10 % stiffer, and 1 % larger."""
    found = measure(Fake(stiffness=1.1 * 1.01 * STIFFNESS, volume=1.01 * VOLUME), task)
    values = scores(found)
    modulus = 2 * STIFFNESS / VOLUME / GPa
    for member in ("GaN", "InN"):
        assert values[f"bulk_modulus_{member}_gpa"] == pytest.approx(1.1 * modulus, rel=0.01)
    assert values["bulk_modulus_mae_gpa"] == pytest.approx(0.1 * modulus, rel=0.05)
    assert values["equilibrium_volume_mae_percent"] == pytest.approx(1.0, rel=0.02)
    lines = found.details["eos"]
    assert len(detail_frame("eos", lines)) == len(task.volume_scans()["GaN"]) + len(task.volume_scans()["InN"])
    for line in lines:
        ratio = 8 * line["volume_a3_per_atom"] / VOLUME
        chemical = {"GaN": -5.0, "InN": -3.5}[line["member"]]
        for energy, stiffness, volume in (("ref", STIFFNESS, 1.0), ("pred", 1.1 * 1.01 * STIFFNESS, 1.01)):
            expected = chemical + stiffness * (ratio / volume - 1.0) ** 2 / 8
            assert line[f"energy_{energy}_ev_per_atom"] == pytest.approx(expected, abs=1e-9)


def test_no_minimum_is_no_bulk_modulus(task, caplog):
    values = scores(measure(Fake(volume=1.3 * VOLUME, stiffness=20.0), task))
    assert not [name for name in values if name.startswith(("bulk", "equilibrium"))]
    assert "no minimum between the volumes of GaN" in caplog.text
    off = scores(measure(Fake(), task, bulk_modulus=False))
    assert not [name for name in off if name.startswith(("bulk", "equilibrium"))]


def test_a_reference_without_a_minimum_is_a_fault_in_the_data(task):
    for atoms in task.volume_scans()["InN"]:
        set_labels(atoms, HIGH, energy=-atoms.get_volume())
    with pytest.raises(DataError, match=r"r2scan.*InN have no minimum"):
        measure(Fake(), task)


def test_every_row_is_known_to_the_reports(task):
    rows = measure(Fake(), task, thresholds=(0.028,)).rows
    metrics = {row["metric"]: row["unit"] for row in rows}
    assert len(metrics) == 17
    assert {name: metric_of(name) and metric_of(name).unit for name in metrics} == metrics


def test_real_potentials_are_scored_as_they_say(task):
    """Too short a training to be right: errors are those of what `predict` has and of what `relax` ends at."""
    frames = alloy_frames()
    both = LabelSet.parse("EFS"), LabelSet.parse("E")
    labels = dict(zip((LOW, HIGH), both, strict=True))
    training = TrainingSet((LOW, HIGH), {LOW: frames[:12], HIGH: frames[:12]}, labels, frames[12:])
    plan = MixingPlan(fmax_ev_per_a=0.05, max_steps=30)
    x = np.array([0.0, 0.25, 0.5, 0.5, 0.75, 1.0])

    def mixed(energies):
        return 1000 * (energies - (1 - x) * energies[0] - x * energies[-1]) / 8

    for arm, relaxed in (("transfer", True), ("delta_labels", False)):
        potential = make_arm(arm, tiny_settings()).fit(training, Budget(800), 0)
        found = measure(potential, task, fmax_ev_per_a=plan.fmax_ev_per_a, max_steps=plan.max_steps)
        values = scores(found)
        energies = potential.predict(task.orderings(), HIGH, forces=False).energies
        errors = np.abs(mixed(energies) - 1000 * OMEGA * x * (1 - x))[1:-1]
        assert values["mixing_energy_unrelaxed_mae_mev_per_atom"] == pytest.approx(errors.mean(), rel=1e-6)
        assert ("mixing_n_failed" in values) == relaxed
        assert ("mixing_energy_mae_mev_per_atom" in values) == relaxed
        assert set(found.details) == ({"mixing", "hull", "phases", "eos"} if relaxed else {"phases", "eos"})
        if relaxed:
            calculator = potential.calculator(HIGH)
            ends = [relax(a, calculator, fmax=plan.fmax_ev_per_a, max_steps=plan.max_steps) for a in task.orderings()]
            reached = np.array([end.energy_ev for end in ends])
            assert values["mixing_n_failed"] == np.isnan(reached).sum()
            given = ~np.isnan(reached)
            assert (reached[given] <= energies[given] + 1e-3).all()
            lines = [line["energy_pred_mev_per_atom"] for line in found.details["mixing"]]
            assert lines == pytest.approx(mixed(reached), abs=1e-3, nan_ok=True)


def test_observables_of_one_alloy_share_the_relaxations(task, monkeypatch):
    """Equal settings on the same potential and frames: relaxed once; anything else is relaxed anew."""
    calls, original = [], relax_many.relaxed
    monkeypatch.setattr(relax_many, "relaxed", lambda *a: calls.append(1) or original(*a))
    n, potential = len(task.orderings()), Fake()
    once = measure(potential, task)
    assert len(calls) == n
    assert scores(measure(Fake(), task)) == scores(once)
    assert len(calls) == 2 * n
    hull(potential, task, HullPlan(max_steps=299), (0.04,))
    assert len(calls) == 3 * n


def test_a_task_that_cannot_serve_a_plan_says_so(task):
    assert alloy_of(task, "mixing", volume_scans=True) is task
    with pytest.raises(ConfigError, match="'toy' has no orderings"):
        alloy_of(ToyTask(), "mixing", volume_scans=True)
    frames = task.frames
    plain = task_with([a for a in frames if a.info.get("kind") != "ordering"])
    with pytest.raises(ConfigError, match="no x = 0 and x = 1 among the frames of kind 'ordering'"):
        alloy_of(plain, "mixing", volume_scans=True)
    half = task_with([a for a in frames if a.info["x_In"] != 1.0])
    with pytest.raises(ConfigError, match="no x = 1 among"):
        alloy_of(half, "mixing", volume_scans=True)
    ends = task_with([a for a in frames if a.info["x_In"] in (0.0, 1.0)])
    with pytest.raises(ConfigError, match="compositions between"):
        alloy_of(ends, "mixing", volume_scans=True)
    unlabelled = task_with([a for a in frames if a.info.get("kind") != "eos"])
    with pytest.raises(ConfigError, match="bulk_modulus to false"):
        alloy_of(unlabelled, "mixing", volume_scans=True)
    assert alloy_of(unlabelled, "mixing") is unlabelled


def test_frames_without_hf_labels_do_not_count(task):
    for atoms in task.frames:
        if atoms.info.get("structure_id") == "o2":
            del atoms.info["r2scan_energy"]
    assert [a.info["structure_id"] for a in task.orderings()] == ["o0", "o1", "o3", "o4", "o5"]


@pytest.mark.parametrize("thresholds", [(), (-0.01,), (0.02, 0.02), (float("nan"),)])
def test_thresholds_are_checked(thresholds):
    with pytest.raises(ValidationError, match="thresholds_ev_per_atom"):
        HullPlan(thresholds_ev_per_atom=thresholds)
