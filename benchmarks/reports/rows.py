"""Reading the long rows: which regime, which arms, and the value of each run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfbench.benchmarks.reports.arms import ceilings, in_order
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

REGIME = ("task", "n_low", "labels", "pairing", "coverage", "e0")
"""What two runs must share, beside the HF set size, to stand in one table."""

NEEDED = (*REGIME, "n_high", "arm", "seed", "draw", "split", "metric", "value", "status", "run_key")

ALL = "all"
"""HF set size of a run that takes every frame that its coverage allows."""


@dataclass(frozen=True)
class Cell:
    """One table: a regime and an HF set size, with its rows and those of the ceiling of the same regime."""

    regime: dict[str, str]
    n_high: str
    rows: DataFrame

    @property
    def title(self) -> str:
        """Regime in one line."""
        return regime_title(self.regime, self.n_high)


def regime_title(regime: Mapping[str, str], n_high: str | None = None) -> str:
    """Write a regime in one line, with the HF set size if one is given."""
    parts = [regime["task"], *([f"n_high = {n_high}"] if n_high is not None else [])]
    parts += [f"n_low = {regime['n_low']}", regime["labels"], regime["pairing"], f"coverage {regime['coverage']}"]
    if regime["e0"] != "default":
        parts.append(f"E0 {regime['e0']}")
    return ", ".join(parts)


def check(rows: DataFrame) -> None:
    """Raise a `ConfigError` that names the columns which a report needs and `rows` lacks."""
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise ConfigError(f"rows: no column {', '.join(missing)}; expected the rows that `mfbench run` stores.")


def regimes(rows: DataFrame) -> Iterator[tuple[dict[str, str], DataFrame]]:
    """Go through the regimes (all but the HF set size) in the order of their names, each with its rows."""
    check(rows)
    for values, part in rows.groupby(list(REGIME), sort=True, dropna=False):
        yield dict(zip(REGIME, (str(value) for value in values), strict=True)), part


def cells(rows: DataFrame) -> Iterator[Cell]:
    """Go through the tables: each regime, its HF set sizes ascending; the ceiling stands in each of them."""
    for regime, part in regimes(rows):
        ceiling = of_ceilings(part)
        sizes = sorted({str(n) for n in part.loc[~ceiling, "n_high"]}, key=size_key)
        for size in sizes or sorted({str(n) for n in part["n_high"]}, key=size_key):
            yield Cell(regime, size, part[(part["n_high"].astype(str) == size) | ceiling])


def size_key(n: str) -> float:
    """Sort key of a set size; "all" comes last."""
    try:
        return float(n)
    except ValueError:
        return math.inf


def sizes_of(rows: DataFrame) -> list[int]:
    """HF set sizes of the arms that have a curve, ascending; without "all", whose number rows do not have."""
    found = {str(n) for n in rows.loc[~of_ceilings(rows), "n_high"]}
    return sorted(int(n) for n in found if math.isfinite(size_key(n)))


def places_of(rows: DataFrame) -> dict[str, float]:
    """Where each HF set size of the arms that have a curve stands on a logarithmic axis, ascending.

    Rows do not say how many "all" are: it stands beyond the others, at half of the last distance.
    """
    numbers = sizes_of(rows)
    places = {str(n): float(n) for n in numbers}
    if ALL in {str(n) for n in rows.loc[~of_ceilings(rows), "n_high"]}:
        first, last = ([1, 4] if len(numbers) < 2 else numbers)[-2:]
        places[ALL] = (numbers[-1] if numbers else 1) * math.sqrt(last / first)
    return places


def arms_of(rows: DataFrame) -> list[str]:
    """Arms in their natural order: the floor, the reference, the others by name, the ceiling."""
    return in_order(str(arm) for arm in rows["arm"].unique())


def of_ceilings(rows: DataFrame) -> Series:
    """Mark the rows of arms that are given every HF label."""
    return rows["arm"].isin(ceilings(str(arm) for arm in rows["arm"].unique()))


def runs_of(rows: DataFrame, arm: str, split: str, metric: str) -> dict[tuple[int, int], float]:
    """Value of each finished run of an arm by (draw, seed); one that is not finite is left to `failures_of`."""
    chosen = rows[(rows["arm"] == arm) & (rows["split"] == split) & (rows["metric"] == metric)]
    return {
        (int(draw), int(seed)): float(value)
        for draw, seed, value, status in zip(
            chosen["draw"], chosen["seed"], chosen["value"], chosen["status"], strict=True
        )
        if status == "finished" and math.isfinite(value)
    }


def cost_runs(rows: DataFrame, arm: str, column: str) -> dict[tuple[int, int], float]:
    """Value of a cost column of each finished run of an arm by (draw, seed), where it is known."""
    chosen = rows[(rows["arm"] == arm) & (rows["status"] == "finished")].drop_duplicates("run_key")
    return {
        (int(draw), int(seed)): float(value)
        for draw, seed, value in zip(chosen["draw"], chosen["seed"], chosen[column], strict=True)
        if math.isfinite(value)
    }


def counts_of(rows: DataFrame, arm: str) -> tuple[int, int]:
    """Count an arm's runs: (all, failed). A run that scored NaN or infinity has failed as well."""
    chosen = rows[rows["arm"] == arm]
    broken = (chosen["status"] != "finished") | ~chosen["value"].map(math.isfinite)
    return int(chosen["run_key"].nunique()), int(chosen.loc[broken, "run_key"].nunique())
