"""Small kernels, which are compiled in a moment, for processes that meet damaged ones."""

from __future__ import annotations

import ctypes
import sys

from mfbench.mfcore.backends.cpp.compile import load_library
from mfbench.mfcore.backends.numba.compile import load

CPP = 'extern "C" double twice(double x) { return 2 * x; }'
NUMBA = """from numba import cfunc, types


@cfunc(types.float64(types.float64), cache=True)
def kernel(x):
    return 2.0 * x
"""


def by_cpp() -> None:
    """Print twice 2.5, by C++."""
    function = load_library("twice", lambda: CPP).twice
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    sys.stdout.write(f"{function(2.5)}\n")


def by_numba() -> None:
    """Print twice 2.5, by numba."""
    function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(load(NUMBA))
    sys.stdout.write(f"{function(2.5)}\n")
