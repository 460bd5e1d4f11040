"""Code that torch.compile and torch.export read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

F = TypeVar("F", bound=Callable[..., object])


def constant_in_graph(function: F) -> F:
    """Mark a function of constants: torch.compile calls it and takes its result as a constant.

    As ``torch.compiler.assume_constant_result``, which would import the whole compiler when this module is imported.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def traced() -> bool:
    """Say that torch.compile or torch.export is reading the code, so that it has to stay one graph."""
    compiling: bool = torch.compiler.is_compiling()
    return compiling
