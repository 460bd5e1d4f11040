"""Transport: random walks of known diffusivity, known Arrhenius lines, and units."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units

from mfbench.mfcore.metrics.transport import (
    CM2_PER_S,
    Diffusion,
    arrhenius,
    conductivity,
    conductivity_mS_per_cm,
    diffusion,
    displacements_by_species,
    mean_squared_displacement,
)

KT = units.kB
NUMBERS, MASSES = np.array([3] * 6 + [16] * 4), np.array([6.9] * 6 + [1e6] * 4)


def walk(rng: np.random.Generator, diffusivity: float, steps: int = 4000, interval: float = 0.1) -> np.ndarray:
    """Six lithium atoms of some D (Å²/ps), four heavy ones that rattle, and everything drifts."""
    positions = rng.normal(0, 0.1, (steps, 10, 3))
    positions[:, :6] += np.cumsum(rng.normal(0, np.sqrt(2 * diffusivity * interval), (steps, 6, 3)), axis=0)
    return positions + 0.05 * np.arange(steps)[:, None, None]


def known(value: float, relative: float) -> Diffusion:
    return Diffusion(value, relative * value, np.array([value]), 5, 1, 6, (1.0, 2.0))


def test_ballistic_motion_has_a_square_and_rest_none() -> None:
    positions = np.arange(20)[:, None, None] * np.array([1.0, 2.0, 2.0])
    assert mean_squared_displacement(positions, [1, 2, 5]) == pytest.approx([9.0, 36.0, 225.0])
    drift = displacements_by_species(np.repeat(positions, 10, 1), NUMBERS, MASSES, [1, 5])
    assert sorted(drift) == [3, 16]
    assert np.concatenate(list(drift.values())) == pytest.approx(np.zeros(4), abs=1e-12)


def test_an_einstein_diffuser_has_its_diffusivity_and_an_honest_error() -> None:
    rng, inside, expected = np.random.default_rng(5), 0, 0.3 * CM2_PER_S
    values = []
    for _ in range(20):
        found = diffusion([walk(rng, 0.3, 1500) for _ in range(2)], 0.1, NUMBERS, MASSES, 3)
        low, high = found.interval()
        inside += low < expected < high
        values.append(found.diffusivity_cm2_per_s)
        assert high - low < 2 * expected  # an interval that says something
    assert np.mean(values) == pytest.approx(expected, rel=0.1)
    assert (found.n_blocks, found.n_trajectories, found.n_atoms) == (10, 2, 6)
    assert inside >= 16  # 95 % intervals: fewer than 16 of 20 has a probability of 0.3 %


def test_who_rattles_does_not_diffuse() -> None:
    found = diffusion([walk(np.random.default_rng(1), 0.3)], 0.1, NUMBERS, MASSES, 16)
    assert abs(found.diffusivity_cm2_per_s) < 1e-3 * CM2_PER_S


def test_units_of_time_and_length() -> None:
    rng = np.random.default_rng(2)
    slow = walk(rng, 0.2)
    base = diffusion([slow], 0.1, NUMBERS, MASSES, 3).diffusivity_cm2_per_s
    assert diffusion([slow], 0.2, NUMBERS, MASSES, 3).diffusivity_cm2_per_s == pytest.approx(base / 2)
    assert diffusion([2 * slow], 0.1, NUMBERS, MASSES, 3).diffusivity_cm2_per_s == pytest.approx(base * 4)
    assert base == pytest.approx(2e-5, rel=0.4)


def test_what_cannot_be_answered_is_refused() -> None:
    path = walk(np.random.default_rng(2), 0.2, 200)
    with pytest.raises(ValueError, match="no surviving trajectory"):
        diffusion([], 0.1, NUMBERS, MASSES, 3)
    with pytest.raises(ValueError, match="too short"):
        diffusion([path[:30]], 0.1, NUMBERS, MASSES, 3)
    path[150, 0] = np.nan
    with pytest.raises(ValueError, match="survived only"):
        diffusion([path], 0.1, NUMBERS, MASSES, 3)


def test_arrhenius_lines_come_back() -> None:
    temperatures = (500.0, 600.0, 750.0, 900.0)
    exact = {t: known(1e-3 * np.exp(-0.25 / (KT * t)), 0.05) for t in temperatures}
    line = arrhenius(exact)
    assert line.activation_energy_eV == pytest.approx(0.25, abs=1e-6)
    assert line.diffusivity(300.0)[0] == pytest.approx(1e-3 * np.exp(-0.25 / (KT * 300)), rel=1e-4)
    assert line.activation_low_eV < 0.25 < line.activation_high_eV
    # farther away it is less sure
    widths = [np.log(line.diffusivity(t)[2] / line.diffusivity(t)[1]) for t in (600.0, 400.0, 300.0)]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize(("count", "claimed"), [(2, 0.1), (4, 0.01)])
def test_the_interval_of_the_activation_energy_covers_what_it_says(count: int, claimed: float) -> None:
    """Errors of 10 %: known for two temperatures, and for four claimed to be 1 %, so that their scatter has to tell."""
    rng, temperatures, inside = np.random.default_rng(9), np.linspace(500, 900, count), 0
    for _ in range(600):
        noisy = {float(t): known(1e-3 * np.exp(-0.25 / (KT * t) + 0.1 * rng.normal()), claimed) for t in temperatures}
        line = arrhenius(noisy)
        inside += line.activation_low_eV < 0.25 < line.activation_high_eV
    assert inside / 600 == pytest.approx(0.95, abs=0.03)


def test_errors_of_the_diffusivities_make_the_interval_at_least_as_wide() -> None:
    cold, hot, relative = 500.0, 900.0, 0.1
    ends = {t: known(1e-3 * np.exp(-0.25 / (KT * t)), relative) for t in (cold, hot)}
    line = arrhenius(ends)
    sigma = np.sqrt(2) * relative / (1 / (KT * cold) - 1 / (KT * hot))
    assert (line.activation_high_eV - line.activation_low_eV) / 2 == pytest.approx(1.959964 * sigma, rel=1e-6)
    # a third on the line adds nothing to the slope at its weighted middle: Student's t of one degree of freedom is left
    middle = 2 / (1 / cold + 1 / hot)
    line = arrhenius(ends | {middle: known(1e-3 * np.exp(-0.25 / (KT * middle)), relative)})
    assert (line.activation_high_eV - line.activation_low_eV) / 2 == pytest.approx(12.7062 * sigma, rel=1e-5)


def test_arrhenius_refuses_what_has_no_logarithm() -> None:
    with pytest.raises(ValueError, match="two temperatures"):
        arrhenius({500.0: known(1e-5, 0.1)})
    with pytest.raises(ValueError, match="positive"):
        arrhenius({500.0: known(1e-5, 0.1), 600.0: known(-1e-6, -0.1)})


def test_conductivity_in_practical_units() -> None:
    # n = 24 Li in a (9.85 Å)³ cell and D = 1e-8 cm²/s at 300 K: n q² D / kT = 2.511e28 m⁻³ (1.602e-19 C)² 1e-12 m²/s
    # / 4.142e-21 J = 0.1556 S/m = 1.556 mS/cm
    density = 24 / 9.85**3
    assert conductivity_mS_per_cm(1e-8, density, 300.0) == pytest.approx(1.556, rel=1e-3)
    assert conductivity_mS_per_cm(1e-8, density, 300.0, charge=2.0) == pytest.approx(4 * 1.556, rel=1e-3)
    lines = {t: known(1e-3 * np.exp(-0.25 / (KT * t)), 0.05) for t in (500.0, 600.0, 750.0)}
    found = conductivity(lines, density)
    expected = conductivity_mS_per_cm(1e-3 * np.exp(-0.25 / (KT * 300)), density, 300.0)
    assert found.conductivity_mS_per_cm == pytest.approx(expected, rel=1e-4)
    assert found.low_mS_per_cm < expected < found.high_mS_per_cm
    assert found.extrapolated
    assert not conductivity(lines, density, 550.0).extrapolated
