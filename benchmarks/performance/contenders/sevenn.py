"""SevenNet (Park et al. 2024) with its default interaction and self-connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network


class SevenNet(Contender):
    """Shift: mean energy per atom; scale: RMS force; messages over the mean neighbour count (all its defaults)."""

    packages = ("sevenn", "e3nn")
    n_layers = 3
    channels = 16

    def __init__(self, network: Network, training: Labelled) -> None:
        import sevenn._keys as key
        from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
        from sevenn.model_build import build_E3_equivariant_model

        self._cutoff = network.cutoff
        n_edges = sum(graph[key.EDGE_IDX].shape[1] for graph in self._graphs(training.frames))
        n_layers, channels = self.shape(network)
        species = training.species
        self.module = build_E3_equivariant_model(
            {
                **DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
                key.CUTOFF: network.cutoff,
                key.NODE_FEATURE_MULTIPLICITY: channels,
                key.LMAX: network.lmax,
                key.IS_PARITY: False,
                key.NUM_CONVOLUTION: n_layers,
                key.RADIAL_BASIS: {key.RADIAL_BASIS_NAME: "bessel", "bessel_basis_num": network.n_bessel},
                key.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: list(network.radial_hidden),
                key.CHEMICAL_SPECIES: species,
                key.NUM_SPECIES: len(species),
                key.TYPE_MAP: {z: i for i, z in enumerate(species)},
                key.SHIFT: training.energy_per_atom,
                key.SCALE: training.force_rms,
                key.CONV_DENOMINATOR: n_edges / sum(len(a) for a in training.frames),
                key.USE_MODALITY: False,
            }
        )

    def _graphs(self, frames: Sequence[Atoms]) -> list[Any]:
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph

        return [AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, self._cutoff)) for atoms in frames]

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """See :class:`Contender`."""
        from torch_geometric.loader.dataloader import Collater

        graphs, collate = self._graphs(frames), Collater([], None, None)
        return lambda numbers: collate([graphs[n] for n in numbers])

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        import sevenn._keys as key

        self.module.train(training)
        out = self.module(batch.clone())  # the model writes into its input
        return out[key.PRED_TOTAL_ENERGY].view(-1), out[key.PRED_FORCE]
