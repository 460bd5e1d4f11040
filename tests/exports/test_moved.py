"""A potential for atoms that another program moves says what the potential says, and refuses what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.benchmarks.exports.moved import MovedAtoms, self_contained
from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.errors import ConfigError, DataError, EstimateWarning, ExtrapolationWarning
from mfbench.mfcore.potentials.potential import Potential
from tests.exports.worlds import committee, crystals, frames, labels_added, single, total


def asked(moved: MovedAtoms, systems: list[Atoms], **options: bool) -> CoreOutput:
    return moved(
        torch.from_numpy(np.concatenate([a.positions for a in systems])),
        torch.from_numpy(np.concatenate([a.numbers for a in systems])),
        torch.tensor([len(a) for a in systems]),
        torch.from_numpy(np.array([a.cell.array for a in systems])),
        torch.from_numpy(np.array([a.pbc for a in systems])),
        **options,
    )


@pytest.mark.parametrize("potential", [single(), total(), committee()], ids=["single", "sum", "committee"])
@pytest.mark.parametrize("fidelity", ["high", "low"])
def test_it_says_what_the_potential_says(potential: Potential, fidelity: str) -> None:
    if fidelity not in potential.outputs:
        return
    moved, systems = MovedAtoms(self_contained(potential, fidelity)), frames()
    for _ in range(2):
        found, expected = asked(moved, systems), potential.predict(systems, fidelity, stress=True)
        assert found.forces is not None
        assert expected.forces is not None
        np.testing.assert_allclose(found.energy, expected.energies, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.forces, np.concatenate(expected.forces), rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.stress, expected.stress, rtol=0, atol=1e-9)
        for atoms in systems:
            atoms.positions += 0.02 * np.sin(atoms.positions[:, ::-1])
    assert float(found.forces.abs().max()) > 0.1


def test_single_precision_loses_nothing_far_from_the_origin() -> None:
    potential = single(torch.float32)
    near, moved = crystals(), MovedAtoms(self_contained(potential))
    far = [atoms.copy() for atoms in near]
    for atoms in far:
        atoms.positions += 1000 * atoms.cell.array.sum(0)
    (a, b) = (asked(MovedAtoms(self_contained(potential)), systems) for systems in (near, far))
    torch.testing.assert_close(a.forces, b.forces, rtol=0, atol=1e-5)
    assert moved.precision is torch.float32
    exact = asked(MovedAtoms(self_contained(potential, precision="float64")), near)
    assert a.forces is not None
    torch.testing.assert_close(a.forces.double(), exact.forces, rtol=0, atol=1e-4)
    assert exact.forces is not None
    assert exact.forces.dtype is torch.float64


def test_forces_and_stress_are_left_out_where_they_are_not_asked_for() -> None:
    found = asked(MovedAtoms(self_contained(single())), crystals(), forces=False, stress=False)
    assert found.forces is None
    assert found.stress is None


def test_only_the_networks_of_the_fidelity_are_kept() -> None:
    potential = self_contained(total(), "low")
    assert len(potential.cores) == 1
    assert potential.fidelities == ("low",)
    assert len(self_contained(total()).cores) == 2


def test_labels_of_a_cheaper_level_cannot_be_exported() -> None:
    with pytest.raises(ConfigError, match="adds 'low' labels"):
        self_contained(labels_added())
    with pytest.raises(ConfigError, match="answers for low, high"):
        self_contained(single(), "middle")
    with pytest.raises(ConfigError, match="precision"):
        self_contained(single(), precision="float16")


@pytest.mark.parametrize("number", [79, 118, 150])
def test_unknown_elements_are_refused(number: int) -> None:
    moved, systems = MovedAtoms(self_contained(single())), crystals()
    asked(moved, systems)
    systems[1].numbers[0] = number
    with pytest.raises(DataError, match=r"system 1: element .* was never seen"):
        asked(moved, systems)


def test_elements_of_which_nothing_tells_the_energy_are_refused() -> None:
    energies = {"high": {"unknown": [29], "estimated": []}}
    with pytest.raises(DataError, match="element Cu"):
        asked(MovedAtoms(self_contained(single(reference_energies=energies))), crystals())
    energies = {"high": {"unknown": [], "estimated": [29]}}
    with pytest.warns(EstimateWarning, match="Cu"):
        self_contained(single(reference_energies=energies))


def test_atoms_at_one_place_are_refused_also_on_the_way() -> None:
    moved, systems = MovedAtoms(self_contained(single())), crystals()
    asked(moved, systems)
    systems[1].positions[3] = systems[1].positions[2] + 0.01
    with pytest.raises(DataError, match=r"system 1: atoms 2 and 3 are at one place \(0\.017"):
        asked(moved, systems)


def test_what_is_unlike_the_training_is_told_once() -> None:
    potential = single(closest_pairs={"Cu-Cu": 3.0}, labels={"high": "EF"})
    moved, systems = MovedAtoms(self_contained(potential)), [bulk("Cu")]
    with pytest.warns(ExtrapolationWarning, match="Cu and Cu are"):
        asked(moved, systems)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(30):
            asked(moved, systems)
    systems[0].set_cell(1.01 * systems[0].cell, scale_atoms=True)
    with pytest.warns(ExtrapolationWarning, match="no 'high' stress was trained on"):
        asked(moved, systems)


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_molecules_are_no_crystals_and_crystals_no_molecules(precision: torch.dtype) -> None:
    """Nothing is told of what the training had, of atoms that move with their lists, too."""
    for kind, systems in (("molecules", [molecule("CH4"), molecule("H2O")]), ("periodic", crystals()[:2])):
        seen = {"periodic": kind == "periodic", "molecules": kind == "molecules", "alone": {"high": []}}
        known = MovedAtoms(self_contained(single(precision, surroundings=seen)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(25):
                asked(known, systems)
                for atoms in systems:
                    atoms.positions += 0.01
        other = {"periodic": kind != "periodic", "molecules": kind != "molecules", "alone": {"high": []}}
        with pytest.warns(ExtrapolationWarning, match="periodic images within the cutoff"):
            asked(MovedAtoms(self_contained(single(precision, surroundings=other))), systems)


def test_weights_that_are_no_numbers_are_told() -> None:
    potential = single()
    with torch.no_grad():
        next(potential.cores[0].parameters()).fill_(torch.nan)
    with pytest.raises(DataError, match="not finite"):
        asked(MovedAtoms(self_contained(potential)), crystals())
