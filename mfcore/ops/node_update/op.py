"""What happens to each atom between two convolutions: linear maps, self-connection, gate, and the next linear maps.

With messages M, features F and W the matrices, in each irrep k ::

    o_k  = s M_k Wout_k + F_j Wsc_k[species] + a_k    (a: rows that are added to the scalars; s: a constant)
    F'_0 = γ silu(o_0)                                in the channels that go on
    F'_k = γ silu(gates of k) o_k                     for l > 0; the gates are the other channels of o_0
    F'_k = τ tanh(o_k)                                for pseudoscalars
    X_k  = F'_k Win_k                                 the inputs of the next convolution

F'_k are the results and X_k the mixed features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, update_kernels
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups, species_linear
from mfbench.mfcore.ops.node_update.tf32 import tf32_product

# second-moment normalisation of the activations under a unit normal input, as e3nn.math.normalize2mom
GATE_SCALE = 1.6791767675
PSEUDOSCALAR_SCALE = 1.5927869


def silu(x: Tensor) -> Tensor:
    """SiLU scaled so that a unit-variance input keeps its second moment."""
    return torch.nn.functional.silu(x) * GATE_SCALE


class UpdateIrrep(NamedTuple):
    """Sizes of one irrep: 2l+1, channels of messages, sums o and results, and of the connected features (0: none)."""

    components: int
    messages: int
    sums: int
    results: int
    connected: int


@dataclass(frozen=True)
class UpdateShape:
    """Which irreps come out of a layer, and what happens to them.

    Attributes
    ----------
    irreps
        Sizes of each irrep of messages and of results.
    connections
        (k, j) of each self-connection: from incoming irrep j to outgoing irrep k.
    gates
        (k, first, last) columns of the scalars that gate irrep k.
    pseudoscalars
        Irreps that go through tanh.
    mixes
        Whether there is a next convolution, and so Win.
    """

    irreps: tuple[UpdateIrrep, ...]
    connections: tuple[tuple[int, int], ...]
    gates: tuple[tuple[int, int, int], ...]
    pseudoscalars: tuple[int, ...]
    mixes: bool

    @cached_property
    def n_out(self) -> int:
        """Number of irreps of messages and of results."""
        return len(self.irreps)

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Numbers of irreps and of connections."""
        return len(self.irreps), len(self.connections)

    @property
    def width(self) -> int:
        """Scalars that go on; the other channels of the scalars are gates."""
        return self.irreps[0].results


class Matrices(NamedTuple):
    """Matrices of an update, or gradients with respect to them.

    Attributes
    ----------
    outward
        Wout, (messages, sums) of each irrep.
    connecting
        Wsc, (connected, n_species · sums) of each connection.
    inward
        Win, (results, results) of each irrep, or none.
    """

    outward: Sequence[Tensor]
    connecting: Sequence[Tensor]
    inward: Sequence[Tensor]


class UpdateInputs(NamedTuple):
    """What an update works on; or gradients with respect to it, or a direction, where None is no place or zero.

    Attributes
    ----------
    messages
        (A, 2l+1, channels) for each irrep.
    features
        (A, 2l+1, channels) for each connection.
    added
        (A, 1, sums) to the scalars, or none.
    """

    messages: Sequence[Tensor | None]
    features: Sequence[Tensor | None]
    added: Tensor | None


class UpdateCall(NamedTuple):
    """What all passes of an update share; see the head of this module.

    Attributes
    ----------
    shape
        Irreps.
    scale
        s.
    groups
        The atoms by species.
    matrices
        W.
    tf32
        Multiply in TF32, see :mod:`mfbench.mfcore.ops.node_update.tf32`; this is done by plain torch.
    """

    shape: UpdateShape
    scale: float
    groups: SpeciesGroups
    matrices: Matrices
    tf32: bool = False


class Updated(NamedTuple):
    """What an update gives: o_k, F'_k and X_k, one (A, 2l+1, channels) for each irrep."""

    sums: list[Tensor]
    results: list[Tensor]
    mixed: list[Tensor]


def update_reference(
    call: UpdateCall, messages: Sequence[Tensor], features: Sequence[Tensor], added: Tensor | None
) -> Updated:
    """The update in plain torch: any device and dtype, and any order of derivative.

    Parameters
    ----------
    call
        What to do.
    messages
        (A, 2l+1, channels) for each irrep.
    features
        (A, 2l+1, channels) for each connection.
    added
        (A, 1, sums) to the scalars, or none.
    """
    shape, scale, groups, matrices, tf32 = call
    product: Callable[[Tensor, Tensor], Tensor] = tf32_product if tf32 else torch.matmul
    out = [product(message, weight * scale) for message, weight in zip(messages, matrices.outward, strict=True)]
    if added is not None:
        out[0] = out[0] + added
    for (k, _), feature, weight in zip(shape.connections, features, matrices.connecting, strict=True):
        connected = groups.chosen(product(feature, weight)) if tf32 else species_linear(feature, weight, groups)
        out[k] = out[k] + connected
    activated = silu(out[0])
    results = list(out)
    results[0] = activated[:, :, : shape.width] if shape.gates else activated
    for k, first, last in shape.gates:
        results[k] = out[k] * activated[:, :, first:last]
    for k in shape.pseudoscalars:
        results[k] = torch.tanh(out[k]) * PSEUDOSCALAR_SCALE
    mixed = [product(x, weight) for x, weight in zip(results, matrices.inward, strict=True)] if shape.mixes else []
    return Updated(out, results, mixed)


def update(
    call: UpdateCall,
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    added: Tensor | None,
    backend: Backend = "auto",
) -> tuple[list[Tensor], list[Tensor]]:
    """Results and mixed features, by kernels where the backend has them; arguments as of :func:`update_reference`.

    All first and second derivatives are right in every backend, third ones only in the reference.
    """
    kernels = None if call.tf32 else update_kernels(messages[0].device, messages[0].dtype, backend)
    if kernels is None:
        _, results, mixed = update_reference(call, messages, features, added)
        return results, mixed
    from mfbench.mfcore.ops.node_update.autograd import update_fused

    return update_fused(kernels, call, messages, features, added)
