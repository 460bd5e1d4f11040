"""SOAP: Adam in the eigenbases of Shampoo's preconditioners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

#: Rows or columns beyond which a side of a matrix is left as it is: its statistics would cost more than the step.
LARGEST_SIDE = 128

#: Steps between two updates of the bases.
EVERY = 4

#: Of a matrix of statistics' mean eigenvalue. Directions without a gradient are as good as each other, so that rounding
#: would choose among them: at first coordinates do, by up to this share, and later those that there are stay.
AT_FIRST, LATER = 1e-4, 1e-6

_EPSILON = 1e-8
_SIDES = ("rows", "columns")


class SOAP(torch.optim.Optimizer):
    """Adam whose moments are taken in slowly moving eigenbases of G·Gᵀ and Gᵀ·G of each matrix's gradient G.

    Vyas et al., SOAP: Improving and Stabilizing Shampoo using Adam (2024, arXiv 2409.11321), algorithms 3 and 4, with
    bias corrections; both moments are kept in the bases and turned with them. A first gradient only sets the bases:
    in them it is nearly diagonal, and Adam would make whole steps of what rounding leaves of the rest. Parameters of
    one dimension, and sides of more than :data:`LARGEST_SIDE`, keep the basis that they are given in; of parameters
    of more than two dimensions, the last two are a matrix and those before count matrices. Matrices of equal shape
    are computed as one, and what is done to each element to all parameters at once.

    Parameters
    ----------
    params
        Parameters, or groups of them with an own `lr` or `weight_decay`.
    lr
        Learning rate.
    betas
        Decays of the first moment, and of the second moment and of the statistics of the bases.
    weight_decay
        Decoupled, per unit of learning rate.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        self._batches: dict[tuple[int, ...], list[_Batch]] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of another optimiser of the same parameters."""
        super().load_state_dict(state_dict)
        self._batches = {}

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step; a closure is called for the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                moved = [p for p in group["params"] if p.grad is not None]
                first, second = group["betas"]
                for batch in self._batches_of(moved):
                    batch.step(group["lr"], first, second, group["weight_decay"])
        return loss

    def _batches_of(self, parameters: list[nn.Parameter]) -> list[_Batch]:
        """Give the parameters as batches of one number of steps; their state is views of these."""
        key = tuple(map(id, parameters))
        if key not in self._batches:
            alike: dict[int, list[Tensor]] = defaultdict(list)
            for parameter in parameters:
                alike[int(self.state[parameter]["step"]) if self.state[parameter] else -1].append(parameter)
            # others that hold one of these would go on with a copy of its state
            kept = {k: v for k, v in self._batches.items() if not set(k) & set(key)}
            self._batches = kept | {key: [_Batch(few, self.state) for few in alike.values()]}
        return self._batches[key]


class _Batch:
    """Parameters of one number of steps; gradients and moments of all lie in one tensor each."""

    def __init__(self, parameters: list[Tensor], states: Any) -> None:
        known = states[parameters[0]]
        self.steps = known["step"].clone() if known else torch.zeros((), dtype=torch.int64)
        shapes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            shapes[parameter.shape].append(parameter)
        self.parameters = [p for alike in shapes.values() for p in alike]
        length = sum(p.numel() for p in parameters)
        self._gradient, self._first, self._second, self._turned, self._change = (
            parameters[0].new_zeros(length) for _ in range(5)
        )
        self._gradients, self._changes = self._views(self._gradient), self._views(self._change)
        self._take_gradients()
        self._stacks, start = [], 0
        for alike in shapes.values():
            place = slice(start, start := start + len(alike) * alike[0].numel())
            parts = (self._gradient, self._first, self._second, self._turned, self._change)
            self._stacks.append(_Stack(alike, states, *(part[place] for part in parts)))
        for parameter in self.parameters:
            states[parameter]["step"] = self.steps
        self._sets_bases = not known and any(stack.sides for stack in self._stacks)

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([p.numel() for p in self.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def _take_gradients(self) -> None:
        torch._foreach_copy_(self._gradients, [p.grad for p in self.parameters if p.grad is not None])

    def step(self, rate: float, first: float, second: float, weight_decay: float) -> None:
        """Make one step, unless this is the gradient that the bases are made of."""
        if self._sets_bases:
            self._sets_bases = False
            return
        n = int(self.steps) + 1
        self._take_gradients()
        for stack in self._stacks:
            stack.turn()
        turned, size = self._turned, self._change
        self._first.lerp_(turned, 1 - first)
        self._second.mul_(second).addcmul_(turned, turned, value=1 - second)
        torch.sqrt(self._second, out=size)
        size.mul_((1 - second**n) ** -0.5).add_(_EPSILON)
        torch.div(self._first, size, out=turned)
        for stack in self._stacks:
            stack.turn_back()
        if weight_decay:
            torch._foreach_mul_(self.parameters, 1 - rate * weight_decay)
        torch._foreach_add_(self.parameters, self._changes, alpha=-rate / (1 - first**n))
        self.steps += 1
        for stack in self._stacks:
            stack.follow(second, n % EVERY == 0)


class _Stack:
    """Matrices of one shape, their place in the batch, and their bases."""

    def __init__(self, parameters: list[Tensor], states: Any, *parts: Tensor) -> None:
        """Take the state of the parameters over, or begin; `parts` are those of the batch's tensors."""
        shape = parameters[0].shape
        rows, columns = shape[-2:] if len(shape) > 1 else (1, shape.numel())
        self.gradient, self.first, self.second, self.turned, self.change = (
            part.view(-1, rows, columns) for part in parts
        )
        self.sides: dict[str, tuple[Tensor, Tensor]] = {}
        known = states[parameters[0]]
        if known:
            for name in ("first", "second"):
                getattr(self, name).copy_(torch.stack([states[p][name] for p in parameters]).view(-1, rows, columns))
        for side, size in zip(_SIDES, (rows, columns), strict=True):
            if known and side in known:
                kept = [[states[p][name] for p in parameters] for name in (side, f"{side}_basis")]
                self.sides[side] = tuple(torch.stack(few).view(-1, size, size) for few in kept)  # type: ignore[assignment]
            elif not known and len(shape) > 1 and 1 < size <= LARGEST_SIDE:
                statistics = _outer(self.gradient, side)
                self.sides[side] = (statistics, _eigenbasis(statistics))
        count = len(self.gradient) // len(parameters)
        for i, parameter in enumerate(parameters):
            own = slice(i * count, (i + 1) * count)
            state = {"first": self.first[own], "second": self.second[own]}
            for side, (statistics, basis) in self.sides.items():
                state |= {side: statistics[own], f"{side}_basis": basis[own]}
            states[parameter] = state
        self._rows, self._columns = (self.sides[side][1] if side in self.sides else None for side in _SIDES)

    def turn(self) -> None:
        """Write the gradients in the bases to `turned`."""
        matrices = self.gradient
        if self._rows is not None:
            matrices = torch.bmm(self._rows.mT, matrices, out=self.turned if self._columns is None else None)
        if self._columns is not None:
            torch.bmm(matrices, self._columns, out=self.turned)
        elif self._rows is None:
            self.turned.copy_(matrices)

    def turn_back(self) -> None:
        """Write what `turned` is in coordinates to `change`."""
        matrices = self.turned
        if self._rows is not None:
            matrices = torch.bmm(self._rows, matrices, out=self.change if self._columns is None else None)
        if self._columns is not None:
            torch.bmm(matrices, self._columns.mT, out=self.change)
        elif self._rows is None:
            self.change.copy_(matrices)

    def follow(self, decay: float, improve: bool) -> None:
        """Take the gradients into the statistics, and let the bases follow these."""
        matrices = self.gradient
        for side, (statistics, _) in self.sides.items():
            pair = (matrices, matrices.mT) if side == "rows" else (matrices.mT, matrices)
            statistics.baddbmm_(*pair, beta=decay, alpha=1 - decay)
            if improve:
                self._improve(side)

    def _improve(self, side: str) -> None:
        """One orthogonal iteration of a basis, the directions of largest curvature first.

        The second moments go with their directions; the first moments are turned into the new basis.
        """
        statistics, basis = self.sides[side]
        product = (LATER * _mean_eigenvalue(statistics) * basis).baddbmm_(statistics, basis)
        order = torch.argsort((basis * product).sum(-2), dim=-1, descending=True, stable=True)
        along, place = (order.unsqueeze(-1), -2) if side == "rows" else (order.unsqueeze(-2), -1)
        self.second.copy_(self.second.gather(place, along.expand_as(self.second)))
        made = torch.linalg.qr(product.gather(-1, order.unsqueeze(-2).expand_as(product)))[0]
        change = torch.bmm(made.mT, basis)
        self.first.copy_(torch.bmm(change, self.first) if side == "rows" else torch.bmm(self.first, change.mT))
        basis.copy_(made)


def _mean_eigenvalue(statistics: Tensor) -> Tensor:
    return statistics.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]


def _eigenbasis(statistics: Tensor) -> Tensor:
    """Eigenvectors as columns, those of the largest eigenvalues first."""
    statistics = torch.nan_to_num(statistics)
    order = torch.linspace(1.0, 0.0, statistics.shape[-1], dtype=statistics.dtype, device=statistics.device).diag()
    found: Tensor = torch.linalg.eigh(statistics + AT_FIRST * _mean_eigenvalue(statistics) * order)[1]
    return torch.flip(
        found, (-1,)
    ).contiguous()  # as it is read back from a file: the last bit of products depends on strides


def _outer(gradient: Tensor, side: str) -> Tensor:
    return gradient @ gradient.mT if side == "rows" else gradient.mT @ gradient
