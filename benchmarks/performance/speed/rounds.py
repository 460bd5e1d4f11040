"""Rounds in which contenders take turns, so that what else the machine does hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mfbench.benchmarks.performance.speed.process import Answering, WorkerFailed
from mfbench.benchmarks.performance.speed.settings import QUANTITIES

#: By thread count (as text, for JSON), contender and quantity: wall s, CPU s and number of calls.
Round = dict[str, dict[str, dict[str, dict[str, float]]]]


def turns(names: Sequence[str], number: int) -> list[str]:
    """Order of the turns in a round: A B C in even rounds, C B A in odd ones."""
    return list(names) if number % 2 == 0 else list(reversed(names))


def one_round(
    workers: Mapping[str, Answering],
    threads: Sequence[int],
    number: int,
    seconds: float,
    told: Callable[[str], None] = lambda name: None,
) -> tuple[Round, dict[str, str]]:
    """Measure every contender once.

    Parameters
    ----------
    workers
        Contenders that are warm.
    threads
        Thread counts.
    number
        Of the round, from 0.
    seconds
        Wall time of each measurement; one call where a call takes longer.
    told
        Called with a contender's name after each of its turns.

    Returns
    -------
    times, failed
        Of those that answered, and by contender why it did not.
    """
    made: Round = {}
    failed: dict[str, str] = {}
    for count in threads:
        made[str(count)] = here = {}
        for name in turns(list(workers), number):
            if name not in failed:
                try:
                    here[name] = {
                        what: workers[name].ask(what=what, threads=count, seconds=seconds) for what in QUANTITIES
                    }
                except WorkerFailed as error:
                    failed[name] = str(error)
            told(name)
    for times in made.values():  # a round has all of a contender or nothing
        for name in failed:
            times.pop(name, None)
    return made, failed


def times_of(record: Mapping[str, Any], threads: int, contender: str, what: str, clock: str) -> list[float]:
    """Seconds per call of each stored round, "cpu_s" or "wall_s"."""
    rounds = [r[str(threads)] for r in record["rounds"]]
    return [r[contender][what][clock] for r in rounds if contender in r]
