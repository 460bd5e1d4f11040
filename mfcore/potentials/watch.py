"""Looking for frames that a potential was not trained for, and telling of each kind once."""

from __future__ import annotations

from mfbench.mfcore.data.batch import Batch
from mfbench.mfcore.potentials.coverage import Coverage
from mfbench.mfcore.potentials.proximity import Proximity


class Watch:
    """Says what of a batch is unlike all training frames, each kind of it the first time only.

    Parameters
    ----------
    proximity
        Finder of atoms that are too close.
    coverage
        Finder of surroundings that no training frame has.
    """

    def __init__(self, proximity: Proximity, coverage: Coverage) -> None:
        self._proximity: Proximity | None = proximity
        self._coverage = coverage
        self._told = set[str]()

    def look(self, batch: Batch, where: str = "") -> list[str]:
        """Return sentences without a full stop; `where` follows the distance of atoms that are too close."""
        said = []
        if self._proximity is not None and (near := self._proximity.find(batch)):
            said.append(near.sentence(where))
            self._proximity = None
        for unseen in self._coverage.find(batch):
            if unseen.kind not in self._told:
                said.append(unseen.sentence(f"a frame{where} has "))
                self._told.add(unseen.kind)
        return said
