"""The contenders by name, and which study each takes part in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.performance.contenders.base import Contender

if TYPE_CHECKING:
    from mfbench.benchmarks.performance.contenders.cores import CoreContender

#: Name of the core among the contenders.
CORE = "mfcore"


@dataclass(frozen=True)
class Kind:
    """A contender as the studies know it.

    Attributes
    ----------
    label
        In tables.
    timed
        "module:class" for speed, memory and scaling; the module is one of this package.
    trained
        "module:class" for accuracy; None if it takes no part there.
    equivariant
        A network of the same family, so that the core is compared with it; the others stand beside.
    varied
        Timed in all shapes of network, not in one alone.
    least_frames
        Frames that a workload must have.
    compiled
        Its first calls take minutes: it is built first, and its memory is measured in the same process.
    """

    label: str
    timed: str
    trained: str | None = None
    equivariant: bool = True
    varied: bool = False
    least_frames: int = 1
    compiled: bool = False


CONTENDERS = {
    CORE: Kind("mfcore", "mfcore:SpeedCore", "mfcore:MfCore", varied=True),
    "sevenn": Kind("SevenNet", "peers:SevenNet", "peers:SevenNet"),
    "mace": Kind("MACE", "peers:MACE", "peers:MACE"),
    "nequip": Kind("NequIP", "peers:NequIP", "peers:NequIP", varied=True),
    # a compiled NequIP evaluates a batch of one frame eagerly, without saying so
    "nequip_compiled": Kind("NequIP, compiled", "compiled_nequip:CompiledNequIP", least_frames=2, compiled=True),
    "hippynn": Kind("HIP-NN-TS", "hippynn:HipNN", equivariant=False),
}

#: Contenders that are trained, the core first.
TRAINED = tuple(name for name, kind in CONTENDERS.items() if kind.trained is not None)


def timed_type(name: str) -> type[Contender]:
    """Import the class that is timed; its package is imported when it is made."""
    found: type[Contender] = _load(CONTENDERS[name].timed)
    return found


def trained_type(name: str) -> type[CoreContender]:
    """Import the class that is trained; its package is imported when it is made.

    Raises
    ------
    KeyError
        If there is no such contender that is trained.
    """
    place = CONTENDERS[name].trained
    if place is None:
        raise KeyError(name)
    found: type[CoreContender] = _load(place)
    return found


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{__package__}.{module}"), name)
