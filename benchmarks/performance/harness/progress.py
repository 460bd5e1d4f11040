"""Progress of a study: a bar with the time left, or a line a round where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Told(Protocol):
    """Anything that is told how far a study is."""

    def doing(self, text: str) -> None:
        """Say that something is being done that is no part of the total."""

    def done(self, amount: float, text: str) -> None:
        """Count a part of the total as done."""

    def stored(self, text: str) -> None:
        """Say that a round is stored."""

    def failed(self, text: str) -> None:
        """Say that something has failed."""


class Shown:
    """A bar over all measurements, each weighted by its amount.

    Parameters
    ----------
    console
        To print on.
    total
        Sum of the amounts.
    """

    def __init__(self, console: Console, total: float) -> None:
        self._console = console
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
        if self._console.is_terminal:
            self._bar.stop()

    def doing(self, text: str) -> None:
        """See :class:`Told`."""
        self._bar.update(self._task, description=text)

    def done(self, amount: float, text: str) -> None:
        """See :class:`Told`."""
        self._bar.update(self._task, advance=amount, description=text)

    def stored(self, text: str) -> None:
        """See :class:`Told`."""
        if not self._console.is_terminal:
            percentage = self._bar.tasks[0].percentage
            self._console.print(f"{text}, {percentage:.0f} % of all", markup=False, highlight=False)

    def failed(self, text: str) -> None:
        """See :class:`Told`."""
        self._console.print(f"failed: {text}", style="red", markup=False, soft_wrap=True)
