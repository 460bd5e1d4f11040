"""Where compositions leave a choice, isolated atoms of another fidelity decide it; elsewhere nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from mfbench.mfcore.data.frames import energy_of, set_labels
from mfbench.mfcore.data.nearest_references import nearest_energies, nearest_first, nearest_notes
from mfbench.mfcore.data.reference_energies import ReferenceEnergies, least_squares_energies
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.training.budget import Budget
from mfbench.strategies.registry import make_arm
from tests.conftest import HIGH, LOW, tiny_settings, water_like

E0 = {1: -13.6, 8: -2041.0}
SHIFT = {1: 0.4, 8: 1.1}  # of the other level, small beside E0


def labelled(formulas: list[str], level: str) -> list[Atoms]:
    """Frames without interaction: their energies are sums of E0."""
    made = []
    for formula in formulas:
        atoms = Atoms(formula)
        atoms.positions[:, 0] = 1.1 * np.arange(len(atoms))
        energy = sum(E0[int(z)] + (SHIFT[int(z)] if level == "low" else 0.0) for z in atoms.numbers)
        set_labels(atoms, level, energy=energy)
        made.append(atoms)
    return made


def fitted(frames: list[Atoms], level: str) -> ReferenceEnergies:
    return least_squares_energies(frames, np.array([energy_of(a, level) for a in frames]), (1, 8))


def test_two_elements_in_one_ratio_get_the_shift_of_least_norm() -> None:
    low = labelled(["OH2", "O2H4", "OH2"], "low")
    high = labelled(["H", "O", "OH2"], "high")
    plain = fitted(low, "low")
    assert abs(plain.values[0] - E0[1]) > 100.0  # of least norm: -822 and -411 eV
    found = nearest_energies(plain, low, "low", {"high": high})
    assert found.nearest_to == "high"
    assert found.rank == 1
    # the error is (2 * 0.4 + 1.1) eV for the counts (2, 1): it is shared in proportion to them, over 2² + 1²
    missing = 2 * SHIFT[1] + SHIFT[8]
    expected = (E0[1] + 2 * missing / 5, E0[8] + missing / 5)
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.of(low), [energy_of(a, "low") for a in low])
    assert found.as_dict()["nearest_to"] == "high"


def test_an_element_with_its_own_isolated_atom_is_let_be() -> None:
    low = [*labelled(["H"], "low"), *labelled(["OH2"] * 3, "low")]
    found = least_squares_energies(low, np.array([energy_of(a, "low") for a in low]), (1, 8), exact={1: E0[1] + 0.4})
    assert nearest_energies(found, low, "low", {"high": labelled(["H", "O"], "high")}) is found  # it is determined


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (["OH2", "OH", "O2"], ["H", "O"]),  # energies determine each E0
        (["OH2"] * 3, ["OH2", "OH"]),  # no isolated atoms
        (["OH2"] * 3, ["H", "OH2", "OH2"][:1]),  # nothing is known of O
    ],
)
def test_otherwise_nothing_changes(low: list[str], high: list[str]) -> None:
    frames = labelled(low, "low")
    plain = fitted(frames, "low")
    assert nearest_energies(plain, frames, "low", {"high": labelled(high, "high")}) is plain


def test_isolated_atoms_may_determine_the_others_by_molecules() -> None:
    low = labelled(["OH2"] * 3, "low")
    found = nearest_energies(fitted(low, "low"), low, "low", {"high": labelled(["H", "OH2"], "high")})
    assert found.nearest_to == "high"
    assert found.values[0] == pytest.approx(E0[1], abs=1.0)
    assert found.values[1] == pytest.approx(E0[8], abs=1.0)


def test_the_nearest_fidelity_that_serves_is_taken_and_said() -> None:
    assert nearest_first(["a", "b", "c"], 1) == ["c", "a"]
    assert nearest_first(["a", "b", "c"], 0) == ["b", "c"]
    frames = [*labelled(["OH2"] * 3, "low"), *labelled(["H", "O", "OH2"], "high")]
    (note,) = nearest_notes(frames, ["low", "high"])
    assert note.startswith("compositions of 'low' leave a choice")
    assert "nearest to the isolated atoms of 'high'" in note
    assert nearest_notes(frames[:3], ["low", "high"]) == []


@pytest.mark.parametrize(
    ("alone", "arms"), [(HIGH, ("multi_fidelity", "transfer")), (LOW, ("multi_fidelity", "multi_head"))]
)
def test_every_arm_of_both_levels_does_the_same(alone: str, arms: tuple[str, str]) -> None:
    """Isolated atoms at either level, water alone at the other."""
    rng, waters = np.random.default_rng(1), list[Atoms]()
    while len(waters) < 24:
        atoms = water_like(rng, f"w{len(waters)}")
        if len(atoms) == 3:
            waters.append(atoms)
    atoms_alone = [Atoms(symbol) for symbol in "HO"]
    for atoms, energy in zip(atoms_alone, (-13.2, -2020.0), strict=True):
        atoms.info |= {"structure_id": f"{atoms.symbols}", "group": f"{atoms.symbols}"}
        set_labels(atoms, alone, energy=energy, forces=np.zeros((1, 3)))
    train = {LOW: waters[:12], HIGH: waters[12:20]}
    train[alone] = [*train[alone], *atoms_alone]
    both = LabelSet.parse("EF")
    data = TrainingSet((LOW, HIGH), train, {LOW: both, HIGH: both}, waters[20:])
    open_level = LOW if alone == HIGH else HIGH
    found = []
    for name in arms:
        record = make_arm(name, tiny_settings()).fit(data, Budget(100), 1).record["reference_energies"]
        assert record[alone]["nearest_to"] == ""
        assert record[open_level]["nearest_to"] == alone
        found.append(record[open_level]["values"])
    assert found[0] == found[1]
    assert found[0][0] == pytest.approx(-13.2, abs=20.0)
    assert found[0][1] == pytest.approx(-2020.0, abs=20.0)
    assert sum(np.array([2, 1]) * found[0]) == pytest.approx(
        np.mean([energy_of(a, open_level) for a in train[open_level]]), abs=1e-6
    )
