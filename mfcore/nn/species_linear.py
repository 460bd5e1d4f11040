"""A linear map with one matrix per species, without computing those of the other species."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mfcore.nn.convolution.engine import wanted

# below this many rows, one product with masked inputs costs less than one product per species
_FEW_ROWS = 48


@dataclass(frozen=True)
class SpeciesGroups:
    """The atoms of a batch by species.

    Attributes
    ----------
    species
        (A,) species index of each atom.
    order
        (A,) atoms, ordered by species; `inverse` undoes it.
    inverse
        (A,) place of each atom in that order.
    sizes
        Number of atoms of each species.
    one_hot
        (A, n_species) of bool.
    """

    species: Tensor
    order: Tensor
    inverse: Tensor
    sizes: tuple[int, ...]
    one_hot: Tensor

    @classmethod
    def of(cls, species: Tensor, n_species: int) -> SpeciesGroups:
        """Group the atoms of species index (A,)."""
        order = torch.argsort(species, stable=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order), device=order.device)
        sizes = tuple(torch.bincount(species, minlength=n_species).tolist())
        one_hot = species[:, None] == torch.arange(n_species, device=species.device)
        return cls(species, order, inverse, sizes, one_hot)


def species_linear(x: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
    """Multiply the rows of each atom with the matrix of its species; differentiable any number of times.

    Parameters
    ----------
    x
        (A, components, C).
    weight
        (C, n_species · W): the matrices side by side.
    groups
        The atoms by species.

    Returns
    -------
    Tensor
        (A, components, W).
    """
    n_species = len(groups.sizes)
    if n_species == 1:
        product: Tensor = x @ weight
        return product
    if x.shape[0] < _FEW_ROWS or x.device.type != "cpu":
        atoms, components, channels = x.shape
        masked = (x[:, :, None, :] * groups.one_hot.to(x.dtype)[:, None, :, None]).view(atoms, components, -1)
        stacked = weight.view(channels, n_species, -1).transpose(0, 1).reshape(n_species * channels, -1)
        return masked @ stacked
    result: Tensor = _SpeciesLinear.apply(x, weight, groups)  # type: ignore[no-untyped-call]
    return result


def _blocks(groups: SpeciesGroups, components: int) -> list[slice]:
    """Rows of each species in features of shape (A · components, C) that are ordered by species."""
    ends = [0]
    for size in groups.sizes:
        ends.append(ends[-1] + size * components)
    return [slice(first, last) for first, last in pairwise(ends)]


def _apply(x: Tensor, matrices: Sequence[Tensor], groups: SpeciesGroups) -> Tensor:
    """Rows (A, components, C) times one (C, W) matrix per species."""
    atoms, components, channels = x.shape
    rows = x.index_select(0, groups.order).view(-1, channels)
    out = x.new_empty(atoms * components, matrices[0].shape[1])
    for block, matrix in zip(_blocks(groups, components), matrices, strict=True):
        torch.mm(rows[block], matrix, out=out[block])
    return out.view(atoms, components, -1).index_select(0, groups.inverse)


class _SpeciesLinear(torch.autograd.Function):
    """(x, weight, groups) → product; the gradients are products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return _apply(x, weight.chunk(len(groups.sizes), 1), groups)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        for_x = for_weight = None
        if wanted(ctx, 0, 0):
            for_x = _Transposed.apply(cotangent, weight, ctx.groups)  # type: ignore[no-untyped-call]
        if wanted(ctx, 1, 1):
            for_weight = _Outer.apply(x, cotangent, ctx.groups)  # type: ignore[no-untyped-call]
        return for_x, for_weight, None


class _Transposed(torch.autograd.Function):
    """(y, weight, groups) → y times the transposed matrices."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.groups = groups
        return _apply(y, [matrix.T for matrix in weight.chunk(len(groups.sizes), 1)], groups)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        y, weight = ctx.saved_tensors
        for_y = for_weight = None
        if wanted(ctx, 0, 0):
            for_y = _SpeciesLinear.apply(cotangent, weight, ctx.groups)  # type: ignore[no-untyped-call]
        if wanted(ctx, 1, 1):
            for_weight = _Outer.apply(cotangent, y, ctx.groups)  # type: ignore[no-untyped-call]
        return for_y, for_weight, None


class _Outer(torch.autograd.Function):
    """(x, y, groups) → xᵀ y summed over the atoms of each species, side by side: (C, n_species · W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.groups = groups
        left = x.index_select(0, groups.order).view(-1, x.shape[2])
        right = y.index_select(0, groups.order).view(-1, y.shape[2])
        blocks = _blocks(groups, x.shape[1])
        return torch.cat([left[block].T @ right[block] for block in blocks], 1)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = ctx.saved_tensors
        for_x = for_y = None
        if wanted(ctx, 0, 0):
            for_x = _Transposed.apply(y, cotangent, ctx.groups)  # type: ignore[no-untyped-call]
        if wanted(ctx, 1, 1):
            for_y = _SpeciesLinear.apply(x, cotangent, ctx.groups)  # type: ignore[no-untyped-call]
        return for_x, for_y, None
