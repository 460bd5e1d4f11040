"""Thresholds as pure functions: what is beyond, what is not, and that NaN always is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mfbench.mfcore.data.closest import pair_key
from mfbench.mfcore.dynamics.criteria import (
    WHOLE,
    Bond,
    FailureCriteria,
    Unit,
    broken_since,
    close_pairs,
    first_failure,
    for_too_long,
    miscoordinated,
    molecule_key,
    non_finite,
    overheated,
    stretched,
)
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
from mfbench.mfcore.errors import ConfigError
from tests.dynamics.worlds import Analytic, argyrodite, ethanol, grid

NAN, INF = float("nan"), float("inf")


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_one_number_that_is_not_finite_is_enough(bad: float) -> None:
    frame, forces, energies = torch.tensor([0, 0, 1, 2]), torch.zeros(4, 3), torch.zeros(3)
    assert non_finite(energies, forces, frame).tolist() == [False] * 3
    forces[2, 1] = bad
    assert non_finite(energies, forces, frame).tolist() == [False, True, False]
    energies[2] = bad
    assert non_finite(energies, forces, frame).tolist() == [False, True, True]


def test_nan_passes_no_guard() -> None:
    one = torch.tensor([0])
    assert close_pairs(tensor(NAN), tensor(0.0), one, 1).tolist() == [True]
    assert overheated(tensor(NAN), tensor(300.0), 3.0).tolist() == [True]
    assert stretched(tensor(NAN), tensor(1.0), 0.5).tolist() == [True]
    assert miscoordinated(tensor(NAN), tensor(2.0), one, torch.tensor([1]), torch.tensor([1])).tolist() == [True]


def test_pairs_temperatures_and_bonds_at_their_thresholds() -> None:
    frame = torch.tensor([0, 0, 1])
    assert close_pairs(tensor(1.0, 2.0, 0.99), tensor(1.0, 1.0, 1.0), frame, 3).tolist() == [False, True, False]
    assert overheated(tensor(900.0, 900.1, INF), tensor(300.0, 300.0, 300.0), 3.0).tolist() == [False, True, True]
    assert stretched(tensor(0.59, 1.1, 1.61), tensor(1.1, 1.1, 1.1), 0.5).tolist() == [True, False, True]


def test_coordination_counts_what_is_near() -> None:
    unit = torch.tensor([0, 0, 0, 0, 2, 2, 2, 2, 2])
    distances = tensor(2.0, 2.1, 2.0, 2.7, *[2.0] * 5)
    broken = miscoordinated(distances, torch.full((9,), 2.8), unit, torch.tensor([4, 0, 4]), torch.tensor([4, 4, 4]))
    assert broken.tolist() == [False, False, True]  # four; none is allowed; five
    distances[3] = 2.9
    assert miscoordinated(
        distances, torch.full((9,), 2.8), unit, torch.tensor([4] * 3), torch.tensor([5] * 3)
    ).tolist() == [True, True, False]


def test_broken_means_without_a_break() -> None:
    since, states = torch.full((2,), WHOLE), [(0, 1), (1, 1), (1, 0), (0, 1), (1, 1), (1, 1), (1, 1)]
    late = []
    for step, flags in enumerate(states):
        since = broken_since(since, torch.tensor(flags, dtype=torch.bool), step)
        late.append(for_too_long(since, step, 2).tolist())
    assert since.tolist() == [4, 3]
    assert late == [[False, False]] * 5 + [[False, True], [True, True]]
    assert for_too_long(torch.tensor([5, WHOLE]), 5, 0).tolist() == [True, False]


def test_the_first_mode_by_precedence() -> None:
    yes, no = torch.tensor([True, False, False]), torch.tensor([True, True, False])
    assert first_failure({"temperature": no, "non_finite": yes}, 0) == "non_finite"
    assert first_failure({"temperature": no, "non_finite": yes}, 1) == "temperature"
    assert first_failure({"temperature": no, "non_finite": yes}, 2) is None


def test_names_and_settings() -> None:
    assert pair_key("S", "Li") == "Li-S"
    assert molecule_key([8, 1, 1]) == "OHH"
    for settings, problem in (
        ({"pair_minimum": {"S-Li": 2.0}}, "alphabetic"),
        ({"pair_minimum": {"Li": 2.0}}, "alphabetic"),
        ({"temperature_factor": 1.0}, "greater than 1"),
        ({"pair_fractions": 0.5}, "Extra inputs"),
    ):
        with pytest.raises(ValidationError, match=problem):
            FailureCriteria(**settings)
    with pytest.raises(ValidationError, match="no element"):
        Unit(centre="Xx", neighbours=("S",), radius=2.8, least=4, most=4)


# --- in a simulation ----------------------------------------------------------------------------------------


def displaced_in_time(atoms, number: int, speed: float, criteria: FailureCriteria, steps: int = 100):
    """One atom at constant speed (Å/fs) along x in a world without forces."""
    velocities = np.zeros((len(atoms), 3))
    velocities[number, 0] = speed / 0.09822695
    atoms = atoms.copy()
    atoms.set_velocities(velocities)
    settings = DynamicsSettings(ensemble="nve", velocities="frame", duration_ps=steps / 1000)
    run = simulate(Analytic(4.0), [Start(atoms, 300.0, 0)], settings, criteria)
    return run.results[0]


def test_a_bond_that_is_long_for_too_long() -> None:
    atoms, far = ethanol(), {"temperature_factor": 1e9}
    hydroxyl = (2, 3)  # O-H
    assert atoms.get_chemical_symbols()[2:4] == ["O", "H"]
    mean = atoms.get_distance(*hydroxyl)
    bond = {molecule_key(atoms.numbers): (Bond(first=2, second=3, mean=mean),)}
    speed = -0.02  # Å/fs along x, away from the oxygen
    along = [np.linalg.norm(atoms.positions[3] + [speed * t, 0, 0] - atoms.positions[2]) for t in range(101)]
    broken_at = int(np.argmax(np.abs(np.array(along) - mean) > 0.5))
    assert 0 < broken_at < 50
    for patience in (0.0, 10.0, 30.0):
        found = displaced_in_time(atoms, 3, speed, FailureCriteria(bonds=bond, broken_time_fs=patience, **far))
        assert (found.status, found.mode) == ("failure", "broken_bond")
        # at once, or at the first step after the time has passed
        expected = broken_at + (patience + 1 if patience else 0)
        assert 1000 * found.time_ps == pytest.approx(expected)
    patient = FailureCriteria(bonds=bond, broken_time_fs=100.0, **far)
    assert displaced_in_time(atoms, 3, speed, patient).status == "survived"
    other = FailureCriteria(bonds={"OHH": bond[molecule_key(atoms.numbers)]}, broken_time_fs=0.0, **far)
    assert displaced_in_time(atoms, 3, speed, other).status == "survived"  # not this molecule


def test_a_tetrahedron_that_loses_a_corner() -> None:
    atoms = argyrodite()
    phosphorus = atoms.symbols.indices()["P"][0]
    lengths = {k: atoms.get_distance(phosphorus, k, mic=True) for k in atoms.symbols.indices()["S"]}
    corner = min(lengths, key=lambda k: lengths[k])
    vector = atoms.get_distance(phosphorus, corner, mic=True, vector=True)
    unit = Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4)
    criteria = FailureCriteria(units=(unit,), broken_time_fs=15.0, temperature_factor=1e9)
    speed = 0.02 * np.sign(vector[0])
    along = [np.linalg.norm(vector + np.array([speed * t, 0, 0])) for t in range(101)]
    broken_at = int(np.argmax(np.array(along) > 2.8))
    found = displaced_in_time(atoms, int(corner), speed, criteria)
    assert (found.status, found.mode) == ("failure", "broken_unit")
    assert 1000 * found.time_ps == pytest.approx(broken_at + 16)
    assert displaced_in_time(atoms, int(corner), 0.0, criteria).status == "survived"


def test_pairs_that_come_close() -> None:
    atoms = grid(3)
    criteria = FailureCriteria(pair_minimum={"H-H": 2.0}, pair_fraction=0.75, temperature_factor=1e9)
    found = displaced_in_time(atoms, 0, 0.1, criteria)  # 5 Å apart; 1.5 Å after 35 fs
    assert (found.status, found.mode) == ("failure", "close_pair")
    assert 1000 * found.time_ps == pytest.approx(36.0)
    without = FailureCriteria(pair_minimum={"H-O": 2.0}, temperature_factor=1e9)
    assert displaced_in_time(atoms, 0, 0.02, without).status == "survived"


def test_criteria_that_look_farther_than_the_neighbours_are_refused() -> None:
    unit = Unit(centre="P", neighbours=("S",), radius=4.5, least=4, most=4)
    with pytest.raises(ConfigError, match=r"4\.50 Å.*4\.00 Å"):
        simulate(
            Analytic(4.0),
            [Start(argyrodite(), 300.0, 0)],
            DynamicsSettings(duration_ps=1),
            FailureCriteria(units=(unit,)),
        )


def test_units_of_several_replicas_are_told_apart_when_some_have_left() -> None:
    frames = [argyrodite(k) for k in (3, 4, 5)]
    corner = int(frames[1].symbols.indices()["S"][1])
    unit = Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4)
    criteria = FailureCriteria(units=(unit,), pair_minimum={"Cl-Li": 1.0}, broken_time_fs=15.0, temperature_factor=1e9)
    for k, atoms in enumerate(frames):
        velocities = np.zeros((13, 3))
        if k == 0:  # a lithium atom goes through a chlorine atom: leaves first
            way = atoms.get_distance(
                int(atoms.symbols.indices()["Li"][0]), int(atoms.symbols.indices()["Cl"][0]), mic=True, vector=True
            )
            velocities[atoms.symbols.indices()["Li"][0]] = way / 10 / 0.09822695
        if k == 2:
            velocities[corner] = [0.05 / 0.09822695, 0.05 / 0.09822695, 0.05 / 0.09822695]
        atoms.set_velocities(velocities)
    settings = DynamicsSettings(ensemble="nve", velocities="frame", duration_ps=0.1)
    run = simulate(Analytic(4.0), [Start(a, 300.0, k) for k, a in enumerate(frames)], settings, criteria)
    assert [r.mode for r in run.results] == ["close_pair", None, "broken_unit"]
    alone = simulate(Analytic(4.0), [Start(frames[2], 300.0, 2)], settings, criteria)
    assert alone.results[0] == run.results[2]
    assert 0 < run.results[0].time_ps < run.results[2].time_ps < 0.1
