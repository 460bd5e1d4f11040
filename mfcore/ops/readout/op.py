"""The readout network as one operator, since each of its many small operations costs time in every step.

With x the scalars of an atom, H and o the matrices, and b rows that are added ::

    z = x H + b
    y = Σ_k γ silu(z_k) o_k
"""

from __future__ import annotations

from torch import Tensor

from mfbench.mfcore.backends.select import Backend, Kernels, kernels_for
from mfbench.mfcore.ops.library import has_readouts, name_of
from mfbench.mfcore.ops.readout.autograd import readout_by_kernels
from mfbench.mfcore.ops.readout.library import readout_op
from mfbench.mfcore.ops.readout.reference import PlainReadout, readout_reference
from mfbench.mfcore.ops.tracing import traced


def readout(
    scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None = None, backend: Backend | Kernels = "auto"
) -> Tensor:
    """Energy of each atom, y of :mod:`mfbench.mfcore.ops.readout.op`; differentiable any number of times.

    Parameters
    ----------
    scalars
        x, (A, C).
    hidden
        H, (C, K).
    out
        o, (1, K) for all atoms, or (A, K).
    added
        b, (A, K), or none.
    backend
        As of :func:`~mfbench.mfcore.ops.convolution.op.convolve`.

    Returns
    -------
    Tensor
        (A,).
    """
    if traced():
        name = name_of(backend)
        if has_readouts(name, scalars.device, scalars.dtype):
            energy: Tensor = readout_op(scalars, hidden, out, added, name)[0]
            return energy
        return readout_reference(scalars, hidden, out, added)[0]
    kernels = kernels_for(backend, scalars).readout or PlainReadout()
    return readout_by_kernels(kernels, scalars, hidden, out, added)
