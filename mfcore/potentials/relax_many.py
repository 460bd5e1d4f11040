"""Relaxation of many frames at once: each goes its own way by ASE's optimizer, and networks see them in batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

from ase import Atoms

from mfbench.mfcore.data.structures import Frame
from mfbench.mfcore.potentials.calculator import PotentialCalculator
from mfbench.mfcore.potentials.relax import How, Relaxation, quiet, relaxed, started

BATCH_ATOMS = 256
"""Atoms that are evaluated together."""


def relax_many(
    frames: Iterable[Frame], calculator: Any, how: How | None = None, *, batch_atoms: int = BATCH_ATOMS
) -> Iterator[tuple[int, Relaxation]]:
    """Relax frames as :func:`mfbench.mfcore.potentials.relax.relax` does, and give each as soon as it is done.

    The steps of a frame are those that it takes alone, but for the rounding of batches. As many are on their way as
    `batch_atoms` allow, one at least; where one is done, the next begins. With another calculator than a potential's,
    which takes one frame at a time, frames are relaxed one after the other.

    Parameters
    ----------
    frames
        Starts; not changed.
    calculator
        Energy, forces, and for periodic atoms stress.
    how
        Settings; those of :func:`~mfbench.mfcore.potentials.relax.relax` where there are none.
    batch_atoms
        Most atoms of the frames that are on their way.

    Yields
    ------
    tuple
        Number of the frame, and where its relaxation ended, the first done first.

    Raises
    ------
    DataError
        If a start cannot be.
    """
    how = how or How()
    if not isinstance(calculator, PotentialCalculator):
        for number, frame in enumerate(frames):
            start = started(frame)
            with quiet():
                found = relaxed(start, calculator, how)
            yield number, found
        return
    starts = ((number, started(frame)) for number, frame in enumerate(frames))
    yield from _Relaxations(calculator, how, batch_atoms).run(starts)


class _Stopped(BaseException):
    """Ends the thread of a relaxation that nobody waits for any more."""


class _Way:
    """A relaxation on its way, in a thread that runs only while the one that evaluates waits for it."""

    def __init__(self, number: int, atoms: Atoms, calculator: PotentialCalculator, how: How, told: Any) -> None:
        self.number, self.atoms, self.size = number, atoms, len(atoms)
        self.results: dict[str, Any] = {}
        self._calculator, self._told = calculator, told
        self._answer: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(how,), daemon=True, name=f"relaxation {number}")

    def start(self) -> None:
        """Begin; it tells of itself, of atoms to evaluate or of its end."""
        self._thread.start()

    def answer(self, found: Any) -> None:
        """Go on with results, or with an exception."""
        self._answer.put(found)

    def join(self) -> None:
        """Wait for the end of its thread."""
        self._thread.join()

    def calculate(self, atoms: Atoms, properties: Sequence[str], system_changes: Sequence[str]) -> None:
        """As of ASE's calculators: ask for results, and wait for them."""
        del properties
        self._calculator.check_changed(atoms, system_changes)
        self._told.put((self, atoms, None))
        found = self._answer.get()
        if isinstance(found, BaseException):
            raise found
        self.results = found

    def _run(self, how: How) -> None:
        end: Relaxation | BaseException
        try:
            end = relaxed(self.atoms, self, how)
        except BaseException as error:  # it is raised where somebody waits
            end = error
        self._told.put((self, None, end))


class _Relaxations:
    """Relaxations on their way, and the turns that they take with the networks."""

    def __init__(self, calculator: PotentialCalculator, how: How, batch_atoms: int) -> None:
        self._calculator, self._how, self._batch_atoms = calculator, how, batch_atoms
        self._told: SimpleQueue[tuple[_Way, Atoms | None, Relaxation | BaseException | None]] = SimpleQueue()
        self._asking: dict[_Way, Atoms] = {}

    def run(self, starts: Iterator[tuple[int, Atoms]]) -> Iterator[tuple[int, Relaxation]]:
        """Relax all; ends the threads also where the caller takes no further ones."""
        waiting = next(starts, None)
        try:
            while waiting is not None or self._asking:
                begun = []
                atoms = sum(way.size for way in self._asking)
                while waiting is not None and (not atoms or atoms + len(waiting[1]) <= self._batch_atoms):
                    begun.append(_Way(*waiting, self._calculator, self._how, self._told))
                    atoms += begun[-1].size
                    waiting = next(starts, None)
                yield from self._turn(begun)
        finally:
            for way in list(self._asking):
                way.answer(_Stopped())
                way.join()

    def _turn(self, begun: Sequence[_Way]) -> list[tuple[int, Relaxation]]:
        """Answer those that ask, and let them and new ones run until each asks again or is done."""
        asked = dict(self._asking)
        answers = self._calculator.calculate_many(list(asked.values())) if asked else []
        done: list[tuple[int, Relaxation]] = []
        failed: BaseException | None = None
        with quiet():  # of all threads: these settings are the process's
            self._asking.clear()
            for way in begun:
                way.start()
            for way, found in zip(asked, answers, strict=True):
                way.answer(found)
            for _ in range(len(begun) + len(asked)):
                way, atoms, end = self._told.get()
                if atoms is not None:
                    self._asking[way] = atoms
                elif isinstance(end, Relaxation):
                    done.append((way.number, end))
                else:
                    failed = end
        if failed is not None:
            raise failed
        return done
