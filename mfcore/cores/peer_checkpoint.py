"""Contents of a checkpoint of another package, whichever package that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.mfcore.errors import ConfigError


@dataclass(frozen=True)
class PeerCheckpoint:
    """Weights and description of a checkpoint.

    Attributes
    ----------
    core
        Of the class: name of the core that it is for.
    tensors
        Weights by the package's names.
    keys
        Of its model, as JSON values, and `elements`.
    parts
        Names of heads or modalities in the order of their rows; none for a checkpoint without.
    shift, scale
        (parts or 1, elements) eV.
    """

    core: ClassVar[str]

    tensors: Mapping[str, Tensor]
    keys: dict[str, Any]
    parts: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that it was trained on, ascending."""
        return tuple(sorted(int(number) for number in self.keys["elements"]))

    def check_elements(self, species: Sequence[int], path: Path) -> None:
        """Refuse elements that the checkpoint was not trained on.

        Raises
        ------
        ConfigError
            Names them.
        """
        if odd := [chemical_symbols[z] for z in species if z not in self.keys["elements"]]:
            raise ConfigError(f"core '{self.core}': the checkpoint {path} was not trained on {', '.join(odd)}.")

    def energies(self, part: str, species: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return reference energies and scales of a part, (species,) eV each."""
        row = self.parts.index(part) if self.parts else 0
        places = [self.keys["elements"].index(z) for z in species]
        return self.shift[row, places], self.scale[row, places]


def plain(value: Any) -> Any:
    """JSON values of what a model is made by: classes by their names, irreps and others as text."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "ls"):
        return [plain(inner) for inner in value]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return plain(value.tolist())
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
