"""The geometry operator in C++: edge vectors → harmonics, spline interval, spline weights × envelope.

With its vector–Jacobian product (backward) and Jacobian–vector product (for the double backward's cotangents). Edges
go in groups of lanes that a compiler can put into vector registers.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.source import SCALARS, template
from mfbench.mfcore.ops.geometry.harmonics import (
    expression,
    harmonic_polynomials,
    jacobian_vector,
    monomials,
    vector_jacobian,
)


def geometry_source(lmax: int, envelope_power: int, scalar: str) -> str:
    """C++ source of the geometry operator for `scalar` "float" or "double"."""
    polynomials = harmonic_polynomials(lmax)
    p = envelope_power

    def products(degree: int) -> str:
        return "\n".join(f"  const S {name} = {value};" for name, value in monomials(degree))

    def results(expressions: list[str]) -> str:
        return "\n".join(f"  o[{k}] = {value};" for k, value in enumerate(expressions))

    values = {
        "SCALAR": scalar,
        "NY": str(len(polynomials)),
        "MONOMIALS": products(lmax),
        "LOWER": products(lmax - 1),
        "GRADIENTS": "\n".join(f"  const S g{k} = g[{k}];" for k in range(len(polynomials))),
        "HARMONICS": results([expression(polynomial) for polynomial in polynomials]),
        "VJP": results(vector_jacobian(polynomials)),
        "JVP": results(jacobian_vector(polynomials)),
        "POWER": " * ".join("x" * (p - 1)),
        "A": repr((p + 1) * (p + 2) / 2),
        "B": repr(float(p * (p + 2))),
        "C": repr(p * (p + 1) / 2),
        "SLOPE": repr(-p * (p + 1) * (p + 2) / 2),
    }
    return template("geometry.cpp", **values)


class CppGeometry:
    """The compiled geometry operator; see :class:`GeometryKernels`."""

    def __init__(self, library: ctypes.CDLL, number: Any) -> None:
        self._functions: dict[str, Any] = {}
        for name in ("forward", "backward", "tangent"):
            function = getattr(library, f"geometry_{name}")
            pointers = [ctypes.c_void_p] * 3
            function.argtypes = [ctypes.c_int64, ctypes.c_void_p, number, ctypes.c_int, *pointers, ctypes.c_int]
            function.restype = None
            self._functions[name] = function

    def _run(self, name: str, vectors: Tensor, cutoff: float, n_knots: int, *tensors: Tensor) -> None:
        pointers = [tensor.data_ptr() for tensor in tensors]
        threads = torch.get_num_threads()
        self._functions[name](vectors.shape[0], vectors.data_ptr(), cutoff, n_knots, *pointers, threads)

    def forward(
        self, vectors: Tensor, cutoff: float, n_knots: int, harmonics: Tensor, knot: Tensor, spline: Tensor
    ) -> None:
        """See :meth:`GeometryKernels.forward`."""
        self._run("forward", vectors, cutoff, n_knots, harmonics, knot, spline)

    def backward(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        for_harmonics: Tensor,
        for_spline: Tensor,
        for_vectors: Tensor,
    ) -> None:
        """See :meth:`GeometryKernels.backward`."""
        self._run("backward", vectors, cutoff, n_knots, for_harmonics, for_spline, for_vectors)

    def tangent(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        along_vectors: Tensor,
        along_harmonics: Tensor,
        along_spline: Tensor,
    ) -> None:
        """See :meth:`GeometryKernels.tangent`."""
        self._run("tangent", vectors, cutoff, n_knots, along_vectors, along_harmonics, along_spline)


@cache
def cpp_geometry(lmax: int, envelope_power: int, dtype: torch.dtype) -> CppGeometry:
    """The compiled operator. Raises KernelsUnavailable."""
    scalar = SCALARS[dtype]
    key = f"geometry {lmax} {envelope_power} {scalar}"
    library = load_library(key, lambda: geometry_source(lmax, envelope_power, scalar))
    return CppGeometry(library, ctypes.c_float if scalar == "float" else ctypes.c_double)
