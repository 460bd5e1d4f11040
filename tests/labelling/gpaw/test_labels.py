"""Labels by GPAW: resumable, a failure recorded; a stand-in for GPAW lets the bookkeeping be tested anywhere."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read

from mfbench.benchmarks.labelling.gpaw import worker
from mfbench.benchmarks.labelling.gpaw.convert import convert, stored_labels
from mfbench.benchmarks.labelling.gpaw.labels import GEOMETRIES, PYTHON_VARIABLE, compute, gpaw_python, read_labels
from mfbench.mfcore.data.frames import Label, energy_of, forces_of, has_label, stress_of
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import ConfigError, DataError

STAND_IN = """
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.lj import LennardJones
__version__ = "0.0"
class PW:
    def __init__(self, *a): pass
class Davidson(PW): pass
class FermiDirac(PW): pass
class Mixer(PW): pass
class GPAW(LennardJones):
    def __init__(self, **settings):
        super().__init__(sigma=2.0, rc=4.0)
    def set(self, **settings):
        if "R2SCAN" in settings.get("xc", ""):
            self.parameters["epsilon"] = 2.0
            self.results = {}
            return {}
        return super().set(**settings)
    def get_potential_energy(self, atoms=None, force_consistent=False):
        if len(self.atoms or atoms) == 3:
            raise RuntimeError("did not converge")
        return super().get_potential_energy(atoms)
    def get_property(self, name, *args, **options):
        if name == "stress" and self.parameters["epsilon"] == 2.0:  # as that of r2SCAN
            raise PropertyNotImplementedError(name)
        return super().get_property(name, *args, **options)
    def get_number_of_iterations(self):
        return 7
