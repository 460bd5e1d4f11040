"""Which multi-fidelity training strategy gives the best interatomic potential for a budget.

In Python, :func:`compare` holds the arms against each other on your own frames, :func:`fit` trains one, and
:func:`load` reads a potential that was stored; :func:`torch_sim_model` and :func:`run_lammps` take it elsewhere.

The three packages of a clone are installed inside of this one: :mod:`mfbench.mfcore` (core, training, potentials),
:mod:`mfbench.strategies` (the arms) and :mod:`mfbench.benchmarks` (tasks, harness, reports).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfbench.benchmarks.exports.lammps import LammpsPotential
    from mfbench.benchmarks.exports.lammps_script import run_lammps
    from mfbench.benchmarks.exports.torch_sim import torch_sim_model
    from mfbench.benchmarks.notebook.compare import compare
    from mfbench.benchmarks.notebook.comparison import Comparison
    from mfbench.benchmarks.notebook.fit import fit
    from mfbench.mfcore.potentials.potential import Potential, load

__all__ = ["Comparison", "LammpsPotential", "Potential", "compare", "fit", "load", "run_lammps", "torch_sim_model"]

_HOMES = {
    "Comparison": "mfbench.benchmarks.notebook.comparison",
    "compare": "mfbench.benchmarks.notebook.compare",
    "fit": "mfbench.benchmarks.notebook.fit",
    "Potential": "mfbench.mfcore.potentials.potential",
    "load": "mfbench.mfcore.potentials.potential",
    "LammpsPotential": "mfbench.benchmarks.exports.lammps",
    "run_lammps": "mfbench.benchmarks.exports.lammps_script",
    "torch_sim_model": "mfbench.benchmarks.exports.torch_sim",
}

# On Windows, git writes links as files that hold their target unless it is told otherwise.
for _folder in (os.path.join(os.path.dirname(__file__), name) for name in ("mfcore", "strategies", "benchmarks")):
    if not os.path.isdir(_folder):
        raise ImportError(
            f"mfbench: '{_folder}' is {'a file' if os.path.exists(_folder) else 'missing'}, and should be a link to a "
            "folder: git made this clone without symbolic links; run `git config core.symlinks true` and "
            "`git checkout -- mfbench` in it (on Windows in developer mode), then install again."
        )


def __getattr__(name: str) -> Any:
    # torch and ase take a second to import: only where they are needed
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mfbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
