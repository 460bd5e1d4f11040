"""Neighbour lists, and flat storage from which batches are gathered without a loop over frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.frames import energy_of, forces_of, stress_of
from mfbench.mfcore.data.periodic import near_origin, repeated_volume, whole_cell
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label, LabelSet

_Neighbours = tuple[np.ndarray, np.ndarray, np.ndarray]

_KEY_BITS = 63  # of an int64 that is not negative
_MOST_IMAGE_BITS = 16  # all images that may occur are tabulated
_FAR = 200.0  # Å; from here on single precision rounds distances by more than 1e-5 Å
_AT_ONCE = 1 << 14  # edges; what is made of so many stays in the cache


def neighbour_list(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All directed pairs within the cutoff, periodic images of an atom with itself included.

    Parameters
    ----------
    atoms
        A molecule, or a cell of any size (also smaller than the cutoff) that is periodic in one to three directions.
    cutoff
        Å.

    Returns
    -------
    sender, receiver
        (E,) atom indices, sorted by receiver.
    shift
        (E, 3) Å; the pair's vector is ``r[sender] - r[receiver] + shift``.

    Raises
    ------
    DataError
        If positions or cell are not finite.
    """
    from vesin import NeighborList

    periodic = np.array(atoms.pbc, dtype=np.bool_)
    cell = np.asarray(atoms.cell.array if periodic.any() else np.zeros((3, 3)), dtype=np.float64)
    if periodic.any() and not periodic.all():
        cell = whole_cell(atoms)
    positions = np.ascontiguousarray(atoms.positions, dtype=np.float64)
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise DataError("positions or cell are not finite numbers.", key="positions")
    finder = NeighborList(cutoff=cutoff, full_list=True)
    # views of what the finder holds: copies of a large list cost as much as finding it
    pairs, image = finder.compute(points=positions, box=cell, periodic=periodic, quantities="PS", copy=False)
    return _in_order(pairs, image, cell, len(positions))


def _in_order(pairs: np.ndarray, image: np.ndarray, cell: np.ndarray, n_atoms: int) -> _Neighbours:
    """Pairs (E, 2) of receiver and sender with the sender's image (E, 3), as :func:`neighbour_list` has them.

    Sorted by receiver, sender and image, so that sums are the same in every process. Each edge is packed into one
    integer: sorting these is several times faster than finding an order and gathering by it, and of what is as long as
    the list only keys and results are ever made.
    """
    n_edges = len(pairs)
    low = np.array([image[:, k].min(initial=0) for k in range(3)], dtype=np.int64)
    span = np.array([image[:, k].max(initial=0) for k in range(3)], dtype=np.int64) - low + 1
    image_bits = [int(s - 1).bit_length() for s in span]
    atom_bits, low_bits = max(1, n_atoms - 1).bit_length(), sum(image_bits)
    if low_bits > _MOST_IMAGE_BITS or 2 * atom_bits + low_bits > _KEY_BITS:
        return _in_order_of_far(pairs, image, cell)
    key, parts = np.empty(n_edges, dtype=np.int64), [slice(k, k + _AT_ONCE) for k in range(0, n_edges, _AT_ONCE)]
    for part in parts:
        packed = pairs[part, 0].astype(np.int64)
        packed = packed << atom_bits | pairs[part, 1].astype(np.int64)
        for k in range(3):
            packed = packed << image_bits[k] | (image[part, k] - low[k])
        key[part] = packed
    key.sort()
    codes = np.arange(1 << low_bits)
    images = np.empty((len(codes), 3))  # of every code
    for k in (2, 1, 0):
        images[:, k] = low[k] + (codes & ((1 << image_bits[k]) - 1))
        codes = codes >> image_bits[k]
    shifts = images @ cell
    sender, receiver, shift = np.empty(n_edges, np.int64), np.empty(n_edges, np.int64), np.empty((n_edges, 3))
    for part in parts:
        shifts.take(key[part] & ((1 << low_bits) - 1), axis=0, out=shift[part], mode="clip")  # "raise" would copy
        np.right_shift(key[part], low_bits, out=sender[part])
        np.right_shift(sender[part], atom_bits, out=receiver[part])
        sender[part] &= (1 << atom_bits) - 1
    return sender, receiver, shift


def _in_order_of_far(pairs: np.ndarray, image: np.ndarray, cell: np.ndarray) -> _Neighbours:
    """As :func:`_in_order`, of images so far away (of atoms that have diffused) that a key cannot hold them."""
    order = np.lexsort((image[:, 2], image[:, 1], image[:, 0], pairs[:, 1], pairs[:, 0]))
    receiver, sender = pairs[order].astype(np.int64).T
    return sender.copy(), receiver.copy(), image[order].astype(np.float64) @ cell


