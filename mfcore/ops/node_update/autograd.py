"""The node update by kernels, see :mod:`mfbench.mfcore.ops.node_update.op`.

Two functions make it twice differentiable: :class:`_Update`, and :class:`_Backward`, its gradient. The sums o are a
result of the former and an argument of the latter, so that a parameter pass goes through the matrices once: what the
force pass says of o arrives with all other gradients. Gradients that a training step never asks for (matrices, with a
graph of their own) are taken from the reference; a third derivative is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import all_wanted, differentiable_gradients, refuse_derivatives
from mfbench.mfcore.ops.node_update.protocol import Matrices, UpdateCall, UpdateInputs, UpdateKernels
from mfbench.mfcore.ops.node_update.reference import update_reference


class _Call(NamedTuple):
    """Kernels and arguments, which all passes of one update share."""

    kernels: UpdateKernels
    update: UpdateCall

    def split(self, values: Sequence[Any]) -> tuple[UpdateInputs, Matrices]:
        """Inputs and matrices from messages, features, matrices and added rows (one or none) in this order."""
        n, c = self.update.shape.counts
        matrices, rest = self.matrices(values[n + c :])
        return UpdateInputs(list(values[:n]), list(values[n : n + c]), rest[0] if rest else None), matrices

    def matrices(self, values: Sequence[Any]) -> tuple[Matrices, list[Any]]:
        """Matrices from a sequence that begins with them, and the rest of it."""
        n, c = self.update.shape.counts
        end = n + c + (n if self.update.shape.mixes else 0)
        return Matrices(values[:n], values[n : n + c], values[n + c : end]), list(values[end:])

    def with_matrices(self, matrices: Matrices) -> UpdateCall:
        """The update as kernels take it, with the saved matrices."""
        return self.update._replace(matrices=matrices)

    def reference(self, *tensors: Tensor) -> list[Tensor]:
        """The results of :class:`_Update` in plain torch."""
        n, c = self.update.shape.counts
        matrices, added = self.matrices(tensors[n + c :])
        update = self.with_matrices(matrices)
        made = update_reference(update, tensors[:n], tensors[n : n + c], added[0] if added else None)
        return [self.kernels.in_rows(self.update.shape, made.sums), *made.results, *made.mixed]

    def results(self, like: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Memory for results and for mixed features, if there are any."""
        shapes = [(like.shape[0], i.components, i.results) for i in self.update.shape.irreps]
        mixes = self.update.shape.mixes
        return [like.new_empty(s) for s in shapes], [like.new_empty(s) for s in shapes] if mixes else []


