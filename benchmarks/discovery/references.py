"""Energies of the elements, which energies of formation are relative to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms

from mfbench.benchmarks.discovery.materials import unpacked
from mfbench.mfcore.data.formats import atoms_of_pymatgen
from mfbench.mfcore.data.read import read_structures
from mfbench.mfcore.errors import DataError

if TYPE_CHECKING:
    from mfbench.benchmarks.discovery.relaxations import Relaxed
    from mfbench.mfcore.potentials.potential import Potential

EXPECTED = (
    "Expected Matbench Discovery's mp-elemental-reference-entries.json.gz (energies), or structures of the elements "
    "(matcalc's Element-Refs.json.gz, or frames), which the potential relaxes."
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
    if ".json" in path.name.lower():
        try:
            content: Any = json.loads(unpacked(path))
        except ValueError as error:
            raise DataError(f"no JSON ({str(error)[:120]}).", file=path, hint=EXPECTED) from None
        if not isinstance(content, dict):
            raise DataError("expected a mapping of elements.", file=path, hint=EXPECTED)
        for index, (element, entry) in enumerate(content.items()):
            if isinstance(entry, dict) and isinstance(entry.get("structure"), dict) and "composition" not in entry:
                structures[element] = [atoms_of_pymatgen(entry["structure"], path, index)]
            else:
                energies[element] = _energy(entry, element, path)
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


def _energy(entry: Any, element: str, path: Path) -> float:
    try:
        counts = {str(symbol): float(number) for symbol, number in entry["composition"].items()}
        if set(counts) != {element}:
            raise ValueError("its composition is another one")
        return (float(entry["energy"]) + float(entry.get("correction", 0.0))) / counts[element]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"no entry of an element ({error}).", file=path, key=element, hint=EXPECTED) from None


def element_energies(
    references: References, needed: Collection[str], potential: Potential, fidelity: str, *, fmax: float, max_steps: int
) -> dict[str, float]:
    """Energies of the needed elements in eV/atom; of structures, the lowest after relaxation with the potential.

    An element that the potential does not know, or whose relaxations all fail, has none.
    """
    from ase.data import atomic_numbers

    from mfbench.benchmarks.discovery.materials import Material
    from mfbench.benchmarks.discovery.relaxations import relaxed

    found = dict(references.energies_ev_per_atom)
    calculator = None
    for element, frames in references.structures.items():
        if element not in needed or atomic_numbers.get(element) not in potential.species:
            continue
        calculator = calculator or potential.calculator(fidelity)
        lines = [relaxed(Material(element, atoms), calculator, fmax, max_steps) for atoms in frames]
        energies = [line.energy_ev / line.n_atoms for line in lines if line.energy_ev is not None]
        if energies:
            found[element] = min(energies)
    return found


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
