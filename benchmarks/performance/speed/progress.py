"""What is shown while the comparison runs: a bar with the time left, or a line a round where there is no terminal."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mfbench.benchmarks.performance.speed.settings import CONTENDERS, Session


class Shown:
    """A bar over all turns of all sessions, each weighted by its session's atoms.

    Parameters
    ----------
    console
        Where.
    planned
        Sessions, each with its number of atoms and the rounds that it lacks.
    """

    def __init__(self, console: Console, planned: Sequence[tuple[Session, int, int]]) -> None:
        self._console = console
        self._atoms = {session: atoms for session, atoms, _ in planned}
        self._rounds = {session: rounds for session, _, rounds in planned}
        total = sum(a * r * len(s.contenders) * len(s.threads) for s, a, r in planned)
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.description}"),
            console=console,
            speed_estimate_period=600,
        )
        self._task = self._bar.add_task("", total=max(total, 1))

    def __enter__(self) -> Shown:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def building(self, session: Session) -> None:
        """See :class:`~mfbench.benchmarks.performance.speed.execute.Told`."""
        self._bar.update(self._task, description=f"{session.title}: building networks")

    def turn(self, session: Session, name: str) -> None:
        """See :class:`~mfbench.benchmarks.performance.speed.execute.Told`."""
        self._bar.update(self._task, advance=self._atoms[session], description=f"{session.title}: {name}")

    def round(self, session: Session, number: int) -> None:
        """See :class:`~mfbench.benchmarks.performance.speed.execute.Told`."""
        if not self._console.is_terminal:
            task = self._bar.tasks[0]
            share = f"{task.percentage:.0f} % of all turns"
            self._console.print(f"{session.title}: round {number + 1}, {share}", markup=False, highlight=False)

    def failed(self, session: Session, name: str, reason: str) -> None:
        """See :class:`~mfbench.benchmarks.performance.speed.execute.Told`."""
        text = f"failed: {CONTENDERS[name].label}, {session.title}: {reason}"
        self._console.print(text, style="red", markup=False, soft_wrap=True)
