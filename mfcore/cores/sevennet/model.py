"""SevenNet (Park et al., JCTC 2024; multi-fidelity: Kim et al., JACS 2025) as a core."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mfbench.mfcore.core import LAST, READOUT, TRUNK, Checkpoint, Conditioning, CoreConfig
from mfbench.mfcore.cores.peer import ReadoutsCore
from mfbench.mfcore.cores.sevennet.checkpoint import Stored, named_files, stored, transfer, trust
from mfbench.mfcore.cores.sevennet.config import SevenNetConfig
from mfbench.mfcore.cores.sevennet.network import READOUTS, build, model_keys, run
from mfbench.mfcore.cores.starting_points import found_checkpoint
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
    package: ClassVar[str] = "sevenn"

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

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Checkpoint | None = None) -> float:
        """Cutoff in Å: the checkpoint's, or that of the settings."""
        assert isinstance(config, SevenNetConfig)
        keys = config.architecture if checkpoint is None else stored(checkpoint.path).keys
        return float(config.cutoff if keys is None else keys["cutoff"])

    @classmethod
    def find_checkpoint(cls, checkpoint: str) -> Checkpoint:
        """A checkpoint that comes with sevenn, by its name ("SevenNet-0", "SevenNet-MF-0:PBE"), or a file."""
        cls.check_installed()
        found = found_checkpoint(checkpoint, cls.name, named_files())
        return Checkpoint(found.path, stored(found.path).modality(found.part, Path(checkpoint).name))

    @classmethod
    def trust_checkpoint(cls, checkpoint: str) -> None:
        """Unpickle a checkpoint's file, and keep what is needed of it in the user's cache in a form without code."""
        cls.check_installed()
        trust(found_checkpoint(checkpoint, cls.name, named_files()).path)

    @classmethod
    def elements_of(cls, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Atomic numbers that a checkpoint was trained on."""
        return stored(checkpoint.path).elements

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
        """A network whose fidelities all start as one modality of the checkpoint; its shape goes before the settings'.

        Raises
        ------
        ConfigError
            If it lacks an element.
        """
        known: Stored = stored(checkpoint.path)
        known.check_elements(species, checkpoint.path)
        keys = known.keys | ({"use_bias_in_linear": True} if known.parts else {})
        own = SevenNetConfig(cutoff=keys["cutoff"], architecture=keys)
        made = cls(own, species, fidelities, conditioning, mean_neighbours)
        transfer(known, checkpoint.part, made.trunk, made.heads)
        made.take_energies(known, checkpoint.part)
        return made

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
