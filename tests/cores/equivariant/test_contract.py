"""The contract of cores, asked of our own."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contracts.core import CoreContract


class TestEquivariant(CoreContract):
    core = "equivariant"
    settings: ClassVar[dict[str, Any]] = {
        "cutoff": 4.0,
        "channels": 8,
        "n_layers": 3,
        "lmax": 2,
        "radial_hidden": (16,),
        "zbl": True,
    }
    variants: ClassVar[tuple[dict[str, Any], ...]] = (
        {"parity": True},
        {"lmax": 1, "channels": (8, 4)},
        {"channels": (8, 4, 2), "zbl": False},
        {"radial_mode": "exact"},
        {"self_connection": "linear", "n_layers": 1},
        {"self_connection": "linear", "lmax": 1},
        {"lmax": 0, "parity": True},
    )
