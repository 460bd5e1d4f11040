"""Progress that the command line shows while runs are computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mfbench.benchmarks.cli.costs import duration
from mfbench.benchmarks.cli.live import ArmsTable
from mfbench.benchmarks.cli.waiting import waiting

if TYPE_CHECKING:
    from pandas import DataFrame

    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.tuning.study import Search
    from mfbench.benchmarks.user.telling import Telling


class _Lines(Progress):
    """Bars, below a table where there is one."""

    table: ArmsTable | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table as it is now, then the bars."""
        if self.table is not None:
            yield self.table
        yield from super().get_renderables()


class _Bar:
    """A bar with percentage, time elapsed and time left, that is shown where the output is a terminal.

    Parameters
    ----------
    first, last
        Columns before and behind these.
    """

    def __init__(self, console: Console, first: str, last: str = "[dim]{task.description}") -> None:
        self._console = console
        self._bar = _Lines(
            SpinnerColumn(),
            TextColumn(first),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            *([TextColumn(last)] if last else []),
            console=console,
            speed_estimate_period=300,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # elsewhere rich would print an empty line
            self._bar.stop()


class RunsProgress(_Bar):
    """A bar over all runs, weighted by their budgets, with time left, below a table of the arms with their errors.

    Where the output is no terminal, one line a finished run is printed instead.

    Parameters
    ----------
    todo, planned
        The runs that are computed, and all of the plan.
    rows_of
        Gives the rows of a stored run by its key.
    """

    def __init__(
        self,
        console: Console,
        todo: Sequence[PlannedRun],
        planned: Sequence[PlannedRun],
        rows_of: Callable[[str], DataFrame],
    ) -> None:
        super().__init__(console, "{task.fields[ended]}/{task.fields[runs]} runs", last="")
        if console.is_terminal:
            self._bar.table = ArmsTable(planned, todo, rows_of)
        self._runs = len(todo)
        self._total = sum(run.spec.budget for run in todo)
        self._spent: dict[str, float] = {}
        self._ended = 0
        self._task = self._bar.add_task("", total=self._total, ended=0, runs=self._runs)

    def started(self, run: PlannedRun) -> None:
        """Show a run as being computed."""
        if self._bar.table is not None:
            self._bar.table.started(run)

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        """Move the bar."""
        self._spent[run.key] = min(atom_gradients, run.spec.budget)
        if self._bar.table is not None:
            self._bar.table.spent(run, atom_gradients)
        self._show()

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        """Count a run; tell why it failed, if it did."""
        self._spent[run.key] = run.spec.budget
        self._ended += 1
        if self._bar.table is not None:
            self._bar.table.ended(run, reason)
        title = run.spec.title()
        if reason is not None:
            self._console.print(f"failed: {title}: {reason}", style="red", markup=False, soft_wrap=True)
        elif not self._console.is_terminal:
            self._console.print(f"[{self._ended}/{self._runs}] {title}", markup=False, highlight=False, soft_wrap=True)
        self._show()

    def _show(self) -> None:
        self._bar.update(self._task, completed=sum(self._spent.values()), ended=self._ended)


class FitProgress(_Bar):
    """A bar for one fit: its stages' spending beside the budget, with time left.

    Where the output is no terminal, a line at each tenth of the budget is printed instead.
    """

    def __init__(self, console: Console, budget: float) -> None:
        super().__init__(console, "{task.description}", last="")
        self._budget = budget
        self._told, self._start = 0, time.monotonic()
        self._spent: dict[str, float] = {}
        self._task = self._bar.add_task("", total=budget)

    def __call__(self, stage: str, spent: float, budget: float) -> None:
        """Report a stage's spending (see :class:`mfbench.mfcore.training.progress.Progress`)."""
        self._spent[stage] = spent
        total = sum(self._spent.values())
        self._bar.update(self._task, completed=total, description=stage)
        tenths = int(10 * total / self._budget)
        if not self._console.is_terminal and self._told < tenths < 10:
            self._told = tenths
            left = (time.monotonic() - self._start) * (self._budget / total - 1)
            line = f"{stage}: {10 * tenths} % of the budget is spent, about {duration(left)} left"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Preparation:
    """A bar over the comparison of a user's frames with each other; nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        self._shown = console.is_terminal  # elsewhere rich would print an empty line
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("comparing frames: {task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Callable[[str, int, int], None]:
        if self._shown:
            self._bar.start()
        return lambda part, done, total: self._bar.update(self._task, description=part, completed=done, total=total)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._bar.stop()


class MaterialsProgress(_Bar):
    """A bar over materials that are relaxed; where the output is no terminal, a line a minute and at the end."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "{task.completed}/{task.total} materials")
        self._task = self._bar.add_task("", total=None)
        self._first, self._begin = -1, time.monotonic()
        self._last = self._begin

    def told(self, done: int, total: int, identity: str) -> None:
        """Count a material (see :func:`mfbench.benchmarks.discovery.relaxations.relax_all`)."""
        if self._first < 0:
            self._first = done - 1
        self._bar.update(self._task, completed=done, total=total, description=identity)
        now = time.monotonic()
        if not self._console.is_terminal and (now - self._last > 60 or done == total):
            self._last = now
            rate = (done - self._first) / max(now - self._begin, 1e-9)
            left = (total - done) / rate / 60
            line = f"{done} of {total}, {rate:.2g} materials/s, about {left:.0f} min left"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class TrialsProgress(_Bar):
    """A bar over all trials, with time left; where the output is no terminal, one line an ended trial."""

    def __init__(self, console: Console, jobs: Sequence[Search]) -> None:
        super().__init__(console, "{task.fields[ended]} trials")
        self._jobs = jobs
        self._spent: dict[tuple[int, int], float] = {}
        self._ended = [0] * len(jobs)
        self._best: dict[int, float] = {}
        self._last = ""
        self._trials = sum(rung.trials for job in jobs for rung in job.rungs)
        total = sum(job.spec.budget * rung.share * rung.trials for job in jobs for rung in job.rungs)
        self._task = self._bar.add_task("", total=total, ended=f"0/{self._trials}")

    def told(self, job: int, what: tuple[str, Any]) -> None:
        """Take what a search tells (see :func:`mfbench.benchmarks.tuning.study.search`)."""
        kind, value = what
        if kind == "spent":
            self._spent[job, value[0]] = value[1]
        else:
            self._spent[job, self._ended[job]] = self._jobs[job].spec.budget * value["share"]
            self._ended[job] += 1
            self._tell_end(job, value)
        self._bar.update(
            self._task,
            completed=sum(self._spent.values()),
            ended=f"{sum(self._ended)}/{self._trials}",
            description=self._last,
        )

    def _tell_end(self, job: int, record: dict[str, Any]) -> None:
        share = f"{record['share']:.3g} of the budget"
        title = f"{self._jobs[job].spec.arm} trial {record['trial'] + 1}/{self._jobs[job].trials}, {share}"
        if record["status"] == "failed":
            self._console.print(f"failed: {title}: {record['reason']}", style="red", markup=False, soft_wrap=True)
            return
        self._best[job] = min(record["loss"], self._best.get(job, record["loss"]))
        self._last = f"{self._jobs[job].spec.arm}: best loss {self._best[job]:.3g}"
        if not self._console.is_terminal:
            self._console.print(
                f"{title}: validation loss {record['loss']:.4g}", markup=False, highlight=False, soft_wrap=True
            )


def telling_on(console: Console) -> Telling:
    """Tell on a terminal: sentences as they are, and what is being done while one waits."""
    from mfbench.benchmarks.user.telling import Telling

    return Telling(
        say=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
        waiting=lambda words: waiting(words, console),
        comparing=lambda: Preparation(console),
    )
