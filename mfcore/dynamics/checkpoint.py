"""The whole state of a simulation in one file, so that one that was killed goes on bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfbench.mfcore.dynamics.criteria import FailureCriteria
from mfbench.mfcore.dynamics.models import ForceModel
from mfbench.mfcore.dynamics.results import ReplicaResult
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.provenance import digest, frames_hash
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors

NAME = "dynamics.safetensors"
_KIND = "dynamics"


@dataclass
class Checkpoint:
    """State that a simulation goes on from.

    Attributes
    ----------
    fingerprint
        Hash of all that determines the simulation.
    step
        Steps done.
    active
        Positions, in the list of starts, of the replicas that are still running.
    tensors
        Positions, velocities, forces, energies, the positions at the neighbour lists' last build, and since when units
        and bonds are broken.
    results
        By position in the list of starts.
    series
        By replica number, (T, 4).
    sizes
        By replica number, bytes of its trajectory.
    wall_s, n_force_evaluations
        So far.
    """

    fingerprint: str
    step: int
    active: list[int]
    tensors: dict[str, Tensor]
    results: dict[int, ReplicaResult]
    series: dict[int, np.ndarray]
    sizes: dict[int, int]
    wall_s: float
    n_force_evaluations: int

    def save(self, folder: Path) -> None:
        """Write it into a folder, in place of an older one."""
        header: dict[str, Any] = {
            "kind": _KIND,
            "fingerprint": self.fingerprint,
            "step": self.step,
            "active": self.active,
            "results": {str(k): r.as_dict() for k, r in self.results.items()},
            "sizes": {str(k): n for k, n in self.sizes.items()},
            "wall_s": self.wall_s,
            "n_force_evaluations": self.n_force_evaluations,
        }
        series = {f"series.{replica}": torch.from_numpy(table) for replica, table in self.series.items()}
        save_tensors(folder / NAME, {**self.tensors, **series}, header)

    @classmethod
    def load(cls, folder: Path, fingerprint: str) -> Checkpoint | None:
        """Read it from a folder; None if there is none.

        Raises
        ------
        DataError
            If it belongs to a simulation with other frames, settings, seed or potential.
        """
        path = folder / NAME
        if not path.exists():
            return None
        tensors, header = load_tensors(path)
        if header.get("kind") != _KIND or header["fingerprint"] != fingerprint:
            raise DataError(
                "this is of a simulation with other frames, settings, criteria, seed or potential.",
                file=path,
                hint="Give another folder, or delete this one.",
            )
        series = {int(k.partition(".")[2]): tensors.pop(k).numpy() for k in list(tensors) if k.startswith("series.")}
        return cls(
            fingerprint,
            int(header["step"]),
            [int(k) for k in header["active"]],
            tensors,
            {int(k): ReplicaResult(**r) for k, r in header["results"].items()},
            series,
            {int(k): int(n) for k, n in header["sizes"].items()},
            float(header["wall_s"]),
            int(header["n_force_evaluations"]),
        )


def fingerprint(
    model: ForceModel,
    replicas: Sequence[Start],
    settings: DynamicsSettings,
    criteria: FailureCriteria,
    seed: int,
    trajectories: bool,
) -> str:
    """Hash of all that determines a simulation."""
    return digest(
        {
            "model": model.fingerprint(),
            "frames": frames_hash([s.atoms for s in replicas]),
            "replicas": [[s.replica, s.temperature_K] for s in replicas],
            "settings": settings.model_dump(mode="json"),
            "criteria": criteria.model_dump(mode="json"),
            "seed": seed,
            "trajectories": trajectories,
        }
    )
