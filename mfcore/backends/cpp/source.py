"""C++ from template files, in which ``@NAME@`` stands for a value."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import torch

#: Names of the numbers that kernels are made for.
SCALARS = {torch.float32: "float", torch.float64: "double"}


@cache
def _text(name: str) -> str:
    return (files("mfbench.mfcore.backends.cpp") / "templates" / name).read_text(encoding="utf-8")


def template(name: str, **values: str) -> str:
    """Text of a file of `templates`, with a newline before it and each ``@NAME@`` of `values` replaced."""
    text = "\n" + _text(name)
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def vectors(scalar: str, divisor: int = 64) -> str:
    """Vectors of channels of `scalar` "float" or "double"; a channel count is a multiple of `divisor`, a power of 2."""
    return template("vectors.h", SCALAR=scalar, DIVISOR=str(divisor))
