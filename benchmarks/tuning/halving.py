"""Successive halving: little compute on bad settings, a whole budget on the finalists, the same for every arm.

Rungs are closed one after another (Jamieson and Talwalkar, AISTATS 2016, arXiv 1502.07943). An asynchronous pruner
would promote more or fewer trials as their results come in, so that arms would get different compute. A trial that is
promoted is trained again, from its first stage to its last, with the larger budget: a training that is cut short says
who learns fast, and its learning rate has not yet fallen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

REDUCTION = 3
"""Trials of a rung over those of the next, which have so many times the budget."""

LEAST = 2
"""Trials of every rung, at least, if there are so many: the best, and the untuned settings."""


@dataclass(frozen=True)
class Rung:
    """So many trials, each with this share of the budget of a run."""

    share: float
    trials: int


def rungs_of(trials: int, first_share: float, reduction: int = REDUCTION) -> tuple[Rung, ...]:
    """Plan the rungs; the last has the whole budget.

    Parameters
    ----------
    trials
        Settings that are tried.
    first_share
        Budget of the first rung's trials, as a share of a run's, in (0, 1]; 1: one rung.
    reduction
        How many times fewer trials, of so many times the budget, a rung has than the one before.
    """
    found = [Rung(first_share, trials)]
    while found[-1].share < 1.0:
        share = found[-1].share * reduction
        if share * math.sqrt(reduction) > 1.0:  # no rung so near below the last one
            share = 1.0
        last = found[-1].trials
        found.append(Rung(share, max(min(LEAST, last), math.ceil(last / reduction))))
    return tuple(found)


def spending(rungs: tuple[Rung, ...]) -> float:
    """Compute of all rungs, in budgets of a run."""
    return sum(rung.share * rung.trials for rung in rungs)


def promoted(losses: Mapping[int, float | None], places: int, always: int | None) -> list[int]:
    """Numbers of the trials that go on to the next rung, ascending.

    Parameters
    ----------
    losses
        By number of the trial; None: it failed, and does not go on.
    places
        How many may go on.
    always
        One that goes on if it has not failed, whatever its loss: the untuned settings, so that the search ends with
        nothing that is worse.
    """
    finished = {number: loss for number, loss in losses.items() if loss is not None}
    order = sorted(finished, key=lambda number: (number != always, finished[number], number))
    return sorted(order[:places])
