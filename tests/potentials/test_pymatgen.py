"""A potential asked about structures of pymatgen: what it says of the same atoms, and structures back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from pymatgen.core.structure import Molecule, Structure

from mfbench.benchmarks.notebook.frames import text_of
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.data.structures import entry_of, structure_of
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.potentials.potential import Component, Potential


@pytest.fixture(scope="module")
def potential() -> Potential:
    choice = CoreChoice(name="equivariant", cutoff=3.0, n_layers=1, lmax=1, channels=4, n_bessel=4, radial_hidden=[8])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        core = choice.build((1, 8, 13, 29), ("pbe",), "none", 12.0)
    return Potential("plain", [core], {"pbe": (Component(0, "pbe"),)})


def test_structures_molecules_and_entries_are_predicted_as_their_atoms(potential: Potential) -> None:
    crystal, water = bulk("Cu", cubic=True), molecule("H2O")
    crystal.rattle(0.1, seed=1)
    expected = potential.predict([crystal, water], stress=True)
    given = [entry_of(crystal, -1.0, "mp-30"), structure_of(water)]
    found = potential.predict(given, stress=True)
    np.testing.assert_allclose(found.energies, expected.energies, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(found.forces), np.concatenate(expected.forces), atol=1e-4)
    np.testing.assert_allclose(found.stress[0], expected.stress[0], atol=1e-5)
    assert potential.predict(structure_of(crystal)).energies == pytest.approx(expected.energies[:1], abs=1e-5)
    assert potential.predict(crystal).energies == pytest.approx(expected.energies[:1], abs=1e-5)
    with pytest.raises(DataError, match="frame 1: found str; expected"):
        potential.predict([crystal, "POSCAR"])


def test_relaxed_geometries_come_back_as_what_they_are_of_pymatgen(potential: Potential) -> None:
    start = structure_of(bulk("Al", cubic=True))
    found = potential.relax(start, max_steps=2)
    assert isinstance(found.structure, Structure)
    assert found.structure.composition == start.composition
    assert found.structure.volume == pytest.approx(found.atoms.get_volume())
    assert isinstance(potential.relax(structure_of(molecule("H2O")), max_steps=1).structure, Molecule)


def test_lists_of_entries_are_frames_of_compare_and_fit() -> None:
    text = text_of([entry_of(bulk("Cu"), -3.5, "mp-30", correction_ev=-1.0)], "low")
    assert "energy=-3.5" in text
    assert "structure_id=mp-30" in text
    with pytest.raises(DataError, match="low, frame 0: found int; expected"):
        text_of([3], "low")
