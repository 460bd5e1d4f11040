"""The parser of extended XYZ: whatever a file has, it is read as ase reads it, or refused in a sentence."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfbench.mfcore.data.extxyz import fortran_number, frame_texts, parse_frame
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import DataError

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_file(path: Path) -> str:
    """Frames with what such files have: cells, labels, quotes, brackets, truth values, vectors, text."""
    made = []
    for seed, atoms in enumerate((molecule("CH3OH"), bulk("NaCl", "rocksalt", a=5.6), molecule("H2O", vacuum=3.0))):
        atoms.rattle(0.05, seed=seed)
        atoms.info |= {"energy": -3.5, "name": "a b 'c'", "flag": True, "vector": np.arange(3.0), "config_type": "md"}
        atoms.arrays["forces"] = np.random.default_rng(seed).normal(size=(len(atoms), 3))
        if atoms.pbc.any():
            atoms.info["stress"] = np.eye(3).ravel() * 0.01
        made.append(atoms)
    write(path, made, format="extxyz")
    return path.read_text()


def parsed(path: Path) -> list[Atoms]:
    return [parse_frame(text, path, index) for index, text in enumerate(frame_texts(path))]


def test_every_key_is_what_ase_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    a_file(path)
    for mine, theirs in zip(parsed(path), read(path, ":", format="extxyz"), strict=True):
        np.testing.assert_array_equal(mine.positions, theirs.positions)
        np.testing.assert_array_equal(mine.cell.array, theirs.cell.array)
        np.testing.assert_array_equal(mine.pbc, theirs.pbc)
        np.testing.assert_array_equal(mine.arrays["forces"], theirs.get_forces())
        assert mine.info["energy"] == theirs.get_potential_energy()
        for key in ("name", "flag", "vector", "config_type"):
            np.testing.assert_array_equal(mine.info[key], theirs.info[key])


def mutated(text: str, chance: random.Random) -> str:
    """One to four changes of the kinds that damage, editors and scripts make."""
    junk = [
        "nan",
        "inf",
        "-",
        "1e999",
        "T",
        "=",
        '"',
        "'",
        "{",
        "]",
        "\\",
        "\x00",
        "\t",
        "9" * 5000,
        "0",
        "-1",
        ":",
        "é",
        "D",
    ]
    for _ in range(chance.randint(1, 4)):
        kind, lines = chance.randint(0, 6), text.split("\n")
        k = chance.randrange(len(lines))
        words = lines[k].split(" ")
        w = chance.randrange(len(words))
        if kind == 0:
            words[w] = chance.choice(junk)
        elif kind == 1:
            del words[w]
        elif kind == 2:
            words.insert(w, words[chance.randrange(len(words))])
        elif kind == 3 and lines[k]:
            place = chance.randrange(len(lines[k]))
            words = [lines[k][:place] + chance.choice(junk) + lines[k][place + 1 :]]
        elif kind == 4:
            del lines[k]
            words = []
        elif kind == 5:
            lines.insert(k, lines[chance.randrange(len(lines))])
            words = lines[k].split(" ")
        else:
            words = [" ".join(words).replace("R:3", f"R:{chance.choice([0, 1, 10**9, -3, 99999])}")]
        if words and k < len(lines):
            lines[k] = " ".join(words)
        text = "\n".join(lines)
    return text


@quick
@given(seed=st.integers(0, 10**9))
def test_mutated_files_are_read_or_refused_quickly(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "mutated.xyz"
    text = mutated(a_file(tmp_path / "good.xyz"), random.Random(seed))
    path.write_text(text, encoding="utf-8")
    begin = time.process_time()
    frames: list[Atoms] = []
    told = ""
    try:
        frames = read_frames(path)
    except DataError as error:
        told = str(error)
    assert bool(frames) is not bool(told)
    assert len(told) < 2000
    assert time.process_time() - begin < 5
    for atoms in frames:
        assert np.isfinite(atoms.positions).all()
        for key, value in (*atoms.info.items(), *atoms.arrays.items()):
            if key.endswith(("_energy", "_forces", "_stress")):
                assert np.isfinite(value).all()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("9" * 5000, "expected the number of atoms"),
        ("1e3", "expected the number of atoms"),
        ("-2", "expected the number of atoms"),
        ("99999999", "ends before"),
    ],
)
def test_counts_that_cannot_be(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "a.xyz").write_text(f"{line}\n\nH 0 0 0\n")
    with pytest.raises(DataError, match=told):
        parsed(tmp_path / "a.xyz")


def test_numbers_of_fortran() -> None:
    assert float(fortran_number("-1.5D+02")) == -150.0
    assert float(fortran_number(".5d-1")) == 0.05
    assert fortran_number("D2h") == "D2h"
    assert fortran_number("1.5") == "1.5"
