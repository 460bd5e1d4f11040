"""The convolution kernels in Triton: which of them make up each pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.backends.triton.compile import interpreted, load
from mfbench.mfcore.backends.triton.intervals import intervals
from mfbench.mfcore.backends.triton.program import INTEGERS, POINTERS, TritonProgram
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels, EdgeInputs
from mfbench.mfcore.ops.edges import Edges

_SCALARS = {torch.float32: "float32", torch.float64: "float64"}
_WEIGHTS_OF_A_BLOCK = 128  # of the reduction


class TritonConvolution:
    """The kernels of one set of paths; see :class:`ConvolutionKernels`.

    Parameters
    ----------
    paths, dtype
        Of the convolution.
    block
        Most channels of a block, a power of two; None is the default.
    """

    def __init__(self, paths: TensorProductInstructions, dtype: torch.dtype, block: int | None = None) -> None:
        self._paths = paths
        program = TritonProgram(paths, _SCALARS[dtype], block)
        self._module = load(program.source())
        self._blocks = {
            kernel: sum(number for _, _, number in program.blocks(kernel))
            for kernel in ("forward", "cotangents", "features", "features_twice", "table", "table_twice")
        }

    def _launch(self, kernel: str, number: int, *tensors: Tensor) -> None:
        """Run a kernel for so many atoms, edges or parts."""
        if number == 0:
            return
        grid = (number, self._blocks[kernel]) if kernel in self._blocks else (number,)
        with torch.cuda.device_of(tensors[0]):
            getattr(self._module, kernel)[grid](*tensors, num_warps=1, enable_fp_fusion=True)

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """See :meth:`ConvolutionKernels.forward`."""
        self._launch("forward", edges.n_atoms, edges.row_pointer, edges.sender, *inputs, *features, *out)

    def backward_geometry(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_harmonics: Tensor,
        for_spline: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.backward_geometry`."""
        results = (for_harmonics, for_spline)
        given = (edges.sender, edges.receiver, *inputs, *features, *cotangents)
        self._launch("geometry", edges.sender.shape[0], *given, *results)
        if for_features is not None:
            self._to_features("features", edges, inputs, *cotangents, *for_features)

    def backward_parameters(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_table: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.backward_parameters`."""
        if for_features is not None:
            self._to_features("features", edges, inputs, *cotangents, *for_features)
        self._to_table("table", edges, inputs, for_table, *features, *cotangents)

    def double_backward(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        along_features: Sequence[Tensor],
        along_harmonics: Tensor,
        along_spline: Tensor,
        for_cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor],
        for_table: Tensor,
    ) -> None:
        """See :meth:`ConvolutionKernels.double_backward`."""
        directions = (along_harmonics, along_spline)
        given = (edges.row_pointer, edges.sender, *inputs, *features, *along_features, *directions)
        self._launch("cotangents", edges.n_atoms, *given, *for_cotangents)
        self._to_features("features_twice", edges, inputs, *cotangents, *directions, *for_features)
        self._to_table("table_twice", edges, inputs, for_table, *features, *cotangents, *along_features, *directions)

    def _to_features(self, kernel: str, edges: Edges, inputs: EdgeInputs, *tensors: Tensor) -> None:
        pointer, order = edges.by_sender
        self._launch(kernel, edges.n_atoms, pointer, order, edges.receiver, *inputs, *tensors)

    def _to_table(self, kernel: str, edges: Edges, inputs: EdgeInputs, for_table: Tensor, *tensors: Tensor) -> None:
        rows, n_weights = for_table.shape
        n_intervals = rows - 3
        by = intervals(inputs.knot, n_intervals)
        parts = for_table.new_empty(by.n_parts, 4, n_weights)
        ends = (edges.sender, edges.receiver)
        self._launch(kernel, by.n_parts, by.first, by.last, by.order, *ends, *inputs[1:3], *tensors, parts)
        with torch.cuda.device_of(for_table):
            grid = (rows, -(-n_weights // _WEIGHTS_OF_A_BLOCK))
            self._module.reduction[grid](by.start, parts, for_table, n_intervals, num_warps=4, enable_fp_fusion=True)

    def try_out(self, device: torch.device, dtype: torch.dtype) -> None:
        """Run the forward kernel on one atom without edges, which compiles it.

        Raises
        ------
        KernelsUnavailable
            If it cannot be compiled or run.
        """
        index, real = torch.zeros(0, dtype=torch.int64, device=device), torch.zeros(0, dtype=dtype, device=device)
        edges = Edges(1, index, index, index.new_zeros(2))
        table = real.new_zeros(7, self._paths.n_weights)
        harmonics, spline = real.new_zeros(0, self._paths.n_harmonics), real.new_zeros(0, 4)
        inputs = EdgeInputs(index.to(torch.int32), harmonics, spline, table)
        features = [real.new_ones(1, 2 * degree + 1, c) for degree, _, c in self._paths.input]
        out = [real.new_ones(1, 2 * degree + 1, c) for degree, _, c in self._paths.output_layout]
        try:
            self.forward(edges, inputs, features, out)
            wrong = any(bool(tensor.any()) for tensor in out)
        except Exception as error:  # Triton raises many kinds
            raise KernelsUnavailable(f"Triton failed: {str(error).strip()[:500]}") from error
        if wrong:
            raise KernelsUnavailable("a Triton kernel gave an isolated atom messages.")


@cache
def _convolution(
    input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype
) -> TritonConvolution:
    made = TritonConvolution(TensorProductInstructions(input, lmax, output), dtype)
    made.try_out(torch.device("cpu" if interpreted() else "cuda"), dtype)
    return made


def convolution_kernels(paths: TensorProductInstructions, dtype: torch.dtype) -> ConvolutionKernels:
    """Kernels of these paths; the same object for the same paths.

    Raises
    ------
    KernelsUnavailable
        If they cannot be compiled.
    """
    return _convolution(paths.input, paths.lmax, paths.output_irreps, dtype)


def signatures(program: TritonProgram) -> dict[str, dict[str, Any]]:
    """Types of each kernel's pointers, in Triton's notation: to compile them for a GPU that is not there."""
    real = {"float32": "*fp32", "float64": "*fp64"}[program.scalar]
    return {
        kernel: {name: f"*{INTEGERS[name]}" if name in INTEGERS else real for name in program.pointers(kernel)}
        for kernel in POINTERS
    }
