"""Errors against references: each answer is known without the code under test."""

import numpy as np
import pytest
from ase import units

from mfbench.mfcore.errors import DataError
from mfbench.mfcore.metrics.errors import (
    energy_detrended_mae_mev_per_atom,
    energy_mae_mev_per_atom,
    energy_rmse_mev_per_atom,
    force_mae_mev_per_a,
    force_rmse_mev_per_a,
    n_labelled,
    stress_mae_gpa,
)

NAN = float("nan")


def test_energy_errors_are_per_atom_in_mev():
    predicted, reference, atoms = [-10.0, -20.0, -30.0], [-10.2, -20.0, -29.4], [2, 4, 3]
    assert energy_mae_mev_per_atom(predicted, reference, atoms) == pytest.approx((100 + 0 + 200) / 3)
    assert energy_rmse_mev_per_atom(predicted, reference, atoms) == pytest.approx(np.sqrt(5e4 / 3))


def test_energy_frames_weigh_the_same_whatever_their_size():
    assert energy_mae_mev_per_atom([0.1, 0.0], [0.0, 0.0], [1, 1000]) == pytest.approx(50.0)


def test_masked_energies_are_left_out():
    assert energy_mae_mev_per_atom([1.0, 5.0], [0.5, NAN], [1, 1]) == pytest.approx(500.0)
    assert n_labelled([0.5, NAN]) == 1


def test_force_errors_weigh_components_the_same():
    predicted = [np.zeros((1, 3)), np.zeros((3, 3))]
    reference = [np.full((1, 3), 0.3), np.full((3, 3), -0.1)]
    assert force_mae_mev_per_a(predicted, reference) == pytest.approx((3 * 300 + 9 * 100) / 12)
    assert force_rmse_mev_per_a(predicted, reference) == pytest.approx(np.sqrt((3 * 9e4 + 9 * 1e4) / 12))


def test_masked_forces_are_left_out_and_counted():
    reference = [np.full((2, 3), NAN), np.full((1, 3), 0.2)]
    assert force_mae_mev_per_a([np.zeros((2, 3)), np.zeros((1, 3))], reference) == pytest.approx(200.0)
    assert n_labelled(reference) == 1


def test_stress_counts_six_components_in_gpa():
    reference = np.zeros((1, 3, 3))
    predicted = reference.copy()
    predicted[0, 0, 1] = predicted[0, 1, 0] = 6.0 * units.GPa
    assert stress_mae_gpa(predicted, reference) == pytest.approx(1.0)
    predicted[0, 0, 0] = -6.0 * units.GPa
    assert stress_mae_gpa(predicted, reference) == pytest.approx(2.0)


def test_stress_of_a_molecule_may_be_undefined():
    predicted = np.stack([np.full((3, 3), NAN), np.eye(3) * units.GPa])
    reference = np.stack([np.full((3, 3), NAN), np.zeros((3, 3))])
    assert stress_mae_gpa(predicted, reference) == pytest.approx(0.5)


@pytest.mark.parametrize("where", [0, 1])
def test_a_nan_prediction_is_never_skipped(where):
    """Also where the reference is masked (frame 1): a model that gives NaN is broken."""
    energies, forces = np.zeros(2), [np.zeros((1, 3)), np.zeros((2, 3))]
    energies[where] = NAN
    forces[where][0, 0] = NAN
    labels, force_labels = [0.0, NAN], [np.zeros((1, 3)), np.full((2, 3), NAN)]
    assert np.isnan(energy_mae_mev_per_atom(energies, labels, [1, 2]))
    assert np.isnan(energy_rmse_mev_per_atom(energies, labels, [1, 2]))
    assert np.isnan(energy_detrended_mae_mev_per_atom(energies, labels, [[1], [2]]))
    assert np.isnan(force_mae_mev_per_a(forces, force_labels))
    assert np.isnan(force_rmse_mev_per_a(forces, force_labels))


