"""The convolution kernels of one set of paths in C++: their source, and calling them through pointers."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.pointers import Pointers
from mfbench.mfcore.backends.cpp.source import SCALARS, template, vectors
from mfbench.mfcore.backends.ir import (
    GROUPS,
    OF_INPUT,
    OF_OUTPUT,
    Add,
    Block,
    Channels,
    Clear,
    Copy,
    Given,
    Increase,
    Let,
    OverEdges,
    Program,
    Statement,
    Sums,
    Zero,
)
from mfbench.mfcore.ops.convolution.instructions import Layout, TensorProductInstructions
from mfbench.mfcore.ops.convolution.protocol import EdgeInputs
from mfbench.mfcore.ops.edges import Edges

_TYPES = {"vector": "v", "scalar": "S", "index": "I", "source": "S* const", "target": "S* const"}
_WRITTEN = ("o", "gx", "gy", "gc", "gt")


def _print(statements: Sequence[Statement]) -> Iterator[str]:
    for statement in statements:
        match statement:
            case Let(kind, name, value):
                constant = "" if kind == "target" else "const "
                yield f"{constant}{_TYPES[kind]} {name} = {value};"
            case Zero(name):
                yield f"v {name} = zero;"
            case Increase(name, value):
                yield f"{name} += {value};"
            case Add(pointer, place, value):
                yield f"add({pointer} + {place}, {value});"
            case Sums(names, places):
                size = len(names)
                yield f"{{ const v all[] = {{{', '.join(names)}}}; S total[({size} + V - 1) / V * V];"
                yield f"sums<{size}>(all, total);"
                first = 0
                for pointer, place, n in places:
                    yield f"memcpy({pointer} + {place}, total + {first}, {n} * sizeof(S));"
                    first += n
                yield "}"
            case Clear(size):
                yield f"for (int s = 0; s < {size}; s += V) st(acc + s, zero);"
            case Copy(pointer, place, first, size):
                yield f"memcpy({pointer} + {place}, acc + {first}, {size} * sizeof(S));"
            case Block(body):
                yield "{"
                yield from _print(body)
                yield "}"
            case Given(pointer, body):
                yield f"if ({pointer}) {{"
                yield from _print(body)
                yield "}"
            case Channels(size, body):
                yield f"for (I s = 0; s < {size}; s += V) {{"
                yield from _print(body)
                yield "}"
            case OverEdges(body):
                yield "for (I e = row[i]; e < row[i + 1]; ++e) {"
                yield "const I j = sender[e], knot = knots[e];"
                yield from _print(body)
                yield "}"


def _kernel(program: Program, name: str) -> Iterator[str]:
    yield f"static void {name}_range(const Arguments& a, I first, I last, const Target& out) {{"
    yield "const I *row = a.row, *sender = a.sender; const int32_t* knots = a.knot;"
    yield "const S *y = a.y, *c = a.c, *t = a.t;"
    read = ["x", *GROUPS[name]]
    for group in read:
        constant, owner = ("", "out" if group in ("gx", "gt") else "a") if group in _WRITTEN else ("const ", "a")
        if group in OF_INPUT or group in OF_OUTPUT:
            count = len(program.widths if group in OF_INPUT else program.out_widths)
            for k in range(count):
                yield f"{constant}S* const {group}{k} = {owner}.{group}[{k}];"
        else:
            yield f"{constant}S* const {group} = {owner}.{group};"
    if "gx" in read:
        yield "const I low = out.low;"
    if "o" in read:
        yield f"alignas(64) S acc[{program.n_out}];"
    yield "for (I i = first; i < last; ++i) {"
    yield from _print(program.body(name))
    yield "}"
    yield "}"
    yield f'extern "C" int {name}(const void* const* p, I n, I rows, int threads) {{'
    yield "Arguments a = {}; a.n = n; a.rows = rows;"
    yield "a.row = (const I*)*p++; a.sender = (const I*)*p++; a.knot = (const int32_t*)*p++;"
    yield "a.y = (S*)*p++; a.c = (S*)*p++; a.t = (S*)*p++;"
    for group in read:
        if group in OF_INPUT or group in OF_OUTPUT:
            several = "NX" if group in OF_INPUT else "NO"
            yield f"for (int k = 0; k < {several}; ++k) a.{group}[k] = (S*)*p++;"
        else:
            yield f"a.{group} = (S*)*p++;"
    yield f"return run(a, threads, {name}_range);"
    yield "}"


def convolution_source(paths: TensorProductInstructions, scalar: str) -> str:
    """C++ source of the kernels of these paths for `scalar` "float" or "double"."""
    program = Program(paths)
    divisor = math.gcd(*(channels for _, _, channels in paths.input))
    lines = [
        vectors(scalar, divisor & -divisor),
        f"constexpr int NX = {len(program.widths)}, NO = {len(program.out_widths)};",
        f"constexpr I WEIGHTS = {paths.n_weights}, WIDTH[NX] = {{{', '.join(map(str, program.widths))}}};",
        template("threads.h"),
    ]
    for name in GROUPS:
        lines.extend(_kernel(program, name))
    return "\n".join(lines)


class CppConvolution:
    """The compiled kernels of one set of paths; see :class:`ConvolutionKernels`."""

    def __init__(self, library: ctypes.CDLL, n_inputs: int) -> None:
        self._functions: dict[str, Any] = {}
        for name in ("forward", "backward_geometry", "backward_parameters", "double_backward"):
            function = getattr(library, name)
            function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
            function.restype = ctypes.c_int
            self._functions[name] = function
        self._no_features = [None] * n_inputs

    def _run(self, name: str, edges: Edges, inputs: EdgeInputs, *groups: Sequence[Tensor | None]) -> None:
        """Call a kernel with pointers to (row pointer, sender, *inputs, *groups)."""
        pointers = Pointers((edges.row_pointer, edges.sender), inputs, *groups)
        if self._functions[name](pointers.address, edges.n_atoms, inputs.table.shape[0], torch.get_num_threads()):
            raise MemoryError("a convolution kernel could not allocate its buffers.")

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """See :meth:`ConvolutionKernels.forward`."""
        self._run("forward", edges, inputs, features, out)

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
        made = for_features or self._no_features
        self._run("backward_geometry", edges, inputs, features, cotangents, (for_harmonics, for_spline), made)

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
        made = for_features or self._no_features
        self._run("backward_parameters", edges, inputs, features, cotangents, made, (for_table,))

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
        directions = (*along_features, along_harmonics, along_spline)
        results = (*for_cotangents, *for_features, for_table)
        self._run("double_backward", edges, inputs, features, cotangents, directions, results)


@cache
def cpp_convolution(
    input: Layout, lmax: int, output: tuple[tuple[int, int], ...], dtype: torch.dtype
) -> CppConvolution:
    """The compiled kernels of the paths between these irreps. Raises KernelsUnavailable."""
    scalar = SCALARS[dtype]

    def source() -> str:
        return convolution_source(TensorProductInstructions(input, lmax, output), scalar)

    return CppConvolution(load_library(f"convolution {input} {lmax} {output} {scalar}", source), len(input))
