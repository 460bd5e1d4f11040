"""`mfbench list`: the arms, tasks, cores, observables and presets that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

import typer


class What(StrEnum):
    """Kinds of things that `mfbench list` lists."""

    arms = "arms"
    tasks = "tasks"
    cores = "cores"
    observables = "observables"
    presets = "presets"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("list", epilog="Example: mfbench list arms")(list_names)


def list_names(
    what: Annotated[What | None, typer.Argument(help="Leave it out for all.")] = None,
) -> None:
    """List the arms, tasks, cores, observables or presets that there are, each with one line."""
    from rich.console import Console
    from rich.table import Table

    from mfbench.benchmarks.cli.plugins import clashing

    console = Console()
    for kind in [what] if what else list(What):
        table = Table("name", "summary", title=kind.value, title_justify="left", box=None, title_style="bold")
        for name, summary in _summaries(kind):
            table.add_row(name, summary)
        console.print(table)
        for line in clashing(kind.value):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        for line in _left_out() if kind is What.arms else ():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _left_out() -> list[str]:
    """Lines that say which arms a core is not able to carry, and why."""
    from mfbench.benchmarks.harness.cores import lacking
    from mfbench.mfcore.cores.registry import core_names
    from mfbench.mfcore.errors import ConfigError
    from mfbench.strategies.registry import arm_names

    reasons = []
    for core in core_names():
        with suppress(ConfigError):  # of a core that cannot be used, which the list of cores says
            reasons += [(arm, core, lacking(arm, core)) for arm in arm_names()]
    return [f"left out on core {core}: {arm}: {reason}." for arm, core, reason in reasons if reason]


def _summaries(kind: What) -> list[tuple[str, str]]:
    if kind is What.arms:
        from mfbench.strategies.registry import arm_names, arm_summary, unusable_arms

        return [*((name, arm_summary(name)) for name in arm_names()), *_unusable(unusable_arms())]
    if kind is What.tasks:
        from mfbench.benchmarks.sets.registry import SETS
        from mfbench.benchmarks.tasks.registry import make_task, task_names

        return [*(_task_line(name, make_task) for name in task_names()), *((s.name, s.line) for s in SETS.values())]
    if kind is What.cores:
        from mfbench.mfcore.cores.registry import core_class, core_names

        return [_line(name, core_class, ("conditionings",)) for name in core_names()]
    if kind is What.observables:
        from mfbench.benchmarks.observables.registry import observables, unusable_observables

        known = [(observable.name, observable.summary) for observable in observables()]
        return [*known, *_unusable(unusable_observables())]
    from mfbench.benchmarks.harness.plan import load_preset, preset_names

    return [(name, load_preset(name).summary) for name in preset_names()]


def _task_line(name: str, load: Callable[[str], Any]) -> tuple[str, str]:
    """As :func:`_line`; a task that knows that its data are not here says what to do."""
    line = _line(name, load)
    absent = "" if line[1].startswith("cannot be used") else getattr(load(name), "absent", "")
    return (name, f"{line[1]}; {absent}") if absent else line


def _unusable(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, f"cannot be used: {reason}") for name, reason in reasons.items()]


def _line(name: str, load: Callable[[str], Any], more: Sequence[str] = ()) -> tuple[str, str]:
    """Name and summary of a plug-in, or the reason why it cannot be used: the others are listed all the same."""
    from mfbench.mfcore.errors import ConfigError

    try:
        found = load(name)
    except ConfigError as error:
        return name, f"cannot be used: {error}"
    return name, "; ".join([found.summary, *(", ".join(getattr(found, attribute)) for attribute in more)])