def update_by_kernels(
    kernels: UpdateKernels,
    call: UpdateCall,
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    added: Tensor | None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Results and mixed features; arguments as of :func:`update_reference`."""
    given = [*messages, *features, *call.matrices.outward, *call.matrices.connecting, *call.matrices.inward]
    given += [] if added is None else [added]
    made = _Update.apply(_Call(kernels, call), *[tensor.contiguous() for tensor in given])  # type: ignore[no-untyped-call]
    n = call.shape.n_out
    return list(made[1 : n + 1]), list(made[n + 1 :])


def _contiguous(tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


class _Update(torch.autograd.Function):
    """(call, *messages, *features, *matrices, *added) → sums, *results, *mixed."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        inputs, matrices = call.split(tensors)
        sums = tensors[0].new_empty(tensors[0].shape[0], call.kernels.row(call.update.shape))
        results, mixed = call.results(sums)
        call.kernels.forward(call.with_matrices(matrices), inputs, sums, results, mixed)
        ctx.save_for_backward(*tensors, sums)
        ctx.call = call
        return sums, *results, *mixed

    @staticmethod
    def backward(ctx: Any, for_sums: Tensor | None, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        n, c = call.update.shape.counts
        *tensors, sums = ctx.saved_tensors
        flags = all_wanted(ctx, 1)
        if not any(flags) or (for_sums is None and all(g is None for g in cotangents)):
            return (None,) * (len(tensors) + 1)
        inputs, matrices = call.split(tensors)
        of_inputs, of_matrices = call.split(flags)
        asked = any(of_inputs.messages), any(of_inputs.features), bool(of_inputs.added)
        with_matrices = any(any(group) for group in of_matrices)
        if torch.is_grad_enabled():
            if for_sums is not None or with_matrices:
                return (None, *differentiable_gradients(call.reference, tensors, flags, (for_sums, *cotangents)))
            given = (sums, *_contiguous(cotangents), *matrices.outward, *matrices.connecting, *matrices.inward)
            made = _Backward.apply(call, asked, *given)  # type: ignore[no-untyped-call]
            none = (None,) * sum(len(group) for group in matrices)
            return None, *made[: n + c], *none, *(made[n + c :] if inputs.added is not None else ())
        for_results, for_mixed = _contiguous(cotangents[:n]), _contiguous(cotangents[n:])
        for_sums = None if for_sums is None else for_sums.contiguous()
        places = _places(call, sums, asked)
        gw = _places_of_matrices(matrices, of_matrices) if with_matrices else Matrices((), (), ())
        kernels, update = call.kernels, call.with_matrices(matrices)
        kernels.backward(update, sums, for_sums, for_results, for_mixed, inputs, None, places, gw)
        grads = [*(places.messages or (None,) * n), *(places.features or (None,) * c)]
        for found, group in zip(gw, matrices, strict=True):
            grads += list(found) or [None] * len(group)
        return None, *grads, *([places.added] if inputs.added is not None else [])


def _places(call: _Call, sums: Tensor, asked: tuple[bool, bool, bool]) -> UpdateInputs:
    """Where gradients of messages, features and added rows will be written; empty where they are not asked for."""
    atoms, irreps = sums.shape[0], call.update.shape.irreps
    connected = [irreps[k] for k, _ in call.update.shape.connections]
    gx = [sums.new_empty(atoms, i.components, i.messages) for i in irreps] if asked[0] else []
    gf = [sums.new_empty(atoms, i.components, i.connected) for i in connected] if asked[1] else []
    return UpdateInputs(gx, gf, sums.new_empty(atoms, 1, irreps[0].sums) if asked[2] else None)


def _places_of_matrices(matrices: Matrices, flags: Matrices) -> Matrices:
    """Where gradients of the groups of matrices that have a flag will be written."""
    return Matrices(
        *([torch.empty_like(w) for w in group] if any(f) else [] for group, f in zip(matrices, flags, strict=True))
    )


class _Backward(torch.autograd.Function):
    """(call, asked, sums, *cotangents of results and mixed, *matrices) → gradients of messages, features, added."""

    @staticmethod
    def forward(
        ctx: Any, call: _Call, asked: tuple[bool, bool, bool], sums: Tensor, *tensors: Any
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        n, c = call.update.shape.counts
        m = n + (n if call.update.shape.mixes else 0)
        matrices, _ = call.matrices(tensors[m:])
        turned = torch.empty_like(sums)
        places, none = _places(call, sums, asked), UpdateInputs((), (), None)
        kernels, update = call.kernels, call.with_matrices(matrices)
        kernels.backward(update, sums, None, tensors[:n], tensors[n:m], none, turned, places, None)
        ctx.save_for_backward(sums, *tensors, turned)
        ctx.call = call
        return *(places.messages or (None,) * n), *(places.features or (None,) * c), places.added

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        sums, *tensors, turned = ctx.saved_tensors
        if all(direction is None for direction in directions):
            return (None,) * (3 + len(tensors))
        n, c = call.update.shape.counts
        m = n + (n if call.update.shape.mixes else 0)
        matrices, _ = call.matrices(tensors[m:])
        asked, _ = call.matrices(ctx.needs_input_grad[3 + m :])
        along = _contiguous(directions)
        with torch.no_grad():
            for_sums, (results, mixed) = torch.empty_like(sums), call.results(sums)
            gw = _places_of_matrices(matrices, asked)
            update, direction = call.with_matrices(matrices), UpdateInputs(along[:n], along[n : n + c], along[n + c])
            call.kernels.double_backward(update, sums, turned, direction, tensors[n:m], for_sums, results, mixed, gw)
        grads: list[Tensor | None] = [for_sums, *results, *mixed]
        for found, group in zip(gw, matrices, strict=True):
            grads += list(found) or [None] * len(group)
        inputs = (sums, *tensors)
        used = [g if x is not None else None for g, x in zip(grads, inputs, strict=True)]
        return None, None, *refuse_derivatives(used, [x for x in (*inputs, *directions) if x is not None])
