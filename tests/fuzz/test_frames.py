"""Mutated extended XYZ: refused in a sentence, or read with the labels that ase reads."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data.read import read_frames
from tests.data.test_extxyz import a_file, mutated
from tests.fuzz import mutate
from tests.fuzz.watch import Watch

LONG = 2400


def independent(path: Path) -> list[Atoms] | None:
    """The frames as ase reads them; None where it does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(path, ":", format="extxyz")
    except Exception:  # whatever its steps raise
        return None


def labels(atoms: Atoms) -> dict[str, np.ndarray]:
    """Labels that ase took from a frame, by the names that mfbench gives them."""
    found = {} if atoms.calc is None else atoms.calc.results
    made = {f"reference_{key}": np.asarray(value) for key, value in found.items() if key in ("energy", "forces")}
    if "stress" in found:
        made["reference_stress"] = atoms.get_stress(voigt=False)
    return made


def check(path: Path, seed: int, watch: Watch) -> str:
    """One mutation; says how it compares with ase."""
    chance = random.Random(seed)
    original = a_file(path)
    path.write_text(mutated(original, chance) if seed % 2 else mutate.text(original, chance), encoding="utf-8")
    frames = watch.run(lambda: read_frames(path))
    if frames is None:
        return "refused"
    theirs = independent(path)
    if theirs is None or len(theirs) != len(frames):
        return "read by mfbench alone"
    for mine, other in zip(frames, theirs, strict=True):
        np.testing.assert_allclose(mine.positions, other.positions, atol=1e-12)
        np.testing.assert_array_equal(mine.numbers, other.numbers)
        np.testing.assert_allclose(mine.cell.array, other.cell.array, atol=1e-12)
        for key, value in labels(other).items():
            own = mine.info.get(key, mine.arrays.get(key))
            if own is None and key == "reference_stress" and not mine.cell.rank:
                continue  # a molecule has none
            assert own is not None, f"{key} was dropped"
            np.testing.assert_allclose(np.asarray(own, float), value, atol=1e-12, err_msg=key)
    return "as ase reads it"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_mutated_frames(tmp_path: Path, seed: int) -> None:
    check(tmp_path / "mutated.xyz", seed, Watch())


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_many_mutated_frames(tmp_path: Path) -> None:
    watch, ends = Watch(), []
    for seed in range(LONG):
        ends.append(check(tmp_path / "mutated.xyz", seed, watch))
    print(f"\nextxyz: {watch}; " + ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends))))  # noqa: T201
    assert len(ends) >= 2000
    assert ends.count("read by mfbench alone") < 0.1 * len(ends)
