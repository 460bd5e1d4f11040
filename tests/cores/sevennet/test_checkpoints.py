"""Released networks behind the Core protocol are the functions that their own package gives.

Modules: mfbench.mfcore.cores.peer, mfbench.mfcore.cores.sevennet.config, mfbench.mfcore.cores.sevennet.network,
mfbench.mfcore.cores.sevennet.model, mfbench.mfcore.cores.sevennet.checkpoint.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms

from mfbench.mfcore.core import Core
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.errors import ConfigError
from tests.contracts.core_cases import FIDELITIES, argyrodite
from tests.contracts.peers import need

need("sevenn")

SPECIES = (3, 15, 16, 17)


def started(checkpoint: str, conditioning: str = "none", species: tuple[int, ...] = SPECIES) -> Core:
    choice = CoreChoice.model_validate({"name": "sevennet", "checkpoint": checkpoint})
    return choice.build(species, FIDELITIES, conditioning, 12.0)


@pytest.mark.parametrize(
    ("checkpoint", "conditioning"),
    [("SevenNet-0", "one_hot"), ("SevenNet-MF-0:R2SCAN", "none"), ("SevenNet-MF-0:PBE", "heads")],
)
def test_it_starts_as_the_function_of_its_package(checkpoint: str, conditioning: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sevenn.calculator import SevenNetCalculator

        name, _, modality = checkpoint.partition(":")
        calculator = SevenNetCalculator(name, modal=modality or None, device="cpu")
        atoms = argyrodite()
        atoms.calc = calculator
        wanted = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    core = started(checkpoint, conditioning)
    for fidelity in FIDELITIES:
        store = GraphStore([argyrodite()], [fidelity], FIDELITIES, None, SPECIES, core.cutoff)
        batch = store.batch([0]).to("cpu", torch.float32)
        output = core(batch, stress=True)
        energy = float(output.energy.double() + core.reference_energy(batch))
        assert energy == pytest.approx(wanted[0], abs=2e-5)
        np.testing.assert_allclose(output.forces, wanted[1], atol=1e-4)
        np.testing.assert_allclose(output.stress[0], wanted[2], atol=1e-6)


def test_a_modality_must_be_chosen_where_there_are_several() -> None:
    with pytest.raises(ConfigError, match="modality to start from: SevenNet-MF-0:R2SCAN or SevenNet-MF-0:PBE"):
        started("SevenNet-MF-0")
    with pytest.raises(ConfigError, match="say which modality"):
        started("SevenNet-MF-0:LDA")
    with pytest.raises(ConfigError, match="SevenNet-0 knows no modality; leave out ':PBE'"):
        started("SevenNet-0:PBE")


def test_elements_that_it_was_not_trained_on_are_named() -> None:
    assert Atoms("Og").numbers[0] == 118
    with pytest.raises(ConfigError, match="was not trained on Og"):
        started("SevenNet-0", species=(3, 118))


def test_the_shape_of_a_checkpoint_goes_before_the_settings() -> None:
    choice = CoreChoice.model_validate({"name": "sevennet", "checkpoint": "SevenNet-0", "cutoff": 4.0})
    assert choice.cutoff == 5.0
    assert choice.from_scratch().cutoff == 4.0
