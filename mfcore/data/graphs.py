"""Neighbour lists, and flat storage from which batches are gathered without a loop over frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfcore.data.frames import energy_of, forces_of, stress_of
from mfcore.errors import DataError
from mfcore.fidelity import Label, LabelSet


def neighbour_list(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All directed pairs within the cutoff, periodic images of an atom with itself included.

    Parameters
    ----------
    atoms
        A molecule or a fully periodic cell of any size (also smaller than the cutoff).
    cutoff
        Å.

    Returns
    -------
    sender, receiver
        (E,) atom indices, sorted by receiver.
    shift
        (E, 3) Å; the pair's vector is ``r[sender] - r[receiver] + shift``.
    """
    from vesin import NeighborList

    periodic = bool(atoms.pbc.any())
    cell = np.asarray(atoms.cell.array if periodic else np.zeros((3, 3)), dtype=np.float64)
    positions = np.ascontiguousarray(atoms.positions, dtype=np.float64)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise DataError("positions or cell are not finite numbers.", key="positions")
    finder = NeighborList(cutoff=cutoff, full_list=True)
    receiver, sender, image = finder.compute(points=positions, box=cell, periodic=periodic, quantities="ijS")
    # the order inside one receiver is fixed too, so that sums are the same in every process
    order = np.lexsort((image[:, 2], image[:, 1], image[:, 0], sender, receiver))
    receiver, sender, image = receiver[order], sender[order], image[order]
    return sender.astype(np.int64), receiver.astype(np.int64), image.astype(np.float64) @ cell


@dataclass
class Batch:
    """Several frames as one graph, with labels (NaN where there is none).

    Atoms are numbered through the batch (A in all), edges sorted by receiver (E in all), B frames.
    """

    species: Tensor  # (A,) index into the model's species
    positions: Tensor  # (A, 3) Å
    sender: Tensor  # (E,)
    receiver: Tensor  # (E,) ascending
    row_pointer: Tensor  # (A + 1,) first edge of each receiver
    shift: Tensor  # (E, 3) Å
    frame: Tensor  # (A,) frame of each atom
    n_atoms: Tensor  # (B,)
    volume: Tensor  # (B,) Å³; NaN for a molecule
    fidelity: Tensor  # (B,) index into the model's fidelities
    energy: Tensor  # (B,) eV, reference energies not subtracted, float64
    forces: Tensor  # (A, 3) eV/Å
    stress: Tensor  # (B, 3, 3) eV/Å³

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.n_atoms.shape[0])

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Batch:
        """The batch on a device, its real numbers in `dtype` (energies stay float64)."""
        moved = {}
        for field in fields(self):
            value: Tensor = getattr(self, field.name)
            real = value.is_floating_point() and field.name != "energy"
            moved[field.name] = value.to(device=device, dtype=dtype if real else value.dtype)
        return Batch(**moved)


def _ranges(starts: Tensor, lengths: Tensor) -> Tensor:
    """Concatenate ``arange(start, start + length)`` over all rows."""
    ends = lengths.cumsum(0)
    within = torch.arange(int(ends[-1]) if len(ends) else 0) - torch.repeat_interleave(ends - lengths, lengths)
    return torch.repeat_interleave(starts, lengths) + within


