"""The potential that a command is given: a stored one, or a released model by its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mfbench
from mfbench.benchmarks.user.released import released_choice, released_potential
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import sha256_of
from mfbench.mfcore.locks import one_at_a_time
from mfbench.mfcore.potentials.potential import Potential
from mfbench.mfcore.potentials.stored import HEADER


@dataclass(frozen=True)
class Chosen:
    """A potential, and where it is from.

    Attributes
    ----------
    identity
        Says which it is: a hash, of a released model with its core and part.
    folder
        Of a stored one; None for a released model.
    """

    potential: Potential
    identity: str
    folder: Path | None

    @classmethod
    def of(cls, model: Path | None, core: str | None, checkpoint: str | None, trust: bool) -> Chosen:
        """Read what MODEL, --core, --checkpoint and --trust-checkpoint name.

        Raises
        ------
        ConfigError
            If they contradict each other, or there is no such core or checkpoint.
        DataError
            If it cannot be read.
        """
        if (model is None) == (checkpoint is None):
            raise ConfigError("expected MODEL, the folder of a potential, or --checkpoint, a released model; give one.")
        if model is not None:
            if core is not None or trust:
                raise ConfigError(f"{model}: --core and --trust-checkpoint are for --checkpoint.")
            return cls(mfbench.load(model), sha256_of(model / HEADER), model)
        assert checkpoint is not None
        choice = released_choice(core, checkpoint, trust=trust)
        found = choice.found_checkpoint
        part = f":{found.part}" if found is not None and found.part else ""
        return cls(released_potential(choice), f"{choice.name}:{choice.checkpoint_sha256}{part}", None)

    def level(self, fidelity: str | None) -> str:
        """Return the fidelity that is asked for, or the highest.

        Raises
        ------
        ConfigError
            If the potential does not answer for it, or needs labels of another level with every geometry.
        """
        known = self.potential.fidelities
        if fidelity is not None and fidelity not in known:
            raise ConfigError(f"--fidelity {fidelity}: this potential answers for {', '.join(known)}.")
        if self.potential.requires_low_labels:
            raise ConfigError(
                f"{self.folder}: this {self.potential.arm} potential needs '{self.potential.requires_low_labels[0]}' "
                "labels of every geometry, so that it can neither relax nor answer for other frames."
            )
        return fidelity or known[-1]

    def stored(self, folder: Path) -> Path:
        """Return a folder to load it from; a released model is stored in the given one, once."""
        if self.folder is not None:
            return self.folder
        with one_at_a_time(folder.with_name(f"{folder.name}.lock")):
            if not (folder / HEADER).exists():
                self.potential.save(folder)
        return folder
