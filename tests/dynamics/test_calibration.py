"""Criteria from reference frames, and their verdict on stored trajectories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from scipy import stats

from mfbench.mfcore.dynamics.calibration import Reference, calibrate, judge, temperature_factor
from mfbench.mfcore.dynamics.criteria import FailureCriteria, Unit
from mfbench.mfcore.dynamics.engine import simulate
from mfbench.mfcore.dynamics.settings import DynamicsSettings, starts
from mfbench.mfcore.dynamics.trajectory import Trajectory, survivors
from mfbench.mfcore.errors import DataError
from tests.dynamics.worlds import Wells, argyrodite, ethanol, grid


def water(oh: float) -> Atoms:
    return Atoms("OH2", [[0, 0, 0], [oh, 0, 0], [0, oh, 0]])


def test_minima_and_means_are_those_of_the_frames() -> None:
    reference = Reference.from_frames([water(0.9), water(1.0), water(1.1)])
    assert reference.n_frames == 3
    assert reference.pair_minimum == pytest.approx({"H-O": 0.9, "H-H": 0.9 * np.sqrt(2)})
    bonds = reference.bonds["OHH"]
    assert [(b.first, b.second) for b in bonds] == [(0, 1), (0, 2)]  # H-H is none
    assert [b.mean for b in bonds] == pytest.approx([1.0, 1.0])
    with pytest.raises(DataError, match="no reference frame"):
        Reference.from_frames([])


def test_minima_of_a_cell_are_over_its_images() -> None:
    cell = Atoms("LiCl", [[0.1, 0, 0], [4.0, 0, 0]], cell=[5, 9, 9], pbc=True)
    reference = Reference.from_frames([cell])
    assert reference.pair_minimum == pytest.approx({"Cl-Li": 1.1})  # farther pairs need no limit
    assert reference.bonds == {}
    criteria = reference.criteria(pair_fraction=0.8)
    assert (criteria.pair_minimum, criteria.pair_fraction) == (reference.pair_minimum, 0.8)


def test_ethanol_has_the_bonds_of_a_chemist() -> None:
    atoms = ethanol()
    bonds = Reference.from_frames([atoms]).bonds
    (found,) = bonds.values()
    kinds = sorted("".join(sorted(atoms.symbols[b.first] + atoms.symbols[b.second])) for b in found)
    assert kinds == ["CC", "CH", "CH", "CH", "CH", "CH", "CO", "HO"]


def test_the_reference_passes_its_own_criteria_or_the_calibration_says_so(tmp_path: Path) -> None:
    model = Wells(k=10.0, cutoff=3.5, spacing=2.0)
    settings = DynamicsSettings(duration_ps=0.2, time_step_fs=0.5, record_every=5)
    frames = [grid(8, spacing=2.0) for _ in range(4)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.02, seed=seed)
    replicas = starts(frames, [300.0])
    fine = calibrate(model, frames, replicas, settings, tmp_path)
    assert (fine.pass_rate, fine.n, fine.n_errors, fine.modes) == (1.0, 4, 0, {})
    # 8 atoms at 8 x 400 steps: three times the target would be exceeded now and then
    assert fine.criteria.temperature_factor == pytest.approx(max(3.0, temperature_factor(8, 1600)))
    labelled = Reference.from_frames(frames).pair_minimum["H-H"]
    assert fine.criteria.pair_minimum["H-H"] < labelled - 0.05  # what the trajectory saw counts
    calls = len(model.calls)
    assert calibrate(model, frames, replicas, settings, tmp_path) == fine
    assert len(model.calls) == calls  # nothing was computed again
    harsh = calibrate(model, frames, replicas, settings, tmp_path / "harsh", pair_fraction=1.2)
    assert (harsh.pass_rate, harsh.modes) == (0.0, {"close_pair": 4})


def test_temperatures_of_a_canonical_system_stay_below_the_factor() -> None:
    factor = temperature_factor(9, 1000, probability=0.05)
    heat = np.random.default_rng(0).chisquare(27, (1000, 1000)) / 27
    peak = heat.max(1)
    assert np.mean(peak > factor) == pytest.approx(0.05, abs=0.02)
    assert temperature_factor(3, 10**6) > temperature_factor(30, 10**6) > temperature_factor(3000, 10**6) > 1
    assert stats.chi2.sf(9 * temperature_factor(3, 100, 0.01), 9) == pytest.approx(1e-4)


def stored(positions: list[np.ndarray], atoms: Atoms) -> Trajectory:
    times = 0.01 * np.arange(len(positions))
    return Trajectory(np.asarray(atoms.numbers), atoms.cell.array, bool(atoms.pbc.any()), times, np.stack(positions))


def test_stored_trajectories_are_judged_as_running_ones() -> None:
    atoms = argyrodite()
    corner = int(atoms.symbols.indices()["S"][1])
    unit = Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4)
    still = [atoms.positions.copy() for _ in range(12)]
    criteria = FailureCriteria(units=(unit,), pair_minimum={"Li-S": 2.0}, broken_time_fs=25.0)
    assert judge(stored(still, atoms), criteria).mode is None
    broken = [p.copy() for p in still]
    for p in broken[4:6] + broken[7:]:
        p[corner] += 1.0
    verdict = judge(stored(broken, atoms), criteria)
    # broken for two frames and whole again; then from frame 7: more than 25 fs have passed at frame 10
    assert (verdict.mode, verdict.time_ps) == ("broken_unit", pytest.approx(0.10))
    lost = [p.copy() for p in still]
    lost[3][0, 0] = np.nan
    verdict = judge(stored(lost, atoms), criteria)
    assert (verdict.mode, verdict.time_ps) == ("non_finite", pytest.approx(0.03))


def test_a_written_trajectory_of_a_survivor_can_be_judged(tmp_path: Path) -> None:
    model, settings = Wells(k=10.0, cutoff=3.5, spacing=2.0), DynamicsSettings(duration_ps=0.02, record_every=5)
    atoms = grid(6, spacing=2.0)
    atoms.info |= {"structure_id": "row-6", "group": "rows"}
    run = simulate(model, starts([atoms], [200.0]), settings, out=tmp_path, trajectories=True)
    reference = Reference.from_frames([atoms])
    assert judge(survivors(run)[0], reference.criteria()).mode is None
    assert judge(survivors(run)[0], reference.criteria(pair_fraction=1.0)).mode == "close_pair"
    (line,) = run.records(settings.duration_ps)
    assert line == {
        "temperature_k": 200.0,
        "replica": 0,
        "start": "row-6",
        "time_ps": 0.02,
        "limit_ps": 0.02,
        "status": "survived",
        "mode": "",
    }
    (lifetime,) = run.lifetimes()
    assert (lifetime.status, lifetime.group, lifetime.time_ps) == ("survived", "rows", 0.02)
    assert run.lifetimes(300.0) == []
