"""Options of a comparison or a fit on a user's files, as the command line and Python give them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness.user_data import Size, not_served
from mfbench.benchmarks.tasks.user_files import sources_of
from mfbench.mfcore.errors import ConfigError, DataError

ONE_FILE = ("file",)
"""Roles of a command that reads a single file."""


def pairs_of(option: str, given: Sequence[str] | None, value: str) -> list[tuple[str, str]]:
    """Return NAME=VALUE options as pairs.

    Raises
    ------
    ConfigError
        If one has no name or no value.
    """
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


def label_costs(given: Sequence[str] | None, roles: Sequence[str]) -> dict[str, float]:
    """Return CPU-s of a frame's labels, by role.

    Raises
    ------
    ConfigError
        If one is no number of at least zero, or is for a level that there is not, or given twice.
    """
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


def reading_of(
    energy: Sequence[str] | None,
    forces: Sequence[str] | None,
    stress: Sequence[str] | None,
    group_key: str | None,
    block: int | None,
    roles: Sequence[str] = ("low", "high"),
    others: Sequence[str] = (),
) -> dict[str, Any]:
    """Return how to read a user's files, as the task of these files takes it.

    Parameters
    ----------
    roles
        Of the files that a key without a role is for.
    others
        Roles that a key is for only if it says so.

    Raises
    ------
    ConfigError
        If a label gets two keys for one file, or a key is for a file that is not read.
    """
    keys: dict[str, dict[str, str]] = {role: {} for role in (*roles, *others)}
    for label, given in (("energy", energy), ("forces", forces), ("stress", stress)):
        for item in given or ():
            role, equals, key = item.partition("=")
            if equals and (role not in keys or roles == ONE_FILE or not key):
                known = "" if roles == ONE_FILE else f", or {', '.join(f'{name}=KEY' for name in keys)}"
                why = "one file is read here" if known == "" else f"no file is '{role}'" if key else "no key is given"
                raise ConfigError(f"--{label}-key {item}: {why}; expected KEY{known}.")
            for one in (role,) if equals else roles:
                if label in keys[one]:
                    raise ConfigError(f"--{label}-key: '{keys[one][label]}' and '{item}' are both for {one}; give one.")
                keys[one][label] = key if equals else item
    named = {role: found for role, found in keys.items() if found}
    return {"keys": named, "group_key": group_key, "block": block}


def check_faults(faults: Sequence[str], accept: bool) -> list[str]:
    """Return notes on labels that cannot be right but are accepted.

    Raises
    ------
    DataError
        If there are any that are not.
    """
    if faults and not accept:
        raise DataError(
            "; ".join(faults).removesuffix(".") + ".",
            hint="Mend the file (mfbench data inspect says more), or give --accept-faults to train on it as it is.",
        )
    return [f"FAULT, accepted: {fault}" for fault in faults]


def sizes_of(n_high: Sequence[str] | None) -> list[Size]:
    """Return the numbers of HF training frames, ascending and each once; "all" is last.

    Raises
    ------
    ConfigError
        If one is neither a positive number nor "all".
    """
    for text in n_high or ():
        if text != "all" and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ConfigError(f"--n-high {text}: expected a positive number of HF frames, or all.")
    numbers: list[Size] = [*sorted({int(text) for text in n_high or () if text != "all"})]
    return [*numbers, "all"] if not n_high or "all" in n_high else numbers


def check_arms(arm: Sequence[str] | None, options: Mapping[str, Any], starts: bool = False) -> None:
    """Refuse arms that the files cannot serve, before the files are read; `starts` from a checkpoint, or not.

    Raises
    ------
    ConfigError
        Names the arm and the reason.
    """
    n_low = len(names_of_low(options))
    for name in arm or ():
        if reason := not_served(name, n_low, starts):
            raise ConfigError(f"arm '{name}': {reason}.")
    if not arm and not n_low and not starts:
        raise ConfigError(
            "there are no LF frames to compare with: give --low FILE, or --level NAME=FILE for each level; --arm "
            "single_fidelity alone needs none."
        )
