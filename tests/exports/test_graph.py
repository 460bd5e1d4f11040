"""The graph of torch.export says what the potential says, for other numbers of atoms, edges and frames, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mfbench.benchmarks.exports import graph
from mfbench.benchmarks.exports.folder import export_model
from mfbench.benchmarks.exports.graph import can_store, export_graph, inputs_of
from mfbench.benchmarks.exports.moved import self_contained
from mfbench.mfcore.core import Core
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.potentials.potential import Component, Potential
from tests.exports.worlds import FIDELITIES, committee, frames, network, single, total
from tests.ops.examples import skip_without

needs_new_torch = pytest.mark.skipif(not can_store(), reason="this torch cannot store graphs of torch.export")


@needs_new_torch
@skip_without("cpp")
@pytest.mark.parametrize("potential", [single(), total(), committee()], ids=["single", "sum", "committee"])
def test_a_stored_graph_is_the_potential(potential: Potential, tmp_path: Path) -> None:
    export_model(potential, "torch-export", tmp_path / "export")
    network = torch.export.load(tmp_path / "export" / "network.pt2").module()
    for systems in (frames(), frames()[:2], frames()[::-1] * 2):
        expected = potential.predict(systems, stress=True)
        energies, forces, stress = network(*inputs_of(potential.freeze().batch(systems)))
        assert expected.forces is not None
        np.testing.assert_allclose(energies, expected.energies, rtol=0, atol=1e-9)
        np.testing.assert_allclose(forces, np.concatenate(expected.forces), rtol=0, atol=1e-9)
        np.testing.assert_allclose(stress, expected.stress, rtol=0, atol=1e-9)


@skip_without("cpp")
def test_a_process_that_has_evaluated_nothing_can_export() -> None:
    code = (
        "from mfbench.benchmarks.exports.graph import export_graph\n"
        "from mfbench.benchmarks.performance.md_throughput import potential\n"
        "print(type(export_graph(potential(channels=4))).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.splitlines()[-1:] == ["ExportedProgram"], done.stderr


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph.torch, "__version__", "2.7.1+cpu")
    with pytest.raises(ConfigError, match=r"cannot be stored by torch 2\.7\.1\+cpu: install torch >= 2\.9"):
        export_model(single(), "torch-export", tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


@needs_new_torch
def test_cores_without_a_graph_are_refused(tmp_path: Path) -> None:
    reference = Potential("x", [network(0, backend="reference")], {f: (Component(0, f),) for f in FIDELITIES})
    with pytest.raises(ConfigError, match="has no kernels"):
        export_model(reference, "torch-export", tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_a_core_of_another_path_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = self_contained(single())
    monkeypatch.setattr(type(potential.cores[0]), "for_inference", Core.for_inference)
    with pytest.raises(ConfigError, match="core 'equivariant' has no graph"):
        export_graph(potential)
