"""A fitted potential as a model of torch-sim; needs torch-sim, see :mod:`mfbench.benchmarks.exports.torch_sim`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_sim.models.interface import ModelInterface

from mfbench.benchmarks.exports.moved import MovedAtoms
from mfbench.mfcore.errors import ConfigError


class TorchSimModel(ModelInterface):
    """Energies, forces and stress of a state of torch-sim, by one fidelity of a potential.

    Parameters
    ----------
    moved
        The fidelity as a function of tensors.
    dtype
        Of states and of what comes out; the networks compute in their own.
    compute_forces, compute_stress
        What comes out beside energies.
    """

    def __init__(
        self, moved: MovedAtoms, dtype: torch.dtype, compute_forces: bool = True, compute_stress: bool = True
    ) -> None:
        super().__init__()
        self.moved = moved
        self._device, self._dtype = moved.device, dtype
        self._compute_forces, self._compute_stress = compute_forces, compute_stress
        self._memory_scales_with = "n_atoms_x_density"

    @property
    def compute_stress(self) -> bool:
        """Say whether stress comes out."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        self._compute_stress = wanted

    @property
    def compute_forces(self) -> bool:
        """Say whether forces come out."""
        return self._compute_forces

    @compute_forces.setter
    def compute_forces(self, wanted: bool) -> None:
        self._compute_forces = wanted

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Evaluate all systems of a state at once.

        Parameters
        ----------
        state
            A `SimState`, or a dictionary with its `positions`, `cell` (vectors as columns), `atomic_numbers`, `pbc` and
            `system_idx`. `pbc` is a bool for all, or has a bool for each lattice vector, of all systems or of each.

        Returns
        -------
        dict
            `energy` (B,) eV, `forces` (A, 3) eV/Å, `stress` (B, 3, 3) eV/Å³ (positive under tension; NaN where nothing
            repeats).

        Raises
        ------
        DataError
            As :class:`~mfbench.benchmarks.exports.moved.MovedAtoms`.
        ConfigError
            If the atoms of a system do not stand together.
        """
        positions, cell = _of(state, "positions"), _of(state, "cell").reshape(-1, 3, 3).mT
        system, pbc = _of(state, "system_idx"), _of(state, "pbc")
        if system is None:
            system = torch.zeros(len(positions), dtype=torch.int64, device=positions.device)
        if bool((system.diff() < 0).any()):
            raise ConfigError("system_idx: expected the atoms of each system together, in the order of the cells.")
        n_atoms = torch.bincount(system, minlength=len(cell))
        directions = torch.as_tensor(True if pbc is None else pbc, dtype=torch.bool, device=positions.device)
        periodic = directions.expand(len(cell), 3)
        output = self.moved(
            positions,
            _of(state, "atomic_numbers"),
            n_atoms,
            cell,
            periodic,
            forces=self._compute_forces,
            stress=self._compute_stress,
        )
        found = {"energy": output.energy.to(self._dtype)}
        if output.forces is not None:
            found["forces"] = output.forces.to(self._dtype)
        if output.stress is not None:
            found["stress"] = output.stress.to(self._dtype)
        return {name: value.detach().clone() for name, value in found.items()}


def _of(state: Any, name: str) -> Any:
    """An entry of a state or a dictionary; None where there is none."""
    return state.get(name) if isinstance(state, dict) else getattr(state, name, None)
