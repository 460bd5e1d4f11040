"""Checkpoints that arms start from: an LF stage that the user has not paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.harness.columns import STARTS_FROM
from mfbench.benchmarks.reports.arms import in_order, traits
from mfbench.benchmarks.reports.blocks import LEVEL
from mfbench.benchmarks.reports.rows import REGIME
from mfbench.mfcore.cores.registry import DEFAULT

if TYPE_CHECKING:
    from mfbench.benchmarks.reports.results import Part, Results

QUANTITY = "lf_stage_0_paid_by_others"
"""Name in records of what a checkpoint costs whoever starts from it."""


def starts(part: Part) -> dict[str, list[str]]:
    """Arms that start from a checkpoint, by its name."""
    found = part.rows.loc[part.rows[STARTS_FROM] != "", [STARTS_FROM, "arm"]].drop_duplicates()
    names = sorted({str(name) for name in found[STARTS_FROM]})
    return {name: in_order(str(arm) for arm in found.loc[found[STARTS_FROM] == name, "arm"]) for name in names}


def uses_low(part: Part, arm: str) -> bool:
    """Say whether an arm's runs learned from the user's LF labels: a checkpoint may stand in their place."""
    known = traits(arm)
    return known.uses_low and not (known.only_low_stage and any(arm in arms for arms in starts(part).values()))


def paid_by_others(part: Part) -> list[str]:
    """Sentences that say what the costs of a regime leave out: labels and training of checkpoints."""
    own = part.regime["core"].partition("(")[0] == DEFAULT  # whose checkpoints `mfbench fit` has made
    payer = "paid before this comparison" if own else "paid by others"
    return [
        f"LF stage 0 of {', '.join(arms)} is the checkpoint {name}, {payer}: its labels and its training count 0 CPU-s "
        "here."
        for name, arms in starts(part).items()
    ]


def tidy_starts(results: Results) -> list[dict[str, Any]]:
    """Write the cost of checkpoints to whoever starts from them, nothing, as records; keys as of other records."""
    nothing = {"estimate": 0.0, "low": 0.0, "high": 0.0, "level": LEVEL, "interval_over": "none", "n_groups": 0}
    return [
        {name: part.regime[name] for name in REGIME}
        | {"n_high": n_high, "arm": arm, "quantity": QUANTITY, "split": "", "unit": "CPU-s"}
        | nothing
        | {"best_or_tied": False, STARTS_FROM: name}
        for part in results.regimes
        for name, arms in starts(part).items()
        for arm in arms
        for n_high in part.sizes_of_arm(arm)
    ]
