"""The Core protocol: all that strategies, training, potentials and dynamics may ask of a network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, ClassVar, Self

import torch
from pydantic import ValidationError
from torch import Tensor

from mfbench.mfcore.core_types import Checkpoint, Conditioning, CoreConfig, CoreOutput, ForwardOptions, InferenceCore
from mfbench.mfcore.cores.starting_points import found_checkpoint
from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity_energies import FidelityEnergies

__all__ = [
    "Checkpoint",
    "Conditioning",
    "Core",
    "CoreConfig",
    "CoreOutput",
    "FixedCore",
    "ForwardOptions",
    "InferenceCore",
]

DESCRIBED = ("config", "species", "fidelities", "conditioning", "mean_neighbours")
TRUNK, READOUT, FIDELITY, OFFSETS = "trunk", "readout", "fidelity", "offsets"
LAST = "readout.last"


class Core(FidelityEnergies, ABC):
    """A network that maps a batch of graphs to energies, forces and stress, for one or several fidelities.

    The energy of a frame is a sum over its atoms, Σ scale·ε + shift, with ε from the network, and the reference energy
    Σ E0, which is kept apart in float64 because it may be 10⁴ eV. Scales, E0 and shifts stand by fidelity and element.

    Parameters
    ----------
    config
        Settings, an instance of the class's `Config`.
    species
        Atomic numbers, in the order of a batch's species index.
    fidelities
        Names, in the order of a batch's fidelity index.
    conditioning
        How the fidelity enters; one of the class's `conditionings`.
    mean_neighbours
        Mean number of edges per atom in the training set.

    Attributes
    ----------
    name, summary
        Of the class: its entry point of group `mfbench.cores`, and one line about it.
    Config
        Of the class: its settings.
    conditionings
        Of the class: those that it has.
    options
        Of the class: keys of :class:`ForwardOptions` that its `forward` takes.
    package
        Of the class: the package that its network comes from, where that is an extra of the core's name; "" for none.
    bytes_per_atom
        Of the class: memory that a training step takes at least for each atom of its batch, with 32 channels, 3 layers
        and lmax 2: measured on molecules of 9 atoms, which have fewer neighbours than crystals. 0 if it is not known.
    learning_rate_factor
        Of the class: its largest learning rate over that of the settings, which is the default core's. Where weights
        have a variance of one, and are divided by the root of their number when they are used, steps must be larger.
    reference, scale, reference_shift
        Those of :class:`mfbench.mfcore.fidelity_energies.FidelityEnergies`.

    Raises
    ------
    ConfigError
        If it has no such conditioning.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Config: ClassVar[type[CoreConfig]] = CoreConfig
    conditionings: ClassVar[tuple[Conditioning, ...]] = ("none",)
    options: ClassVar[frozenset[str]] = frozenset()
    package: ClassVar[str] = ""
    bytes_per_atom: ClassVar[float] = 0.0
    learning_rate_factor: ClassVar[float] = 1.0

    __call__: Callable[..., CoreOutput]

    def __init__(
        self,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        super().__init__(species, fidelities)
        if conditioning not in self.conditionings:
            raise ConfigError(
                f"core '{self.name}' has no conditioning '{conditioning}', only {', '.join(self.conditionings)}."
            )
        self.config = config
        self.conditioning: Conditioning = conditioning
        self.mean_neighbours = float(mean_neighbours)

    # Making one

    @classmethod
    def check_installed(cls) -> None:
        """Refuse to be chosen where the package is missing that the network comes from.

        Raises
        ------
        ConfigError
            Says how to install it.
        """
        if cls.package and find_spec(cls.package) is None:
            raise ConfigError(
                f"core '{cls.name}' needs the package {cls.package}, which is not installed: "
                f"pip install 'mfbench[{cls.name}]'."
            )

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Checkpoint | None = None) -> float:
        """Cutoff in Å of a network that is yet to be built; a checkpoint may decide it."""
        return config.cutoff

    @classmethod
    def difference_config(cls, config: CoreConfig) -> CoreConfig:
        """Settings of a network for differences to another one, which has all that is not learned (nuclei's repulsion).

        Parameters
        ----------
        config
            Settings of a network that stands alone.
        """
        return config

    @classmethod
    def find_checkpoint(cls, checkpoint: str) -> Checkpoint:
        """A checkpoint that is given by its path or, where a core has such, by its name; `:PART` may follow.

        Raises
        ------
        ConfigError
            If there is no such file.
        """
        return found_checkpoint(checkpoint, cls.name)

    @classmethod
    def trust_checkpoint(cls, checkpoint: str) -> None:
        """Let a checkpoint be read whose file holds code that reading executes, if this core has such.

        Parameters
        ----------
        checkpoint
            As for :meth:`find_checkpoint`.
        """

    @classmethod
    def elements_of(cls, checkpoint: Checkpoint) -> tuple[int, ...]:
        """Atomic numbers that a checkpoint was trained on, ascending.

        Raises
        ------
        ConfigError
            If this core starts from random weights only.
        """
        raise ConfigError(f"core '{cls.name}' starts from random weights; remove 'checkpoint'.")

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning,
        mean_neighbours: float,
    ) -> Self:
        """Build a network that starts from stored weights; other parameters as for the class.

        All fidelities start as the same function, with the checkpoint's scales and reference energies.

        Raises
        ------
        ConfigError
            If this core starts from random weights only.
        """
        raise ConfigError(f"core '{cls.name}' starts from random weights; remove 'checkpoint'.")

    def description(self) -> dict[str, Any]:
        """Name and arguments that build the same network again, as plain JSON values."""
        return {
            "core": self.name,
            "config": self.config.model_dump(mode="json"),
            "species": list(self.species),
            "fidelities": list(self.fidelities),
            "conditioning": self.conditioning,
            "mean_neighbours": self.mean_neighbours,
        }

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> Self:
        """Build the network that :meth:`description` describes; weights are random.

        Raises
        ------
        ConfigError
            If a key is missing, unknown, or has an impossible value.
        """
        values = {key: value for key, value in description.items() if key != "core"}
        if odd := sorted(values.keys() ^ set(DESCRIBED)):
            raise ConfigError(f"description of a network '{cls.name}': expected {', '.join(DESCRIBED)}; see {odd[0]}.")
        try:
            config = cls.Config.model_validate(values.pop("config"))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(["config", *map(str, first["loc"])])
            raise ConfigError(f"description of a network '{cls.name}', key '{key}': {first['msg']}.") from error
        return cls(config=config, **values)

    def expand_heads(self) -> Self:
        """The same function with one readout per fidelity, all starting from the present one.

        Raises
        ------
        ConfigError
            If the core has no heads, or this network is conditioned already.
        """
        raise ConfigError(f"a core '{self.name}' with conditioning '{self.conditioning}' cannot be given heads.")

    # The computation

    @abstractmethod
    def forward(
        self, batch: Batch, forces: bool = True, stress: bool = False, create_graph: bool = False
    ) -> CoreOutput:
        """Energies, forces and stress of a batch.

        A class with `options` takes them as further keyword arguments, False by default.

        Parameters
        ----------
        batch
            Graph with every pair within the cutoff in both directions, in the core's dtype and on its device; its
            `each_pair_once` chooses the half list.
        forces, stress
            What to compute beside the energy.
        create_graph
            Keep the graph, so that a loss on forces or stress can be differentiated.
        """

    def for_inference(self, fidelity: str, species: Sequence[int] | None = None) -> InferenceCore:
        """One fidelity of the present weights as a fixed function.

        Parameters
        ----------
        fidelity
            One of `fidelities`.
        species
            Some of the atomic numbers, in the order that batches will have; None: as here.

        Raises
        ------
        ConfigError
            If the network does not know the fidelity or a species.
        """
        return FixedCore(self, fidelity, species)

    @property
    def cutoff(self) -> float:
        """Neighbour cutoff, Å."""
        return self.cutoff_of(self.config)

    def check_options(self, options: ForwardOptions) -> None:
        """Refuse a way of computing that this core does not have.

        Raises
        ------
        ConfigError
            Names the option.
        """
        for option, wanted in options.items():
            if wanted and option not in self.options:
                raise ConfigError(f"core '{self.name}' has no option '{option}'; switch it off in the settings.")

    # Parameters by name

    @abstractmethod
    def groups_of(self, parameter: str) -> tuple[str, ...]:
        """Groups of a parameter of the network, given by its name in `named_parameters`.

        Each is in "trunk" or in "readout". Those of the trunk may be in "trunk.0", "trunk.1", … too, from input to
        output, which together are the trunk; those of the readout that energies are linear in may be in "readout.last".
        One that holds a row for each fidelity (but no heads) is also in "fidelity".
        """

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """Names of the parameters in each group; "offsets" has the shift of the reference energies."""
        found: dict[str, list[str]] = {TRUNK: [], READOUT: [], FIDELITY: [], OFFSETS: []}
        for name, parameter in self.named_parameters():
            for group in (OFFSETS,) if parameter is self.reference_shift else self.groups_of(name):
                found.setdefault(group, []).append(name)
        return {group: tuple(names) for group, names in found.items()}

    def in_groups(self, groups: Iterable[str]) -> set[str]:
        """Names of all parameters in some groups.

        Raises
        ------
        ConfigError
            If there is no such group.
        """
        known = self.parameter_groups()
        for group in groups:
            if group not in known:
                raise ConfigError(f"core '{self.name}' has no parameters '{group}', only {', '.join(known)}.")
        return {name for group in groups for name in known[group]}

    def freeze(self) -> Self:
        """Make it a fixed function: no parameter asks for a gradient."""
        self.eval()
        self.requires_grad_(False)
        return self


