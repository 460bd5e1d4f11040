"""Batches, failures, errors, the wall clock, and going on after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.constraints import FixAtoms

from mfbench.mfcore.dynamics.criteria import FailureCriteria, Unit
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.models import PotentialForces
from mfbench.mfcore.dynamics.results import DynamicsRun
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start, starts
from mfbench.mfcore.dynamics.trajectory import read_trajectory, survivors
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.potentials.potential import Component, Potential
from tests.dynamics.worlds import Analytic, Faulty, Spy, Wells, argyrodite, ethanol, grid, small_core, small_potential

TOLERANT = FailureCriteria(temperature_factor=100.0)
CARBON, LITHIUM = 6, 3
SHORT = DynamicsSettings(duration_ps=0.04, record_every=4, skin=0.4)


def mixed() -> list[Start]:
    frames = [argyrodite(), ethanol(), argyrodite(4), ethanol(6)]
    return [Start(atoms, 300.0 + 100 * k, 10 + k) for k, atoms in enumerate(frames)]


def nan(energy: torch.Tensor, forces: torch.Tensor, frames: torch.Tensor, atoms: torch.Tensor) -> None:
    forces[atoms] = torch.nan


def infinite(energy: torch.Tensor, forces: torch.Tensor, frames: torch.Tensor, atoms: torch.Tensor) -> None:
    energy[frames] = torch.inf


def huge(energy: torch.Tensor, forces: torch.Tensor, frames: torch.Tensor, atoms: torch.Tensor) -> None:
    forces[atoms] = 1e6


def raises(*_: object) -> None:
    raise RuntimeError("no memory left for this frame")


def same(first: DynamicsRun, second: DynamicsRun) -> bool:
    return first.results == second.results and all(
        np.array_equal(first.series[r], second.series[r]) for r in first.series
    )


# --- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ensemble", ["nvt", "nve"])
def test_a_batch_is_its_replicas_one_by_one(ensemble: str) -> None:
    model, replicas = Spy(PotentialForces(small_potential())), mixed()
    settings = DynamicsSettings(ensemble=ensemble, duration_ps=0.04, record_every=4)
    together = simulate(model, replicas, settings, TOLERANT, seed=5)
    ends = np.split(model.last, np.cumsum([len(s.atoms) for s in replicas])[:-1])
    for start, end in zip(replicas, ends, strict=True):
        alone = simulate(model, [start], settings, TOLERANT, seed=5)
        assert np.abs(model.last - end).max() < 1e-12
        assert np.allclose(alone.series[start.replica], together.series[start.replica], rtol=1e-11, atol=0)


def test_seeds_and_numbers_make_trajectories_differ() -> None:
    model, atoms, ends = Spy(PotentialForces(small_potential())), ethanol(), []
    for seed, replica in ((0, 0), (0, 1), (1, 0), (0, 0)):
        simulate(model, [Start(atoms, 300.0, replica)], SHORT, TOLERANT, seed=seed)
        ends.append(model.last)
    assert np.array_equal(ends[0], ends[3])
    assert not np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_single_precision_and_a_delta_model() -> None:
    base, difference = small_core(), small_core(("delta",), seed=8, cutoff=3.0)
    potential = Potential(
        "delta_model",
        [base, difference],
        {"low": (Component(0, "low"),), "high": (Component(0, "low"), Component(1, "delta"))},
    )
    atoms = argyrodite()
    run = simulate(PotentialForces(potential), [Start(atoms, 300.0, 0)], SHORT, TOLERANT)
    assert run.series[0][0, 1] == pytest.approx(potential.predict([atoms]).energies[0], rel=1e-12)
    low = simulate(PotentialForces(potential, "low"), [Start(atoms, 300.0, 0)], SHORT, TOLERANT)
    assert low.series[0][0, 1] == pytest.approx(potential.predict([atoms], "low").energies[0], rel=1e-12)
    single = simulate(PotentialForces(small_potential(torch.float32)), [Start(atoms, 300.0, 0)], SHORT, TOLERANT)
    double = simulate(PotentialForces(small_potential()), [Start(atoms, 300.0, 0)], SHORT, TOLERANT)
    assert np.abs(single.series[0][:, 2] - double.series[0][:, 2]).max() < 1e-5  # kinetic energy, eV
    assert not np.array_equal(single.series[0], double.series[0])


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "mode"), [(nan, "non_finite"), (infinite, "non_finite"), (huge, "temperature")])
def test_a_failed_replica_leaves_and_the_others_go_on(fault: object, mode: str, tmp_path: Path) -> None:
    fine = PotentialForces(small_potential())
    model, replicas = Spy(Faulty(fine, after=15, number=CARBON, fault=fault)), mixed()
    run = simulate(model, replicas, SHORT, TOLERANT, seed=5, out=tmp_path, trajectories=True)
    assert [r.status for r in run.results] == ["survived", "failure", "survived", "failure"]
    assert [r.mode for r in run.results] == [None, mode, None, mode]
    # the 16th call is that after the 15th step
    assert [r.time_ps for r in run.results] == pytest.approx([0.04, 0.015, 0.04, 0.015])
    assert run.pass_rate == 0.5
    reference = simulate(fine, replicas[::2], SHORT, TOLERANT, seed=5)
    for start in replicas[::2]:
        assert np.abs(run.series[start.replica] - reference.series[start.replica]).max() < 1e-9
    for start in replicas[1::2]:
        assert run.series[start.replica][:, 0].tolist() == pytest.approx([0.0, 0.004, 0.008, 0.012])
        kept = read_trajectory(run.trajectories[start.replica])
        assert kept.time_ps.tolist() == pytest.approx([0.0, 0.004, 0.008, 0.012])
        assert np.isfinite(kept.positions).all()
    assert sorted(survivors(run)) == [10, 12]


def test_a_start_that_is_broken_fails_at_once() -> None:
    broken = grid(4)
    broken.positions[1] = [0.1, 0.0, 0.0]
    criteria = FailureCriteria(pair_minimum={"H-H": 0.8}, temperature_factor=100.0)
    run = simulate(Wells(), [Start(grid(4), 300.0, 0), Start(broken, 300.0, 1)], SHORT, criteria)
    assert [(r.status, r.mode, r.time_ps) for r in run.results] == [
        ("survived", None, 0.04),
        ("failure", "close_pair", 0.0),
    ]


def test_all_may_fail() -> None:
    model = Faulty(PotentialForces(small_potential()), after=3, number=LITHIUM, fault=nan)
    run = simulate(model, mixed()[::2], SHORT, TOLERANT)
    assert [r.time_ps for r in run.results] == [0.003, 0.003]
    assert run.pass_rate == 0.0
    assert run.n_force_evaluations == 2 * 4


def test_a_hot_replica_is_a_failure() -> None:
    atoms = grid(30)
    atoms.set_velocities(np.full((30, 3), 0.3))
    settings = DynamicsSettings(ensemble="nve", velocities="frame", duration_ps=0.01)
    kelvin = atoms.get_temperature()
    for factor, status in ((1.01, "survived"), (0.99, "failure")):
        criteria = FailureCriteria(temperature_factor=factor * kelvin / 300.0)
        run = simulate(Analytic(), [Start(atoms, 300.0, 0)], settings, criteria)
        assert run.results[0].status == status
        assert run.results[0].mode == (None if status == "survived" else "temperature")


# --- errors, which are not failures -------------------------------------------------------------------------


def test_an_error_of_the_engine_is_neither_and_stops_nobody_else() -> None:
    fine = PotentialForces(small_potential())
    model, replicas = Faulty(fine, after=15, number=CARBON, fault=raises), mixed()
    run = simulate(model, replicas, SHORT, TOLERANT, seed=5)
    assert [r.status for r in run.results] == ["survived", "error", "survived", "error"]
    assert {r.mode for r in run.with_status("error")} == {"engine"}
    assert "no memory left" in run.results[1].message
    assert run.pass_rate == 1.0
    reference = simulate(fine, replicas[::2], SHORT, TOLERANT, seed=5)
    assert np.abs(run.series[10] - reference.series[10]).max() < 1e-9


def test_a_fault_at_the_first_call_or_of_the_whole_batch_is_raised() -> None:
    with pytest.raises(RuntimeError, match="no memory"):
        simulate(Faulty(Wells(), after=0, number=1, fault=raises), [Start(grid(2), 300.0, 0)], SHORT)

    class Crowd(Wells):
        def __call__(self, batch, forces=True):
            if len(self.calls) > 5 and batch.n_frames > 1:
                raise RuntimeError("too many")
            return super().__call__(batch, forces)

    with pytest.raises(RuntimeError, match="too many"):
        simulate(Crowd(), [Start(grid(2), 300.0, k) for k in range(2)], SHORT)


def test_the_wall_clock_makes_errors_and_a_later_call_goes_on(tmp_path: Path) -> None:
    model, replicas = PotentialForces(small_potential()), mixed()
    stopped = simulate(model, replicas, SHORT, TOLERANT, out=tmp_path, wall_limit_s=0.0)
    assert {(r.status, r.mode, r.time_ps) for r in stopped.results} == {("error", "wall_clock", 0.0)}
    assert np.isnan(stopped.pass_rate)
    done = simulate(model, replicas, SHORT, TOLERANT, out=tmp_path)
    assert same(done, simulate(model, replicas, SHORT, TOLERANT))
    assert {r.status for r in done.results} == {"survived"}


# --- going on -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As a signal, it is no Exception."""