class _Kept:
    """The neighbour lists used last, up to a number of edges: the stages and networks of a run ask for them again."""

    def __init__(self, largest: int) -> None:
        self._largest, self._size = largest, 0
        self._lists: OrderedDict[object, _Neighbours] = OrderedDict()
        self._lock = Lock()

    def find(self, atoms: Atoms, cutoff: float) -> _Neighbours:
        """As :func:`neighbour_list`; not to be written to."""
        cell = atoms.cell.array.tobytes() + atoms.pbc.tobytes() if atoms.pbc.any() else b""
        key = (cutoff, np.asarray(atoms.positions, dtype=np.float64).tobytes(), cell)
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
                return self._lists[key]
        found = neighbour_list(atoms, cutoff)
        if 1 + len(found[0]) > self._largest:
            return found  # it would only push all others out
        with self._lock:
            if key not in self._lists:
                self._lists[key] = found
                self._size += 1 + len(found[0])
            while self._size > self._largest:
                _, dropped = self._lists.popitem(last=False)
                self._size -= 1 + len(dropped[0])
        return found

    def forget(self) -> None:
        """Drop all of them."""
        with self._lock:
            self._lists.clear()
            self._size = 0


_KEPT = _Kept(1_000_000)  # about 40 MB


def forget_neighbour_lists() -> None:
    """Drop the neighbour lists that are kept, so that the next graphs take the time of new structures."""
    _KEPT.forget()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on another device, without waiting for what the device is doing."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def _ranges(starts: Tensor, lengths: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Concatenate ``arange(start, start + length)`` over all rows, and give the row of each element."""
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths, output_size=total)
    offsets = starts - (lengths.cumsum(0) - lengths)
    return torch.arange(total, device=lengths.device) + offsets.index_select(0, rows), rows


def _any_far(frames: Sequence[Atoms]) -> bool:
    """Say whether an atom of some frames is so far from the origin that single precision loses its distances."""
    return bool(frames) and bool(np.abs(np.concatenate([atoms.positions for atoms in frames])).max(initial=0.0) > _FAR)


