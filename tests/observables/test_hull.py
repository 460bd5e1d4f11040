"""The hull of made-up compounds with known energies of formation, by a potential with known errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mfbench.benchmarks.observables.hull.figure import rolling_mae
from mfbench.benchmarks.observables.hull.measurement import HULL, KNOWN, NEW, hull
from mfbench.benchmarks.observables.hull.observable import HullPlan
from mfbench.benchmarks.observables.phases import composition, phases_of
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.errors import ConfigError, DataError
from tests.tasks.toy import ToyTask

HIGH = "r2scan"
ELEMENTS = {"Li": -1.9, "Mg": -1.5, "O": -4.9}
FORMATION = {"Li2O": -2.0, "LiO": -1.0, "MgO": -3.0, "LiMg": -0.05, "LiMg2": 0.03}
"""eV/atom; LiO is 0.5 above the line from Li2O (x_O = 1/3) to O, which is at -1.5 there."""


def energy(formula: str, formation: float, elements: dict[str, float] = ELEMENTS) -> float:
    atoms = Atoms(formula)
    return sum(elements[s] for s in atoms.get_chemical_symbols()) + len(atoms) * formation


def cell(formula: str, formation: float, name: str | None = None) -> Atoms:
    n = len(Atoms(formula))
    atoms = Atoms(formula, positions=[[2.5 * i, 0, 0] for i in range(n)], cell=[2.5 * n, 9, 9], pbc=True)
    atoms.info = {"structure_id": name or formula}
    set_labels(atoms, HIGH, energy=energy(formula, formation))
    return atoms


class Compounds(ToyTask):
    """Elements, and compounds of three systems."""

    fidelities = ("pbe", HIGH)

    def __init__(self, extra: tuple[Atoms, ...] = ()) -> None:
        self.held = [cell(e, 0.0) for e in ELEMENTS] + [cell(f, e) for f, e in FORMATION.items()] + [*extra]

    def phases(self):
        return self.held

    def components(self):
        return None


class Level(Calculator):
    """Energies of formation, with errors, that no geometry changes."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, errors: dict[str, float], broken: tuple[str, ...]) -> None:
        super().__init__()
        self.errors, self.broken = errors, broken

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        formula = str(self.atoms.symbols)
        formation = FORMATION.get(formula, 0.0) + self.errors.get(formula, 0.0)
        forces = np.full((len(self.atoms), 3), np.nan if formula in self.broken else 0.0)
        found = energy(formula, formation, {"Li": 3.0, "Mg": 0.0, "O": 7.0})  # its own elements
        self.results = {"energy": found, "forces": forces, "stress": np.zeros(6)}


class Fake:
    """A potential by that calculator; unrelaxed, LiO is off by 0.2 eV/atom more."""

    def __init__(self, errors=None, broken=(), needs=()) -> None:
        self.errors, self.broken, self.requires_low_labels = errors or {}, broken, needs

    def calculator(self, fidelity):
        return Level(self.errors, self.broken)

    def predict(self, frames, fidelity, *, forces):
        found = []
        for atoms in frames:
            level = Level({**self.errors, "LiO": self.errors.get("LiO", 0.0) + 0.2}, ())
            level.calculate(atoms)
            found.append(level.results["energy"])
        return SimpleNamespace(energies=np.array(found))


def scores(found, split=HULL) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in found.rows if row["split"] == split}


