"""Metrics of the stored rows, as observables declare them: names, units, direction. All reports use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from mfbench.benchmarks.observables.declarations import Metric, Section
from mfbench.benchmarks.observables.registry import observables


@cache
def metrics() -> tuple[Metric, ...]:
    """Give the metrics of all observables, in the order of tables."""
    return tuple(metric for observable in observables() for metric in observable.metrics)


@cache
def report_sections() -> tuple[Section, ...]:
    """Give the tables below the one of errors, in the order of reports."""
    return tuple(section for observable in observables() for section in observable.sections)


def metric_of(name: str) -> Metric | None:
    """Give the declaration of a metric of the rows, its blanks filled in; None if no observable declares it."""
    found = _find(name)
    return found[2] if found else None


def of_family(names: Iterable[str], family: str) -> list[Metric]:
    """Give those of the metrics named that stand in a family, lower temperatures and distances first."""
    found = (place for name in set(names) if (place := _find(name)))
    ordered = sorted(found, key=lambda place: (*place[:2], place[2].name))
    return [metric for _, _, metric in ordered if metric.family == family]


def _find(name: str) -> tuple[int, float, Metric] | None:
    """Place in the table, the number in its name (0 without one), and the metric."""
    for index, metric in enumerate(metrics()):
        if match := metric.match(name):
            blanks = match.groupdict()
            if "element" in blanks:
                blanks["element"] = blanks["element"].capitalize()
            title, label = metric.title.format(**blanks), metric.label.format(**blanks)
            number = float(blanks.get("T", blanks.get("distance", 0.0)))
            return index, number, replace(metric, name=name, title=title, label=label)
    return None
