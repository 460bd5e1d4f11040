"""Convolutions of a frozen network and the gradient by its edge vectors, without autograd where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.library import convolution_backward_op, convolution_op
from mfbench.mfcore.ops.convolution.op import convolve
from mfbench.mfcore.ops.convolution.protocol import ConvolutionKernels, EdgeInputs
from mfbench.mfcore.ops.edges import Edges
from mfbench.mfcore.ops.geometry.library import geometry_backward_op, geometry_op
from mfbench.mfcore.ops.geometry.op import edge_geometry
from mfbench.mfcore.ops.geometry.protocol import GeometryKernels
from mfbench.mfcore.ops.library import convolves, has_geometry
from mfbench.mfcore.ops.radial.functions import RadialSettings
from mfbench.mfcore.ops.radial.network import RadialNetwork
from mfbench.mfcore.ops.radial.table import RadialTable

DIFFERENTIABLE = ("harmonics", "spline", "basis", "envelope")  # what depends on the vectors in an EdgeGeometry


class Convolution(NamedTuple):
    """One convolution; `table` is None where the radial network is evaluated on every edge."""

    paths: TensorProductInstructions
    radial: RadialNetwork
    table: RadialTable | None


class EdgePass(Protocol):
    """One evaluation of the network: messages forward, then back through the convolutions in reverse."""

    def messages(self, convolution: Convolution, mixed: Sequence[Tensor]) -> list[Tensor]:
        """Convolution of inputs (A, 2l+1, C)."""

    def back(self, cotangents: Sequence[Tensor], with_inputs: bool) -> list[Tensor]:
        """Gradients of the inputs of the last convolution that was not yet gone back through, if they are wanted."""

    def gradient(self) -> Tensor:
        """Gradient with respect to the vectors, (E, 3), after the way back."""


def edge_pass(
    convolutions: Sequence[Convolution],
    vectors: Tensor,
    edges: Edges,
    lmax: int,
    settings: RadialSettings,
    kernels: Backend | Kernels,
    keep: bool,
) -> EdgePass:
    """Begin an evaluation.

    Parameters
    ----------
    convolutions
        All convolutions of the network.
    vectors
        (E, 3) Å.
    edges
        Which atoms they join.
    lmax, settings
        Of the network.
    kernels
        What computes.
    keep
        Whether there will be a way back.
    """
    if not isinstance(kernels, Kernels):
        return _ByNodes(convolutions, vectors, edges, lmax, settings, kernels)
    geometry = kernels.geometry(lmax, settings.envelope_power)
    found = {c.paths: k for c in convolutions if (k := kernels.convolution(c.paths)) is not None}
    if geometry is not None and len(found) == len(convolutions):
        return _ByKernels(geometry, found, vectors, edges, lmax, settings, keep)
    return _ByAutograd(vectors, edges, lmax, settings, kernels, keep)


class _ByKernels:
    """Kernels called directly."""

    def __init__(
        self,
        geometry: GeometryKernels,
        kernels: dict[TensorProductInstructions, ConvolutionKernels],
        vectors: Tensor,
        edges: Edges,
        lmax: int,
        settings: RadialSettings,
        keep: bool,
    ) -> None:
        self._geometry, self._kernels, self._vectors, self._edges = geometry, kernels, vectors, edges
        self._cutoff, self._n_knots, self._keep = settings.cutoff, settings.n_knots, keep
        n = vectors.shape[0]
        self._harmonics, self._spline = vectors.new_empty(n, (lmax + 1) ** 2), vectors.new_empty(n, 4)
        self._knot = vectors.new_empty(n, dtype=torch.int32)
        geometry.forward(vectors, self._cutoff, self._n_knots, self._harmonics, self._knot, self._spline)
        self._passed: list[tuple[ConvolutionKernels, EdgeInputs, list[Tensor]]] = []
        self._totals: list[Tensor] = []

    def messages(self, convolution: Convolution, mixed: Sequence[Tensor]) -> list[Tensor]:
        assert convolution.table is not None
        kernels, features = self._kernels[convolution.paths], [m.contiguous() for m in mixed]
        inputs = EdgeInputs(self._knot, self._harmonics, self._spline, convolution.table.values)
        layout = convolution.paths.output_layout
        out = [self._spline.new_empty(self._edges.n_atoms, 2 * degree + 1, c) for degree, _, c in layout]
        kernels.forward(self._edges, inputs, features, out)
        if self._keep:
            self._passed.append((kernels, inputs, features))
        return out

    def back(self, cotangents: Sequence[Tensor], with_inputs: bool) -> list[Tensor]:
        kernels, inputs, features = self._passed.pop()
        made = [torch.empty_like(x) for x in features] if with_inputs else None
        found = [torch.empty_like(self._harmonics), torch.empty_like(self._spline)]
        kernels.backward_geometry(self._edges, inputs, features, [g.contiguous() for g in cotangents], made, *found)
        self._totals = [a.add_(b) for a, b in zip(self._totals, found, strict=True)] if self._totals else found
        return made or []

    def gradient(self) -> Tensor:
        made = torch.empty_like(self._vectors)
        for_harmonics, for_spline = self._totals
        self._geometry.backward(self._vectors, self._cutoff, self._n_knots, for_harmonics, for_spline, made)
        return made


class _ByNodes:
    """Registered operations, for a graph that torch.compile or torch.export makes.

    Raises
    ------
    ConfigError
        If the backend lacks kernels.
    """

    def __init__(
        self,
        convolutions: Sequence[Convolution],
        vectors: Tensor,
        edges: Edges,
        lmax: int,
        settings: RadialSettings,
        backend: Backend,
    ) -> None:
        place = vectors.device, vectors.dtype
        found = settings.mode == "table" and has_geometry(backend, lmax, settings.envelope_power, *place)
        if not found or not all(convolves(backend, c.paths.key, *place) for c in convolutions):
            raise ConfigError(
                "a frozen network in one graph: expected kernels and radial functions in table mode, but backend "
                f"'{backend}' has no kernels for this network on {place[0]} in {place[1]}; see `mfbench info`."
            )
        self._vectors, self._backend = vectors, backend
        self._settings = lmax, settings.cutoff, settings.n_knots, settings.envelope_power, backend
        self._ends = edges.sender, edges.receiver, edges.row_pointer
        self._harmonics, self._knot, self._spline = geometry_op(vectors, *self._settings)
        self._passed: list[tuple[list[Any], str]] = []
        self._totals: list[Tensor] = []

    def messages(self, convolution: Convolution, mixed: Sequence[Tensor]) -> list[Tensor]:
        assert convolution.table is not None
        inputs = [self._knot, self._harmonics, self._spline, convolution.table.values, list(mixed)]
        self._passed.append((inputs, convolution.paths.key))
        made: list[Tensor] = convolution_op(*inputs, *self._ends, convolution.paths.key, self._backend)
        return made

    def back(self, cotangents: Sequence[Tensor], with_inputs: bool) -> list[Tensor]:
        inputs, key = self._passed.pop()
        flags = True, False, with_inputs
        found = convolution_backward_op(*inputs, list(cotangents), *self._ends, key, self._backend, *flags)
        self._totals = [a + b for a, b in zip(self._totals, found[:2], strict=True)] if self._totals else found[:2]
        return list(found[2:])

    def gradient(self) -> Tensor:
        made: Tensor = geometry_backward_op(self._vectors, *self._totals, *self._settings)
        return made


class _ByAutograd:
    """Any backend: each convolution is a graph of its own."""

    def __init__(
        self, vectors: Tensor, edges: Edges, lmax: int, settings: RadialSettings, kernels: Kernels, keep: bool
    ) -> None:
        self._vectors, self._keep, self._all = vectors.detach().requires_grad_(keep), keep, kernels
        with torch.set_grad_enabled(keep):
            geometry = edge_geometry(self._vectors, edges, lmax, settings, kernels)
        ends = {name: getattr(geometry, name) for name in DIFFERENTIABLE}
        self._ends = {name: value for name, value in ends.items() if value is not None and value.requires_grad}
        self._starts: dict[str, Any] = {name: value.detach().requires_grad_() for name, value in self._ends.items()}
        self._inner = replace(geometry, **self._starts)
        self._passed: list[tuple[list[Tensor], list[Tensor]]] = []
        self._totals: list[Tensor] = []

    def messages(self, convolution: Convolution, mixed: Sequence[Tensor]) -> list[Tensor]:
        features = [m.detach().requires_grad_(self._keep) for m in mixed]
        with torch.set_grad_enabled(self._keep):
            weights = convolution.radial(self._inner) if convolution.table is None else convolution.table
            out = convolve(convolution.paths, features, self._inner, weights, self._all)
        if self._keep:
            self._passed.append((features, out))
        return [m.detach() for m in out]

    def back(self, cotangents: Sequence[Tensor], with_inputs: bool) -> list[Tensor]:
        features, out = self._passed.pop()
        inputs = [*self._starts.values(), *(features if with_inputs else [])]
        grads = torch.autograd.grad(out, inputs, cotangents, materialize_grads=True)
        n = len(self._starts)
        self._totals = [a + b for a, b in zip(self._totals, grads[:n], strict=True)] if self._totals else [*grads[:n]]
        return list(grads[n:])

    def gradient(self) -> Tensor:
        (made,) = torch.autograd.grad(list(self._ends.values()), self._vectors, self._totals)
        return made