def test_formation_energies_distances_and_errors():
    found = hull(Fake({"LiO": -0.45, "LiMg": 0.02}), Compounds(), HullPlan(), (0.0, 0.1))
    lines = {line["structure_id"]: line for line in found.details["phases"]}
    assert set(lines) == {*ELEMENTS, *FORMATION}
    for name, formation in FORMATION.items():
        assert lines[name]["formation_ref_ev_per_atom"] == pytest.approx(formation)
        assert lines[name]["distance_ref_ev_per_atom"] == pytest.approx(
            {"LiO": 0.5, "LiMg2": 0.03 + 0.05 * 2 / 3}.get(name, 0.0), abs=1e-9
        )
    assert lines["LiO"]["formation_pred_ev_per_atom"] == pytest.approx(-1.45)
    assert lines["LiO"]["formation_unrelaxed_ev_per_atom"] == pytest.approx(-1.25)
    values = scores(found)
    assert values["hull_mae_mev_per_atom"] == pytest.approx((450 + 20) / 5)
    assert values["hull_unrelaxed_mae_mev_per_atom"] == pytest.approx((250 + 20) / 5)
    # stable: Li2O, MgO, LiMg; LiMg is predicted 20 meV above
    assert (values["hull_recall"], values["hull_precision"]) == (pytest.approx(2 / 3), 1.0)
    assert values["hull_f1_100mev_per_atom"] == pytest.approx(8 / 9)  # LiO is predicted at 50 meV
    assert {row["n"] for row in found.rows} == {5}
    assert all(np.isnan(line["x"]) for line in found.details["hull"])


def test_systems_with_and_without_training_are_told_apart():
    split = SimpleNamespace(training=SimpleNamespace(train={HIGH: [cell("Li2O", 0.3), cell("Mg", 0.1)]}))
    found = hull(Fake({"LiO": -0.45, "LiMg": 0.02}), Compounds(), HullPlan(), (0.0,), split)
    assert scores(found, KNOWN)["hull_mae_mev_per_atom"] == pytest.approx(450 / 2)
    assert scores(found, NEW)["hull_mae_mev_per_atom"] == pytest.approx(20 / 3)
    split.training.train[HIGH] = [cell("LiO", 0.0), cell("MgO", 0.0), cell("LiMg", 0.0)]
    assert {row["split"] for row in hull(Fake(), Compounds(), HullPlan(), (0.0,), split).rows} == {HULL}


def test_lost_relaxations_and_lost_elements(caplog):
    found = hull(Fake(broken=("LiMg",)), Compounds(), HullPlan(), (0.0,))
    assert scores(found)["hull_n_missing"] == 1
    assert scores(found)["hull_recall"] == pytest.approx(2 / 3)
    without = hull(Fake(broken=("O",)), Compounds(), HullPlan(), (0.0,))
    assert scores(without)["hull_n_missing"] == 3  # every oxide
    assert "1 of 8 relaxations failed; LiMg" in caplog.text


def test_a_potential_that_needs_labels_is_scored_unrelaxed_where_these_are_there(caplog):
    task = Compounds()
    assert hull(Fake(needs=("pbe",)), task, HullPlan(), (0.0,)).rows == []
    assert "not every phase has the label of 'pbe'" in caplog.text
    for atoms in task.phases():
        set_labels(atoms, "pbe", energy=0.0)
    found = hull(Fake(needs=("pbe",)), task, HullPlan(), (0.0,))
    assert set(scores(found)) == {
        "hull_threshold_mev_per_atom",
        "hull_unrelaxed_f1",
        "hull_unrelaxed_mae_mev_per_atom",
    }
    assert set(found.details) == {"phases"}


def test_tasks_without_phases_and_phases_without_their_elements_are_refused():
    with pytest.raises(ConfigError, match="'toy' has no phases"):
        phases_of(ToyTask(), "hull")
    task = Compounds()
    task.held.remove(next(a for a in task.held if str(a.symbols) == "O"))
    with pytest.raises(DataError, match="no energy of O"):
        hull(Fake(), task, HullPlan(), (0.0,))
    assert composition(cell("Li2O", 0.0)) == {"Li": 2, "O": 1}


def test_the_rolling_error_is_the_mean_in_its_window():
    position = np.arange(0.0, 101.0)
    line = rolling_mae(position, np.where(position < 50, 3.0, -7.0), 10.0)
    assert line[0].tolist() == [0.0, 3.0]
    assert line[-1].tolist() == [100.0, 7.0]
    assert line[30, 1] == pytest.approx((5 * 3 + 6 * 7) / 11)
    assert np.isnan(rolling_mae(np.array([0.0, 100.0]), np.ones(2), 10.0)[:, 1]).all()
