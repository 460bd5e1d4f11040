"""A run of the accuracy comparison: plain values that travel as JSON to the interpreter of its contender."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from mfbench.benchmarks.performance.contenders.base import Network
from mfbench.benchmarks.performance.contenders.registry import CORE


@dataclass(frozen=True)
class Training:
    """One recipe for every contender.

    Attributes
    ----------
    epochs
        Passes through the training frames.
    batch_frames
        Frames per optimiser step.
    energy_weight, force_weight
        Of the mean squared errors of the energy per atom, (eV/atom)², and of the force components, (eV/Å)².
    warmup
        Share of the steps with a linearly rising learning rate; a cosine follows.
    final_rate
        Learning rate at the end, as a share of the largest.
    clip_norm
        Gradient norm above which it is scaled down.
    ema
        Decay of the averaged weights, which are the ones that are validated and tested.
    checks
        Validations, evenly spaced; the weights with the lowest force MAE are tested.
    amsgrad
        AMSGrad variant of Adam.
    """

    epochs: int = 80
    batch_frames: int = 8
    energy_weight: float = 1.0
    force_weight: float = 1.0
    warmup: float = 0.02
    final_rate: float = 0.01
    clip_norm: float = 10.0
    ema: float = 0.99
    checks: int = 20
    amsgrad: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As plain values; what came later is left out where it is the default, so that runs keep their keys."""
        values = asdict(self)
        if not self.amsgrad:
            del values["amsgrad"]
        return values


@dataclass(frozen=True)
class Job:
    """One training: a contender, a learning rate, a seed.

    Attributes
    ----------
    core
        Settings of the core (:class:`mfbench.mfcore.cores.equivariant.config.EquivariantConfig`) that are not its
        defaults; empty for peers.
    """

    contender: str
    learning_rate: float
    seed: int
    network: Network
    training: Training
    core: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values; what came later is left out where it is the default, so that runs keep their keys."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists, as in a file
        if not self.core:
            del values["core"]
        if self.network.hidden_lmax is None:
            del values["network"]["hidden_lmax"]
        values["training"] = self.training.as_dict()
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """Make the job that :meth:`as_dict` described."""
        network, training = Network.from_dict(values["network"]), Training(**values["training"])
        return cls(**{**values, "network": network, "training": training})


@dataclass(frozen=True)
class Comparison:
    """The trainings of a comparison.

    Attributes
    ----------
    contenders
        Names.
    network, training
        The same for all.
    rates, seeds
        Learning rates to choose from; seeds of weights and frame order.
    core
        Settings of the core that are not its defaults.
    """

    contenders: tuple[str, ...]
    network: Network
    training: Training
    rates: tuple[float, ...]
    seeds: tuple[int, ...]
    core: dict[str, Any] = field(default_factory=dict)

    def job(self, contender: str, rate: float, seed: int) -> Job:
        """One of the trainings; only the core has the core's settings."""
        core = dict(self.core) if contender == CORE else {}
        return Job(contender, rate, seed, self.network, self.training, core)
