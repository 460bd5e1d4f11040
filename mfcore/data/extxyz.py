"""The text of extended XYZ files: cut into frames, each parsed by ase, every fault known by its frame."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from mfbench.mfcore.errors import DataError


def frame_texts(path: Path) -> Iterator[str]:
    """Cut a file into the texts of its frames, so that any fault is known by its frame.

    Raises
    ------
    DataError
        If the file cannot be read or a frame is not "number of atoms, header, that many lines".
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError("there is no such file.", file=path) from None
    except UnicodeDecodeError:
        raise DataError("the file is not text; expected extended XYZ.", file=path) from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}).", file=path) from None
    start, index = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            if any(line.strip() for line in lines[start:]):
                raise DataError("an empty line; expected the number of atoms.", file=path, frame=index)
            return
        count = lines[start].strip()
        if not (count.isascii() and count.isdigit()):
            raise DataError(
                f"line {start + 1} is '{count[:40]}'; expected the number of atoms of an extended XYZ frame.",
                file=path,
                frame=index,
            )
        stop = start + 2 + int(count)
        if stop > len(lines):
            raise DataError(f"the file ends before the {count} atoms of this frame.", file=path, frame=index)
        yield "\n".join(lines[start:stop]) + "\n"
        start, index = stop, index + 1


def parse_frame(block: str, path: Path, index: int) -> Atoms:
    """Make Atoms of the text of one frame; labels that ase puts into a calculator go back to info and arrays.

    Raises
    ------
    DataError
        If ase cannot read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ase warns of odd headers; what matters is validated below
            atoms = read(io.StringIO(block), index=0, format="extxyz")
    except Exception as error:  # ase raises whatever its steps do: all of it means "malformed"
        reason = str(error).strip().splitlines()
        raise DataError(
            f"malformed extended XYZ ({reason[0][:160] if reason else type(error).__name__}).",
            file=path,
            frame=index,
            hint="Expected 'Properties=species:S:1:pos:R:3:...' and key=value pairs on the second line.",
        ) from None
    assert isinstance(atoms, Atoms)
    if atoms.calc is not None:
        for key, value in atoms.calc.results.items():
            if key in ("energy", "stress"):
                atoms.info.setdefault(key, value)
            elif key == "forces":
                atoms.arrays.setdefault(key, np.asarray(value))
        atoms.calc = None
    return atoms
