"""The shared equivariant core and all that every training strategy needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfcore.potential import Potential, load

__all__ = ["Potential", "load"]


def __getattr__(name: str) -> Any:
    # torch and ase take a second to import: only where they are needed
    if name in __all__:
        import mfcore.potential

        return getattr(mfcore.potential, name)
    raise AttributeError(f"module 'mfcore' has no attribute '{name}'")