def test_a_nan_stress_is_never_skipped_where_there_is_a_label():
    assert np.isnan(stress_mae_gpa(np.full((1, 3, 3), NAN), np.zeros((1, 3, 3))))


def test_an_exploded_model_scores_infinity():
    assert energy_mae_mev_per_atom([np.inf], [0.0], [1]) == np.inf
    assert energy_rmse_mev_per_atom([1e300, 0.0], [0.0, 0.0], [1, 1]) == np.inf
    assert np.isnan(energy_detrended_mae_mev_per_atom([np.inf, 0.0], [0.0, 0.0], [[1], [2]]))


def test_nothing_labelled_is_an_error_not_a_score():
    with pytest.raises(DataError, match="no frame has reference energies"):
        energy_mae_mev_per_atom([1.0], [NAN], [1])
    with pytest.raises(DataError, match="no frame has reference forces"):
        force_mae_mev_per_a([], [])


def test_bad_shapes_and_labels_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        energy_mae_mev_per_atom([1.0, 2.0], [1.0], [1])
    with pytest.raises(ValueError, match="positive"):
        energy_mae_mev_per_atom([1.0], [1.0], [0])
    with pytest.raises(ValueError, match="infinite"):
        energy_mae_mev_per_atom([1.0], [np.inf], [1])
    with pytest.raises(ValueError, match="forces of frame 1"):
        force_mae_mev_per_a([np.zeros((1, 3))] * 2, [np.zeros((1, 3)), np.zeros((2, 3))])
    with pytest.raises(ValueError, match="1 predicted frames for 2"):
        force_mae_mev_per_a([np.zeros((1, 3))], [np.zeros((1, 3))] * 2)
    with pytest.raises(ValueError, match=r"\(frames, 3, 3\)"):
        stress_mae_gpa(np.zeros((1, 6)), np.zeros((1, 6)))


COUNTS = np.array([[1, 4, 0], [2, 6, 0], [1, 4, 1], [2, 4, 1], [1, 2, 1], [3, 8, 0]])  # C, H, O


def test_a_pure_composition_offset_has_no_detrended_error():
    reference = np.linspace(-40.0, -90.0, len(COUNTS)) * 27.2
    predicted = reference + COUNTS @ np.array([0.7, -0.4, 11.0])
    assert energy_mae_mev_per_atom(predicted, reference, COUNTS.sum(axis=1)) > 100.0
    assert energy_detrended_mae_mev_per_atom(predicted, reference, COUNTS) == pytest.approx(0.0, abs=1e-8)


def test_detrending_one_stoichiometry_removes_the_mean():
    """Counts of CH2O are collinear: the minimum-norm fit takes out the mean error per atom and no more."""
    compositions = np.tile([1, 2, 1], (4, 1))
    errors_per_atom = np.array([0.1, 0.2, 0.3, 0.6])
    value = energy_detrended_mae_mev_per_atom(4 * errors_per_atom, np.zeros(4), compositions)
    assert value == pytest.approx(np.mean(np.abs(errors_per_atom - 0.3)) * 1000)


def test_detrending_keeps_what_no_composition_explains():
    """Errors ±δ per atom on two frames of each composition: no shift of E0 helps, and the MAE is δ."""
    compositions = np.repeat(COUNTS[:4], 2, axis=0)
    atoms = compositions.sum(axis=1)
    errors = 0.05 * atoms * np.tile([1.0, -1.0], 4) + compositions @ np.array([0.3, -0.2, 5.0])
    assert energy_detrended_mae_mev_per_atom(errors, np.zeros(8), compositions) == pytest.approx(50.0)


def test_detrending_is_undefined_where_the_fit_is_exact():
    """A zero here would read as a perfect model."""
    assert np.isnan(energy_detrended_mae_mev_per_atom([1.0, -3.0], [0.0, 0.0], COUNTS[:2]))
    assert np.isnan(energy_detrended_mae_mev_per_atom([1.0, 0.0, 0.0], [0.0, NAN, NAN], np.ones((3, 1))))
