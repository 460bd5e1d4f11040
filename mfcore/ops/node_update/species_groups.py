"""The atoms of a batch by species, and products with one matrix per species."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.ops.autograd import wanted

# below this many atoms, one large product of which a part is used costs less than one product per species
_FEW_ATOMS = 96


@dataclass(frozen=True)
class SpeciesGroups:
    """The atoms of a batch by species.

    Its methods are products without derivatives (:func:`species_linear` has them), of features (A, components, C) and
    a weight (C, n_species · W): the matrices of all species side by side.

    Attributes
    ----------
    species
        (A,) species index of each atom.
    n_species
        Number of species; 1 if all atoms share one matrix.
    counts
        Atoms of each species, if they are known; on other devices than the CPU they are not counted, since that would
        be to wait, and the products with all matrices are taken.
    whole
        Take the products with all matrices, as a traced pass has to: numbers by species are those of one batch.
    """

    species: Tensor
    n_species: int
    counts: tuple[int, ...] | None = None
    whole: bool = False

    @cached_property
    def _ordered(self) -> tuple[Tensor, Tensor, tuple[int, ...]] | None:
        """Order, inverse and sizes, made when they are first asked for: kernels do without."""
        species = self.species
        if self.n_species == 1 or len(species) < _FEW_ATOMS:
            return None
        sizes = self.counts
        if sizes is None:
            if species.device.type != "cpu":
                return None
            sizes = tuple(torch.bincount(species, minlength=self.n_species).tolist())
        order = torch.argsort(species, stable=True)
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return order, inverse, sizes

    @property
    def order(self) -> Tensor | None:
        """(A,) atoms ordered by species, if products are to be taken species by species."""
        return None if self.whole or self._ordered is None else self._ordered[0]

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply the rows of each atom with the matrix of its species: (A, components, W)."""
        if self.n_species == 1:
            only: Tensor = x @ weight
            return only
        atoms, components, channels = x.shape
        if self.order is not None:
            rows = x.index_select(0, self.order).view(-1, channels)
            return self._by_species(rows, weight.chunk(self.n_species, 1), components)
        return self.chosen((x.reshape(-1, channels) @ weight).view(atoms, components, -1))

    def chosen(self, products: Tensor) -> Tensor:
        """Of products with the matrices of all species (A, components, n_species · W), those of each atom's own."""
        if self.n_species == 1:
            return products
        atoms, components, width = products.shape[0], products.shape[1], products.shape[2] // self.n_species
        index = self.species.view(-1, 1, 1, 1).expand(-1, components, 1, width)
        return products.view(atoms, components, self.n_species, width).gather(2, index).squeeze(2)

    def incoming(self, x: Tensor) -> Tensor:
        """Rows of inputs (A, components, C) as :meth:`outer` takes them."""
        return (x if self.order is None else x.index_select(0, self.order)).reshape(-1, x.shape[2])

    def outgoing(self, y: Tensor) -> Tensor:
        """Rows of cotangents (A, components, W) as :meth:`transposed` and :meth:`outer` take them."""
        if self.n_species == 1 or self.order is not None:
            return self.incoming(y)
        atoms, components, width = y.shape
        spread = y.new_zeros(atoms, components, self.n_species, width)
        index = self.species.view(-1, 1, 1, 1).expand(-1, components, 1, width)
        return spread.scatter_(2, index, y[:, :, None, :]).view(atoms * components, -1)

    def transposed(self, rows: Tensor, weight: Tensor, components: int) -> Tensor:
        """Multiply :meth:`outgoing` rows with the transposed matrices: (A, components, C)."""
        if self.order is None:
            return (rows @ weight.T).view(-1, components, weight.shape[0])
        return self._by_species(rows, [block.T for block in weight.chunk(self.n_species, 1)], components)

    def outer(self, incoming: Tensor, outgoing: Tensor, components: int) -> Tensor:
        """Sum xᵀ y over the atoms of each species: the gradient of the weight."""
        if self.order is None:
            return incoming.T @ outgoing
        made = incoming.new_empty(incoming.shape[1], self.n_species, outgoing.shape[1])
        for index, block in enumerate(self._blocks(components)):
            torch.mm(incoming[block].T, outgoing[block], out=made[:, index])
        return made.view(incoming.shape[1], -1)

    def _by_species(self, rows: Tensor, matrices: list[Tensor] | tuple[Tensor, ...], components: int) -> Tensor:
        assert self._ordered is not None
        made = rows.new_empty(len(rows), matrices[0].shape[1])
        for block, matrix in zip(self._blocks(components), matrices, strict=True):
            torch.mm(rows[block], matrix, out=made[block])
        return made.view(-1, components, matrices[0].shape[1]).index_select(0, self._ordered[1])

    def _blocks(self, components: int) -> list[slice]:
        """Rows of each species where they are ordered by species."""
        assert self._ordered is not None
        ends = [0]
        for size in self._ordered[2]:
            ends.append(ends[-1] + size * components)
        return [slice(first, last) for first, last in pairwise(ends)]


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
    if groups.order is None:
        return groups.product(x, weight)
    made: Tensor = _Product.apply(x, weight, groups)  # type: ignore[no-untyped-call]
    return made


class _Product(torch.autograd.Function):
    """(x, weight, groups) → product; the gradients are products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return groups.product(x, weight)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        for_x = _Transposed.apply(cotangent, weight, ctx.groups) if wanted(ctx, 0, 0) else None  # type: ignore[no-untyped-call]
        for_weight = _Outer.apply(x, cotangent, ctx.groups) if wanted(ctx, 1, 1) else None  # type: ignore[no-untyped-call]
        return for_x, for_weight, None


class _Transposed(torch.autograd.Function):
    """(y, weight, groups) → y times the transposed matrices."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.groups = groups
        return groups.transposed(groups.outgoing(y), weight, y.shape[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        y, weight = ctx.saved_tensors
        for_y = _Product.apply(cotangent, weight, ctx.groups) if wanted(ctx, 0, 0) else None  # type: ignore[no-untyped-call]
        for_weight = _Outer.apply(cotangent, y, ctx.groups) if wanted(ctx, 1, 1) else None  # type: ignore[no-untyped-call]
        return for_y, for_weight, None


class _Outer(torch.autograd.Function):
    """(x, y, groups) → xᵀ y summed over the atoms of each species, side by side: (C, n_species · W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, groups: SpeciesGroups) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.groups = groups
        return groups.outer(groups.incoming(x), groups.outgoing(y), x.shape[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, y = ctx.saved_tensors
        for_x = _Transposed.apply(y, cotangent, ctx.groups) if wanted(ctx, 0, 0) else None  # type: ignore[no-untyped-call]
        for_y = _Product.apply(x, cotangent, ctx.groups) if wanted(ctx, 1, 1) else None  # type: ignore[no-untyped-call]
        return for_x, for_y, None
