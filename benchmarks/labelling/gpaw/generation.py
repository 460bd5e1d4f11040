"""How the data of a crystal task are made, step by step; what its module `generate` is made of.

    python -m mfbench.benchmarks.labelling.NAME.generate sample WHAT FOLDER   # frames found with a potential so far
    mfbench data generate NAME --out FOLDER                                   # label the others (GPAW; hours)
    python -m mfbench.benchmarks.labelling.NAME.generate convert FOLDER       # labels to the data file, dataset.yml

The first labels are those of the first round, which needs no potential: then sample and label in turns.

Labels that are finished before a plan is may be kept in the task's folder `pending` (*.jsonl, sampled-*.extxyz): they
are not computed again, and are no data of the task until they are converted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.io import read, write

from mfbench.benchmarks.labelling.gpaw.convert import convert, stored_labels
from mfbench.benchmarks.labelling.gpaw.dynamics_round import DynamicsRound, by_dynamics, sampler
from mfbench.benchmarks.labelling.gpaw.labels import LEVELS, Progress, compute, read_labels
from mfbench.benchmarks.tasks.crystals import OBSERVED
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import replacing

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

SAMPLED = "sampled-{}.extxyz"
PENDING = "pending"

Labels = dict[tuple[str, str], dict[str, Any]]


@dataclass(frozen=True)
class Crystal:
    """Contents of the data of a crystal task.

    Attributes
    ----------
    name, title
        Of the task.
    home
        Its folder.
    first
        Makes the frames of the first round.
    rounds
        By name, the plans of what is sampled by dynamics.
    stress
        Whether PBE's stress is a label.
    special
        By name, what makes further frames with a trained potential: frames with `levels` are labelled, others are
        written beside the data file as they are.
    covered
        Tells which frames are in coverage: both sides are labelled in turns.
    settings
        Of the labels, in place of some of `mfbench.benchmarks.labelling.gpaw.worker.SETTINGS`.
    """

    name: str
    title: str
    home: Path
    first: Callable[[], list[Atoms]]
    rounds: Callable[[], Mapping[str, DynamicsRound]]
    stress: bool
    special: Mapping[str, Callable[[Potential], list[Atoms]]]
    covered: Callable[[Atoms], bool]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def geometries(self, folder: Path | None = None, out: Path | None = None) -> list[Atoms]:
        """All frames to label: first round, what was sampled (pending or in `out`), what else the data file has."""
        frames = self.first()
        for place in (self.home / PENDING, *([] if out is None else [out])):
            for path in sorted(place.glob(SAMPLED.format("*"))):
                known = {id_of(a) for a in frames}
                frames += [a for a in read(path, ":") if id_of(a) not in known]
        path = (folder or self.home) / "data" / f"{self.name}.extxyz"
        known = {id_of(a) for a in frames}
        later = [a for a in read_frames(path) if id_of(a) not in known] if path.exists() else []
        for atoms in later:
            atoms.info["levels"] = "+".join(level for level in LEVELS if f"{level}_energy" in atoms.info)
        return [*frames, *later]

    def generate(
        self,
        out: Path,
        levels: Sequence[str],
        workers: int = 1,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Compute the labels that there are not yet; see `labels.compute`.

        Frames for both levels come first, the kinds and sides of the coverage in turns, so that a part of the labels
        is a smaller data set of the same shape.
        """
        known = self._known(self.home)
        left = [a for a in self.geometries(out=out) if any((id_of(a), level) not in known for level in _levels(a))]
        turns: dict[tuple[bool, str, bool], list[Atoms]] = {}
        for atoms in left:
            key = (_levels(atoms) != [*LEVELS], str(atoms.info.get("kind", "")), not self.covered(atoms))
            turns.setdefault(key, []).append(atoms)
        frames = [
            atoms
            for low_only in (False, True)
            for atoms in chain(*zip_longest(*(turns[key] for key in sorted(turns) if key[0] == low_only)))
            if atoms is not None
        ]
        return compute(frames, out, levels, workers, limit, progress, known, self.settings)

    def _known(self, folder: Path, out: Path | None = None) -> Labels:
        """Labels in `out`, pending ones, and those of the data file of `folder`, which stand before the others."""
        return (read_labels(out) if out else {}) | read_labels(self.home / PENDING) | stored_labels(folder, self.name)

    def sample(self, out: Path, name: str) -> Path:
        """Train a potential on all labels, those in `out` included, and write the frames that it finds.

        Parameters
        ----------
        name
            Of a round, or of special frames.

        Returns
        -------
        Path
            File in `out`, or beside the data file for frames that need no labels.

        Raises
        ------
        ConfigError
            If there is nothing of such a name.
        """
        rounds = self.rounds()
        if name not in (*rounds, *self.special):
            raise ConfigError(f"nothing to sample named '{name}': {', '.join([*rounds, *self.special])}.")
        labels = self._known(self.home, out)
        frames = read_frames(self._written(labels, self.geometries(out=out), out / "labelled"))
        ordinary = [a for a in frames if a.info.get("kind") not in OBSERVED]
        potential = sampler(ordinary, "EFS" if self.stress else "EF")
        found = by_dynamics(rounds[name], potential, ordinary) if name in rounds else self.special[name](potential)
        labelled = all("levels" in atoms.info for atoms in found)
        path = out / SAMPLED.format(name) if labelled else self.home / "data" / f"{name}.extxyz"
        with replacing(path) as fresh:
            write(fresh, found, format="extxyz")
        return path

    def main(self) -> None:
        """Command line: label, sample, convert."""
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        verbs = parser.add_subparsers(required=True, dest="verb")
        labelled = verbs.add_parser("label", help="compute labels, as `mfbench data generate` does")
        labelled.add_argument("labels", type=Path)
        labelled.add_argument("--workers", type=int, default=1, help="labels computed at once, one thread each")
        labelled.add_argument("--limit", type=int, help="compute at most so many labels")
        labelled.add_argument("--level", action="append", choices=LEVELS, help="only this level")
        sampled = verbs.add_parser("sample", help="train a potential, and find frames with it")
        sampled.add_argument("name", choices=[*self.rounds(), *self.special])
        sampled.add_argument("labels", type=Path)
        made = verbs.add_parser("convert", help="add labels to the data file and dataset.yml")
        made.add_argument("labels", type=Path)
        made.add_argument("--into", type=Path, default=self.home)
        arguments = parser.parse_args()
        if arguments.verb == "label":
            levels = arguments.level or LEVELS
            made_at = self.generate(arguments.labels, levels, arguments.workers, arguments.limit, _told())
            sys.stdout.write(f"{made_at}\n")
            return
        if arguments.verb == "sample":
            sys.stdout.write(f"{self.sample(arguments.labels, arguments.name)}\n")
            return
        self.converted(arguments.labels, arguments.into)

    def converted(self, out: Path, folder: Path | None = None) -> Path:
        """Write the data file and dataset.yml of a folder, the task's own if none is named, with all labels."""
        folder = folder or self.home
        return self._written(self._known(folder, out), self.geometries(folder, out), folder)

    def _written(self, labels: Mapping[tuple[str, str], dict[str, Any]], frames: Sequence[Atoms], folder: Path) -> Path:
        return convert(self.name, self.title, frames, labels, folder, stress=self.stress, settings=self.settings)


def _told() -> Progress:
    """Tell on stderr how many labels there are, each time that there is another."""
    last = -1

    def told(done: int, total: int, what: str) -> None:
        nonlocal last
        if done != last:
            sys.stderr.write(f"{done} of {total} labels ({what})\n")
            last = done

    return told


def _levels(atoms: Atoms) -> list[str]:
    return str(atoms.info["levels"]).split("+")
