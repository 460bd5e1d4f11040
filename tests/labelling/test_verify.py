"""Every fault that can be put into a data set is found, named, and the only one that is."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT

from mfbench.benchmarks.labelling import recompute as module
from mfbench.benchmarks.labelling.recompute import cheapest, compare, recompute
from mfbench.benchmarks.labelling.verify import MOST_BYTES, Check, verify_size, verify_task
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.crystals import CrystalTask
from mfbench.mfcore.data.frames import drop_labels, set_labels, write_frames
from mfbench.mfcore.errors import ConfigError, DataError
from tests.labelling.gpaw.test_labels import stand_in
from tests.tasks.toy import ToyTask

__all__ = ["stand_in"]

N_FRAMES = 40


class Alloy(CrystalTask):
    """Rattled copper-gold cells; coverage is one of displacement."""

    name = "alloy"
    summary = "a crystal with analytic labels"
    default_regime = Regime(n_low=10, n_high=4, labels="low=EFS,high=EF", coverage="gap")
    n_test = (4, 4)
    n_validation = 2

    def covered(self, atoms: Atoms) -> bool:
        return bool(atoms.info["calm"])


def frames() -> list[Atoms]:
    """PBE: an embedded-atom potential; r2SCAN: 1.1 times it, on every frame but the last five, without stress."""
    made = []
    for number in range(N_FRAMES):
        generator = np.random.default_rng(number)
        atoms = bulk("Cu", cubic=True)
        atoms[0].symbol = "Au"
        strain = generator.normal(0, 0.01, (3, 3))
        atoms.set_cell(atoms.cell.array @ (1.03 * np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += generator.normal(0, 0.04, (4, 3))
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        atoms.info = {"structure_id": f"s{number}", "group": f"s{number}", "calm": number % 2 == 0}
        set_labels(atoms, "pbe", energy=energy, forces=forces, stress=stress)
        atoms.info["pbe_cpu_s"] = 5.0
        if number < N_FRAMES - 5:
            set_labels(atoms, "r2scan", energy=1.1 * energy, forces=1.1 * forces)
            atoms.info["r2scan_cpu_s"] = 20.0 + number
        made.append(atoms)
    return made


def write(folder: Path, made: list[Atoms]) -> dict[str, Any]:
    """Write a data set whose card is that of `frames`, with the hash and size of what is written."""
    path, cells = folder / "data" / "alloy.extxyz", folder / "data" / "cells.extxyz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frames(path, made)
    write_frames(cells, [bulk("Cu", cubic=True)])
    n_high = N_FRAMES - 5

    def facts(file: Path) -> dict[str, Any]:
        return {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}

    card = {
        "settings": {},
        "files": {"data/alloy.extxyz": facts(path)},
        "geometries": {"data/cells.extxyz": facts(cells)},
        "n_frames": N_FRAMES,
        "failures": [{"structure_id": "s99", "level": "pbe", "reason": "did not converge"}],
        "levels": {
            "pbe": {"counts": {"energy": N_FRAMES, "forces": N_FRAMES, "stress": N_FRAMES}},
            "r2scan": {"counts": {"energy": n_high, "forces": n_high}},
        },
    }
    (folder / "dataset.yml").write_text(yaml.safe_dump(card))
    return card


def wrong(folder: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify_task(Alloy(folder)) if check.ok is False}


def test_a_right_data_set_has_no_fault(tmp_path):
    write(tmp_path, frames())
    checks = verify_task(Alloy(tmp_path))
    assert [check for check in checks if not check.ok] == []
    found = {check.name: check.detail for check in checks}
    assert found["pbe labels"] == "40 energy, 40 forces, 40 stress"
    assert found["r2scan labels"] == "35 energy, 35 forces, 0 stress"
    assert "data/cells.extxyz" in found["files"]
    assert "not measured" not in found["pbe stress agrees with energies"]


def shift_energy(made: list[Atoms]) -> None:
    made[3].info["pbe_energy"] += 20.0


def strong_force(made: list[Atoms]) -> None:
    for row, sign in ((0, 1), (1, -1)):
        made[3].arrays["r2scan_forces"][row] += sign * np.array([50.0, 0.0, 0.0])


def net_force(made: list[Atoms]) -> None:
    made[3].arrays["r2scan_forces"] += [0.03, 0.0, 0.0]


def pressure(made: list[Atoms]) -> None:
    for atoms in made:
        atoms.info["pbe_stress"] += 30.0 * units.GPa * np.eye(3)


def wild_stress(made: list[Atoms]) -> None:
    made[3].info["pbe_stress"][0, 1] = made[3].info["pbe_stress"][1, 0] = 120.0 * units.GPa


def twice(made: list[Atoms]) -> None:
    for key in ("pbe_forces", "r2scan_forces"):
        made[4].arrays[key] = made[2].arrays[key]
    made[4].positions, made[4].cell = made[2].positions + 0.3, made[2].cell
    made[4].info |= {k: v for k, v in made[2].info.items() if "pbe" in k or "r2scan" in k}


def lone_target(made: list[Atoms]) -> None:
    drop_labels(made[3], "pbe")
    set_labels(made[-1], "r2scan", energy=1.0, forces=np.zeros((4, 3)))
    drop_labels(made[-1], "r2scan")


def stressed_target(made: list[Atoms]) -> None:
    set_labels(made[3], "r2scan", stress=np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("change", "faults", "told"),
    [
        (shift_energy, {"pbe energies"}, "s3"),
        (strong_force, {"r2scan forces"}, "s3"),
        (net_force, {"r2scan net force"}, "beyond 0.02: s3"),
        (pressure, {"pbe stress agrees with energies"}, "missing in the stresses: -2"),
        (wild_stress, {"pbe stress"}, "s3"),
        (twice, {"no two frames are equal"}, "s2"),
        (lone_target, {"pbe labels", "pbe-r2scan pairs"}, "s3"),
        (stressed_target, {"r2scan labels"}, "1 stress; the card says"),
    ],
)
def test_a_fault_in_the_labels_is_found(
    tmp_path, change: Callable[[list[Atoms]], None], faults: set[str], told: str
) -> None:
    made = frames()
    change(made)
    write(tmp_path, made)
    found = wrong(tmp_path)
    if change is twice:
        found.pop("split without leakage", None)  # where the two land is chance
    assert set(found) == faults
    assert told in " ".join(found.values())


@pytest.mark.parametrize(
    ("change", "fault", "told"),
    [
        (lambda card: card["files"]["data/alloy.extxyz"].update(sha256="0" * 64), "files", "sha256"),
        (lambda card: card["geometries"]["data/cells.extxyz"].update(sha256="0" * 64), "files", "cells.extxyz"),
        (lambda card: card["files"]["data/alloy.extxyz"].update(bytes=7), "bytes", "the card says 7"),
        (lambda card: card.update(n_frames=41), "frames", "the card says 41"),
        (lambda card: card["failures"][0].pop("reason"), "failures", "without name, level or reason"),
        (lambda card: card["failures"][0].update(structure_id="s3"), "failures", "have a label: s3 pbe"),
        (lambda card: card.update(failures=["s3 r2scan: did not converge"]), "failures", "have a label: s3 r2scan"),
        (lambda card: card["levels"]["pbe"]["counts"].update(stress=39), "pbe labels", "'stress': 39"),
    ],
)
def test_a_fault_in_the_card_is_found(tmp_path, change, fault: str, told: str) -> None:
    card = write(tmp_path, frames())
    change(card)
    (tmp_path / "dataset.yml").write_text(yaml.safe_dump(card))
    found = wrong(tmp_path)
    assert set(found) == {fault}
    assert told in found[fault]


@pytest.mark.parametrize("name", ["alloy.extxyz", "cells.extxyz"])
def test_a_missing_file_is_a_fault_and_no_traceback(tmp_path, name: str) -> None:
    write(tmp_path, frames())
    (tmp_path / "data" / name).unlink()
    found = wrong(tmp_path)
    assert set(found) == {"files"}
    assert name in found["files"]


@pytest.mark.parametrize("content", [None, "2\n\nCu 0 0 0\nCu 0 0 9\n"])
def test_frames_are_read_from_the_described_file_only(tmp_path, content: str | None) -> None:
    write(tmp_path, frames())
    path = tmp_path / "data" / "alloy.extxyz"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"alloy\.extxyz.*sha256 is .*, dataset.yml has "):
        Alloy(tmp_path).load()


def test_relaxed_end_members_may_be_in_the_data_twice(tmp_path):
    made = frames()
    twice(made)
    made[2].info["kind"], made[4].info["kind"] = "ordering", "eos"
    write(tmp_path, made)
    assert "no two frames are equal" not in wrong(tmp_path)


def test_all_data_together_have_a_limit(tmp_path):
    write(tmp_path, frames())
    assert verify_size([Alloy(tmp_path), ToyTask()]).ok
    with (tmp_path / "data" / "cells.extxyz").open("a") as stream:
        stream.write(" " * MOST_BYTES)
    assert not verify_size([Alloy(tmp_path)]).ok


# --- computed again -----------------------------------------------------------------------------------------


def labelled() -> Atoms:
    return frames()[0]


def record(**changes: Any) -> dict[str, Any]:
    atoms = labelled()
    stress = atoms.info["pbe_stress"]
    right = {
        "energy_eV": atoms.info["pbe_energy"],
        "forces_eV_per_A": atoms.arrays["pbe_forces"].tolist(),
        "stress_eV_per_A3": [stress[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))],
    }
    return right | changes


def moved(key: str, by: float) -> list[Any]:
    values = np.array(record()[key])
    values.flat[3] += by
    return values.tolist()


@pytest.mark.parametrize(
    ("changes", "ok", "told"),
    [
        ({}, True, "0.0000 meV/atom"),
        ({"energy_eV": labelled().info["pbe_energy"] + 4 * 0.9e-4}, True, "0.0900 meV/atom"),
        ({"energy_eV": labelled().info["pbe_energy"] - 4 * 1.1e-4}, False, "0.1100 meV/atom"),
        ({"forces_eV_per_A": moved("forces_eV_per_A", 1.9e-3)}, True, "1.900 meV/Å"),
        ({"forces_eV_per_A": moved("forces_eV_per_A", -2.1e-3)}, False, "2.100 meV/Å"),
        ({"stress_eV_per_A3": moved("stress_eV_per_A3", 0.09 * units.GPa)}, True, "0.0900 GPa"),
        ({"stress_eV_per_A3": moved("stress_eV_per_A3", 0.11 * units.GPa)}, False, "0.1100 GPa"),
        ({"error": "KohnShamConvergenceError"}, False, "KohnShamConvergenceError"),
    ],
)
def test_differences_are_measured_and_judged(changes: dict[str, Any], ok: bool, told: str) -> None:
    check = compare("pbe recomputed", labelled(), "pbe", record(**changes), "GPAW 0.0")
    assert check.ok is ok
    assert told in check.detail
    assert check.detail.startswith("s0: ")


def test_the_cheapest_frame_is_taken():
    made = frames()
    made[7].info["r2scan_cpu_s"] = 1.0
    assert cheapest(made, "r2scan_cpu_s") is made[7]
    assert cheapest(made, "nobody_cpu_s") is None


def test_the_program_is_run_on_that_frame_and_every_level_compared(stand_in, tmp_path):
    """The stand-in for GPAW is another potential than the labels are of: both levels are wrong, and said to be."""
    made = frames()
    made[7].info["r2scan_cpu_s"] = 1.0
    write(tmp_path, made)
    seen: list[tuple[float, float, str]] = []
    checks = recompute(Alloy(tmp_path), lambda *told: seen.append(told))
    assert [(check.name, check.ok) for check in checks] == [("pbe recomputed", False), ("r2scan recomputed", False)]
    assert all(check.detail.startswith("s7: energy differs by ") for check in checks)
    assert "GPAW 0.0" in checks[0].detail
    assert seen[-1][1] == 1.0  # s, what it took when it was labelled
    assert all(spent <= expected for spent, expected, _ in seen)


def test_the_labels_of_the_program_itself_are_right(stand_in, tmp_path):
    from ase.calculators.lj import LennardJones

    made = frames()
    for atoms in made:
        atoms.calc = LennardJones(sigma=2.0, rc=4.0)
        results = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        set_labels(atoms, "pbe", *results)
        set_labels(atoms, "r2scan", 2 * results[0], 2 * results[1])
    write(tmp_path, made)
    checks = recompute(Alloy(tmp_path))
    assert [(check.name, check.ok) for check in checks] == [("pbe recomputed", True), ("r2scan recomputed", True)]
    assert "stress by up to 0.0000 GPa" in checks[0].detail
    assert "stress" not in checks[1].detail


def test_without_the_program_it_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MFBENCH_GPAW_PYTHON", str(tmp_path / "missing"))
    write(tmp_path, frames())
    assert recompute(Alloy(tmp_path)) == [Check("recomputed", None, "not recomputed: GPAW is not installed")]
    assert recompute(ToyTask()) == []


def test_a_program_that_breaks_is_a_fault(tmp_path, monkeypatch):
    def broken(*_: object) -> list[Check]:
        raise ConfigError("GPAW broke.")

    monkeypatch.setattr(module, "_by_gpaw", broken)
    write(tmp_path, frames())
    assert recompute(Alloy(tmp_path)) == [Check("recomputed", False, "GPAW broke.")]
