"""Labels by GPAW: resumable, a failure recorded; a stand-in for GPAW lets the bookkeeping be tested anywhere."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from benchmarks.tasks.gpaw.convert import convert, stored_labels
from benchmarks.tasks.gpaw.labels import GEOMETRIES, PYTHON_VARIABLE, compute, gpaw_python, read_labels
from mfcore.data.frames import Label, energy_of, forces_of, has_label, read_frames, stress_of
from mfcore.errors import ConfigError, DataError

STAND_IN = """
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
    assert set(labels) == {("s0", "pbe"), ("s0", "r2scan"), ("s1", "pbe"), ("s2", "pbe")}
    assert labels["s1", "pbe"]["error"] == "RuntimeError: did not converge"
    assert seen[-1] == (4, 5)
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
    assert set(again) == {("s0", "pbe"), ("s0", "r2scan"), ("s2", "pbe")}
    content = path.read_bytes()
    failed = {key: record for key, record in labels.items() if "error" in record}
    assert convert("argon", "Argon", frames(), failed | again, tmp_path / "task").read_bytes() == content
    compute(frames(), tmp_path / "more", ("pbe", "r2scan"), known=again)  # s1 alone is left
    assert set(read_labels(tmp_path / "more")) == {("s1", "pbe")}
    assert "did not converge" in (tmp_path / "task" / "dataset.yml").read_text()


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
