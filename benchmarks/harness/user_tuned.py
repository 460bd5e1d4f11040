"""Tuned settings for runs on a user's own files: per arm, with what they were tuned on checked or said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness.plan import Tuning, merge
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.benchmarks.tuning.settings_file import TunedSettings, load_tuned
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.errors import ConfigError

_WEIGHTS = ("training", "loss", "fidelity_weights")


@dataclass(frozen=True)
class UserTuned:
    """Tuned settings that suit a user's files.

    Attributes
    ----------
    settings, tuning
        By arm.
    notes
        Sentences on where they are from, without a full stop.
    """

    settings: Mapping[str, Mapping[str, Any]]
    tuning: Mapping[str, Tuning]
    notes: tuple[str, ...]


def tuned_for(
    file: Path, own: Mapping[str, Any], fidelities: Sequence[str], arms: Sequence[str], cores: Sequence[str]
) -> UserTuned:
    """Read a file of tuned settings for arms on a user's files.

    A fidelity that settings name by the tuned task's name becomes the one in its place.

    Parameters
    ----------
    own
        Settings of all arms, which tuned ones go over.
    fidelities
        Of the user's files, cheapest first.
    arms
        Arms that are wanted; those that were not tuned have no entry in the result.
    cores
        Names of the networks that they are trained on.

    Raises
    ------
    ConfigError
        If the file cannot be read, or its settings were tuned on another core or name fidelities that cannot be told.
    """
    if not file.is_file():
        raise ConfigError(f"--tuned {file}: no such file; mfbench tune writes one.")
    tuned = load_tuned(str(file))
    for core in cores:
        if core != (on := tuned.provenance.core or DEFAULT):
            raise ConfigError(
                f"{file}: tuned on core '{on}', and core '{core}' is to be trained; give --core {on}, or settings that "
                f"were tuned on it (mfbench tune --core {core})."
            )
    settings, tuning = {}, {}
    for arm in (arm for arm in arms if arm in tuned.arms):
        found = tuned.arms[arm]
        settings[arm] = merge(own, _renamed(found.settings, tuned, fidelities))
        tuning[arm] = Tuning(tuned.source, found.trials, found.atom_gradients, tuned.provenance.data)
    if not settings:
        raise ConfigError(f"{file}: has no settings of {', '.join(arms)}, only of {', '.join(tuned.arms)}.")
    trials = next(iter(tuning.values())).trials
    note = (
        f"{file}: settings of {', '.join(settings)}, tuned on task '{tuned.task}' by {trials} trials each, not on your "
        "files: a comparison without them tells if they suit"
    )
    return UserTuned(settings, tuning, (note,))


def not_tuned(file: Path, arm: str) -> str:
    """Reason why an arm is left out of a comparison of tuned ones."""
    return f"{file} has no settings of it; arms are compared after equal numbers of trials"


def _renamed(settings: Mapping[str, Any], tuned: TunedSettings, fidelities: Sequence[str]) -> dict[str, Any]:
    """Settings whose weights of fidelities have the user's names."""
    inner: Any = settings
    for key in _WEIGHTS:
        inner = inner.get(key, {}) if isinstance(inner, Mapping) else {}
    if not inner:
        return dict(settings)
    theirs = make_task(tuned.task).fidelities
    names = dict(zip(reversed(theirs), reversed(fidelities), strict=False))
    if unknown := [name for name in inner if name not in names]:
        raise ConfigError(
            f"{tuned.source}: {'.'.join(_WEIGHTS)}.{unknown[0]}: the {len(fidelities)} levels of your files have none "
            f"in its place ({', '.join(theirs)} of task '{tuned.task}'); tune without weights of fidelities."
        )
    training = settings["training"]
    loss = {**training["loss"], "fidelity_weights": {names[name]: weight for name, weight in inner.items()}}
    return {**settings, "training": {**training, "loss": loss}}
