"""The convolution: products of sender features with harmonics, weighted and summed into receivers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels, kernels_for
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.ops.convolution.autograd import convolve_by_kernels
from mfbench.mfcore.ops.convolution.instructions import TensorProductInstructions
from mfbench.mfcore.ops.convolution.library import convolve_in_graph
from mfbench.mfcore.ops.convolution.reference import convolve_reference
from mfbench.mfcore.ops.geometry.protocol import EdgeGeometry
from mfbench.mfcore.ops.library import convolves, name_of
from mfbench.mfcore.ops.radial.network import RadialWeights
from mfbench.mfcore.ops.radial.table import RadialTable
from mfbench.mfcore.ops.tracing import traced


def convolve(
    paths: TensorProductInstructions,
    features: Sequence[Tensor],
    geometry: EdgeGeometry,
    weights: RadialWeights,
    backend: Backend | Kernels = "auto",
) -> list[Tensor]:
    """Sum over the edges into each atom of weight ⊙ (features[sender] ⊗ harmonics[edge]).

    Not divided by the number of neighbours. All first and second derivatives are right in every backend. With
    kernels, second derivatives that reach the geometry (Hessians) are taken from the reference, which is slow:
    a training step on forces should end in ``loss.backward(inputs=parameters)``, so that they are not asked for.
    Third derivatives need the reference backend (here and in ``edge_geometry``).

    Parameters
    ----------
    paths
        Which products to take.
    features
        One (n_atoms, 2l+1, channels) per irrep of `paths.input`.
    geometry
        Edges.
    weights
        From :class:`~mfbench.mfcore.ops.radial.network.RadialNetwork`.
    backend
        "reference" (plain torch), or kernels, which need a radial table: "cpp" (generated C++) and "numba" on the
        CPU, "triton" on CUDA. "auto": the first of these that can be used, or what the environment variable
        MFBENCH_BACKEND names. For a fixed number of threads the results of the CPU's kernels repeat bit for bit, and
        so do those of Triton's. The reference adds with atomics on CUDA, in no fixed order, unless
        ``torch.use_deterministic_algorithms`` is set.

    Returns
    -------
    list of Tensor
        One (n_atoms, 2l+1, channels) per irrep of `paths.output_layout`.

    Raises
    ------
    ConfigError
        If shapes or dtypes do not fit the paths, or the backend is unknown or cannot be used.
    """
    table = weights if isinstance(weights, RadialTable) else None
    values = weights.values if isinstance(weights, RadialTable) else weights
    if traced():
        name = name_of(backend)
        if table is not None and convolves(name, paths.key, values.device, values.dtype):
            return convolve_in_graph(paths, features, geometry, table, name)
        return _plainly(paths, features, geometry, weights)
    found = kernels_for(backend, values, table is not None)
    _check(paths, features, geometry, values, table is not None)
    kernels = found.convolution(paths)
    if kernels is not None and table is not None:
        return convolve_by_kernels(paths, kernels, features, geometry, table)
    return _plainly(paths, features, geometry, weights)


def _plainly(
    paths: TensorProductInstructions, features: Sequence[Tensor], geometry: EdgeGeometry, weights: RadialWeights
) -> list[Tensor]:
    edges, dense = geometry.edges, weights.dense(geometry) if isinstance(weights, RadialTable) else weights
    return convolve_reference(paths, features, edges.sender, edges.receiver, geometry.harmonics, dense)


def _check(
    paths: TensorProductInstructions, features: Sequence[Tensor], geometry: EdgeGeometry, values: Tensor, table: bool
) -> None:
    """Raise ConfigError where the kernels would read beyond a tensor."""
    n, dtype = geometry.edges.n_atoms, values.dtype
    if len(features) != len(paths.input):
        raise ConfigError(f"convolution: expected {len(paths.input)} features, got {len(features)}.")
    for feature, (degree, _, channels) in zip(features, paths.input, strict=True):
        if feature.shape != (n, 2 * degree + 1, channels) or feature.dtype != dtype:
            raise ConfigError(
                f"convolution: expected a feature of shape {(n, 2 * degree + 1, channels)} and {dtype}, "
                f"got {tuple(feature.shape)} and {feature.dtype}."
            )
    n_edges = geometry.edges.sender.shape[0]
    rows = geometry.settings.n_knots + 3 if table else n_edges
    if values.shape != (rows, paths.n_weights) or geometry.harmonics.shape != (n_edges, paths.n_harmonics):
        raise ConfigError(
            f"convolution: expected weights {(rows, paths.n_weights)} and harmonics {(n_edges, paths.n_harmonics)}, "
            f"got {tuple(values.shape)} and {tuple(geometry.harmonics.shape)}."
        )
    if geometry.harmonics.dtype != dtype or geometry.edges.row_pointer.shape[0] != n + 1:
        raise ConfigError(
            f"convolution: expected harmonics of {dtype} and {n + 1} row pointers, "
            f"got {geometry.harmonics.dtype} and {geometry.edges.row_pointer.shape[0]}."
        )
