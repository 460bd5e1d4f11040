"""Compute the labels of li6ps5cl again, or go on with them: PBE and r2SCAN by GPAW (see labelling/gpaw/generation.py).

mfbench data generate li6ps5cl --out FOLDER [--workers 2]
python -m mfbench.benchmarks.labelling.li6ps5cl.generate sample explore | dynamics | further | transport FOLDER
python -m mfbench.benchmarks.labelling.li6ps5cl.generate convert FOLDER
"""

from __future__ import annotations

from mfbench.benchmarks.labelling.gpaw.generation import Crystal
from mfbench.benchmarks.labelling.gpaw.labels import LEVELS
from mfbench.benchmarks.labelling.li6ps5cl.sample import conventional_cells, round_one, rounds
from mfbench.benchmarks.tasks.li6ps5cl.task import Li6PS5Cl

__all__ = ["CRYSTAL", "LEVELS", "generate", "geometries"]

CRYSTAL = Crystal(
    "li6ps5cl",
    "Li6PS5Cl at PBE and r2SCAN",
    Li6PS5Cl.home(),
    round_one,
    rounds,
    True,
    {"transport": conventional_cells},
    Li6PS5Cl().covered,
)
geometries, generate = CRYSTAL.geometries, CRYSTAL.generate

if __name__ == "__main__":
    CRYSTAL.main()
