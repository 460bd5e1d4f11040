"""`mfbench.fit` beside the command of the same name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read

import mfbench
from mfbench.benchmarks.notebook.fit import fit
from mfbench.mfcore.errors import ConfigError
from tests.cli.test_own_files import TINY, Files

ASKED = {"budget": 2000, "settings": TINY}


def test_python_and_the_command_fit_the_same_potential(call, files: Files, tmp_path: Path) -> None:
    printed = call(*files.fit())
    assert printed.exit_code == 0, printed.stderr
    heard: list[str] = []
    stages: list[str] = []
    found = mfbench.fit(
        "multi_fidelity",
        files.low,
        read(files.high, ":"),
        out=tmp_path / "python",
        tell=heard.append,
        progress=lambda stage, spent, budget: stages.append(stage),
        **ASKED,
    )
    atoms = read(files.high, ":4")
    expected = mfbench.load(files.out).predict(atoms)
    for potential in (found, mfbench.load(tmp_path / "python")):
        np.testing.assert_array_equal(potential.predict(atoms).energies, expected.energies)
    assert stages
    assert any(line.startswith("Training multi_fidelity on 24 dft") for line in heard)
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(ConfigError, match="exists already"):
        fit("multi_fidelity", files.low, files.high, out=files.out, **ASKED)


def test_a_potential_need_not_be_stored(files: Files) -> None:
    found = fit("single_fidelity", high=files.high, **ASKED)
    atoms = read(files.high, 0)
    atoms.calc = found.calculator(fidelity="high")
    assert np.isfinite(atoms.get_potential_energy())
    assert files.untouched()


def test_a_fit_that_learns_nothing_is_said(files: Files) -> None:
    heard: list[str] = []
    fit("single_fidelity", high=files.high, budget=30, settings=TINY, tell=heard.append)
    assert heard[-1].startswith("It has failed to train: on the 4 frames that selected it")
    with pytest.raises(ConfigError, match="budget: found 0"):
        fit("single_fidelity", high=files.high, budget=0)
