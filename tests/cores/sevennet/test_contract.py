"""The contract of cores, asked of SevenNet."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contracts.core import CoreContract
from tests.contracts.peers import need

need("sevenn")


class TestSevenNet(CoreContract):
    core = "sevennet"
    settings: ClassVar[dict[str, Any]] = {
        "cutoff": 4.0,
        "channels": 4,
        "n_layers": 2,
        "lmax": 1,
        "radial_hidden": (8,),
    }
    variants: ClassVar[tuple[dict[str, Any], ...]] = ({"parity": True, "self_connection": "linear"},)
