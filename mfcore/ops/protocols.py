"""What a provider of convolution kernels has to offer: to be written against, with every shape.

In all of this N is the number of atoms and E of edges, K = (lmax + 1)² the number of harmonics, W the number of
radial weights of an edge (``paths.n_weights``), and Q = n_knots + 3 the number of control points of the radial table.
Features and their gradients are one tensor (N, 2l+1, channels) per irrep of ``paths.input``; outputs and their
cotangents one (N, 2l+1, channels) per irrep of ``paths.output_layout``. All tensors are contiguous, of one device,
and of one dtype, but for the int64 of the edges and the int32 of the intervals.

Kernels write their results into tensors that the caller has allocated and not cleared: every element has to be
written, also those of atoms without edges. They may be given N = 0 or E = 0, distances beyond the cutoff (spline
weights of zero) and NaN, which has to reach the receivers of that edge and no other atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductPaths

if TYPE_CHECKING:
    from mfbench.mfcore.ops.node_update.op import Matrices, UpdateCall, UpdateInputs, UpdateShape


class KernelsUnavailable(Exception):
    """The kernels cannot be made or loaded here; the message says why, as a sentence."""


@dataclass(frozen=True)
class Edges:
    """Which atoms the edges join.

    Attributes
    ----------
    n_atoms
        N.
    sender, receiver
        (E,) int64; `receiver` ascends.
    row_pointer
        (N + 1,) int64: the edges into atom i are row_pointer[i] … row_pointer[i + 1] - 1.

    Raises
    ------
    ConfigError
        If the tensors are not of int64.
    """

    n_atoms: int
    sender: Tensor
    receiver: Tensor
    row_pointer: Tensor

    def __post_init__(self) -> None:
        for name in ("sender", "receiver", "row_pointer"):
            tensor: Tensor = getattr(self, name)
            if tensor.dtype != torch.int64:  # kernels take addresses, and would read other numbers
                raise ConfigError(f"edges: expected {name} of int64, got {tensor.dtype}.")
            if not tensor.is_contiguous():
                object.__setattr__(self, name, tensor.contiguous())

    @cached_property
    def by_sender(self) -> tuple[Tensor, Tensor]:
        """The edges that leave atom j are order[pointer[j]] … order[pointer[j + 1] - 1].

        `pointer` is (N + 1,) int64 and `order` (E,) int64; edges of one sender keep their order. For kernels that
        sum the gradients of features without atomic additions.
        """
        order = torch.argsort(self.sender, stable=True)
        counts = torch.bincount(self.sender, minlength=self.n_atoms)
        return torch.nn.functional.pad(counts.cumsum(0), (1, 0)), order


class EdgeInputs(NamedTuple):
    """What every kernel reads.

    Attributes
    ----------
    knot
        (E,) int32, spline interval: 0 … Q - 4.
    harmonics
        (E, K), called Y below.
    spline
        (E, 4): B-spline weights times the cutoff envelope, called c below.
    table
        (Q, W): control points of the radial weights, called t below.
    """

    knot: Tensor
    harmonics: Tensor
    spline: Tensor
    table: Tensor


class ConvolutionKernels(Protocol):
    """One set of paths in one dtype.

    With x the features, CG the coefficients of a path (``paths.coefficients``) and u a channel, the convolution is ::

        w[e, q, u]         = Σ_r c[e, r] t[knot[e] + r, offset(q) + u]
        out[i, m3, (q, u)] = Σ_{e into i} w[e, q, u] Σ_{m1 m2} CG[m1, m2, m3] Y[e, l2² + m2] x[sender[e], m1, u]

    where offset is ``paths.weight_offsets``, and the channels (q, u) of an output irrep are those of the paths that
    lead to it, ``paths.paths_into``, one path after another. Not divided by the number of neighbours. The sum
    S = Σ out · g over everything, with g the cotangents, is multilinear in (Y, c, t, x, g); the other kernels are its
    derivatives. Results should repeat bit for bit for the same inputs.
    """

    def forward(self, edges: Edges, inputs: EdgeInputs, features: Sequence[Tensor], out: Sequence[Tensor], /) -> None:
        """Write the convolution to `out`."""

    def backward_geometry(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_harmonics: Tensor,
        for_spline: Tensor,
        /,
    ) -> None:
        """What a force pass needs: ∂S/∂x, ∂S/∂Y (E, K) and ∂S/∂c (E, 4); ∂S/∂x only if there is a place for it."""

    def backward_parameters(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor] | None,
        for_table: Tensor,
        /,
    ) -> None:
        """What a parameter pass needs: ∂S/∂x and ∂S/∂t (Q, W); ∂S/∂x only if there is a place for it."""

    def double_backward(
        self,
        edges: Edges,
        inputs: EdgeInputs,
        features: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        along_features: Sequence[Tensor],
        along_harmonics: Tensor,
        along_spline: Tensor,
        for_cotangents: Sequence[Tensor],
        for_features: Sequence[Tensor],
        for_table: Tensor,
        /,
    ) -> None:
        """The parameter pass through a force pass.

        With directions z (`along_features`, as x), b (`along_harmonics`, (E, K)) and a (`along_spline`, (E, 4)), and
        D = z · ∂S/∂x + b · ∂S/∂Y + a · ∂S/∂c: write ∂D/∂g, ∂D/∂x (from b and a only: S is linear in x) and
        ∂D/∂t (Q, W).
        """


class GeometryKernels(Protocol):
    """From edge vectors to harmonics and radial inputs, for one lmax, envelope power p and dtype.

    With r = |v|, n = v / r and x = r / cutoff: Y are the component-normalised real spherical harmonics of n in
    e3nn's order; the interval is floor(x n_knots) clamped to 0 … n_knots - 1 (any of these for NaN); c are the four
    cubic B-splines of that interval at x n_knots times the polynomial envelope of power p, which is 0 for x >= 1, and
    NaN for NaN.
    """

    def forward(
        self, vectors: Tensor, cutoff: float, n_knots: int, harmonics: Tensor, knot: Tensor, spline: Tensor, /
    ) -> None:
        """Of vectors (E, 3): write Y (E, K), the interval (E,) int32 and c (E, 4)."""

    def backward(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        for_harmonics: Tensor,
        for_spline: Tensor,
        for_vectors: Tensor,
        /,
    ) -> None:
        """Vector–Jacobian product: write Σ for_harmonics ∂Y/∂v + Σ for_spline ∂c/∂v, (E, 3), to `for_vectors`."""

    def tangent(
        self,
        vectors: Tensor,
        cutoff: float,
        n_knots: int,
        along_vectors: Tensor,
        along_harmonics: Tensor,
        along_spline: Tensor,
        /,
    ) -> None:
        """Jacobian–vector product: write ∂Y/∂v · along_vectors (E, K) and ∂c/∂v · along_vectors (E, 4)."""


class UpdateKernels(Protocol):
    """The node update of :mod:`mfbench.mfcore.ops.node_update.op`, of any shape, in one dtype.

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


