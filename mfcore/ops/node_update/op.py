"""The update of each atom between two convolutions: linear maps, self-connection, gate, and the next linear maps.

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

from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels, kernels_for
from mfbench.mfcore.ops.library import has_updates, name_of
from mfbench.mfcore.ops.node_update.autograd import update_by_kernels
from mfbench.mfcore.ops.node_update.library import update_in_graph
from mfbench.mfcore.ops.node_update.protocol import UpdateCall
from mfbench.mfcore.ops.node_update.reference import update_reference
from mfbench.mfcore.ops.tracing import traced


def update(
    call: UpdateCall,
    messages: Sequence[Tensor],
    features: Sequence[Tensor],
    added: Tensor | None,
    backend: Backend | Kernels = "auto",
) -> tuple[list[Tensor], list[Tensor]]:
    """Results and mixed features, by kernels where the backend has them; arguments as of :func:`update_reference`.

    All first and second derivatives are right in every backend, third ones only in the reference.
    """
    if traced() and not call.tf32:
        name = name_of(backend)
        if has_updates(name, messages[0].device, messages[0].dtype):
            return update_in_graph(call, messages, features, added, name)
    kernels = None if call.tf32 or traced() else kernels_for(backend, messages[0]).update
    if kernels is None:
        _, results, mixed = update_reference(call, messages, features, added)
        return results, mixed
    return update_by_kernels(kernels, call, messages, features, added)
