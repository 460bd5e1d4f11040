"""Shapes and operands of a node update, and kernels that compute it.

With messages M, features F and W the matrices, in each irrep k ::

    o_k  = s M_k Wout_k + F_j Wsc_k[species] + a_k    (a: rows that are added to the scalars; s: a constant)
    F'_0 = γ silu(o_0)                                in the channels that go on
    F'_k = γ silu(gates of k) o_k                     for l > 0; the gates are the other channels of o_0
    F'_k = τ tanh(o_k)                                for pseudoscalars
    X_k  = F'_k Win_k                                 the inputs of the next convolution

F'_k are the results and X_k the mixed features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor

from mfbench.mfcore.ops.node_update.species_groups import SpeciesGroups


class UpdateIrrep(NamedTuple):
    """Sizes of one irrep: 2l+1, channels of messages, sums o and results, and of the connected features (0: none)."""

    components: int
    messages: int
    sums: int
    results: int
    connected: int


@dataclass(frozen=True)
class UpdateShape:
    """Which irreps come out of a layer, and what happens to them.

    Attributes
    ----------
    irreps
        Sizes of each irrep of messages and of results.
    connections
        (k, j) of each self-connection: from incoming irrep j to outgoing irrep k.
    gates
        (k, first, last) columns of the scalars that gate irrep k.
    pseudoscalars
        Irreps that go through tanh.
    mixes
        Whether there is a next convolution, and so Win.
    n_out
        Number of irreps of messages and of results.
    counts
        Numbers of irreps and of connections.
    key
        Text of all numbers, as registered operations take it.
    """

    irreps: tuple[UpdateIrrep, ...]
    connections: tuple[tuple[int, int], ...]
    gates: tuple[tuple[int, int, int], ...]
    pseudoscalars: tuple[int, ...]
    mixes: bool
    n_out: int = field(init=False, compare=False, repr=False)
    counts: tuple[int, int] = field(init=False, compare=False, repr=False)
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        irreps = tuple(tuple(irrep) for irrep in self.irreps)
        found = {
            "n_out": len(self.irreps),
            "counts": (len(self.irreps), len(self.connections)),
            "key": repr((irreps, self.connections, self.gates, self.pseudoscalars, self.mixes)),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @property
    def width(self) -> int:
        """Scalars that go on; the other channels of the scalars are gates."""
        return self.irreps[0].results


class Matrices(NamedTuple):
    """Matrices of an update, or gradients with respect to them.

    Attributes
    ----------
    outward
        Wout, (messages, sums) of each irrep.
    connecting
        Wsc, (connected, n_species · sums) of each connection.
    inward
        Win, (results, results) of each irrep, or none.
    """

    outward: Sequence[Tensor]
    connecting: Sequence[Tensor]
    inward: Sequence[Tensor]


class UpdateInputs(NamedTuple):
    """Inputs of an update; or gradients with respect to it, or a direction, where None is no place or zero.

    Attributes
    ----------
    messages
        (A, 2l+1, channels) for each irrep.
    features
        (A, 2l+1, channels) for each connection.
    added
        (A, 1, sums) to the scalars, or none.
    """

    messages: Sequence[Tensor | None]
    features: Sequence[Tensor | None]
    added: Tensor | None


class UpdateCall(NamedTuple):
    """Arguments that all passes of an update share; see the head of this module.

    Attributes
    ----------
    shape
        Irreps.
    scale
        s.
    groups
        The atoms by species.
    matrices
        W.
    tf32
        Multiply in TF32, see :mod:`mfbench.mfcore.ops.node_update.tf32`; this is done by plain torch.
    """

    shape: UpdateShape
    scale: float
    groups: SpeciesGroups
    matrices: Matrices
    tf32: bool = False


class Updated(NamedTuple):
    """Results of an update: o_k, F'_k and X_k, one (A, 2l+1, channels) for each irrep."""

    sums: list[Tensor]
    results: list[Tensor]
    mixed: list[Tensor]


class UpdateKernels(Protocol):
    """The node update of any shape, in one dtype.

    All sums o_k of an atom are one row of a tensor (A, R), in an order and with gaps that are the kernels' own; "of
    rows" below is the same for what belongs to the sums. Messages, results, mixed features and their cotangents are
    one (A, 2l+1, channels) for each irrep, features one for each connection. Sequences that hold cotangents or
    directions may have None for zero; a sequence of results may be empty, or a result None: then it is not wanted.

    With S = Σ F' · for_results + Σ X · for_mixed + Σ o · for_sums, the kernels after the first are derivatives of S.
    Results should repeat bit for bit for the same inputs.
    """

    def row(self, shape: UpdateShape, /) -> int:
        """R."""

    def in_rows(self, shape: UpdateShape, sums: Sequence[Tensor], /) -> Tensor:
        """Bring o_k, (A, 2l+1, sums) of each irrep, into rows, differentiably and with zeros in the gaps."""

    def forward(
        self,
        call: UpdateCall,
        inputs: UpdateInputs,
        sums: Tensor,
        results: Sequence[Tensor],
        mixed: Sequence[Tensor],
        /,
    ) -> None:
        """Write the sums (A, R), the results, and the mixed features if there are any."""

    def backward(
        self,
        call: UpdateCall,
        sums: Tensor,
        for_sums: Tensor | None,
        for_results: Sequence[Tensor | None],
        for_mixed: Sequence[Tensor | None],
        inputs: UpdateInputs,
        turned: Tensor | None,
        for_inputs: UpdateInputs,
        for_matrices: Matrices | None,
        /,
    ) -> None:
        """Write ∂S/∂ inputs and matrices.

        Of the inputs, messages and features are read, only for gradients of matrices. `turned` (A, R) is for the
        double backward.
        """

    def double_backward(
        self,
        call: UpdateCall,
        sums: Tensor,
        turned: Tensor,
        along: UpdateInputs,
        for_mixed: Sequence[Tensor | None],
        for_sums: Tensor,
        for_for_results: Sequence[Tensor],
        for_for_mixed: Sequence[Tensor],
        for_matrices: Matrices,
        /,
    ) -> None:
        """The parameter pass through a force pass.

        With D = Σ along · ∂S/∂ inputs: write ∂D/∂ sums (A, R), cotangents of the results
        and of the mixed features, and matrices; the latter without what comes by way of the sums.
        """
