"""The readout in C++, see :class:`~mfbench.mfcore.ops.protocols.ReadoutKernels`.

A row of hidden numbers has few vectors, so that loops over them are enough, and nothing is kept between the passes
but what the caller gives. What is summed over atoms is summed in their order, whatever the number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.cpp.products import products_source
from mfbench.mfcore.backends.cpp.runtime import HEAD
from mfbench.mfcore.ops.node_update.op import GATE_SCALE

_READOUT = r"""
constexpr S GAMMA = S(@GATE@);
constexpr I FEW = 2048;  // atoms that are not worth waking other threads
#define ATOMS _Pragma("omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= FEW)") \
  for (I a = 0; a < n; ++a)

// a matrix (rows x columns), or its transpose, in rows of padded length
static S* copy_of(const S* w, I rows, I columns, bool transposed) {
  const I high = transposed ? columns : rows, wide = padded(transposed ? rows : columns);
  S* o = (S*)calloc(high * wide + V, sizeof(S));
  if (o) for (I i = 0; i < rows; ++i) for (I j = 0; j < columns; ++j)
    o[transposed ? j * wide + i : i * wide + j] = w[i * columns + j];
  return o;
}
// start + x^T w, one vector of columns
static inline v times(v start, const S* x, I n, const S* w, I wide) {
  v odd = zero;
  I i = 0;
  for (; i + 1 < n; i += 2) { start += x[i] * ld(w + i * wide); odd += x[i + 1] * ld(w + (i + 1) * wide); }
  if (i < n) start += x[i] * ld(w + i * wide);
  return start + odd;
}
static inline S sum(v x) { S all = 0; for (int k = 0; k < V; ++k) all += x[k]; return all; }

