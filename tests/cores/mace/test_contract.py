"""The contract of cores, asked of MACE: mfbench.mfcore.cores.mace.model, with its parts.

Modules: mfbench.mfcore.cores.mace.config, mfbench.mfcore.cores.mace.network, mfbench.mfcore.cores.mace.heads,
mfbench.mfcore.cores.peer_checkpoint.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tests.contracts.core import CoreContract
from tests.contracts.peers import need

need("mace")


class TestMace(CoreContract):
    core = "mace"
    settings: ClassVar[dict[str, Any]] = {
        "cutoff": 4.0,
        "channels": 4,
        "n_layers": 2,
        "lmax": 1,
        "correlation": 2,
        "radial_hidden": (8,),
        "readout_hidden": 4,
    }
