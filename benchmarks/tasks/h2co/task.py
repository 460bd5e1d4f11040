"""Formaldehyde at three nested levels of theory, energies and forces, downloaded when first used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.fetch import RemoteFile, fetch
from mfbench.benchmarks.tasks.npz import check_same_geometries, read_npz
from mfbench.mfcore.data.frames import energy_of, set_labels
from mfbench.mfcore.data.leakage import near_duplicates
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import sha256_of

LEVELS = ("b3lyp", "mp2", "ccsdt_f12")
N_TEST = 1000
N_VALIDATION = 100
_SAME_POSITION = 1e-6  # Å

#: Å rms of interatomic distances. The normal-mode samples of so small a molecule are dense: the median distance
#: to the nearest other frame is 0.0046 Å, so that at the usual 0.012 Å all frames would be copies of each other.
DUPLICATE_TOLERANCE = 0.002


class H2CO(Task):
    """H2CO, normal-mode samples of 10 to 2000 K: B3LYP, MP2 and CCSD(T)-F12.

    The order of the frames says nothing about their origin, so each is a group of its own. The 1000 test frames
    are drawn once, among the frames that no other frame comes near (`DUPLICATE_TOLERANCE`), which leaves out
    mostly the coldest; validation frames, by draw, likewise. The gap is one of energy: HF may use only the half
    of the frames with the lower LF energies, and the tests are those in that half and those beyond it.

    Parameters
    ----------
    fidelities
        Two or three of "b3lyp", "mp2", "ccsdt_f12", in this order.
    """

    name = "h2co"
    summary = "H2CO: B3LYP and CCSD(T)-F12, energies and forces (downloaded, 1.6 MB)"
    default_regime = Regime(n_low=2000, n_high=100, labels="low=EF,high=EF", coverage="full")
    duplicate_tolerance = DUPLICATE_TOLERANCE

    def __init__(self, fidelities: Sequence[str] = ("b3lyp", "ccsdt_f12")) -> None:
        if len(fidelities) < 2 or [x for x in LEVELS if x in fidelities] != list(fidelities):
            raise ConfigError(f"fidelities {list(fidelities)}: expected two or three of {list(LEVELS)} in this order.")
        self.fidelities = tuple(fidelities)
        if len(fidelities) == 3:
            self.name = "h2co_3level"
            self.summary = "H2CO: B3LYP, MP2 and CCSD(T)-F12, energies and forces (downloaded, 2.4 MB)"

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of dataset.yml."""
        return read_yaml(Path(__file__).parent / "dataset.yml")

    def files(self) -> dict[str, Path]:
        """Return the path of each fidelity's file, downloading it if need be."""
        entries = {level: self.card["levels"][level]["file"] for level in self.fidelities}
        return {
            level: fetch(RemoteFile(e["name"], e["sha256"], tuple(e["urls"])), "h2co_3level")
            for level, e in entries.items()
        }

    def load(self) -> list[Atoms]:
        """Return all frames.

        Raises
        ------
        DataError
            If a file cannot be had, is not what it should be, or its geometries are not those of the others.
        """
        frames: list[Atoms] = []
        for level, path in self.files().items():
            arrays = read_npz(path)
            if not frames:
                frames = [
                    Atoms(z, r, info={"structure_id": f"h2co-{i:04d}", "group": f"h2co-{i:04d}"})
                    for i, (z, r) in enumerate(zip(arrays["Z"], arrays["R"], strict=True))
                ]
            else:
                check_same_geometries(np.array([a.positions for a in frames]), arrays["R"], path, _SAME_POSITION)
            for i, atoms in enumerate(frames):
                set_labels(atoms, level, energy=arrays["E"][i], forces=arrays["F"][i])
        return frames

    @cached_property
    def _fixed(self) -> tuple[list[int], list[int], frozenset[str]]:
        """Indices of test frames and of further frames without a near-duplicate; ids below the median LF energy."""
        pairs = near_duplicates(self.frames, tolerance=self.duplicate_tolerance)
        near = {i for pair in pairs for i in (pair.first, pair.second)}
        alone = np.array([i for i in range(len(self.frames)) if i not in near])
        order = alone[np.random.default_rng(SPLIT_SEED).permutation(len(alone))]
        energies = np.array([energy_of(a, self.fidelities[0]) for a in self.frames])
        low_half = frozenset(id_of(a) for a, e in zip(self.frames, energies, strict=True) if e <= np.median(energies))
        return sorted(order[:N_TEST].tolist()), sorted(order[N_TEST:].tolist()), low_half

    def pools(self, draw: int) -> Pools:
        """The tests are fixed; the draw chooses validation frames; the rest may be trained on."""
        test, others, low_half = self._fixed
        order = np.random.default_rng([SPLIT_SEED, draw]).permutation(others).tolist()
        validation = [self.frames[i] for i in order[: 4 * N_VALIDATION]]
        held_out = {*test, *order[: 4 * N_VALIDATION]}
        tests = [self.frames[i] for i in test]
        return Pools(
            training=[a for i, a in enumerate(self.frames) if i not in held_out],
            gap_ids=low_half,
            validation=validation,
            n_validation=N_VALIDATION,
            tests={
                IN_COVERAGE: [a for a in tests if id_of(a) in low_half],
                OUT_OF_COVERAGE: [a for a in tests if id_of(a) not in low_half],
            },
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each level's file."""
        return {path.name: sha256_of(path) for path in self.files().values()}


def three_levels() -> H2CO:
    """Make the task with all three levels: two low fidelities and the target."""
    return H2CO(LEVELS)
