"""Check of what an observable measured against what it declares: a number is stored under the right name and unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from mfbench.benchmarks.observables.base import Observable
from mfbench.benchmarks.observables.evaluation import Evaluation
from mfbench.mfcore.errors import ConfigError

_ROW = {"split": str, "metric": str, "unit": str, "value": Real, "n": Integral}


def checked(observable: Observable[Any], found: Any, lower: Sequence[str] = ()) -> Evaluation:
    """Give a measurement, if it is what its observable declares.

    Parameters
    ----------
    lower
        Fidelities below the target: at one of them, a metric has its name with that of the fidelity before it.

    Raises
    ------
    ConfigError
        Naming the metric, or the detail and its column, with what was found and what is expected.
    """
    if not isinstance(found, Evaluation):
        raise ConfigError(f"measure() gave {_shown(found)}; expected an Evaluation.")
    if not isinstance(found.rows, list) or not isinstance(found.details, Mapping):
        raise ConfigError("measure() gave an Evaluation whose rows are no list, or whose details are no mapping.")
    for row in found.rows:
        _check_row(observable, row, lower)
    for name, lines in found.details.items():
        if name not in observable.details:
            known = ", ".join(observable.details) or "none"
            raise ConfigError(f"detail '{name}' is not declared; expected one of its details: {known}.")
        _check_detail(name, lines, observable.details[name])
    return found


def _check_row(observable: Observable[Any], row: Any, lower: Sequence[str]) -> None:
    if not isinstance(row, Mapping) or set(row) != set(_ROW):
        raise ConfigError(f"row {_shown(row)}: expected the keys {', '.join(_ROW)}, as metric_row gives them.")
    where = f"metric '{row['metric']}'"
    for key, kind in _ROW.items():
        if not isinstance(row[key], kind) or isinstance(row[key], bool):
            expected = {str: "text", Real: "a number", Integral: "a whole number"}[kind]
            raise ConfigError(f"{where}, key '{key}': found {_shown(row[key])}; expected {expected}.")
    names = [row["metric"], *(row["metric"].removeprefix(f"{fidelity}_") for fidelity in lower)]
    declared = next((metric for metric in observable.metrics if any(metric.match(name) for name in names)), None)
    if declared is None:
        known = ", ".join(metric.name for metric in observable.metrics) or "none"
        raise ConfigError(f"{where} is not declared; expected one of its metrics: {known}.")
    if row["unit"] != declared.unit:
        raise ConfigError(
            f"{where}: its row is in '{row['unit']}', and it is declared in '{declared.unit}'; give both the same unit."
        )
    if not math.isfinite(row["value"]):
        raise ConfigError(
            f"{where}, split '{row['split']}': its value is {row['value']}; expected a finite number, or no row."
        )


def _check_detail(name: str, lines: Any, types: Mapping[str, str]) -> None:
    if not isinstance(lines, Sequence) or isinstance(lines, str):
        raise ConfigError(f"detail '{name}': found {_shown(lines)}; expected a list of mappings.")
    for index, line in enumerate(lines):
        if not isinstance(line, Mapping):
            raise ConfigError(f"detail '{name}', line {index}: found {_shown(line)}; expected a mapping.")
        if set(line) != set(types):
            odd = sorted(map(str, set(line) ^ set(types)))
            raise ConfigError(
                f"detail '{name}', line {index}, column '{odd[0]}': it is "
                f"{'missing' if odd[0] in types else 'not declared'}; expected the columns {', '.join(types)}."
            )
        for column, kind in types.items():
            if not _fits(line[column], kind):
                raise ConfigError(
                    f"detail '{name}', line {index}, column '{column}': found {_shown(line[column])}; expected "
                    f"{'a list of numbers' if kind == 'object' else kind}."
                )


def _fits(value: Any, kind: str) -> bool:
    """Say whether a value can stand in a column."""
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool | np.bool_)
    if kind == "object":
        return value is None or (isinstance(value, Sequence | np.ndarray) and not isinstance(value, str))
    return isinstance(value, Integral if kind.startswith(("int", "uint")) else Real)


def _shown(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {str(value)[:80]}"
