"""MD stability of a fitted potential: the rows are what the replicas' lines say, and a bad potential does worse."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from benchmarks.tasks.stability import MD, StabilityPlan, criteria_of, stability, start_frames
from mfcore.training.budget import Budget
from strategies.registry import make_arm
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
    assert values["nve_drift_mev_per_atom_per_ps"]["n"] == len(found.details["drift"])
    assert found.rows == stability(world.potential, world.task, world.split, PLAN, seed=3).rows


def test_a_potential_that_explodes_fails(world):
    wild = replace(world.potential)
    scale = wild.cores[0].scale.clone()
    wild.cores[0].scale.mul_(-30.0)
    try:
        found = stability(replace(wild), world.task, world.split, PLAN, seed=3)
    finally:
        wild.cores[0].scale.copy_(scale)
    assert all(row["value"] == 0.0 for row in found.rows if "survival_fraction" in row["metric"])
    assert all(line["mode"] for line in found.details["survival"])
    assert found.details["drift"] == [] or "nve_drift_mev_per_atom_per_ps" in {row["metric"] for row in found.rows}


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
    shortest = min(atoms.get_distance(0, 1) for atoms in frames)
    assert criteria.pair_minimum["H-O"] == pytest.approx(shortest, rel=0.2)
    assert set(criteria.bonds) == {"OHH", "OH"}
    assert criteria.temperature_factor > 3.0  # three atoms fluctuate more


def test_an_unknown_key_of_a_plan_is_an_error():
    with pytest.raises(ValidationError, match="duration_fs"):
        StabilityPlan(duration_fs=3)
