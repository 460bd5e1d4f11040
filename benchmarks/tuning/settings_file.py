"""Files of tuned settings: what `mfbench tune` writes and a preset uses, with all that says where they come from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from mfbench.mfcore.documents import parse_yaml, read_document
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import write_text
from mfbench.mfcore.sealed import EDITED, check_editable, sealed_first
from mfbench.mfcore.settings_model import SettingsModel, faults
from mfbench.mfcore.training.budget import Rule

HEADER = (
    "# Written by mfbench tune; a preset uses it by `tuned:` in its task plan.\n"
    f"# Whoever changes it writes `{EDITED}` in place of the sum.\n"
)


class TunedRung(SettingsModel):
    """So many trials, each with this share of the budget of a run."""

    share: PositiveFloat
    trials: PositiveInt


class Provenance(SettingsModel):
    """Provenance of tuned settings: the search that found them.

    Attributes
    ----------
    command, date, versions
        What wrote the file, when, with what.
    preset, regime, seed, draw
        Whose base settings were tuned, on which frames, with which model seed.
    data, split
        sha256 of the data files, and of the split's record.
    n_validation
        HF validation frames that the trials were compared on; test frames were not looked at.
    loss
        Weights and forms of the validation loss, the same for every trial.
    sampler, sampler_seed, space, space_sha256
        How the trials were chosen, the same for every arm.
    core
        Network of the trials; None in files that do not say it.
    rule, atom_gradients, patience
        Budget of a run; `atom_gradients` by arm, since a ceiling may have another.
    rungs
        Trials and their share of that budget, rung by rung; empty in files from before there were rungs, in which
        `atom_gradients` is the budget of a trial.
    """

    command: str
    date: str
    versions: dict[str, str]
    preset: str
    regime: dict[str, Any]
    seed: int
    draw: int
    data: dict[str, str]
    split: str
    n_validation: PositiveInt
    loss: dict[str, Any]
    sampler: str
    sampler_seed: int
    space: str
    space_sha256: str
    rule: Rule
    atom_gradients: dict[str, PositiveFloat]
    patience: PositiveInt | None = None
    core: str | None = None
    rungs: list[TunedRung] = Field(default_factory=list)


class TunedArm(SettingsModel):
    """The best trial of an arm, and all others in short.

    Attributes
    ----------
    settings
        What was tuned, as settings of the arm.
    trials, failed, atom_gradients
        Number of trials, of those that failed, and what all of them spent.
    validation_loss, first_validation_loss
        Of the best trial and of the untuned settings (None if these lie outside the space).
    losses, shares
        Of each trial, None where it failed, and the largest share of a run's budget that it was trained with.
    """

    settings: dict[str, Any]
    trials: PositiveInt
    failed: NonNegativeInt
    atom_gradients: PositiveFloat
    validation_loss: float
    first_validation_loss: float | None
    losses: list[float | None]
    shares: list[PositiveFloat] = Field(default_factory=list)


class TunedSettings(SettingsModel):
    """Tuned settings of the arms on one task."""

    schema_version: Literal[1] = 1
    task: str
    provenance: Provenance
    arms: dict[str, TunedArm] = Field(min_length=1)
    source: str = Field("", exclude=True)

    @model_validator(mode="after")
    def _trials_are_equal(self) -> TunedSettings:
        counts = {name: arm.trials for name, arm in self.arms.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {n}" for name, n in counts.items())
            raise ValueError(f"the arms had different numbers of trials ({listed})")
        return self


def tuned_names() -> list[str]:
    """Tasks whose tuned settings come along."""
    folder = resources.files("mfbench.benchmarks.tuning") / "settings"
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(".yml") for entry in folder.iterdir() if entry.name.endswith(".yml"))


def load_tuned(name_or_path: str, task: str | None = None) -> TunedSettings:
    """Read tuned settings: those that come along by the task's name, or a file by its path.

    Raises
    ------
    ConfigError
        If there are none, the file is not valid (names file and key), or it is of another task than `task` (None: of
        any).
    DataError
        If the file was changed since it was written and does not say so.
    """
    if Path(name_or_path).is_file():
        source, text = name_or_path, read_document(Path(name_or_path))
    elif name_or_path in tuned_names():
        source = f"tuned settings of {name_or_path}"
        text = (resources.files("mfbench.benchmarks.tuning") / "settings" / f"{name_or_path}.yml").read_text(
            encoding="utf-8"
        )
    else:
        known = ", ".join(tuned_names()) or "none come along"
        raise ConfigError(
            f"tuned '{name_or_path}': no such file, nor a task with tuned settings ({known}); "
            "`mfbench tune` makes some."
        )
    try:
        found = TunedSettings.model_validate(
            check_editable(parse_yaml(text, source), source, "the file of tuned settings")
        )
    except ValidationError as error:
        raise ConfigError(f"{source}: {faults(error)}.") from error
    if task is not None and found.task != task:
        raise ConfigError(f"{source}: tuned on task '{found.task}', not on '{task}'.")
    return found.model_copy(update={"source": source})


def write_tuned(path: Path, tuned: TunedSettings) -> None:
    """Write tuned settings, whole."""
    content = sealed_first(tuned.model_dump(mode="json"))
    write_text(path, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))
