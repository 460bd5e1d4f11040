"""NequIP (Batzner et al. 2022) as its package builds and compiles it, which no core does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ase import Atoms
from ase.data import chemical_symbols

from mfbench.benchmarks.performance.contenders.base import Batcher, Contender, Labelled, Network


class CompiledNequIP(Contender):
    """As its trainer compiles it; the first call with gradients and the first without take minutes.

    Shift: mean energy per atom; scale: RMS force; messages over the square root of the mean neighbour count.
    """

    packages = ("nequip", "e3nn")
    n_layers = 3
    channels = 16

    def __init__(self, network: Network, training: Labelled) -> None:
        from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
        from nequip.model import NequIPGNNModel
        from nequip.model.utils import override_model_compile_mode
        from nequip.nn.compile import CompileGraphModel
        from nequip.utils.global_state import set_global_state

        # NequIP insists on its global state, which resets the seed and makes float64 the default dtype
        seed = torch.initial_seed()
        set_global_state()
        torch.set_default_dtype(torch.float32)
        names = [chemical_symbols[z] for z in training.species]
        self._transforms = (
            ChemicalSpeciesToAtomTypeMapper(names),
            NeighborListTransform(r_max=network.cutoff),
        )
        graphs = self._graphs(training.frames)
        n_edges = sum(graph["edge_index"].shape[1] for graph in graphs)
        n_layers, channels = self.shape(network)
        with override_model_compile_mode("eager"):
            eager: Any = NequIPGNNModel(
                seed=seed,
                model_dtype="float32",
                type_names=names,
                r_max=network.cutoff,
                num_layers=n_layers,
                l_max=network.lmax,
                parity=False,
                num_features=channels,
                num_bessels=network.n_bessel,
                radial_mlp_depth=len(network.radial_hidden),
                radial_mlp_width=network.radial_hidden[0],
                avg_num_neighbors=n_edges / sum(len(a) for a in training.frames),
                per_type_energy_scales=training.force_rms,
                per_type_energy_shifts=dict.fromkeys(names, training.energy_per_atom),
            )
        self.module = CompileGraphModel(eager.model, model_input_fields=eager.model.irreps_in)
        self.module.train(eager.training)

    def _graphs(self, frames: Sequence[Atoms]) -> list[dict[str, torch.Tensor]]:
        from nequip.data.ase import from_ase

        graphs = []
        for atoms in frames:
            graph = from_ase(atoms)
            for transform in self._transforms:
                graph = transform(graph)
            graphs.append({k: v.float() if v.is_floating_point() else v for k, v in graph.items()})
        return graphs

    def prepare(self, frames: Sequence[Atoms]) -> Batcher:
        """See :class:`Contender`."""
        from nequip.data import AtomicDataDict

        graphs = self._graphs(frames)
        return lambda numbers: AtomicDataDict.batched_from_list([graphs[n] for n in numbers])

    def energy_forces(self, batch: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """See :class:`Contender`."""
        from nequip.data import AtomicDataDict as Keys

        self.module.train(training)
        out = self.module(dict(batch))
        return out[Keys.TOTAL_ENERGY_KEY].view(-1), out[Keys.FORCE_KEY]
