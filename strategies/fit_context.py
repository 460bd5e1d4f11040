"""The steps that strategies are made of: a core with its reference energies, and a training stage."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from mfbench import mfcore
from mfbench.mfcore.core import Conditioning, Core
from mfbench.mfcore.cores.registry import package_of_core
from mfbench.mfcore.data.closest import closest_pairs
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.isolated import isolated_energies_in
from mfbench.mfcore.data.nearest_references import nearest_energies, nearest_first
from mfbench.mfcore.data.reference_energies import (
    ReferenceEnergies,
    ReferencePolicy,
    energy_scale,
    isolated_energies,
    label_scale,
    least_squares_energies,
)
from mfbench.mfcore.data.surroundings import surroundings
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import BudgetError, ConfigError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.mfcore.locks import one_at_a_time
from mfbench.mfcore.potentials.potential import Component, Potential
from mfbench.mfcore.potentials.stored import PACKAGES
from mfbench.mfcore.provenance import digest, frames_hash, source_hash, tensors_hash
from mfbench.mfcore.training.budget import Budget, Ledger, Stage
from mfbench.mfcore.training.checkpoint import load_tensors, save_tensors
from mfbench.mfcore.training.config import TrainingConfig
from mfbench.mfcore.training.progress import Progress
from mfbench.mfcore.training.stage import StageTask
from mfbench.mfcore.training.trainer import StageTrainer
from mfbench.mfcore.training.updates import Changes
from mfbench.strategies.settings import StrategySettings
from mfbench.strategies.starting_point import examine

DELTA = "delta"
"""Name of the fidelity HF - LF that Δ-learning trains on."""

_NEIGHBOUR_SAMPLE = 200


@cache
def _code_hash() -> str:
    """Hash of the sources that a stage's result depends on."""
    return source_hash([Path(mfcore.__file__).parent])


