"""A core as a fixed function of one fidelity, for inference: faster, and with the same predictions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from mfbench.mfcore.core import CoreOutput
from mfbench.mfcore.cores.edge_gradient import output_of_edges
from mfbench.mfcore.cores.equivariant.inference.edges import Convolution, EdgePass, edge_pass
from mfbench.mfcore.cores.equivariant.inference.update import Kept, Operands, cotangents, evaluate, to_features
from mfbench.mfcore.cores.equivariant.layers import ConditionedReadout, Interaction
from mfbench.mfcore.cores.equivariant.network import Network
from mfbench.mfcore.cores.equivariant.zbl import ZBLRepulsion
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.activations import GATE_SCALE
from mfbench.mfcore.ops.edge_sums.op import edge_vectors
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.library import kernels_or_name
from mfbench.mfcore.ops.node_update.protocol import UpdateShape
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups
from mfbench.mfcore.ops.tracing import traced


@dataclass
class _Plan:
    """Tensors that depend on the species of a batch alone, so that molecular dynamics computes it once."""

    version: int
    groups: SpeciesGroups
    mixed: Tensor  # (A, 1, C) into the first convolution
    added: list[Tensor]  # by layer, (A, 1, W) to the scalars before the gate, or empty
    scale: Tensor  # (A,) eV
    shift: Tensor  # (A,) eV
    reference: Tensor  # (A,) eV, float64


@dataclass
class _Layer:
    """One interaction with copied weights.

    Attributes
    ----------
    shape
        Irreps.
    convolution
        Paths and radial weights.
    outward, connecting, inward
        Matrices of the node update; `inward` are those of the next layer.
    bias, added
        Fidelity rows of the next layer: of the inputs of its convolution (C,) and of its scalars (1, 1, W).
    """

    shape: UpdateShape
    convolution: Convolution
    outward: list[Tensor]
    connecting: list[Tensor]
    inward: list[Tensor]
    bias: Tensor | None
    added: Tensor | None


class FrozenCore:
    """One fidelity of a core, called like it: ``frozen(batch, forces, stress)``.

    The weights are copied; the fidelity's rows become biases, other heads are dropped, radial tables and what the
    species alone decide are computed once, and forces come from a backward pass written for this network. The
    fidelity index of a batch is not read. It cannot be differentiated.

    Parameters
    ----------
    core
        Network, on its device and in its dtype.
    fidelity
        One of its fidelities.
    species
        Atomic numbers in the order of the batches' species index, if it is not the core's; a part of its species.

    Attributes
    ----------
    species
        Atomic numbers, in the order of a batch's species index.
    cutoff
        Å; edges beyond it (a neighbour list with a skin) contribute nothing.
    device, dtype
        Of the batches that it takes.

    Raises
    ------
    ConfigError
        If the core does not know the fidelity or a species.
    """

    def __init__(self, core: Network, fidelity: str, species: Sequence[int] | None = None) -> None:
        self.species = core.species if species is None else tuple(species)
        if not set(self.species) <= set(core.species):
            raise ConfigError(f"species {self.species}: this network has {core.species}.")
        row, chosen = core.row(fidelity), [core.species.index(number) for number in self.species]
        self.fidelity, self.cutoff = fidelity, core.config.cutoff
        self.device, self.dtype = core.embedding.device, core.embedding.dtype
        self._lmax, self._backend, self._settings = core.config.lmax, core.config.backend, core.radial_settings
        self._repulsion = None
        if core.repulsion is not None:
            self._repulsion = ZBLRepulsion(self.species).to(self.device)
        with torch.inference_mode(False), torch.no_grad():
            layers = [layer for layer in core.layers if isinstance(layer, Interaction)]
            vector = core.fidelity_vector(fidelity)
            self._layers = [
                _frozen_layer(layer, following, vector, chosen) for layer, following in zip_longest(layers, layers[1:])
            ]
            self._n_matrices = layers[0].n_matrices
            index = torch.tensor(chosen, device=self.device)
            self._mixed, self._added = _start(layers[0], core.embedding, index, vector.view(1, 1, -1))
            hidden, out, self._bias_hidden, bias = _frozen_readout(core, row, vector)
            self._hidden, self._out = hidden.clone(), out.contiguous()
            self._scale = core.scale[row, chosen].to(self.dtype)
            self._shift = self._scale * bias + core.reference_shift[row, chosen].detach()
            self._reference = core.reference[row, chosen]
        self._plans: tuple[Tensor, _Plan] | None = None

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""
        total = torch.zeros(batch.n_frames, dtype=torch.float64, device=self.device)
        return total.index_add_(0, batch.frame, self._plan(batch.species).reference)

    @torch.no_grad()
    def __call__(self, batch: Batch, forces: bool = True, stress: bool = False) -> CoreOutput:
        """Energies without reference energies, forces and stress of a batch, see :class:`CoreOutput`.

        Parameters
        ----------
        batch
            Graph, in this dtype and on this device; its labels and fidelities are not read.
        forces, stress
            What to compute beside the energy.

        Raises
        ------
        ConfigError
            If the batch is of another dtype.
        """
        if batch.positions.dtype != self.dtype:  # kernels take addresses, and would read other numbers
            raise ConfigError(f"frozen network: expected a batch of {self.dtype}, got {batch.positions.dtype}.")
        keep = forces or stress
        edges = Edges(batch.positions.shape[0], batch.sender, batch.receiver, batch.row_pointer)
        kernels = kernels_or_name(self._backend, batch.positions, self._settings.mode == "table")
        vectors = edge_vectors(batch.positions, edges, batch.shift, kernels)
        convolutions = [layer.convolution for layer in self._layers]
        run = edge_pass(convolutions, vectors, edges, self._lmax, self._settings, kernels, keep)
        plan = self._plan(batch.species)
        energy, gradient = vectors.new_zeros(batch.n_frames), torch.zeros_like(vectors)
        if self._repulsion is not None:
            gradient = self._repel(batch, vectors, energy, keep)
        passes: list[tuple[Operands, Kept]] = []
        features: list[Tensor] = []
        mixed, added = [plan.mixed], plan.added
        for layer in self._layers:
            messages = run.messages(layer.convolution, mixed)
            operands = Operands(messages, features, added, layer.outward, layer.connecting, layer.inward)
            kept = evaluate(layer.shape, plan.groups, operands)
            features, mixed, added = kept.features, kept.mixed, [] if layer.added is None else [layer.added]
            if layer.bias is not None:
                mixed[0] += layer.bias
            if keep:
                passes.append((operands, kept))
        hidden = features[0].squeeze(1) @ self._hidden
        if self._bias_hidden is not None:
            hidden += self._bias_hidden
        atomic = torch.addcmul(plan.shift, torch.nn.functional.silu(hidden) @ self._out, plan.scale)
        energy.index_add_(0, batch.frame, atomic)
        if not keep:
            return CoreOutput(energy, None, None)
        for_hidden = torch.ops.aten.silu_backward(plan.scale[:, None] * self._out, hidden)
        self._back(run, plan, passes, (for_hidden @ self._hidden.T)[:, None, :])
        gradient = gradient.add_(run.gradient())
        return output_of_edges(energy, gradient, vectors, batch, edges, forces, stress, kernels)

    def _back(self, run: EdgePass, plan: _Plan, passes: list[tuple[Operands, Kept]], gradient: Tensor) -> None:
        """Go back through the layers, from the gradient of the last scalars (A, 1, C)."""
        for_features = [gradient]
        for_mixed: list[Tensor] = []
        while passes:
            layer = self._layers[len(passes) - 1]
            operands, kept = passes.pop()
            back = cotangents(layer.shape, kept, layer.inward, for_features, for_mixed)
            for_messages = [h.view(-1, h.shape[2]) @ w.T for h, w in zip(back, layer.outward, strict=True)]
            shaped = [g.view(m.shape) for g, m in zip(for_messages, operands.messages, strict=True)]
            for_mixed = run.back(shaped, with_inputs=len(passes) > 0)
            for_features = to_features(layer.shape, plan.groups, operands, back)

    def _repel(self, batch: Batch, vectors: Tensor, energy: Tensor, keep: bool) -> Tensor:
        """Add the repulsion of the nuclei to the energy; its gradient, (E, 3)."""
        assert self._repulsion is not None
        species = batch.species
        if traced():  # a graph has no place for a backward pass of its own
            length = vectors.norm(dim=1)
            ends = species.index_select(0, batch.sender), species.index_select(0, batch.receiver)
            energy.index_add_(0, batch.frame.index_select(0, batch.receiver), self._repulsion(length, *ends))
            slope: Tensor = self._repulsion.slope(length, *ends)
            made: Tensor = (slope / length)[:, None] * vectors
            return made
        inner = vectors.detach().requires_grad_(keep)
        with torch.set_grad_enabled(keep):
            pairs = self._repulsion(
                inner.norm(dim=1), species.index_select(0, batch.sender), species.index_select(0, batch.receiver)
            )
        energy.index_add_(0, batch.frame.index_select(0, batch.receiver), pairs.detach())
        return torch.autograd.grad(pairs, inner, torch.ones_like(pairs))[0] if keep else vectors

    def _plan(self, species: Tensor) -> _Plan:
        if traced():
            return self._plan_of(species, -1)
        version = -1 if species.is_inference() else species._version  # changes when the tensor is written to
        kept = self._plans
        if version >= 0 and kept is not None and kept[0] is species and kept[1].version == version:
            return kept[1]
        made = self._plan_of(species, version)
        self._plans = (species, made)
        return made

    def _plan_of(self, species: Tensor, version: int) -> _Plan:
        return _Plan(
            version,
            SpeciesGroups(species, 1 if self._n_matrices == 1 else len(self.species), whole=traced()),
            self._mixed.index_select(0, species),
            [] if self._added is None else [self._added.index_select(0, species)],
            self._scale.index_select(0, species),
            self._shift.index_select(0, species),
            self._reference.index_select(0, species),
        )


def _start(layer: Interaction, embedding: Tensor, species: Tensor, one_hot: Tensor) -> tuple[Tensor, Tensor | None]:
    """The beginning of the first layer for each species: (S, 1, C) and (S, 1, W)."""
    (mixed,), added = layer.start(embedding, torch.arange(len(embedding), device=embedding.device), one_hot)
    if layer.bias_out is not None:
        added = layer.bias_out(added, one_hot)
    if added is not None:  # rows of a fidelity are one row for all species
        added = added.expand(len(embedding), -1, -1).index_select(0, species)
    return mixed.index_select(0, species), added


def _frozen_layer(layer: Interaction, following: Interaction | None, vector: Tensor, species: list[int]) -> _Layer:
    """Copy a layer, with what the next one does before its convolution, for one fidelity and some species."""
    radial = copy.deepcopy(layer.radial).eval().requires_grad_(False)
    connecting = [w.detach() for w in layer.self_connection] if layer.shape.connections else []
    if layer.n_matrices > 1:
        connecting = [w.view(len(w), layer.n_matrices, -1)[:, species].reshape(len(w), -1) for w in connecting]
    bias = None if following is None else following.bias_in
    after = None if following is None else following.bias_out
    return _Layer(
        shape=layer.shape,
        convolution=Convolution(layer.instructions, radial, radial.table() if radial.mode == "table" else None),
        outward=[w.detach() * layer.scale for w in layer.linear_out],
        connecting=[w.clone() for w in connecting],
        inward=[] if following is None else [w.detach().clone() for w in following.linear_in],
        bias=None if bias is None else vector @ bias.weight.detach(),
        added=None if after is None else (vector @ after.weight.detach()).view(1, 1, -1),
    )


def _frozen_readout(core: Network, row: int, vector: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Hidden matrix (C, H), output weights (H,), bias of the hidden layer (H,) and of the output (), of a fidelity."""
    readout = core.readout
    none = core.embedding.new_zeros(()).detach()
    if isinstance(readout, ConditionedReadout):
        out = readout.out.detach().squeeze(1) * GATE_SCALE
        if readout.bias_hidden is None or readout.bias_out is None:
            return readout.hidden.detach(), out, None, none
        rows = vector @ readout.bias_hidden.weight.detach(), (vector @ readout.bias_out.weight.detach())[0]
        return readout.hidden.detach(), out, *rows
    columns = readout.out.shape[1]
    hidden = readout.hidden.detach()[:, row * columns : (row + 1) * columns]
    return hidden, readout.out.detach()[row] * GATE_SCALE, None, none
