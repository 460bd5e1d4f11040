"""A model that mace has written is read once, where it is trusted, and is the same function as mace gives.

Module: mfbench.mfcore.cores.mace.checkpoint.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.mace.model import MaceCore
from mfbench.mfcore.cores.mace.network import import_mace
from mfbench.mfcore.cores.peer import default_dtype, quiet_building
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from tests.contracts.core_cases import FIDELITIES, argyrodite
from tests.contracts.peers import need

need("mace")

ELEMENTS = [1, 3, 15, 16, 17]
SPECIES = (3, 15, 16, 17)
ENERGIES = np.array([[-1.0, -2.0, -3.0, -4.0, -5.0], [-1.5, -2.5, -3.5, -4.5, -5.5]])


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(3)
    with quiet_building():
        modules = import_mace()
        from e3nn import o3

        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        return modules.ScaleShiftMACE(
            r_max=4.0,
            num_bessel=6,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=block,
            interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
            num_interactions=2,
            num_elements=len(ELEMENTS),
            hidden_irreps=o3.Irreps("4x0e+4x1o"),
            MLP_irreps=o3.Irreps("8x0e"),
            atomic_energies=ENERGIES,
            avg_num_neighbors=15.0,
            atomic_numbers=ELEMENTS,
            correlation=2,
            gate=torch.nn.functional.silu,
            atomic_inter_scale=[0.7, 1.3],
            atomic_inter_shift=[0.1, -0.2],
            heads=["pbe", "r2scan"],
            radial_MLP=[8],
        )


def test_it_is_the_function_that_mace_gives(
    model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "kernel_folder", lambda: tmp_path / "kernels")
    pickled._content_of.cache_clear()
    file = tmp_path / "foundation.model"
    torch.save(model, file)
    with pytest.raises(ConfigError, match="--trust-checkpoint"):
        MaceCore.find_checkpoint(f"{file}:r2scan")
    MaceCore.trust_checkpoint(f"{file}:r2scan")
    with pytest.raises(ConfigError, match="say which head to start from"):
        MaceCore.find_checkpoint(str(file))
    wanted = answers(model, "r2scan")
    for conditioning in ("none", "heads"):
        choice = CoreChoice.model_validate({"name": "mace", "checkpoint": f"{file}:r2scan"})
        core = choice.build(SPECIES, FIDELITIES, conditioning, 1.0)
        for fidelity in FIDELITIES:
            store = GraphStore([argyrodite()], [fidelity], FIDELITIES, None, SPECIES, core.cutoff)
            batch = store.batch([0]).to("cpu", torch.float32)
            output = core(batch, stress=True)
            energy = float(output.energy.double() + core.reference_energy(batch))
            assert energy == pytest.approx(wanted[0], abs=1e-4)
            np.testing.assert_allclose(output.forces, wanted[1], atol=1e-4)
            np.testing.assert_allclose(output.stress[0], wanted[2], atol=1e-5)


def answers(model: torch.nn.Module, head: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and stress by mace itself."""
    with warnings.catch_warnings(), default_dtype(torch.float32):
        warnings.simplefilter("ignore")
        from mace import data
        from mace.tools import AtomicNumberTable, torch_geometric

        heads = ["pbe", "r2scan"]
        keys = data.KeySpecification.from_defaults() if hasattr(data, "KeySpecification") else None
        config = data.config_from_atoms(argyrodite(), **({} if keys is None else {"key_specification": keys}))
        config.head = head
        graph = data.AtomicData.from_config(config, z_table=AtomicNumberTable(ELEMENTS), cutoff=4.0, heads=heads)
        batch = torch_geometric.Batch.from_data_list([graph]).to_dict()
        batch = {k: v.float() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}
        out = model(batch, compute_stress=True)
    forces, stress = (out[key].detach().numpy() for key in ("forces", "stress"))
    return float(out["energy"].detach()), forces, stress[0]


def test_importing_mace_leaves_torch_load_safe() -> None:
    import_mace()
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
