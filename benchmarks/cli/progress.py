"""What the command line shows while runs are computed."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mfbench.benchmarks.harness.prepare import PlannedRun


def duration(seconds: float) -> str:
    """Say a time as people do: "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


class RunsProgress:
    """A bar over all runs, weighted by their budgets, with time left; the runs being computed are named.

    Where the output is no terminal, one line a finished run is printed instead.
    """

    def __init__(self, console: Console, todo: list[PlannedRun]) -> None:
        self._console = console
        self._runs = len(todo)
        self._total = sum(run.spec.budget for run in todo)
        self._spent: dict[str, float] = {}
        self._active: dict[str, str] = {}
        self._ended = 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[ended]}/{task.fields[runs]} runs"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("[dim]{task.description}"),
            console=console,
            speed_estimate_period=300,
        )
        self._task = self._bar.add_task("", total=self._total, ended=0, runs=self._runs)

    def __enter__(self) -> RunsProgress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, run: PlannedRun) -> None:
        """Name a run as being computed."""
        self._active[run.key] = f"{run.spec.task} {run.spec.arm}"
        self._show()

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        """Move the bar."""
        self._spent[run.key] = min(atom_gradients, run.spec.budget)
        self._show()

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        """Count a run; tell why it failed, if it did."""
        self._spent[run.key] = run.spec.budget
        self._active.pop(run.key, None)
        self._ended += 1
        title = run.spec.title()
        if reason is not None:
            self._console.print(f"failed: {title}: {reason}", style="red", markup=False, soft_wrap=True)
        elif not self._console.is_terminal:
            self._console.print(f"[{self._ended}/{self._runs}] {title}", markup=False, highlight=False, soft_wrap=True)
        self._show()

    def _show(self) -> None:
        self._bar.update(
            self._task,
            completed=sum(self._spent.values()),
            ended=self._ended,
            description=", ".join(self._active.values()),
        )


class FitProgress:
    """A bar for one fit: its stages' spending beside the budget, with time left."""

    def __init__(self, console: Console, budget: float) -> None:
        self._budget = budget
        self._spent: dict[str, float] = {}
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("", total=budget)

    def __enter__(self) -> FitProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, stage: str, spent: float, budget: float) -> None:
        """Report a stage's spending (see :class:`mfbench.mfcore.training.progress.Progress`)."""
        self._spent[stage] = spent
        self._bar.update(self._task, completed=sum(self._spent.values()), description=stage)


class Preparation:
    """A bar over the comparison of a user's frames with each other; nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("comparing frames: {task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Callable[[str, int, int], None]:
        self._bar.start()
        return lambda part, done, total: self._bar.update(self._task, description=part, completed=done, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
