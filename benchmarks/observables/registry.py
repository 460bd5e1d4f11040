"""Observables by name, from the entry points of group `mfbench.observables`; another package can bring one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded

GROUP = "mfbench.observables"


@cache
def observables() -> tuple[Observable[Any], ...]:
    """Give all installed observables, in the order of reports.

    Raises
    ------
    ConfigError
        If an entry point does not make an observable of its name, or two declare the same metric, detail or figure.
    """
    found = []
    for point in entry_points(group=GROUP):
        made = loaded("observable", point, made=True)
        if not isinstance(made, Observable) or made.name != point.name:
            raise ConfigError(f"observable '{point.name}': {point.value} does not make an Observable of that name.")
        found.append(made)
    found.sort(key=lambda observable: (observable.rank, observable.name))
    _check_declarations(found)
    return tuple(found)


def observable_names() -> list[str]:
    """Give the names of all observables."""
    return [observable.name for observable in observables()]


def observable_of(name: str) -> Observable[Any]:
    """Give the observable of a name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    for observable in observables():
        if observable.name == name:
            return observable
    raise ConfigError(f"no observable '{name}': known are {', '.join(observable_names())}.")


def declaring(metric: str) -> Observable[Any] | None:
    """Give the observable that declares a metric of the rows; None if none does."""
    for observable in observables():
        if any(declared.match(metric) for declared in observable.metrics):
            return observable
    return None


def measured(plans: Mapping[str, Plan]) -> list[tuple[Observable[Any], Plan]]:
    """Give the observables of a run with their plans, in order: those that it asks for, and those always measured.

    Raises
    ------
    ConfigError
        If a plan is of an unknown observable.
    """
    for name in plans:
        observable_of(name)
    wanted = [observable for observable in observables() if observable.always or observable.name in plans]
    return [(o, plans[o.name] if o.name in plans else o.plan_class()) for o in wanted]


def _check_declarations(found: list[Observable[Any]]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for observable in found:
        declared = (
            *(("metric", metric.name) for metric in observable.metrics),
            *(("detail", name) for name in observable.details),
            *(("table of family", section.family) for section in observable.sections),
            *(("figure", name) for name in observable.figures),
        )
        for kind, name in declared:
            other = owners.setdefault((kind, name), observable.name)
            if other != observable.name:
                raise ConfigError(
                    f"observables '{other}' and '{observable.name}' both declare the {kind} '{name}'; "
                    "uninstall one of the two packages, or rename it."
                )
