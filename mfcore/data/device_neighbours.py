"""Neighbour lists of many frames at once, on any device, in plain torch.

Atoms are sorted into cells no smaller than the cutoff; the candidates of an atom are those of the cells around its own.
A frame with a periodic direction is cut along its lattice vectors, so cells may have any shape, and for a lattice
smaller than the cutoff the cells around include several images of the same one. A molecule is cut along x, y and z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from mfbench.mfcore.data.periodic import whole_cell
from mfbench.mfcore.errors import DataError

_ATOMS_AT_ONCE = 16384  # candidates are several times the pairs; this bounds the memory that they take


class NeighbourLists(NamedTuple):
    """All directed pairs within the cutoff of several frames, their atoms counted through.

    Attributes
    ----------
    sender, receiver
        (E,) int64, sorted by receiver, then sender, then image: the same in every process and on every device.
    image
        (E, 3) int64, in lattice vectors of the frame; zero for a molecule.
    shift
        (E, 3) Å, float64; the pair's vector is ``r[sender] - r[receiver] + shift``.
    row_pointer
        (A + 1,) int64: the edges into atom i are row_pointer[i] … row_pointer[i + 1] - 1.
    """

    sender: Tensor
    receiver: Tensor
    image: Tensor
    shift: Tensor
    row_pointer: Tensor


class _Cells(NamedTuple):
    """Frames cut into cells.

    Attributes
    ----------
    shape
        (B, 3) cells along each axis.
    reach
        (B, 3) how many cells around an atom's own have to be looked at, on each side.
    place
        (A, 3) cell of each atom within its frame.
    wrapped
        (A, 3) lattice vectors by which an atom is outside of its lattice's first image.
    pointer, atom
        Atoms of cell c, counted through all frames, are atom[pointer[c]] … atom[pointer[c + 1] - 1].
    start
        (B,) first cell of each frame.
    """

    shape: Tensor
    reach: Tensor
    place: Tensor
    wrapped: Tensor
    pointer: Tensor
    atom: Tensor
    start: Tensor


def neighbour_lists(
    positions: Tensor, n_atoms: Tensor, lattice: Tensor, periodic: Tensor, cutoff: float
) -> NeighbourLists:
    """Neighbour lists of frames that are on a device.

    Parameters
    ----------
    positions
        (A, 3) Å, of all frames one after another; atoms may be outside of their lattice's first image.
    n_atoms
        (B,) int64.
    lattice
        (B, 3, 3) Å, lattice vectors as rows, those that do not repeat included; ignored for molecules.
    periodic
        (B, 3) bool: whether each lattice vector repeats.
    cutoff
        Å.

    Raises
    ------
    DataError
        If a number is not finite, or a periodic frame has no volume.
    """
    positions, lattice = positions.to(torch.float64), lattice.to(torch.float64)
    repeats = periodic.any(1)[:, None, None]
    lattice = torch.where(repeats, lattice, torch.eye(3, dtype=torch.float64, device=lattice.device))
    if not bool(positions.isfinite().all() & lattice.isfinite().all()):
        raise DataError("positions or cell are not finite numbers.", key="positions")
    if bool((torch.linalg.det(lattice).abs() < 1e-12).any()):
        raise DataError("a periodic frame has a cell without volume.", key="cell")
    frame = torch.repeat_interleave(torch.arange(n_atoms.shape[0], device=n_atoms.device), n_atoms)
    cells = _cut(positions, frame, n_atoms, lattice, periodic, cutoff)
    found = []
    for atoms in torch.arange(positions.shape[0], device=positions.device).split(_ATOMS_AT_ONCE):
        receiver, sender, image = _candidates(cells, atoms, frame, periodic)
        shift = torch.einsum("ei,eij->ej", image.to(torch.float64), lattice[frame[receiver]])
        square = (positions[sender] - positions[receiver] + shift).square().sum(1)
        itself = (sender == receiver) & (image == 0).all(1)
        near = ((square < cutoff**2) & ~itself).nonzero().squeeze(1)
        found.append((receiver[near], sender[near], image[near], shift[near]))
    receiver, sender, image, shift = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = _order(receiver, sender, image, positions.shape[0])
    sender, receiver, image, shift = sender[order], receiver[order], image[order], shift[order]
    ends = torch.arange(positions.shape[0] + 1, device=positions.device)
    return NeighbourLists(sender, receiver, image, shift, torch.searchsorted(receiver, ends))


def neighbour_lists_of(frames: Sequence[Atoms], cutoff: float, device: torch.device | str = "cpu") -> NeighbourLists:
    """Neighbour lists of frames, made on a device; as :func:`~mfbench.mfcore.data.graphs.neighbour_list` of each."""
    cells = np.array([whole_cell(atoms) if atoms.pbc.any() else np.eye(3) for atoms in frames]).reshape(-1, 3, 3)
    positions = np.concatenate([np.zeros((0, 3)), *[atoms.positions for atoms in frames]])
    return neighbour_lists(
        torch.from_numpy(positions).to(device),
        torch.tensor([len(atoms) for atoms in frames], dtype=torch.int64, device=device),
        torch.from_numpy(cells).to(device, torch.float64),
        torch.from_numpy(np.array([atoms.pbc for atoms in frames], dtype=np.bool_).reshape(-1, 3)).to(device),
        cutoff,
    )


def _cut(positions: Tensor, frame: Tensor, n_atoms: Tensor, lattice: Tensor, periodic: Tensor, cutoff: float) -> _Cells:
    inverse = torch.linalg.inv(lattice)  # its columns are reciprocal vectors, of length 1 / distance of the planes
    fraction = torch.einsum("ai,aij->aj", positions, inverse[frame])
    outside = fraction.floor()
    low = torch.full((n_atoms.shape[0], 3), torch.inf, dtype=torch.float64, device=positions.device)
    index = frame[:, None].expand(-1, 3)
    high = (-low).scatter_reduce(0, index, fraction, "amax")
    low = low.scatter_reduce(0, index, fraction, "amin")
    inside = periodic
    extent = (high - low).clamp(min=0.0).nan_to_num(0.0, 0.0, 0.0)  # frames without atoms have none
    height = torch.where(inside, 1.0, extent) / torch.linalg.vector_norm(inverse, dim=1)
    # more cells than atoms would be empty, and without this bound a wide molecule would have any number of them
    most = (2.0 * n_atoms.to(torch.float64).pow(1 / 3)).ceil().clamp(min=1.0)
    shape = torch.minimum((height / cutoff).floor().clamp(min=1.0), most[:, None])
    reach = torch.where(inside, (cutoff * shape / height).ceil(), 1.0)
    within = torch.where(inside[frame], fraction - outside, (fraction - low[frame]) / extent.clamp(min=1e-300)[frame])
    shape_of_atom = shape[frame]
    place = torch.minimum((within * shape_of_atom).floor().clamp(min=0.0), shape_of_atom - 1.0).to(torch.int64)
    shape, wrapped = shape.to(torch.int64), torch.where(inside[frame], outside, 0.0).to(torch.int64)
    number = shape.prod(1)
    start = number.cumsum(0) - number
    cell = _index(place, shape[frame]) + start[frame]
    ascending, atom = torch.sort(cell, stable=True)
    cells = torch.arange(int(number.sum()) + 1, device=positions.device)
    pointer = torch.searchsorted(ascending, cells)
    return _Cells(shape, reach.to(torch.int64), place, wrapped, pointer, atom, start)


def _index(place: Tensor, shape: Tensor) -> Tensor:
    """Number of a cell within its frame."""
    return (place[:, 0] * shape[:, 1] + place[:, 1]) * shape[:, 2] + place[:, 2]


def _candidates(cells: _Cells, receivers: Tensor, frame: Tensor, periodic: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Receiver, sender and image of all pairs of some receivers with the atoms of the cells around them."""
    width = 2 * cells.reach + 1  # (B, 3) cells around, the own one included
    row, which = _spread(width.prod(1)[frame[receivers]])
    receiver = receivers[row]
    w = width[frame[receiver]]
    step = torch.stack([which // (w[:, 1] * w[:, 2]), which // w[:, 2] % w[:, 1], which % w[:, 2]], 1)
    place = cells.place[receiver] + step - cells.reach[frame[receiver]]
    shape = cells.shape[frame[receiver]]
    image = torch.div(place, shape, rounding_mode="floor")
    keep = (periodic[frame[receiver]] | (image == 0)).all(1).nonzero().squeeze(1)
    receiver, place, image, shape = receiver[keep], place[keep], image[keep], shape[keep]
    cell = _index(place - image * shape, shape) + cells.start[frame[receiver]]
    first = cells.pointer[cell]
    row, which = _spread(cells.pointer[cell + 1] - first)
    sender = cells.atom[first[row] + which]
    receiver = receiver[row]
    return receiver, sender, image[row] - cells.wrapped[sender] + cells.wrapped[receiver]


def _spread(counts: Tensor) -> tuple[Tensor, Tensor]:
    """For counts such as (2, 0, 3): (0, 0, 2, 2, 2) and (0, 1, 0, 1, 2)."""
    row = torch.repeat_interleave(torch.arange(counts.shape[0], device=counts.device), counts)
    first = counts.cumsum(0) - counts
    return row, torch.arange(row.shape[0], device=counts.device) - first[row]


def _order(receiver: Tensor, sender: Tensor, image: Tensor, n_atoms: int) -> Tensor:
    """Order of pairs by receiver, sender and image; no two pairs are equal in all of these."""
    if receiver.shape[0] == 0:
        return receiver
    low = image.amin(0)
    span = image.amax(0) - low + 1
    by_image = ((image[:, 0] - low[0]) * span[1] + image[:, 1] - low[1]) * span[2] + image[:, 2] - low[2]
    first = torch.argsort(by_image, stable=True)
    return first[torch.argsort((receiver * n_atoms + sender)[first], stable=True)]
