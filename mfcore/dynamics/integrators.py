"""Steps of molecular dynamics, as functions of tensors in float64.

NVT is Langevin dynamics in the BAOAB splitting (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34): kick,
drift, Ornstein-Uhlenbeck, drift, kick. It costs one force evaluation a step as any other, becomes velocity Verlet at
zero friction, and of the usual splittings has the smallest error in the sampled positions: for a harmonic well none
at all, <x²> = kT/k at every stable time step. ASE's Langevin (Vanden-Eijnden and Ciccotti 2006) has an error of second
order there.
"""

from __future__ import annotations

import torch
from ase import units
from torch import Tensor


def kick(velocities: Tensor, forces: Tensor, masses: Tensor, time: float) -> Tensor:
    """Velocities after constant forces (A, 3) eV/Å acted on masses (A, 1) amu for a time in ASE's unit."""
    return velocities + forces * (time / masses)


class Langevin:
    """The middle of a BAOAB step: drift, friction and noise, drift.

    Parameters
    ----------
    time_step
        In ASE's unit of time.
    friction
        Rate in 1 / (ASE's unit of time).
    masses
        (A, 1) amu.
    temperatures
        (A, 1) K, that of each atom's replica.
    """

    def __init__(self, time_step: float, friction: float, masses: Tensor, temperatures: Tensor) -> None:
        self._half = 0.5 * time_step
        self._decay = float(torch.exp(torch.tensor(-friction * time_step, dtype=torch.float64)))
        self._width = torch.sqrt((1.0 - self._decay**2) * units.kB * temperatures / masses)

    def drift(self, positions: Tensor, velocities: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and velocities after A, O, A, with standard normal numbers (A, 3)."""
        positions = positions + self._half * velocities
        velocities = self._decay * velocities + self._width * noise
        return positions + self._half * velocities, velocities


def maxwell_boltzmann(noise: Tensor, masses: Tensor, temperatures: Tensor) -> Tensor:
    """Velocities (A, 3) of a canonical ensemble from standard normal numbers (A, 3)."""
    return noise * torch.sqrt(units.kB * temperatures / masses)


def without_momentum(velocities: Tensor, masses: Tensor, frame: Tensor, n_atoms: Tensor) -> Tensor:
    """Velocities relative to the centre of mass of each frame; a single atom keeps its own."""
    momentum = velocities.new_zeros(len(n_atoms), 3).index_add(0, frame, velocities * masses)
    mass = velocities.new_zeros(len(n_atoms), 1).index_add(0, frame, masses)
    drift = torch.where((n_atoms > 1)[:, None], momentum / mass, torch.zeros_like(momentum))
    return velocities - drift[frame]


def kinetic_energy(velocities: Tensor, masses: Tensor, frame: Tensor, n_frames: int) -> Tensor:
    """Kinetic energy of each frame, (B,) eV."""
    atomic = 0.5 * masses[:, 0] * velocities.square().sum(1)
    return velocities.new_zeros(n_frames).index_add(0, frame, atomic)
