"""Networks of other packages as cores: they are asked for energies of atoms, the rest is done as for our own."""

from __future__ import annotations

import io
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import Core, CoreOutput
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.data.graphs import Batch
from mfbench.mfcore.ops.edges import Edges


class PeerCore(Core):
    """A core whose atomic energies come from another package's network.

    Forces and stress are the gradient of its energies by the edge vectors, E0 and scales are outside of it in float64.
    """

    def forward(
        self, batch: Batch, forces: bool = True, stress: bool = False, create_graph: bool = False
    ) -> CoreOutput:
        """Energies, forces and stress of a batch, see :class:`mfbench.mfcore.core.CoreOutput`.

        Parameters
        ----------
        batch
            Graph, in the core's dtype and on its device.
        forces, stress
            What to compute beside the energy.
        create_graph
            Keep the graph, so that a loss on forces or stress can be differentiated.
        """
        wanted = forces or stress
        vectors = batch.positions.index_select(0, batch.sender) - batch.positions.index_select(0, batch.receiver)
        vectors = (vectors + batch.shift).detach().requires_grad_(wanted)
        # their envelopes rise again beyond the cutoff, where a list with a skin has edges
        inside = torch.nonzero(vectors.detach().square().sum(1) < self.cutoff**2).flatten()
        with torch.set_grad_enabled(wanted or torch.is_grad_enabled()), default_dtype(self.dtype):
            ends = (batch.sender.index_select(0, inside), batch.receiver.index_select(0, inside))
            energy = self.frame_energies(self.atomic_energies(batch, vectors.index_select(0, inside), *ends), batch)
            if not wanted:
                return CoreOutput(energy, None, None)
            (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=create_graph, materialize_grads=True)
        energy = energy if create_graph else energy.detach()
        edges = Edges(batch.positions.shape[0], batch.sender, batch.receiver, batch.row_pointer)
        return output_of_edges(energy, gradient, vectors.detach(), batch, edges, forces, stress)

    @abstractmethod
    def atomic_energies(self, batch: Batch, vectors: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Energies of atoms in units of their scales, (A,).

        Parameters
        ----------
        batch
            Graph, for species, frames and fidelities.
        vectors
            (E, 3) Å, sender less receiver, of the pairs within the cutoff.
        sender, receiver
            (E,) atoms of these pairs.
        """

    def atom_fidelity(self, batch: Batch) -> Tensor:
        """Fidelity of each atom, (A,)."""
        return batch.fidelity.index_select(0, batch.frame)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Run code that makes tensors of torch's default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def quiet_building(evaluated: bool = True) -> Iterator[None]:
    """Build another package's network: without its messages, in float32, and without TorchScript.

    Compiled by TorchScript, the first evaluations of every new network take seconds. One that is never `evaluated` is
    built faster.
    """
    import e3nn

    before = e3nn.get_optimization_defaults()
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), default_dtype(torch.float32):
        warnings.simplefilter("ignore")
        e3nn.set_optimization_defaults(jit_script_fx=False, optimize_einsums=evaluated)
        try:
            yield
        finally:
            e3nn.set_optimization_defaults(**before)


def fix_constants(module: nn.Module) -> None:
    """Turn parameters that are no weights (their package never trains them) into buffers, in place."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(part, name)
                part.register_buffer(name, parameter.detach().clone())
