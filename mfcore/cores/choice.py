"""The choice of a core: its name, a checkpoint to start from, and its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, model_serializer, model_validator

from mfbench.mfcore.core import Checkpoint, Conditioning, Core, CoreConfig
from mfbench.mfcore.cores.registry import DEFAULT, core_class
from mfbench.mfcore.cores.starting_points import sha256_of_checkpoint
from mfbench.mfcore.errors import ConfigError


class CoreChoice(BaseModel):
    """A core as configurations name it: ``{name: equivariant, cutoff: 5.0, channels: 32}``, or its name alone.

    Keys beside `name` and `checkpoint` are the core's own settings, validated by its `Config`.

    Attributes
    ----------
    name
        Entry point of group `mfbench.cores`; "equivariant" where none is given.
    checkpoint
        Weights to start from: a file or, where the core has such, a name, and `:PART` behind it for one modality, head
        or fidelity of it. None: random ones.
    config
        The core's settings, defaults included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    checkpoint: str | None
    config: SerializeAsAny[CoreConfig]

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)

    @model_validator(mode="before")
    @classmethod
    def _by_the_cores_own_settings(cls, values: Any) -> Any:
        if isinstance(values, str):
            values = {"name": values}
        if not isinstance(values, dict):
            return values
        own = dict(values)
        name, checkpoint = own.pop("name", DEFAULT), own.pop("checkpoint", None)
        if not isinstance(name, str):
            raise ValueError(f"name: expected that of a core, got {name!r}")
        try:
            found = core_class(name)
            found.check_installed()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        try:
            return {"name": name, "checkpoint": checkpoint, "config": found.Config.model_validate(own)}
        except ValidationError as error:
            raise _of_core(error, found) from None

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, "checkpoint": self.checkpoint, **self.config.model_dump(mode="json")}

    @property
    def core(self) -> type[Core]:
        """Class of the core."""
        return core_class(self.name)

    @property
    def found_checkpoint(self) -> Checkpoint | None:
        """The checkpoint; None without one.

        Raises
        ------
        ConfigError
            If there is none, though it is asked for.
        """
        return None if self.checkpoint is None else self.core.find_checkpoint(self.checkpoint)

    @property
    def checkpoint_sha256(self) -> str | None:
        """Hash (hex) of the checkpoint's file; None without one."""
        found = self.found_checkpoint
        return None if found is None else sha256_of_checkpoint(found.path)

    @property
    def cutoff(self) -> float:
        """Neighbour cutoff of the network, Å."""
        return self.core.cutoff_of(self.config, self.found_checkpoint)

    def for_difference(self) -> CoreChoice:
        """The choice for a network that learns differences to another one, see `Core.difference_config`."""
        return self.from_scratch().model_copy(update={"config": self.core.difference_config(self.config)})

    def from_scratch(self) -> CoreChoice:
        """The choice of the same core with random weights."""
        return self.model_copy(update={"checkpoint": None})

    def build(
        self, species: Sequence[int], fidelities: Sequence[str], conditioning: Conditioning, mean_neighbours: float
    ) -> Core:
        """Build the network; parameters as those of :class:`mfbench.mfcore.core.Core`.

        Raises
        ------
        ConfigError
            If the core lacks the conditioning, or starts from no checkpoint though one is given.
        """
        start = self.found_checkpoint
        if start is None:
            return self.core(self.config, species, fidelities, conditioning, mean_neighbours)
        return self.core.from_checkpoint(start, self.config, species, fidelities, conditioning, mean_neighbours)


def _of_core(error: ValidationError, core: type[Core]) -> ValidationError:
    """Faults of a core's settings, at the places of their keys, with its name and the keys that it has."""
    keys = f"its keys are {', '.join(['name', 'checkpoint', *core.Config.model_fields])}"
    other = "; another core is chosen by `name`" if core.name == DEFAULT else ""

    def sentence(fault: Mapping[str, Any]) -> str:
        unknown = fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
        problem = f"unknown key, {keys}{other}" if unknown else fault["msg"].removeprefix("Value error, ")
        return f"core '{core.name}': {problem}"

    return ValidationError.from_exception_data(
        core.Config.__name__,
        [
            {"type": "value_error", "loc": fault["loc"], "input": fault["input"], "ctx": {"error": sentence(fault)}}
            for fault in error.errors(include_url=False)
        ],
    )
