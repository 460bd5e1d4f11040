"""How a stage may change weights: freely, by matrices of low rank, held near their start, or less in early layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mfbench.mfcore.core import TRUNK, Core


@dataclass(frozen=True)
class Changes:
    """Limits on how the weights of a stage may change.

    Attributes
    ----------
    rank
        Matrices change by a product of rank `rank` (:class:`LowRankUpdate`); None: freely.
    anchor
        Decay of the weights towards the values that the stage starts from, per unit of learning rate; 0: none.
    layer_decay
        Factor of the learning rate from a part of the trunk to the one before it, the readout having the whole rate;
        1: the same in all.
    """

    rank: int | None = None
    anchor: float = 0.0
    layer_decay: float = 1.0


class WeightUpdate:
    """The weights that a stage changes, and the parameters by which its optimiser does so: here, the weights.

    Parameters
    ----------
    weights
        Parameters of a network by their names.

    Attributes
    ----------
    weights
        Those that need a gradient.
    parameters
        Those that the optimiser moves.
    owners
        Name of the weight that each of `parameters` belongs to.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.weights = list(weights.values())
        self.parameters = list(weights.values())
        self.owners = list(weights)

    def pull(self) -> None:
        """Turn the gradients of the weights into those of the parameters; weights that are no parameters keep none."""

    def push(self) -> None:
        """Give the weights the values that follow from the parameters."""


class LowRankUpdate(WeightUpdate):
    """Matrices W0 + A·B with W0 fixed, A of shape (m, r) and B of shape (r, n), B zero at first.

    Low-rank adaptation (Hu et al., ICLR 2022, arXiv 2106.09685, eq. 3, with α = r), whose product is added to the
    weights themselves, so that the network keeps its form. The last two dimensions of a weight are a matrix, those
    before count matrices. What two factors would not make smaller (vectors, narrow matrices) is trained as it is.

    Parameters
    ----------
    weights
        As for :class:`WeightUpdate`.
    rank
        r.
    seed
        Of the A.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], rank: int, seed: int) -> None:
        super().__init__({})
        self.weights = list(weights.values())
        self._factors: list[tuple[nn.Parameter, Tensor, nn.Parameter, nn.Parameter]] = []
        generator = torch.Generator().manual_seed(seed)
        for name, weight in weights.items():
            made = [weight]
            if weight.ndim >= 2 and rank * (weight.shape[-2] + weight.shape[-1]) < weight.shape[-2] * weight.shape[-1]:
                *stack, m, n = weight.shape
                left = torch.randn(*stack, m, rank, generator=generator, dtype=torch.float64) / math.sqrt(rank)
                first, second = nn.Parameter(left.to(weight)), nn.Parameter(weight.new_zeros(*stack, rank, n))
                self._factors.append((weight, weight.detach().clone(), first, second))
                made = [first, second]
            self.parameters += made
            self.owners += [name] * len(made)

    def pull(self) -> None:
        """dL/dA = dL/dW·Bᵀ and dL/dB = Aᵀ·dL/dW."""
        for weight, _, first, second in self._factors:
            if weight.grad is None:
                first.grad = second.grad = None
                continue
            gradient, weight.grad = weight.grad, None
            first.grad = gradient @ second.detach().mT
            second.grad = first.detach().mT @ gradient

    def push(self) -> None:
        """W = W0 + A·B."""
        with torch.no_grad():
            for weight, start, first, second in self._factors:
                weight.copy_(start + first @ second)


def update_of(changes: Changes, weights: Mapping[str, nn.Parameter], seed: int) -> WeightUpdate:
    """Make the update that a stage asks for."""
    return WeightUpdate(weights) if changes.rank is None else LowRankUpdate(weights, changes.rank, seed)


def rate_factors(core: Core, owners: Sequence[str], decay: float) -> list[float]:
    """Give the share of the learning rate of each parameter: `decay` to the power of its distance from the readout.

    Rates that fall from output to input are those of Howard and Ruder (ACL 2018, arXiv 1801.06146, section 3.2), who
    divide by 2.6 from layer to layer.

    Parameters
    ----------
    owners
        Name of the weight of each parameter.
    decay
        Factor from one part of the trunk to the one before it, in (0, 1].
    """
    if decay == 1.0:
        return [1.0] * len(owners)
    groups = core.parameter_groups()
    trunk = [group for group in groups if group.startswith(f"{TRUNK}.")]
    parts = [groups[group] for group in sorted(trunk, key=lambda group: int(group.rpartition(".")[2]))]
    depth = {name: len(parts) - place for place, names in enumerate(parts) for name in names}
    return [decay ** depth.get(name, 0) for name in owners]
