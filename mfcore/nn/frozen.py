"""A core as a fixed function of one fidelity, for inference: faster, and with the same predictions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mfcore.data.graphs import Batch
from mfcore.errors import ConfigError
from mfcore.nn.convolution.convolve import convolve
from mfcore.nn.convolution.geometry import EdgeGeometry, edge_geometry
from mfcore.nn.convolution.paths import TensorProductPaths
from mfcore.nn.convolution.radial import RadialNetwork, RadialTable
from mfcore.nn.layers import GATE_SCALE, PSEUDOSCALAR_SCALE, ConditionedReadout, Interaction
from mfcore.nn.output import CoreOutput
from mfcore.nn.species_linear import SpeciesGroups, species_linear
from mfcore.nn.zbl import ZBLRepulsion

if TYPE_CHECKING:
    from mfcore.nn.core import EquivariantCore

_DIFFERENTIABLE = ("harmonics", "spline", "basis", "envelope")  # what depends on the vectors in an EdgeGeometry


@dataclass
class _Plan:
    """What depends on the species of a batch alone, so that molecular dynamics computes it once."""

    version: int
    groups: SpeciesGroups
    embedded: Tensor  # (A, 1, C) into the first convolution
    connected: Tensor  # (A, 1, W) self-connection of the first layer
    scale: Tensor  # (A,) eV
    shift: Tensor  # (A,) eV
    reference: Tensor  # (A,) eV, float64


@dataclass
class _Layer:
    """One interaction; constants of the activations before it are part of its matrices.

    Attributes
    ----------
    radial, table
        Radial network, and in table mode its table.
    linear_in, linear_out
        One matrix per irrep that comes in, or goes out.
    connection
        By outgoing irrep, which irrep comes in, and the matrices of the self-connection and their transposes.
    bias_in, bias_out
        Fidelity rows, (1, C).
    width
        Channels of the scalars that go on.
    gates
        By outgoing irrep, which columns of the scalars gate it.
    pseudoscalars
        Outgoing irreps that go through tanh.
    """

    paths: TensorProductPaths
    radial: RadialNetwork
    table: RadialTable | None
    linear_in: list[Tensor]
    linear_out: list[Tensor]
    connection: dict[int, tuple[int, Tensor, Tensor]]
    bias_in: Tensor | None
    bias_out: Tensor | None
    width: int
    gates: dict[int, slice]
    pseudoscalars: list[int]


@dataclass
class _Pass:
    """What the way back needs of one layer."""

    mixed: list[Tensor]
    messages: list[Tensor]
    out: list[Tensor]
    gate: Tensor


class FrozenCore:
    """One fidelity of an :class:`~mfcore.nn.core.EquivariantCore`, called like it: ``frozen(batch, forces, stress)``.

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

    def __init__(self, core: EquivariantCore, fidelity: str, species: Sequence[int] | None = None) -> None:
        if fidelity not in core.fidelities:
            raise ConfigError(f"fidelity '{fidelity}': this network has {', '.join(core.fidelities)}.")
        self.species = core.species if species is None else tuple(species)
        if not set(self.species) <= set(core.species):
            raise ConfigError(f"species {self.species}: this network has {core.species}.")
        row, chosen = core.fidelities.index(fidelity), [core.species.index(number) for number in self.species]
        self.fidelity, self.cutoff = fidelity, core.config.cutoff
        self.device, self.dtype = core.embedding.device, core.embedding.dtype
        self._lmax, self._backend, self._settings = core.config.lmax, core.config.backend, core.radial_settings
        self._repulsion = None
        if core.repulsion is not None:
            self._repulsion = ZBLRepulsion(self.species).to(self.device)
        with torch.inference_mode(False), torch.no_grad():
            self._layers: list[_Layer] = []
            gains = [1.0]
            for layer in core.layers:
                assert isinstance(layer, Interaction)
                self._layers.append(_frozen_layer(layer, gains, row, chosen))
                gains = [
                    PSEUDOSCALAR_SCALE if k in self._layers[-1].pseudoscalars else GATE_SCALE
                    for k in range(len(layer.output_layout))
                ]
            first = self._layers[0]
            embedding = core.embedding.detach()[chosen]
            self._embedded = embedding @ first.linear_in[0]
            if first.bias_in is not None:
                self._embedded = self._embedded + first.bias_in
            self._connected = self._first_connection(embedding, first)
            hidden, out, self._bias_hidden, bias = _frozen_readout(core, row)
            self._hidden, self._out = hidden * GATE_SCALE, out.contiguous()
            self._scale = core.scale[row, chosen].to(self.dtype)
            self._shift = self._scale * bias + core.reference_shift[row, chosen].detach()
            self._reference = core.reference[row, chosen]
        self._plans: tuple[Tensor, _Plan] | None = None

    def _first_connection(self, embedding: Tensor, layer: _Layer) -> Tensor:
        """Self-connection of the first layer's scalars by species, (S, W)."""
        width = layer.linear_out[0].shape[1]
        made = embedding.new_zeros(len(embedding), width)
        if 0 in layer.connection:
            index = torch.arange(len(embedding), device=embedding.device)
            groups = SpeciesGroups.of(index, len(embedding))
            made = _connect(embedding[:, None, :], layer.connection[0][1], width, groups).squeeze(1)
        return made if layer.bias_out is None else made + layer.bias_out

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
        """
        differentiate = forces or stress
        vectors = batch.positions.index_select(0, batch.sender)
        vectors = vectors.sub_(batch.positions.index_select(0, batch.receiver)).add_(batch.shift)
        vectors.requires_grad_(differentiate)
        with torch.set_grad_enabled(differentiate):
            geometry = edge_geometry(
                vectors,
                batch.sender,
                batch.receiver,
                batch.row_pointer,
                batch.positions.shape[0],
                self._lmax,
                self._settings,
                self._backend,
            )
        leaves = {name: getattr(geometry, name) for name in _DIFFERENTIABLE}
        leaves = {name: value for name, value in leaves.items() if value is not None and value.requires_grad}
        inner: dict[str, Any] = {name: value.detach().requires_grad_() for name, value in leaves.items()}
        plan = self._plan(batch.species)
        atomic, passes, hidden = self._forward(replace(geometry, **inner), plan, differentiate)
        energy = atomic.new_zeros(batch.n_frames).index_add_(0, batch.frame, atomic)
        pairs = None
        if self._repulsion is not None:
            with torch.set_grad_enabled(differentiate):
                pairs = self._repulsion(
                    vectors.norm(dim=1),
                    batch.species.index_select(0, batch.sender),
                    batch.species.index_select(0, batch.receiver),
                )
            energy = energy.index_add_(0, batch.frame.index_select(0, batch.receiver), pairs.detach())
        if not differentiate:
            return CoreOutput(energy, None, None)
        gradients = self._backward(plan, passes, hidden, list(inner.values()))
        ends, cotangents = list(leaves.values()), gradients
        if pairs is not None:
            ends, cotangents = [*ends, pairs], [*gradients, torch.ones_like(pairs)]
        (gradient,) = torch.autograd.grad(ends, vectors, cotangents)
        return CoreOutput.of_edges(energy, gradient, vectors.detach(), batch, forces, stress)

    def _plan(self, species: Tensor) -> _Plan:
        version = -1 if species.is_inference() else species._version  # changes when the tensor is written to
        kept = self._plans
        if version >= 0 and kept is not None and kept[0] is species and kept[1].version == version:
            return kept[1]
        made = _Plan(
            version,
            SpeciesGroups.of(species, len(self.species)),
            self._embedded.index_select(0, species)[:, None, :],
            self._connected.index_select(0, species)[:, None, :],
            self._scale.index_select(0, species),
            self._shift.index_select(0, species),
            self._reference.index_select(0, species),
        )
        self._plans = (species, made)
        return made

    def _forward(self, geometry: EdgeGeometry, plan: _Plan, keep: bool) -> tuple[Tensor, list[_Pass], Tensor]:
        """Energies of atoms (A,) eV, and what the way back needs."""
        features: list[Tensor] = []
        passes: list[_Pass] = []
        for number, layer in enumerate(self._layers):
            if number:
                mixed = [_linear(f, w) for f, w in zip(features, layer.linear_in, strict=True)]
                if layer.bias_in is not None:
                    mixed[0] += layer.bias_in
            else:
                mixed = [plan.embedded]
            for value in mixed:
                value.requires_grad_(keep and number > 0)
            with torch.set_grad_enabled(keep):
                weights = layer.radial(geometry) if layer.table is None else layer.table
                messages = convolve(layer.paths, mixed, geometry, weights, self._backend)
            out = []
            for k, (message, weight) in enumerate(zip(messages, layer.linear_out, strict=True)):
                added = plan.connected if number == 0 and k == 0 else None
                if number and k in layer.connection:
                    source, matrix, _ = layer.connection[k]
                    added = _connect(features[source], matrix, weight.shape[1], plan.groups)
                out.append(_linear(message, weight, added))
            if number and layer.bias_out is not None:
                out[0] += layer.bias_out
            gate = torch.nn.functional.silu(out[0])
            features = [
                value * gate[:, :, layer.gates[k]] if k in layer.gates else value for k, value in enumerate(out)
            ]
            features[0] = gate[:, :, : layer.width]
            for k in layer.pseudoscalars:
                features[k] = torch.tanh(out[k])
            if keep:
                passes.append(_Pass(mixed, messages, out, gate))
        hidden = features[0].squeeze(1) @ self._hidden
        if self._bias_hidden is not None:
            hidden += self._bias_hidden
        atomic = torch.addcmul(plan.shift, torch.nn.functional.silu(hidden) @ self._out, plan.scale)
        return atomic, passes, hidden

    def _backward(self, plan: _Plan, passes: list[_Pass], hidden: Tensor, geometry: list[Tensor]) -> list[Tensor]:
        """Gradients of the energy with respect to harmonics and radial inputs of the edges."""
        totals: list[Tensor] = []
        gradient = _silu_backward(plan.scale[:, None] * self._out, hidden) @ self._hidden.T
        for_features: list[Tensor | None] = [gradient[:, None, :]]
        for number in range(len(self._layers) - 1, -1, -1):
            layer, kept = self._layers[number], passes.pop()
            for_out = _gate_backward(layer, kept, for_features)
            cotangents = [_linear(g, w.T) for g, w in zip(for_out, layer.linear_out, strict=True)]
            inputs = [*geometry, *(kept.mixed if number else [])]
            grads = torch.autograd.grad(kept.messages, inputs, cotangents, allow_unused=True)
            found = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True)]
            for_geometry, for_mixed = found[: len(geometry)], found[len(geometry) :]
            totals = [a.add_(b) for a, b in zip(totals, for_geometry, strict=True)] if totals else for_geometry
            if number:
                back = [_linear(g, w.T) for g, w in zip(for_mixed, layer.linear_in, strict=True)]
                for k, (source, matrix, transposed) in layer.connection.items():
                    back[source] += _connect(for_out[k], transposed, matrix.shape[0], plan.groups)
                for_features = list(back)
        return totals


def _linear(x: Tensor, weight: Tensor, added: Tensor | None = None) -> Tensor:
    """(A, components, C) times (C, W), plus (A, components, W)."""
    rows = x.reshape(-1, x.shape[2])
    made = rows @ weight if added is None else torch.addmm(added.reshape(-1, weight.shape[1]), rows, weight)
    return made.view(x.shape[0], x.shape[1], -1)


def _connect(x: Tensor, weight: Tensor, width: int, groups: SpeciesGroups) -> Tensor:
    """Self-connection: one matrix (C, width), or one per species side by side."""
    return _linear(x, weight) if weight.shape[1] == width else species_linear(x, weight, groups)


def _silu_backward(cotangent: Tensor, x: Tensor) -> Tensor:
    """Gradient of SiLU, any shape."""
    made: Tensor = torch.ops.aten.silu_backward(cotangent.contiguous(), x)
    return made


def _gate_backward(layer: _Layer, kept: _Pass, for_features: list[Tensor | None]) -> list[Tensor]:
    """Gradients of what went into the gate, from those of what came out of it."""
    for_gate = torch.empty_like(kept.gate)
    made = [kept.gate] * len(kept.out)  # each is replaced below
    for k, value in enumerate(kept.out):
        gradient = for_features[k]
        if gradient is None:
            gradient = torch.zeros_like(value[:, :, : layer.width] if k == 0 else value)
        if k == 0:
            for_gate[:, :, : layer.width] = gradient
        elif k in layer.gates:
            columns = layer.gates[k]
            torch.sum(gradient * value, 1, keepdim=True, out=for_gate[:, :, columns])
            made[k] = gradient * kept.gate[:, :, columns]
        else:
            made[k] = torch.ops.aten.tanh_backward(gradient, torch.tanh(value))
    made[0] = _silu_backward(for_gate, kept.out[0])
    return made


def _frozen_layer(layer: Interaction, gains: Sequence[float], row: int, species: list[int]) -> _Layer:
    """Copy a layer for one fidelity and some species; `gains` are constants of the activations before it."""
    radial = copy.deepcopy(layer.radial).eval().requires_grad_(False)
    width = layer.output_layout[0][2]
    ends = [width]
    for columns in layer.gate_widths:
        ends.append(ends[-1] + columns)
    slices = [slice(first, last) for first, last in pairwise(ends)]
    connection, number = {}, 0
    for k, source in enumerate(layer.self_source):
        if source >= 0:
            blocks = (layer.self_connection[number].detach() * gains[source]).chunk(layer.n_matrices, 1)
            if layer.n_matrices > 1:
                blocks = tuple(blocks[index] for index in species)
            connection[k] = (source, torch.cat(blocks, 1), torch.cat([block.T for block in blocks], 1))
            number += 1
    return _Layer(
        paths=layer.paths,
        radial=radial,
        table=radial.table() if radial.mode == "table" else None,
        linear_in=[w.detach() * gain for w, gain in zip(layer.linear_in, gains, strict=True)],
        linear_out=[w.detach() * layer.scale for w in layer.linear_out],
        connection=connection,
        bias_in=None if layer.bias_in is None else layer.bias_in.weight.detach()[row].clone(),
        bias_out=None if layer.bias_out is None else layer.bias_out.weight.detach()[row].clone(),
        width=width,
        gates=dict(zip(layer.gated, slices, strict=True)),
        pseudoscalars=list(layer.pseudoscalars),
    )


def _frozen_readout(core: EquivariantCore, row: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Hidden matrix (C, H), output weights (H,), bias of the hidden layer (H,) and of the output (), of a fidelity."""
    readout = core.readout
    none = core.embedding.new_zeros(()).detach()
    if isinstance(readout, ConditionedReadout):
        out = readout.out.detach().squeeze(1) * GATE_SCALE
        if readout.bias_hidden is None or readout.bias_out is None:
            return readout.hidden.detach(), out, None, none
        rows = readout.bias_hidden.weight.detach()[row].clone(), readout.bias_out.weight.detach()[row, 0].clone()
        return readout.hidden.detach(), out, *rows
    columns = readout.out.shape[1]
    hidden = readout.hidden.detach()[:, row * columns : (row + 1) * columns]
    return hidden, readout.out.detach()[row] * GATE_SCALE, None, none
