"""Search spaces: which settings of an arm are tuned, and between which values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator

from mfbench.mfcore.documents import parse_yaml, read_yaml
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.settings_model import SettingsModel, faults

if TYPE_CHECKING:
    import optuna

#: Significant digits of a sampled value: the settings file says exactly what was trained with, and can be read.
DIGITS = 3
_FREE = "training.loss.fidelity_weights."


class Parameter(SettingsModel):
    """One tuned setting: an interval or a list of choices.

    Attributes
    ----------
    low, high, log
        The interval, and whether it is searched on a logarithmic scale.
    choices
        The values, instead of an interval.
    default
        What stands where an arm's settings have no value of this key.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[bool | int | float | str] | None = Field(None, min_length=2)
    default: float | None = None

    @model_validator(mode="after")
    def _interval_or_choices(self) -> Parameter:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either choices, or low and high")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("give low and high with low < high, or choices")
        elif self.log and self.low <= 0:
            raise ValueError("log: low must be positive")
        return self

    def ends(self) -> list[Any]:
        """Values that stand for all when a space is checked: both ends, or every choice."""
        return [self.low, self.high] if self.choices is None else list(self.choices)

    def __contains__(self, value: object) -> bool:
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None
        assert self.high is not None
        return isinstance(value, int | float) and self.low <= value <= self.high

    def suggest(self, trial: optuna.trial.Trial, name: str) -> Any:
        """Let a trial choose a value, rounded to :data:`DIGITS` digits."""
        if self.choices is not None:
            return trial.suggest_categorical(name, self.choices)
        assert self.low is not None
        assert self.high is not None
        value = float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.{DIGITS}g}")
        return min(max(value, self.low), self.high)


class Space(SettingsModel):
    """Parameters of all arms, and of single ones beside them.

    Attributes
    ----------
    all
        Of every arm, by dotted key of its settings; {low} and {high} stand for names of fidelities.
    arms
        The same by arm.
    """

    all: dict[str, Parameter] = Field(default_factory=dict)
    arms: dict[str, dict[str, Parameter]] = Field(default_factory=dict)
    source: str = Field("", exclude=True)

    def of(self, arm: str, fidelities: Sequence[str]) -> dict[str, Parameter]:
        """Parameters of an arm by dotted key, with the names of the task's fidelities filled in.

        Raises
        ------
        ConfigError
            If the arm has none, or a key names a fidelity that the task does not have.
        """
        names = {"{high}": fidelities[-1], "{low}": fidelities[-2] if len(fidelities) > 1 else fidelities[-1]}
        found = {}
        for key, parameter in {**self.all, **self.arms.get(arm, {})}.items():
            for role, name in names.items():
                key = key.replace(role, name)
            if key.startswith(_FREE) and key.removeprefix(_FREE) not in fidelities:
                raise ConfigError(f"{self.source}: {key}: no such fidelity; there are {', '.join(fidelities)}.")
            found[key] = parameter
        if not found:
            raise ConfigError(f"{self.source}: nothing to tune for arm '{arm}'.")
        return found


def load_space(path: Path | None, arms: Sequence[str]) -> Space:
    """Read a search space; None takes the one that comes along.

    Raises
    ------
    ConfigError
        If the file is not valid, or names an arm that is not in `arms`; names file and key.
    """
    if path is None:
        source = "search space default"
        text = (resources.files("mfbench.benchmarks.tuning") / "spaces" / "default.yml").read_text(encoding="utf-8")
        content = parse_yaml(text, source)
    else:
        source, content = str(path), read_yaml(path)
    try:
        space = Space.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {faults(error)}.") from error
    unknown = [arm for arm in space.arms if arm not in arms]
    if unknown:
        raise ConfigError(f"{source}: arms.{unknown[0]}: no such arm; there are {', '.join(arms)}.")
    return space.model_copy(update={"source": source})


def check(space: Space, parameters: Mapping[str, Parameter], make: Callable[[dict[str, Any]], Any], arm: str) -> None:
    """Build an arm with the extreme values of each parameter, so that a fault shows before the first trial.

    Parameters
    ----------
    make
        Builds the arm from settings on top of its present ones.

    Raises
    ------
    ConfigError
        Names the space and the key.
    """
    for key, parameter in parameters.items():
        for value in parameter.ends():
            try:
                make(nested({key: value}))
            except (ConfigError, ValidationError) as error:
                reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                raise ConfigError(f"{space.source}: {key}: arm '{arm}' cannot have {value}: {reason}") from error


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into nested settings: {"a.b": 1} into {"a": {"b": 1}}."""
    settings: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return settings


def present(settings: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any] | None:
    """Values of the parameters in an arm's settings; None if one lies outside the space or cannot be found."""
    values = {}
    for key, parameter in parameters.items():
        place: Any = settings
        for part in key.split("."):
            place = place.get(part) if isinstance(place, Mapping) else None
        value = parameter.default if place is None else place
        if value not in parameter or (isinstance(value, float) and not math.isfinite(value)):
            return None
        values[key] = value
    return values
