"""Columns of the long rows that reports need, and how a regime is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mfbench.benchmarks.harness.columns import RULES
from mfbench.benchmarks.harness.rules import selected_by
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.data.splits import SPLIT_RULE

if TYPE_CHECKING:
    from pandas import DataFrame

REGIME = ("task", "core", "n_low", "labels", "pairing", "coverage", "e0", *RULES, "selection", "budget")
"""Columns that two runs must share, beside the HF set size, to stand in one table."""

TODAY = {"selected_by": selected_by({}), "split_rule": SPLIT_RULE}
"""Rules of runs that are computed now; titles of tables name others."""

NEEDED = (*REGIME, "n_high", "arm", "seed", "draw", "split", "metric", "value", "status", "run_key")

ALL = "all"
"""HF set size of a run that takes every frame that its coverage allows."""


def regime_title(regime: Mapping[str, str], n_high: str | None = None) -> str:
    """Write a regime in one line, with the HF set size if one is given."""
    parts = [regime["task"], *([f"n_high = {n_high}"] if n_high is not None else [])]
    if regime["core"] != DEFAULT:
        parts.append(f"core {regime['core']}")
    if "," in regime["labels"]:  # else there is no cheaper level
        parts.append(f"n_low = {regime['n_low']}")
    parts += [regime["labels"], regime["pairing"], f"coverage {regime['coverage']}"]
    if regime["e0"] != "default":
        parts.append(f"E0 {regime['e0']}")
    parts += other_rules(regime)
    if regime["selection"] != "default":
        parts.append(f"selection {regime['selection']}")
    if regime["budget"] != "default":
        parts.append(f"budget {budget_words(regime['budget'])}")
    return ", ".join(parts)


def other_rules(regime: Mapping[str, str]) -> list[str]:
    """Name the rules of a regime that are not those of runs that are computed now, nor an axis of the comparison."""
    words = {"selected_by": "weights selected by {}", "split_rule": "split rule {}"}
    known = {name: regime.get(name, "") for name in RULES}
    expected = TODAY | ({"selected_by": regime["selection"]} if regime.get("selection", "default") != "default" else {})
    return [words[name].format(value) for name, value in known.items() if value not in ("", expected[name])]


def budget_key(name: str) -> float:
    """Atom gradients of a budget by its name; NaN where budgets are no axis."""
    try:
        return float(name)
    except ValueError:
        return math.nan


def budget_words(name: str) -> str:
    """Write a budget for people, as in "3·10⁵ atom gradients"."""
    mantissa, _, exponent = f"{float(name):.6e}".partition("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    factor = f"{float(mantissa):g}"
    return f"{'' if factor == '1' else f'{factor}·'}10{power} atom gradients"


def size_key(n: str) -> float:
    """Sort key of a set size; "all" comes last."""
    try:
        return float(n)
    except ValueError:
        return math.inf


def told_apart(rows: DataFrame) -> DataFrame:
    """Name the rules of runs that did not record them, where other runs of the rows did."""
    change = {
        name: rows[name].replace("", "not recorded")
        for name in RULES
        if len(found := set(rows[name])) > 1 and "" in found
    }
    return rows.assign(**change) if change else rows
