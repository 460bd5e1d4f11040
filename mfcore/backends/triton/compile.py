"""Modules of generated Triton source: written to the user's cache folder, since Triton reads source from files."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

from mfbench.mfcore.backends.cache import kernel_folder, module_of, objection, sweep_builds
from mfbench.mfcore.backends.protocol import KernelsUnavailable
from mfbench.mfcore.files import write_text


def interpreted() -> bool:
    """Say that Triton runs kernels step by step on the CPU, for tests: $TRITON_INTERPRET, read as Triton reads it."""
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
    try:
        path = kernel_folder() / f"{name}.py"
        if not path.exists() or objection(path) or path.read_bytes() != source.encode():
            sweep_builds(path.parent)
            write_text(path, source)
            path.chmod(0o600)
        module, loader = module_of(name, source, path)
        loader.exec_module(module)
    except Exception as error:  # Triton raises many kinds
        raise KernelsUnavailable(f"Triton failed: {str(error).strip()[:500]}") from error
    sys.modules[name] = module
    return module