class GraphStore:
    """Graphs and labels of many frames in flat tensors; neighbour lists are computed once.

    Parameters
    ----------
    frames
        Frames to store, each with the fidelity whose labels are wanted.
    fidelities
        Fidelity name of each frame.
    names
        The model's fidelity names; a frame's fidelity becomes its index in this list.
    labels
        By fidelity name, which labels may be seen; None shows all.
    species
        Atomic numbers that the model knows.
    cutoff
        Å.
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        fidelities: Sequence[str],
        names: Sequence[str],
        labels: dict[str, LabelSet] | None,
        species: Sequence[int],
        cutoff: float,
    ) -> None:
        lookup = np.full(128, -1, dtype=np.int64)
        lookup[list(species)] = np.arange(len(species))
        atom_species, positions, shifts, senders, receivers, counts = [], [], [], [], [], []
        edge_count, volume, energy, forces, stress = [], [], [], [], []
        for number, (atoms, fidelity) in enumerate(zip(frames, fidelities, strict=True)):
            known = lookup[atoms.numbers]
            if (known < 0).any():
                odd = atoms.get_chemical_symbols()[int(np.argmax(known < 0))]
                raise DataError(
                    f"element {odd} of '{atoms.info.get('structure_id', '?')}' was never seen in training.",
                    frame=number,
                    key="species",
                    hint="Add training frames that contain it, or leave this frame out.",
                )
            sender, receiver, shift = neighbour_list(atoms, cutoff)
            atom_species.append(known)
            positions.append(atoms.positions)
            senders.append(sender)
            receivers.append(receiver)
            shifts.append(shift)
            counts.append(len(atoms))
            edge_count.append(len(sender))
            volume.append(atoms.get_volume() if atoms.pbc.any() else np.nan)
            seen = labels[fidelity] if labels is not None else LabelSet.parse("EFS")
            energy.append(energy_of(atoms, fidelity) if Label.ENERGY in seen else np.nan)
            forces.append(forces_of(atoms, fidelity) if Label.FORCES in seen else np.full((len(atoms), 3), np.nan))
            stress.append(stress_of(atoms, fidelity) if Label.STRESS in seen else np.full((3, 3), np.nan))

        def flat(parts: list[np.ndarray], empty: tuple[int, ...]) -> Tensor:
            return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(empty))

        self.n_atoms = torch.tensor(counts, dtype=torch.int64)
        self.n_edges = torch.tensor(edge_count, dtype=torch.int64)
        self._atom_start = self.n_atoms.cumsum(0) - self.n_atoms
        self._edge_start = self.n_edges.cumsum(0) - self.n_edges
        self._species = flat(atom_species, (0,)).long()
        self._positions = flat(positions, (0, 3))
        self._shift = flat(shifts, (0, 3))
        self._sender = flat(senders, (0,)).long()
        self._receiver = flat(receivers, (0,)).long()
        self._volume = torch.tensor(volume, dtype=torch.float64)
        self._energy = torch.tensor(energy, dtype=torch.float64)
        self._forces = flat(forces, (0, 3))
        self._stress = torch.from_numpy(np.stack(stress) if stress else np.zeros((0, 3, 3)))
        self._fidelity = torch.tensor([names.index(f) for f in fidelities], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.n_atoms)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Gather some frames, in the given order, as one graph."""
        index = torch.as_tensor(np.asarray(indices), dtype=torch.int64)
        n_atoms, n_edges = self.n_atoms[index], self.n_edges[index]
        atoms = _ranges(self._atom_start[index], n_atoms)
        edges = _ranges(self._edge_start[index], n_edges)
        first_atom = torch.repeat_interleave(n_atoms.cumsum(0) - n_atoms, n_edges)
        total = int(n_atoms.sum())
        receiver = self._receiver[edges] + first_atom
        row_pointer = torch.zeros(total + 1, dtype=torch.int64)
        row_pointer[1:] = torch.bincount(receiver, minlength=total).cumsum(0)
        return Batch(
            species=self._species[atoms],
            positions=self._positions[atoms],
            sender=self._sender[edges] + first_atom,
            receiver=receiver,
            row_pointer=row_pointer,
            shift=self._shift[edges],
            frame=torch.repeat_interleave(torch.arange(len(index)), n_atoms),
            n_atoms=n_atoms,
            volume=self._volume[index],
            fidelity=self._fidelity[index],
            energy=self._energy[index],
            forces=self._forces[atoms],
            stress=self._stress[index],
        )

    def mean_neighbours(self) -> float:
        """Mean number of edges per atom."""
        return float(self.n_edges.sum()) / max(1, float(self.n_atoms.sum()))