// o (c x k) = sum over atoms of x^T t
extern "C" void readout_matrix(I n, I c, I k, const S* x, const S* t, S* o) {
  constexpr int ROWS = 8;
  for (I i = 0; i < c; i += ROWS) for (I s = 0; s < k; s += V) {
    const I there = c - i < ROWS ? c - i : ROWS;
    v all[ROWS];
    for (int r = 0; r < ROWS; ++r) all[r] = zero;
    if (there == ROWS) for (I a = 0; a < n; ++a) {
      const v row = part(t + a * k + s, k - s);
      for (int r = 0; r < ROWS; ++r) all[r] += x[a * c + i + r] * row;
    }
    else for (I a = 0; a < n; ++a) {
      const v row = part(t + a * k + s, k - s);
      for (I r = 0; r < there; ++r) all[r] += x[a * c + i + r] * row;
    }
    for (I r = 0; r < there; ++r) put(o + (i + r) * k + s, all[r], k - s);
  }
}
// z = x h + b, y = sum of GAMMA silu(z) o; o has rows of `step` numbers, 0 for one row of all atoms
extern "C" int readout_forward(I n, I c, I k, I step, const S* x, const S* h, const S* o, const S* b, S* y, S* z,
                               int threads) {
  S* w = copy_of(h, c, k, false);
  if (!w) return 1;
  const I wide = padded(k);
  ATOMS {
    v total = zero;
    for (I s = 0; s < k; s += V) {
      const v u = times(b ? part(b + a * k + s, k - s) : zero, x + a * c, c, w + s, wide);
      put(z + a * k + s, u, k - s);
      total += u * sigmoid(u) * part(o + a * step + s, k - s);
    }
    y[a] = GAMMA * sum(total);
  }
  free(w);
  return 0;
}
// t = extra + g GAMMA o silu'(z), for_x = t h^T, and for_o = g GAMMA silu(z); no g, extra, for_x or for_o is possible
extern "C" int readout_backward(I n, I c, I k, I step, const S* z, const S* h, const S* o, const S* g, const S* extra,
                                S* t, S* for_x, S* for_o, int threads) {
  S* w = for_x ? copy_of(h, c, k, true) : nullptr;
  if (for_x && !w) return 1;
  const I wide = padded(c);
  ATOMS {
    const S by = g ? GAMMA * g[a] : S(0);
    for (I s = 0; s < k; s += V) {
      v made = extra ? part(extra + a * k + s, k - s) : zero;
      if (g) {
        const v u = part(z + a * k + s, k - s), f = sigmoid(u);
        made += by * part(o + a * step + s, k - s) * f * (S(1) + u * (S(1) - f));
        if (for_o) put(for_o + a * k + s, by * u * f, k - s);
      }
      put(t + a * k + s, made, k - s);
    }
    for (I s = 0; for_x && s < c; s += V) put(for_x + a * c + s, times(zero, t + a * k, k, w + s, wide), c - s);
  }
  free(w);
  return 0;
}
// of D = sum of d · (g GAMMA o silu'(z) h^T): by g, by z, and by o (of each atom)
extern "C" int readout_double(I n, I c, I k, I step, const S* z, const S* h, const S* o, const S* g, const S* d,
                              S* for_g, S* for_z, S* for_o, int threads) {
  S* w = copy_of(h, c, k, false);
  if (!w) return 1;
  const I wide = padded(k);
  ATOMS {
    const S by = GAMMA * g[a];
    v total = zero;
    for (I s = 0; s < k; s += V) {
      const v along = times(zero, d + a * c, c, w + s, wide), out = part(o + a * step + s, k - s);
      const v u = part(z + a * k + s, k - s), f = sigmoid(u), rest = S(1) - f;
      const v moved = f * (S(1) + u * rest) * along;
      total += moved * out;
      put(for_z + a * k + s, by * out * along * f * rest * (S(2) + u * (rest - f)), k - s);
      if (for_o) put(for_o + a * k + s, by * moved, k - s);
    }
    if (for_g) for_g[a] = GAMMA * sum(total);
  }
  free(w);
  return 0;
}
"""


class CppReadout:
    """The compiled readout in one dtype; see :class:`~mfbench.mfcore.ops.protocols.ReadoutKernels`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions: dict[str, Any] = {}
        for name, pointers in (("forward", 6), ("backward", 8), ("double", 8)):
            function = getattr(library, f"readout_{name}")
            function.argtypes = [*[ctypes.c_int64] * 4, *[ctypes.c_void_p] * pointers, ctypes.c_int]
            function.restype = ctypes.c_int
            self._functions[name] = function
        self._matrix = library.readout_matrix
        self._matrix.argtypes = [*[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3]
        self._matrix.restype = None

    def _run(self, name: str, hidden: Tensor, out: Tensor, atoms: int, *tensors: Tensor | None) -> None:
        step = hidden.shape[1] if out.shape[0] > 1 else 0
        pointers = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
        if self._functions[name](atoms, *hidden.shape, step, *pointers, torch.get_num_threads()):
            raise MemoryError("the readout could not allocate its buffers.")

    def _summed(self, left: Tensor, right: Tensor) -> Tensor:
        """The matrix product of left, transposed, and right."""
        made = left.new_empty(left.shape[1], right.shape[1])
        self._matrix(left.shape[0], *made.shape, left.data_ptr(), right.data_ptr(), made.data_ptr())
        return made

    def forward(self, scalars: Tensor, hidden: Tensor, out: Tensor, added: Tensor | None) -> tuple[Tensor, Tensor]:
        """See :meth:`ReadoutKernels.forward`."""
        n = scalars.shape[0]
        scalars, hidden, out = scalars.contiguous(), hidden.contiguous(), out.contiguous()
        added = None if added is None else added.contiguous()
        energy, z = scalars.new_empty(n), scalars.new_empty(n, hidden.shape[1])
        self._run("forward", hidden, out, n, scalars, hidden, out, added, energy, z)
        return energy, z

    def backward(
        self,
        scalars: Tensor | None,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor | None,
        for_z: Tensor | None,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
        """See :meth:`ReadoutKernels.backward`."""
        hidden, out = hidden.contiguous(), out.contiguous()
        cotangent = None if cotangent is None else cotangent.contiguous()
        for_z = None if for_z is None else for_z.contiguous()
        turned = torch.empty_like(z)
        for_scalars = z.new_empty(z.shape[0], hidden.shape[0]) if flags[0] else None
        for_out = torch.empty_like(z) if flags[2] and cotangent is not None else None
        made = cotangent, for_z, turned, for_scalars, for_out
        self._run("backward", hidden, out, z.shape[0], z, hidden, out, *made)
        for_hidden = self._summed(scalars.contiguous(), turned) if flags[1] and scalars is not None else None
        return for_scalars, for_hidden, for_out, turned

    def double_backward(
        self,
        hidden: Tensor,
        out: Tensor,
        z: Tensor,
        cotangent: Tensor,
        turned: Tensor,
        direction: Tensor,
        flags: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """See :meth:`ReadoutKernels.double_backward`."""
        hidden, out = hidden.contiguous(), out.contiguous()
        cotangent, direction = cotangent.contiguous(), direction.contiguous()
        for_cotangent = torch.empty_like(cotangent) if flags[0] else None
        for_z, for_out = torch.empty_like(z), torch.empty_like(z) if flags[3] else None
        made = for_cotangent, for_z, for_out
        self._run("double", hidden, out, z.shape[0], z, hidden, out, cotangent, direction, *made)
        for_hidden = self._summed(direction, turned) if flags[2] else None
        return for_cotangent, for_z, for_hidden, for_out


def readout_source(scalar: str) -> str:
    """C++ source of the readout for `scalar` "float" or "double"."""
    head = HEAD.replace("@SCALAR@", scalar).replace("@DIVISOR@", "64")
    return "\n".join([head, products_source(scalar), _READOUT.replace("@GATE@", repr(GATE_SCALE))])


@cache
def cpp_readout(scalar: str) -> CppReadout:
    """The compiled readout for `scalar` "float" or "double". Raises KernelsUnavailable."""
    key = f"readout {scalar} {GATE_SCALE!r}"
    return CppReadout(load_library(key, lambda: readout_source(scalar)))
