"""Training strategies: one file an arm, on one base class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfbench.strategies.base import Strategy
    from mfbench.strategies.settings import StrategySettings

__all__ = ["Strategy", "StrategySettings"]


def __getattr__(name: str) -> Any:
    # the names of the arms are wanted without torch, too
    if name in __all__:
        from mfbench.strategies import base, settings

        return getattr(base if name == "Strategy" else settings, name)
    raise AttributeError(f"module 'mfbench.strategies' has no attribute '{name}'")
