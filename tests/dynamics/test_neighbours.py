"""Lists with a skin give what fresh lists give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfbench.mfcore.cores.equivariant.model import EquivariantCore
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.dynamics import neighbours as neighbours_module
from mfbench.mfcore.dynamics.criteria import FailureCriteria
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.models import PotentialForces
from mfbench.mfcore.dynamics.neighbours import SkinList
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
from mfbench.mfcore.errors import ConfigError
from tests.dynamics.worlds import Springs, argyrodite, ethanol, small_core, small_potential

CPU = torch.device("cpu")


def skin_list(frames, cutoff=4.0, skin=1.0, dtype=torch.float64) -> SkinList:
    species = torch.zeros(sum(len(a) for a in frames), dtype=torch.int64)
    return SkinList(frames, species, cutoff, skin, CPU, dtype)


def batch_of(neighbours: SkinList, positions: torch.Tensor):
    vectors = neighbours.vectors(positions)
    return neighbours.batch(positions, vectors, neighbours.near(vectors.square().sum(1)))


def positions_of(frames) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([a.positions for a in frames]))


@pytest.fixture(params=["vesin", "device"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to make lists, the one of devices also on the CPU."""
    monkeypatch.setattr(neighbours_module, "lists_on", lambda device: request.param == "device")
    return request.param


@pytest.mark.usefixtures("maker")
def test_moving_atoms_have_the_edges_of_a_fresh_list() -> None:
    rng, frames = np.random.default_rng(0), [argyrodite(), ethanol()]
    neighbours, positions = skin_list(frames, skin=0.6), positions_of(frames)
    for _ in range(60):
        positions = positions + torch.from_numpy(rng.normal(0, 0.05, positions.shape))
        neighbours.update(positions)
        batch, start, edges = batch_of(neighbours, positions), 0, []
        for atoms in frames:
            moved = atoms.copy()
            moved.positions = positions[start : start + len(atoms)].numpy()
            sender, receiver, shift = neighbour_list(moved, 4.0)
            edges.append((sender + start, receiver + start, shift))
            start += len(atoms)
        sender, receiver, shift = (np.concatenate(x) for x in zip(*edges, strict=True))
        assert np.array_equal(batch.sender.numpy(), sender)
        assert np.array_equal(batch.receiver.numpy(), receiver)
        assert np.abs(batch.shift.numpy() - shift).max() < 1e-12
        assert np.array_equal(np.diff(batch.row_pointer.numpy()), np.bincount(receiver, minlength=start))
    assert 4 < neighbours.n_builds < 60  # of 2 * 61


@pytest.mark.usefixtures("maker")
def test_only_the_replica_that_moved_is_listed_anew() -> None:
    frames = [argyrodite(), ethanol(), ethanol(6)]
    neighbours, positions = skin_list(frames), positions_of(frames)
    positions[15, 0] += 0.49
    neighbours.update(positions)
    assert neighbours.n_builds == 3
    positions[15, 0] += 0.02
    neighbours.update(positions)
    assert neighbours.n_builds == 4
    assert torch.equal(neighbours.built[13:22], positions[13:22])


@pytest.mark.usefixtures("maker")
def test_replicas_that_are_left_go_on_with_their_own_edges() -> None:
    frames = [argyrodite(), ethanol(), ethanol(6)]
    neighbours, positions = skin_list(frames), positions_of(frames)
    kept = torch.isin(neighbours.frame, torch.tensor([0, 2]))
    neighbours.keep([0, 2], kept)
    positions = positions[kept]
    positions[-1, 0] += 0.6
    neighbours.update(positions)
    moved = [frames[0], frames[2].copy()]
    moved[1].positions[-1, 0] += 0.6
    batch, fresh = batch_of(neighbours, positions), batch_of(skin_list(moved), positions)
    for name in ("sender", "receiver", "row_pointer", "shift"):
        torch.testing.assert_close(getattr(batch, name), getattr(fresh, name), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("maker")
def test_dynamics_with_and_without_a_skin() -> None:
    ends, settings = [], {"ensemble": "nve", "duration_ps": 0.1, "time_step_fs": 2.0}
    for skin in (1e-9, 1.0):
        model = Springs(3.5)  # not smooth at its cutoff: a single edge too many would show
        starts = [Start(argyrodite(), 2000.0, 0), Start(ethanol(), 2000.0, 1)]
        simulate(model, starts, DynamicsSettings(skin=skin, **settings), FailureCriteria(temperature_factor=1e3))
        ends.append(model.positions())
    assert np.array_equal(*ends)


@pytest.mark.parametrize("mode", ["table", "exact"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_edges_beyond_the_cutoff_say_exactly_nothing(mode: str, backend: str) -> None:
    core = small_core(radial_mode=mode, backend=backend, zbl=True, lmax=2)
    frames = [argyrodite(), ethanol()]
    positions, fresh = positions_of(frames), skin_list(frames)
    wide = skin_list(frames, cutoff=5.5)
    assert len(wide.sender) > len(batch_of(fresh, positions).sender) + 100
    answers = []
    for neighbours in (fresh, wide):
        batch = batch_of(neighbours, positions)
        assert isinstance(core, EquivariantCore)
        answers.append(core(batch))
    assert torch.allclose(answers[0].energy, answers[1].energy, rtol=1e-13, atol=0)
    assert torch.allclose(answers[0].forces, answers[1].forces, rtol=0, atol=1e-14)


def test_single_precision_sees_the_same_geometry_wherever_an_atom_has_diffused_to() -> None:
    model, atoms = PotentialForces(small_potential(torch.float32, scale=1.0)), argyrodite()
    far = atoms.copy()
    far.positions += np.random.default_rng(1).integers(-400, 400, (13, 3)) @ atoms.cell.array
    answers = []
    for frame in (atoms, far):
        neighbours = skin_list([frame], dtype=torch.float32)
        answers.append(model(batch_of(neighbours, positions_of([frame]))).forces)
    assert answers[0].abs().max() > 0.1
    assert (answers[0] - answers[1]).abs().max() < 1e-5  # rounded positions alone would be 1e-3 Å off


def test_a_skin_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="skin"):
        skin_list([ethanol()], skin=0.0)
