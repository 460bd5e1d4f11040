"""Compute the labels of ingan again, or go on with them: PBE and r2SCAN by GPAW (see labelling/gpaw/generation.py).

mfbench data generate ingan --out FOLDER [--workers 2]
python -m mfbench.benchmarks.labelling.ingan.generate sample dynamics | orderings | further FOLDER
python -m mfbench.benchmarks.labelling.ingan.generate convert FOLDER
"""

from __future__ import annotations

from mfbench.benchmarks.labelling.gpaw.generation import Crystal
from mfbench.benchmarks.labelling.gpaw.labels import LEVELS
from mfbench.benchmarks.labelling.ingan.orderings import orderings
from mfbench.benchmarks.labelling.ingan.sample import round_one, rounds
from mfbench.benchmarks.tasks.ingan.task import InGaN

__all__ = ["CRYSTAL", "LEVELS", "generate", "geometries"]

CRYSTAL = Crystal(
    "ingan",
    "InxGa1-xN at PBE and r2SCAN",
    InGaN.home(),
    round_one,
    rounds,
    False,  # at this cutoff the stress is not the derivative of the energy: see README.md
    {"orderings": orderings},
    InGaN().covered,
    {"plane_waves_eV": 500.0, "grid_spacing_A": 0.16},
)
geometries, generate = CRYSTAL.geometries, CRYSTAL.generate

if __name__ == "__main__":
    CRYSTAL.main()