@pytest.mark.parametrize("when", [4, 20, 36])
def test_a_killed_run_goes_on_bit_for_bit(when: int, tmp_path: Path) -> None:
    def model() -> PotentialForces | Faulty:
        return PotentialForces(small_potential())

    # some fail by the way, and a unit that is broken from the start does so 31 steps later
    unit = Unit(centre="P", neighbours=("S",), radius=2.0, least=4, most=4)
    criteria = FailureCriteria(temperature_factor=1.3, units=(unit,), broken_time_fs=30.0)
    settings = {"seed": 5, "trajectories": True, "checkpoint_every_s": 0.0}
    whole = simulate(model(), mixed(), SHORT, criteria, out=tmp_path / "whole", **settings)
    ends = [(r.mode, r.time_ps) for r in whole.results]
    assert ends[0] == ends[2] == ("broken_unit", 0.031)
    assert {"broken_unit", "temperature"} <= {mode for mode, _ in ends} <= {"broken_unit", "temperature", None}

    def kill(stage: str, spent: float, budget: float) -> None:
        assert budget == SHORT.n_steps
        if spent == when:
            raise Killed

    with pytest.raises(Killed):
        simulate(model(), mixed(), SHORT, criteria, out=tmp_path / "cut", progress=kill, **settings)
    calls = Spy(model())
    seen: list[float] = []
    again = simulate(
        calls, mixed(), SHORT, criteria, out=tmp_path / "cut", progress=lambda *a: seen.append(a[1]), **settings
    )
    assert same(whole, again)
    assert min(seen) >= when
    for replica, path in whole.trajectories.items():
        assert path.read_bytes() == again.trajectories[replica].read_bytes()
    finished = simulate(calls, mixed(), SHORT, criteria, out=tmp_path / "cut", progress=kill, **settings)
    assert same(whole, finished)


