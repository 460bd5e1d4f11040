"""The comparison: one shape of network for all, its variants, and which contenders take turns on which workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.registry import CONTENDERS
from mfbench.benchmarks.performance.workloads import CUTOFF, WORKLOADS

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

#: The timed calls, in this order in each turn.
QUANTITIES = ("energy_forces", "training_step")


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
    """One worker process: the contender that it builds, and the frames that it is timed on."""

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
        return cls(**{**values, "network": Network.from_dict(values["network"])})


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
                if (variant == "base" or CONTENDERS[name].varied) and CONTENDERS[name].least_frames <= n_frames
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
    own = ["contenders", "harness/worker.py", "speed/calls.py", "speed/worker.py", "measure.py", "workloads.py"]
    core = ["backends", "cores", "ops", "data/graphs.py"]
    return [*(root / "mfcore" / name for name in core), *(root / "benchmarks" / "performance" / name for name in own)]
