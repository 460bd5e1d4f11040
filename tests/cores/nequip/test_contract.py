"""The contract of cores, asked of NequIP: mfbench.mfcore.cores.nequip.model.

Modules: mfbench.mfcore.cores.nequip.config, mfbench.mfcore.cores.nequip.network.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contracts.core import CoreContract
from tests.contracts.peers import need

need("nequip")


class TestNequIP(CoreContract):
    core = "nequip"
    settings: ClassVar[dict[str, Any]] = {
        "cutoff": 4.0,
        "channels": 4,
        "n_layers": 2,
        "lmax": 1,
        "radial_depth": 1,
        "radial_width": 8,
        "fidelity_channels": 2,
    }
