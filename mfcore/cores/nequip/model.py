"""NequIP (Batzner et al., Nat. Commun. 2022) as a core."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import FIDELITY, LAST, READOUT, TRUNK, Conditioning, CoreConfig
from mfbench.mfcore.cores.nequip import network
from mfbench.mfcore.cores.nequip.config import NequIPConfig
from mfbench.mfcore.cores.peer import ReadoutsCore
from mfbench.mfcore.data.graphs import Batch


class NequIPCore(ReadoutsCore):
    """The network of the package nequip.

    Under "embedding" a learned vector of the fidelity stands beside that of the element, nequip's categorical embedding
    of a field of the graph; under "heads" each fidelity has a readout of its own, which nequip does not have.
    Parameters are those of :class:`mfbench.mfcore.core.Core`.
    """

    name: ClassVar[str] = "nequip"
    bytes_per_atom: ClassVar[float] = 6e5
    summary: ClassVar[str] = "NequIP, of the package nequip"
    Config: ClassVar[type[CoreConfig]] = NequIPConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "heads", "embedding")
    package: ClassVar[str] = "nequip"

    config: NequIPConfig

    def __init__(
        self,
        config: NequIPConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        self.check_installed()
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        n_embedded = len(self.fidelities) if conditioning == "embedding" else 0
        modules = network.build(config, self.species, n_embedded, self.mean_neighbours)
        first = modules.pop(network.READOUT)
        self.trunk = nn.ModuleDict(modules)
        count = len(self.fidelities) if conditioning == "heads" else 1
        self.readouts = nn.ModuleList([first, *(_another(first) for _ in range(count - 1))])

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Embeddings are the trunk's first part, each convolution a further one."""
        where, _, rest = parameter.partition(".")
        if where == "readouts":
            return (READOUT, LAST)
        layer = rest.removeprefix("layer").partition("_")[0]
        part = f"{TRUNK}.{int(layer) + 1 if layer.isdigit() else 0}"
        return (TRUNK, part, FIDELITY) if "categorical_graph_field" in rest else (TRUNK, part)

    def atomic_energies(self, batch: Batch, vectors: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Energies of atoms in units of their scales, (A,)."""
        data: dict[str, Tensor] = {
            "pos": batch.positions,
            "atom_types": batch.species,
            "edge_index": torch.stack([receiver, sender]),
            "edge_vectors": vectors,
            "edge_lengths": vectors.norm(dim=1),
            "batch": batch.frame,
            network.FIELD: batch.fidelity,
        }
        for module in self.trunk.values():
            casting: Any = module
            if hasattr(casting, "_output_dtype"):  # nequip's own of when it was built
                casting._output_dtype = vectors.dtype
            data = casting(data)
        answers: list[Tensor] = [readout(dict(data))["atomic_energy"] for readout in self.readouts]
        return self.own_answers(answers, batch)


def _another(readout: nn.Module) -> nn.Module:
    """A readout of the same kind with other random weights."""
    made = copy.deepcopy(readout)
    for parameter in made.parameters():
        nn.init.uniform_(parameter, -float(parameter.detach().abs().max()), float(parameter.detach().abs().max()))
    return made
