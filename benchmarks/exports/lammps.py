"""Fitted potentials in LAMMPS, as the callback of a `fix external`: any build with its Python module will do."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from mfbench.benchmarks.exports.moved import MovedAtoms, self_contained
from mfbench.mfcore.errors import ConfigError, MfbenchError
from mfbench.mfcore.potentials.potential import Potential

FloatArray = NDArray[np.float64]

#: The fix that the potential is the callback of.
FIX_ID = "mfbench"

_OFF = 0.5
"""u; a mass that is further from that of its element hints at another order of the types."""


class MassWarning(UserWarning):
    """An atom type of LAMMPS has not the mass of the element that it is said to be."""


class LammpsPotential:
    """One fidelity of a potential as the forces of a LAMMPS.

    LAMMPS is in `units metal`, on one process; parallel are the threads of torch, or a GPU. Atoms may have any order
    and images, boxes any shape, and both may move. The answer is the energy of all and its derivatives: there are no
    energies or virials of single atoms.

    Errors in a callback do not reach LAMMPS, which would go on: the run ends at its next step, no later run takes one,
    and :meth:`check` raises the error, which :func:`mfbench.benchmarks.exports.lammps_script.run_lammps` calls after
    every command.

    Parameters
    ----------
    source
        Potential, or the folder of one.
    elements
        Symbols of the atom types 1, 2, ….
    fidelity
        Which of its fidelities, or "high" / "low"; None is the target.
    device
        Where to compute; None: the GPU if there is one.
    precision
        Of the networks, "float32" or "float64"; None: that of the training.
    skin
        Of the neighbour lists, Å.

    Raises
    ------
    ConfigError
        If an element is none, or the potential does not answer for the fidelity by networks alone.
    """

    def __init__(
        self,
        source: Potential | str | Path,
        elements: Sequence[str],
        fidelity: str | None = None,
        *,
        device: torch.device | str | None = None,
        precision: str | None = None,
        skin: float = 1.0,
    ) -> None:
        if not elements or (odd := [e for e in elements if e not in atomic_numbers or not atomic_numbers[e]]):
            found = f"'{odd[0]}'" if elements else "none"
            raise ConfigError(f"elements: expected the symbols of the atom types 1, 2, ..., found {found}.")
        where = device if device is not None else "cuda" if torch.cuda.is_available() else "cpu"
        self.moved = MovedAtoms(self_contained(source, fidelity, device=where, precision=precision), skin)
        self.elements = list(elements)
        self._numbers = np.array([0, *(atomic_numbers[e] for e in elements)])
        self._fault: BaseException | None = None

    def attach(self, lmp: Any, fix_id: str = FIX_ID) -> None:
        """Become the callback of a `fix ID all external pf/callback 1 1`; made here where LAMMPS has none of this name.

        Parameters
        ----------
        lmp
            A `lammps.lammps` with a box and atom types.
        fix_id
            Name of the fix.

        Raises
        ------
        ConfigError
            If its units are others, it has several processes or more atom types than elements are named.

        Warns
        -----
        MassWarning
            If a type has not the mass of its element.
        """
        if (units := lmp.extract_global("units")) != "metal":
            raise ConfigError(f"LAMMPS: expected units metal, found {units}.")
        if (size := lmp.extract_setting("world_size")) != 1:
            raise ConfigError(f"LAMMPS: expected one process, found {size}; give threads (OMP_NUM_THREADS) or a GPU.")
        if (types := lmp.extract_setting("ntypes")) > len(self.elements):
            raise ConfigError(f"elements: LAMMPS has {types} atom types, named are {', '.join(self.elements)}.")
        if fix_id not in lmp.available_ids("fix"):
            lmp.command(f"fix {fix_id} all external pf/callback 1 1")
        lmp.command(f"fix_modify {fix_id} energy yes virial yes")
        self._compare_masses(lmp, types)
        self._fix_id = fix_id
        lmp.set_fix_external_callback(fix_id, self, lmp)

    def check(self) -> None:
        """Raise the error that has ended a run, if one has."""
        if self._fault is not None:
            raise self._fault

    def _compare_masses(self, lmp: Any, types: int) -> None:
        masses = lmp.numpy.extract_atom("mass")
        if masses is None:  # of single atoms
            return
        for kind, symbol in enumerate(self.elements[:types], start=1):
            known, found = atomic_masses[atomic_numbers[symbol]], float(masses.reshape(-1)[kind])
            if abs(found - known) > _OFF:
                warnings.warn(
                    f"LAMMPS: atom type {kind} is said to be {symbol} ({known:.2f} u) and has a mass of {found:.2f} u; "
                    "are the elements in the order of the types?",
                    MassWarning,
                    stacklevel=3,
                )

    def __call__(self, lmp: Any, step: int, n_local: int, tags: Any, x: FloatArray, f: FloatArray) -> None:
        """Set forces, energy and virial; called by LAMMPS."""
        try:
            if self._fault is None:
                self._evaluate(lmp, n_local, tags, x, f)
        except BaseException as error:  # nothing that is raised here would reach anyone
            self._fault = error
            if isinstance(error, MfbenchError) and not isinstance(error, ConfigError):
                error.add_note(f"at step {step} of LAMMPS")
        if self._fault is not None:
            f[:] = 0.0
            lmp.force_timeout()

    def _evaluate(self, lmp: Any, n_local: int, tags: Any, x: FloatArray, f: FloatArray) -> None:
        order = np.argsort(np.asarray(tags).reshape(-1))  # LAMMPS sorts atoms in space now and then
        types = lmp.numpy.extract_atom("type")[:n_local]
        low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
        lengths = np.subtract(high, low)
        cell = np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]])
        volume = float(lengths.prod())
        output = self.moved(
            torch.from_numpy(x[order]),
            torch.from_numpy(self._numbers[types[order]]),
            torch.tensor([n_local]),
            torch.from_numpy(cell)[None],
            torch.tensor([[bool(p) for p in periodic]]),
            volume=torch.tensor([volume], dtype=torch.float64, device=self.moved.device),
        )
        assert output.forces is not None
        assert output.stress is not None
        f[order] = output.forces.double().cpu().numpy()
        lmp.fix_external_set_energy_global(self._fix_id, float(output.energy[0]))
        virial = -volume * output.stress[0].double().cpu().numpy()
        parts = [virial[0, 0], virial[1, 1], virial[2, 2], virial[0, 1], virial[0, 2], virial[1, 2]]
        lmp.fix_external_set_virial_global(self._fix_id, parts)
