"""SevenNet (Park et al., JCTC 2024; multi-fidelity: Kim et al., JACS 2025) as a core."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mfbench.mfcore.core import LAST, READOUT, TRUNK, Conditioning, CoreConfig
from mfbench.mfcore.cores.peer import ReadoutsCore
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint
from mfbench.mfcore.cores.sevennet.checkpoint import PACKAGE, Stored, transfer
from mfbench.mfcore.cores.sevennet.config import SevenNetConfig
from mfbench.mfcore.cores.sevennet.network import READOUTS, build, model_keys, run
from mfbench.mfcore.data.batch import Batch


class SevenNetCore(ReadoutsCore):
    """The network of the package sevenn.

    Under "one_hot" the fidelity enters as sevenn's modality does (Kim et al., arXiv 2409.07947): by rows in both
    self-interactions of each layer and in the output block. Under "heads" each fidelity has an output block of its own,
    which sevenn does not have. Parameters are those of :class:`mfbench.mfcore.core.Core`.
    """

    name: ClassVar[str] = "sevennet"
    bytes_per_atom: ClassVar[float] = 8e5
    summary: ClassVar[str] = "SevenNet, of the package sevenn"
    Config: ClassVar[type[CoreConfig]] = SevenNetConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "one_hot", "heads")
    package: ClassVar[str] = PACKAGE
    checkpoints: ClassVar[type[PeerCheckpoint]] = Stored

    config: SevenNetConfig
    element: Tensor

    def __init__(
        self,
        config: SevenNetConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        self.check_installed()
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        keys = model_keys(config, self.species, self.mean_neighbours)
        self.register_elements(keys["elements"])
        # two at least: with one, sevenn would add its row to no input
        self._n_modalities = max(2, len(self.fidelities)) if conditioning == "one_hot" else 0
        modules = build(keys, self._n_modalities)
        self.trunk = nn.ModuleDict({name: module for name, module in modules.items() if name not in READOUTS})
        first = nn.ModuleDict({name: module for name, module in modules.items() if name in READOUTS})
        count = len(self.fidelities) if conditioning == "heads" else 1
        self.readouts = nn.ModuleList([first, *(_another(first) for _ in range(count - 1))])
        self._n_elements = len(keys["elements"])

    @property
    def heads(self) -> list[nn.ModuleDict]:
        """Output blocks: one, or one of each fidelity."""
        return [head for head in self.readouts if isinstance(head, nn.ModuleDict)]

    def take_weights(self, known: Stored, part: str) -> None:
        """Give all fidelities the function of one modality of a checkpoint."""
        transfer(known, part, self.trunk, self.heads)

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """The embedding of edges and elements is the trunk's first part, each interaction block a further one.

        Rows of the fidelity are parts of longer vectors and make no group.
        """
        where, _, rest = parameter.partition(".")
        if where == "readouts":
            last = rest.partition(".")[2].startswith("reduce_hidden_to_energy")
            return (READOUT, LAST) if last else (READOUT,)
        layer = rest.partition("_")[0]
        return (TRUNK, f"{TRUNK}.{int(layer) + 1 if layer.isdigit() else 0}")

    def atomic_energies(self, batch: Batch, vectors: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Energies of atoms in units of their scales, (A,)."""
        species = one_hot(self.element.index_select(0, batch.species), self._n_elements).to(vectors.dtype)
        data = {
            "x": species,
            "node_attr": species,
            "edge_vec": vectors,
            "edge_index": torch.stack([receiver, sender]),
            "batch": batch.frame,
        }
        if self._n_modalities:
            data["modal_attr"] = one_hot(batch.fidelity, self._n_modalities).to(vectors.dtype)
        data = run(self.trunk, data)
        answers = [run(head, dict(data))["scaled_atomic_energy"] for head in self.heads]
        return self.own_answers(answers, batch)


def _another(readout: nn.ModuleDict) -> nn.ModuleDict:
    """An output block of the same kind with other random weights."""
    made = copy.deepcopy(readout)
    for parameter in made.parameters():
        if parameter.any():  # biases are zero
            nn.init.normal_(parameter)
    return made
