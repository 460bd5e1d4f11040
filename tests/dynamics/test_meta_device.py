"""A step of dynamics asks its device two questions, where lists hold and replicas live; all between waits for nothing.

On the meta device, where tensors hold no numbers, whatever would wait raises.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule

from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.dynamics.criteria import close_pairs, miscoordinated, non_finite, overheated, per_frame
from mfbench.mfcore.dynamics.integrators import Langevin, kick, kinetic_energy
from mfbench.mfcore.dynamics.neighbours import SkinList

CPU, META = torch.device("cpu"), torch.device("meta")
SPECIES = (1, 6, 8)


def replicas() -> list[Atoms]:
    made = [molecule("CH3OH"), molecule("CH4"), molecule("H2O")]
    for number, atoms in enumerate(made):
        atoms.rattle(0.05, seed=number)
    return made


def lists() -> SkinList:
    numbers = np.concatenate([a.numbers for a in replicas()])
    species = torch.from_numpy(np.searchsorted(SPECIES, numbers))
    return SkinList(replicas(), species, 4.0, 0.5, CPU, torch.float64)


def on_meta(neighbours: SkinList) -> SkinList:
    """The same lists without their numbers."""
    for name, value in vars(neighbours).items():
        if isinstance(value, torch.Tensor):
            setattr(neighbours, name, value.to(META))
    neighbours._labels = {name: value.to(META) for name, value in neighbours._labels.items()}
    neighbours.device = META
    return neighbours


def test_a_step_of_dynamics_waits_for_nothing() -> None:
    core = EquivariantCore(
        EquivariantConfig(cutoff=4.0, channels=4, n_layers=2, backend="reference"), SPECIES, ("high",), "none", 8.0
    )
    model = core.to(dtype=torch.float64).to(META).for_inference("high")
    neighbours = on_meta(lists())
    positions = neighbours.built.clone()
    velocities, masses = torch.zeros_like(positions), torch.ones(len(positions), 1, dtype=torch.float64, device=META)
    targets = torch.full((3,), 300.0, dtype=torch.float64, device=META)
    step, forces = 0.5 * units.fs, torch.zeros_like(positions)
    middle = Langevin(step, 0.01, masses, targets[neighbours.frame][:, None])
    for _ in range(2):
        velocities = kick(velocities, forces, masses, 0.5 * step)
        positions, velocities = middle.drift(positions, velocities, torch.zeros_like(positions))
        vectors = neighbours.vectors(positions)
        squares = vectors.square().sum(1)
        first = torch.stack([neighbours.stale(positions).sum(), neighbours.inside(squares).sum()])  # one question
        near = neighbours.near(squares, count=30)
        output = model(neighbours.batch(positions, vectors, near), True)
        assert output.forces is not None
        forces = output.forces.detach().double()
        velocities = kick(velocities, forces, masses, 0.5 * step)
        heat = kinetic_energy(velocities, masses, neighbours.frame, 3)
        flags = [
            non_finite(output.energy, forces, neighbours.frame),
            overheated(heat, targets, 3.0),
            close_pairs(squares, torch.zeros_like(squares), neighbours.frame[neighbours.receiver], 3),
        ]
        last = torch.stack(flags).any(0).any()  # the other
        assert first.shape == (2,)
        assert last.shape == ()


def test_edges_are_the_same_whether_their_number_is_known() -> None:
    neighbours = lists()
    positions = neighbours.built + 0.01
    vectors, squares, near = neighbours.geometry(positions)
    assert torch.equal(near, neighbours.near(squares, count=len(near)))
    batch = neighbours.batch(positions, vectors, near)
    counts = torch.bincount(batch.receiver, minlength=len(positions))
    assert torch.equal(batch.row_pointer.diff(), counts)
    assert int(batch.row_pointer[0]) == 0


def test_flags_of_frames_are_any_of_their_entries() -> None:
    flags, frame = torch.tensor([True, False, True, True, False]), torch.tensor([0, 1, 3, 3, 4])
    assert per_frame(flags, frame, 5).tolist() == [True, False, False, True, False]
    assert per_frame(flags[:0], frame[:0], 2).tolist() == [False, False]


def test_neighbours_of_a_unit_are_counted() -> None:
    unit, distances = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1.0, 3.0, 1.0, 1.0, float("nan")])
    least, most = torch.tensor([1, 1, 1]), torch.tensor([1, 1, 1])
    assert miscoordinated(distances, torch.full((5,), 2.0), unit, least, most).tolist() == [False, True, True]
