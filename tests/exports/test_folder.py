"""`mfbench export-model` writes a potential and scripts that are whole, or nothing."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mfbench
from mfbench.benchmarks.cli.export_model import FormatName
from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.exports.folder import FORMATS, export_model
from mfbench.mfcore.errors import ConfigError
from tests.exports.worlds import frames, labels_added, single, total


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_names_the_formats_that_there_are() -> None:
    assert [name.value for name in FormatName] == list(FORMATS)


@pytest.mark.parametrize("form", ["torch-sim", "lammps"])
@pytest.mark.parametrize("fidelity", ["low", "high"])
def test_what_is_written_is_the_fidelity(form: str, fidelity: str, tmp_path: Path) -> None:
    total().save(tmp_path / "model")
    code, out, _ = call(
        "export-model", tmp_path / "model", "--format", form, "--out", tmp_path / "export", "--fidelity", fidelity
    )
    assert code == 0
    assert f"'{fidelity}' of delta_model, {'1 network' if fidelity == 'low' else '2 networks'}" in out
    again = mfbench.load(tmp_path / "export")
    assert again.fidelities == (fidelity,)
    assert np.array_equal(again.predict(frames()).energies, total().predict(frames(), fidelity).energies)
    written = {path.name for path in (tmp_path / "export").iterdir()}
    weights = {f"core_{k}.safetensors" for k in range(len(again.cores))}
    assert written == {"potential.json", *weights, *FORMATS[form].templates}
    assert "@" not in "".join((tmp_path / "export" / name).read_text() for name in FORMATS[form].templates)
    for name in FORMATS[form].templates:
        if name.endswith(".py"):
            ast.parse((tmp_path / "export" / name).read_text())
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "export", ".export.lock"}


def test_elements_of_the_atom_types_are_those_of_the_potential(tmp_path: Path) -> None:
    export_model(single(), "lammps", tmp_path / "export")
    assert 'ELEMENTS = ["H", "C", "O", "Cu"]' in (tmp_path / "export" / "run_lammps.py").read_text()
    assert "# Atom types are H C O Cu, in this order." in (tmp_path / "export" / "in.lammps").read_text()


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adds 'low' labels"):
        export_model(labels_added(), "lammps", tmp_path / "export")
    with pytest.raises(ConfigError, match="expected one of torch-sim, lammps, torch-export"):
        export_model(single(), "gromacs", tmp_path / "export")
    with pytest.raises(ConfigError, match="answers for low, high"):
        export_model(single(), "lammps", tmp_path / "export", "middle")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "export").mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        export_model(single(), "lammps", tmp_path / "export")
    code, _, err = call("export-model", tmp_path / "nothing", "--format", "lammps", "--out", tmp_path / "other")
    assert code == 2
    assert "nothing" in err


def test_estimates_are_told(tmp_path: Path) -> None:
    single(reference_energies={"high": {"unknown": [], "estimated": [29]}}).save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, _, err = call("export-model", tmp_path / "model", "--format", "lammps", "--out", tmp_path / "export")
    assert code == 0
    assert "warning: no 'high' label of the training has Cu" in err
