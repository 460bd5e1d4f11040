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
    are computed as one.

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
        self._stacks: dict[tuple[int, ...], list[_Stack]] = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of another optimiser of the same parameters."""
        super().load_state_dict(state_dict)
        self._stacks = {}

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
                for stack in self._stacks_of(moved):
                    stack.step(group["lr"], first, second, group["weight_decay"])
        return loss

    def _stacks_of(self, parameters: list[nn.Parameter]) -> list[_Stack]:
        """Give the parameters as stacks of one shape and one number of steps; their state is views of these."""
        key = tuple(map(id, parameters))
        if key not in self._stacks:
            alike: dict[Any, list[Tensor]] = defaultdict(list)
            for parameter in parameters:
                steps = int(self.state[parameter]["step"]) if self.state[parameter] else -1
                alike[parameter.shape, steps].append(parameter)
            # others that hold one of these would go on with a copy of its state
            kept = {k: v for k, v in self._stacks.items() if not set(k) & set(key)}
            self._stacks = kept | {key: [_Stack(few, self.state) for few in alike.values()]}
        return self._stacks[key]


class _Stack:
    """Parameters of one shape and their state, each of which is one tensor."""

    def __init__(self, parameters: list[Tensor], states: Any) -> None:
        self.parameters = parameters
        known = states[parameters[0]]
        self.steps = known["step"].clone() if known else torch.zeros((), dtype=torch.int64)
        if known:
            names = [name for name in known if name != "step"]
            self.state = {name: torch.stack([states[p][name] for p in parameters]) for name in names}
        else:
            gradient = self._gradient()
            self.state = {"first": torch.zeros_like(gradient), "second": torch.zeros_like(gradient)}
            for side in _SIDES:
                length = gradient.shape[-2 if side == "rows" else -1]
                if parameters[0].ndim > 1 and 1 < length <= LARGEST_SIDE:
                    self.state[side] = _outer(gradient, side)
                    self.state[f"{side}_basis"] = _eigenbasis(self.state[side])
        for i, parameter in enumerate(parameters):
            states[parameter] = {"step": self.steps, **{name: value[i] for name, value in self.state.items()}}
        self._rows, self._columns = self.state.get("rows_basis"), self.state.get("columns_basis")
        self._sets_bases = not known and (self._rows is not None or self._columns is not None)

    def _gradient(self) -> Tensor:
        """Of all parameters, as matrices; a vector is a row."""
        gradient = torch.stack([p.grad for p in self.parameters if p.grad is not None])
        return gradient if gradient.ndim > 2 else gradient.reshape(len(gradient), 1, -1)

    def step(self, rate: float, first: float, second: float, weight_decay: float) -> None:
        """Make one step, unless this is the gradient that the bases are made of."""
        if self._sets_bases:
            self._sets_bases = False
            return
        gradient, state, n = self._gradient(), self.state, int(self.steps) + 1
        turned = self._turned(gradient)
        state["first"].lerp_(turned, 1 - first)
        state["second"].mul_(second).addcmul_(turned, turned, value=1 - second)
        size = state["second"].sqrt().mul_((1 - second**n) ** -0.5).add_(_EPSILON)
        change = self._turned_back(state["first"] / size).mul_(1 / (1 - first**n))
        if weight_decay:
            torch._foreach_mul_(self.parameters, 1 - rate * weight_decay)
        moves = [one.view(p.shape) for one, p in zip(change.unbind(), self.parameters, strict=True)]
        torch._foreach_add_(self.parameters, moves, alpha=-rate)
        self.steps += 1
        for side in _SIDES:
            if side in state:
                state[side].lerp_(_outer(gradient, side), 1 - second)
                if n % EVERY == 0:
                    self._improve(side)

    def _turned(self, matrices: Tensor) -> Tensor:
        """Matrices in the bases."""
        if self._rows is not None:
            matrices = self._rows.mT @ matrices
        return matrices if self._columns is None else matrices @ self._columns

    def _turned_back(self, matrices: Tensor) -> Tensor:
        if self._rows is not None:
            matrices = self._rows @ matrices
        return matrices if self._columns is None else matrices @ self._columns.mT

    def _improve(self, side: str) -> None:
        """One orthogonal iteration of a basis, the directions of largest curvature first.

        The second moments go with their directions; the first moments are turned into the new basis.
        """
        basis, place = self.state[f"{side}_basis"], -2 if side == "rows" else -1
        product = self.state[side] @ basis + LATER * _mean_eigenvalue(self.state[side]) * basis
        order = torch.argsort((basis * product).sum(-2), dim=-1, descending=True, stable=True)
        along = order.unsqueeze(-1 if side == "rows" else -2)
        self.state["second"].copy_(torch.take_along_dim(self.state["second"], along, place))
        made = torch.linalg.qr(torch.take_along_dim(product, order.unsqueeze(-2), -1))[0]
        change = made.mT @ basis
        first = self.state["first"]
        first.copy_(change @ first if side == "rows" else first @ change.mT)
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