def test_what_was_written_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    model, replicas = PotentialForces(small_potential()), mixed()[:1]
    run = simulate(model, replicas, SHORT, TOLERANT, out=tmp_path, trajectories=True)
    path, content = run.trajectories[10], run.trajectories[10].read_bytes()
    path.write_bytes(content + b"13\nhalf a fra")
    assert simulate(model, replicas, SHORT, TOLERANT, out=tmp_path, trajectories=True).trajectories[10] == path
    assert path.read_bytes() == content
    path.write_bytes(content[:-10])
    with pytest.raises(DataError, match="Delete the folder"):
        simulate(model, replicas, SHORT, TOLERANT, out=tmp_path, trajectories=True)


def test_another_simulation_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    model, replicas = PotentialForces(small_potential()), mixed()[:1]
    simulate(model, replicas, SHORT, TOLERANT, out=tmp_path)
    others = (
        (PotentialForces(small_potential(seed=2)), replicas, SHORT, 0),
        (PotentialForces(small_potential(), "low"), replicas, SHORT, 0),
        (model, mixed()[1:2], SHORT, 0),
        (model, replicas, SHORT.model_copy(update={"skin": 0.5}), 0),
        (model, replicas, SHORT, 1),
    )
    for other, own, settings, seed in others:
        with pytest.raises(DataError, match="other frames"):
            simulate(other, own, settings, TOLERANT, seed=seed, out=tmp_path)


