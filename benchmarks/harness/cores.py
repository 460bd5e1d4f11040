"""The axis of cores: the network that a run trains, and the arms that it is not able to carry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from mfbench.mfcore.cores.registry import DEFAULT, core_class, core_names
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.provenance import digest
from mfbench.mfcore.settings_model import shortened
from mfbench.mfcore.text import one_line
from mfbench.strategies.registry import arm_class

LONGEST_TAG = 32
_ENDINGS = (".pth", ".pt", ".model", ".ckpt", ".zip", ".safetensors")


class CoreEntry(BaseModel):
    """One value of the axis: ``equivariant``, or ``{name: equivariant, channels: 16, checkpoint: weights}``.

    Attributes
    ----------
    name
        Of the core.
    checkpoint
        Weights to start from, a file or a name that the core knows; None: random ones, or those of the settings.
    settings
        The core's own settings, over those that the preset gives to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = DEFAULT
    checkpoint: str | None = None
    settings: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, content: Any) -> Any:
        if isinstance(content, str):
            return {"name": content}
        if not isinstance(content, Mapping):
            return content
        own = {key: value for key, value in content.items() if key not in ("name", "checkpoint")}
        given = {key: content[key] for key in ("name", "checkpoint") if key in content}
        return given | {"settings": own}

    @field_validator("name")
    @classmethod
    def _is_installed(cls, name: str) -> str:
        if name not in core_names():
            raise ValueError(f"no core '{name}': known are {', '.join(core_names())}")
        try:
            core_class(name).check_installed()
        except ConfigError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return name

    @property
    def label(self) -> str:
        """Name in rows and tables: the core's, with a short tag of the checkpoint and the settings."""
        parts = [self.checkpoint_label] if self.checkpoint_label else []
        parts += [f"{key}={_short(value)}" for key, value in sorted(self.settings.items())]
        tag = ",".join(parts)
        if len(tag) > LONGEST_TAG:
            tag = digest([self.checkpoint, self.settings])[:6]
        return one_line(f"{self.name}({tag})" if tag else self.name)

    @property
    def checkpoint_label(self) -> str:
        """Name of the checkpoint without its folder, and the part that is started from; "" without one."""
        return "" if self.checkpoint is None else _file_and_part(self.checkpoint)

    def over(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of an arm with this core; what they say of another core is left out.

        Parameters
        ----------
        settings
            Of the arm; those under "core" are of the default one where they name none.

        Raises
        ------
        ConfigError
            If what stands under "core" is neither a name nor settings.
        """
        given = settings.get("core", {})
        kept = dict(given) if isinstance(given, Mapping) else {"name": entry_of(given).name}
        if kept.get("name", DEFAULT) != self.name:
            kept = {}
        checkpoint = {} if self.checkpoint is None else {"checkpoint": self.checkpoint}
        return {**settings, "core": {**kept, "name": self.name, **checkpoint, **self.settings}}


def entry_of(content: Any) -> CoreEntry:
    """A value of the axis from what a person wrote.

    Raises
    ------
    ConfigError
        If there is no such core.
    """
    if not isinstance(content, str | Mapping | CoreEntry):
        raise ConfigError(
            f"key 'core': found {shortened(content)}; a core is given by its name, or by a mapping such as "
            f"{{name: {DEFAULT}, channels: 16}}."
        )
    try:
        return CoreEntry.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["core", *map(str, first["loc"])])
        raise ConfigError(f"key '{key}': {first['msg'].removeprefix('Value error, ')}.") from error


def core_of(settings: Mapping[str, Any]) -> CoreEntry:
    """The core that settings of an arm name; what else they say of it is no part of the axis."""
    given = settings.get("core", {})
    if not isinstance(given, Mapping):
        return entry_of(given)
    return entry_of({key: given[key] for key in ("name", "checkpoint") if key in given})


def uses_low(arm: str, *, checkpoint: bool) -> bool:
    """Say whether an arm learns from LF labels: its LF stage may be a checkpoint's.

    Parameters
    ----------
    arm
        Its name.
    checkpoint
        Whether its core starts from one.

    Raises
    ------
    ConfigError
        If there is no such arm.
    """
    known = arm_class(arm)
    return known.uses_low and not (checkpoint and known.only_low_stage)


def missing(arm: str, core: str) -> list[str]:
    """Conditionings that an arm asks for and a core lacks.

    Raises
    ------
    ConfigError
        If there is no such arm or core.
    """
    return [name for name in arm_class(arm).conditionings if name not in core_class(core).conditionings]


def lacking(arm: str, core: str, checkpoint: str | None = None) -> str:
    """Reason why an arm cannot be trained on a core, from a checkpoint or without one; "" if it can.

    Raises
    ------
    ConfigError
        If there is no such arm or core.
    """
    if arm_class(arm).needs_checkpoint and checkpoint is None:
        return f"it is made of a checkpoint, and core '{core}' is given none"
    found = missing(arm, core)
    if not found:
        return ""
    return f"it needs {' and '.join(found)}, and core '{core}' has {', '.join(core_class(core).conditionings)} only"


def _file_and_part(checkpoint: str) -> str:
    """Name of a checkpoint's file without its ending, with the part that is started from: both tell starts apart."""
    before, colon, part = checkpoint.rpartition(":")
    if not colon or "/" in part:
        before, part = checkpoint, ""
    name = Path(before).name
    stem = Path(name).stem if Path(name).suffix in _ENDINGS else name
    return f"{stem}:{part}" if part else stem


def _short(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
