"""MACE (Batatia et al., NeurIPS 2022) as a core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mfbench.mfcore.core import LAST, READOUT, TRUNK, Conditioning, CoreConfig
from mfbench.mfcore.cores.mace.checkpoint import PACKAGE, Stored, transfer
from mfbench.mfcore.cores.mace.config import MaceConfig
from mfbench.mfcore.cores.mace.heads import head_of, spread_head
from mfbench.mfcore.cores.mace.network import build, model_keys
from mfbench.mfcore.cores.peer import PeerCore
from mfbench.mfcore.cores.peer_checkpoint import PeerCheckpoint
from mfbench.mfcore.data.batch import Batch


class MaceCore(PeerCore):
    """The network of the package mace-torch; under "heads", its readouts have a head for each fidelity.

    Parameters are those of :class:`mfbench.mfcore.core.Core`.
    """

    name: ClassVar[str] = "mace"
    bytes_per_atom: ClassVar[float] = 1.5e6
    summary: ClassVar[str] = "MACE, of the package mace-torch"
    Config: ClassVar[type[CoreConfig]] = MaceConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none", "heads")
    package: ClassVar[str] = PACKAGE
    checkpoints: ClassVar[type[PeerCheckpoint]] = Stored

    config: MaceConfig
    element: Tensor
    numbers: Tensor

    def __init__(
        self,
        config: MaceConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        self.check_installed()
        super().__init__(config, species, fidelities, conditioning, mean_neighbours)
        keys = model_keys(config, self.species, self.mean_neighbours)
        self.register_elements(keys["elements"])
        self._n_heads = len(self.fidelities) if conditioning == "heads" else 1
        self.network = build(keys, self._n_heads)
        self.register_buffer("numbers", torch.tensor(keys["elements"]), persistent=False)

    def take_weights(self, known: Stored, part: str) -> None:
        """Give all fidelities the function of one head of a checkpoint."""
        transfer(known, part, self.network, self._n_heads)

    def expand_heads(self) -> Self:
        """The same function with one head per fidelity, all as the present one."""
        if self.conditioning != "none":
            return super().expand_heads()
        made = type(self)(self.config, self.species, self.fidelities, "heads", self.mean_neighbours)
        made = made.to(device=self.device, dtype=self.dtype)
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("network.readouts.")}
        made.load_state_dict(state, strict=False)
        spread_head(head_of(self._readouts, 1, 0), made._readouts, made._n_heads)
        made.train_offsets(self.reference_shift.requires_grad)
        return made

    @property
    def _readouts(self) -> Any:
        return self.network["readouts"]

    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Embeddings are the trunk's first part, each interaction with its product a further one."""
        _, part, rest = parameter.split(".", 2)
        if part == "readouts":
            return (READOUT, LAST) if "linear_1" not in rest else (READOUT,)
        layer = int(rest.partition(".")[0]) + 1 if part in ("interactions", "products") else 0
        return (TRUNK, f"{TRUNK}.{layer}")

    def atomic_energies(self, batch: Batch, vectors: Tensor, sender: Tensor, receiver: Tensor) -> Tensor:
        """Energies of atoms in units of their scales, (A,)."""
        network: Any = self.network
        species = one_hot(self.element.index_select(0, batch.species), len(self.numbers)).to(vectors.dtype)
        edges, lengths = torch.stack([sender, receiver]), vectors.norm(dim=1, keepdim=True)
        heads = self.atom_fidelity(batch) if self._n_heads > 1 else torch.zeros_like(batch.species)
        features = network["node_embedding"](species)
        attributes = network["spherical_harmonics"](-vectors)  # theirs point to the receiver
        radial, envelope = network["radial_embedding"](lengths, species, edges, self.numbers)
        kept = []
        for number, (interaction, product) in enumerate(zip(network["interactions"], network["products"], strict=True)):
            features, connected = interaction(
                node_attrs=species,
                node_feats=features,
                edge_attrs=attributes,
                edge_feats=radial,
                edge_index=edges,
                cutoff=envelope,
                first_layer=number == 0,
            )
            features = product(node_feats=features, sc=connected, node_attrs=species)
            kept.append(features)
        kept = kept[-len(network["readouts"]) :]
        energy = torch.zeros_like(species[:, 0])
        if "pair_repulsion_fn" in network:
            energy = energy + network["pair_repulsion_fn"](lengths, species, edges, self.numbers)
        for features, readout in zip(kept, network["readouts"], strict=True):
            energy = energy + readout(features, heads).gather(1, heads[:, None])[:, 0]
        return energy
