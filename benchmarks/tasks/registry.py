"""Tasks by name: entry points of the group `mfbench.tasks`, so that another package can bring one."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from mfbench.benchmarks.tasks.base import Task
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.plugins import loaded, points_of, unusable

GROUP = "mfbench.tasks"


def _entry_points() -> dict[str, EntryPoint]:
    return points_of(GROUP)


def task_names() -> list[str]:
    """Return the names of all installed tasks, in alphabetical order."""
    return sorted(_entry_points())


def make_task(name: str) -> Task:
    """Make the task of this name; nothing is loaded or downloaded yet.

    Raises
    ------
    ConfigError
        If there is no such task, or what is registered under the name is none.
    """
    points = _entry_points()
    if name not in points:
        raise ConfigError(
            f"unknown task '{name}'; there are {', '.join(sorted(points)) or 'none (is mfbench installed?)'}."
        )
    task = loaded("task", points[name], made=True)
    if not isinstance(task, Task):
        raise unusable("task", points[name], "it makes no mfbench.benchmarks.tasks.base.Task")
    return task
