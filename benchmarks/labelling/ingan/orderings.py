"""Frames that observables of InGaN are scored on: relaxed orderings, and end members at several volumes."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from ase import Atoms
from ase.utils.structure_comparator import SymmetryEquivalenceCheck

from mfbench.benchmarks.labelling.gpaw.cells import relaxed
from mfbench.benchmarks.labelling.ingan.sample import N_CATIONS, ordering, wurtzite

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

VOLUMES = (0.94, 0.97, 1.0, 1.03, 1.06)
"""Of the end members, relative to the relaxed one."""

_LEVELS = "pbe+r2scan"


def orderings(potential: Potential) -> list[Atoms]:
    """Relax orderings of all compositions, and the end members at several volumes, with a potential.

    DFT single points at these geometries are the reference of mixing energies: to first order in what the potential's
    geometry is off, the energy is that of DFT's own minimum.

    Returns
    -------
    list of Atoms
        Kind "ordering": end members and all orders of the cell's cations between them that differ by symmetry, 22 in
        all. Kind "eos": end members, shape and positions relaxed at fixed volume. All to be labelled at both levels.
    """
    made = []
    for n_indium in range(N_CATIONS + 1):
        orders = _orders(n_indium)
        for number, order in enumerate(orders):
            atoms = relaxed(wurtzite(order), potential)
            atoms.info = {
                "structure_id": f"ingan-ordering-In{n_indium}-{number}",
                "group": f"ordering-In{n_indium}-{ordering(atoms)}",
                "kind": "ordering",
                "x_In": n_indium / N_CATIONS,
                "levels": _LEVELS,
            }
            made.append(atoms)
    for member, symbol in (("GaN", "Ga"), ("InN", "In")):
        ground = relaxed(wurtzite([symbol] * N_CATIONS), potential)
        for volume in VOLUMES:
            start = ground.copy()
            start.set_cell(ground.cell * volume ** (1 / 3), scale_atoms=True)
            atoms = relaxed(start, potential, fixed_volume=True)
            atoms.info = {
                "structure_id": f"ingan-eos-{member}-{round(100 * volume):03d}",
                "group": f"eos-{member}",
                "kind": "eos",
                "member": member,
                "x_In": float(symbol == "In"),
                "levels": _LEVELS,
            }
            made.append(atoms)
    return made


def _orders(n_indium: int) -> list[list[str]]:
    """Orders of a composition, one of each that are alike by symmetry."""
    same = SymmetryEquivalenceCheck()
    found: list[list[str]] = []
    for chosen in combinations(range(N_CATIONS), n_indium):
        order = ["In" if site in chosen else "Ga" for site in range(N_CATIONS)]
        if not any(same.compare(wurtzite(order), wurtzite(other)) for other in found):
            found.append(order)
    return found
