"""A frozen core as one graph of torch.export, to be stored and run without the code that made it.

The registered operations have to be there: ``import mfbench.mfcore.cores.equivariant.inference.export`` before a stored
program is loaded, and kernels of the same kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mfbench.mfcore.cores.equivariant.inference.core import FrozenCore
from mfbench.mfcore.data.batch import Batch

_INPUTS = ("species", "positions", "sender", "receiver", "row_pointer", "shift", "frame", "n_atoms", "volume")


class FrozenModule(nn.Module):
    """A frozen core as a function of tensors.

    Parameters
    ----------
    frozen
        Network of one fidelity.
    """

    def __init__(self, frozen: FrozenCore) -> None:
        super().__init__()
        self._frozen = frozen

    def forward(
        self,
        species: Tensor,
        positions: Tensor,
        sender: Tensor,
        receiver: Tensor,
        row_pointer: Tensor,
        shift: Tensor,
        frame: Tensor,
        n_atoms: Tensor,
        volume: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energies (B,) eV without reference energies, forces (A, 3) eV/Å and stress (B, 3, 3) eV/Å³ of a graph.

        Arguments as the attributes of :class:`~mfbench.mfcore.data.batch.Batch`.
        """
        graph = (species, positions, sender, receiver, row_pointer, shift, frame, n_atoms, volume)
        output = self._frozen(
            Batch(*graph, fidelity=n_atoms, energy=volume, forces=positions, stress=volume), True, True
        )
        assert output.forces is not None
        assert output.stress is not None
        return output.energy, output.forces, output.stress


def inputs_of(batch: Batch) -> tuple[Tensor, ...]:
    """The tensors of a batch that a :class:`FrozenModule` takes."""
    return tuple(getattr(batch, name) for name in _INPUTS)


def export(frozen: FrozenCore, batch: Batch) -> torch.export.ExportedProgram:
    """The network as a program for any numbers of atoms, edges and frames.

    Parameters
    ----------
    frozen
        Network of one fidelity, with kernels on its device.
    batch
        Any graph of several frames, in its dtype and on its device.

    Returns
    -------
    torch.export.ExportedProgram
        Its ``module()`` is called like :class:`FrozenModule`.

    Raises
    ------
    ConfigError
        If the backend has no kernels for the network.
    """
    given = inputs_of(batch)
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in given)
    with torch.no_grad():
        return torch.export.export(FrozenModule(frozen), given, dynamic_shapes=shapes, strict=False)
