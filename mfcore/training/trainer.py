"""One training stage: a network, its frames, a budget, and selection on HF validation."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfbench.mfcore.core import FIDELITY, Core, CoreOutput, ForwardOptions
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.graphs import GraphStore
from mfbench.mfcore.data.reference_energies import composition
from mfbench.mfcore.errors import BudgetError, ConfigError, DataError, TrainingError
from mfbench.mfcore.fidelity import Label, LabelSet
from mfbench.mfcore.memory import keep_freed_memory
from mfbench.mfcore.output_checks import check_slope, checked_output
from mfbench.mfcore.training.budget import Budget, Stage, Stopwatch
from mfbench.mfcore.training.checkpoint import load_tensors, optimizer_tensors, restore_optimizer, save_tensors
from mfbench.mfcore.training.checks import check_all_seen, check_finite_start, check_high_counts, validation_energy_mae
from mfbench.mfcore.training.config import LossConfig, TrainingConfig
from mfbench.mfcore.training.devices import DTYPES, average_gradients, fabric
from mfbench.mfcore.training.energy_offsets import EnergyOffsets
from mfbench.mfcore.training.frame_errors import frame_errors
from mfbench.mfcore.training.loss import LabelCounts, loss_of
from mfbench.mfcore.training.optimizers import optimizer_of
from mfbench.mfcore.training.progress import Progress, silent
from mfbench.mfcore.training.sampler import batch_ends, epoch_order
from mfbench.mfcore.training.schedule import learning_rate, loss_at
from mfbench.mfcore.training.selection import frame_scores, share_kept
from mfbench.mfcore.training.stage import StageState, StageTask
from mfbench.mfcore.training.updates import rate_factors, update_of

_VALIDATION_ATOMS = 2000


class StageTrainer:
    """Train a core on a task until the budget is spent.

    Parameters
    ----------
    core
        Network with reference energies and scales set; trained in place.
    task
        Frames, labels and selection.
    config
        Optimiser, schedule, loss.
    budget
        Atom gradients that this stage may spend; never exceeded.
    seed
        Order of the frames. (The caller seeds the weights.)
    checkpoint
        File to resume from and write to; None does neither.
    progress
        Told the atom gradients spent.
    """

    def __init__(
        self,
        core: Core,
        task: StageTask,
        config: TrainingConfig,
        budget: Budget,
        seed: int,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.task, self.config, self.budget, self.seed = task, config, budget, seed
        self.checkpoint, self.progress = checkpoint, progress or silent
        keep_freed_memory()
        self.world = fabric(config.accelerator, config.devices)
        self.dtype = DTYPES[config.precision]
        self.core = core.to(device=self.world.device, dtype=self.dtype)
        self._validating, self._training = _options(config)
        core.check_options(self._training)
        names, fidelities = [], []
        for fidelity, chosen in task.frames.items():
            names += list(chosen)
            fidelities += [fidelity] * len(chosen)
        self.store = self._store(names, fidelities)
        self.fidelity = np.array([list(task.frames).index(f) for f in fidelities], dtype=np.int64)
        is_high = np.array([f == task.high for f in fidelities])
        self.high, self.low = np.flatnonzero(is_high), np.flatnonzero(~is_high)
        self.validation = self._store(task.validation, [task.high] * len(task.validation))
        if not len(self.store):
            raise DataError(f"stage '{task.name}' has no training frames.")
        if float(self.store.n_atoms.min()) > budget.atom_gradients:
            raise BudgetError(
                f"stage '{task.name}': {budget.atom_gradients:.6g} atom gradients do not pay for one frame."
            )
        self.offsets = self._offsets(names)
        if self.offsets is not None and self.world.world_size > 1:
            raise ConfigError("training.free_e0: several devices divide the batches that it looks at; give never.")
        self.update = update_of(task.changes, self._choose_weights(), seed)
        self.parameters = self.update.parameters
        self.optimizer = optimizer_of(config, self._parameter_groups())
        self.start = [p.detach().clone() for p in self.parameters] if task.changes.anchor else []
        self.average = [p.detach().clone() for p in self.parameters]
        self.best = [p.detach().clone() for p in self.parameters]
        self.state = StageState(Stage(task.name))
        self.patience = budget.patience or config.patience

    def _store(
        self, frames: Sequence[Atoms], fidelities: list[str], labels: Mapping[str, LabelSet] | None = None
    ) -> GraphStore:
        store = GraphStore(
            frames,
            fidelities,
            self.core.fidelities,
            dict(labels or self.task.labels),
            self.core.species,
            self.core.cutoff,
        )
        return store.to(self.world.device, self.dtype)

    def _offsets(self, frames: Sequence[Atoms]) -> EnergyOffsets | None:
        """Reference energies to solve for, if the settings ask for it."""
        wanted = self.config.free_e0 == "always" or (self.config.free_e0 == "auto" and not self.store.has_forces)
        if not (self.task.free_e0 and wanted):
            return None
        return EnergyOffsets(self.core, self.store, composition(frames, self.core.species))

    def _solve_offsets(self) -> None:
        """Solve for the reference energies of the core's present weights, if they are free."""
        if self.offsets is not None:
            self.offsets.solve()
            self.state.stage.validation_atom_evaluations += self.offsets.atoms

    def _choose_weights(self) -> dict[str, torch.nn.Parameter]:
        trainable = None if self.task.trainable is None else self.core.in_groups(self.task.trainable)
        chosen = {}
        for name, parameter in self.core.named_parameters():
            if parameter is not self.core.reference_shift:  # the strategy decides about these, not the stage
                parameter.requires_grad_(trainable is None or name in trainable)
            if parameter.requires_grad:
                chosen[name] = parameter
        return chosen

    def _parameter_groups(self) -> list[dict[str, object]]:
        """Parameters that have one decay and one share of the learning rate, "share"."""
        config, conditioned = self.config, self.core.in_groups([FIDELITY])
        factors = rate_factors(self.core, self.update.owners, self.task.changes.layer_decay)
        groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = {}
        for parameter, owner, factor in zip(self.parameters, self.update.owners, factors, strict=True):
            groups.setdefault((factor, owner in conditioned), []).append(parameter)
        decays = {False: config.weight_decay, True: config.fidelity_weight_decay}
        return [
            {"params": groups[factor, rows], "weight_decay": decays[rows], "share": factor}
            for factor, rows in sorted(groups, key=lambda key: (key[1], -key[0]))
        ]

    def fit(self) -> Stage:
        """Train, load the selected weights into the core, and return what it cost."""
        state, config = self.state, self.config
        if self.checkpoint is not None and self.checkpoint.exists():
            self._resume()
            state = self.state
        interval = self.budget.check_interval(config.validation_checks)
        state.stage.stopped = "budget"
        last_saved = time.monotonic()
        with Stopwatch(state.stage) as watch:
            if not state.stage.steps:
                check_slope(self.core, self.store)
                check_high_counts(self)
                self._check()  # what a stage starts from is a candidate too: fine-tuning can make it worse
            for indices in self._batches():
                cost = float(self.store.n_atoms[indices].sum())
                if state.stage.atom_gradients + cost > self.budget.atom_gradients:
                    break
                self._step(indices)
                state.stage.atom_gradients += cost
                state.stage.steps += 1
                for name, number in zip(self.task.frames, np.bincount(self.fidelity[indices]), strict=False):
                    state.stage.frames_seen[name] = state.stage.frames_seen.get(name, 0) + int(number)
                state.position += len(indices)
                if state.stage.atom_gradients >= (state.checks + 1) * interval:
                    state.checks += 1
                    self._check()
                    self.progress(self.task.name, state.stage.atom_gradients, self.budget.atom_gradients)
                    if self.patience is not None and state.stale >= self.patience:
                        state.stage.stopped = "patience"
                        break
                if self.checkpoint is not None and time.monotonic() - last_saved >= config.checkpoint_s:
                    watch.lap()
                    self._save()
                    last_saved = time.monotonic()
            self._check()
        check_all_seen(self)
        self._load(self.best)
        self._solve_offsets()
        state.stage.fidelity = self.task.high
        state.stage.validation_energy_mae_ev_per_atom = validation_energy_mae(self)
        self.progress(self.task.name, self.budget.atom_gradients, self.budget.atom_gradients)
        return state.stage

    def _batches(self) -> Iterator[np.ndarray]:
        """Batches of frame indices from where the state stands, without end."""
        config, store = self.config, self.store
        limits = ((store.n_atoms.numpy(), config.atoms_per_batch), (store.n_edges.numpy(), config.batch_edges))
        while True:
            order = epoch_order(self.high, self.low, config.high_fidelity_fraction, self.seed, self.state.epoch)
            for end in batch_ends(order, config.batch_frames, limits):
                if end > self.state.position:  # others were seen before the run was resumed
                    yield order[self.state.position : end]
            self.state.epoch, self.state.position = self.state.epoch + 1, 0

    def _share(self, indices: np.ndarray) -> np.ndarray:
        """The part of a batch that this process computes; it may have no frame."""
        return indices[self.world.global_rank :: self.world.world_size]

    @property
    def _done(self) -> float:
        return self.state.stage.atom_gradients / self.budget.atom_gradients

    def target(self, batch: Batch) -> Tensor:
        """Energies less reference energies, in float64 until they are small."""
        return (batch.energy - self.core.reference_energy(batch)).to(self.dtype)

    def loss(
        self,
        batch: Batch,
        training: bool,
        config: LossConfig | None = None,
        projection: Tensor | None = None,
        counts: LabelCounts | None = None,
    ) -> Tensor:
        """Loss of a batch, by the stage's weights or others; `projection` and `counts` are those of :func:`loss_of`."""
        batch = batch.to(self.world.device, self.dtype)
        output = self._answer(batch, self._training if training else self._validating, create_graph=training)
        target, names = self.target(batch), self.core.fidelities
        return loss_of(output, batch, target, names, config or self.config.loss, projection, counts)

    def _answer(self, batch: Batch, options: ForwardOptions, create_graph: bool = False) -> CoreOutput:
        output = self.core(batch, batch.has_forces, batch.has_stress, create_graph=create_graph, **options)
        return checked_output(self.core.name, output, batch, batch.has_forces, batch.has_stress)

    def _loss_of_share(self, indices: np.ndarray) -> Tensor | None:
        """Loss of this process's part of a batch; None if it has none. The mean over processes is the batch's loss."""
        projection = None if self.offsets is None else self.offsets.projection(indices)
        whole, config = self.store.batch(indices), loss_at(self.config.loss, self._done)
        if self.world.world_size == 1:
            return self.loss(whole, True, config, projection)
        part = self._share(indices)
        counts = LabelCounts.of(whole, self.world.world_size)
        return self.loss(self.store.batch(part), True, config, counts=counts) if len(part) else None

    def _step(self, indices: np.ndarray) -> None:
        rate = learning_rate(self.config, self._done) * self.core.learning_rate_factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss_of_share(indices)
        if loss is not None and loss.requires_grad:
            loss.backward(inputs=self.update.weights)  # positions are no parameters: nothing is propagated to them
        self.update.pull()
        average_gradients(self.parameters, self.world)
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.optimizer.step()
        if self.start:  # decoupled from the gradient, as AdamW's decay to zero is
            with torch.no_grad():
                torch._foreach_lerp_(
                    [p.detach() for p in self.parameters], self.start, min(1.0, rate * self.task.changes.anchor)
                )
        self.update.push()
        decay = min(self.config.ema, (1 + self.state.stage.steps) / (10 + self.state.stage.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def _load(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)
        self.update.push()

    def frame_scores(self) -> np.ndarray:
        """Score of each validation frame by the core's present weights (:func:`frame_scores`)."""
        atoms = float(self.validation.n_atoms.sum())
        self.state.stage.validation_atom_evaluations += atoms * (2.0 if self._low_batches else 1.0)
        errors = frame_errors(
            self.core,
            self._validation_batches,
            self._low_batches,
            lambda batch: self._answer(batch, self._validating),
            self.target,
            self.config.loss,
        )
        return frame_scores(self.config.selection, errors, self.config.loss)

    @cached_property
    def _validation_batches(self) -> list[Batch]:
        return self._in_groups(self.validation)

    @cached_property
    def _low_batches(self) -> list[Batch]:
        """The validation frames as frames of the next cheaper level, if its forces are what weights are selected by."""
        task, names = self.task, self.core.fidelities
        place = names.index(task.high)
        low = names[place - 1] if place else ""
        wanted = self.config.selection == "low_forces" and Label.FORCES not in task.labels[task.high]
        if not wanted or low not in task.labels or Label.FORCES not in task.labels[low]:
            return []
        if not task.validation or not all(has_label(a, low, Label.FORCES) for a in task.validation):
            return []
        store = self._store(task.validation, [low] * len(task.validation), {low: LabelSet.parse("F")})
        return self._in_groups(store)

    def _in_groups(self, validation: GraphStore) -> list[Batch]:
        return [validation.batch(group).to(self.world.device, self.dtype) for group in self.validation_groups()]

    def validation_groups(self) -> list[np.ndarray]:
        """Indices of the validation frames, in groups that are evaluated at once."""
        atoms = self.validation.n_atoms.numpy()
        return np.split(np.arange(len(atoms)), np.flatnonzero(np.diff(atoms.cumsum() // _VALIDATION_ATOMS)) + 1)

    def _check(self) -> None:
        """Keep the averaged weights if the rule of selection says so; without validation frames the last are kept."""
        state = self.state
        if state.checked == state.stage.atom_gradients:
            return
        state.checked = state.stage.atom_gradients
        if not len(self.validation):
            self._keep()
            return
        current = [p.detach().clone() for p in self.parameters]
        self._load(self.average)
        self._solve_offsets()
        scores = self.frame_scores()
        self._load(current)
        score = float(scores.mean())
        if not math.isfinite(score):
            if not state.stage.steps:
                check_finite_start(self, score)
            raise TrainingError(
                f"stage '{self.task.name}' diverged: validation loss {score} after "
                f"{state.stage.atom_gradients:.6g} atom gradients; lower training.learning_rate."
            )
        late = self.config.selection == "second_half" and self.patience is None
        self._keep(share_kept(self.config.selection, state, scores, self.budget.atom_gradients, late=late))

    def _keep(self, share: float = 1.0) -> None:
        """Take the averaged weights for the selected ones, or move these to them by a share of the way."""
        if share == 0.0:
            return
        self.best = [best.lerp(new, share) for best, new in zip(self.best, self.average, strict=True)]
        self.state.stage.best_spent = self.state.stage.atom_gradients

    def _save(self) -> None:
        assert self.checkpoint is not None
        if self.world.global_rank:
            return
        tensors = optimizer_tensors(self.optimizer)
        for kind, values in (("weight", self.parameters), ("average", self.average), ("best", self.best)):
            tensors |= {f"{kind}.{n}": value.detach() for n, value in enumerate(values)}
        tensors["reference"] = self.core.reference
        header = {"state": asdict(self.state), "seed": self.seed, "budget": self.budget.atom_gradients}
        save_tensors(self.checkpoint, tensors, header)

    def _resume(self) -> None:
        assert self.checkpoint is not None
        tensors, header = load_tensors(self.checkpoint)
        if header["seed"] != self.seed or header["budget"] != self.budget.atom_gradients:
            raise DataError(
                "checkpoint of another run (seed or budget differs).", file=self.checkpoint, hint="Delete it."
            )
        restore_optimizer(self.optimizer, tensors)
        count = range(len(self.parameters))
        self._load([tensors[f"weight.{n}"] for n in count])
        self.average = [tensors[f"average.{n}"].to(self.world.device) for n in count]
        self.best = [tensors[f"best.{n}"].to(self.world.device) for n in count]
        self.core.reference.copy_(tensors["reference"])
        values = copy.deepcopy(header["state"])
        values["stage"] = Stage(**values["stage"])
        values["best"] = float(values["best"])
        self.state = StageState(**values)


def _options(config: TrainingConfig) -> tuple[ForwardOptions, ForwardOptions]:
    """Ways of computing in validation and in training; validation is what potentials are later: float32."""
    validating = ForwardOptions(activation_checkpointing=True) if config.activation_checkpointing else ForwardOptions()
    if config.precision != "mixed":
        return validating, validating
    return validating, ForwardOptions(**validating, tf32=True)
