"""Budget of a training, and the book of its costs."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mfbench.mfcore.errors import BudgetError

Rule = Literal["equal-compute", "converged"]

LARGEST_BUDGET = 1e15
"""Atom gradients of a run that a setting may ask for: centuries on any machine, so that more is a slip."""


@dataclass(frozen=True)
class Budget:
    """Training compute in atom-gradient evaluations: atoms x structures seen x passes.

    Rule "equal-compute" (no patience): all of it is spent. Rule "converged": it is a cap, and a stage that is
    validated on HF ends earlier when `patience` checks in a row have found nothing better. The checks of every
    stage of every arm are then equally far apart, at the same fraction of the cap, so that one patience means
    the same compute to all. Stages without HF labels (pre-training, Δ baselines) spend their share of the cap.

    Attributes
    ----------
    atom_gradients
        All stages together, low-fidelity pre-training, baselines and replay included.
    patience
        HF validation checks without a better one before a stage ends; None spends everything.
    cap
        The whole that this is a part of, atom gradients; None: it is the whole.
    """

    atom_gradients: float
    patience: int | None = None
    cap: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.atom_gradients) and self.atom_gradients > 0):
            raise BudgetError(f"budget: expected a positive number of atom gradients, got {self.atom_gradients}.")
        if self.patience is not None and self.patience < 1:
            raise BudgetError(f"budget: expected a patience of 1 check or more, got {self.patience}.")

    @property
    def rule(self) -> Rule:
        """Name of the rule."""
        return "equal-compute" if self.patience is None else "converged"

    def fraction(self, share: float) -> Budget:
        """A part of the budget, 0 < share ≤ 1."""
        return self._part(self.atom_gradients * share)

    def rest(self, spent: float) -> Budget:
        """The rest of the budget after so many atom gradients."""
        return self._part(self.atom_gradients - spent)

    def _part(self, atom_gradients: float) -> Budget:
        return Budget(atom_gradients, self.patience, self.cap or self.atom_gradients)

    def check_interval(self, checks: int) -> float:
        """Atom gradients between two validation checks of a stage that has this budget.

        Parameters
        ----------
        checks
            Checks over the stage ("equal-compute") or over the whole cap ("converged").
        """
        whole = self.atom_gradients if self.patience is None else self.cap or self.atom_gradients
        return whole / checks


@dataclass
class Stage:
    """One training stage of a ledger.

    Attributes
    ----------
    name
        What was trained, e.g. "wb97x" or "replay".
    atom_gradients, validation_atom_evaluations
        Training and selection compute, atoms x structures.
    steps
        Optimiser steps.
    wall_s, cpu_s
        Time used, all resumed parts together.
    reused
        Whether the stage was taken from an identical one trained before; its cost still counts.
    best_spent
        Atom gradients after which the selected weights were reached.
    stopped
        Why it ended: "budget" (nothing more to spend) or "patience" (no better check for so long).
    frames_seen
        How many frames of each fidelity the steps had, repetitions counted.
    fidelity, validation_energy_mae_ev_per_atom
        What the weights were selected on, and their mean absolute energy error there; None without energies.
    """

    name: str
    atom_gradients: float = 0.0
    validation_atom_evaluations: float = 0.0
    steps: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    reused: bool = False
    best_spent: float = 0.0
    stopped: str = ""
    frames_seen: dict[str, int] = field(default_factory=dict)
    fidelity: str = ""
    validation_energy_mae_ev_per_atom: float | None = None


@dataclass
class Ledger:
    """The cost of one fitted potential.

    Attributes
    ----------
    stages
        Training stages in the order in which they ran.
    n_parameters
        Trainable parameters of all networks that a prediction needs.
    inference_evaluations
        Network evaluations per prediction.
    peak_memory_mib
        Largest resident set of the process so far, MiB.
    trials
        Hyper-parameter trials that led to the settings; 0: they were not tuned.
    trial_atom_gradients
        What these trials spent in all.
    """

    stages: list[Stage] = field(default_factory=list)
    n_parameters: int = 0
    inference_evaluations: int = 1
    peak_memory_mib: float = 0.0
    trials: int = 0
    trial_atom_gradients: float = 0.0

    @property
    def atom_gradients(self) -> float:
        """Training compute of all stages."""
        return sum(s.atom_gradients for s in self.stages)

    @property
    def validation_atom_evaluations(self) -> float:
        """Selection compute of all stages."""
        return sum(s.validation_atom_evaluations for s in self.stages)

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(s.steps for s in self.stages)

    @property
    def wall_s(self) -> float:
        """Training time of all stages, s."""
        return sum(s.wall_s for s in self.stages)

    @property
    def cpu_s(self) -> float:
        """Training CPU time of all stages, s."""
        return sum(s.cpu_s for s in self.stages)

    def note_memory(self) -> None:
        """Record the largest resident set of this process."""
        self.peak_memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def check(self, budget: Budget) -> None:
        """Raise BudgetError if more was spent than `budget` allows."""
        if self.atom_gradients > budget.atom_gradients * (1 + 1e-9):
            raise BudgetError(
                f"spent {self.atom_gradients:.6g} atom gradients of {budget.atom_gradients:.6g}; "
                "this is a fault of the strategy."
            )

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, sums included."""
        return {
            **asdict(self),
            "atom_gradients": self.atom_gradients,
            "validation_atom_evaluations": self.validation_atom_evaluations,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Ledger:
        """Inverse of :meth:`as_dict`."""
        kept = {k: values[k] for k in ("n_parameters", "inference_evaluations", "peak_memory_mib", "trials")}
        kept["trial_atom_gradients"] = values.get("trial_atom_gradients", 0.0)
        return cls(stages=[Stage(**s) for s in values["stages"]], **kept)


class Stopwatch:
    """Adds wall and CPU time to a stage while it is entered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def lap(self) -> None:
        """Book the time since the last lap."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._stage.wall_s += wall - self._wall
        self._stage.cpu_s += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def __exit__(self, *_: object) -> None:
        self.lap()