def test_trajectories_hold_cell_time_and_unwrapped_positions(tmp_path: Path) -> None:
    atoms = argyrodite()
    atoms.set_velocities(np.full((13, 3), 5.0))  # leaves the cell
    settings = DynamicsSettings(ensemble="nve", velocities="frame", duration_ps=0.05, record_every=10)
    run = simulate(
        Analytic(),
        [Start(atoms, 300.0, 3)],
        settings,
        FailureCriteria(temperature_factor=1e9),
        out=tmp_path,
        trajectories=True,
    )
    found = read_trajectory(run.trajectories[3])
    assert found.time_ps.tolist() == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04, 0.05])
    assert np.array_equal(found.numbers, atoms.numbers)
    assert found.volume == pytest.approx(atoms.get_volume())
    shift = found.positions - found.positions[0]
    assert np.abs(shift - 5.0 * 0.0982269 * 1000 * found.time_ps[:, None, None]).max() < 1e-4


def test_a_slab_moves_as_in_a_wide_crystal(tmp_path: Path) -> None:
    """Its third direction repeats nothing: whatever vacuum its cell has, it takes the same way."""
    ends = []
    for height, pbc in ((9.0, (True, True, False)), (60.0, (True, True, True))):
        atoms = grid(3, "O")
        atoms.positions += np.random.default_rng(0).normal(scale=0.1, size=atoms.positions.shape)
        atoms.cell, atoms.pbc = [7.0, 8.0, height], pbc
        model = PotentialForces(small_potential())
        run = simulate(model, [Start(atoms, 300.0, 1)], SHORT, out=tmp_path / str(height), trajectories=True)
        found = read_trajectory(run.trajectories[1])
        assert next(found.frames()).pbc.tolist() == list(pbc)
        ends.append(found.positions[-1])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-4)


# --- set-up -------------------------------------------------------------------------------------------------


def test_what_cannot_be_started_is_refused() -> None:
    model = PotentialForces(small_potential())
    fixed, slab, gallium = ethanol(), argyrodite(), grid(2, "Ga")
    fixed.set_constraint(FixAtoms([0]))
    slab.cell[2] = 0.0
    for replicas, problem in (
        ([], "no replica"),
        ([Start(ethanol(), 300.0, 1)] * 2, "same number"),
        ([Start(ethanol(), 0.0, 1)], "above 0 K"),
        ([Start(fixed, 300.0, 1)], "constraints"),
        ([Start(slab, 300.0, 1)], "along c and that lattice vector is zero"),
        ([Start(gallium, 300.0, 1)], "element Ga"),
    ):
        with pytest.raises(ConfigError, match=problem):
            simulate(model, replicas, SHORT)
    with pytest.raises(ConfigError, match="need a folder"):
        simulate(model, mixed(), SHORT, trajectories=True)


def test_delta_on_labels_is_refused_with_what_to_use_instead() -> None:
    potential = Potential(
        "delta_labels", [small_core(("delta",))], {"high": (Component(0, "delta"),)}, delta_baseline={"high": "low"}
    )
    with pytest.raises(ConfigError, match=r"difference to 'low' labels.*delta_model"):
        PotentialForces(potential)
    with pytest.raises(ConfigError, match="answers for"):
        PotentialForces(small_potential(), "best")


def test_settings_and_starts() -> None:
    assert SHORT.n_steps == 40
    with pytest.raises(ValueError, match="shorter than one step"):
        DynamicsSettings(duration_ps=1e-4, time_step_fs=1.0)
    with pytest.raises(ValueError, match="Extra inputs"):
        DynamicsSettings(duration=1.0)
    made = starts([ethanol(), argyrodite()], [300, 600], 3)
    assert [s.replica for s in made] == list(range(12))
    assert [s.temperature_K for s in made[:6]] == [300.0] * 3 + [600.0] * 3
    assert (made[6].name, made[6].group) == ("argyrodite-3", "argyrodite")
