"""Sampling by dynamics: what is chosen, what it says of itself, and that the same draw gives the same frames."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.labelling.gpaw import dynamics_round
from mfbench.benchmarks.labelling.gpaw.dynamics_round import DynamicsRound, by_dynamics
from mfbench.benchmarks.labelling.ingan.orderings import _orders
from mfbench.benchmarks.labelling.ingan.sample import rounds as ingan_rounds
from mfbench.benchmarks.labelling.ingan.sample import wurtzite
from mfbench.benchmarks.labelling.li6ps5cl.sample import _cubic
from mfbench.benchmarks.labelling.li6ps5cl.sample import rounds as li6ps5cl_rounds
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import DataError
from tests.dynamics.worlds import Wells


def grid(generator: np.random.Generator):
    positions = 5.0 * np.array([[i, j, 0] for i in range(2) for j in range(2)], dtype=float)
    atoms = Atoms("LiSLiS", positions=positions, cell=[10.0, 10.0, 5.0], pbc=True)
    return atoms, {"mark": float(generator.random())}


PLAN = DynamicsRound(
    "toy",
    grid,
    (100.0, 300.0),
    n_trajectories=4,
    n_high=2,
    volume=0.0,
    duration_ps=0.4,
    equilibration_ps=0.1,
    interval_ps=0.05,
)


def known() -> list[Atoms]:
    """One frame in which every pair comes so close that nothing in the wells is a failure."""
    return [Atoms("LiSLiS", positions=[[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]], cell=[10, 10, 5], pbc=True)]


@pytest.fixture
def wells(monkeypatch):
    monkeypatch.setattr(
        "mfbench.mfcore.dynamics.models.PotentialForces", lambda potential: Wells(k=potential, cutoff=4.0)
    )


@pytest.mark.usefixtures("wells")
def test_snapshots_of_trajectories_that_last():
    frames = by_dynamics(PLAN, 2.0, known())
    assert len(frames) == PLAN.n_trajectories * PLAN.per_trajectory
    assert [a.info["levels"] for a in frames].count("pbe+r2scan") == 2
    assert {a.info["kind"] for a in frames} == {"md"}
    for number, trajectory in enumerate(dict.fromkeys(a.info["trajectory"] for a in frames)):
        own = [a for a in frames if a.info["trajectory"] == trajectory]
        assert len(own) == 2
        assert {a.info["temperature_K"] for a in own} == {PLAN.temperatures_k[number % 2]}
        assert {a.info["group"] for a in own} == {trajectory}
        assert len({a.info["mark"] for a in own}) == 1  # what the start says of itself is handed on
        assert sum(a.info["levels"] == "pbe+r2scan" for a in own) <= 1
    assert all(PLAN.equilibration_ps < a.info["time_ps"] <= PLAN.duration_ps for a in frames)
    assert len({a.info["structure_id"] for a in frames}) == len(frames)
    again = by_dynamics(PLAN, 2.0, known())
    assert [a.info for a in again] == [a.info for a in frames]
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(again, frames, strict=True))


@pytest.mark.usefixtures("wells")
def test_what_fails_is_explored_but_not_taken_for_dynamics():
    falling = -3.0  # eV/Å²: every atom runs from its place, and the cell heats up without end
    with pytest.raises(DataError, match="0 of 5 trajectories"):
        by_dynamics(PLAN, falling, known())
    exploring = replace(PLAN, kind="explore", per_trajectory=1, equilibration_ps=0.0, interval_ps=0.005)
    frames = by_dynamics(exploring, falling, known())
    assert len(frames) == PLAN.n_trajectories
    assert {a.info["kind"] for a in frames} == {"explore"}
    assert all(np.isfinite(a.positions).all() for a in frames)
    assert max(a.info["time_ps"] for a in frames) < PLAN.duration_ps


def labelled(n_high: int, n_low: int) -> list[Atoms]:
    frames = []
    for number in range(n_low):
        atoms = Atoms("LiS", positions=[[0, 0, 0], [2, 0, 0]], cell=[5, 5, 5], pbc=True)
        atoms.info |= {"structure_id": f"s{number}", "group": f"s{number}"}
        for level in ("pbe", "r2scan")[: 1 + (number < n_high)]:
            set_labels(atoms, level, energy=-1.0 - number, forces=np.zeros((2, 3)))
        frames.append(atoms)
    return frames


@pytest.mark.parametrize(("n_high", "n_validation"), [(12, 4), (60, 6)])
def test_the_potential_that_samples_has_seen_no_level_of_what_selects_it(monkeypatch, n_high, n_validation):
    seen = []

    def fit(data, budget, seed, progress):
        seen.append(data)
        return "fitted"

    monkeypatch.setattr("mfbench.strategies.registry.make_arm", lambda arm, settings: SimpleNamespace(fit=fit))
    assert dynamics_round.sampler(labelled(n_high, 80), "EF") == "fitted"
    (data,) = seen
    held = {id_of(a) for a in data.validation}
    low, high = ({id_of(a) for a in data.train[level]} for level in ("pbe", "r2scan"))
    assert data.fidelities == ("pbe", "r2scan")
    assert (len(held), len(low), len(high)) == (n_validation, 80 - n_validation, n_high - n_validation)
    assert not held & (low | high)


def test_too_few_labels_make_no_potential_to_sample_with():
    with pytest.raises(DataError, match="11 frames with labels of r2scan"):
        dynamics_round.sampler(labelled(11, 80))


def test_volumes_of_the_starts():
    plan = replace(PLAN, volume=0.05)
    volumes = [dynamics_round._start(plan, np.random.default_rng(seed))[0].get_volume() / 500 for seed in range(40)]
    assert 0.95 <= min(volumes) < 0.97
    assert 1.03 < max(volumes) <= 1.05


def test_the_farthest_frames_are_chosen():
    def pair(distance: float, trajectory: str) -> Atoms:
        atoms = Atoms("Ar2", positions=[[0, 0, 0], [distance, 0, 0]], cell=[12, 12, 12], pbc=True)
        atoms.info = {"trajectory": trajectory}
        return atoms

    near_known = [pair(3.0, "a"), pair(3.01, "a"), pair(4.0, "a")]
    chosen = dynamics_round._novel([*near_known, pair(3.02, "b")], [pair(3.0, "-")], 1)
    assert chosen[0] is near_known[2]  # the others are where something is known
    assert len(chosen) == 2  # each trajectory gives its share all the same
    doubled = dynamics_round._novel([pair(4.0, "a"), pair(4.0, "a"), pair(3.5, "a")], [pair(3.0, "-")], 2)
    distances = sorted(round(a.get_distance(0, 1), 6) for a in doubled)
    assert distances == [3.5, 4.0]  # not the same frame twice


def test_other_compositions_are_infinitely_far():
    def dimer(symbols: str, distance: float) -> Atoms:
        atoms = Atoms(symbols, positions=[[0, 0, 0], [distance, 0, 0]], cell=[12, 12, 12], pbc=True)
        atoms.info = {"trajectory": "t"}
        return atoms

    candidates = [dimer("Ar2", 4.5), dimer("Kr2", 3.0)]
    assert dynamics_round._novel(candidates, [dimer("Ar2", 3.0)], 1)[0] is candidates[1]


def test_the_rounds_are_as_large_as_the_cards_say():
    lithium, nitride = li6ps5cl_rounds(), ingan_rounds()
    assert 170 + sum(r.n_trajectories * r.per_trajectory for r in lithium.values()) >= 300
    assert 74 + sum(r.n_high for r in lithium.values()) >= 130
    assert 170 + sum(r.n_trajectories * r.per_trajectory for r in nitride.values()) + 32 >= 250
    assert 60 + 32 + sum(r.n_high for r in nitride.values()) >= 110  # 32: orderings and equations of state
    assert (min(lithium["dynamics"].temperatures_k), max(lithium["dynamics"].temperatures_k)) == (300.0, 1200.0)
    assert (min(nitride["dynamics"].temperatures_k), max(nitride["dynamics"].temperatures_k)) == (300.0, 2000.0)


def test_starts_of_the_crystals():
    for plans, size in ((li6ps5cl_rounds(), 13), (ingan_rounds(), 16)):
        for plan in plans.values():
            made = [plan.start(np.random.default_rng(seed)) for seed in range(8)]
            assert {len(atoms) for atoms, _ in filter(None, made)} == {size}
    cubic = [_cubic(np.random.default_rng(seed)) for seed in range(20)]
    atoms = next(made for made in cubic if made is not None)[0]
    assert atoms.get_chemical_formula(mode="metal") in ("Li24Cl4P4S20", "Li24P4Cl4S20", "Li24P4S20Cl4")
    assert len(atoms) == 52


def indium_distances(order) -> tuple[float, ...]:
    """Sorted distances between indium atoms up to 8 Å: the same for equal crystals."""
    atoms = wurtzite(order)
    indium = atoms[atoms.symbols == "In"]
    sender, receiver, shift = neighbour_list(indium, 8.0)
    vectors = indium.positions[sender] - indium.positions[receiver] + shift
    return tuple(np.sort(np.linalg.norm(vectors, axis=1)).round(6))


# Eight equivalent sites in two layers: pairs in a layer, neighbours across, and not neighbours across
@pytest.mark.parametrize(
    ("n_indium", "count"),
    [
        *((n_indium, count) for n_indium, count in enumerate([1, 1, 3])),
        *(pytest.param(n, count, marks=pytest.mark.slow) for n, count in enumerate([3, 6, 3, 3], start=3)),
        *((n_indium, 1) for n_indium in (7, 8)),
    ],
)
def test_orders_are_all_that_differ_by_symmetry(n_indium, count):
    orders = _orders(n_indium)
    assert len(orders) == count
    assert {order.count("In") for order in orders} == {n_indium}
    kinds = {indium_distances(order) for order in orders}
    for chosen in combinations(range(8), n_indium):
        assert indium_distances(["In" if site in chosen else "Ga" for site in range(8)]) in kinds
