"""The node update in C++, called through pointers.

Atoms go in blocks of one species, so that in each block every linear map is one matrix product. Products are computed
in tiles of registers, from rows wherever they lie in memory: neither gathers nor copies by species are needed. What a
block makes on the way stays in the cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.pointers import Pointers
from mfbench.mfcore.backends.cpp.products import products_source
from mfbench.mfcore.backends.cpp.source import SCALARS, template, vectors
from mfbench.mfcore.ops.activations import GATE_SCALE, PSEUDOSCALAR_SCALE
from mfbench.mfcore.ops.node_update.protocol import Matrices, UpdateCall, UpdateInputs, UpdateShape

Tensors = Sequence[Tensor | None]


def update_source(scalar: str) -> str:
    """C++ source of the update for `scalar` "float" or "double"."""
    update = template("node_update.cpp", GATE=repr(GATE_SCALE), PSEUDOSCALAR=repr(PSEUDOSCALAR_SCALE))
    return "\n".join([vectors(scalar), products_source(scalar), update])


class CppUpdate:
    """The compiled update of any shape in one dtype; see :class:`UpdateKernels`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._lanes: int = library.update_lanes()
        self._functions: dict[str, Any] = {}
        for name in ("forward", "backward", "double"):
            function = getattr(library, f"update_{name}")
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_double, ctypes.c_int64, ctypes.c_int]
            function.restype = ctypes.c_int
            self._functions[name] = function

    def row(self, shape: UpdateShape) -> int:
        """See :meth:`UpdateKernels.row`."""
        return sum(i.components * self._padded(i.sums) for i in shape.irreps)

    def in_rows(self, shape: UpdateShape, sums: Sequence[Tensor]) -> Tensor:
        """See :meth:`UpdateKernels.in_rows`."""
        padded = [
            torch.nn.functional.pad(o, (0, self._padded(i.sums) - i.sums)).flatten(1)
            for o, i in zip(sums, shape.irreps, strict=True)
        ]
        return torch.cat(padded, 1)

    def forward(
        self,
        call: UpdateCall,
        inputs: UpdateInputs,
        sums: Tensor,
        results: Sequence[Tensor],
        mixed: Sequence[Tensor],
    ) -> None:
        """See :meth:`UpdateKernels.forward`."""
        none = (None,) * call.shape.n_out
        made = none, none, results, mixed or none, none, none, none
        self._run("forward", call, (inputs.added, sums, None, None, None), inputs, made)

    def backward(
        self,
        call: UpdateCall,
        sums: Tensor,
        for_sums: Tensor | None,
        for_results: Tensors,
        for_mixed: Tensors,
        inputs: UpdateInputs,
        turned: Tensor | None,
        for_inputs: UpdateInputs,
        for_matrices: Matrices | None,
    ) -> None:
        """See :meth:`UpdateKernels.backward`."""
        none = (None,) * call.shape.n_out
        to_inputs = _by_irrep(call, for_inputs.features), for_inputs.messages or none
        made = for_results, for_mixed or none, *to_inputs, *_gradients(call, for_matrices)
        self._run("backward", call, (None, sums, turned, for_sums, for_inputs.added), inputs, made)

    def double_backward(
        self,
        call: UpdateCall,
        sums: Tensor,
        turned: Tensor,
        along: UpdateInputs,
        for_mixed: Tensors,
        for_sums: Tensor,
        for_for_results: Sequence[Tensor],
        for_for_mixed: Sequence[Tensor],
        for_matrices: Matrices,
    ) -> None:
        """See :meth:`UpdateKernels.double_backward`."""
        none = (None,) * call.shape.n_out
        made = none, for_mixed or none, for_for_results, for_for_mixed or none, *_gradients(call, for_matrices)
        self._run("double", call, (along.added, sums, turned, for_sums, None), along, made)

    def _padded(self, n: int) -> int:
        return -(-n // self._lanes) * self._lanes

    def _run(
        self, name: str, call: UpdateCall, single: Tensors, inputs: UpdateInputs, others: Sequence[Tensors]
    ) -> None:
        """Call a kernel with pointers to (species, *single), and to the groups in the order of the C++."""
        matrices = call.matrices
        connecting = _by_irrep(call, matrices.connecting)
        none = (None,) * call.shape.n_out
        of_weights = (matrices.outward, connecting, matrices.inward or none)
        species = call.groups.species.contiguous()
        of_species = (species if call.groups.n_species > 1 else None,)
        messages, features = inputs.messages or none, _by_irrep(call, inputs.features)
        pointers = Pointers(of_species, single, messages, features, *of_weights, *others)
        numbers = _numbers(call.shape, call.groups.n_species)
        atoms, threads = species.shape[0], torch.get_num_threads()
        if self._functions[name](pointers.address, numbers, call.scale, atoms, threads):
            raise MemoryError("the node update could not allocate its buffers.")


@cache
def _numbers(shape: UpdateShape, n_species: int) -> Any:
    """The numbers of a shape in the order in which the C++ reads them."""
    values = [len(shape.irreps), int(shape.mixes), n_species]
    gates = {k: first for k, first, _ in shape.gates}
    for k, irrep in enumerate(shape.irreps):
        kind = 1 if k in gates else 2 if k in shape.pseudoscalars else 0
        values += [*irrep[:4], kind, gates.get(k, 0), irrep.connected]
    return (ctypes.c_int64 * len(values))(*values)


def _by_irrep(call: UpdateCall, tensors: Tensors) -> Tensors:
    """Tensors of the connections in the places of their irreps; none for no tensors."""
    made: list[Tensor | None] = [None] * call.shape.n_out
    if tensors:
        for (k, _), tensor in zip(call.shape.connections, tensors, strict=True):
            made[k] = tensor
    return made


def _gradients(call: UpdateCall, made: Matrices | None) -> tuple[Tensors, Tensors, Tensors]:
    none = (None,) * call.shape.n_out
    if made is None:
        return none, none, none
    return made.outward or none, _by_irrep(call, made.connecting), made.inward or none


@cache
def cpp_update(dtype: torch.dtype) -> CppUpdate:
    """The compiled update in one dtype. Raises KernelsUnavailable."""
    scalar = SCALARS[dtype]
    key = f"update {scalar} {GATE_SCALE!r} {PSEUDOSCALAR_SCALE!r}"
    return CppUpdate(load_library(key, lambda: update_source(scalar)))
