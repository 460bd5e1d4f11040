"""Reports on transport beyond the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


def survivors(table: DataFrame) -> dict[str, dict[str, str]]:
    """Count replicas of transport that survived, all temperatures together: a column of words by arm.

    Parameters
    ----------
    table
        The detail `transport`.
    """
    counts = {str(arm): (int(part["survived"].astype(bool).sum()), len(part)) for arm, part in table.groupby("arm")}
    return {"survived, all": {arm: f"{n} of {of}" for arm, (n, of) in counts.items()}} if counts else {}
