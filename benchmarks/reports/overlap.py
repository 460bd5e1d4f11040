"""Overlap of draws: the share of their HF training frames that two draws have in common, on average.

Draws that are the same frames say nothing of other frames: what varies between their runs is the seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from mfbench.benchmarks.harness.frames_used import of_ranges

if TYPE_CHECKING:
    from pandas import DataFrame

SAME = 0.85
"""Overlap from which on draws count as the same frames, and repeats as seeds."""

LARGE = 0.5
"""Overlap beyond which intervals are much shorter than those over draws without common frames: it is said."""


@dataclass(frozen=True)
class Overlap:
    """Overlap of the draws of some runs.

    Attributes
    ----------
    shared
        Mean over pairs of draws: number of HF training frames in common, over that of the smaller set. NaN where the
        frames are not recorded, or there is one draw.
    n_draws
        Draws whose frames are recorded.
    several
        Draws whose runs were not trained on the same HF frames: they were chosen by other rules.
    """

    shared: float = math.nan
    n_draws: int = 0
    several: tuple[int, ...] = ()

    @property
    def over(self) -> Literal["draws", "seeds"]:
        """Name of the repeats."""
        return "seeds" if self.shared >= SAME else "draws"

    def sentences(self, n_runs_draws: int) -> list[str]:
        """Say how much the draws have in common; nothing of a single draw.

        Parameters
        ----------
        n_runs_draws
            Number of draws that the runs are of.
        """
        found = []
        if self.several:
            listed = ", ".join(map(str, self.several))
            found.append(f"Runs of draw {listed} were trained on different HF frames: their means are of mixed rules.")
        if n_runs_draws < 2:
            return found
        if math.isnan(self.shared):
            return [*found, "Overlap of the draws' HF training frames: not recorded."]
        words = (
            f"Overlap of the draws' HF training frames: {self.shared:.2f} (shared fraction, mean over pairs of draws)"
        )
        if self.shared >= SAME:
            words += "; they are nearly the same frames, and what is repeated is the seed"
        elif self.shared > LARGE:
            words += "; the intervals say little of other HF frames"
        return [*found, f"{words}."]


def overlap_of(frames: DataFrame) -> Overlap:
    """Compare the HF training frames of draws.

    Parameters
    ----------
    frames
        The detail `frames` of the runs of one regime and HF set size, ceilings left out.
    """
    if not len(frames):
        return Overlap()
    target = {str(name) for name in frames.loc[frames["part"] == "validation", "fidelity"]}
    lines = frames[(frames["part"] == "train") & frames["fidelity"].isin(target)]
    by_draw: dict[int, set[frozenset[int]]] = {}
    for draw, text in lines[["draw", "frames"]].drop_duplicates().itertuples(index=False):
        by_draw.setdefault(int(draw), set()).add(of_ranges(str(text)))
    several = tuple(sorted(draw for draw, found in by_draw.items() if len(found) > 1))
    sets = [next(iter(found)) for found in by_draw.values()]
    shares = [len(a & b) / min(len(a), len(b)) for a, b in combinations(sets, 2)]
    return Overlap(sum(shares) / len(shares) if shares else math.nan, len(sets), several)
