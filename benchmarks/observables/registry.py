"""Observables by name, from the entry points of group `mfbench.observables`; another package can bring one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from mfbench.benchmarks.observables.base import Observable, Plan
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import is_built_in, loaded, points_of, unusable

GROUP = "mfbench.observables"


@cache
def observables() -> tuple[Observable[Any], ...]:
    """Give all installed observables that can be used, in the order of reports."""
    return _sorted_out()[0]


def unusable_observables() -> dict[str, str]:
    """Give the observables that are installed and cannot be used, with the reason.

    The reason is that an entry point does not make an observable of its name, or that two of them declare the same
    metric, detail, table or figure: a built-in one then stays.
    """
    return _sorted_out()[1]


def observable_names() -> list[str]:
    """Give the names of all observables that can be used."""
    return [observable.name for observable in observables()]


def observable_of(name: str) -> Observable[Any]:
    """Give the observable of a name.

    Raises
    ------
    ConfigError
        If there is none, or it cannot be used.
    """
    for observable in observables():
        if observable.name == name:
            return observable
    if reason := unusable_observables().get(name):
        raise ConfigError(reason)
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


def _sorted_out() -> tuple[tuple[Observable[Any], ...], dict[str, str]]:
    made: dict[str, Observable[Any]] = {}
    reasons: dict[str, str] = {}
    owners: dict[tuple[str, str], list[str]] = {}
    points = points_of(GROUP)
    for name, point in sorted(points.items()):
        try:
            made[name] = _made(point)
            for declared in _declared(made[name], point):
                owners.setdefault(declared, []).append(name)
        except ConfigError as error:
            reasons[name] = str(error)
    for (kind, what), names in owners.items():
        if len(names) > 1:
            sentence = (
                f"observables {' and '.join(map(repr, names))} both declare the {kind} '{what}'; uninstall one of the "
                "packages, or rename it."
            )
            reasons |= {name: sentence for name in names if name not in reasons and not is_built_in(points[name])}
    usable = [observable for name, observable in made.items() if name not in reasons]
    return tuple(sorted(usable, key=lambda observable: (observable.rank, observable.name))), reasons


def _made(point: EntryPoint) -> Observable[Any]:
    made = loaded("observable", point, made=True)
    if not isinstance(made, Observable):
        raise unusable("observable", point, "it makes no mfbench.benchmarks.observables.base.Observable")
    if (own := getattr(made, "name", None)) != point.name:
        raise unusable("observable", point, f"its class attribute name is {own!r}, expected {point.name!r}")
    for key, kind in (("summary", str), ("plan_class", type), ("rank", int)):
        if not isinstance(value := getattr(made, key, None), kind):
            expected = f"expected one of type {kind.__name__}"
            raise unusable("observable", point, f"its class attribute {key} is {value!r}, {expected}")
    return made


def _declared(observable: Observable[Any], point: EntryPoint) -> list[tuple[str, str]]:
    try:
        return [
            *dict.fromkeys(("metric", metric.name) for metric in observable.metrics),
            *(("detail", name) for name in observable.details),
            *dict.fromkeys(("table of family", section.family) for section in observable.sections),
            *(("figure", name) for name in observable.figures),
        ]
    except (TypeError, AttributeError) as error:
        raise unusable("observable", point, f"its declarations are wrong: {error}") from error
