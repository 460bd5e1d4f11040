"""Warnings of what no training frame had (lone atoms, periodicity, stress), and of a potential that failed to train."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.surroundings import surroundings
from mfbench.mfcore.dynamics.models import PotentialForces
from mfbench.mfcore.dynamics.neighbours import SkinList
from mfbench.mfcore.errors import ExtrapolationWarning, UntrainedWarning
from mfbench.mfcore.potentials.coverage import Coverage
from mfbench.mfcore.potentials.potential import ENERGY_ERRORS, Component, Potential, load
from mfbench.mfcore.potentials.proximity import Proximity
from mfbench.mfcore.potentials.watch import Watch

CUTOFF = 4.0
WATER, CRYSTAL = molecule("H2O"), bulk("LiH", "rocksalt", a=4.0)
BROKEN = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [0, 9, 0]])
BOXED = Atoms("OH2", WATER.positions + 6.0, cell=[12, 12, 12], pbc=True)  # no image is within the cutoff


def potential(*trained: Atoms, labels: str = "EF", **record: Any) -> Potential:
    config = EquivariantConfig(cutoff=CUTOFF, n_layers=1, lmax=0, channels=4, radial_hidden=(8,))
    core = EquivariantCore(config, (1, 3, 8), ("high",), "none", 5.0).freeze()
    record |= {"labels": {"high": labels}}
    if trained:
        record["surroundings"] = surroundings({"high": trained}, CUTOFF)
    return Potential("toy", [core], {"high": (Component(0, "high"),)}, record=record)


@pytest.mark.parametrize(
    ("trained", "kinds"),
    [
        ((WATER,), {"alone": (1,), "periodic": (3,)}),
        ((BOXED,), {"alone": (1,), "periodic": (3,)}),
        ((CRYSTAL,), {"alone": (1,), "molecule": (0, 1, 2)}),
        ((WATER, CRYSTAL, Atoms("H")), {}),
        ((WATER, Atoms("O")), {"alone": (1,), "periodic": (3,)}),  # an atom that is alone, but of another element
        ((), {}),  # of a model that was stored before
    ],
)
def test_frames_unlike_all_training_frames_are_found(trained, kinds) -> None:
    frames = [WATER, BROKEN, BOXED, CRYSTAL]
    assert {found.kind: found.frames for found in potential(*trained).unseen(frames)} == kinds


def test_lone_atoms_of_one_level_tell_nothing_of_another() -> None:
    made = potential(WATER)
    made.record["surroundings"] = surroundings({"low": [WATER, Atoms("H")], "high": [WATER]}, CUTOFF)
    (found,) = made.unseen([Atoms("H")], "high")
    assert found.kind == "alone"
    made.record["surroundings"]["alone"] = ["H"]  # of all levels, as it used to be stored
    assert made.unseen([Atoms("H")], "high") == []


def test_a_calculator_and_dynamics_warn_once_of_each() -> None:
    model = potential(WATER)
    atoms = BROKEN.copy()
    atoms.calc = model.calculator()
    with pytest.warns(
        ExtrapolationWarning, match="H without a neighbour within 4 Å, which no 'high' frame of the training has"
    ):
        atoms.get_potential_energy()
    forces, batch = PotentialForces(model), model.freeze().batch([BROKEN, CRYSTAL])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        atoms.rattle(0.01)
        atoms.get_potential_energy()
        assert not caught
        for _ in range(25):
            forces(batch)
    assert [str(w.message).partition(",")[0] for w in caught] == [
        "a frame in dynamics has H without a neighbour within 4 Å",
        "a frame in dynamics has periodic images within the cutoff",
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("frame", [WATER, BOXED])
def test_images_are_told_from_whole_vectors(frame: Atoms, dtype: torch.dtype) -> None:
    """Edges of dynamics in float32 have their whole vectors as shifts."""
    species = torch.tensor([0, 1, 1])
    lists = SkinList([frame], species, CUTOFF, 1.0, torch.device("cpu"), dtype)
    positions = torch.tensor(frame.positions)
    vectors = lists.vectors(positions)
    batch = lists.batch(positions, vectors, lists.near(vectors.square().sum(1)))
    kinds = []
    for trained in (WATER, CRYSTAL):
        seen = surroundings({"high": [trained]}, CUTOFF)
        kinds.append([found.kind for found in Coverage(seen, (8, 1), CUTOFF, "high").find(batch)])
    assert kinds == [[], ["molecule"]]


def test_a_watch_tells_of_each_kind_once() -> None:
    networks = potential(WATER).freeze()
    seen = surroundings({"high": [WATER]}, CUTOFF)
    watch = Watch(Proximity({"H-Li": 3.0}, networks.species), Coverage(seen, networks.species, CUTOFF, "high"))
    said = [watch.look(networks.batch([frame])) for frame in (WATER, CRYSTAL, BROKEN, CRYSTAL, BROKEN)]
    assert [len(sentences) for sentences in said] == [0, 2, 1, 0, 0]


@pytest.mark.parametrize("labels", ["EF", "EFS"])
def test_a_stress_that_was_never_trained_on_is_told_of(labels) -> None:
    atoms = CRYSTAL.copy()
    atoms.calc = potential(CRYSTAL, labels=labels).calculator()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        atoms.get_forces()
        assert not caught
        atoms.get_stress()
        atoms.get_stress()
    told = ["no 'high' stress was trained on: the stress follows from energies and forces alone, and may be far off"]
    assert [str(w.message) for w in caught] == ([] if "S" in labels else told)


@pytest.mark.parametrize("learned", [True, False])
def test_a_potential_that_failed_to_train_says_so_when_it_is_loaded(learned, tmp_path) -> None:
    errors = {"found": 0.002, "constant": 0.001, "learned": learned}
    potential(WATER, **{ENERGY_ERRORS: errors}).save(tmp_path / "model")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load(tmp_path / "model").record[ENERGY_ERRORS] == errors
    assert [w.category for w in caught] == ([] if learned else [UntrainedWarning])
