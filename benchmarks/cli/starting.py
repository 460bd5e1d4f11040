"""Networks and the checkpoints that they start from, as options of `mfbench compare` and `fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ase import Atoms
    from rich.console import Console

    from mfbench.benchmarks.harness.cores import CoreEntry
    from mfbench.mfcore.fidelity import LabelSet

Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="Weights that the network starts from: a file, a folder that mfbench fit wrote, or a name that the core "
        "knows (sevennet: SevenNet-0, SevenNet-MF-0:PBE); :PART chooses a modality, head or level of it.",
        show_default="random weights",
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust-checkpoint", help="Read a checkpoint that is a pickle, and so executes the code in it."),
]


def chosen_cores(
    core: Sequence[str] | None, checkpoint: str | None, own: Mapping[str, Any], trust: bool
) -> list[CoreEntry]:
    """Networks that --core and --checkpoint name; none where they name none.

    Raises
    ------
    ConfigError
        If a checkpoint is given for several cores, or cannot be found or read.
    """
    from mfbench.benchmarks.harness.cores import core_of, entry_of
    from mfbench.mfcore.cores.registry import core_class
    from mfbench.mfcore.errors import ConfigError

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
    console: Console, settings: Mapping[str, Any], frames: Sequence[Atoms], fidelity: str, labels: LabelSet
) -> None:
    """Say how a checkpoint's answers compare with the labels, before it is trained.

    Parameters
    ----------
    settings
        Of an arm, with the core.
    frames
        HF frames.
    """
    import numpy as np

    from mfbench.mfcore.cores.choice import CoreChoice
    from mfbench.strategies.starting_point import examine, sentences

    choice = CoreChoice.model_validate(settings["core"])
    if choice.checkpoint is None:
        return
    with console.status(f"Reading {choice.checkpoint}"):
        species = tuple(int(z) for z in np.unique(np.concatenate([a.numbers for a in frames])))
        start = examine(choice.build(species, (fidelity,), "none", 20.0), frames, fidelity, labels)
    for line in sentences(start, choice.checkpoint, fidelity):
        console.print(f"{line}.", markup=False, highlight=False, soft_wrap=True)
