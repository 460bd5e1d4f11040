"""A fitted potential: one network, or a sum of several, that answers for named fidelities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from mfbench.mfcore.core import Core
from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.periodic import COINCIDENT
from mfbench.mfcore.data.structures import Frame, as_frames
from mfbench.mfcore.data.validation import check_all_finite, check_all_numbers, check_geometry
from mfbench.mfcore.errors import ConfigError, DataError, EstimateWarning, ExtrapolationWarning, UntrainedWarning
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.potentials import stored
from mfbench.mfcore.potentials.calculator import PotentialCalculator
from mfbench.mfcore.potentials.coverage import Coverage, Unseen
from mfbench.mfcore.potentials.inference import FrozenPotential, state_of
from mfbench.mfcore.potentials.predictions import Predictions
from mfbench.mfcore.potentials.proximity import Proximity, TooClose
from mfbench.mfcore.potentials.relax import Relaxation, relax
from mfbench.mfcore.potentials.watch import Watch
from mfbench.mfcore.training.budget import Ledger

#: In the record of a potential: its error in energy (eV/atom) on the frames that selected it, that of a constant, and
#: whether it has learned more than the constant says.
ENERGY_ERRORS = "validation_energy_mae_ev_per_atom"


@dataclass(frozen=True)
class Component:
    """One summand of an answer: a network evaluated as one of its fidelities."""

    core: int
    fidelity: str


@dataclass
class Potential:
    """Fitted potential, which a strategy returns and a user keeps.

    Attributes
    ----------
    arm
        Name of the strategy that made it.
    cores
        Networks.
    outputs
        For each fidelity that the potential answers for, cheapest first and the target last, the networks
        that are summed.
    delta_baseline
        By fidelity, the cheaper fidelity whose *labels* are added: Δ-learning on labels is not
        self-contained and needs them with every frame, or a calculator of that level.
    ledger, record
        What it cost, and how it came about (reference energies, settings, checks).
    """

    arm: str
    cores: list[Core]
    outputs: dict[str, tuple[Component, ...]]
    delta_baseline: dict[str, str] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    record: dict[str, Any] = field(default_factory=dict)
    _frozen: dict[str, tuple[list[tuple[int, int]], FrozenPotential]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def fidelities(self) -> tuple[str, ...]:
        """Fidelities that it answers for; the last one is the target."""
        return tuple(self.outputs)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers seen in training."""
        return self.cores[0].species

    @property
    def requires_low_labels(self) -> tuple[str, ...]:
        """Fidelities whose labels (or calculator) a prediction needs."""
        return tuple(dict.fromkeys(self.delta_baseline.values()))

    def _resolve(self, fidelity: str | None) -> str:
        name = self.fidelities[-1] if fidelity is None else fidelity
        aliases = {"high": self.fidelities[-1], "low": self.fidelities[0]}
        if name not in self.outputs and name in aliases and (name == "high" or len(self.fidelities) > 1):
            name = aliases[name]
        if name not in self.outputs:
            raise ConfigError(f"fidelity '{name}': this {self.arm} potential answers for {', '.join(self.fidelities)}.")
        return name

    def predict(
        self,
        frames: Frame | Sequence[Frame],
        fidelity: str | None = None,
        *,
        forces: bool = True,
        stress: bool = False,
        batch_atoms: int = 4000,
        base: Calculator | None = None,
    ) -> Predictions:
        """Energies, forces and stress of frames.

        Parameters
        ----------
        frames
            Molecules and periodic cells, mixed as you like; one or several `ase.Atoms`, or structures, molecules or
            computed structure entries of pymatgen.
        fidelity
            Which of `fidelities`, or "high" / "low"; None is the target.
        forces, stress
            What to compute beside energies.
        batch_atoms
            About how many atoms to evaluate at once.
        base
            For Δ-learning on labels, an ASE calculator of the cheap level; without one the frames' own
            labels of that level are used.

        Raises
        ------
        DataError
            If a frame has an element never seen in training, lacks a label that a Δ potential needs, or cannot be (see
            :func:`mfbench.mfcore.data.validation.check_geometry`); if an answer is no finite number.
        ConfigError
            If the potential does not answer for the fidelity.
        """
        name = self._resolve(fidelity)
        frames = as_frames(frames)
        check_all_numbers(frames)
        self._check_known(name, frames)
        self._warn_of_estimates(name, {int(n) for n in np.unique(np.concatenate([[], *(a.numbers for a in frames)]))})
        energies = np.zeros(len(frames))
        force = [np.zeros((len(a), 3)) for a in frames] if forces else None
        stresses = np.zeros((len(frames), 3, 3)) if stress else None
        self._add_networks(self._networks(name), frames, energies, force, stresses, batch_atoms)
        if name in self.delta_baseline:
            _add_labels(frames, self.delta_baseline[name], energies, force, stresses, base)
        check_all_finite(frames, energies, force)
        return Predictions(energies, force, stresses)

    def proximity(self, species: Sequence[int]) -> Proximity:
        """Return a finder of atoms that are closer than those of any training frame, for batches of these species."""
        return Proximity(self.record.get("closest_pairs", {}), species)

    def extrapolated(self, frames: Sequence[Atoms], fidelity: str | None = None) -> TooClose | None:
        """Return the pair of atoms in frames that is too close for what was trained on by most; None if none is.

        Calculators and dynamics warn of it, once (:class:`mfbench.mfcore.errors.ExtrapolationWarning`).
        """
        networks = self._networks(self._resolve(fidelity))
        return self.proximity(networks.species).find(networks.batch(frames))

    def unseen(self, frames: Sequence[Atoms], fidelity: str | None = None) -> list[Unseen]:
        """Return in what frames are unlike all training frames: atoms without neighbours, periodicity."""
        name = self._resolve(fidelity)
        networks = self._networks(name)
        return self._coverage(networks.species, networks.cutoff, name).find(networks.batch(frames))

    def _coverage(self, species: Sequence[int], cutoff: float, fidelity: str) -> Coverage:
        """Finder of surroundings that no training frame has, for batches of these species and this cutoff."""
        return Coverage(self.record.get("surroundings", {}), species, cutoff, fidelity)

    def watch(self, species: Sequence[int], cutoff: float, fidelity: str) -> Watch:
        """Return what tells of batches that are unlike the training, for calculators and dynamics."""
        return Watch(self.proximity(species), self._coverage(species, cutoff, fidelity))

    def check_stress(self, fidelity: str | None = None) -> None:
        """Warn (ExtrapolationWarning) if no stress label of a fidelity was trained on."""
        name = self._resolve(fidelity)
        labels = self.record.get("labels", {}).get(name)
        if labels is not None and Label.STRESS.value not in labels:
            warnings.warn(
                f"no '{name}' stress was trained on: the stress follows from energies and forces alone, and may be far "
                "off",
                ExtrapolationWarning,
                stacklevel=3,
            )

    def estimated(self, fidelity: str | None = None) -> frozenset[int]:
        """Return atomic numbers of elements that no label of a fidelity was about, so that answers are estimates.

        Their reference energies are those of a cheaper fidelity and the mean shift of the other elements. In a sum of
        networks the last one was trained on the labels of the fidelity, on what the others leave of them.
        """
        name = self._resolve(fidelity)
        return self._recorded(self.outputs[name][-1], "estimated") - self.refused(name)

    def refused(self, fidelity: str | None = None) -> frozenset[int]:
        """Return atomic numbers that no label of a fidelity, nor of a cheaper one, was about: no energy is known."""
        terms = self.outputs[self._resolve(fidelity)]
        return self._recorded(terms[0], "unknown") if len(terms) == 1 else frozenset()

    def _check_known(self, name: str, frames: Sequence[Atoms]) -> None:
        refused = self.refused(name)
        for number, atoms in enumerate(frames if refused else ()):
            if odd := refused.intersection(atoms.numbers.tolist()):
                raise DataError(
                    f"no '{name}' label of the training, nor one of a cheaper level, has "
                    f"{', '.join(chemical_symbols[n] for n in sorted(odd))}: nothing tells its energy.",
                    frame=number,
                    hint="Ask for another fidelity, or leave this frame out.",
                )

    def _recorded(self, term: Component, kind: str) -> frozenset[int]:
        energies = self.record.get("reference_energies", {})
        return frozenset(int(n) for n in energies.get(term.fidelity, {}).get(kind, ()))

    def _warn_of_estimates(self, name: str, elements: set[int] | None = None) -> None:
        """Warn if answers for some elements (None: any) are estimates."""
        found = self.estimated(name)
        found = found if elements is None else found & elements
        if found:
            symbols = ", ".join(chemical_symbols[n] for n in sorted(found))
            warnings.warn(
                f"no '{name}' label of the training has {symbols}: the energy of such frames is an estimate, by the "
                "cheaper fidelity and the mean shift of the other elements",
                EstimateWarning,
                stacklevel=3,
            )

    @staticmethod
    def _add_networks(
        networks: FrozenPotential,
        frames: Sequence[Atoms],
        energies: np.ndarray,
        force: list[np.ndarray] | None,
        stresses: np.ndarray | None,
        batch_atoms: int,
    ) -> None:
        store = networks.graphs(frames)
        for number in torch.nonzero(store.shortest_edges() < COINCIDENT).flatten().tolist():
            check_geometry(frames[number], index=number)
        start = 0
        while start < len(frames):
            stop, atoms = start + 1, len(frames[start])
            while stop < len(frames) and atoms + len(frames[stop]) <= batch_atoms:
                atoms += len(frames[stop])
                stop += 1
            batch = store.batch(np.arange(start, stop)).to(networks.device, networks.dtype)
            output = networks(batch, forces=force is not None, stress=stresses is not None)
            energies[start:stop] = output.energy.cpu().numpy()
            if force is not None and output.forces is not None:
                ends = np.cumsum([len(a) for a in frames[start:stop]])[:-1]
                force[start:stop] = np.split(output.forces.double().cpu().numpy(), ends)
            if stresses is not None and output.stress is not None:
                stresses[start:stop] = output.stress.double().cpu().numpy()
            start = stop

    def freeze(self, fidelity: str | None = None) -> FrozenPotential:
        """The present weights as a fixed function of a graph, for molecular dynamics and other inference.

        It gives what :meth:`predict` gives, without a way back to the weights: a batch goes in, and energies with
        reference energies, forces and stress come out (Δ on a model: the sum of both networks).

        Parameters
        ----------
        fidelity
            As in :meth:`predict`.

        Raises
        ------
        ConfigError
            If the potential does not answer for the fidelity, or needs labels of a cheaper level for it.
        """
        name = self._resolve(fidelity)
        if name in self.delta_baseline:
            raise ConfigError(
                f"this {self.arm} potential adds '{self.delta_baseline[name]}' labels to its network and cannot be "
                "frozen; use predict or calculator with base=<an ASE calculator of that level>."
            )
        return self._networks(name)

    def _networks(self, name: str) -> FrozenPotential:
        """Networks of a fidelity, frozen; kept until a weight is written to."""
        terms = [(self.cores[term.core], term.fidelity) for term in self.outputs[name]]
        state = state_of([core for core, _ in terms])
        kept = self._frozen.get(name)
        if kept is None or kept[0] != state:
            kept = self._frozen[name] = (state, FrozenPotential(terms, self.refused(name)))
        return kept[1]

    def calculator(self, fidelity: str | None = None, *, base: Calculator | None = None) -> PotentialCalculator:
        """An ASE calculator of one fidelity (energy, forces, stress); `base` as in :meth:`predict`."""
        name = self._resolve(fidelity)
        self._warn_of_estimates(name)
        return PotentialCalculator(self, name, base=base)

    def relax(
        self, frame: Frame, fidelity: str | None = None, *, fmax: float = 0.01, max_steps: int = 500
    ) -> Relaxation:
        """Relax atoms and, if they are periodic in all directions, the cell.

        As :func:`mfbench.mfcore.potentials.relax.relax` says.

        Parameters
        ----------
        frame
            `ase.Atoms`, or of pymatgen, as in :meth:`predict`; not changed. The answer's `structure` is of pymatgen.
        fmax, max_steps
            eV/Å; most steps.
        """
        return relax(frame, self.calculator(fidelity), fmax=fmax, max_steps=max_steps)

    def save(self, directory: str | Path) -> None:
        """Write weights as safetensors and a JSON header; the header comes last, so a cut leaves no potential.

        Raises
        ------
        StorageError
            If the disk is full or cannot be written to.
        """
        stored.write(
            Path(directory),
            self.cores,
            arm=self.arm,
            outputs={f: [(t.core, t.fidelity) for t in terms] for f, terms in self.outputs.items()},
            delta_baseline=self.delta_baseline,
            ledger=self.ledger,
            record=self.record,
        )


