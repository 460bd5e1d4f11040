"""Atoms that are closer than in the training are told of: once, by pair of elements, images included."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.closest import closest_pairs
from mfbench.mfcore.dynamics.models import PotentialForces
from mfbench.mfcore.errors import ExtrapolationWarning
from mfbench.mfcore.potentials.potential import Component, Potential, load
from mfbench.mfcore.potentials.proximity import NEARER
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import tiny_settings


def potential(closest: dict[str, float]) -> Potential:
    config = EquivariantConfig(cutoff=4.0, n_layers=1, lmax=0, channels=4, radial_hidden=(8,))
    core = EquivariantCore(config, (1, 3, 8), ("high",), "none", 5.0).freeze()
    return Potential("toy", [core], {"high": (Component(0, "high"),)}, record={"closest_pairs": closest})


def chain(distance: float, symbols: str = "LiHLi") -> Atoms:
    return Atoms(symbols, [[2.0 * distance * k, 0, 0] for k in range(2)] + [[distance, 0, 0]])


def test_shortest_distances_by_pair_of_elements() -> None:
    found = closest_pairs([molecule("H2O"), bulk("LiH", "rocksalt", a=4.0), Atoms("Li")])
    assert found["H-O"] == pytest.approx(0.9690, abs=1e-3)
    assert found["H-Li"] == pytest.approx(2.0)
    assert found["Li-Li"] == pytest.approx(4.0 / np.sqrt(2))  # images of one atom
    assert found["H-H"] == pytest.approx(1.5265, abs=1e-3)  # of the molecule, not of the crystal
    assert list(found) == sorted(found)
    assert closest_pairs([Atoms("Li2", [[0, 0, 0], [9, 0, 0]])]) == {}


def test_the_worst_pair_and_all_frames_that_have_one_are_found() -> None:
    model = potential({"H-Li": 1.6, "Li-Li": 2.4})
    frames = [chain(2.3), chain(1.2), chain(2.3), chain(0.9)]  # Li and Li, and H and Li
    found = model.extrapolated(frames)
    assert found is not None
    assert (found.pair, found.known) == ("Li-Li", pytest.approx(2.4))
    assert found.distance == pytest.approx(0.9)
    assert (found.frame, found.frames) == (3, (1, 3))
    assert "Li and Li are 0.90 Å apart in frame 3, in training 2.40 Å at least" in found.sentence(" in frame 3")
    assert model.extrapolated([chain(1.01 * NEARER * 2.4)]) is None
    assert potential({}).extrapolated(frames) is None


def test_a_calculator_warns_once() -> None:
    atoms = chain(2.4)
    atoms.calc = potential({"Li-Li": 2.4, "H-Li": 1.0}).calculator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()
    atoms.positions *= 0.5
    with pytest.warns(ExtrapolationWarning, match=r"Li and Li are 1\.20 Å apart, in training 2\.40 Å at least"):
        atoms.get_potential_energy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.positions *= 0.9
        atoms.get_potential_energy()


def test_dynamics_warn_once_unless_told_not_to() -> None:
    model = potential({"Li-Li": 2.4})
    for watch in (True, False):
        forces = PotentialForces(model, watch=watch)
        batch = model.freeze().batch([chain(1.2)])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(25):
                forces(batch)
        assert [w.category for w in caught] == ([ExtrapolationWarning] if watch else [])


@pytest.mark.parametrize("arm", ["multi_fidelity", "delta_model"])
def test_a_fitted_potential_knows_the_distances_of_all_its_training_frames(arm, training_set, tmp_path) -> None:
    fitted = make_arm(arm, tiny_settings()).fit(training_set, Budget(300), 0)
    fitted.save(tmp_path / "model")
    frames = [a for frames in training_set.train.values() for a in frames]
    assert load(tmp_path / "model").record["closest_pairs"] == closest_pairs(frames)
    assert fitted.extrapolated(frames) is None
    near = frames[0].copy()
    near.positions *= 0.5
    assert fitted.extrapolated([*frames[:3], near]).frames == (3,)
