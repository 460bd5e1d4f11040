"""Spherical harmonics as polynomials, and the arithmetic with them that printers turn into source.

Expressions are text that C++ and Python read alike, see :mod:`~mfbench.mfcore.backends.ir`; a monomial such as
x²z is the name ``xxz``.
"""

from __future__ import annotations

import math
from collections import defaultdict

from mfbench.mfcore.ops.convolution.instructions import clebsch_gordan

Monomial = tuple[int, int, int]
Polynomial = dict[Monomial, float]


def harmonic_polynomials(lmax: int) -> list[Polynomial]:
    """Component-normalised real spherical harmonics as homogeneous polynomials of a unit vector, e3nn's order.

    Each degree is the product of the one before with the vector, projected by Clebsch–Gordan coefficients.
    """
    units: list[Monomial] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    degrees: list[list[Polynomial]] = [[{(0, 0, 0): 1.0}], [{unit: math.sqrt(3.0)} for unit in units]]
    for degree in range(2, lmax + 1):
        cg = clebsch_gordan(degree - 1, 1, degree)
        made: list[Polynomial] = []
        for m3 in range(2 * degree + 1):
            sums: defaultdict[Monomial, float] = defaultdict(float)
            for m1, factor in enumerate(degrees[-1]):
                for m2, unit in enumerate(units):
                    for powers, value in factor.items():
                        key = (powers[0] + unit[0], powers[1] + unit[1], powers[2] + unit[2])
                        sums[key] += float(cg[m1, m2, m3]) * value
            made.append(dict(sums))
        point = (0.6, 0.48, 0.64)  # of unit length
        norm = math.sqrt(sum(_evaluate(polynomial, point) ** 2 for polynomial in made) / (2 * degree + 1))
        made = [{k: c / norm for k, c in p.items() if abs(c / norm) > 1e-12} for p in made]
        degrees.append(made)
    return [polynomial for degree_ in degrees[: lmax + 1] for polynomial in degree_]


def _evaluate(polynomial: Polynomial, point: tuple[float, float, float]) -> float:
    return sum(c * math.prod(x**n for x, n in zip(point, powers, strict=True)) for powers, c in polynomial.items())


def derivative(polynomial: Polynomial, axis: int) -> Polynomial:
    """Of a polynomial with respect to x, y or z (axis 0, 1, 2)."""
    made: Polynomial = {}
    for powers, c in polynomial.items():
        if powers[axis]:
            lowered = list(powers)
            lowered[axis] -= 1
            made[(lowered[0], lowered[1], lowered[2])] = c * powers[axis]
    return made


def expression(polynomial: Polynomial) -> str:
    """A polynomial as an expression of monomials."""
    terms = []
    for powers, c in sorted(polynomial.items(), reverse=True):
        name = "".join(letter * n for letter, n in zip("xyz", powers, strict=True))
        terms.append(f"S({c!r}) * {name}" if name else f"S({c!r})")
    return " + ".join(terms)


def monomials(lmax: int) -> list[tuple[str, str]]:
    """Names and values of all monomials of degree 2 … lmax, each from the ones before."""
    made = []
    for degree in range(2, lmax + 1):
        for a in range(degree, -1, -1):
            for b in range(degree - a, -1, -1):
                name = "x" * a + "y" * b + "z" * (degree - a - b)
                made.append((name, f"{name[:-1]} * {name[-1]}"))
    return made


def vector_jacobian(polynomials: list[Polynomial]) -> list[str]:
    """Σ_k g_k ∂Y_k/∂x, ∂y and ∂z, where g_k stands for the names ``g0``, ``g1`` and so on."""
    made = []
    for axis in range(3):
        slopes = [(k, derivative(polynomial, axis)) for k, polynomial in enumerate(polynomials)]
        made.append(" + ".join(f"g{k} * ({expression(slope)})" for k, slope in slopes if slope) or "S(0.0)")
    return made


def jacobian_vector(polynomials: list[Polynomial]) -> list[str]:
    """∂Y_k/∂(x, y, z) · (dx, dy, dz) of each harmonic."""
    made = []
    for polynomial in polynomials:
        slopes = [(name, derivative(polynomial, axis)) for axis, name in enumerate(("dx", "dy", "dz"))]
        made.append(" + ".join(f"{name} * ({expression(slope)})" for name, slope in slopes if slope) or "S(0.0)")
    return made