class FixedCore:
    """The inference core of any core: a copy of it, asked for one fidelity. See :class:`InferenceCore`."""

    def __init__(self, core: Core, fidelity: str, species: Sequence[int] | None = None) -> None:
        self.species = core.species if species is None else tuple(species)
        if not set(self.species) <= set(core.species):
            raise ConfigError(f"species {self.species}: this network has {core.species}.")
        self._row, self.fidelity, self.cutoff = core.row(fidelity), fidelity, core.cutoff
        self.device, self.dtype = core.device, core.dtype
        self._core = copy.deepcopy(core).freeze()
        self._species = torch.tensor([core.species.index(number) for number in self.species], device=self.device)

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""
        return self._core.reference_energy(self._translated(batch))

    def __call__(self, batch: Batch, forces: bool = True, stress: bool = False) -> CoreOutput:
        """Energies without reference energies, forces and stress of a batch.

        Raises
        ------
        ConfigError
            If the batch is of another dtype.
        """
        if batch.positions.dtype != self.dtype:
            raise ConfigError(f"inference: expected a batch of {self.dtype}, got {batch.positions.dtype}.")
        return self._core(self._translated(batch), forces, stress)

    def _translated(self, batch: Batch) -> Batch:
        fidelity = torch.full_like(batch.fidelity, self._row)
        return replace(batch, species=self._species.index_select(0, batch.species), fidelity=fidelity)
