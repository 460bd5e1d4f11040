"""MatPES: crystals of most elements out of dynamics at 300 K, at PBE and r2SCAN, downloaded when asked for."""

from __future__ import annotations

import hashlib
import heapq
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms

from mfbench.benchmarks.sets.files import PublicFile, found, obtain
from mfbench.benchmarks.tasks.base import IN_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from mfbench.benchmarks.tasks.matpes.stream import items
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.matpes import frame_of_document, is_document
from mfbench.mfcore.data.splits import groups_of
from mfbench.mfcore.documents import read_yaml
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import sha256_of

LOW, HIGH = "pbe", "r2scan"
_SAME_POSITION = 1e-3  # Å


class MatPES(Task):
    """A fixed part of MatPES 2025.1, chosen by the hash of each structure's id, so that both levels have the same ones.

    Groups are the structures of the Materials Project that the dynamics began with; the test has a twelfth of them.
    There is no gap of coverage.

    Attributes
    ----------
    n_documents
        Of each level.
    n_validation
        Validation frames; four times as many are held out.
    """

    name = "matpes"
    summary = "MatPES 2025.1: crystals of 89 elements, PBE and r2SCAN, energies, forces and stress (a part of it)"
    fidelities = (LOW, HIGH)
    default_regime = Regime(n_low=10_000, n_high=1_000, labels="low=EFS,high=EFS", coverage="full")
    n_documents: ClassVar[int] = 20_000
    n_validation: ClassVar[int] = 400
    test_fraction: ClassVar[float] = 1.0 / 12.0

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of dataset.yml."""
        return read_yaml(Path(__file__).parent / "dataset.yml")

    @property
    def public_files(self) -> tuple[PublicFile, ...]:
        """The file of each level, cheapest first."""
        base = str(self.card["address"])
        return tuple(
            PublicFile(file["name"], self.name, (f"{base}/{file['name']}",), file["size"])
            for file in (self.card["files"][level] for level in self.fidelities)
        )

    @property
    def absent(self) -> str:
        """Words on what to do where a file is not here, without a full stop; "" where both are."""
        return next((file.absent for file in self.public_files if found(file) is None), "")

    def files(self) -> dict[str, Path]:
        """Return the path of each level's file.

        Raises
        ------
        DataError
            If one is not here; nothing is downloaded, for they are large.
        """
        return {level: obtain(file) for level, file in zip(self.fidelities, self.public_files, strict=True)}

    def load(self) -> list[Atoms]:
        """Return the frames of both levels; those of one id and one geometry are one frame with both labels.

        Raises
        ------
        DataError
            If a file is not here or damaged, or an item is no document of MatPES of its level.
        """
        frames: dict[str, Atoms] = {}
        for level, path in self.files().items():
            for index, document in _chosen(path, self.n_documents):
                atoms = frame_of_document(document, path, index)
                if not has_label(atoms, level, Label.ENERGY):
                    raise DataError(f"expected {level}.", file=path, frame=index, key="functional")
                name = str(atoms.info["structure_id"])
                atoms.info.setdefault("group", name)
                other = frames.get(name)
                if other is None:
                    frames[name] = atoms
                elif _same(other, atoms):
                    other.info.update(atoms.info)
                    other.arrays.update({k: v for k, v in atoms.arrays.items() if k.startswith(level)})
                else:
                    atoms.info["structure_id"] = f"{name}-{level}"
                    frames[f"{name}-{level}"] = atoms
        return list(frames.values())

    @cached_property
    def _parts(self) -> tuple[list[Atoms], list[Atoms]]:
        """Test frames with HF labels, and all frames of the other groups."""
        groups = sorted({str(a.info["group"]) for a in self.frames})
        order = np.random.default_rng(SPLIT_SEED).permutation(len(groups)).tolist()
        held = {groups[i] for i in order[: max(1, round(self.test_fraction * len(groups)))]}
        tests = [a for a in self.frames if str(a.info["group"]) in held and has_label(a, HIGH, Label.ENERGY)]
        return tests, [a for a in self.frames if str(a.info["group"]) not in held]

    def pools(self, draw: int) -> Pools:
        """The test is fixed; the draw chooses groups for validation; the rest may be trained on."""
        tests, others = self._parts
        high = [a for a in others if has_label(a, HIGH, Label.ENERGY)]
        groups = sorted(groups_of(high))
        held: set[str] = set()
        validation: list[Atoms] = []
        by_group: dict[str, list[Atoms]] = {}
        for atoms in high:
            by_group.setdefault(str(atoms.info["group"]), []).append(atoms)
        for i in np.random.default_rng([SPLIT_SEED, draw]).permutation(len(groups)).tolist():
            if len(validation) >= min(4 * self.n_validation, len(high) // 4):
                break
            held.add(groups[i])
            validation += by_group[groups[i]]
        return Pools(
            training=[a for a in others if str(a.info["group"]) not in held],
            gap_ids=None,
            validation=validation,
            n_validation=min(self.n_validation, len(validation)),
            tests={IN_COVERAGE: tests},
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each file."""
        return {path.name: sha256_of(path) for path in self.files().values()}


def _chosen(path: Path, number: int) -> list[tuple[int, dict[str, Any]]]:
    """Documents whose ids have the smallest hashes, with their places in the file, in the order of the hashes."""
    kept: list[tuple[int, int, dict[str, Any]]] = []  # a heap with the largest hash, negated, first
    for index, document in enumerate(items(path)):
        if not is_document(document):
            raise DataError("no document of MatPES.", file=path, frame=index)
        rank = int.from_bytes(hashlib.sha256(str(document["matpes_id"]).encode()).digest()[:8], "big")
        entry = (-rank, index, document)
        if len(kept) < number:
            heapq.heappush(kept, entry)
        elif entry[:2] > kept[0][:2]:
            heapq.heapreplace(kept, entry)
    return [(index, document) for _, index, document in sorted(kept, key=lambda entry: (-entry[0], entry[1]))]


def _same(first: Atoms, second: Atoms) -> bool:
    return (
        first.numbers.tolist() == second.numbers.tolist()
        and bool(np.abs(first.positions - second.positions).max() < _SAME_POSITION)
        and bool(np.abs(first.cell.array - second.cell.array).max() < _SAME_POSITION)
    )
