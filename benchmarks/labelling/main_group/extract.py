"""Extract the structures of main_group from the benchmark files of matcalc; once, the result comes with the package.

    python -m mfbench.benchmarks.labelling.main_group.extract FOLDER

FOLDER has `mp-binary-pbe-elasticity-2025.1.json.gz` (structures and elastic moduli of the Materials Project) and
`MatPES-PBE-Element-Refs.json.gz` of the repository materialsvirtuallab/matcalc. Written is `data/structures.extxyz`.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.spacegroup import crystal

from mfbench.benchmarks.labelling.main_group.structures import ELEMENTS, LARGEST, STRUCTURES
from mfbench.mfcore.data.frames import write_frames
from mfbench.mfcore.data.structures import frame_of_item
from mfbench.mfcore.errors import DataError

BINARIES = "mp-binary-pbe-elasticity-2025.1.json.gz"
REFERENCES = "MatPES-PBE-Element-Refs.json.gz"


def extract(folder: Path) -> list[Atoms]:
    """Give the elements, and the binary compounds of two of them with at most `LARGEST` atoms, in the file's order.

    Raises
    ------
    DataError
        If a file is missing or is not what is expected.
    """
    elements = _read(folder / REFERENCES)
    return [*_elements(elements, folder / REFERENCES), *_binaries(_read(folder / BINARIES), folder / BINARIES)]


def _read(path: Path) -> Any:
    try:
        return json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"no gzipped JSON ({error}).", file=path, hint=str(__doc__).splitlines()[-2]) from None


def _elements(references: Mapping[str, Any], path: Path) -> Iterator[Atoms]:
    small = {"P": black_phosphorus(), "S": rhombohedral_sulphur(), "Se": grey_selenium()}
    for element in ELEMENTS:
        if element not in references:
            raise DataError("no such element in the file.", file=path, key=element)
        document = references[element]
        atoms = small.get(element)
        source = "experimental structure, see README.md"
        if atoms is None:
            atoms, source = frame_of_item(document["structure"], path, 0), str(document["matpes_id"])
        atoms.info = {"structure_id": f"{element}-element", "source": source}
        yield atoms


def _binaries(documents: list[dict[str, Any]], path: Path) -> Iterator[Atoms]:
    for index, document in enumerate(documents):
        symbols = [site["species"][0]["element"] for site in document["structure"]["sites"]]
        if len(symbols) > LARGEST or len(set(symbols)) != 2 or not set(symbols) <= set(ELEMENTS):
            continue
        atoms = frame_of_item(document["structure"], path, index)
        atoms.info = {
            "structure_id": document["mp_id"],
            "source": document["mp_id"],
            "bulk_modulus_vrh_mp_gpa": float(document["bulk_modulus_vrh"]),
            "shear_modulus_vrh_mp_gpa": float(document["shear_modulus_vrh"]),
        }
        yield atoms


def black_phosphorus() -> Atoms:
    """Primitive cell of 4 atoms (A. Brown and S. Rundqvist, Acta Cryst. 19, 684, 1965)."""
    cell = [3.3136, 10.478, 4.3763, 90, 90, 90]
    return crystal("P", [(0, 0.10168, 0.08056)], spacegroup=64, cellpar=cell, primitive_cell=True)


def rhombohedral_sulphur() -> Atoms:
    """Primitive cell of one S6 ring (J. Donohue, A. Caron and E. Goldish, J. Am. Chem. Soc. 83, 3748, 1961)."""
    cell = [10.818, 10.818, 4.280, 90, 90, 120]
    return crystal("S", [(0.1454, 0.1882, 0.1055)], spacegroup=148, cellpar=cell, primitive_cell=True)


def grey_selenium() -> Atoms:
    """Cell of 3 atoms (P. Cherin and P. Unger, Inorg. Chem. 6, 1589, 1967)."""
    return crystal("Se", [(0.2254, 0, 1 / 3)], spacegroup=152, cellpar=[4.3662, 4.3662, 4.9536, 90, 90, 120])


if __name__ == "__main__":
    write_frames(STRUCTURES, extract(Path(sys.argv[1])))