"""


def frames() -> list[Atoms]:
    made = []
    for number, size in enumerate((2, 3, 2)):
        atoms = Atoms(
            "Ar" * size, positions=[[2.2 * i, 0.1 * number, 0] for i in range(size)], cell=[9, 9, 9], pbc=True
        )
        levels = "pbe" if number == 2 else "pbe+r2scan"
        atoms.info = {"structure_id": f"s{number}", "levels": levels, "group": f"g{number}"}
        made.append(atoms)
    return made


@pytest.fixture
def stand_in(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "gpaw.py").write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv(PYTHON_VARIABLE, str(python))
    return python


def test_labels_are_computed_kept_and_converted(stand_in, tmp_path):
    out = tmp_path / "out"
    seen: list[tuple[int, int]] = []
    compute(frames(), out, ("pbe", "r2scan"), progress=lambda done, total, _: seen.append((done, total)))
    labels = read_labels(out)
    assert set(labels) == {("s0", "pbe"), ("s0", "r2scan"), ("s1", "pbe"), ("s1", "r2scan"), ("s2", "pbe")}
    assert labels["s1", "pbe"]["error"] == "RuntimeError: did not converge"
    assert labels["s1", "r2scan"]["error"] == "not tried: pbe failed"
    assert seen[-1] == (5, 5)
    reference = frames()[0]
    reference.calc = LennardJones(sigma=2.0, rc=4.0)
    assert labels["s0", "pbe"]["energy_eV"] == pytest.approx(reference.get_potential_energy(), abs=1e-6)
    assert labels["s0", "r2scan"]["energy_eV"] == pytest.approx(2 * reference.get_potential_energy(), abs=1e-6)
    assert labels["s0", "r2scan"]["cpu_s"] >= labels["s0", "pbe"]["cpu_s"]

    path = convert("argon", "Argon", frames(), labels, tmp_path / "task")
    kept = read_frames(path)
    assert [atoms.info["structure_id"] for atoms in kept] == ["s0", "s2"]
    assert energy_of(kept[0], "r2scan") == pytest.approx(2 * energy_of(kept[0], "pbe"))
    np.testing.assert_allclose(forces_of(kept[0], "pbe"), reference.get_forces(), atol=1e-7)
    np.testing.assert_allclose(stress_of(kept[0], "pbe"), reference.get_stress(voigt=False), atol=1e-9)
    assert not has_label(kept[0], "r2scan", Label.STRESS)
    again = stored_labels(tmp_path / "task", "argon")
    assert set(again) == set(labels)
    content, card = path.read_bytes(), (tmp_path / "task" / "dataset.yml").read_text()
    assert convert("argon", "Argon", frames(), again, tmp_path / "task").read_bytes() == content
    assert (tmp_path / "task" / "dataset.yml").read_text() == card
    assert "did not converge" in card
    compute(frames(), tmp_path / "more", ("pbe", "r2scan"), known=set(again) - {("s2", "pbe")})
    assert set(read_labels(tmp_path / "more")) == {("s2", "pbe")}
    compute(frames(), tmp_path / "none", ("pbe",), known=again)  # what failed is not tried for ever
    assert read_labels(tmp_path / "none") == {}


def test_settings_reach_the_labels_and_are_not_mixed(stand_in, tmp_path):
    finer = {"plane_waves_eV": 500.0, "grid_spacing_A": 0.16}
    compute(frames()[2:], tmp_path / "fine", ("pbe",), settings=finer)
    fine = read_labels(tmp_path / "fine")
    assert {key: fine["s2", "pbe"][key] for key in finer} == finer
    with pytest.raises(DataError, match=r"'s2', pbe: computed with .*500"):
        convert("argon", "Argon", frames(), fine, tmp_path / "task")
    path = convert("argon", "Argon", frames(), fine, tmp_path / "task", settings=finer, stress=False)
    assert not has_label(read_frames(path)[0], "pbe", Label.STRESS)
    assert "500.0" in (tmp_path / "task" / "dataset.yml").read_text()
    (tmp_path / "task" / "data" / "cells.extxyz").write_text("geometries without labels")
    convert("argon", "Argon", frames(), stored_labels(tmp_path / "task", "argon"), tmp_path / "task", settings=finer)
    assert "data/cells.extxyz" in (tmp_path / "task" / "dataset.yml").read_text()


def test_a_frame_may_name_its_own_k_points(monkeypatch, tmp_path, stand_in):
    """Others have those of the settings; the grid of a frame has Γ, and reaches the worker's file."""
    given = []
    fake = SimpleNamespace(GPAW=lambda **settings: given.append(settings))
    for name in ("PW", "Davidson", "FermiDirac", "Mixer"):
        setattr(fake, name, lambda *_: None)
    monkeypatch.setitem(sys.modules, "gpaw", fake)
    settings = {**worker.SETTINGS, "point_group": True}
    worker.calculator(settings)
    worker.calculator(settings, np.array([3, 4, 1]))
    assert [each["kpts"] for each in given] == [(2, 2, 2), {"size": (3, 4, 1), "gamma": True}]
    assert [each["symmetry"] for each in given] == [{"point_group": True}] * 2
    with_grid = frames()[2:]
    with_grid[0].info["k_points"] = [3, 4, 1]
    compute(with_grid, tmp_path / "out", ("pbe",))
    (written,) = read(tmp_path / "out" / GEOMETRIES, ":")
    assert list(written.info["k_points"]) == [3, 4, 1]
    labels = read_labels(tmp_path / "out")
    assert labels["s2", "pbe"]["k_points"] == [3, 4, 1]
    convert("argon", "Argon", with_grid, labels, tmp_path / "task")
    with_grid[0].info["k_points"] = [4, 4, 1]
    with pytest.raises(DataError, match=r"'s2', pbe: computed with .*k_points.*3, 4, 1"):
        convert("argon", "Argon", with_grid, labels, tmp_path / "task")


def test_a_killed_run_goes_on_where_it_was(stand_in, tmp_path):
    out = tmp_path / "out"
    compute(frames(), out, ("pbe",))
    path = out / "labels_0.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    kept = json.loads(lines[0]) | {"cpu_s": 12345.0}
    path.write_text(json.dumps(kept) + "\n" + lines[1][:20])  # the second label was being written
    compute(frames(), out, ("pbe",))
    labels = read_labels(out)
    assert labels["s0", "pbe"]["cpu_s"] == 12345.0
    assert set(labels) == {("s0", "pbe"), ("s1", "pbe"), ("s2", "pbe")}


def test_a_worker_that_breaks_says_why(stand_in, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "labels_0.jsonl").write_text("not json\n")
    with pytest.raises(DataError, match=r"exit code 1.*JSONDecodeError"):
        compute(frames(), out, ("pbe",))
    assert (out / GEOMETRIES).exists()
    with pytest.raises(DataError, match="line 1 is not a label"):
        read_labels(out)


def test_without_gpaw_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "missing"))
    assert gpaw_python() is None
    with pytest.raises(ConfigError, match="apt-get install gpaw"):
        compute(frames(), tmp_path / "out", ("pbe",))
    assert not (tmp_path / "out").exists()
