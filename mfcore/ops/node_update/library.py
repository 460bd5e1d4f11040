"""``mfbench::node_update`` and its gradient; see :mod:`mfbench.mfcore.ops.library`.

``mfbench::node_update_backward`` has no derivatives: a loss on forces is for eager code.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.names import Backend
from mfbench.mfcore.backends.select import kernels_for
from mfbench.mfcore.ops.library import missing
from mfbench.mfcore.ops.node_update.protocol import (
    Matrices,
    UpdateCall,
    UpdateInputs,
    UpdateIrrep,
    UpdateKernels,
    UpdateShape,
)
from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups

_MATRICES = "Tensor[] outward, Tensor[] connecting, Tensor[] inward"
_CALL = "Tensor species, int n_species, float scale, str shape, str backend"


def update_in_graph(
    call: UpdateCall, messages: Sequence[Tensor], features: Sequence[Tensor], added: Tensor | None, backend: Backend
) -> tuple[list[Tensor], list[Tensor]]:
    """As :func:`~mfbench.mfcore.ops.node_update.autograd.update_by_kernels`, as one node of a traced graph."""
    matrices = [list(group) for group in call.matrices]
    about = call.groups.species, call.groups.n_species, call.scale, call.shape.key, backend
    made = node_update_op(list(messages), list(features), added, *matrices, *about)
    n = len(call.shape.irreps)
    return list(made[1 : n + 1]), list(made[n + 1 :])


@cache
def _shape(key: str) -> UpdateShape:
    irreps, connections, gates, pseudoscalars, mixes = literal_eval(key)
    return UpdateShape(tuple(UpdateIrrep(*irrep) for irrep in irreps), connections, gates, pseudoscalars, mixes)


def _kernels(like: Tensor, backend: Backend) -> UpdateKernels:
    found = kernels_for(backend, like).update
    if found is None:
        raise missing("node_update", backend, like.device, like.dtype)
    return found


def _contiguous(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.contiguous() for tensor in tensors]


def _places(like: Tensor, atoms: int, shape: UpdateShape, backend: Backend) -> tuple[Tensor, list[Tensor]]:
    """Where sums, and where results and mixed features will be written."""
    sizes = [(atoms, i.components, i.results) for i in shape.irreps]
    sums = like.new_empty(atoms, _kernels(like, backend).row(shape))
    return sums, [like.new_empty(size) for size in [*sizes, *(sizes if shape.mixes else [])]]


@torch.library.custom_op(
    "mfbench::node_update",
    mutates_args=(),
    schema=f"(Tensor[] messages, Tensor[] features, Tensor? added, {_MATRICES}, {_CALL}) -> Tensor[]",
)
def node_update_op(
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    added: Tensor | None,
    outward: Sequence[Tensor],
    connecting: Sequence[Tensor],
    inward: Sequence[Tensor],
    species: Tensor,
    n_species: int,
    scale: float,
    shape: str,
    backend: Backend,
) -> list[Tensor]:
    """Sums in the rows of the kernels, results and mixed features, of :mod:`mfbench.mfcore.ops.node_update.op`."""
    known = _shape(shape)
    matrices = Matrices(_contiguous(outward), _contiguous(connecting), _contiguous(inward))
    call = UpdateCall(known, scale, SpeciesGroups(species, n_species), matrices)
    inputs = UpdateInputs(_contiguous(messages), _contiguous(features), None if added is None else added.contiguous())
    sums, made = _places(messages[0], messages[0].shape[0], known, backend)
    _kernels(sums, backend).forward(call, inputs, sums, made[: known.n_out], made[known.n_out :])
    return [sums, *made]


@torch.library.custom_op(
    "mfbench::node_update_backward",
    mutates_args=(),
    schema=f"(Tensor sums, Tensor[] cotangents, Tensor[] messages, Tensor[] features, {_MATRICES}, {_CALL})"
    " -> Tensor[]",
)
def node_update_backward_op(
    sums: Tensor,
    cotangents: Sequence[Tensor],
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    outward: Sequence[Tensor],
    connecting: Sequence[Tensor],
    inward: Sequence[Tensor],
    species: Tensor,
    n_species: int,
    scale: float,
    shape: str,
    backend: Backend,
) -> list[Tensor]:
    """Gradients of messages, features, added rows and matrices; the first cotangent is that of the sums."""
    known = _shape(shape)
    matrices = Matrices(_contiguous(outward), _contiguous(connecting), _contiguous(inward))
    call = UpdateCall(known, scale, SpeciesGroups(species, n_species), matrices)
    (for_sums, *given), n = _contiguous(cotangents), known.n_out
    gx, gf, ga, gw = _gradients(sums, messages, features, matrices, known)
    inputs, places = UpdateInputs(_contiguous(messages), _contiguous(features), None), UpdateInputs(gx, gf, ga)
    _kernels(sums, backend).backward(call, sums, for_sums, given[:n], given[n:], inputs, None, places, gw)
    return [*gx, *gf, ga, *gw.outward, *gw.connecting, *gw.inward]


def _gradients(
    sums: Tensor, messages: Sequence[Tensor], features: Sequence[Tensor], matrices: Matrices, shape: UpdateShape
) -> tuple[list[Tensor], list[Tensor], Tensor, Matrices]:
    """Where gradients of messages, features, added rows and matrices will be written."""

    def empty(tensors: Sequence[Tensor]) -> list[Tensor]:
        return [sums.new_empty(tensor.shape) for tensor in tensors]

    added = sums.new_empty(sums.shape[0], 1, shape.irreps[0].sums)
    return empty(messages), empty(features), added, Matrices(*(empty(group) for group in matrices))


@node_update_op.register_fake
def _(messages: Sequence[Tensor], *rest: Any) -> list[Tensor]:
    sums, made = _places(messages[0], messages[0].shape[0], _shape(rest[-2]), rest[-1])
    return [sums, *made]


@node_update_backward_op.register_fake
def _(
    sums: Tensor,
    cotangents: Sequence[Tensor],
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    outward: Sequence[Tensor],
    connecting: Sequence[Tensor],
    inward: Sequence[Tensor],
    *rest: Any,
) -> list[Tensor]:
    gx, gf, ga, gw = _gradients(sums, messages, features, Matrices(outward, connecting, inward), _shape(rest[-2]))
    return [*gx, *gf, ga, *gw.outward, *gw.connecting, *gw.inward]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    messages, features, added, outward, connecting, inward, species, *ctx.about = inputs
    ctx.counts = [len(group) for group in (messages, features, outward, connecting, inward)]
    ctx.added = None if added is None else added.shape
    ctx.save_for_backward(output[0], species, *messages, *features, *outward, *connecting, *inward)


def _backward(ctx: Any, cotangents: Sequence[Tensor]) -> tuple[Any, ...]:
    sums, species, *tensors = ctx.saved_tensors
    groups: list[list[Tensor]] = []
    for count in ctx.counts:
        groups.append(tensors[:count])
        tensors = tensors[count:]
    made = node_update_backward_op(sums, list(cotangents), *groups, species, *ctx.about)
    n, c, *counts = ctx.counts
    gx, gf, ga, rest = made[:n], made[n : n + c], made[n + c], made[n + c + 1 :]
    grads: list[list[Tensor]] = []
    for count in counts:
        grads.append(rest[:count])
        rest = rest[count:]
    return gx, gf, None if ctx.added is None else ga, *grads, *(None,) * 5


node_update_op.register_autograd(_backward, setup_context=_keep)
