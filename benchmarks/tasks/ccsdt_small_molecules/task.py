"""Five small molecules at MP2, three of them at CCSD(T), energies and forces, downloaded when first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms

from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.fetch import RemoteFile, fetch
from mfbench.benchmarks.tasks.npz import check_same_geometries, read_npz
from mfbench.mfcore.data.frames import has_label, set_labels
from mfbench.mfcore.data.leakage import near_duplicates
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import sha256_of

LOW, HIGH = "mp2", "ccsdt"
OUTSIDE = "ch3oh"
"""The molecule whose HF labels are not trained on under coverage "gap"."""

_SAME_POSITION = 1e-6  # Å

#: Å rms of interatomic distances: normal-mode samples of the smallest molecules are dense, see the data card.
DUPLICATE_TOLERANCE = 0.002


class CCSDTSmallMolecules(Task):
    """H2CO, HCOOH and CH3OH at MP2 and CCSD(T); CH3CHO and CH3COOH at MP2 alone: aug-cc-pVTZ, normal-mode samples.

    The frames are no time series, so each is a group of its own. Test frames are drawn once, and validation frames by
    draw, among the frames of the three molecules that no other frame comes near (`DUPLICATE_TOLERANCE`). The gap is
    one of chemistry: HF may use H2CO and HCOOH; CH3OH, of which MP2 frames are trained on, is the test outside.

    Attributes
    ----------
    n_test
        Test frames of each molecule.
    n_validation
        Validation frames; four times as many are held out, of which the first that the coverage allows are used.
    """

    name = "ccsdt_small_molecules"
    summary = "five small molecules: MP2 and CCSD(T), energies and forces (downloaded, 16 MB)"
    fidelities = (LOW, HIGH)
    default_regime = Regime(n_low=10_000, n_high=200, labels="low=EF,high=E", coverage="gap")
    duplicate_tolerance = DUPLICATE_TOLERANCE
    reserved_high = 4000
    n_test: ClassVar[Mapping[str, int]] = {"h2co": 500, "hcooh": 500, OUTSIDE: 1000}
    n_validation = 100

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of dataset.yml."""
        return read_yaml(Path(__file__).parent / "dataset.yml")

    def files(self) -> dict[tuple[str, str], Path]:
        """Return the path of each file by molecule and fidelity, downloading it if need be."""
        base = str(self.card["address"])
        return {
            (molecule, level): fetch(
                RemoteFile(entry["name"], entry["sha256"], (f"{base}/{entry['name']}",)), "ccsdt_small_molecules"
            )
            for molecule, levels in self.card["molecules"].items()
            for level, entry in levels.items()
        }

    def load(self) -> list[Atoms]:
        """Return all frames.

        Raises
        ------
        DataError
            If a file cannot be had, is not what it should be, or its geometries are not those of the other level.
        """
        frames: list[Atoms] = []
        files = self.files()
        for molecule in self.card["molecules"]:
            low = read_npz(files[molecule, LOW])
            ids = [f"{molecule}-{i:05d}" for i in range(len(low["Z"]))]
            made = [
                Atoms(z, r, info={"structure_id": name, "group": name, "molecule": molecule})
                for name, z, r in zip(ids, low["Z"], low["R"], strict=True)
            ]
            levels = {LOW: low}
            if (molecule, HIGH) in files:
                levels[HIGH] = read_npz(files[molecule, HIGH])
                check_same_geometries(low["R"], levels[HIGH]["R"], files[molecule, HIGH], _SAME_POSITION)
            for level, arrays in levels.items():
                for atoms, energy, forces in zip(made, arrays["E"], arrays["F"], strict=True):
                    set_labels(atoms, level, energy=float(energy), forces=forces)
            frames += made
        return frames

    @cached_property
    def _fixed(self) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
        """Test frames by molecule, and further frames with HF labels that no other one comes near."""
        high = [a for a in self.frames if has_label(a, HIGH, Label.ENERGY)]
        pairs = near_duplicates(high, tolerance=self.duplicate_tolerance)
        near = {i for pair in pairs for i in (pair.first, pair.second)}
        order = np.random.default_rng(SPLIT_SEED).permutation([i for i in range(len(high)) if i not in near])
        tests: dict[str, list[Atoms]] = {name: [] for name in self.n_test}
        others: list[Atoms] = []
        for i in order.tolist():
            own = tests[high[i].info["molecule"]]
            (own if len(own) < self.n_test[high[i].info["molecule"]] else others).append(high[i])
        return tests, others

    def pools(self, draw: int) -> Pools:
        """The tests are fixed; the draw chooses validation frames; the rest may be trained on."""
        tests, others = self._fixed
        order = np.random.default_rng([SPLIT_SEED, draw]).permutation(len(others)).tolist()
        validation = [others[i] for i in order[: 4 * self.n_validation]]
        held_out = {id_of(a) for frames in (*tests.values(), validation) for a in frames}
        return Pools(
            training=[a for a in self.frames if id_of(a) not in held_out],
            gap_ids=frozenset(
                id_of(a) for a in self.frames if has_label(a, HIGH, Label.ENERGY) and a.info["molecule"] != OUTSIDE
            ),
            validation=validation,
            n_validation=self.n_validation,
            tests={
                IN_COVERAGE: [a for name, frames in tests.items() if name != OUTSIDE for a in frames],
                OUT_OF_COVERAGE: tests[OUTSIDE],
            },
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each file."""
        return {path.name: sha256_of(path) for path in self.files().values()}
