"""What is compared: one shape of network for all, its variants, and which contenders run what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.workloads import CUTOFF, WORKLOADS

CORE = "mfcore"

#: Shape of all networks, as far as an architecture has these numbers.
BASE = Network(cutoff=CUTOFF, lmax=2, n_bessel=8, radial_hidden=(64, 64), n_layers=3, channels=32)

NETWORKS = {
    "base": BASE,
    "lmax1": replace(BASE, lmax=1),
    "lmax3": replace(BASE, lmax=3),
    "channels64": replace(BASE, channels=64),
}

#: Variants are timed on this workload alone.
VARIANT_WORKLOAD = "crystal:4x52"

#: What is timed, in this order in each turn.
QUANTITIES = ("energy_forces", "training_step")


@dataclass(frozen=True)
class Kind:
    """A contender as the comparison knows it.

    Attributes
    ----------
    label
        In tables.
    place
        "module:class".
    equivariant
        Whether it is a network of the same family, so that the core is compared with it; the others stand beside.
    variants
        Networks that it takes part in.
    least_frames
        Frames that a workload must have.
    compiled
        Whether its first calls take minutes: it is built first, and its memory is measured in the same process.
    """

    label: str
    place: str
    equivariant: bool = True
    variants: tuple[str, ...] = ("base",)
    least_frames: int = 1
    compiled: bool = False


_OWN = "mfbench.benchmarks.performance.speed.contenders"
_SHARED = "mfbench.benchmarks.performance.contenders"

CONTENDERS = {
    CORE: Kind("mfcore", f"{_OWN}:SpeedCore", variants=tuple(NETWORKS)),
    "sevenn": Kind("SevenNet", f"{_SHARED}.sevenn:SevenNet"),
    "mace": Kind("MACE", f"{_SHARED}.mace:MACE"),
    "nequip": Kind("NequIP", f"{_SHARED}.nequip:NequIP", variants=tuple(NETWORKS)),
    # a compiled NequIP evaluates a batch of one frame eagerly, without saying so
    "nequip_compiled": Kind("NequIP, compiled", f"{_OWN}:CompiledNequIP", least_frames=2, compiled=True),
    "hippynn": Kind("HIP-NN-TS", f"{_OWN}:HipNN", equivariant=False),
}


@dataclass(frozen=True)
class Session:
    """Contenders that take turns on one workload with one shape of network."""

    workload: str
    variant: str
    threads: tuple[int, ...]
    contenders: tuple[str, ...]
    device: str = "cpu"

    @property
    def network(self) -> Network:
        """Shape of the networks."""
        return NETWORKS[self.variant]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.workload}, {self.variant}"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = asdict(self)
        return {**values, "threads": list(self.threads), "contenders": list(self.contenders)}


@dataclass(frozen=True)
class Job:
    """What one worker process is to build and time."""

    contender: str
    workload: str
    network: Network
    threads: int
    device: str = "cpu"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """Make the job that :meth:`as_dict` described."""
        network = dict(values["network"])
        network["radial_hidden"] = tuple(network["radial_hidden"])
        return cls(**{**values, "network": Network(**network)})


def sessions(
    contenders: Sequence[str],
    workloads: Sequence[str] = WORKLOADS,
    variants: Sequence[str] = tuple(NETWORKS),
    threads: Sequence[int] = (1, 2),
    device: str = "cpu",
) -> list[Session]:
    """Plan the comparison: every workload with the base network, and the variants on one workload at one thread."""
    planned = []
    for variant in variants:
        wanted = workloads if variant == "base" else [w for w in workloads if w == VARIANT_WORKLOAD]
        for workload in wanted:
            n_frames = frames_of(workload)
            able = [
                name
                for name in contenders
                if variant in CONTENDERS[name].variants and CONTENDERS[name].least_frames <= n_frames
            ]
            if able:
                counts = tuple(threads) if variant == "base" else (min(threads),)
                planned.append(Session(workload, variant, counts, tuple(able), device))
    return planned


def frames_of(workload: str) -> int:
    """Number of frames that a workload's name says."""
    kind, _, size = workload.partition(":")
    count = size.partition("x")[0] if "x" in size or kind == "molecules" else "1"
    return int(count)


def sources() -> list[Path]:
    """Files that decide a time here; the peers' packages are known by their versions."""
    root = Path(__file__).resolve().parents[3]
    own = ["contenders", "speed/contenders.py", "speed/worker.py", "measure.py", "workloads.py"]
    core = ["backends", "cores", "ops", "data/graphs.py"]
    return [*(root / "mfcore" / name for name in core), *(root / "benchmarks" / "performance" / name for name in own)]
