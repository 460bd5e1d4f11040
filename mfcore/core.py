"""The Core protocol: all that strategies, training, potentials and dynamics may ask of a network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mfbench.mfcore.core_types import Conditioning, CoreConfig, CoreOutput, ForwardOptions, InferenceCore
from mfbench.mfcore.data.graphs import Batch
from mfbench.mfcore.errors import ConfigError

__all__ = ["Conditioning", "Core", "CoreConfig", "CoreOutput", "FixedCore", "ForwardOptions", "InferenceCore"]

DESCRIBED = ("config", "species", "fidelities", "conditioning", "mean_neighbours")
TRUNK, READOUT, FIDELITY, OFFSETS = "trunk", "readout", "fidelity", "offsets"
LAST = "readout.last"


class Core(nn.Module, ABC):
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
    reference, scale, reference_shift
        (fidelities, species) E0 in eV and scales in eV, both float64, and a shift in eV that training may learn.

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

    reference: Tensor
    scale: Tensor
    reference_shift: nn.Parameter
    __call__: Callable[..., CoreOutput]

    def __init__(
        self,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning = "none",
        mean_neighbours: float = 20.0,
    ) -> None:
        super().__init__()
        if conditioning not in self.conditionings:
            raise ConfigError(
                f"core '{self.name}' has no conditioning '{conditioning}', only {', '.join(self.conditionings)}."
            )
        self.config, self.species, self.fidelities = config, tuple(species), tuple(fidelities)
        self.conditioning: Conditioning = conditioning
        self.mean_neighbours = float(mean_neighbours)
        shape = (len(self.fidelities), len(self.species))
        self.register_buffer("reference", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(shape, dtype=torch.float64))
        self.reference_shift = nn.Parameter(torch.zeros(shape), requires_grad=False)

    # Making one

    @classmethod
    def cutoff_of(cls, config: CoreConfig, checkpoint: Path | None = None) -> float:
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
    def checkpoint_file(cls, checkpoint: str) -> Path:
        """File of a checkpoint that is given by its path or, where a core has such, by its name.

        Raises
        ------
        ConfigError
            If there is no such file.
        """
        path = Path(checkpoint)
        if not path.is_file():
            raise ConfigError(f"core '{cls.name}', key 'checkpoint': no file {path}.")
        return path

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Path,
        config: CoreConfig,
        species: Sequence[int],
        fidelities: Sequence[str],
        conditioning: Conditioning,
        mean_neighbours: float,
    ) -> Self:
        """Build a network that starts from stored weights; other parameters as for the class.

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

    def frame_energies(self, atomic: Tensor, batch: Batch) -> Tensor:
        """Energies of frames, (B,) eV without reference energies, from what the network says of each atom, (A,)."""
        label = batch.fidelity.index_select(0, batch.frame) * len(self.species) + batch.species
        scale = self.scale.to(atomic.dtype).view(-1)
        shift = self.reference_shift.view(-1).index_select(0, label)
        atomic = torch.addcmul(shift, atomic, scale.index_select(0, label))
        return torch.zeros(batch.n_frames, dtype=atomic.dtype, device=atomic.device).index_add(0, batch.frame, atomic)

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

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        return self.reference_shift.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights."""
        return self.reference_shift.dtype

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

    # Energies by fidelity and element

    def row(self, fidelity: str) -> int:
        """Index of a fidelity.

        Raises
        ------
        ConfigError
            If the network does not know it.
        """
        if fidelity not in self.fidelities:
            raise ConfigError(f"fidelity '{fidelity}': this network has {', '.join(self.fidelities)}.")
        return self.fidelities.index(fidelity)

    def set_reference(self, fidelity: str, values: Sequence[float] | np.ndarray) -> None:
        """Set E0 of a fidelity, (species,) eV."""
        self.reference[self.row(fidelity)] = torch.as_tensor(np.asarray(values), dtype=torch.float64)

    def reference_of(self, fidelity: str) -> np.ndarray:
        """E0 of a fidelity, (species,) eV, float64."""
        return np.array(self.reference[self.row(fidelity)].cpu().numpy())

    def set_scale(self, fidelity: str, values: float | Sequence[float] | np.ndarray) -> None:
        """Set the scales of a fidelity, in eV: one for all species, or (species,)."""
        self.scale[self.row(fidelity)] = torch.as_tensor(np.asarray(values), dtype=torch.float64)

    def scale_of(self, fidelity: str) -> np.ndarray:
        """Scales of a fidelity, (species,) eV, float64."""
        return np.array(self.scale[self.row(fidelity)].cpu().numpy())

    def train_offsets(self, trainable: bool) -> None:
        """Let training learn a shift of E0 for each fidelity and element, or keep it at what it is."""
        self.reference_shift.requires_grad_(trainable)

    def reference_energy(self, batch: Batch) -> Tensor:
        """Sum of E0 over the atoms of each frame, (B,) eV, float64."""
        label = batch.fidelity.index_select(0, batch.frame) * len(self.species) + batch.species
        per_atom = self.reference.view(-1).index_select(0, label)
        return torch.zeros(batch.n_frames, dtype=torch.float64, device=per_atom.device).index_add(
            0, batch.frame, per_atom
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the tensors, as torch's `to` and the like do; reference energies and scales stay float64."""
        reference, scale = self.reference, self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.reference, self.scale = reference.to(self.device), scale.to(self.device)
        return self

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
