"""The geometry operator in Triton; the mathematics is that in C++. An edge is a lane."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.backends.triton.compile import interpreted, load
from mfbench.mfcore.backends.triton.program import HEAD
from mfbench.mfcore.ops.geometry.harmonics import (
    expression,
    harmonic_polynomials,
    jacobian_vector,
    monomials,
    vector_jacobian,
)
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels

_SCALARS = {torch.float32: "float32", torch.float64: "float64"}
_BLOCK = 128  # edges of a program of four warps

_SPLINE = """
@triton.jit
def radial(r, inverse: tl.constexpr, knots: tl.constexpr):
    x = inverse * r
    s = (knots * inverse) * r
    place = tl.where(s > 0.0, s, 0.0)  # 0 for NaN
    place = tl.where(place < knots - 1.0, place, knots - 1.0)
    interval = place.to(tl.int32)
    u = s - interval.to(tl.@SCALAR@)
    w = 1.0 - u
    uu = u * u
    ww = w * w
    b0 = (w * ww) * @SIXTH@
    b1 = (4.0 - 3.0 * (uu * (1.0 + w))) * @SIXTH@
    b2 = (4.0 - 3.0 * (ww * (1.0 + u))) * @SIXTH@
    b3 = (u * uu) * @SIXTH@
    # constants stay within expressions: in a variable of their own they would be float32
    e0 = (-0.5 * (knots * inverse)) * ww
    e1 = (0.5 * (knots * inverse)) * (u * (3.0 * u - 4.0))
    e2 = (-0.5 * (knots * inverse)) * (w * (3.0 * w - 4.0))
    e3 = (0.5 * (knots * inverse)) * uu
    below = @POWER@
    one = 1.0 - x
    a = below * x
    beyond = x >= 1.0  # false for NaN, which stays NaN
    envelope = tl.where(beyond, 0.0, 1.0 - a * (@A@ - x * (@B@ - @C@ * x)))
    slope = tl.where(beyond, 0.0, (@SLOPE@ * inverse) * (below * (one * one)))
    return (
        interval,
        b0 * envelope, b1 * envelope, b2 * envelope, b3 * envelope,
        e0 * envelope + b0 * slope, e1 * envelope + b1 * slope, e2 * envelope + b2 * slope, e3 * envelope + b3 * slope,
    )

