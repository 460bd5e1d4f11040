"""Neighbour lists of moving replicas: made with a skin, kept until an atom of the replica has crossed half of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.data.device_neighbours import neighbour_lists
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.data.periodic import repeated_volume, whole_cell
from mfbench.mfcore.errors import ConfigError

_List = tuple[Tensor, Tensor, Tensor]  # sender, receiver, shift of one replica, its atoms counted from 0


def lists_on(device: torch.device) -> bool:
    """Say that lists are made on a device, of all stale replicas at once: on CPUs vesin, one by one, is faster."""
    return device.type != "cpu"


class SkinList:
    """All pairs within cutoff + skin of several replicas at their last build, as one graph.

    Only edges within the cutoff reach a batch: the convolutions do not pay for the skin, and a potential that is not
    smooth at its cutoff sees what it would see with a fresh list.

    Parameters
    ----------
    frames
        Elements, cell and periodicity of each replica; the positions are those of the first build.
    species
        (A,) index of each atom into the model's species.
    cutoff, skin
        Å.
    device, dtype
        Of the batches; positions are float64 everywhere else.

    Attributes
    ----------
    version
        Changes whenever the edges do.
    n_builds
        How many lists of single replicas were made.
    sender, receiver
        (E,) of all edges within cutoff + skin at the last build.
    frame
        (A,) replica of each atom, counted in the batch.
    n_atoms
        (B,).
    """

    def __init__(
        self,
        frames: Sequence[Atoms],
        species: Tensor,
        cutoff: float,
        skin: float,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        if skin <= 0:
            raise ConfigError(f"skin: expected a length above 0 Å, got {skin}.")
        self.cutoff, self.skin, self.device, self.dtype = cutoff, skin, device, dtype
        self.version, self.n_builds = 0, 0
        self._bare = [Atoms(a.numbers, positions=a.positions, cell=a.cell, pbc=a.pbc) for a in frames]
        self._species = species.to(device)
        self._layout()
        self.built = torch.from_numpy(np.concatenate([a.positions for a in frames])).to(device)
        self._lists: dict[int, _List] = {}
        self._build(range(len(frames)))
        self._assemble()

    def _layout(self) -> None:
        """Tensors that depend on which replicas there are."""
        sizes = [len(a) for a in self._bare]
        self.n_atoms = torch.tensor(sizes, dtype=torch.int64, device=self.device)
        self._first = np.concatenate([[0], np.cumsum(sizes)])
        self.frame = torch.repeat_interleave(torch.arange(len(sizes), device=self.device), self.n_atoms)
        volume = [repeated_volume(a) for a in self._bare]
        self._volume = torch.tensor(volume, dtype=self.dtype, device=self.device)
        cells = np.array([whole_cell(a) if a.pbc.any() else np.eye(3) for a in self._bare]).reshape(-1, 3, 3)
        self._lattice = torch.from_numpy(cells).to(self.device, torch.float64)
        directions = np.array([a.pbc for a in self._bare], dtype=np.bool_).reshape(-1, 3)
        self._periodic = torch.from_numpy(directions).to(self.device)
        n, total = len(sizes), int(self._first[-1])
        self._labels: dict[str, Any] = {
            "fidelity": torch.zeros(n, dtype=torch.int64, device=self.device),
            "energy": torch.full((n,), torch.nan, dtype=torch.float64, device=self.device),
            "forces": torch.full((total, 3), torch.nan, dtype=self.dtype, device=self.device),
            "stress": torch.full((n, 3, 3), torch.nan, dtype=self.dtype, device=self.device),
        }

    def _build(self, numbers: Sequence[int]) -> None:
        """Make the lists of some replicas at `built`."""
        self.n_builds += len(numbers)
        reach = self.cutoff + self.skin
        spans = [slice(int(self._first[k]), int(self._first[k + 1])) for k in numbers]
        if not lists_on(self.device):
            for number, span in zip(numbers, spans, strict=True):
                atoms = self._bare[number]
                atoms.positions = self.built[span].numpy()
                sender, receiver, shift = (torch.from_numpy(part) for part in neighbour_list(atoms, reach))
                self._lists[number] = sender, receiver, shift
            return
        chosen = torch.tensor(list(numbers), dtype=torch.int64, device=self.device)
        positions = torch.cat([self.built[span] for span in spans])
        lattice, periodic = self._lattice[chosen], self._periodic[chosen]
        found = neighbour_lists(positions, self.n_atoms[chosen], lattice, periodic, reach)
        sizes = [span.stop - span.start for span in spans]
        first = np.concatenate([[0], np.cumsum(sizes)])
        edges = found.row_pointer[torch.from_numpy(first).to(self.device)].tolist()
        for k, number in enumerate(numbers):
            mine = slice(edges[k], edges[k + 1])
            begin = int(first[k])
            self._lists[number] = found.sender[mine] - begin, found.receiver[mine] - begin, found.shift[mine]

    def _assemble(self) -> None:
        parts = [(*self._lists[k], int(first)) for k, first in enumerate(self._first[:-1])]
        self.sender = torch.cat([sender + first for sender, _, _, first in parts])
        self.receiver = torch.cat([receiver + first for _, receiver, _, first in parts])
        self.shift = torch.cat([shift for _, _, shift, _ in parts])
        self._image = self.shift.ne(0.0).any(dim=1)
        self.version += 1

    def geometry(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of all edges, of lists that are made anew where an atom has moved too far.

        Another device than the CPU is asked one question a step: how many atoms have, and how many edges are near.

        Parameters
        ----------
        positions
            (A, 3) Å, finite.

        Returns
        -------
        tuple
            Vectors (E, 3) Å and their squared lengths (E,) Å², float64; and the places of the edges within the cutoff.
        """
        if self.device.type == "cpu":
            self.update(positions)
            vectors = self.vectors(positions)
            squares = vectors.square().sum(1)
            return vectors, squares, self.near(squares)
        stale = self.stale(positions)
        vectors = self.vectors(positions)
        squares = vectors.square().sum(1)
        moved, count = torch.stack([stale.sum(), self.inside(squares).sum()]).tolist()
        if moved:
            self._renew(positions, stale)
            vectors = self.vectors(positions)
            squares = vectors.square().sum(1)
            count = int(self.inside(squares).sum())
        return vectors, squares, self.near(squares, count)

    def stale(self, positions: Tensor) -> Tensor:
        """Say which atoms (A,) have moved by more than half the skin since the lists of their replicas were made."""
        moved = (positions - self.built).square().sum(1)
        return ~(moved <= (0.5 * self.skin) ** 2)

    def inside(self, squares: Tensor) -> Tensor:
        """Say which edges (E,) are within the cutoff, from their squared lengths."""
        return squares < self.cutoff**2

    def near(self, squares: Tensor, count: int | None = None) -> Tensor:
        """Places of the edges within the cutoff, (E',), from the squared lengths of all.

        With their number nothing is waited for; without it the CPU is faster.
        """
        if count is None:
            return self.inside(squares).nonzero().squeeze(1)
        return torch.nonzero_static(self.inside(squares), size=count).squeeze(1)

    def update(self, positions: Tensor) -> None:
        """Make the lists anew of replicas in which an atom has moved by more than half the skin.

        Parameters
        ----------
        positions
            (A, 3) Å, finite.
        """
        stale = self.stale(positions)
        if bool(stale.any()):
            self._renew(positions, stale)

    def _renew(self, positions: Tensor, stale: Tensor) -> None:
        numbers = torch.unique(self.frame[stale])
        atoms = torch.isin(self.frame, numbers)
        self.built[atoms] = positions[atoms]
        self._build(numbers.tolist())
        self._assemble()

    def rebuild(self, built: Tensor) -> None:
        """Take the lists that were made at given positions (A, 3), to go on with a stored run."""
        self.built = built.to(self.device, torch.float64).clone()
        self._build(range(len(self._bare)))
        self._assemble()

    def keep(self, which: list[int], atoms: Tensor) -> None:
        """Go on with some of the replicas; `atoms` (A,) says which atoms are theirs."""
        self._bare = [self._bare[k] for k in which]
        self._lists = {number: self._lists[k] for number, k in enumerate(which)}
        self._species, self.built = self._species[atoms], self.built[atoms]
        self._layout()
        if which:
            self._assemble()

    def vectors(self, positions: Tensor) -> Tensor:
        """r[sender] - r[receiver] + shift of all edges, (E, 3) Å, float64."""
        return positions.index_select(0, self.sender) - positions.index_select(0, self.receiver) + self.shift

    def batch(self, positions: Tensor, vectors: Tensor, near: Tensor) -> Batch:
        """The graph of all edges within the cutoff.

        A batch of lower precision than float64 has all positions at 0 and the edges' whole vectors as shifts, which
        is the same to whoever adds them up.

        Parameters
        ----------
        positions
            (A, 3) Å, float64.
        vectors, near
            From :meth:`geometry`.
        """
        sender, receiver = self.sender.index_select(0, near), self.receiver.index_select(0, near)
        if self.dtype == torch.float64:
            own, shift, images = positions, self.shift.index_select(0, near), None
        else:
            # Rounded positions and images of atoms that have diffused far would make a rounded geometry
            own = torch.zeros_like(positions, dtype=self.dtype)
            shift = vectors.index_select(0, near).to(self.dtype)
            images = self._image.index_select(0, near)
        # receivers ascend; to count them would be to wait for the device
        row_pointer = torch.searchsorted(receiver, torch.arange(len(positions) + 1, device=self.device))
        return Batch(
            species=self._species,
            positions=own,
            sender=sender,
            receiver=receiver,
            row_pointer=row_pointer,
            shift=shift,
            frame=self.frame,
            n_atoms=self.n_atoms,
            volume=self._volume,
            images=images,
            **self._labels,
        )
