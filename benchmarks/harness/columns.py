"""Columns of stored tables: those that say which run a line belongs to, and those of the details of observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.harness import frames_used
from mfbench.benchmarks.observables.registry import observables
from mfbench.mfcore.cores.registry import DEFAULT
from mfbench.mfcore.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame

RUN_COLUMNS = (
    *("run_key", "task", "core", "arm", "n_low", "n_high", "labels", "pairing", "coverage"),
    *("e0", "selection", "budget", "seed", "draw"),
)
"""Columns that say, in rows and in details, which run a line belongs to."""


_LATER = {"core": ("task", DEFAULT), "selection": ("e0", "default"), "budget": ("selection", "default")}
"""Columns that not all stored tables have: the column that each follows, and the value of a table without it."""


def with_every_axis(table: DataFrame) -> DataFrame:
    """Give rows or a detail the columns of cores, selection and budgets; from before there were any, one value each."""
    for name, (before, value) in _LATER.items():
        if name not in table.columns and before in table.columns:
            table = table.copy()
            table.insert(list(table.columns).index(before) + 1, name, value)
        elif name == "budget" and name in table.columns:  # numbers, where all of a file's are
            table = table.assign(budget=table[name].map(_budget_name))
    return table


def _budget_name(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


RULES = ("selected_by", "split_rule")
"""Columns of rows that say by which rules weights were selected and frames chosen; "" where it was not recorded."""

STARTS_FROM = "starts_from"
"""Column of rows with the checkpoint that an arm's network started from; "" for random weights, or not recorded."""


def with_rules(table: DataFrame) -> DataFrame:
    """Give rows the columns of rules and of the start; from before they were recorded, they are not known."""
    names = (*RULES, STARTS_FROM)
    known = {name: table[name].fillna("").astype(str) if name in table.columns else "" for name in names}
    if all(name in table.columns for name in names):
        return table.assign(**known)
    place = list(table.columns).index("draw") + 1 if "draw" in table.columns else len(table.columns)
    rest = table.drop(columns=[name for name in names if name in table.columns])
    order = [*rest.columns[:place], *names, *rest.columns[place:]]
    return rest.assign(**known)[order]


@cache
def detail_types() -> dict[str, Mapping[str, str]]:
    """Give the columns of each detail and their types, as observables declare them; units are in the names.

    The frames that a run used (:mod:`mfbench.benchmarks.harness.frames_used`) are one more.
    """
    declared = {name: columns for observable in observables() for name, columns in observable.details.items()}
    return declared | {frames_used.DETAIL: frames_used.TYPES}


def types_of(name: str) -> Mapping[str, str]:
    """Give the columns of a detail and their types.

    Raises
    ------
    ConfigError
        If there is no such detail.
    """
    known = detail_types()
    if name not in known:
        raise ConfigError(f"no detail '{name}': expected one of {', '.join(known)}.")
    return known[name]


def has_lists(name: str) -> bool:
    """Say whether a detail has lists in its cells; it is large then."""
    return "object" in types_of(name).values()


def detail_frame(name: str, records: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Make a detail's table, columns and types fixed.

    Raises
    ------
    ConfigError
        If there is no such detail.
    KeyError
        If a record lacks a column.
    """
    import pandas as pd

    types = types_of(name)
    return pd.DataFrame([{key: record[key] for key in types} for record in records], columns=list(types)).astype(
        dict(types)
    )


def empty_detail(name: str) -> DataFrame:
    """Make the table of a detail that no run has."""
    import pandas as pd

    return pd.DataFrame(columns=[*RUN_COLUMNS, *types_of(name)])


def change_texts(table: DataFrame, change: Callable[[str], str]) -> DataFrame:
    """Change all texts in the columns of a table; it is given back as it is where the change makes no other text."""
    changed = {}
    for name in table.columns:
        column = table[name]
        first = column.dropna().head(1)
        if not len(first) or not isinstance(first.iloc[0], str):
            continue
        texts = {value for value in column.unique() if isinstance(value, str)}
        other = {text: new for text in texts if (new := change(text)) != text}
        if other:
            changed[name] = column.map(lambda value, other=other: other.get(value, value))
    return table.assign(**changed) if changed else table
