"""Compute the labels of main_group, or go on with them: PBE and r2SCAN by GPAW (see labelling/gpaw/generation.py).

python -m mfbench.benchmarks.labelling.main_group.generate label FOLDER [--workers 2] [--limit 10]
python -m mfbench.benchmarks.labelling.main_group.generate sample dynamics | relaxations FOLDER
python -m mfbench.benchmarks.labelling.main_group.generate convert FOLDER
"""

from __future__ import annotations

from pathlib import Path

from mfbench.benchmarks import tasks
from mfbench.benchmarks.labelling.gpaw.generation import Crystal
from mfbench.benchmarks.labelling.gpaw.labels import LEVELS
from mfbench.benchmarks.labelling.main_group.sample import covered, relaxations, round_one, rounds

__all__ = ["CRYSTAL", "LEVELS", "generate", "geometries"]

CRYSTAL = Crystal(
    "main_group",
    "Elements and binary compounds of the main groups at PBE and r2SCAN",
    Path(str(tasks.__file__)).parent / "main_group",
    round_one,
    rounds,
    False,  # at this cutoff the stress is not the derivative of the energy: see README.md
    {"relaxations": relaxations},
    covered,
    {
        "plane_waves_eV": 800.0,
        "grid_spacing_A": 0.14,
        "point_group": True,
        "davidson_steps": None,
        "density_mixer": None,
    },
)
geometries, generate = CRYSTAL.geometries, CRYSTAL.generate

if __name__ == "__main__":
    CRYSTAL.main()
