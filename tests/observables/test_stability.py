"""MD stability of a fitted potential: the rows are what the replicas' lines say, and a bad potential does worse."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from mfbench.benchmarks.observables.dynamics import MD, criteria_of, start_frames
from mfbench.benchmarks.observables.stability.observable import StabilityPlan, stability
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.mfcore.dynamics.calibration import temperature_factor
from mfbench.mfcore.dynamics.criteria import MODES
from mfbench.mfcore.provenance import canonical_json
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import tiny_settings

PLAN = StabilityPlan(temperatures_k=(100.0, 300.0), duration_ps=0.03, time_step_fs=0.5, starts=4, drift_ps=0.01)


@pytest.fixture(scope="module")
def world(frames, training_set):
    tests = {"in_coverage": frames[66:78], "out_of_coverage": frames[78:]}
    return SimpleNamespace(
        task=SimpleNamespace(frames=frames, units=lambda: ()),
        split=SimpleNamespace(tests=tests),
        potential=make_arm("transfer", tiny_settings()).fit(training_set, Budget(4000), 0),
        labels=make_arm("delta_labels", tiny_settings()).fit(training_set, Budget(400), 0),
    )


def test_rows_are_what_the_replicas_say(world):
    found = stability(world.potential, world.task, world.split, PLAN, seed=3)
    values = {row["metric"]: row for row in found.rows}
    assert {row["split"] for row in found.rows} == {MD}
    assert len(found.details["survival"]) == 2 * PLAN.starts
    assert len({line["replica"] for line in found.details["survival"]}) == 2 * PLAN.starts
    for temperature in PLAN.temperatures_k:
        lines = [line for line in found.details["survival"] if line["temperature_k"] == temperature]
        fraction = sum(line["status"] == "survived" for line in lines) / len(lines)
        assert values[f"md_survival_fraction_{temperature:g}K"]["value"] == fraction
        assert values[f"md_survival_fraction_{temperature:g}K"]["n"] == len(lines)
        # without a censored replica before the limit, the restricted mean is the mean of the times
        mean = sum(line["time_ps"] for line in lines) / len(lines)
        assert values[f"md_rmst_ps_{temperature:g}K"]["value"] == pytest.approx(mean)
    drifts = [abs(line["drift_mev_per_atom_per_ps"]) for line in found.details["drift"]]
    # a molecule of three atoms at 300 K is now and then three times as hot, which is no failure of a potential
    assert len(drifts) >= PLAN.starts - 1
    row = values["nve_drift_mev_per_atom_per_ps"]
    assert (row["value"], row["n"]) == (pytest.approx(np.median(drifts)), len(drifts))
    assert [line["time_ps"] for line in found.details["drift"]] == pytest.approx([PLAN.drift_ps] * len(drifts))
    assert found.rows == stability(world.potential, world.task, world.split, PLAN, seed=3).rows


def test_the_drift_is_the_median_of_the_absolute_ones(world, monkeypatch):
    lines = [{"drift_mev_per_atom_per_ps": value} for value in (-3.0, 1.0, -2.0, 40.0, 2.5)]
    monkeypatch.setattr("mfbench.benchmarks.observables.stability.observable._drift", lambda *_: lines)
    plan = PLAN.model_copy(update={"temperatures_k": (100.0,), "duration_ps": 0.001, "starts": 1})
    found = stability(world.potential, world.task, world.split, plan, seed=3)
    (row,) = [row for row in found.rows if row["metric"] == "nve_drift_mev_per_atom_per_ps"]
    assert (row["value"], row["n"], row["unit"]) == (2.5, 5, "meV/atom/ps")
    without = plan.model_copy(update={"drift_ps": 0.0})
    found = stability(world.potential, world.task, world.split, without, seed=3)
    assert "drift" not in found.details
    assert {row["metric"] for row in found.rows} == {"md_survival_fraction_100K", "md_rmst_ps_100K"}


def test_a_potential_that_explodes_fails(world):
    sane = stability(world.potential, world.task, world.split, PLAN, seed=3)
    scale = world.potential.cores[0].scale
    kept = scale.clone()
    scale.mul_(-30.0)
    try:
        found = stability(replace(world.potential), world.task, world.split, PLAN, seed=3)
    finally:
        scale.copy_(kept)
    values, better = ({row["metric"]: row["value"] for row in part.rows} for part in (found, sane))
    for temperature in PLAN.temperatures_k:
        assert values[f"md_survival_fraction_{temperature:g}K"] == 0.0
        assert values[f"md_rmst_ps_{temperature:g}K"] < better[f"md_rmst_ps_{temperature:g}K"]
    assert len(found.details["survival"]) == 2 * PLAN.starts
    assert {line["status"] for line in found.details["survival"]} == {"failure"}
    assert all(line["mode"] in MODES and line["time_ps"] < PLAN.duration_ps for line in found.details["survival"])


def test_a_potential_that_needs_labels_has_no_dynamics(world):
    assert stability(world.labels, world.task, world.split, PLAN, seed=0).rows == []


def test_starts_are_spread_and_not_hotter_than_the_run(frames):
    part = [atoms.copy() for atoms in frames[:12]]
    for number, atoms in enumerate(part):
        atoms.info |= {"group": f"g{number % 3}", "temperature_K": 300.0 if number < 6 else 900.0}
    split = SimpleNamespace(tests={"a": part, "b": part})
    cold = start_frames(split, 6, 400.0)
    assert len(cold) == 6
    assert all(atoms.info["temperature_K"] == 300.0 for atoms in cold)
    assert [sum(atoms.info["group"] == f"g{k}" for atoms in cold[:3]) for k in range(3)] == [1, 1, 1]
    assert {atoms.info["temperature_K"] for atoms in start_frames(split, 24, 1000.0)} == {300.0, 900.0}
    assert {atoms.info["temperature_K"] for atoms in start_frames(split, 4, 10.0)} == {300.0}  # the coldest there are
    for atoms in part[6:]:
        del atoms.info["temperature_K"]
    assert all("temperature_K" in atoms.info for atoms in start_frames(split, 24, 1000.0))  # rattled ones are too hot
    plain = [atoms.copy() for atoms in frames[:4]]
    for atoms in plain:
        atoms.info |= {"group": "g"}
        atoms.info.pop("temperature_K", None)
    assert len(start_frames(SimpleNamespace(tests={"a": plain}), 4, 300.0)) == 4


def test_criteria_come_from_the_frames_of_the_task(world, frames):
    criteria = criteria_of(world.task, PLAN, frames[66:70])
    shortest = min(atoms.get_distances(0, range(1, len(atoms))).min() for atoms in frames)
    assert criteria.pair_minimum["H-O"] == pytest.approx(shortest)
    assert {key: len(bonds) for key, bonds in criteria.bonds.items()} == {"OHH": 2, "OH": 1}
    # three atoms fluctuate more than the three times that a large cell is held to
    smallest, n_steps = min(len(atoms) for atoms in frames[66:70]), 60 * 4
    assert criteria.temperature_factor == pytest.approx(temperature_factor(smallest, n_steps))
    assert criteria.temperature_factor > 3.0


@pytest.mark.parametrize("kind", [StabilityPlan, TransportPlan])
def test_every_kind_of_plan_has_the_thresholds_of_the_criteria(world, frames, kind):
    plan = kind(pair_fraction=0.6, bond_tolerance_a=0.3, broken_time_fs=50.0)
    found = criteria_of(world.task, plan, frames[66:70])
    assert (found.pair_fraction, found.bond_tolerance, found.broken_time_fs) == (0.6, 0.3, 50.0)
    longer = criteria_of(world.task, kind(duration_ps=10 * plan.duration_ps), frames[66:70])
    assert longer.temperature_factor > found.temperature_factor  # what is rare happens more often in more steps


@pytest.mark.parametrize(
    ("plan", "record"),
    [
        (
            StabilityPlan(),
            '{"bond_tolerance_a":0.5,"broken_time_fs":100.0,"drift_ps":0.0,"duration_ps":1.0,"friction_per_ps":5.0,'
            '"pair_fraction":0.75,"replicas":1,"starts":8,"temperatures_k":[300.0],"time_step_fs":0.5,'
            '"wall_limit_s":600.0}',
        ),
        (
            TransportPlan(),
            '{"blocks":5,"bond_tolerance_a":0.5,"broken_time_fs":100.0,"charge":1.0,"duration_ps":100.0,'
            '"equilibration":0.1,"friction_per_ps":1.0,"pair_fraction":0.75,"record_fs":50.0,"replicas":1,'
            '"species":"Li","temperatures_k":[600.0,800.0,1000.0],"time_step_fs":2.0,"wall_limit_s":1800.0}',
        ),
    ],
)
def test_stored_runs_know_a_plan_by_this_record(plan, record):
    """It is part of run keys: another text makes every stored run with dynamics one that has to be computed again."""
    assert canonical_json(plan.model_dump(mode="json")) == record


def test_an_impossible_plan_is_an_error():
    with pytest.raises(ValidationError, match="duration_fs"):
        StabilityPlan(duration_fs=3)
    for faulty in ({"duration_ps": 0.0}, {"temperatures_k": ()}, {"pair_fraction": -0.1}, {"replicas": 0}):
        with pytest.raises(ValidationError, match=next(iter(faulty))):
            StabilityPlan(**faulty)
