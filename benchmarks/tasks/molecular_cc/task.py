"""Small CHNO molecules at DFT and coupled-cluster level; the data come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from ase import Atoms

from benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, SPLIT_SEED, Pools, Regime, Task
from benchmarks.tasks.fetch import sha256_of
from mfcore.data.frames import has_label, read_frames
from mfcore.data.splits import id_of, in_groups, nested_order
from mfcore.errors import DataError
from mfcore.fidelity import Label, LabelSet

LOW, HIGH = "wb97x", "ccsdt"

TEST_IN_COVERAGE = ("C2H6", "H3CNH2")
TEST_OUT_OF_COVERAGE = ("HCOOH", "CH3CN", "CH3CHO")  # three heavy atoms
VALIDATION = ("C2H4", "NH3")
TRAINING_GAP = ("CH4", "H2O", "H2CO", "CH3OH", "HCN", "C2H2", "N2H4", "H2O2")
TRAINING_BEYOND = ("CH3CH2OH", "C3H8", "CH3OCH3", "H2CCO", "C3H6_D3h", "CH2NHCH2")  # three heavy atoms
N_VALIDATION = 60


class MolecularCC(Task):
    """Molecules of one to three heavy atoms (C, N, O): ωB97X/6-31G(d) and a CCSD(T) composite.

    Groups are molecules. LF trains on small and large ones; HF on those of one and two heavy atoms (coverage
    "gap") or on all of them ("full"). The tests are other molecules, in coverage with two heavy atoms and out
    of coverage with three; no fidelity trains on them, nor on the two molecules held out for validation.
    """

    name = "molecular_cc"
    summary = "CHNO molecules: ωB97X (E, F) and CCSD(T) (E; forces to test); gap: HF has up to two heavy atoms"
    fidelities = (LOW, HIGH)
    embedded = True
    default_regime = Regime(n_low=600, n_high=60, labels="low=EF,high=E", pairing="disjoint", coverage="gap")

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(__file__).parent if folder is None else Path(folder)

    @cached_property
    def card(self) -> dict[str, Any]:
        """The content of dataset.yml."""
        return yaml.safe_load((self.folder / "dataset.yml").read_text(encoding="utf-8"))

    def load(self) -> list[Atoms]:
        """Return all frames.

        Raises
        ------
        DataError
            If the data file is not the one that dataset.yml describes.
        """
        frames = []
        for name, found in self.data_hashes().items():
            if found != self.card["files"][name]["sha256"]:
                raise DataError(
                    f"sha256 is {found}, dataset.yml has {self.card['files'][name]['sha256']}.",
                    file=self.folder / name,
                    hint="Install the package again, or convert the labels again.",
                )
            frames += read_frames(self.folder / name)
        return frames

    def pools(self, draw: int) -> Pools:
        """Tests and the molecules of each pool are fixed; the draw chooses frames of the validation molecules."""
        high = [a for a in self.frames if has_label(a, HIGH, Label.ENERGY)]
        scored = [a for a in high if has_label(a, LOW, Label.ENERGY)]
        validation = in_groups(high, VALIDATION)
        return Pools(
            training=in_groups(self.frames, TRAINING_GAP + TRAINING_BEYOND),
            gap_ids=frozenset(id_of(a) for a in in_groups(high, TRAINING_GAP + VALIDATION)),
            validation=nested_order(validation, seed=SPLIT_SEED, draw=draw),
            n_validation=N_VALIDATION,
            tests={
                IN_COVERAGE: in_groups(scored, TEST_IN_COVERAGE),
                OUT_OF_COVERAGE: in_groups(scored, TEST_OUT_OF_COVERAGE),
            },
        )

    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each data file."""
        return {name: sha256_of(self.folder / name) for name in self.card["files"]}

    def label_cost(self, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float:
        """Return measured CPU-s of these labels; frames that were not timed count as the mean of their size."""
        forces = fidelity == HIGH and Label.FORCES in labels
        means = self.card["levels"][fidelity][f"mean_{'forces_' if forces else ''}cpu_s_by_n_heavy"]
        key = f"{fidelity}_{'forces_' if forces else ''}cpu_s"
        largest = means[max(means)]
        return float(sum(a.info.get(key, means.get(int((a.numbers > 1).sum()), largest)) for a in frames))
