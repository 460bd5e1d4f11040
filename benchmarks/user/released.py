"""A released model as a potential, without any fit: its checkpoint's function and its own reference energies."""

from __future__ import annotations

from mfbench.benchmarks.user.networks import chosen_cores
from mfbench.mfcore.cores.choice import CoreChoice
from mfbench.mfcore.cores.registry import core_class
from mfbench.mfcore.potentials.potential import Component, Potential

ARM = "released"
"""Name of the arm of such a potential, and of its only fidelity."""

_NEIGHBOURS = 20.0


def released_choice(core: str | None, checkpoint: str, *, trust: bool = False) -> CoreChoice:
    """Find a released model.

    Parameters
    ----------
    core, checkpoint, trust
        As --core, --checkpoint and --trust-checkpoint of `mfbench fit`.

    Raises
    ------
    ConfigError
        If there is no such core or checkpoint, or the core starts from none.
    DataError
        If the checkpoint cannot be read.
    """
    (entry,) = chosen_cores(None if core is None else [core], checkpoint, {}, trust)
    return CoreChoice(name=entry.name, checkpoint=checkpoint)


def released_potential(choice: CoreChoice) -> Potential:
    """Make the potential of a released model, for all elements that it knows.

    Raises
    ------
    ConfigError
        If its core starts from no checkpoint.
    """
    found = choice.found_checkpoint
    assert found is not None
    species = core_class(choice.name).elements_of(found)
    network = choice.build(species, (ARM,), "none", _NEIGHBOURS)
    record = {"checkpoint": choice.checkpoint, "checkpoint_sha256": choice.checkpoint_sha256}
    return Potential(ARM, [network.freeze()], {ARM: (Component(0, ARM),)}, record=record)