"""
_KERNEL = """
@triton.jit(do_not_specialize=["n"])
def @NAME@(v, @POINTERS@, n, inverse: tl.constexpr, knots: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * @BLOCK@ + tl.arange(0, @BLOCK@)
    inside = i < n
    x = tl.load(v + i * 3, mask=inside, other=1.0)
    y = tl.load(v + i * 3 + 1, mask=inside, other=1.0)
    z = tl.load(v + i * 3 + 2, mask=inside, other=1.0)
    r = tl.@SQRT@(x * x + y * y + z * z)
    q = 1.0 / r
    x = q * x
    y = q * y
    z = q * z
    knot, c0, c1, c2, c3, d0, d1, d2, d3 = radial(r, inverse, knots)
@BODY@

"""
#: Pointers of each kernel after that to the vectors.
GEOMETRY_KERNELS: dict[str, tuple[str, ...]] = {
    "forward": ("harmonics", "interval", "spline"),
    "backward": ("for_harmonics", "for_spline", "gradient"),
    "tangent": ("direction", "harmonics", "spline"),
}


def _numbers(text: str) -> str:
    """Constants as plain numbers: Triton gives them the type of the tensor that they meet."""
    return re.sub(r"\bS\(([^()]*)\)", r"\1", text)


def _read(name: str, pointer: str, width: int, k: int) -> str:
    return f"{name} = tl.load({pointer} + i * {width} + {k}, mask=inside, other=0.0)"


def _write(pointer: str, width: int, k: int, value: str) -> str:
    return f"tl.store({pointer} + i * {width} + {k}, {value}, mask=inside)"


def _body(kernel: str, lmax: int, scalar: str) -> list[str]:
    polynomials = harmonic_polynomials(lmax)
    n = len(polynomials)
    products = [f"{name} = {value}" for name, value in monomials(lmax if kernel == "forward" else lmax - 1)]
    zero = f"tl.zeros(({_BLOCK},), tl.{scalar})"  # what makes a vector of an expression that may be one number
    if kernel == "forward":
        values = [f"{zero} + ({_numbers(expression(polynomial))})" for polynomial in polynomials]
        lines = [_write("harmonics", n, k, value) for k, value in enumerate(values)]
        lines += [_write("spline", 4, k, f"c{k}") for k in range(4)]
        return [*products, *lines, _write("interval", 1, 0, "knot")]
    if kernel == "backward":
        lines = [_read(f"g{k}", "for_harmonics", n, k) for k in range(n)]
        lines += [_read(f"a{k}", "for_spline", 4, k) for k in range(4)]
        lines += [f"s{k} = {zero} + {_numbers(value)}" for k, value in enumerate(vector_jacobian(polynomials))]
        lines.append("along = x * s0 + y * s1 + z * s2")
        lines.append("part = " + " + ".join(f"a{k} * d{k}" for k in range(4)) + " - q * along")
        return products + lines + [_write("gradient", 3, k, f"q * s{k} + {u} * part") for k, u in enumerate("xyz")]
    lines = [_read(f"a{k}", "direction", 3, k) for k in range(3)]
    lines.append("along = x * a0 + y * a1 + z * a2")
    lines += [f"d{name} = q * (a{k} - {name} * along)" for k, name in enumerate("xyz")]
    turned = [f"{zero} + {_numbers(value)}" for value in jacobian_vector(polynomials)]
    lines += [_write("harmonics", n, k, value) for k, value in enumerate(turned)]
    return products + lines + [_write("spline", 4, k, f"d{k} * along") for k in range(4)]


def geometry_source(lmax: int, envelope_power: int, scalar: str) -> str:
    """Source of a module with the three kernels.

    Parameters
    ----------
    lmax
        Highest degree of the harmonics.
    envelope_power
        Power of the cutoff envelope.
    scalar
        "float32" or "float64".
    """
    p = envelope_power
    source = HEAD + _SPLINE
    for kernel, pointers in GEOMETRY_KERNELS.items():
        body = "\n".join(f"    {line}" for line in _body(kernel, lmax, scalar))
        made = _KERNEL.replace("@NAME@", kernel).replace("@POINTERS@", ", ".join(pointers)).replace("@BODY@", body)
        source += made
    values = {
        "SCALAR": scalar,
        "SQRT": "sqrt_rn" if scalar == "float32" else "sqrt",  # rounded right in both
        "SIXTH": repr(1.0 / 6.0),
        "POWER": " * ".join("x" * (p - 1)),
        "A": repr((p + 1) * (p + 2) / 2),
        "B": repr(float(p * (p + 2))),
        "C": repr(p * (p + 1) / 2),
        "SLOPE": repr(-p * (p + 1) * (p + 2) / 2),
        "BLOCK": str(_BLOCK),
    }
    for name, value in values.items():
        source = source.replace(f"@{name}@", value)
    return source


class TritonGeometry:
    """The geometry operator; see :class:`GeometryKernels`."""

    def __init__(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> None:
        self._module: Any = load(geometry_source(lmax, envelope_power, _SCALARS[dtype]))

    def _launch(self, kernel: str, vectors: Tensor, cutoff: float, n_knots: int, *tensors: Tensor) -> None:
        n = vectors.shape[0]
        if n == 0:
            return
        # numbers of the network are constants of the code: an argument would be rounded to float32
        constants = (1.0 / cutoff, n_knots)
        with torch.cuda.device_of(vectors):
            run = getattr(self._module, kernel)[(-(-n // _BLOCK),)]
            run(vectors, *tensors, n, *constants, num_warps=4, enable_fp_fusion=True)

    def forward(
        self, vectors: Tensor, cutoff: float, n_knots: int, harmonics: Tensor, knot: Tensor, spline: Tensor
    ) -> None:
        """See :meth:`GeometryKernels.forward`."""
        self._launch("forward", vectors, cutoff, n_knots, harmonics, knot, spline)

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
        self._launch("backward", vectors, cutoff, n_knots, for_harmonics, for_spline, for_vectors)

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
        self._launch("tangent", vectors, cutoff, n_knots, along_vectors, along_harmonics, along_spline)

    def try_out(self, lmax: int, device: torch.device, dtype: torch.dtype) -> None:
        """Run the forward kernel on one edge, which compiles it.

        Raises
        ------
        KernelsUnavailable
            If it cannot be compiled or run, or if the harmonics have not the norm that they have in any direction.
        """
        vectors = torch.tensor([[0.6, 0.48, 0.64]], dtype=dtype, device=device)
        harmonics, spline = vectors.new_zeros(1, (lmax + 1) ** 2), vectors.new_zeros(1, 4)
        try:
            self.forward(vectors, 2.0, 8, harmonics, torch.zeros(1, dtype=torch.int32, device=device), spline)
            square = float(harmonics.square().sum())
        except Exception as error:  # Triton raises many kinds
            raise KernelsUnavailable(f"Triton failed: {str(error).strip()[:500]}") from error
        if not abs(square - (lmax + 1) ** 2) < 1e-3:
            raise KernelsUnavailable(f"a Triton kernel gave harmonics of squared norm {square}, not {(lmax + 1) ** 2}.")


@cache
def _geometry(lmax: int, envelope_power: int, dtype: torch.dtype) -> TritonGeometry:
    made = TritonGeometry(lmax, envelope_power, dtype)
    made.try_out(lmax, torch.device("cpu" if interpreted() else "cuda"), dtype)
    return made


def geometry_kernels(lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
    """Kernels of edge vectors; the same object for the same arguments.

    Raises
    ------
    KernelsUnavailable
        If they cannot be compiled.
    """
    return _geometry(lmax, envelope_power, dtype)
