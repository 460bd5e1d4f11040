"""The ASE calculator of any fitted potential."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mfbench.mfcore.data.periodic import repeated_volume
from mfbench.mfcore.data.validation import check_finite, check_geometry
from mfbench.mfcore.errors import ExtrapolationWarning
from mfbench.mfcore.memory import keep_freed_memory
from mfbench.mfcore.potentials.predictions import Predictor


class PotentialCalculator(Calculator):
    """Energy (eV), forces (eV/Å) and, for cells that repeat, stress (eV/Å³, Voigt) of one fidelity.

    Each direction is periodic or not as the atoms say: molecules, wires, slabs, crystals.

    Networks answer with the weights that they have when the calculator is made. Once each, a warning tells of atoms
    that are closer than those of any training frame, of surroundings that none has, and of a stress that is asked for
    but was never trained on (:class:`mfbench.mfcore.errors.ExtrapolationWarning`).

    Parameters
    ----------
    potential
        Fitted potential.
    fidelity
        One of its fidelities.
    base
        Calculator of the cheap level, for Δ-learning on labels.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        "energy",
        "free_energy",
        "forces",
        "stress",
    ]

    def __init__(self, potential: Predictor, fidelity: str, base: Calculator | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        keep_freed_memory()
        self.potential, self.fidelity, self.base = potential, fidelity, base
        self._frozen = None if fidelity in potential.delta_baseline else potential.freeze(fidelity)
        self._watch = (
            None if self._frozen is None else potential.watch(self._frozen.species, self._frozen.cutoff, fidelity)
        )
        self._stress_told = False

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As ASE's; the first time that the stress is asked for, it is told if none was trained on."""
        if name == "stress" and not self._stress_told:
            self._stress_told = True
            self.potential.check_stress(self.fidelity)
        return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute everything at once; called by ASE."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        assert isinstance(self.atoms, Atoms)
        if "numbers" in system_changes or "cell" in system_changes or "pbc" in system_changes:
            check_geometry(self.atoms)
        periodic = bool(np.isfinite(repeated_volume(self.atoms)))
        results: dict[str, Any] = {}
        if self._frozen is not None:
            batch = self._frozen.batch([self.atoms])
            found = self._frozen(batch, stress=periodic)
            for sentence in self._watch.look(batch) if self._watch is not None else ():
                warnings.warn(sentence, ExtrapolationWarning, stacklevel=2)
            assert found.forces is not None
            energy, forces, stress = float(found.energy[0]), found.forces.double().cpu().numpy(), found.stress
        else:  # labels of a cheaper level are added
            out = self.potential.predict([self.atoms], self.fidelity, stress=periodic, base=self.base)
            assert out.forces is not None
            energy, forces = float(out.energies[0]), out.forces[0]
            stress = None if out.stress is None else torch.from_numpy(out.stress)
        results |= {"energy": energy, "free_energy": energy, "forces": forces}
        check_finite(self.atoms, energy, forces)
        if periodic and stress is not None:
            results["stress"] = np.asarray(full_3x3_to_voigt_6_stress(stress[0].double().cpu().numpy()))
        self.results = results
