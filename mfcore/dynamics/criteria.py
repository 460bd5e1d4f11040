"""When a replica has failed: thresholds, and pure functions that compare arrays with them.

Every comparison is written so that NaN counts as beyond the threshold: "not within", never "greater than".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

Mode = Literal["non_finite", "close_pair", "broken_unit", "broken_bond", "temperature"]
#: In order of precedence where several are met at the same step.
MODES: tuple[Mode, ...] = get_args(Mode)

#: Since when a unit is broken that is whole.
WHOLE = torch.iinfo(torch.int64).max


class Unit(BaseModel):
    """A structural unit: how many atoms of some elements are around each atom of one.

    `Unit(centre="P", neighbours=("S",), radius=2.8, least=4, most=4)` is a PS4 tetrahedron; cations between
    nitrogen have `neighbours=("N",)` and, if a fifth may pass by, a larger `most`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    centre: str = Field(description="Element in the middle.")
    neighbours: tuple[str, ...] = Field(min_length=1, description="Elements that are counted.")
    radius: float = Field(gt=0, description="Å; closer atoms are counted.")
    least: int = Field(ge=0, description="Fewer break the unit.")
    most: int = Field(ge=0, description="More break the unit.")

    @field_validator("centre", "neighbours")
    @classmethod
    def _elements(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for symbol in (value,) if isinstance(value, str) else value:
            if symbol not in atomic_numbers:
                raise ValueError(f"'{symbol}' is no element")
        return value


class Bond(BaseModel):
    """A bond of a molecule and its mean length in the reference."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: int = Field(ge=0, description="Index of an atom in the molecule.")
    second: int = Field(ge=0, description="Index of the other.")
    mean: float = Field(gt=0, description="Å.")


class FailureCriteria(BaseModel):
    """Thresholds; `mfbench.mfcore.dynamics.calibration` derives them from reference frames.

    Non-finite energies and forces are a failure always.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature_factor: float = Field(3.0, gt=1, description="Highest kinetic temperature, in units of the target.")
    pair_fraction: float = Field(0.75, gt=0, description="Closest approach, as a fraction of the reference minimum.")
    pair_minimum: dict[str, float] = Field(
        default_factory=dict, description="Closest approach in the reference, Å, by elements ('Li-S', alphabetic)."
    )
    units: tuple[Unit, ...] = Field((), description="Structural units that have to stay whole.")
    bonds: dict[str, tuple[Bond, ...]] = Field(
        default_factory=dict, description="Bonds of each molecule, by its elements in the order of its atoms."
    )
    bond_tolerance: float = Field(0.5, gt=0, description="How far a bond may be off its mean, Å.")
    broken_time_fs: float = Field(100.0, ge=0, description="How long a unit or bond may be broken, fs.")

    @field_validator("pair_minimum")
    @classmethod
    def _pairs(cls, value: dict[str, float]) -> dict[str, float]:
        for key in value:
            parts = key.split("-")
            if len(parts) != 2 or parts != sorted(parts) or any(p not in atomic_numbers for p in parts):
                raise ValueError(f"'{key}': expected two elements in alphabetic order, as 'Li-S'")
        return value

    @property
    def reach(self) -> float:
        """The largest distance that a criterion on pairs looks at, Å."""
        pairs = [self.pair_fraction * minimum for minimum in self.pair_minimum.values()]
        return max([*pairs, *(unit.radius for unit in self.units)], default=0.0)


def molecule_key(numbers: Sequence[int] | np.ndarray) -> str:
    """Name of a molecule: its elements in the order of its atoms."""
    return "".join(chemical_symbols[int(z)] for z in numbers)


def per_frame(flags: Tensor, frame: Tensor, n_frames: int) -> Tensor:
    """Frames of which any entry is set, (n_frames,), from flags (n,) and the frame of each (n,)."""
    # counted, since to gather the entries that are set would be to wait for the device
    return torch.zeros(n_frames, dtype=torch.int64, device=flags.device).index_add(0, frame, flags.long()) > 0


def non_finite(energies: Tensor, forces: Tensor, frame: Tensor) -> Tensor:
    """Frames of which an energy (B,) or a force (A, 3) is NaN or infinite, (B,)."""
    return ~torch.isfinite(energies) | per_frame(~torch.isfinite(forces).all(1), frame, len(energies))


def close_pairs(distances: Tensor, limits: Tensor, frame: Tensor, n_frames: int) -> Tensor:
    """Frames of which a pair is closer than its limit, (n_frames,).

    Parameters
    ----------
    distances, limits
        (E,) in the same unit (both may be squared); a limit of 0 allows all.
    frame
        (E,) frame of each pair.
    """
    return per_frame(~(distances >= limits), frame, n_frames)


def miscoordinated(distances: Tensor, radii: Tensor, unit: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Structural units that have too few or too many neighbours, (U,).

    Parameters
    ----------
    distances, radii
        (E,) from the centre of a unit to a possible neighbour, and up to where it is one, in the same unit (both may be
        squared).
    unit
        (E,) unit of the centre.
    least, most
        (U,) numbers of neighbours of a whole unit.
    """
    count = torch.zeros_like(least).index_add(0, unit, (distances < radii).to(least.dtype))
    return ~((count >= least) & (count <= most))


def stretched(lengths: Tensor, means: Tensor, tolerance: float) -> Tensor:
    """Bonds (n,) that are farther off their means (n,) than a tolerance, either way; all in Å."""
    return ~((lengths - means).abs() <= tolerance)


def overheated(temperatures: Tensor, targets: Tensor, factor: float) -> Tensor:
    """Kinetic temperatures (B,) that are above a multiple of their targets (B,); both in K."""
    return ~(temperatures <= factor * targets)


def broken_since(since: Tensor, broken: Tensor, step: int) -> Tensor:
    """Since which step each unit (U,) has been broken without a break, `WHOLE` where it is not.

    Parameters
    ----------
    since
        What this function gave at the check before.
    broken
        Whether the units are broken now.
    step
        Now.
    """
    return torch.where(broken, since.clamp(max=step), torch.full_like(since, WHOLE))


def for_too_long(since: Tensor, step: int, limit_steps: float) -> Tensor:
    """Units (U,) that have been broken for longer than a number of steps (0: at all)."""
    broken = since != WHOLE
    return broken & ((step - torch.where(broken, since, torch.full_like(since, step))) >= max(limit_steps, 0.0))


def first_failure(flags: dict[Mode, Tensor], replica: int) -> Mode | None:
    """The mode of a replica's failure, by precedence; None if it has not failed."""
    return next((mode for mode in MODES if mode in flags and bool(flags[mode][replica])), None)
