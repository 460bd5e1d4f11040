"""HIP-NN (Chigaev et al. 2023), which is no network of spherical harmonics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network


class HipNN(Contender):
    """HIP-NN-TS (Chigaev et al. 2023) with quadrupole sensitivities: no spherical harmonics, but of like purpose.

    Its network takes pairs and leaves periodic images to the caller, so the pair vectors are made here. Where numba
    is installed it uses its kernels, as it does by default.
    """

    packages = ("hippynn", "numba")
    n_layers = 3
    channels = 32
    atom_layers = 3
    # twice the Bessel functions: its sensitivities are narrow bumps
    sensitivities_per_basis = 2
    soft_range = (1.0, 0.9)  # first midpoint in Å, last one as a share of the cutoff

    def __init__(self, network: Network, training: Labelled) -> None:
        import hippynn
        from hippynn.layers.targets import HEnergy
        from hippynn.networks.hipnn import HipnnQuad

        hippynn.settings.PROGRESS = None
        self._species, self._cutoff = training.species, network.cutoff
        n_layers, channels = self.shape(network)
        first, share = self.soft_range
        self._body = HipnnQuad(
            n_features=channels,
            n_sensitivities=self.sensitivities_per_basis * network.n_bessel,
            dist_soft_min=first,
            dist_soft_max=share * network.cutoff,
            dist_hard_max=network.cutoff,
            n_atom_layers=self.atom_layers,
            n_interaction_layers=n_layers,
            possible_species=[0, *self._species],
        )
        self._head = HEnergy(self._body.feature_sizes)
        self.module = torch.nn.ModuleList([self._body, self._head])

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """See :class:`Contender`."""
        from ase.neighborlist import neighbor_list

        graphs = []
        for atoms in frames:
            first, second, image = neighbor_list("ijS", atoms, self._cutoff)
            features = atoms.numbers[:, None] == np.array(self._species)[None, :]
            graphs.append((first, second, image @ np.asarray(atoms.cell), atoms.positions, features))

        def batch(numbers: Sequence[int]) -> dict[str, torch.Tensor]:
            chosen = [graphs[n] for n in numbers]
            sizes = np.array([len(graph[3]) for graph in chosen])
            starts = np.cumsum(sizes) - sizes
            real = torch.get_default_dtype()
            return {
                "first": torch.from_numpy(np.concatenate([g[0] + s for g, s in zip(chosen, starts, strict=True)])),
                "second": torch.from_numpy(np.concatenate([g[1] + s for g, s in zip(chosen, starts, strict=True)])),
                "shift": torch.from_numpy(np.concatenate([g[2] for g in chosen])).to(real),
                "positions": torch.from_numpy(np.concatenate([g[3] for g in chosen])).to(real),
                "features": torch.from_numpy(np.concatenate([g[4] for g in chosen])).to(real),
                "frame": torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)),
            }

        return batch

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        positions = batch["positions"].detach().requires_grad_(True)
        first, second = batch["first"], batch["second"]
        vectors = positions[second] - positions[first] + batch["shift"]
        features = self._body(batch["features"], first, second, vectors.norm(dim=1), vectors)
        n_frames = int(batch["frame"][-1]) + 1
        energies = self._head(features, batch["frame"], n_frames)[0].view(-1)
        (gradient,) = torch.autograd.grad(energies.sum(), positions, create_graph=training)
        return energies if training else energies.detach(), -gradient
