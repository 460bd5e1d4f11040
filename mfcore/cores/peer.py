"""Networks of other packages as cores: they are asked for energies of atoms, the rest is done as for our own."""

from __future__ import annotations

import copy
import io
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import Checkpoint, Conditioning, Core, CoreConfig, CoreOutput
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.cores.fused_products import used_by
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint
from mfbench.mfcore.cores.starting_points import found_checkpoint
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.edges import Edges


class PeerCore(Core):
    """A core whose atomic energies come from another package's network.

    Forces and stress are the gradient of its energies by the edge vectors, E0 and scales are outside of it in float64.
    Its settings have `architecture`, the keys of a checkpoint's network, which go before all others.

    Attributes
    ----------
    checkpoints
        Of the class: how those of the package are read.
    """

    checkpoints: ClassVar[type[PeerCheckpoint]]
    learning_rate_factor: ClassVar[float] = 3.0

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Checkpoint | None = None) -> float:
        """Cutoff in Å: the checkpoint's, or that of the settings."""
        kept: dict[str, Any] | None = getattr(config, "architecture")  # noqa: B009
        keys = kept if checkpoint is None else cls.checkpoints.read(checkpoint.path).keys
        return config.cutoff if keys is None else float(keys[cls.checkpoints.cutoff_key])

    @classmethod
    def find_checkpoint(cls, checkpoint: str) -> Checkpoint:
        """A file of the package, or the name of a checkpoint that comes with it; `:PART` may follow.

        Raises
        ------
        ConfigError
            If there is none, or it has several parts and none is chosen.
        """
        cls.check_installed()
        found = found_checkpoint(checkpoint, cls.name, cls.checkpoints.named_files())
        shown = Path(checkpoint).name.removesuffix(f":{found.part}" if found.part else "")
        return Checkpoint(found.path, cls.checkpoints.read(found.path).part(found.part, shown))

    @classmethod
    def trust_checkpoint(cls, checkpoint: str) -> None:
        """Unpickle a checkpoint's file, and keep what is needed of it in the user's cache in a form without code."""
        cls.check_installed()
        cls.checkpoints.trust(found_checkpoint(checkpoint, cls.name, cls.checkpoints.named_files()).path)

    @classmethod
    def elements_of(cls, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Atomic numbers that a checkpoint was trained on, ascending."""
        return cls.checkpoints.read(checkpoint.path).elements

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning,
        mean_neighbours: float,
    ) -> Self:
        """A network whose fidelities all start as one part of the checkpoint; its shape goes before the settings'.

        Raises
        ------
        ConfigError
            If it lacks an element.
        """
        known = cls.checkpoints.read(checkpoint.path)
        known.check_elements(species, checkpoint.path)
        own = cls.Config.model_validate({"cutoff": known.keys[known.cutoff_key], "architecture": known.architecture()})
        made = cls(own, species, fidelities, conditioning, mean_neighbours)
        made.take_weights(known, checkpoint.part)
        shift, scale = known.energies(checkpoint.part, made.species)
        for fidelity in made.fidelities:
            made.set_reference(fidelity, shift)
            made.set_scale(fidelity, scale)
        return made

    @abstractmethod
    def take_weights(self, known: Any, part: str) -> None:
        """Give all fidelities the network's function of one part of a checkpoint.

        Parameters
        ----------
        known
            Of the class `checkpoints`; the network has its architecture.
        part
            One of its parts, or empty.
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

    def register_elements(self, elements: Sequence[int]) -> None:
        """Keep, as the buffer `element`, the place that each species has among the elements of the network.

        Raises
        ------
        ConfigError
            If the network lacks one.
        """
        if odd := [number for number in self.species if number not in elements]:
            raise ConfigError(f"core '{self.name}': its architecture has no element {odd[0]}.")
        places = torch.tensor([elements.index(number) for number in self.species])
        self.register_buffer("element", places, persistent=False)

    @property
    def kernels(self) -> str:
        """Names of the kernels that have computed the tensor products, of another package or e3nn's, and the reason."""
        return used_by(self)

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


class ReadoutsCore(PeerCore):
    """A peer's core that has a readout for each fidelity under "heads", which its package does not have.

    Attributes
    ----------
    readouts
        One, or one of each fidelity.
    """

    readouts: nn.ModuleList

    def expand_heads(self) -> Self:
        """The same function with one readout per fidelity, all as the present one."""
        if self.conditioning != "none":
            return super().expand_heads()
        made = copy.deepcopy(self)
        made.conditioning = "heads"
        made.readouts = nn.ModuleList([copy.deepcopy(self.readouts[0]) for _ in self.fidelities])
        return made

    def own_answers(self, answers: Sequence[Tensor], batch: Batch) -> Tensor:
        """Answers of each atom's own readout, (A,), of those of all readouts, (A, 1) each."""
        if len(answers) == 1:
            return answers[0][:, 0]
        return torch.cat([*answers], dim=1).gather(1, self.atom_fidelity(batch)[:, None])[:, 0]


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