def load(directory: str | Path) -> Potential:
    """Read a potential that :meth:`Potential.save` wrote: the same to the last bit.

    Raises
    ------
    DataError
        If the folder holds no complete potential, or one whose files are not those that were written.

    Warns
    -----
    UntrainedWarning
        If its record says that it has failed to train.
    """
    header, cores, ledger = stored.read(Path(directory))
    outputs = {f: tuple(Component(core, fidelity) for core, fidelity in terms) for f, terms in header.outputs.items()}
    errors = header.record.get(ENERGY_ERRORS)
    if errors is not None and not errors["learned"]:
        warnings.warn(
            f"{directory}: this {header.arm} potential has failed to train: on the frames that selected it, energies "
            f"were wrong by {1e3 * errors['found']:.3g} meV/atom, those of a constant (the mean by composition) by "
            f"{1e3 * errors['constant']:.3g}",
            UntrainedWarning,
            stacklevel=2,
        )
    return Potential(header.arm, cores, outputs, header.delta_baseline, ledger, header.record)


def _add_labels(
    frames: Sequence[Atoms],
    fidelity: str,
    energies: np.ndarray,
    force: list[np.ndarray] | None,
    stresses: np.ndarray | None,
    base: Calculator | None,
) -> None:
    """Add the labels of a cheap level, from a calculator or from the frames themselves."""
    for number, atoms in enumerate(frames):
        if base is not None:
            bare = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            bare.calc = base
            energy, low_forces = bare.get_potential_energy(), bare.get_forces() if force is not None else None
            low_stress = bare.get_stress(voigt=False) if stresses is not None else None
        else:
            energy, low_forces, low_stress = (
                energy_of(atoms, fidelity),
                forces_of(atoms, fidelity),
                stress_of(atoms, fidelity),
            )
            missing = not np.isfinite(energy) or (force is not None and not np.isfinite(low_forces).all())
            if missing:
                raise DataError(
                    f"Δ-learning on labels needs the '{fidelity}' energy and forces of every frame.",
                    frame=number,
                    key=f"{fidelity}_energy",
                    hint="Compute them, give base=<an ASE calculator of that level>, or use delta_model.",
                )
        energies[number] += energy
        if force is not None and low_forces is not None:
            force[number] += low_forces
        if stresses is not None and low_stress is not None:
            stresses[number] += low_stress
