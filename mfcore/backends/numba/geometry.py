"""Python source, for numba, of the geometry operator; the mathematics is that in C++."""

from __future__ import annotations

from mfbench.mfcore.backends.numba.convolution import head
from mfbench.mfcore.ops.geometry.harmonics import (
    expression,
    harmonic_polynomials,
    jacobian_vector,
    monomials,
    vector_jacobian,
)

_SPLINE = """
@njit(error_model="numpy")
def radial(r, inverse, knots):
    x = inverse * r
    step = S(knots) * inverse
    s = step * r
    place = s if s > S(0.0) else S(0.0)
    place = place if place < S(knots - 1) else S(knots - 1)
    interval = np.int64(place)
    u = s - S(interval)
    w = S(1.0) - u
    uu = u * u
    ww = w * w
    sixth = S(1.0) / S(6.0)
    b0 = sixth * (w * ww)
    b1 = sixth * (S(4.0) - S(3.0) * (uu * (S(1.0) + w)))
    b2 = sixth * (S(4.0) - S(3.0) * (ww * (S(1.0) + u)))
    b3 = sixth * (u * uu)
    half = S(0.5) * step
    e0 = -half * ww
    e1 = half * (u * (S(3.0) * u - S(4.0)))
    e2 = -half * (w * (S(3.0) * w - S(4.0)))
    e3 = half * uu
    below = @POWER@
    one = S(1.0) - x
    a = below * x
    envelope = S(1.0) - a * (S(@A@) - x * (S(@B@) - S(@C@) * x))
    slope = (S(@SLOPE@) * inverse) * (below * (one * one))
    if x >= S(1.0):  # false for NaN, which stays NaN
        envelope = S(0.0)
        slope = S(0.0)
    return (
        interval, b0 * envelope, b1 * envelope, b2 * envelope, b3 * envelope,
        e0 * envelope + b0 * slope, e1 * envelope + b1 * slope, e2 * envelope + b2 * slope, e3 * envelope + b3 * slope,
    )
"""
_KERNEL = """
@cfunc(types.void(types.int64, types.float64, types.int64, types.int64, types.int64), cache=True, error_model="numpy")
def kernel(p, cutoff, knots, first, last):
    inverse = S(1.0) / S(cutoff)
    v = index_at(p, 0)
@POINTERS@
    for i in range(first, last):
        x = at(v, 3 * i)
        y = at(v, 3 * i + 1)
        z = at(v, 3 * i + 2)
        r = S(np.sqrt(x * x + y * y + z * z))
        q = S(1.0) / r
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


def _body(kernel: str, lmax: int) -> list[str]:
    polynomials = harmonic_polynomials(lmax)
    n = len(polynomials)
    products = [f"{name} = {value}" for name, value in monomials(lmax if kernel == "forward" else lmax - 1)]
    if kernel == "forward":
        lines = [f"put(harmonics, i * {n} + {k}, {expression(polynomial)})" for k, polynomial in enumerate(polynomials)]
        lines += [f"put(spline, i * 4 + {k}, c{k})" for k in range(4)]
        return [*products, *lines, "put_knot(interval, i, knot)"]
    if kernel == "backward":
        lines = [f"g{k} = at(for_harmonics, i * {n} + {k})" for k in range(n)]
        lines += [f"s{k} = {value}" for k, value in enumerate(vector_jacobian(polynomials))]
        lines.append("along = x * s0 + y * s1 + z * s2")
        radial = " + ".join(f"at(for_spline, i * 4 + {k}) * d{k}" for k in range(4))
        lines.append(f"part = {radial} - q * along")
        lines += [f"put(gradient, i * 3 + {k}, q * s{k} + {name} * part)" for k, name in enumerate("xyz")]
        return products + lines
    lines = [f"a{k} = at(direction, i * 3 + {k})" for k in range(3)]
    lines.append("along = x * a0 + y * a1 + z * a2")
    lines += [f"d{name} = q * (a{k} - {name} * along)" for k, name in enumerate("xyz")]
    lines += [f"put(harmonics, i * {n} + {k}, {value})" for k, value in enumerate(jacobian_vector(polynomials))]
    return products + lines + [f"put(spline, i * 4 + {k}, d{k} * along)" for k in range(4)]


def geometry_source(kernel: str, lmax: int, envelope_power: int, scalar: str) -> str:
    """Source of a module with one kernel, a C function (addresses, cutoff, knots, first edge, last edge).

    Parameters
    ----------
    kernel
        A key of :data:`GEOMETRY_KERNELS`.
    lmax
        Highest degree of the harmonics.
    envelope_power
        Power of the cutoff envelope.
    scalar
        "float32" or "float64".
    """
    p = envelope_power
    values = {
        "POWER": " * ".join("x" * (p - 1)),
        "A": repr((p + 1) * (p + 2) / 2),
        "B": repr(float(p * (p + 2))),
        "C": repr(p * (p + 1) / 2),
        "SLOPE": repr(-p * (p + 1) * (p + 2) / 2),
        "POINTERS": "\n".join(f"    {name} = index_at(p, {k})" for k, name in enumerate(GEOMETRY_KERNELS[kernel], 1)),
        "BODY": "\n".join(f"        {line}" for line in _body(kernel, lmax)),
    }
    source = head(scalar, 1) + _SPLINE + _KERNEL
    for name, value in values.items():
        source = source.replace(f"@{name}@", value)
    return source
