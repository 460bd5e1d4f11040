"""Modules of generated Triton source: written to the user's cache folder, since Triton reads source from files."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from mfbench.mfcore.backends.cache import cache_directory
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.files import write_text


def interpreted() -> bool:
    """Whether Triton runs kernels step by step on the CPU, for tests: $TRITON_INTERPRET, read as Triton reads it."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def load(source: str) -> Any:
    """The module with this source, the same object each time.

    Raises
    ------
    KernelsUnavailable
        If it cannot be written or imported.
    """
    name = f"mfbench_triton_{hashlib.sha256(source.encode()).hexdigest()[:32]}"
    if name in sys.modules:
        return sys.modules[name]
    path = cache_directory() / f"{name}.py"
    try:
        if not path.exists():
            write_text(path, source)
        specification = spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        module = module_from_spec(specification)
        specification.loader.exec_module(module)
    except Exception as error:  # Triton raises many kinds
        raise KernelsUnavailable(f"Triton failed: {str(error).strip()[:500]}") from error
    sys.modules[name] = module
    return module
