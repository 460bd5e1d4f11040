"""NequIP (Batzner et al., Nat. Commun. 2022) as a core."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import FIDELITY, LAST, READOUT, TRUNK, Checkpoint, Conditioning, CoreConfig
from mfbench.mfcore.cores.nequip import network
from mfbench.mfcore.cores.nequip.checkpoint import architecture, stored, transfer, trust
from mfbench.mfcore.cores.nequip.config import NequIPConfig
from mfbench.mfcore.cores.peer import ReadoutsCore
from mfbench.mfcore.cores.starting_points import found_checkpoint
from mfbench.mfcore.data.batch import Batch

ADDED = "fidelity_vectors"
"""Vectors that are added to those of elements, by fidelity, in a network that started from a checkpoint."""


class NequIPCore(ReadoutsCore):
    """The network of the package nequip.

    Under "embedding" a learned vector of the fidelity stands beside that of the element, nequip's categorical embedding
    of a field of the graph; under "heads" each fidelity has a readout of its own, which nequip does not have. A network
    that starts from a checkpoint has such a vector added to that of the element, which begins as zero: the checkpoint's
    function. Parameters are those of :class:`mfbench.mfcore.core.Core`.
    """

    name: ClassVar[str] = "nequip"
    bytes_per_atom: ClassVar[float] = 6e5
    summary: ClassVar[str] = "NequIP, of the package nequip"
    Config: ClassVar[type[CoreConfig]] = NequIPConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "heads", "embedding")
    package: ClassVar[str] = "nequip"

    config: NequIPConfig
    element: Tensor

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
        keys = network.model_keys(config, self.species, n_embedded, self.mean_neighbours)
        self.register_elements(keys["elements"])
        modules = network.build(keys)
        first = modules.pop(network.READOUT)
        pair = modules.pop(network.PAIR, None)
        self.pair = nn.ModuleDict({} if pair is None else {network.PAIR: pair})
        self.trunk = nn.ModuleDict(modules)
        count = len(self.fidelities) if conditioning == "heads" else 1
        self.readouts = nn.ModuleList([first, *(_another(first) for _ in range(count - 1))])
        self._own_field = n_embedded > 0 and config.architecture is None
        if n_embedded and not self._own_field:
            embedding: Any = self.trunk["type_embed"]
            self.register_parameter(ADDED, nn.Parameter(torch.zeros(n_embedded, embedding.embed_module.embedding_dim)))

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Checkpoint | None = None) -> float:
        """Cutoff in Å: the checkpoint's, or that of the settings."""
        assert isinstance(config, NequIPConfig)
        keys = config.architecture if checkpoint is None else stored(checkpoint.path).keys
        return float(config.cutoff if keys is None else keys["r_max"])

    @classmethod
    def find_checkpoint(cls, checkpoint: str) -> Checkpoint:
        """A file that nequip has written, with `:VALUE` behind its path where it embeds a field of the graph."""
        cls.check_installed()
        found = found_checkpoint(checkpoint, cls.name)
        return Checkpoint(found.path, stored(found.path).value(found.part, Path(found.path).name))

    @classmethod
    def trust_checkpoint(cls, checkpoint: str) -> None:
        """Unpickle a checkpoint's file, and keep what is needed of it in the user's cache in a form without code."""
        cls.check_installed()
        trust(found_checkpoint(checkpoint, cls.name).path)

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
        known = stored(checkpoint.path)
        known.check_elements(species, checkpoint.path)
        own = NequIPConfig(cutoff=known.keys["r_max"], architecture=architecture(known))
        made = cls(own, species, fidelities, conditioning, mean_neighbours)
        for readout in made.readouts:
            transfer(known, checkpoint.part, {**made.trunk, **made.pair, network.READOUT: readout})
        made.take_energies(known, checkpoint.part)
        return made

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Embeddings are the trunk's first part, each convolution a further one."""
        where, _, rest = parameter.partition(".")
        if where == "readouts":
            last = list(dict(self.readouts[0].named_parameters()))[-1]
            return (READOUT, LAST) if rest.partition(".")[2] == last else (READOUT,)
        if where in (ADDED, "pair"):
            return (TRUNK, f"{TRUNK}.0", FIDELITY) if where == ADDED else (TRUNK, f"{TRUNK}.0")
        layer = rest.removeprefix("layer").partition("_")[0]
        part = f"{TRUNK}.{int(layer) + 1 if layer.isdigit() else 0}"
        return (TRUNK, part, FIDELITY) if "categorical_graph_field" in rest else (TRUNK, part)

    def atomic_energies(self, batch: Batch, vectors: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Energies of atoms in units of their scales, (A,)."""
        data: dict[str, Tensor] = {
            "pos": batch.positions,
            "atom_types": self.element.index_select(0, batch.species),
            "edge_index": torch.stack([receiver, sender]),
            "edge_vectors": vectors,
            "edge_lengths": vectors.norm(dim=1),
            "batch": batch.frame,
            network.FIELD: batch.fidelity if self._own_field else torch.zeros_like(batch.fidelity),
        }
        for name, module in self.trunk.items():
            casting: Any = module
            if hasattr(casting, "_output_dtype"):  # nequip's own of when it was built
                casting._output_dtype = vectors.dtype
            data = casting(data)
            if name == "type_embed" and hasattr(self, ADDED):
                data = self._with_vectors(data, batch)
        answers: list[Tensor] = [readout(dict(data))["atomic_energy"] for readout in self.readouts]
        energy = self.own_answers(answers, batch)
        for repulsion in self.pair.values():  # in eV
            setattr(repulsion, "model_dtype", vectors.dtype)  # noqa: B010  of when it was built, too
            found: Tensor = repulsion({name: data[name] for name in data if name != "atomic_energy"})["atomic_energy"]
            energy = energy + found[:, 0] / self.scale[self.atom_fidelity(batch), batch.species].to(energy.dtype)
        return energy

    def _with_vectors(self, data: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Add the vectors of the fidelities to the first features of atoms, which are those of their elements."""
        added = getattr(self, ADDED)[self.atom_fidelity(batch)]
        for name in ("node_attrs", "node_features"):
            width = data[name].shape[1] - added.shape[1]  # behind them is what a checkpoint embeds
            data[name] = data[name] + nn.functional.pad(added, (0, width))
        return data


def _another(readout: nn.Module) -> nn.Module:
    """A readout of the same kind with other random weights."""
    made = copy.deepcopy(readout)
    for parameter in made.parameters():
        nn.init.uniform_(parameter, -float(parameter.detach().abs().max()), float(parameter.detach().abs().max()))
    return made
