"""Energies of the elements, which energies of formation are relative to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms

from mfbench.mfcore.data.formats import is_json, json_of
from mfbench.mfcore.data.read import read_structures
from mfbench.mfcore.data.structures import frame_of_item, is_structure, structure_in
from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from mfbench.benchmarks.discovery.relaxations import Relaxed
    from mfbench.mfcore.potentials.potential import Potential

EXPECTED = (
    "Expected Matbench Discovery's mp-elemental-reference-entries.json.gz or a list of pymatgen's computed entries "
    "(energies), or structures of the elements (matcalc's Element-Refs.json.gz, pymatgen's, or frames), which the "
    "potential relaxes."
)


@dataclass(frozen=True)
class References:
    """Elements: their energies, or structures whose energies the potential is asked for.

    Attributes
    ----------
    energies_ev_per_atom
        By element, where the file has energies of a table of entries.
    structures
        By element, where it has structures; the energies in such a file are not used.
    """

    energies_ev_per_atom: Mapping[str, float]
    structures: Mapping[str, Sequence[Atoms]]


def read_references(path: Path) -> References:
    """Read a file of elements.

    Raises
    ------
    DataError
        If it has neither entries nor structures of elements.
    """
    if not path.is_file():
        raise DataError("there is no such file.", file=path, hint=EXPECTED)
    energies: dict[str, float] = {}
    structures: dict[str, list[Atoms]] = {}
    if is_json(path):
        content = json_of(path)
        items = content if isinstance(content, list) else list(content.values()) if isinstance(content, dict) else []
        names = list(content) if isinstance(content, dict) else [None] * len(items)
        for index, (name, item) in enumerate(zip(names, items, strict=True)):
            if isinstance(item, dict) and "composition" not in item and (is_structure(item) or structure_in(item)):
                frame = frame_of_item(item, path, index)
                structures.setdefault(name or frame.get_chemical_symbols()[0], []).append(frame)
            else:
                element, energy = _energy(item, name, path, index)
                energies[element] = min(energy, energies.get(element, energy))
    else:
        for atoms in read_structures(path):
            symbols = set(atoms.get_chemical_symbols())
            if len(symbols) == 1:
                structures.setdefault(symbols.pop(), []).append(atoms)
    odd = [name for name, frames in structures.items() if {name} != {s for a in frames for s in a.symbols}]
    if odd or not (energies or structures):
        found = f"'{odd[0]}' is of other elements" if odd else "no element is in it"
        raise DataError(f"{found}.", file=path, hint=EXPECTED)
    return References(energies, structures)


def _energy(entry: Any, name: str | None, path: Path, index: int) -> tuple[str, float]:
    """Element of an entry, and its energy with its corrections, eV/atom."""
    try:
        counts = {str(symbol): float(number) for symbol, number in entry["composition"].items()}
        (element,) = counts
        if name not in (None, element):
            raise ValueError("its composition is another one")
        return element, (float(entry["energy"]) + float(entry.get("correction") or 0.0)) / counts[element]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(
            f"no entry of an element ({error}).", file=path, frame=index, key=name or "", hint=EXPECTED
        ) from None


def element_energies(
    references: References, needed: Collection[str], potential: Potential, fidelity: str, *, fmax: float, max_steps: int
) -> dict[str, float]:
    """Energies of the needed elements in eV/atom; of structures, the lowest after relaxation with the potential.

    An element that the potential does not know, or whose relaxations all fail, has none.
    """
    from ase.data import atomic_numbers

    from mfbench.benchmarks.discovery.materials import Material
    from mfbench.benchmarks.discovery.relaxations import relaxed_here

    found = dict(references.energies_ev_per_atom)
    materials = [
        Material(element, atoms)
        for element, frames in references.structures.items()
        if element in needed and atomic_numbers.get(element) in potential.species
        for atoms in frames
    ]
    lowest: dict[str, float] = {}
    for line in relaxed_here(materials, potential, fidelity, fmax=fmax, max_steps=max_steps):
        if line.energy_ev is not None:
            energy = line.energy_ev / line.n_atoms
            lowest[line.material_id] = min(energy, lowest.get(line.material_id, energy))
    return found | lowest


def formation_energy_ev_per_atom(
    line: Relaxed, elements: Mapping[str, float], correction_ev_per_atom: float = 0.0
) -> float | None:
    """Energy of formation of a relaxed material; None where it, or an element of it, has no energy.

    Parameters
    ----------
    elements
        Energies of the elements, eV/atom.
    correction_ev_per_atom
        Added to the energy: the Materials Project's, for potentials that learnt energies without it.
    """
    symbols = Atoms(line.formula).get_chemical_symbols()
    if line.energy_ev is None or not set(symbols) <= set(elements):
        return None
    return line.energy_ev / line.n_atoms + correction_ev_per_atom - sum(elements[s] for s in symbols) / len(symbols)
