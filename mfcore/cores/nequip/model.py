"""NequIP (Batzner et al., Nat. Commun. 2022) as a core."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import FIDELITY, LAST, READOUT, TRUNK, Conditioning, CoreConfig
from mfbench.mfcore.cores.nequip import network
from mfbench.mfcore.cores.nequip.checkpoint import PACKAGE, Stored, transfer
from mfbench.mfcore.cores.nequip.config import NequIPConfig
from mfbench.mfcore.cores.peer import ReadoutsCore
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint
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
    package: ClassVar[str] = PACKAGE
    checkpoints: ClassVar[type[PeerCheckpoint]] = Stored

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

    def take_weights(self, known: Stored, part: str) -> None:
        """Give all fidelities the function of one value of the field that a checkpoint embeds."""
        for readout in self.readouts:
            transfer(known, part, {**self.trunk, **self.pair, network.READOUT: readout})

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
