"""Base of the tasks on crystals: PBE and r2SCAN labels, and splits by group on both sides of a coverage gap."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from ase import Atoms

from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, SPLIT_SEED, Pools
from mfbench.benchmarks.tasks.embedded import EmbeddedTask
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.splits import group_of, groups_of, id_of, in_groups, nested_order
from mfbench.mfcore.fidelity import Label, LabelSet

LOW, HIGH = "pbe", "r2scan"

OBSERVED = ("ordering", "eos")
"""Kinds of frames that observables are scored on; they are in no split."""

EXPLORED = "explore"
"""Kind of frames that a weak potential was led to: to learn from, outside the coverage, and in no test."""

_TEST_DRAW = 2**32 - 1  # seeds are not negative; no draw is as large
"""Stands in the seed of the order that tests are taken in: they are the same for every draw."""


class CrystalTask(EmbeddedTask):
    """Frames of one material at PBE (energy, forces, stress) and r2SCAN (energy, forces).

    Whole groups go to the tests and to validation, on both sides of the coverage gap; what is left trains. No
    fidelity trains on a group of the tests.

    Attributes
    ----------
    n_test
        Least number of HF test frames in and out of coverage; whole groups are taken until there are as many.
    n_validation
        The same for the HF validation frames, which are in coverage.
    """

    fidelities = (LOW, HIGH)
    starts_from: ClassVar[Mapping[str, str]] = {HIGH: LOW}
    n_test: tuple[int, int]
    n_validation: int

    @abstractmethod
    def covered(self, atoms: Atoms) -> bool:
        """Say whether HF labels of a frame may be trained on under coverage "gap"."""

    def pools(self, draw: int) -> Pools:
        """Tests and validation frames are fixed; the draw chooses among the training frames."""
        tests, validation = self._held_out
        held = {group_of(a) for frames in (*tests.values(), validation) for a in frames}
        training = [a for a in self._ordinary if group_of(a) not in held]
        high = [a for a in training if has_label(a, HIGH, Label.ENERGY)]
        return Pools(
            training=training,
            gap_ids=frozenset(id_of(a) for a in (*high, *validation) if self._inside(a)),
            validation=nested_order(validation, seed=SPLIT_SEED, draw=draw),
            n_validation=len(validation),
            tests=tests,
        )

    def _inside(self, atoms: Atoms) -> bool:
        return atoms.info.get("kind") != EXPLORED and self.covered(atoms)

    @cached_property
    def _ordinary(self) -> list[Atoms]:
        """All frames but those that observables are scored on."""
        return [a for a in self.frames if a.info.get("kind") not in OBSERVED]

    @cached_property
    def _held_out(self) -> tuple[dict[str, list[Atoms]], list[Atoms]]:
        visited = [a for a in self._ordinary if a.info.get("kind") != EXPLORED]
        high = [a for a in visited if has_label(a, HIGH, Label.ENERGY)]
        order = nested_order(high, seed=SPLIT_SEED, draw=_TEST_DRAW)
        # A group with frames on both sides would put training's coverage into the far test.
        inside = {g for g in groups_of(high) if all(self._inside(a) for a in in_groups(high, [g]))}
        near = [a for a in order if group_of(a) in inside]
        far = [a for a in order if group_of(a) not in inside]
        tests = {IN_COVERAGE: _whole_groups(near, self.n_test[0]), OUT_OF_COVERAGE: _whole_groups(far, self.n_test[1])}
        tests[OUT_OF_COVERAGE] = [a for a in tests[OUT_OF_COVERAGE] if not self._inside(a)]
        taken = set(groups_of(tests[IN_COVERAGE]))
        return tests, _whole_groups([a for a in near if group_of(a) not in taken], self.n_validation)

    def label_cost(self, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float:
        """Return measured CPU-s of these labels; that of r2SCAN has the PBE calculation in it that it starts from."""
        return float(sum(a.info[f"{fidelity}_cpu_s"] for a in frames))


def _whole_groups(order: Sequence[Atoms], least: int) -> list[Atoms]:
    """The frames of the first groups of an order that have `least` frames together, in that order."""
    groups: list[str] = []
    for atoms in order:
        if len([a for a in order if group_of(a) in groups]) >= least:
            break
        if group_of(atoms) not in groups:
            groups.append(group_of(atoms))
    return in_groups(order, groups)
