"""Transport through the whole dynamics of force models whose diffusion is known, and from made-up trajectories."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms, units
from pydantic import ValidationError

from mfbench.benchmarks.observables.transport.analysis import measure
from mfbench.benchmarks.observables.transport.observable import transport, transport_cells
from mfbench.benchmarks.observables.transport.plan import TransportPlan
from mfbench.benchmarks.tasks.li6ps5cl.task import Li6PS5Cl
from mfbench.mfcore.data.frames import write_frames
from mfbench.mfcore.dynamics.results import DynamicsRun, ReplicaResult
from mfbench.mfcore.dynamics.trajectory import TrajectoryWriter
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import sha256_of
from mfbench.mfcore.metrics.transport import BOLTZMANN_EV_PER_K, conductivity_mS_per_cm
from tests.dynamics.worlds import Analytic, Faulty, Wells, argyrodite, small_potential

N = 60
BOX_A = 30.0
PLAN = TransportPlan(
    temperatures_k=(300.0, 600.0, 1200.0),
    duration_ps=20.0,
    time_step_fs=20.0,
    friction_per_ps=20.0,
    record_fs=40.0,
    replicas=2,
    blocks=4,
    pair_fraction=1e-9,  # free particles meet
)


def gas(symbols: str = f"Li{N}", seed: int = 0, name: str = "gas") -> Atoms:
    n = len(Atoms(symbols))
    positions = np.random.default_rng(seed).uniform(0, BOX_A, (n, 3))
    return Atoms(symbols, positions, cell=[BOX_A] * 3, pbc=True, info={"structure_id": name, "group": name})


def world(*cells: Atoms) -> SimpleNamespace:
    return SimpleNamespace(frames=list(cells), units=lambda: (), transport_frames=lambda: list(cells))


@pytest.fixture
def answered_by(monkeypatch: pytest.MonkeyPatch):
    def set_model(model) -> SimpleNamespace:
        monkeypatch.setattr("mfbench.mfcore.dynamics.models.PotentialForces", lambda potential, **options: model)
        return SimpleNamespace(requires_low_labels=())

    return set_model


def einstein(kelvin: float, friction_per_ps: float) -> float:
    """D = kT / (m γ) of a free particle in cm²/s, less what the motion of the centre of mass takes of N of them."""
    ps = 1000 * units.fs
    return units.kB * kelvin / Atoms("Li").get_masses()[0] / (friction_per_ps / ps) * ps * 1e-4 * (1 - 1 / N)


def test_free_particles_diffuse_as_einstein_says(answered_by, tmp_path: Path) -> None:
    task = world(gas())
    found = transport(answered_by(Analytic(0.5)), task, PLAN, seed=1, workdir=tmp_path)
    rows = {row["metric"]: row for row in found.rows}
    assert {row["split"] for row in found.rows} == {"md"}
    for kelvin in PLAN.temperatures_k:
        row = rows[f"li_diffusivity_cm2_per_s_{kelvin:g}K"]
        assert row["value"] == pytest.approx(einstein(kelvin, PLAN.friction_per_ps), rel=0.15)
        assert (row["unit"], row["n"]) == ("cm²/s", 2)
        assert rows[f"transport_survival_fraction_{kelvin:g}K"]["value"] == 1.0
        # at the longest lag, half a block of (1 - 0.1) 20 ps / 4: 6 D (t - 1/γ)
        square = 6e4 * einstein(kelvin, PLAN.friction_per_ps) * (2.24 - 1 / PLAN.friction_per_ps)
        assert rows[f"li_msd_a2_{kelvin:g}K"]["value"] == pytest.approx(square, rel=0.15)
    # D ∝ T: d ln D / d(-1/kT) = kT, which a line weighted equally puts between the extremes
    assert units.kB * 300.0 < rows["li_activation_energy_ev"]["value"] < units.kB * 1200.0
    curves = [line for line in found.details["msd"] if line["temperature_k"] == 600.0]
    assert {line["species"] for line in found.details["msd"]} == {"Li"}
    assert len(curves) <= 40
    lags = np.array([line["lag_ps"] for line in curves])
    assert (lags[0], lags[-1]) == (0.04, pytest.approx(9.0, abs=0.1))  # a record, and half of what is not left out
    assert (np.diff(lags) > 0).all()
    friction = PLAN.friction_per_ps
    free = 6e4 * einstein(600.0, friction) * (lags - (1 - np.exp(-friction * lags)) / friction)
    short = lags < 2.0  # beyond, few stretches of the trajectory are independent
    assert np.array([line["msd_a2"] for line in curves])[short] == pytest.approx(free[short], rel=0.15)
    lines = found.details["transport"]
    assert len(lines) == 6
    assert {line["replica"] for line in lines} == set(range(6))
    for kelvin in PLAN.temperatures_k:
        own = [line["diffusivity_cm2_per_s"] for line in lines if line["temperature_k"] == kelvin]
        assert np.mean(own) == pytest.approx(rows[f"li_diffusivity_cm2_per_s_{kelvin:g}K"]["value"])


def test_what_was_cut_off_goes_on_and_another_potential_starts_anew(answered_by, tmp_path: Path) -> None:
    task, plan = world(gas("Li8")), PLAN.model_copy(update={"temperatures_k": (300.0,), "replicas": 1})
    first, second = Analytic(0.5), Analytic(0.5)
    once = transport(answered_by(first), task, plan, seed=1, workdir=tmp_path)
    assert len(first.calls) == 1001
    assert transport(answered_by(second), task, plan, seed=1, workdir=tmp_path).rows == once.rows
    assert second.calls == []  # the stored dynamics is finished
    other = Wells(5.0)
    transport(answered_by(other), task, plan, seed=1, workdir=tmp_path)
    assert len(other.calls) > 1


def test_failed_replicas_are_left_out_and_counted(answered_by, tmp_path: Path) -> None:
    def explode(energy: torch.Tensor, forces: torch.Tensor, frames: torch.Tensor, atoms: torch.Tensor) -> None:
        forces[atoms] = torch.inf

    task = world(gas(name="good"), gas(f"SLi{N - 1}", name="bad"))
    plan = PLAN.model_copy(update={"replicas": 1, "temperatures_k": (300.0, 600.0), "duration_ps": 10.0, "blocks": 2})
    found = transport(answered_by(Faulty(Analytic(0.5), after=400, number=16, fault=explode)), task, plan, 1, tmp_path)
    rows = {row["metric"]: row for row in found.rows}
    for kelvin in plan.temperatures_k:
        row = rows[f"transport_survival_fraction_{kelvin:g}K"]
        assert (row["value"], row["n"]) == (0.5, 2)
        row = rows[f"li_diffusivity_cm2_per_s_{kelvin:g}K"]
        assert row["n"] == 1
        assert row["value"] == pytest.approx(einstein(kelvin, plan.friction_per_ps), rel=0.25)
        assert f"s_msd_a2_{kelvin:g}K" not in rows  # sulfur was in the failed cell only
    lost = [line for line in found.details["transport"] if not line["survived"]]
    assert len(lost) == 2
    assert all(np.isnan(line["diffusivity_cm2_per_s"]) and line["n_blocks"] == 0 for line in lost)
    assert all(line["time_ps"] == pytest.approx(8.0, abs=0.05) for line in lost)


def test_atoms_that_stay_in_their_wells_have_no_diffusivity(answered_by, tmp_path: Path, caplog) -> None:
    atoms = Atoms("Li27", [[5.0 * i, 5.0 * j, 5.0 * k] for i in range(3) for j in range(3) for k in range(3)])
    atoms.cell, atoms.pbc = [15.0] * 3, True
    # damped so that a fit sees no oscillation: its lags begin at 0.45 ps, when exp(-γt/2) is 0.01
    damped = {"duration_ps": 20.0, "time_step_fs": 10.0, "record_fs": 50.0, "blocks": 4, "friction_per_ps": 20.0}
    plan = TransportPlan(**damped, pair_fraction=1e-9)
    found = transport(answered_by(Wells(2.0)), world(atoms), plan, seed=2, workdir=tmp_path)
    names = {row["metric"] for row in found.rows}
    assert {f"transport_survival_fraction_{t:g}K" for t in plan.temperatures_k} <= names
    values = {row["metric"]: row["value"] for row in found.rows}
    for kelvin in plan.temperatures_k:  # two independent positions in a well: 2 <r²> = 6 kT/k, less the drift
        square = 6 * units.kB * kelvin / 2.0 * (1 - 1 / 27)
        assert values[f"li_msd_a2_{kelvin:g}K"] == pytest.approx(square, rel=0.1)
    assert not any("diffusivity" in name or "energy" in name or "conductivity" in name for name in names)
    assert len(found.details["transport"]) == 3
    assert "does not move" in caplog.text


ENERGY_EV, PREFACTOR = 0.25, 2e-3
"""Of the made-up diffusion: Ea in eV, D0 in cm²/s."""


def walked(folder: Path, plan: TransportPlan, statuses: dict[float, list[str]], n: int = 80) -> DynamicsRun:
    """Random walks of Li around a resting framework, D = D0 exp(-Ea / kT), and replicas that ended as told."""
    generator, results = np.random.default_rng(5), []
    ends = [(kelvin, status) for kelvin, found in statuses.items() for status in found]
    writer = TrajectoryWriter(folder, {}, range(len(ends)))
    atoms = Atoms(f"Li{n}S{n}", cell=[40.0] * 3, pbc=True)
    for replica, (kelvin, status) in enumerate(ends):
        d = PREFACTOR * np.exp(-ENERGY_EV / (BOLTZMANN_EV_PER_K * kelvin)) * 1e4  # Å²/ps
        wild = 1.0 if status == "survived" else 100.0
        positions = np.zeros((2 * n, 3))
        for record in range(round(1000 * plan.duration_ps / plan.record_fs) + 1):
            writer.add(replica, atoms, positions, record * plan.record_fs / 1000)
            positions[:n] += generator.normal(0, wild * np.sqrt(2 * d * plan.record_fs / 1000), (n, 3))
        mode = None if status == "survived" else "close_pair"
        results.append(ReplicaResult(replica, "a", "a", kelvin, 2 * n, status, mode, plan.duration_ps))
    writer.flush()
    return DynamicsRun(tuple(results), {}, dict(writer.paths))


def test_an_arrhenius_line_gives_its_energy_and_conductivity(tmp_path: Path) -> None:
    plan = TransportPlan(
        temperatures_k=(500.0, 600.0, 800.0, 1000.0), duration_ps=10.0, time_step_fs=2.0, record_fs=50.0, blocks=5
    )
    statuses = {kelvin: ["survived", "survived"] for kelvin in plan.temperatures_k}
    statuses[1000.0] = ["survived", "failure", "failure", "error"]
    found = measure(walked(tmp_path, plan, statuses), plan)
    rows = {row["metric"]: row for row in found.rows}
    assert rows["li_activation_energy_ev"]["value"] == pytest.approx(ENERGY_EV, abs=0.01)
    assert rows["li_activation_energy_ev"]["n"] == 7
    room = PREFACTOR * np.exp(-ENERGY_EV / (BOLTZMANN_EV_PER_K * 300.0))
    expected = conductivity_mS_per_cm(room, 80 / 40.0**3, 300.0)
    middle = rows["li_conductivity_ms_per_cm_300K"]["value"]
    low, high = (rows[f"li_conductivity_{side}_ms_per_cm_300K"]["value"] for side in ("low", "high"))
    assert middle == pytest.approx(expected, rel=0.2)
    assert low < expected < high
    assert low < middle < high
    # the failed replicas moved a hundred times as far: they are in no diffusivity
    hot = PREFACTOR * np.exp(-ENERGY_EV / (BOLTZMANN_EV_PER_K * 1000.0))
    row = rows["li_diffusivity_cm2_per_s_1000K"]
    assert (row["value"], row["n"]) == (pytest.approx(hot, rel=0.1), 1)
    row = rows["transport_survival_fraction_1000K"]
    assert (row["value"], row["n"]) == (pytest.approx(1 / 3), 3)  # an error is neither
    assert rows["s_msd_a2_500K"]["value"] < 0.02 * rows["li_msd_a2_500K"]["value"]


def test_without_survivors_at_two_temperatures_there_is_no_line(tmp_path: Path) -> None:
    plan = TransportPlan(temperatures_k=(600.0, 1000.0), duration_ps=5.0, time_step_fs=2.0, record_fs=50.0)
    found = measure(walked(tmp_path, plan, {600.0: ["survived"], 1000.0: ["failure"]}, n=20), plan)
    names = [row["metric"] for row in found.rows if "diffusivity" in row["metric"] or "energy" in row["metric"]]
    assert names == ["li_diffusivity_cm2_per_s_600K"]
    assert {
        "split": "md",
        "metric": "transport_survival_fraction_1000K",
        "unit": "",
        "value": 0.0,
        "n": 1,
    } in found.rows


def test_the_lines_are_those_of_the_stored_detail(tmp_path: Path) -> None:
    from mfbench.benchmarks.harness.columns import detail_frame
    from mfbench.benchmarks.reports.metrics import metric_of

    plan = TransportPlan(temperatures_k=(600.0, 800.0, 1000.0), duration_ps=5.0, time_step_fs=2.0, record_fs=50.0)
    statuses = {kelvin: ["survived", "failure"] for kelvin in plan.temperatures_k}
    found = measure(walked(tmp_path, plan, statuses, n=20), plan)
    assert len(detail_frame("transport", found.details["transport"])) == 6
    curves = detail_frame("msd", found.details["msd"])
    assert set(curves["n_replicas"]) == {1}  # of two, one failed
    assert set(curves["species"]) == {"Li", "S"}
    for row in found.rows:
        metric = metric_of(row["metric"])
        assert metric is not None, row
        assert metric.unit == row["unit"]


def test_a_network_is_put_through_it_from_the_cells_of_the_task(tmp_path: Path) -> None:
    settings = {"temperatures_k": (200.0, 300.0), "duration_ps": 0.04, "time_step_fs": 1.0, "record_fs": 1.0}
    plan, potential = TransportPlan(**settings, blocks=2), small_potential()
    found = transport(potential, world(argyrodite(3), argyrodite(4)), plan, seed=1, workdir=tmp_path)
    assert [line["temperature_k"] for line in found.details["transport"]] == [200.0, 300.0] * 2
    names = {row["metric"] for row in found.rows}
    assert {f"{s}_msd_a2_{t}K" for s in ("li", "p", "s", "cl") for t in (200, 300)} <= names
    (folder,) = tmp_path.iterdir()
    assert len(list((folder / "trajectories").iterdir())) == 4


def test_a_potential_that_needs_labels_has_no_transport(tmp_path: Path) -> None:
    potential = SimpleNamespace(requires_low_labels=("dft",))
    assert transport(potential, world(gas()), PLAN, 0, tmp_path).rows == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration_fs": 3}, "duration_fs"),
        ({"species": "Xx"}, "no element"),
        ({"temperatures_k": ()}, "temperatures_k"),
        ({"temperatures_k": (600.0, 600.0)}, "different temperatures"),
        ({"temperatures_k": (0.0, 600.0)}, "greater than 0"),
        ({"duration_ps": 1.0}, "blocks: one has 3 records"),
        ({"record_fs": 3.0}, "record_fs: expected a multiple of time_step_fs"),
        ({"record_fs": 0.5}, "record_fs: expected a multiple of time_step_fs"),
        ({"record_fs": 30.0}, "duration_ps: expected a multiple of record_fs"),
        ({"blocks": 1}, "blocks"),
        ({"equilibration": 1.0}, "equilibration"),
    ],
)
def test_an_impossible_plan_says_what_is_wrong(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TransportPlan(**change)


def test_the_default_plan_is_possible() -> None:
    plan = TransportPlan()
    assert (plan.settings.n_steps, plan.settings.record_every) == (50_000, 25)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (SimpleNamespace(frames=[]), "no cells"),
        (world(), "no cells"),
        (world(gas("Na3", name="salt")), "'salt': expected a periodic cell with Li"),
        (world(Atoms("Li", info={"structure_id": "lone"})), "'lone': expected a periodic cell"),
    ],
)
def test_a_task_without_cells_is_refused(task: SimpleNamespace, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        transport_cells(task, PLAN)


def argyrodite_folder(folder: Path, geometries: dict | None) -> Path:
    (folder / "data").mkdir()
    write_frames(folder / "data" / "transport.extxyz", [gas("Li24P4S20Cl4", name="conventional")])
    card = {"name": "li6ps5cl", "files": {}} | ({} if geometries is None else {"geometries": geometries})
    (folder / "dataset.yml").write_text(yaml.safe_dump(card))
    return folder


def test_li6ps5cl_reads_its_cells_and_does_not_take_them_for_labelled_frames(tmp_path: Path) -> None:
    folder = argyrodite_folder(tmp_path, None)
    with pytest.raises(ConfigError, match="geometries"):
        Li6PS5Cl(folder).transport_frames()
    name = "data/transport.extxyz"
    card = {"name": "li6ps5cl", "files": {}, "geometries": {name: {"sha256": sha256_of(folder / name)}}}
    (folder / "dataset.yml").write_text(yaml.safe_dump(card))
    task = Li6PS5Cl(folder)
    (cell,) = transport_cells(task, TransportPlan())
    assert len(cell) == 52
    with pytest.raises(ConfigError, match="empty list"):  # these cells are no labelled frames
        _ = task.frames


@pytest.mark.parametrize("name", ["data/transport.extxyz", "data/other.extxyz"])
def test_li6ps5cl_refuses_cells_that_are_not_those_described(tmp_path: Path, name: str) -> None:
    folder = argyrodite_folder(tmp_path, {name: {"sha256": "0" * 64}})
    with pytest.raises(DataError, match="sha256"):
        Li6PS5Cl(folder).transport_frames()
