"""Answers without training, beside which every arm stands."""

import numpy as np
import pytest
from ase import Atoms

from mfbench.benchmarks.observables.errors.baselines import baseline_rows
from mfbench.mfcore.data.frames import set_labels
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import LabelSet

HF, LF = {1: -1.0, 8: -10.0}, {1: -0.5, 8: -9.0}


def frame(symbols, extra=0.0, pull=1.0, low=True):
    """Energies of the elements, and `extra` eV that LF has half of; forces of `pull` eV/Å, LF's half as large."""
    atoms = Atoms(symbols, positions=np.eye(3)[: len(Atoms(symbols))] * 1.5)
    energy = sum(HF[int(n)] for n in atoms.numbers) + extra
    atoms.info |= {"group": symbols, "structure_id": symbols}
    set_labels(atoms, "high", energy=energy, forces=np.full((len(atoms), 3), pull))
    if low:
        below = sum(LF[int(n)] for n in atoms.numbers) + 0.5 * extra
        set_labels(atoms, "low", energy=below, forces=np.full((len(atoms), 3), 0.5 * pull))
    return atoms


def training(**more):
    frames = [frame("OH", **more), frame("OH2", **more), frame("O2", **more)]
    labels = {"low": LabelSet.parse("EF"), "high": LabelSet.parse("E")}
    return TrainingSet(
        ("low", "high"), {"low": [frame("OH"), frame("OH2"), frame("O2")], "high": frames}, labels, [frame("OH")]
    )


def scores(rows):
    return {row["metric"]: row["value"] for row in rows}


@pytest.mark.parametrize("low", [True, False])
def test_the_constant_knows_the_elements_and_lf_labels_half_of_the_rest(low):
    """Extra energies of 0.3 eV on three atoms and forces of 2 eV/Å: all of it is missed, or half."""
    found = scores(baseline_rows(training(low=low), {"test": [frame("OH2", 0.3, 2.0), frame("OH2", -0.3, 2.0)]}))
    assert found["constant_energy_mae_mev_per_atom"] == pytest.approx(100.0)
    assert found["constant_force_mae_mev_per_A"] == pytest.approx(2000.0)
    assert found["lf_labels_energy_mae_mev_per_atom"] == pytest.approx(50.0)
    assert found["lf_labels_force_mae_mev_per_A"] == pytest.approx(1000.0)


def test_baselines_are_left_out_where_they_cannot_answer():
    assert baseline_rows(training(), {"test": [frame("OH", low=False)]})
    assert not [
        name for name in scores(baseline_rows(training(), {"test": [frame("OH", low=False)]})) if "lf_labels" in name
    ]
    unknown = Atoms("N", info={"group": "N", "structure_id": "N"})
    set_labels(unknown, "high", energy=-5.0)
    assert baseline_rows(training(), {"test": [unknown]}) == []
