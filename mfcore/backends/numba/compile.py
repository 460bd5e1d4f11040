"""Compiles generated Python by numba; numba keeps the compiled code beside a module in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mfbench.mfcore.backends.cache import cache_directory
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.files import write_text

_log = logging.getLogger("mfbench")
_SOURCES = (
    "backends/ir.py",
    "backends/numba/convolution.py",
    "backends/numba/geometry.py",
    "backends/numba/vectors.py",
    "ops/convolution/instructions.py",
    "ops/geometry/harmonics.py",
)


@cache
def _generators() -> str:
    import llvmlite
    import numba

    texts = [(Path(__file__).parents[2] / name).read_text() for name in _SOURCES]
    return "\n".join([numba.__version__, llvmlite.__version__, *texts])


def load(source: str) -> int:
    """Address of the kernel in a generated module; numba keeps the compiled code beside the module's file.

    Raises
    ------
    KernelsUnavailable
        If it cannot be compiled or written.
    """
    name = f"mfbench_{hashlib.sha256((source + _generators()).encode()).hexdigest()[:32]}"
    path = cache_directory() / f"{name}.py"
    try:
        if not path.exists():
            _log.info("compiling a convolution kernel by numba (once; kept in %s)", path.parent)
            write_text(path, source)
        specification = spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        module = module_from_spec(specification)
        sys.modules[name] = module  # where numba looks for it when it loads compiled code
        specification.loader.exec_module(module)
        address: int = module.kernel.address
    except Exception as error:  # numba raises many kinds
        raise KernelsUnavailable(f"numba failed: {' '.join(str(error).split())[:500]}.") from error
    return address
