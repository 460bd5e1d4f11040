"""The yardstick: times of other benchmarks are given as multiples of this one's, so that machines can be compared."""

from __future__ import annotations

from typing import Any

import torch

#: Rows and columns of the float32 matrices.
SIZE = 1024


def test_reference_gemm(benchmark: Any) -> None:
    """A float32 matrix product, 1024 x 1024 x 1024 (2.1 GFLOP), one thread."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(SIZE, SIZE, generator=generator), torch.rand(SIZE, SIZE, generator=generator)
    out = torch.empty(SIZE, SIZE)
    benchmark(torch.mm, a, b, out=out)
    assert torch.isfinite(out).all()
