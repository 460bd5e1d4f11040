"""Relaxed materials as computed structure entries of pymatgen, for phase diagrams and whatever else takes them."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms

from mfbench.benchmarks.discovery.materials import Material
from mfbench.benchmarks.discovery.relaxations import Relaxed
from mfbench.mfcore.data.structures import entry_of
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import write_bytes

ENDINGS = (".json", ".json.gz")


def check_name(path: Path) -> None:
    """Refuse a name that says another format.

    Raises
    ------
    ConfigError
        Says which are known.
    """
    if not path.name.lower().endswith(ENDINGS):
        raise ConfigError(f"--entries {path}: expected a name that ends with {' or '.join(ENDINGS)}.")


def write_entries(
    path: Path,
    materials: Sequence[Material],
    lines: Sequence[Relaxed],
    elements: Mapping[str, float],
    corrections: Mapping[str, float] | None = None,
) -> int:
    """Write the entries of relaxed materials, and an entry of each element, as JSON that monty's `loadfn` reads.

    Parameters
    ----------
    materials
        In the order of the entries; one without an energy has none.
    elements
        Energies of the elements, eV/atom.
    corrections
        By id, eV/atom: of an entry, beside its energy; a material without one has no entry.

    Returns
    -------
    int
        Number of materials that have an entry.
    """
    from pymatgen.entries.computed_entries import ComputedEntry

    found = {line.material_id: line for line in lines}
    entries = []
    for material in materials:
        line = found.get(material.id)
        shift = 0.0 if corrections is None else corrections.get(material.id)
        if line is None or line.energy_ev is None or shift is None:
            continue
        last = Atoms(material.atoms.numbers, positions=line.positions, cell=line.cell, pbc=material.atoms.pbc)
        entries.append(entry_of(last, line.energy_ev, material.id, shift * line.n_atoms))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # noble gases have no electronegativity
        pure = [ComputedEntry(element, energy, entry_id=f"element-{element}") for element, energy in elements.items()]
        content = json.dumps([entry.as_dict() for entry in (*entries, *pure)], default=float).encode()
    write_bytes(path, gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content)
    return len(entries)
