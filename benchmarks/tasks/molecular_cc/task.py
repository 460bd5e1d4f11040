"""Small CHNO molecules at DFT and coupled-cluster level; the data come with the package."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms

from mfbench.benchmarks.tasks.base import IN_COVERAGE, OUT_OF_COVERAGE, SPLIT_SEED, Pools, Regime
from mfbench.benchmarks.tasks.embedded import EmbeddedTask
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.splits import id_of, in_groups, nested_order
from mfbench.mfcore.fidelity import Label, LabelSet

LOW, HIGH = "wb97x", "ccsdt"

TEST_IN_COVERAGE = ("C2H6", "H3CNH2")
TEST_OUT_OF_COVERAGE = ("HCOOH", "CH3CN", "CH3CHO")  # three heavy atoms
VALIDATION = ("C2H4", "NH3")
TRAINING_GAP = ("CH4", "H2O", "H2CO", "CH3OH", "HCN", "C2H2", "N2H4", "H2O2")
TRAINING_BEYOND = ("CH3CH2OH", "C3H8", "CH3OCH3", "H2CCO", "C3H6_D3h", "CH2NHCH2")  # three heavy atoms
N_VALIDATION = 60


class MolecularCC(EmbeddedTask):
    """Molecules of one to three heavy atoms (C, N, O): ωB97X/6-31G(d) and a CCSD(T) composite.

    Groups are molecules. LF trains on small and large ones; HF on those of one and two heavy atoms (coverage
    "gap") or on all of them ("full"). The tests are other molecules, in coverage with two heavy atoms and out
    of coverage with three; no fidelity trains on them, nor on the two molecules held out for validation.
    """

    name = "molecular_cc"
    summary = "CHNO molecules: ωB97X (E, F) and CCSD(T) (E; forces to test); gap: HF has up to two heavy atoms"
    fidelities = (LOW, HIGH)
    generator = "mfbench.benchmarks.labelling.molecular_cc.generate"
    default_regime = Regime(n_low=600, n_high=60, labels="low=EF,high=E", pairing="disjoint", coverage="gap")

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

    def label_cost(self, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float:
        """Return measured CPU-s of these labels; frames that were not timed count as the mean of their size."""
        forces = fidelity == HIGH and Label.FORCES in labels
        means = self.card["levels"][fidelity][f"mean_{'forces_' if forces else ''}cpu_s_by_n_heavy"]
        key = f"{fidelity}_{'forces_' if forces else ''}cpu_s"
        largest = means[max(means)]
        return float(sum(a.info.get(key, means.get(int((a.numbers > 1).sum()), largest)) for a in frames))
