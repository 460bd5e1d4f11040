"""MACE (Batatia et al. 2022): two layers and correlation 3, its usual depth and body order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network


class MACE(Contender):
    """E0: least squares ("average"); shift: mean residual per atom; scale: RMS force ("rms_forces_scaling")."""

    packages = ("mace-torch", "e3nn")
    n_layers = 2
    channels = 24  # its layers have fewer parameters per channel
    correlation = 3

    def __init__(self, network: Network, training: Labelled) -> None:
        from e3nn import o3
        from mace import modules
        from mace.tools import AtomicNumberTable

        species = training.species
        self._table, self._cutoff = AtomicNumberTable(species), network.cutoff
        counts = np.array([[np.count_nonzero(a.numbers == z) for z in species] for a in training.frames])
        energies, *_ = np.linalg.lstsq(counts, training.energies, rcond=None)
        residual = (training.energies - counts @ energies) / counts.sum(1)
        graphs = self._graphs(training.frames)
        n_edges = sum(graph.edge_index.shape[1] for graph in graphs)
        n_layers, channels = self.shape(network)
        highest = network.lmax if network.hidden_lmax is None else network.hidden_lmax
        degrees = o3.Irreps.spherical_harmonics(highest)
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        self.module = modules.ScaleShiftMACE(
            r_max=network.cutoff,
            num_bessel=network.n_bessel,
            num_polynomial_cutoff=6,
            max_ell=network.lmax,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=n_layers,
            num_elements=len(species),
            hidden_irreps=o3.Irreps([(channels, irrep) for _, irrep in degrees]),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=energies,
            avg_num_neighbors=n_edges / counts.sum(),
            atomic_numbers=species,
            correlation=self.correlation,
            gate=torch.nn.functional.silu,
            radial_MLP=list(network.radial_hidden),
            atomic_inter_scale=training.force_rms,
            atomic_inter_shift=float(residual.mean()),
        )

    def _graphs(self, frames: Sequence[Atoms]) -> list[Any]:
        from mace import data

        return [
            data.AtomicData.from_config(data.config_from_atoms(a), z_table=self._table, cutoff=self._cutoff)
            for a in frames
        ]

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """See :class:`Contender`."""
        from mace.tools.torch_geometric import Batch

        graphs = self._graphs(frames)

        def batch(numbers: Sequence[int]) -> dict[str, Any]:
            whole = Batch.from_data_list([graphs[n] for n in numbers]).to_dict()
            real = torch.get_default_dtype()
            return {k: v.to(real) if torch.is_tensor(v) and v.is_floating_point() else v for k, v in whole.items()}

        return batch

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        out = self.module(dict(batch), training=training)
        return out["energy"], out["forces"]