class EdgeKernels(Protocol):
    """Sums and differences of three numbers per atom or edge, in one dtype; they repeat bit for bit."""

    def differences(self, first: Tensor, second: Tensor, atoms: Tensor, added: Tensor | None, out: Tensor, /) -> None:
        """With (E,) int64 of atoms x (N, 3): write x[first] - x[second] + added to `out`, (E, 3); added: (E, 3)."""

    def sums(self, edges: Edges, per_edge: Tensor, out: Tensor, /) -> None:
        """Of g (E, 3): write Σ g of the edges into each atom less Σ g of those that leave it, (N, 3), to `out`."""


class ReadoutKernels(Protocol):
    """The readout in one dtype; shapes as of :func:`~mfbench.mfcore.ops.readout.op.readout`.

    Tensors may have gaps; results are new ones, and should repeat bit for bit for the same inputs. With cotangents g of
    y and e of z, t = e + g γ o silu'(z) is the gradient of what enters the activation.
    """

    def forward(self, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None, /) -> tuple[Tensor, Tensor]:
        """Compute y, (A,), and z, (A, K)."""

    def backward(
        self,
        scalars: Tensor | None,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor | None,
        for_z: Tensor | None,
        flags: Sequence[bool],
        /,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
        """Compute gradients of scalars, H and o, those that the flags ask for, and t, (A, K).

        That of o is for each atom, (A, K), also if all atoms share o. `cotangent` is g (A,), `for_z` is e (A, K), one
        of which may be None for zero. The scalars are read for the gradient of H only.
        """

    def double_backward(
        self,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor,
        turned: Tensor,
        direction: Tensor,
        flags: Sequence[bool],
        /,
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """Compute gradients of D = Σ direction · (t Hᵀ) for e = 0 with respect to g, z, H and o (of each atom).

        `turned` is t, (A, K), `direction` is (A, C). Flags for each of the four; that of z is not looked at.
        """


class Provider(Protocol):
    """A source of kernels. One object per process; it keeps the kernels that it has made.

    Attributes
    ----------
    title
        What it is, for people: "generated C++".
    device
        Type of the torch device that it is for: "cpu" or "cuda".
    dtypes
        What it can compute in.
    """

    title: str
    device: str
    dtypes: tuple[torch.dtype, ...]

    def obstacle(self) -> str | None:
        """Why it cannot be used on this machine, as a sentence; None if it seems that it can. Makes no kernels."""

    def convolution(self, paths: TensorProductPaths, dtype: torch.dtype) -> ConvolutionKernels:
        """Kernels of these paths. Raises KernelsUnavailable."""

    def geometry(self, lmax: int, envelope_power: int, dtype: torch.dtype) -> GeometryKernels:
        """Kernels of edge vectors. Raises KernelsUnavailable."""

    def update(self, dtype: torch.dtype) -> UpdateKernels | None:
        """Kernels of node updates, or None if it has none. Raises KernelsUnavailable."""

    def edges(self, dtype: torch.dtype) -> EdgeKernels | None:
        """Kernels of sums over edges, or None if it has none. Raises KernelsUnavailable."""

    def readout(self, dtype: torch.dtype) -> ReadoutKernels | None:
        """Kernels of readouts, or None if it has none. Raises KernelsUnavailable."""
