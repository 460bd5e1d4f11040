"""Many replicas of molecular dynamics in one batch, until each has failed or reached the physical-time limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase import units
from torch import Tensor

from mfbench.mfcore.dynamics.checkpoint import Checkpoint, fingerprint
from mfbench.mfcore.dynamics.criteria import FailureCriteria, Mode, first_failure, non_finite, overheated
from mfbench.mfcore.dynamics.integrators import Langevin, kick, kinetic_energy, maxwell_boltzmann, without_momentum
from mfbench.mfcore.dynamics.models import ForceModel, species_index
from mfbench.mfcore.dynamics.monitor import GeometryMonitor
from mfbench.mfcore.dynamics.neighbours import SkinList
from mfbench.mfcore.dynamics.noise import VELOCITIES, ReplicaNoise, normals
from mfbench.mfcore.dynamics.results import DynamicsRun, ReplicaResult, Status
from mfbench.mfcore.dynamics.settings import DynamicsSettings, Start, check_starts
from mfbench.mfcore.dynamics.trajectory import TrajectoryWriter
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.memory import keep_freed_memory
from mfbench.mfcore.training.progress import Progress, silent


def simulate(
    model: ForceModel,
    replicas: Sequence[Start],
    settings: DynamicsSettings,
    criteria: FailureCriteria | None = None,
    *,
    seed: int = 0,
    out: Path | None = None,
    trajectories: bool = False,
    wall_limit_s: float | None = None,
    checkpoint_every_s: float = 60.0,
    progress: Progress = silent,
) -> DynamicsRun:
    """Run all replicas, of any sizes and cells, in one batch.

    A replica's trajectory depends on its start, its number and the seed, not on the others (up to the rounding of
    matrix products, which depends on the size of the batch).

    Parameters
    ----------
    model
        Energies and forces; of a fitted potential, :class:`~mfbench.mfcore.dynamics.models.PotentialForces`.
    replicas
        Where they start, from :func:`~mfbench.mfcore.dynamics.settings.starts`.
    settings
        How to integrate, and the physical-time limit.
    criteria
        What counts as a failure; None asks for finite numbers and a sane temperature only.
    seed
        Of velocities and thermostat.
    out
        Folder for the checkpoint and the trajectories; a run that is there goes on, a finished one is returned.
    trajectories
        Whether to write positions, every `settings.record_every` steps.
    wall_limit_s
        Wall time, that of interrupted parts included, after which the replicas that are still running end as errors. A
        later call with a larger limit goes on.
    checkpoint_every_s
        Wall time between checkpoints.
    progress
        Called with the steps done.

    Raises
    ------
    ConfigError
        If a replica cannot be started with this model.
    DataError
        If `out` holds another simulation.
    """
    check_starts(replicas)
    if trajectories and out is None:
        raise ConfigError("dynamics: trajectories need a folder to go to.")
    own = criteria if criteria is not None else FailureCriteria()
    keep_freed_memory()
    mark = fingerprint(model, replicas, settings, own, seed, trajectories)
    simulation = _Simulation(model, replicas, settings, own, seed, mark)
    return simulation.run(out, trajectories, wall_limit_s, checkpoint_every_s, progress)


class _Simulation:
    forces: Tensor
    energies: Tensor

    def __init__(
        self,
        model: ForceModel,
        replicas: Sequence[Start],
        settings: DynamicsSettings,
        criteria: FailureCriteria,
        seed: int,
        mark: str,
    ) -> None:
        self.model, self.starts, self.settings, self.criteria = model, list(replicas), settings, criteria
        self.seed, self.mark, self.device = seed, mark, model.device
        self.step, self.wall_before, self.evaluations = 0, 0.0, 0
        self.results: dict[int, ReplicaResult] = {}
        self.rows: dict[int, list[list[float]]] = {s.replica: [] for s in replicas}
        self.writer: TrajectoryWriter | None = None
        self.time_step = settings.time_step_fs * units.fs
        self._set_up(list(range(len(replicas))))

    # --- state ----------------------------------------------------------------------------------------------

    def _set_up(self, active: list[int]) -> None:
        """Lists, constants and initial positions and velocities of some of the replicas."""
        self.active, chosen = active, [self.starts[k] for k in active]
        if not chosen:
            return
        frames = [s.atoms for s in chosen]
        species = np.concatenate([species_index(s.atoms.numbers, self.model.species, s.name) for s in chosen])
        self.neighbours = SkinList(
            frames, torch.from_numpy(species), self.model.cutoff, self.settings.skin, self.device, self.model.dtype
        )
        self.monitor = GeometryMonitor(
            self.criteria, frames, self.settings.time_step_fs, self.model.cutoff, self.device
        )
        self.noise = ReplicaNoise(self.seed, [s.replica for s in chosen], [len(a) for a in frames], self.device)
        self.masses = self._real(np.concatenate([a.get_masses() for a in frames]))[:, None]
        self.targets = self._real(np.array([s.temperature_K for s in chosen]))
        self.positions = self._real(np.concatenate([a.positions for a in frames]))
        self._constants()
        if self.settings.velocities == "frame":
            self.velocities = self._real(np.concatenate([a.get_velocities() for a in frames]))
        else:
            drawn = [normals(self.seed, s.replica, VELOCITIES, 0, (len(s.atoms), 3)) for s in chosen]
            heat = self.targets[self.neighbours.frame][:, None]
            self.velocities = maxwell_boltzmann(self._real(np.concatenate(drawn)), self.masses, heat)
            if self.settings.ensemble == "nve":
                n_atoms = self.neighbours.n_atoms
                self.velocities = without_momentum(self.velocities, self.masses, self.neighbours.frame, n_atoms)

    def _real(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(self.device)

    def _constants(self) -> None:
        """Lay out the tensors that depend on which replicas there are."""
        heat = self.targets[self.neighbours.frame][:, None]
        friction = self.settings.friction_per_ps / (1000.0 * units.fs)
        self.langevin = Langevin(self.time_step, friction, self.masses, heat)
        n_atoms = self.neighbours.n_atoms
        bound = 3 if self.settings.ensemble == "nve" and self.settings.velocities == "draw" else 0
        freedom = 3 * n_atoms - torch.where(n_atoms > 1, bound, 0)
        self.per_kelvin = 2.0 / (freedom.double() * units.kB)

    def _keep(self, which: list[int]) -> None:
        """Go on with some of the active replicas."""
        kept = torch.zeros(len(self.active), dtype=torch.bool, device=self.device)
        kept[which] = True
        atoms = kept[self.neighbours.frame]
        self.active = [self.active[k] for k in which]
        self.positions, self.velocities = self.positions[atoms], self.velocities[atoms]
        self.forces, self.masses = self.forces[atoms], self.masses[atoms]
        self.energies, self.targets = self.energies[kept], self.targets[kept]
        self.neighbours.keep(which, atoms)
        self.monitor.keep(which)
        self.noise.keep(which)
        self._constants()

    # --- one step -------------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        """Forces at the present positions; a replica for which the model raises ends as an error."""
        try:
            self._evaluate_all()
        except Exception as fault:
            if self.step == 0:
                raise  # a fault of the set-up, not of the dynamics
            bad = self._culprits()
            if not bad:
                raise
            for number, message in bad.items():
                self._end(number, "error", "engine", message)
            self._keep([k for k in range(len(self.active)) if k not in bad])
            if not self.active:
                return
            try:
                self._evaluate_all()
            except Exception:
                raise fault from None

    def _evaluate_all(self) -> None:
        vectors, self.squares, near = self.neighbours.geometry(self.positions)
        output = self.model(self.neighbours.batch(self.positions, vectors, near), forces=True)
        assert output.forces is not None
        self.energies, self.forces = output.energy.detach().double(), output.forces.detach().double()
        self.evaluations += len(self.active)

    def _culprits(self) -> dict[int, str]:
        """Active replicas for which the model raises also when they are alone, with what it says."""
        bad = {}
        for number, k in enumerate(self.active):
            atoms = self.starts[k].atoms.copy()
            mine = self.positions[self.neighbours.frame == number]
            try:
                atoms.positions = mine.cpu().numpy()
                species = torch.from_numpy(species_index(atoms.numbers, self.model.species, self.starts[k].name))
                alone = SkinList([atoms], species, self.model.cutoff, self.settings.skin, self.device, self.model.dtype)
                vectors = alone.vectors(mine)
                self.model(alone.batch(mine, vectors, alone.near(vectors.square().sum(1))), forces=True)
            except Exception as fault:
                bad[number] = f"{type(fault).__name__}: {fault}"
        return bad

    def _advance(self) -> None:
        half = 0.5 * self.time_step
        self.velocities = kick(self.velocities, self.forces, self.masses, half)
        if self.settings.ensemble == "nvt":
            self.positions, self.velocities = self.langevin.drift(
                self.positions, self.velocities, self.noise.at(self.step)
            )
        else:
            self.positions = self.positions + self.time_step * self.velocities
        self.step += 1
        self._evaluate()
        if self.active:
            self.velocities = kick(self.velocities, self.forces, self.masses, half)

    def _judge(self) -> None:
        """End the replicas that have failed, and record the others."""
        if not self.active:
            return
        frame, last = self.neighbours.frame, self.step == self.settings.n_steps
        kinetic = kinetic_energy(self.velocities, self.masses, frame, len(self.active))
        heat = kinetic * self.per_kelvin
        flags: dict[Mode, Tensor] = {
            "non_finite": non_finite(self.energies, self.forces, frame),
            "temperature": overheated(heat, self.targets, self.criteria.temperature_factor),
        }
        if last or self.step % self.settings.check_every == 0:
            flags |= self.monitor.check(self.step, self.positions, self.neighbours, self.squares)
        failed = torch.stack(list(flags.values())).any(0)
        fine = list(range(len(self.active)))
        if bool(failed.any()):
            flags = {mode: values.cpu() for mode, values in flags.items()}
            fine = []
            for number in range(len(self.active)):
                mode = first_failure(flags, number)
                if mode is None:
                    fine.append(number)
                else:
                    self._end(number, "failure", mode)
        if last or self.step % self.settings.record_every == 0:
            self._record(fine, kinetic, heat)
        if last:
            for number in fine:
                self._end(number, "survived", None)
            fine = []
        if len(fine) < len(self.active):
            self._keep(fine)

    def _record(self, fine: list[int], kinetic: Tensor, heat: Tensor) -> None:
        now = self.settings.time_ps(self.step)
        table = torch.stack([self.energies, kinetic, heat], 1).tolist()
        for number in fine:
            self.rows[self.starts[self.active[number]].replica].append([now, *table[number]])
        if self.writer is None:
            return
        positions = self.positions.cpu().numpy()
        ends = np.cumsum(self.neighbours.n_atoms.cpu().numpy())
        for number in fine:
            start = self.starts[self.active[number]]
            mine = positions[ends[number] - len(start.atoms) : ends[number]]
            self.writer.add(start.replica, start.atoms, mine, now)

    def _end(self, number: int, status: Status, mode: str | None, message: str = "") -> None:
        k = self.active[number]
        self.results[k] = self._result(k, status, mode, message)

    def _result(self, k: int, status: Status, mode: str | None, message: str) -> ReplicaResult:
        start, now = self.starts[k], self.settings.time_ps(self.step)
        n_atoms = len(start.atoms)
        return ReplicaResult(
            start.replica, start.name, start.group, start.temperature_K, n_atoms, status, mode, now, message
        )

    # --- the whole ------------------------------------------------------------------------------------------

    def run(
        self,
        out: Path | None,
        trajectories: bool,
        wall_limit_s: float | None,
        checkpoint_every_s: float,
        progress: Progress,
    ) -> DynamicsRun:
        """Run to the end, from the checkpoint if there is one."""
        began = saved = time.perf_counter()
        stored = Checkpoint.load(out, self.mark) if out is not None else None
        if trajectories and out is not None:
            sizes = stored.sizes if stored is not None else {}
            self.writer = TrajectoryWriter(out / "trajectories", sizes, [s.replica for s in self.starts])
        if stored is not None:
            self._restore(stored)
        else:
            self._evaluate()
            self._judge()
        late: dict[int, ReplicaResult] = {}
        while self.active:
            now = time.perf_counter()
            if wall_limit_s is not None and self.wall_before + now - began >= wall_limit_s:
                message = f"not at the limit of {self.settings.duration_ps} ps after {wall_limit_s:g} s of wall time"
                late = {k: self._result(k, "error", "wall_clock", message) for k in self.active}
                break
            if out is not None and now - saved >= checkpoint_every_s:
                self._save(out, began)
                saved = time.perf_counter()
            self._advance()
            self._judge()
            if self.step % self.settings.record_every == 0:
                progress("dynamics", self.step, self.settings.n_steps)
        if out is not None:
            self._save(out, began)
        results = {**self.results, **late}
        return DynamicsRun(
            tuple(results[k] for k in range(len(self.starts))),
            self._series(),
            dict(self.writer.paths) if self.writer is not None else {},
            self.evaluations,
            self.wall_before + time.perf_counter() - began,
        )

    def _series(self) -> dict[int, np.ndarray]:
        return {r: np.asarray(rows, dtype=np.float64).reshape(-1, 4) for r, rows in self.rows.items()}

    def _save(self, out: Path, began: float) -> None:
        if self.writer is not None:
            self.writer.flush()
        tensors = {}
        if self.active:
            tensors = {
                "positions": self.positions,
                "velocities": self.velocities,
                "forces": self.forces,
                "energies": self.energies,
                "built": self.neighbours.built,
                "since_unit": self.monitor.since_unit,
                "since_bond": self.monitor.since_bond,
            }
        Checkpoint(
            self.mark,
            self.step,
            self.active,
            tensors,
            self.results,
            self._series(),
            self.writer.sizes if self.writer is not None else {},
            self.wall_before + time.perf_counter() - began,
            self.evaluations,
        ).save(out)

    def _restore(self, stored: Checkpoint) -> None:
        self._set_up(stored.active)
        self.step, self.wall_before, self.evaluations = stored.step, stored.wall_s, stored.n_force_evaluations
        self.results = stored.results
        self.rows = {s.replica: stored.series[s.replica].tolist() for s in self.starts}
        if not stored.active:
            return
        tensors = {name: tensor.to(self.device) for name, tensor in stored.tensors.items()}
        self.positions, self.velocities = tensors["positions"], tensors["velocities"]
        self.forces, self.energies = tensors["forces"], tensors["energies"]
        self.monitor.since_unit, self.monitor.since_bond = tensors["since_unit"], tensors["since_bond"]
        self.neighbours.rebuild(tensors["built"])