class GraphStore:
    """Graphs and labels of many frames in flat tensors; whatever a batch needs of a frame is computed once.

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

    Attributes
    ----------
    n_atoms, n_edges
        (frames,) numbers of atoms and edges, on the CPU.
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
        atom_species, positions, shifts, senders, receivers, degrees, counts = [], [], [], [], [], [], []
        edge_count, volume, energy, forces, stress = [], [], [], [], []
        far, every_label = _any_far(frames), LabelSet.parse("EFS")
        for number, (atoms, fidelity) in enumerate(zip(frames, fidelities, strict=True)):
            known = lookup[atoms.numbers]
            if (known < 0).any():
                odd = atoms.get_chemical_symbols()[int(np.argmax(known < 0))]
                raise DataError(
                    f"element {odd} was never seen in training (frame '{atoms.info.get('structure_id', number)}').",
                    frame=number,
                    key="species",
                    hint="Add training frames that contain it, or leave this frame out.",
                )
            if far and _any_far([atoms]):
                atoms = near_origin(atoms)
            sender, receiver, shift = _KEPT.find(atoms, cutoff)
            atom_species.append(known)
            positions.append(atoms.positions)
            senders.append(sender)
            receivers.append(receiver)
            degrees.append(np.bincount(receiver, minlength=len(atoms)))
            shifts.append(shift)
            counts.append(len(atoms))
            edge_count.append(len(sender))
            volume.append(repeated_volume(atoms))
            seen = labels[fidelity] if labels is not None else every_label
            energy.append(energy_of(atoms, fidelity) if Label.ENERGY in seen else np.nan)
            forces.append(forces_of(atoms, fidelity) if Label.FORCES in seen else np.full((len(atoms), 3), np.nan))
            stress.append(stress_of(atoms, fidelity) if Label.STRESS in seen else np.full((3, 3), np.nan))

        def flat(parts: list[np.ndarray], empty: tuple[int, ...]) -> Tensor:
            return torch.from_numpy(np.concatenate(parts) if parts else np.zeros(empty))

        def flat_edges(parts: list[np.ndarray], empty: tuple[int, ...]) -> Tensor:
            return torch.from_numpy(parts[0]) if len(parts) == 1 else flat(parts, empty)  # the lists are not written to

        self.n_atoms = torch.tensor(counts, dtype=torch.int64)
        self.n_edges = torch.tensor(edge_count, dtype=torch.int64)
        self._species_counts: Tensor | None = None  # (frames, species), once the tensors leave the CPU
        self._n_species = len(species)
        self._forces_seen = torch.tensor([bool(np.isfinite(f).any()) for f in forces], dtype=torch.bool)
        self._stress_seen = torch.tensor([bool(np.isfinite(s).any()) for s in stress], dtype=torch.bool)
        self._by_frame: dict[str, Tensor] = {
            "n_atoms": self.n_atoms,
            "volume": torch.tensor(volume, dtype=torch.float64),
            "fidelity": torch.tensor([names.index(f) for f in fidelities], dtype=torch.int64),
            "energy": torch.tensor(energy, dtype=torch.float64),
            "stress": torch.from_numpy(np.stack(stress) if stress else np.zeros((0, 3, 3))),
            "atom_start": self.n_atoms.cumsum(0) - self.n_atoms,
            "n_edges": self.n_edges,
            "edge_start": self.n_edges.cumsum(0) - self.n_edges,
        }
        self._by_atom: dict[str, Tensor] = {
            "species": flat(atom_species, (0,)).long(),
            "positions": flat(positions, (0, 3)),
            "forces": flat(forces, (0, 3)),
            "degree": flat(degrees, (0,)).long(),
        }
        self._by_edge: dict[str, Tensor] = {
            "sender": flat_edges(senders, (0,)).long(),
            "receiver": flat_edges(receivers, (0,)).long(),
            "shift": flat_edges(shifts, (0, 3)),
        }

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def has_forces(self) -> bool:
        """True if any frame has labels of forces."""
        return bool(self._forces_seen.any())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> GraphStore:
        """Keep everything on a device, real numbers in `dtype` (energies stay float64): batches are gathered there.

        Returns the store itself.
        """
        if torch.device(device).type != "cpu" and self._species_counts is None:
            self._species_counts = self._counted_species()
        for tensors in (self._by_frame, self._by_atom, self._by_edge):
            for name, value in tensors.items():
                real = value.is_floating_point() and name != "energy"
                tensors[name] = value.to(device=device, dtype=dtype if real else value.dtype)
        return self

    def _counted_species(self) -> Tensor:
        """Atoms of each species in each frame, (frames, species), on the CPU."""
        frame = torch.repeat_interleave(torch.arange(len(self)), self.n_atoms)
        label = frame * self._n_species + self._by_atom["species"]
        return torch.bincount(label, minlength=len(self) * self._n_species).view(len(self), self._n_species)

    def shortest_edges(self) -> Tensor:
        """Length of the shortest edge of each frame, (frames,) Å; infinite where there is none."""
        frame = torch.repeat_interleave(torch.arange(len(self), device=self._by_frame["n_edges"].device), self.n_edges)
        start = self._by_frame["atom_start"].index_select(0, frame)
        positions, sender, receiver = self._by_atom["positions"], self._by_edge["sender"], self._by_edge["receiver"]
        lengths = positions[sender + start].sub_(positions[receiver + start]).add_(self._by_edge["shift"]).norm(dim=1)
        shortest: Tensor = lengths.new_full((len(self),), torch.inf).scatter_reduce_(0, frame, lengths, "amin")
        return shortest

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Gather some frames, in the given order, as one graph.

        That of a single frame shares the memory of the store: batches are not to be written to.
        """
        index = torch.as_tensor(np.asarray(indices), dtype=torch.int64)
        # tensors that decide sizes and terms are kept on the CPU, so that nothing has to be waited for
        n_atoms, n_edges = int(self.n_atoms[index].sum()), int(self.n_edges[index].sum())
        has_forces, has_stress = bool(self._forces_seen[index].any()), bool(self._stress_seen[index].any())
        row = int(index[0]) if len(index) == 1 else None
        counts = None
        if (device := self._by_frame["energy"].device).type != "cpu":
            assert self._species_counts is not None
            counts = tuple(self._species_counts[index].sum(0).tolist())
            index = to_device(index, device)
        frames = {name: value.index_select(0, index) for name, value in self._by_frame.items()}
        by_atom, by_edge = self._by_atom, self._by_edge
        if row is not None:  # nothing to gather or to renumber, which takes longer than a large frame's first pass
            atom, edge = int(self.n_atoms[:row].sum()), int(self.n_edges[:row].sum())
            by_atom = {name: value[atom : atom + n_atoms] for name, value in by_atom.items()}
            by_edge = {name: value[edge : edge + n_edges] for name, value in by_edge.items()}
            frame = torch.zeros(n_atoms, dtype=torch.int64, device=index.device)
        else:
            atoms, frame = _ranges(frames["atom_start"], frames["n_atoms"], n_atoms)
            edges, frame_of_edge = _ranges(frames["edge_start"], frames["n_edges"], n_edges)
            first_atom = (frames["n_atoms"].cumsum(0) - frames["n_atoms"]).index_select(0, frame_of_edge)
            by_atom = {name: value.index_select(0, atoms) for name, value in by_atom.items()}
            by_edge = {name: value.index_select(0, edges) for name, value in by_edge.items()}
            by_edge["sender"].add_(first_atom)
            by_edge["receiver"].add_(first_atom)
        row_pointer = torch.nn.functional.pad(by_atom.pop("degree").cumsum(0), (1, 0))
        return Batch(
            **by_atom,
            **by_edge,
            row_pointer=row_pointer,
            frame=frame,
            **{name: frames[name] for name in ("n_atoms", "volume", "fidelity", "energy", "stress")},
            has_forces=has_forces,
            has_stress=has_stress,
            species_counts=counts,
        )

    def mean_neighbours(self) -> float:
        """Mean number of edges per atom."""
        return float(self.n_edges.sum()) / max(1, float(self.n_atoms.sum()))
