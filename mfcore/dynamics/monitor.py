"""The failure criteria of a running batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.mfcore.data.closest import pair_key
from mfbench.mfcore.dynamics.criteria import (
    WHOLE,
    FailureCriteria,
    Mode,
    broken_since,
    close_pairs,
    for_too_long,
    miscoordinated,
    molecule_key,
    per_frame,
    stretched,
)
from mfbench.mfcore.dynamics.neighbours import SkinList
from mfbench.mfcore.errors import ConfigError


class GeometryMonitor:
    """Criteria on the geometry, with the memory that "for longer than a stated time" needs.

    Parameters
    ----------
    criteria
        Thresholds.
    frames
        Elements of each replica; molecules get the bonds of their kind.
    time_step_fs
        Of the simulation.
    cutoff
        Å, of the neighbour list.
    device
        Where the checks run.

    Raises
    ------
    ConfigError
        If a criterion looks farther than the neighbour list.
    """

    def __init__(
        self,
        criteria: FailureCriteria,
        frames: Sequence[Atoms],
        time_step_fs: float,
        cutoff: float,
        device: torch.device,
    ) -> None:
        if criteria.reach > cutoff:
            raise ConfigError(
                f"failure criteria look as far as {criteria.reach:.2f} Å, but the potential's neighbour list ends at "
                f"{cutoff:.2f} Å. Reduce the radius of the units or the pair fraction."
            )
        self._criteria, self._device = criteria, device
        ratio = criteria.broken_time_fs / time_step_fs
        #: "longer than": the first step after the time has passed; a time of 0 fails at once
        self._limit = math.floor(ratio + 1e-9) + 1 if ratio > 0 else 0
        self._numbers = [np.asarray(a.numbers) for a in frames]
        self._molecular = [not a.pbc.any() for a in frames]
        self._version = -1
        self._layout()
        self.since_unit = torch.full((len(self._unit_frame),), WHOLE, device=device)
        self.since_bond = torch.full((len(self._bond_frame),), WHOLE, device=device)

    def _layout(self) -> None:
        """Units and bonds of all replicas, numbered through the batch."""
        numbers = np.concatenate(self._numbers) if self._numbers else np.zeros(0, dtype=np.int64)
        frame = np.repeat(np.arange(len(self._numbers)), [len(n) for n in self._numbers])
        centres, kinds = [], []
        for kind, unit in enumerate(self._criteria.units):
            found = np.flatnonzero(numbers == _number(unit.centre))
            centres.append(found)
            kinds.append(np.full(len(found), kind))
        self._centre = np.concatenate([*centres, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        self._kind = np.concatenate([*kinds, np.zeros(0, dtype=np.int64)]).astype(np.int64)
        order = np.argsort(frame[self._centre], kind="stable")
        self._centre, self._kind = self._centre[order], self._kind[order]
        self._unit_frame = self._long(frame[self._centre])
        self._least = self._long([self._criteria.units[k].least for k in self._kind])
        self._most = self._long([self._criteria.units[k].most for k in self._kind])
        first = np.concatenate([[0], np.cumsum([len(n) for n in self._numbers])])
        bonds = [
            (int(first[k]) + bond.first, int(first[k]) + bond.second, bond.mean, k)
            for k, own in enumerate(self._numbers)
            if self._molecular[k]
            for bond in self._criteria.bonds.get(molecule_key(own), ())
        ]
        self._bond_atoms = self._long([b[:2] for b in bonds]).reshape(-1, 2)
        self._bond_mean = torch.tensor([b[2] for b in bonds], dtype=torch.float64, device=self._device)
        self._bond_frame = self._long([b[3] for b in bonds])
        self._all_numbers = numbers

    def _long(self, values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.int64)).to(self._device)

    def _attach(self, neighbours: SkinList) -> None:
        """Tensors that depend on the edges: the limit of each pair, and which edges count for which unit."""
        sender, receiver = neighbours.sender.cpu().numpy(), neighbours.receiver.cpu().numpy()
        numbers, limits = self._all_numbers, np.zeros((128, 128))
        present = [int(z) for z in np.unique(numbers)]
        for first in present:
            for second in present:
                key = pair_key(chemical_symbols[first], chemical_symbols[second])
                limits[first, second] = self._criteria.pair_fraction * self._criteria.pair_minimum.get(key, 0.0)
        self._pair_limit = torch.from_numpy(limits[numbers[sender], numbers[receiver]] ** 2).to(self._device)
        self._edge_frame = neighbours.frame[neighbours.receiver]
        edges, unit_of, radii = [], [], []
        for kind, unit in enumerate(self._criteria.units):
            at = np.full(len(numbers), -1, dtype=np.int64)
            mine = np.flatnonzero(self._kind == kind)
            at[self._centre[mine]] = mine
            counted = np.isin(numbers, [_number(s) for s in unit.neighbours])
            found = np.flatnonzero((at[receiver] >= 0) & counted[sender])
            edges.append(found)
            unit_of.append(at[receiver[found]])
            radii.append(np.full(len(found), unit.radius**2))
        nothing = np.zeros(0)
        self._unit_edge = self._long(np.concatenate([*edges, nothing]))
        self._unit_of = self._long(np.concatenate([*unit_of, nothing]))
        self._radius = torch.from_numpy(np.concatenate([*radii, nothing])).to(self._device)
        self._version = neighbours.version

    def keep(self, which: list[int]) -> None:
        """Go on with some of the replicas."""
        kept = torch.zeros(len(self._numbers), dtype=torch.bool, device=self._device)
        kept[which] = True
        self.since_unit = self.since_unit[kept[self._unit_frame]]
        self.since_bond = self.since_bond[kept[self._bond_frame]]
        self._numbers = [self._numbers[k] for k in which]
        self._molecular = [self._molecular[k] for k in which]
        self._version = -1
        self._layout()

    def check(self, step: int, positions: Tensor, neighbours: SkinList, squares: Tensor) -> dict[Mode, Tensor]:
        """Which replicas fail now, by mode, each (B,).

        Parameters
        ----------
        step
            Number of this step.
        positions
            (A, 3) Å.
        neighbours, squares
            The list, and the squared lengths (E,) Å² of its edges.
        """
        if self._version != neighbours.version:
            self._attach(neighbours)
        n_frames = len(self._numbers)
        found: dict[Mode, Tensor] = {
            "close_pair": close_pairs(squares, self._pair_limit, self._edge_frame, n_frames),
        }
        if len(self.since_unit):
            near = squares.index_select(0, self._unit_edge)
            broken = miscoordinated(near, self._radius, self._unit_of, self._least, self._most)
            self.since_unit = broken_since(self.since_unit, broken, step)
            found["broken_unit"] = self._failed(self.since_unit, self._unit_frame, step, n_frames)
        if len(self.since_bond):
            ends = positions[self._bond_atoms]
            broken = stretched((ends[:, 0] - ends[:, 1]).norm(dim=1), self._bond_mean, self._criteria.bond_tolerance)
            self.since_bond = broken_since(self.since_bond, broken, step)
            found["broken_bond"] = self._failed(self.since_bond, self._bond_frame, step, n_frames)
        return found

    def _failed(self, since: Tensor, frame: Tensor, step: int, n_frames: int) -> Tensor:
        return per_frame(for_too_long(since, step, self._limit), frame, n_frames)


def _number(symbol: str) -> int:
    return chemical_symbols.index(symbol)
