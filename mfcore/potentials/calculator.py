"""The ASE calculator of any fitted potential."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from mfbench.mfcore.data.periodic import repeated_volume
from mfbench.mfcore.data.validation import check_finite, check_geometry
from mfbench.mfcore.errors import DataError, ExtrapolationWarning
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
        self.check_changed(self.atoms, system_changes)
        (found,) = self.calculate_many([self.atoms])
        if isinstance(found, DataError):
            raise found
        self.results = found

    @staticmethod
    def check_changed(atoms: Atoms, system_changes: Sequence[str]) -> None:
        """Refuse atoms that cannot be, where more than their positions has changed.

        Raises
        ------
        DataError
            As :func:`mfbench.mfcore.data.validation.check_geometry`.
        """
        if "numbers" in system_changes or "cell" in system_changes or "pbc" in system_changes:
            check_geometry(atoms)

    def calculate_many(self, frames: Sequence[Atoms]) -> list[dict[str, Any] | DataError]:
        """Compute frames in one batch.

        Returns
        -------
        list
            Of each frame the results by ASE's names, or why there are none: energy or forces are not finite.
        """
        repeat = [bool(np.isfinite(repeated_volume(atoms))) for atoms in frames]
        if self._frozen is not None:
            batch = self._frozen.batch(frames)
            found = self._frozen(batch, stress=any(repeat))
            for sentence in self._watch.look(batch) if self._watch is not None else ():
                warnings.warn(sentence, ExtrapolationWarning, stacklevel=3)
            assert found.forces is not None
            energies = found.energy.cpu().numpy()
            forces = np.split(found.forces.double().cpu().numpy(), np.cumsum([len(a) for a in frames])[:-1])
            stress = None if found.stress is None else found.stress.double().cpu().numpy()
        else:  # labels of a cheaper level are added
            out = self.potential.predict(frames, self.fidelity, stress=any(repeat), base=self.base)
            assert out.forces is not None
            energies, forces, stress = out.energies, list(out.forces), out.stress
        made: list[dict[str, Any] | DataError] = []
        for number, atoms in enumerate(frames):
            energy = float(energies[number])
            results = {"energy": energy, "free_energy": energy, "forces": forces[number]}
            if repeat[number] and stress is not None:
                results["stress"] = np.asarray(full_3x3_to_voigt_6_stress(stress[number]))
            try:
                check_finite(atoms, energy, forces[number])
            except DataError as error:
                made.append(error)
            else:
                made.append(results)
        return made