def _weight_seed(seed: int, number: int) -> int:
    """Seed of the weights of one of a run's networks; that of the first is the run's own."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


class FitContext:
    """One call of a strategy: its inputs, its ledger, and the two steps `core` and `train`.

    Parameters
    ----------
    settings, default_e0
        Of the strategy.
    training_set, budget, seed, progress, workdir, shared
        As given to :meth:`mfbench.strategies.base.Strategy.fit`.

    Attributes
    ----------
    starts
        Its networks start from a checkpoint, where they are not asked for from scratch; reference energies are then
        fitted to what the checkpoint leaves of the labels, if no other policy is asked for.
    """

    def __init__(
        self,
        settings: StrategySettings,
        default_e0: ReferencePolicy,
        training_set: TrainingSet,
        budget: Budget,
        seed: int,
        progress: Progress | None,
        workdir: Path | None,
        shared: Path | None,
    ) -> None:
        if budget.patience is not None and settings.training.patience is not None:
            raise ConfigError("training.patience: the budget's rule 'converged' has a patience of its own.")
        self.settings, self.data, self.budget, self.seed = settings, training_set, budget, seed
        self.starts = settings.core.checkpoint is not None
        self.policy: ReferencePolicy = settings.e0 or ("residual" if self.starts else default_e0)
        self.ledger = Ledger()
        self.references: dict[str, ReferenceEnergies] = {}
        self.start: dict[str, Any] | None = None
        self._progress, self._workdir, self._shared = progress, workdir, shared

    def on(self, data: TrainingSet) -> FitContext:
        """The same run (one ledger, one record) with other labels, as Δ-learning needs."""
        other = copy.copy(self)
        other.data = data
        return other

    @property
    def left(self) -> Budget:
        """The rest of the budget.

        Raises
        ------
        BudgetError
            If nothing is left of it.
        """
        spent = self.ledger.atom_gradients
        if spent >= self.budget.atom_gradients:
            last = self.ledger.stages[-1]
            raise BudgetError(
                f"stage '{last.name}': with it {spent:.6g} atom gradients are spent, and the budget of "
                f"{self.budget.atom_gradients:.6g} leaves nothing for the next stage. Give a larger budget."
            )
        return self.budget.rest(spent)

    def species(self, fidelities: Sequence[str]) -> tuple[int, ...]:
        """Atomic numbers in the training frames of some fidelities."""
        numbers = [a.numbers for f in fidelities for a in self.data.train[f]]
        return tuple(int(n) for n in np.unique(np.concatenate(numbers)))

    def reference(
        self,
        fidelity: str,
        species: tuple[int, ...],
        cheaper: ReferenceEnergies | None = None,
        beside: Sequence[str] = (),
    ) -> ReferenceEnergies:
        """Reference energies of a fidelity by the policy in force; "residual" and "trainable" start so.

        Isolated atoms set theirs exactly; a species without an energy of this fidelity gets the value of the cheaper
        one and the mean shift per atom, and is marked as estimated. Where compositions leave a choice, isolated atoms
        of another fidelity of the network (`beside`, the nearest first) decide it.
        """
        if self.policy == "isolated":
            given = self.settings.isolated_energies.get(fidelity)
            if given is None:
                raise ConfigError(f"isolated_energies.{fidelity}: needed by e0=isolated; give eV per element.")
            return isolated_energies(given, species)
        frames = self.data.train[fidelity]
        energies = np.array([energy_of(a, fidelity) for a in frames])
        exact = isolated_energies_in(frames, fidelity)
        found = least_squares_energies(frames, energies, species, exact=exact, cheaper=cheaper)
        return nearest_energies(found, frames, fidelity, {name: self.data.train[name] for name in beside})

    def core(
        self,
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        difference: bool = False,
        number: int = 0,
        from_scratch: bool = False,
    ) -> Core:
        """A new network for some fidelities of the training set, with reference energies and scales fitted.

        Weights depend on the seed only. The scale is the RMS force of each fidelity; one without force
        labels takes that of the nearest cheaper fidelity that has them, or else the spread of its energies.
        With `difference` the network is made to be added to another one. `number` tells the networks of a run apart:
        those of different numbers start from different weights.

        A network that starts from a checkpoint keeps its scales. A difference to another network, or one that is to
        start `from_scratch`, has random weights all the same.
        """
        species = self.species(fidelities)
        frames = [a for f in fidelities for a in self.data.train[f]]
        choice = self.settings.core
        if difference or from_scratch:
            choice = choice.for_difference() if difference else choice.from_scratch()
        sample = frames[:: max(1, len(frames) // _NEIGHBOUR_SAMPLE)]
        store = GraphStore(sample, ["-"] * len(sample), ["-"], None, species, choice.cutoff)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_weight_seed(self.seed, number))
            core = choice.build(species, fidelities, conditioning, store.mean_neighbours())
        if choice.checkpoint is not None:
            return self._started(core, fidelities)
        scale: float | None = None
        reference: ReferenceEnergies | None = None
        for place, fidelity in enumerate(fidelities):
            reference = self.reference(fidelity, species, reference, nearest_first(fidelities, place))
            self.set_reference(core, fidelity, reference)
            known = label_scale(self.data.train[fidelity], fidelity, self.data.labels[fidelity])
            scale = known or scale or energy_scale(self.data.train[fidelity], fidelity, reference)
            core.set_scale(fidelity, scale)
        core.train_offsets(self.policy == "trainable")
        return core

    def _started(self, core: Core, fidelities: Sequence[str]) -> Core:
        """Give a network that starts from a checkpoint its reference energies, and note how its answers compare."""
        reference: ReferenceEnergies | None = None
        if self.start is None:
            high = self.data.high if self.data.high in fidelities else fidelities[-1]
            found = examine(core, self.data.train[high], high, self.data.labels[high])
            self.start = {"checkpoint_sha256": self.settings.core.checkpoint_sha256, high: found._asdict()}
        for fidelity in fidelities:
            if self.policy == "residual":
                self.refit_reference(core, fidelity, start=fidelity)
            else:
                reference = self.reference(fidelity, core.species, reference)
                self.set_reference(core, fidelity, reference)
        core.train_offsets(self.policy == "trainable")
        return core

    def set_reference(self, core: Core, fidelity: str, reference: ReferenceEnergies) -> None:
        """Put reference energies into a core and into the record."""
        core.set_reference(fidelity, reference.values)
        self.references[fidelity] = reference

    def refit_reference(self, core: Core, fidelity: str, start: str) -> None:
        """Reference energies of `fidelity` as those of `start` plus least squares of what its model misses.

        This is the "residual" policy: before fine-tuning, the model of `start` already gives most of the
        energy differences, and only the composition-linear rest belongs into E0.
        """
        frames = self.data.train[fidelity]
        model = Potential("residual", [core], {start: (Component(0, start),)})
        predicted = model.predict(frames, start, forces=False).energies
        energies = np.array([energy_of(a, fidelity) for a in frames])
        base = core.reference_of(start)
        known = isolated_energies_in(frames, fidelity)
        exact = {n: known[n] - float(e) for n, e in zip(core.species, base, strict=True) if n in known}
        nothing = ReferenceEnergies(core.species, (0.0,) * len(core.species), "residual", 0, 0)
        rest = least_squares_energies(
            frames, energies - predicted, core.species, "residual", exact=exact, cheaper=nothing
        )
        values = tuple(float(x) for x in base + np.array(rest.values))
        self.set_reference(core, fidelity, replace(rest, values=values))

    def train(
        self,
        core: Core,
        name: str,
        frames: Mapping[str, Sequence[Atoms]],
        labels: Mapping[str, LabelSet],
        budget: Budget,
        *,
        validation: Sequence[Atoms] = (),
        high: str | None = None,
        trainable: tuple[str, ...] | None = None,
        share: bool = False,
        training: Mapping[str, Any] | None = None,
        changes: Changes | None = None,
    ) -> None:
        """One stage, booked; taken from where it is stored if the same one was trained before.

        Parameters
        ----------
        core
            Trained in place.
        name
            Of the stage.
        frames, labels
            By fidelity.
        budget
            For this stage.
        validation, high
            Frames to select on and their fidelity (default: the last of `frames`).
        trainable
            Groups of the parameters that may change (:meth:`mfbench.mfcore.core.Core.parameter_groups`); None: all.
        share
            Whether other runs may reuse the stage: it depends on nothing that is particular to this run.
        training
            Training settings that this stage has otherwise than the rest.
        changes
            How the weights may change; None: freely.
        """
        config = self.settings.training
        if training:
            config = TrainingConfig.model_validate(config.model_dump() | dict(training))
        high = high or list(frames)[-1]
        free = self.policy in ("least_squares", "residual") and not any(
            f in self.references and self.references[f].isolated for f in frames
        )
        task = StageTask(name, frames, labels, high, validation, trainable, changes or Changes(), free)
        key = self._stage_key(core, task, config, budget)[:24]
        store = self._shared if share and self._shared is not None else self._workdir
        if store is None:
            self._book(core, StageTrainer(core, task, config, budget, self.seed, None, self._progress).fit(), frames)
            return
        finished, checkpoint = store / f"stage-{key}.safetensors", store / f"{name}-{key}.ckpt"
        # a stage of several runs is trained by one of them, and the others wait; processes of one training do not
        alone = share and store == self._shared and config.devices == 1
        with one_at_a_time(finished.with_suffix(".lock")) if alone else nullcontext():
            if finished.exists():
                tensors, header = load_tensors(finished)
                core.load_state_dict(tensors)
                self._book(core, Stage(**header["stage"] | {"reused": share}), frames)
                return
            trainer = StageTrainer(core, task, config, budget, self.seed, checkpoint, self._progress)
            stage = trainer.fit()
            self._book(core, stage, frames)
            save_tensors(finished, core.state_dict(), {"stage": vars(stage)})
            checkpoint.unlink(missing_ok=True)

    def _book(self, core: Core, stage: Stage, frames: Iterable[str]) -> None:
        """Put a stage into the ledger, and the reference energies that it has changed into the record."""
        self.ledger.stages.append(stage)
        self._note_references(core, frames)

    def _note_references(self, core: Core, fidelities: Iterable[str]) -> None:
        """Put reference energies that a stage has changed into the record."""
        for fidelity in fidelities:
            values, known = tuple(core.reference_of(fidelity).tolist()), self.references.get(fidelity)
            if known is not None and known.values != values:
                self.references[fidelity] = replace(known, values=values)

    def _stage_key(self, core: Core, task: StageTask, config: TrainingConfig, budget: Budget) -> str:
        return digest(
            {
                "core": core.description(),
                "weights": tensors_hash(core.state_dict()),
                "frames": {f: frames_hash(a) for f, a in task.frames.items()},
                "validation": frames_hash(task.validation),
                "labels": {f: str(s) for f, s in task.labels.items()},
                "task": [task.name, task.high, task.trainable, asdict(task.changes), task.free_e0],
                "training": config.model_dump(mode="json"),
                "budget": [budget.atom_gradients, budget.patience, budget.check_interval(config.validation_checks)],
                "seed": self.seed,
                "code": _code_hash(),
            }
        )

    def finish(self, potential: Potential, settings: dict[str, Any]) -> None:
        """Attach the ledger and the record, and check that the budget was kept."""
        self.ledger.check(self.budget)
        for core in potential.cores:
            core.freeze()
        self.ledger.n_parameters = sum(p.numel() for c in potential.cores for p in c.parameters())
        self.ledger.inference_evaluations = len(potential.outputs[potential.fidelities[-1]])
        self.ledger.note_memory()
        potential.ledger = self.ledger
        potential.record = {
            "settings": settings,
            "seed": self.seed,
            "budget_atom_gradients": self.budget.atom_gradients,
            "budget_rule": self.budget.rule,
            "budget_patience": self.budget.patience,
            "reference_energies": {f: r.as_dict() for f, r in self.references.items()},
            "labels": {f: str(s) for f, s in self.data.labels.items()},
            "n_frames": {f: len(a) for f, a in self.data.train.items()},
            "n_validation": len(self.data.validation),
            "closest_pairs": closest_pairs(a for frames in self.data.train.values() for a in frames),
            **({} if self.start is None else {"start": self.start}),
            "surroundings": surroundings(self.data.train, max(c.cutoff for c in potential.cores)),
        }
        if packages := {c.name: package for c in potential.cores if (package := package_of_core(c.name))}:
            potential.record[PACKAGES] = packages
