"""Which products of features and harmonics a convolution takes, and where each goes."""

from __future__ import annotations

import math
from ast import literal_eval
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfbench.mfcore.errors import ConfigError

Layout = tuple[tuple[int, int, int], ...]
"""Irreps of a set of features: one (degree l, parity p = ±1, channels) for each tensor (atoms, 2l+1, channels)."""


class Irrep(NamedTuple):
    """An irreducible representation of O(3): degree l and parity p = ±1."""

    l: int  # noqa: E741 - the field's standard symbol
    p: int


class Path(NamedTuple):
    """One product: feature irrep `k_in` ⊗ harmonic of degree `l2` → output irrep `k_out`."""

    k_in: int
    l2: int
    k_out: int


@cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> NDArray[np.float64]:
    """Real Clebsch–Gordan coefficients in component normalisation, (2 l1+1, 2 l2+1, 2 l3+1).

    e3nn's Wigner 3j times √(2 l3+1): a product of component-normalised factors keeps unit variance.
    """
    import torch
    from e3nn import o3

    coefficients = o3.wigner_3j(l1, l2, l3, dtype=torch.float64).numpy() * math.sqrt(2 * l3 + 1)
    coefficients[np.abs(coefficients) < 1e-12] = 0.0
    return np.ascontiguousarray(coefficients)


class TensorProductInstructions:
    """All paths of a depthwise ("uvu") product of features with spherical harmonics.

    Parameters
    ----------
    input
        Layout of the features.
    lmax
        Highest degree of the harmonics, which have parity (-1)^l.
    output
        (l, p) of the irreps that are wanted; those that no path reaches are left out.

    Attributes
    ----------
    paths
        Sorted by input irrep, then output irrep, then harmonic. Path q has one weight per channel of
        its input; `weight_offsets[q]` is where they begin among the `n_weights` of an edge.
    output_layout
        Layout of the result. The channels of an irrep are those of its paths, one path after another.

    Raises
    ------
    ConfigError
        If a layout is malformed or no path exists.
    """

    def __init__(self, input: Layout, lmax: int, output: Sequence[tuple[int, int]]) -> None:
        self.input: Layout = tuple((int(l1), int(p1), int(c)) for l1, p1, c in input)
        self.lmax = int(lmax)
        wanted = [Irrep(int(l3), int(p3)) for l3, p3 in output]
        for name, irreps in (("input", [Irrep(l1, p1) for l1, p1, _ in self.input]), ("output", wanted)):
            if len(set(irreps)) != len(irreps):
                raise ConfigError(f"{name} irreps of a convolution: one is given twice in {irreps}.")
            if any(irrep.l < 0 or irrep.p not in (1, -1) for irrep in irreps):
                raise ConfigError(f"{name} irreps of a convolution: expected l >= 0 and p = 1 or -1, got {irreps}.")
        if self.lmax < 0 or any(c < 1 for _, _, c in self.input):
            raise ConfigError("a convolution needs lmax >= 0 and at least one channel in each input irrep.")
        found = [
            (k, l2, n)
            for k, (l1, p1, _) in enumerate(self.input)
            for n, (l3, p3) in enumerate(wanted)
            for l2 in range(self.lmax + 1)
            if abs(l1 - l2) <= l3 <= l1 + l2 and p1 * (-1) ** l2 == p3
        ]
        if not found:
            raise ConfigError(f"no path leads from {self.input} with harmonics up to l = {lmax} to {wanted}.")
        reached = sorted({n for _, _, n in found})
        self.paths: tuple[Path, ...] = tuple(Path(k, l2, reached.index(n)) for k, l2, n in found)
        channels = [self.input[path.k_in][2] for path in self.paths]
        self.weight_offsets: tuple[int, ...] = tuple(int(sum(channels[:q])) for q in range(len(channels)))
        self.n_weights: int = sum(channels)
        self.output_layout: Layout = tuple(
            (*wanted[n], sum(c for c, path in zip(channels, self.paths, strict=True) if path.k_out == k))
            for k, n in enumerate(reached)
        )
        self._key = self.input, self.lmax, self.output_irreps
        self._hash = hash(self._key)  # kernels are looked up by it in every pass

    @property
    def key(self) -> str:
        """Text from which :meth:`from_key` makes the same instructions again."""
        return repr(self._key)

    @staticmethod
    @cache
    def from_key(key: str) -> TensorProductInstructions:
        """The instructions with this key."""
        return TensorProductInstructions(*literal_eval(key))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, TensorProductInstructions) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    @property
    def n_harmonics(self) -> int:
        """Number of components of all harmonics, (lmax + 1)²."""
        return (self.lmax + 1) ** 2

    @property
    def output_irreps(self) -> tuple[tuple[int, int], ...]:
        """(l, p) of each irrep of `output_layout`."""
        return tuple((l3, p3) for l3, p3, _ in self.output_layout)

    def paths_from(self, k_in: int) -> list[int]:
        """Indices of the paths that take input irrep `k_in`; they are neighbours."""
        return [q for q, path in enumerate(self.paths) if path.k_in == k_in]

    def paths_into(self, k_out: int) -> list[int]:
        """Indices of the paths that lead to output irrep `k_out`, in the order of its channels."""
        return [q for q, path in enumerate(self.paths) if path.k_out == k_out]

    def coefficients(self, q: int) -> NDArray[np.float64]:
        """Clebsch–Gordan coefficients of path q, (2 l1+1, 2 l2+1, 2 l3+1)."""
        path = self.paths[q]
        return clebsch_gordan(self.input[path.k_in][0], path.l2, self.output_layout[path.k_out][0])

    def __repr__(self) -> str:
        return f"TensorProductInstructions({self.input}, lmax={self.lmax}, output={self.output_layout})"
