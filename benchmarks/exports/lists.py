"""Neighbour lists of systems that another program moves: their atoms, and their cells, too."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell
from torch import Tensor

from mfbench.mfcore.data.device_neighbours import neighbour_lists
from mfbench.mfcore.data.graphs import neighbour_list
from mfbench.mfcore.data.periodic import cell_problem
from mfbench.mfcore.errors import ConfigError, DataError


class Pairs(NamedTuple):
    """All directed pairs of some systems, their atoms counted through.

    Attributes
    ----------
    sender, receiver
        (E,) sorted by receiver.
    vectors
        (E, 3) Å, float64, from receiver to sender.
    squares
        (E,) Å², their squared lengths.
    positions, shift
        (A, 3), (E, 3) Å, float64: images of the atoms, and lattice translations between them, zero where there is none;
        ``vectors`` is ``positions[sender] - positions[receiver] + shift``.
    """

    sender: Tensor
    receiver: Tensor
    vectors: Tensor
    squares: Tensor
    positions: Tensor
    shift: Tensor


class MovingLists:
    """All pairs within a cutoff, from lists with a skin that are made anew, system by system, where they may lack one.

    A program may wrap atoms into their cell, move all of them together, and strain the cell: positions are compared
    with what the strain makes of those of the last build, images and the common displacement apart. With a strain F a
    list is good as long as no atom is off by more than half of ``(cutoff + skin) / ‖F⁻¹‖ - cutoff``.

    Parameters
    ----------
    cutoff, skin
        Å.

    Attributes
    ----------
    n_builds
        How many lists of single systems were made.
    cells_moved
        Whether the cell of a system has changed since its layout was new.

    Raises
    ------
    ConfigError
        If the skin is negative.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if not skin >= 0.0:
            raise ConfigError(f"skin: expected a length of 0 Å or more, got {skin}.")
        self.cutoff, self.skin = cutoff, skin
        self.n_builds, self.cells_moved = 0, False
        self._n_atoms = torch.zeros(0, dtype=torch.int64)
        self._periodic = torch.zeros(0, 3, dtype=torch.bool)

    def pairs(self, positions: Tensor, n_atoms: Tensor, cell: Tensor, periodic: Tensor) -> Pairs:
        """Pairs within the cutoff.

        Parameters
        ----------
        positions
            (A, 3) Å, float64, of all systems one after another.
        n_atoms
            (B,) int64.
        cell
            (B, 3, 3) Å, float64, lattice vectors as rows.
        periodic
            (B, 3) bool, whether each lattice vector repeats.

        Raises
        ------
        DataError
            If a number is not finite, or a cell cannot be (see :func:`mfbench.mfcore.data.periodic.cell_problem`);
            names the system.
        """
        same = self._n_atoms.device == n_atoms.device and torch.equal(self._n_atoms, n_atoms)
        if not (same and torch.equal(self._periodic, periodic)):
            self._lay_out(positions, n_atoms, cell, periodic)
        elif not torch.equal(self._cell, cell):
            self._move_cells(cell)
        own = self._unwrapped(positions)
        stale = self._stale(own)
        if len(stale):
            self._build(stale, positions)
            own = self._unwrapped(positions)
        vectors = own.index_select(0, self._sender) - own.index_select(0, self._receiver) + self._shift
        squares = vectors.square().sum(1)
        near = (squares < self.cutoff**2).nonzero().squeeze(1)
        sender, receiver, shift = (t.index_select(0, near) for t in (self._sender, self._receiver, self._shift))
        return Pairs(sender, receiver, vectors.index_select(0, near), squares.index_select(0, near), own, shift)

    def _lay_out(self, positions: Tensor, n_atoms: Tensor, cell: Tensor, periodic: Tensor) -> None:
        """Begin anew, with other systems."""
        self._n_atoms, self._periodic, self.cells_moved = n_atoms.clone(), periodic.clone(), False
        self._first = np.concatenate([[0], np.cumsum(n_atoms.cpu().numpy())])
        self._frame = torch.repeat_interleave(torch.arange(len(n_atoms), device=n_atoms.device), n_atoms)
        self._lists: list[tuple[Tensor, Tensor, Tensor]] = [(self._frame[:0], self._frame[:0], positions[:0])] * len(
            n_atoms
        )
        self._built = positions.clone()
        self._cell, self._lattice = cell.clone(), _upright(cell, periodic)
        self._built_lattice, self._drift = self._lattice.clone(), torch.zeros_like(self._lattice[:, 0])
        self._build(list(range(len(n_atoms))), positions)

    def _move_cells(self, cell: Tensor) -> None:
        """Strain the lists."""
        self.cells_moved = True
        self._cell, self._lattice = cell.clone(), _upright(cell, self._periodic)
        try:
            self._strain()
        except RuntimeError:  # of a cell that cannot be
            for k, (start, stop) in enumerate(pairwise(self._first.tolist())):
                self._check(k, slice(start, stop))
            raise

    def _strain(self) -> None:
        """Images under the present cells, and how far atoms may be from where the strain puts them."""
        self._inverse = torch.linalg.inv(self._lattice)
        self._expected, self._shift = self._built, self._built_shift
        self._allowed = torch.full_like(self._lattice[:, 0, 0], 0.5 * self.skin)
        if torch.equal(self._lattice, self._built_lattice):
            return
        strain = torch.linalg.solve(self._built_lattice, self._lattice)
        back = torch.linalg.matrix_norm(torch.linalg.inv(strain), ord=2)
        self._allowed = 0.5 * ((self.cutoff + self.skin) / back - self.cutoff)
        self._expected = torch.einsum("ai,aij->aj", self._built, strain[self._frame])
        self._shift = torch.einsum("ei,eij->ej", self._built_shift, strain[self._frame[self._receiver]])

    def _unwrapped(self, positions: Tensor) -> Tensor:
        """Positions as those images that are near to where the lists were made."""
        steps = positions - self._expected - self._drift[self._frame]
        steps = torch.einsum("ai,aij->aj", steps, self._inverse[self._frame])
        images = torch.where(self._periodic[self._frame], steps.round(), 0.0)
        return positions - torch.einsum("ai,aij->aj", images, self._lattice[self._frame])

    def _stale(self, own: Tensor) -> list[int]:
        """Systems whose lists may lack a pair."""
        steps = own - self._expected
        total = torch.zeros_like(self._drift).index_add_(0, self._frame, steps)
        self._drift = total / self._n_atoms[:, None]
        off = (steps - self._drift[self._frame]).square().sum(1)
        allowed = self._allowed.clamp(min=0.0).square()
        wrong = ~(off <= allowed[self._frame]) | (self._allowed[self._frame] < 0.0)
        found: list[int] = torch.unique(self._frame[wrong]).tolist() if bool(wrong.any()) else []
        return found

    def _build(self, systems: list[int], positions: Tensor) -> None:
        """Make the lists of some systems where they are."""
        self.n_builds += len(systems)
        spans = [slice(int(self._first[k]), int(self._first[k + 1])) for k in systems]
        for k, span in zip(systems, spans, strict=True):
            self._built[span] = positions[span]
            self._built_lattice[k], self._drift[k] = self._lattice[k], 0.0
            self._check(k, span)
        if self._n_atoms.device.type == "cpu":
            for k, span in zip(systems, spans, strict=True):
                found = neighbour_list(self._frame_of(k, span, self._lattice), self.cutoff + self.skin)
                self._lists[k] = (torch.from_numpy(found[0]), torch.from_numpy(found[1]), torch.from_numpy(found[2]))
        else:
            self._build_together(systems, spans)
        parts = [(*self._lists[k], int(first)) for k, first in enumerate(self._first[:-1])]
        self._sender = torch.cat([sender + first for sender, _, _, first in parts])
        self._receiver = torch.cat([receiver + first for _, receiver, _, first in parts])
        self._built_shift = torch.cat([shift for _, _, shift, _ in parts])
        self._strain()

    def _build_together(self, systems: list[int], spans: list[slice]) -> None:
        """As :meth:`_build`, of all systems at once, on a device where many small calls are slow."""
        chosen = torch.tensor(systems, dtype=torch.int64, device=self._n_atoms.device)
        where = torch.cat([self._built[span] for span in spans])
        sizes = self._n_atoms[chosen]
        found = neighbour_lists(where, sizes, self._lattice[chosen], self._periodic[chosen], self.cutoff + self.skin)
        first = np.concatenate([[0], np.cumsum([span.stop - span.start for span in spans])])
        edges = found.row_pointer[torch.from_numpy(first).to(chosen.device)].tolist()
        for number, k in enumerate(systems):
            mine, begin = slice(edges[number], edges[number + 1]), int(first[number])
            self._lists[k] = found.sender[mine] - begin, found.receiver[mine] - begin, found.shift[mine]

    def _frame_of(self, number: int, span: slice, cells: Tensor) -> Atoms:
        """A system as a frame, all of one element."""
        return Atoms(
            numbers=np.ones(span.stop - span.start, dtype=int),
            positions=self._built[span].cpu().numpy(),
            cell=cells[number].cpu().numpy(),
            pbc=self._periodic[number].cpu().numpy(),
        )

    def _check(self, number: int, span: slice) -> None:
        if not bool(self._built[span].isfinite().all()):
            raise DataError(f"system {number}: a position is not a finite number.", key="positions")
        if problem := cell_problem(self._frame_of(number, span, self._cell)):
            raise DataError(f"system {number}: {problem[0]}", key="cell", hint=problem[1])


def _upright(cell: Tensor, periodic: Tensor) -> Tensor:
    """Cells (B, 3, 3) whose directions that do not repeat are unit vectors at right angles to those that do."""
    if bool(periodic.all()):
        return cell.clone()
    made = cell.cpu().numpy().copy()
    made[~periodic.cpu().numpy()] = 0.0
    return torch.from_numpy(np.array([complete_cell(one) for one in made])).to(cell)
