"""Networks that a user's files are trained on, and the checkpoints that these start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.benchmarks.harness.cores import CoreEntry, core_of, entry_of
from mfbench.benchmarks.user.telling import Telling
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import LabelSet
from mfbench.strategies.starting_point import examine, sentences


def chosen_cores(
    core: Sequence[str] | None, checkpoint: str | None, own: Mapping[str, Any], trust: bool
) -> list[CoreEntry]:
    """Return the networks that --core and --checkpoint name; none where they name none.

    Raises
    ------
    ConfigError
        If a checkpoint is given for several cores, or cannot be found or read.
    """
    names = list(dict.fromkeys(core or ()))
    if checkpoint is None:
        return [entry_of(name) for name in names]
    if len(names) > 1:
        raise ConfigError(f"--checkpoint {checkpoint}: it is of one core, and {len(names)} are given by --core.")
    entry = entry_of({"name": names[0] if names else core_of(own).name, "checkpoint": checkpoint})
    if trust:
        core_class(entry.name).trust_checkpoint(checkpoint)
    core_class(entry.name).find_checkpoint(checkpoint)
    return [entry]


def say_start(
    telling: Telling, settings: Mapping[str, Any], frames: Sequence[Atoms], fidelity: str, labels: LabelSet
) -> None:
    """Say how a checkpoint's answers compare with the labels, before it is trained.

    Parameters
    ----------
    settings
        Of an arm, with the core.
    frames
        HF frames.
    """
    choice = CoreChoice.model_validate(settings["core"])
    if choice.checkpoint is None:
        return
    with telling.waiting(f"Reading {choice.checkpoint}"):
        species = tuple(int(z) for z in np.unique(np.concatenate([a.numbers for a in frames])))
        start = examine(choice.build(species, (fidelity,), "none", 20.0), frames, fidelity, labels)
    if said := sentences(start, choice.checkpoint, fidelity):
        telling.say(f"{'; '.join(said)}.")
