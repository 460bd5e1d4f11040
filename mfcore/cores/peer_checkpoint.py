"""Contents of a checkpoint of another package, whichever package that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from ase.data import chemical_symbols
from torch import Tensor

from mfbench.mfcore.cores import pickled
from mfbench.mfcore.errors import ConfigError


@dataclass(frozen=True)
class PeerCheckpoint(ABC):
    """Weights and description of a checkpoint.

    Attributes
    ----------
    core, package
        Of the class: name of the core that it is for, and of the package that writes it.
    cutoff_key
        Of the class: name of the cutoff (Å) among the keys.
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
    package: ClassVar[str]
    cutoff_key: ClassVar[str] = "r_max"

    tensors: Mapping[str, Tensor]
    keys: dict[str, Any]
    parts: tuple[str, ...]
    shift: np.ndarray
    scale: np.ndarray

    @property
    @abstractmethod
    def part_is(self) -> str:
        """Name that the package has for a part."""

    @classmethod
    @abstractmethod
    def unpickled(cls, path: Path) -> pickled.Content:
        """Read a file; the description has "keys", "parts", "shift" and "scale", as the attributes are."""

    @classmethod
    def named_files(cls) -> dict[str, Path]:
        """Files of the checkpoints that come with the installed package, by name."""
        return {}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a checkpoint, see :func:`mfbench.mfcore.cores.pickled.content_of`.

        Raises
        ------
        ConfigError
            If it is a pickle from elsewhere that nobody has said to trust.
        DataError
            If the package has not written it.
        """
        tensors, found = pickled.content_of(path, cls.core, cls.package, cls.unpickled)
        return cls(tensors, found["keys"], tuple(found["parts"]), np.array(found["shift"]), np.array(found["scale"]))

    @classmethod
    def trust(cls, path: Path) -> None:
        """Unpickle a checkpoint, see :func:`mfbench.mfcore.cores.pickled.trust`."""
        pickled.trust(path, cls.core, cls.unpickled)

    def part(self, asked: str, checkpoint: str) -> str:
        """Return the part to start from; upper and lower case do not matter.

        Parameters
        ----------
        asked
            Its name; empty where none is given, which chooses the only one.
        checkpoint
            Name of the checkpoint in messages.

        Raises
        ------
        ConfigError
            If there are several and none is chosen, or there is none of the name.
        """
        wanted = {name.lower(): name for name in self.parts}
        if asked.lower() in wanted:
            return wanted[asked.lower()]
        if not asked and len(self.parts) <= 1:
            return "".join(self.parts)
        where = f"core '{self.core}', key 'checkpoint': "
        if not self.parts:
            raise ConfigError(f"{where}{checkpoint} knows no {self.part_is}; leave out ':{asked}'.")
        named = " or ".join(f"{checkpoint}:{name}" for name in self.parts)
        raise ConfigError(f"{where}say which {self.part_is} to start from: {named}.")

    def architecture(self) -> dict[str, Any]:
        """Keys of a network that has the function of one part."""
        return dict(self.keys)

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
