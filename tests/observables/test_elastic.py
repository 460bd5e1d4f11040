"""Elastic moduli of EMT's metals against second differences of its energy, which need no stress."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa
from pydantic import ValidationError

from mfbench.benchmarks.observables.elastic.crystals import ElasticCrystal, crystals_of
from mfbench.benchmarks.observables.elastic.observable import ElasticPlan, elastic
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.metrics.elasticity import elastic_moduli, small_strains
from mfbench.mfcore.potentials.elasticity import moduli_of
from mfbench.mfcore.potentials.relax import relax
from tests.tasks.toy import ToyTask


class Metals:
    """EMT as a potential."""

    requires_low_labels: ClassVar[tuple[str, ...]] = ()

    def calculator(self, fidelity):
        return EMT()


class Crystals(ToyTask):
    """Metals whose reference moduli are 140 and 50 GPa."""

    def __init__(self, elements: tuple[str, ...]) -> None:
        self.elements = elements

    def elastic_crystals(self):
        found = [bulk(element) for element in self.elements]
        for atoms, element in zip(found, self.elements, strict=True):
            atoms.info["structure_id"] = element
        return [ElasticCrystal(atoms, 140.0, 50.0) for atoms in found]


def by_energy(element: str) -> tuple[float, float, float]:
    """C11, C12 and C44 of a cubic metal of one atom in GPa: second differences of the energy by three strains."""
    atoms = relax(bulk(element), EMT(), fmax=1e-5).atoms
    volume, h = atoms.get_volume(), 1e-3

    def energy(strain: np.ndarray) -> float:
        moved = atoms.copy()
        moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        moved.calc = EMT()
        return moved.get_potential_energy()

    def curvature(direction: np.ndarray) -> float:
        return (energy(h * direction) - 2 * energy(0 * direction) + energy(-h * direction)) / h**2 / volume / GPa

    along, across = np.diag([1.0, 0, 0]), np.diag([1.0, -1.0, 0])
    shear = np.zeros((3, 3))
    shear[0, 1] = shear[1, 0] = 1.0
    c11 = curvature(along)
    return c11, c11 - curvature(across) / 2, curvature(shear) / 4


@pytest.mark.parametrize("element", ["Cu", "Al"])
def test_cubic_metals(element):
    """K = (C11 + 2 C12)/3; G of Voigt (C11 - C12 + 3 C44)/5, of Reuss 5 (C11 - C12) C44 / (4 C44 + 3 (C11 - C12))."""
    c11, c12, c44 = by_energy(element)
    found, problem = moduli_of(bulk(element), EMT(), (-0.002, 0.002), fmax=1e-4, max_steps=200)
    assert problem == ""
    # C44 of the cubic axes, whatever the axes of the primitive cell are
    assert found.stiffness_gpa[0, 0] == pytest.approx(c11, rel=0.01)
    assert found.stiffness_gpa[0, 1] == pytest.approx(c12, rel=0.01)
    assert found.stiffness_gpa[3, 3] == pytest.approx(c44, rel=0.01)
    assert found.bulk_vrh_gpa == pytest.approx((c11 + 2 * c12) / 3, rel=0.01)
    voigt, reuss = (c11 - c12 + 3 * c44) / 5, 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    assert found.shear_vrh_gpa == pytest.approx((voigt + reuss) / 2, rel=0.01)


def test_atoms_give_way_to_a_strain():
    """A cell of two kinds of atoms is softer when they are relaxed than when they are carried along."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_chemical_symbols(["Au", "Cu", "Cu", "Cu"])
    atoms.positions[1] += 0.05
    found, _ = moduli_of(atoms, EMT(), (-0.003, 0.003), fmax=1e-3, max_steps=300)
    other, _ = moduli_of(atoms * (1, 1, 2), EMT(), (-0.003, 0.003), fmax=1e-3, max_steps=300)
    assert found.bulk_vrh_gpa == pytest.approx(other.bulk_vrh_gpa, rel=0.02)
    assert found.shear_vrh_gpa == pytest.approx(other.shear_vrh_gpa, rel=0.02)


def test_an_isotropic_stiffness_is_given_back():
    """Stress = λ tr(ε) 1 + 2 μ ε: K = λ + 2 μ/3 and G = μ, by any average; negative μ is unstable."""
    for lame, mu in ((60.0, 30.0), (60.0, -1.0)):
        strains = small_strains((-0.01, 0.01))
        stresses = [GPa * (lame * np.trace(e) * np.eye(3) + 2 * mu * e) for e in strains]
        found = elastic_moduli(strains, stresses)
        assert found.stable == (mu > 0)
        assert found.least_eigenvalue_gpa == pytest.approx(min(mu, 2 * mu))
        if mu > 0:
            assert found.bulk_vrh_gpa == pytest.approx(lame + 2 * mu / 3)
            assert found.shear_vrh_gpa == pytest.approx(mu)
    with pytest.raises(ValueError, match="finite"):
        elastic_moduli(strains, np.full((12, 3, 3), np.nan))


def test_errors_and_failures_are_counted(caplog):
    found = elastic(Metals(), Crystals(("Cu", "Al", "Ni")), ElasticPlan(strains=(-0.005, 0.005), most=2))
    values = {row["metric"]: (row["value"], row["n"]) for row in found.rows}
    lines = found.details["elastic"]
    assert [line["structure_id"] for line in lines] == ["Cu", "Al"]
    errors = [abs(line["bulk_pred_gpa"] - 140.0) for line in lines]
    assert values["elastic_bulk_mae_gpa"] == (pytest.approx(np.mean(errors)), 2)
    assert values["elastic_n_failed"] == (0.0, 2)
    lost = elastic(Metals(), Crystals(("Cu",)), ElasticPlan(max_steps=1, fmax_ev_per_a=1e-9))
    assert {row["metric"]: row["value"] for row in lost.rows} == {"elastic_n_failed": 1.0}
    assert "1 of 1 failed; Cu: not converged" in caplog.text


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ConfigError, match="'toy' has no crystals"):
        crystals_of(ToyTask(), "elastic")
    for wrong in ((0.01, 0.02), (-0.1, 0.1), (-0.01, 0.01, 0.01)):
        with pytest.raises(ValidationError, match="strains"):
            ElasticPlan(strains=wrong)

    class Delta(Metals):
        requires_low_labels: ClassVar[tuple[str, ...]] = ("pbe",)

    assert elastic(Delta(), Crystals(("Cu",)), ElasticPlan()).rows == []


def test_a_fixed_cell_stays():
    atoms = Atoms("Cu2", scaled_positions=[[0, 0, 0], [0.52, 0.5, 0.5]], cell=[2.55, 3.6, 3.6], pbc=True)
    found = relax(atoms, EMT(), fmax=0.01, fixed_cell=True)
    np.testing.assert_array_equal(found.atoms.cell.array, atoms.cell.array)
    assert found.converged
