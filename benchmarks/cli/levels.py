"""Options of the commands that train on a user's files: which file is which level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Low = Annotated[
    Path | None,
    typer.Option(help="Frames with LF labels (extended XYZ; energy in eV, forces in eV/Å); arms without LF need none."),
]
High = Annotated[Path | None, typer.Option(help="Frames with HF labels.")]
LowName = Annotated[str | None, typer.Option(help="Fidelity to take from the LF file, if it has several.")]
HighName = Annotated[str | None, typer.Option(help="Fidelity to take from the HF file.")]
Level = Annotated[
    list[str] | None,
    typer.Option(
        help="In place of --low and --high: a level of theory and its file; repeated, the cheapest first and the "
        "target last.",
        metavar="NAME=FILE",
    ),
]


LabelCost = Annotated[
    list[str] | None,
    typer.Option(
        help="CPU-s that the labels of a frame cost, low=S and high=S or by level; shown in the tables, and beside "
        "what more labels would give.",
        metavar="NAME=S",
    ),
]


def label_costs(given: Sequence[str] | None, roles: Sequence[str]) -> dict[str, float]:
    """Return CPU-s of a frame's labels, by role.

    Raises
    ------
    ConfigError
        If one is no number of at least zero, or is for a level that there is not, or given twice.
    """
    import math

    from mfbench.mfcore.errors import ConfigError

    costs: dict[str, float] = {}
    for name, text in pairs_of("--label-cost", given, "S"):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if name not in roles or name in costs:
            known = " and ".join(f"{role}=S" for role in roles)
            why = "is given twice" if name in costs else "is no level here"
            raise ConfigError(f"--label-cost {name}={text}: '{name}' {why}; expected {known}, each once.")
        if not (math.isfinite(value) and value >= 0.0):
            raise ConfigError(f"--label-cost {name}={text}: expected CPU-seconds of one frame, a number of at least 0.")
        costs[name] = value
    return costs


def pairs_of(option: str, given: Sequence[str] | None, value: str) -> list[tuple[str, str]]:
    """Return NAME=VALUE options as pairs.

    Raises
    ------
    ConfigError
        If one has no name or no value.
    """
    from mfbench.mfcore.errors import ConfigError

    pairs = []
    for item in given or ():
        name, equals, rest = item.partition("=")
        if not (name and equals and rest):
            raise ConfigError(f"{option} {item}: expected NAME={value}.")
        pairs.append((name, rest))
    return pairs


def roles_of(level: Sequence[str] | None) -> tuple[str, ...]:
    """Return the roles that options give keys or costs to: the names of the levels, or low and high."""
    return tuple(name for name, _ in pairs_of("--level", level, "FILE")) or ("low", "high")


def task_options(
    low: Path | None,
    high: Path | None,
    low_name: str | None,
    high_name: str | None,
    level: Sequence[str] | None,
    reading: Mapping[str, Any],
    test: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """Return what the task of a user's files is made with, as plain JSON values.

    Raises
    ------
    ConfigError
        If a level is not NAME=FILE, or the files are named in two ways.
    """
    from mfbench.benchmarks.tasks.user_files import sources_of

    levels = pairs_of("--level", level, "FILE")
    sources_of(low, high, low_name, high_name, levels)
    if levels:
        options: dict[str, Any] = {"levels": [list(pair) for pair in levels]}
    else:
        options = {"low": None if low is None else str(low), "high": str(high)}
        options |= {"low_name": low_name, "high_name": high_name}
    if test:
        options["test"] = [str(path) for path in test]
    return options | {"reading": dict(reading)}


def target_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options with the target's file alone, for an arm that learns from no other."""
    if options.get("levels"):
        return {**options, "levels": options["levels"][-1:]}
    return {**options, "low": None, "low_name": None}


def names_of_low(options: Mapping[str, Any]) -> list[str]:
    """Return the files of the levels below the target."""
    if options.get("levels"):
        return [path for _, path in options["levels"][:-1]]
    return [options["low"]] if options.get("low") else []
