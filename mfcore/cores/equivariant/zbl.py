"""Screened nuclear repulsion of Ziegler, Biersack and Littmark (1985)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ase.data import covalent_radii
from ase.units import Bohr, Hartree
from torch import Tensor, nn

_EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)
_COEFFICIENTS = (0.1818, 0.5099, 0.2802, 0.02817)


class ZBLRepulsion(nn.Module):
    """Pair energies ``Z1 Z2 e²/(4πε0 r) φ(r/a)``, ``a = 0.8854 a0 / (Z1^0.23 + Z2^0.23)``.

    Ziegler, Biersack and Littmark, *The Stopping and Range of Ions in Solids* (1985), universal screening
    function. A polynomial envelope takes each pair to zero, with two derivatives, at the sum of the
    covalent radii, so that bonded distances are left to the network.

    Parameters
    ----------
    species
        Atomic numbers that the model knows.
    """

    numbers: Tensor
    radii: Tensor
    exponents: Tensor
    coefficients: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.tensor(species, dtype=torch.float64), persistent=False)
        radii = torch.tensor([covalent_radii[n] for n in species], dtype=torch.float64)
        self.register_buffer("radii", radii, persistent=False)
        self.register_buffer("exponents", torch.tensor(_EXPONENTS, dtype=torch.float64), persistent=False)
        self.register_buffer("coefficients", torch.tensor(_COEFFICIENTS, dtype=torch.float64), persistent=False)

    def forward(self, distances: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Half of the pair energy of each directed edge, eV, (E,).

        Parameters
        ----------
        distances
            (E,) Å.
        sender, receiver
            (E,) species index of the edge's atoms.
        """
        z1, z2, length, reach = self._constants(sender, receiver, distances.dtype)
        exponents, coefficients = self.exponents.to(distances.dtype), self.coefficients.to(distances.dtype)
        screening = (coefficients * torch.exp(-exponents * (distances / length)[:, None])).sum(1)
        x = distances / reach
        envelope = torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, torch.zeros_like(x))
        return 0.5 * Hartree * Bohr * z1 * z2 / distances * screening * envelope

    def slope(self, distances: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Derivative of :meth:`forward` with respect to the distances, eV/Å, (E,)."""
        z1, z2, length, reach = self._constants(sender, receiver, distances.dtype)
        exponents, coefficients = self.exponents.to(distances.dtype), self.coefficients.to(distances.dtype)
        parts = coefficients * torch.exp(-exponents * (distances / length)[:, None])
        screening, of_screening = parts.sum(1), -(exponents * parts).sum(1) / length
        x = distances / reach
        envelope = torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, torch.zeros_like(x))
        of_envelope = torch.where(x < 1, -168 * x**5 + 336 * x**6 - 168 * x**7, torch.zeros_like(x)) / reach
        change = of_screening * envelope + screening * of_envelope - screening * envelope / distances
        return 0.5 * Hartree * Bohr * z1 * z2 / distances * change

    def _constants(self, sender: Tensor, receiver: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each edge: Z of both atoms, screening length and reach of the envelope, Å."""
        z1, z2 = self.numbers[sender].to(dtype), self.numbers[receiver].to(dtype)
        reach = (self.radii[sender] + self.radii[receiver]).to(dtype)
        return z1, z2, 0.8854 * Bohr / (z1**0.23 + z2**0.23), reach
