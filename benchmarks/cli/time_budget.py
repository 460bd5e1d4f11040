"""The option --time: a budget from measured speed, kept so that the same command goes on with the same runs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from mfbench.benchmarks.cli.place import Where
    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.timing import Measured

Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="Time that it shall take in all, such as 90s, 30min, 2h or 1d, in place of --budget: training is measured "
        "for a short time, and the budget is kept for when the same command is given again.",
        metavar="TIME",
    ),
]

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SHARE, _SHORTEST, _LONGEST = 0.08, 1.0, 20.0  # of the time that measuring takes; and of one arm, s


def seconds_of(text: str | None, budget: object) -> float | None:
    """Return the seconds of --time; None if it is not given.

    Raises
    ------
    ConfigError
        If it has no unit or is not positive, or a budget is given, too.
    """
    from mfbench.mfcore.errors import ConfigError

    if text is None:
        return None
    if budget is not None:
        raise ConfigError("--time and --budget: the one follows from the other; give one of them.")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h|d)", text.strip())
    if found is None or not float(found[1]) > 0.0:
        raise ConfigError(f"--time {text}: expected a positive number with its unit (s, min, h, d), as in 90s or 1.5h.")
    return float(found[1]) * _SECONDS[found[2]]


def within_time(
    console: Console,
    specs: Sequence[RunSpec],
    data: Mapping[str, str],
    root: Path,
    *,
    time_s: float,
    text: str,
    where: Where,
    keep: bool,
    started: float,
) -> list[RunSpec]:
    """Return the runs of a comparison with the budget that its time pays for.

    Parameters
    ----------
    data
        sha256 of the files.
    root
        Folder of the runs, where the budget is kept (if `keep`) and found again.
    started
        `time.perf_counter()` when the command began.

    Raises
    ------
    ConfigError
        If the time is too short for the runs.
    """
    import time

    from mfbench.benchmarks.harness.runner import only_writer
    from mfbench.benchmarks.harness.timing import FILE, measure_comparison, question, record, recorded
    from mfbench.mfcore.errors import ConfigError

    asked = question(specs, data, time_s)
    if (known := recorded(root, asked)) is not None:
        _say_known(console, known, text, root / FILE)
        return [replace(spec, budget=known) for spec in specs]
    processes = where.processes(len(specs))
    if where.apart:
        raise ConfigError(
            "--time: training is measured on files that workers see; with --no-shared-folder give --budget."
        )
    arms = len({(spec.arm, spec.core_name) for spec in specs})
    longest = min(max(_SHARE * time_s * processes / arms, _SHORTEST), _LONGEST)
    with _measuring(console) as tell, tempfile.TemporaryDirectory(prefix="mfbench-time-") as folder:
        measuring = None if where.place is not None else Path(folder)  # others have folders of their own
        executor = where.executor(console, processes)
        found = measure_comparison(specs, executor, processes, longest, measuring, tell)
    spent = time.perf_counter() - started

    def seconds(budget: float) -> float:
        return spent + found.seconds(specs, budget, processes)

    budget = _affordable(seconds, time_s, found.first, text, f"{len(specs)} runs on {_processes(processes)}")
    _say_measured(console, found, processes)
    _say_budget(console, budget, seconds(budget), f"each of {len(specs)} runs", text, spent)
    if keep:
        with only_writer(root):
            rates = {f"{arm} {core}": vars(rate) for (arm, core), rate in found.rates.items()}
            more: dict[str, Any] = {"time_s": time_s, "processes": processes, "setup_s": found.setup_s, "rates": rates}
            record(root, asked, budget, more)
    return [
        replace(spec, budget=budget, expected_us_per_atom_gradient=1e6 * found.rate(spec).seconds(budget) / budget)
        for spec in specs
    ]


def fit_within_time(
    console: Console,
    train: Callable[[float], object],
    first: float,
    asked: str,
    work: Path,
    *,
    time_s: float,
    text: str,
    started: float,
) -> float:
    """Return the budget of one training that its time pays for, kept in the work folder of the fit.

    Parameters
    ----------
    train
        Trains with a budget, and leaves nothing.
    first
        Smallest budget that is measured.
    asked
        Key of what the time is for.
    started
        `time.perf_counter()` when the command began.

    Raises
    ------
    ConfigError
        If the time is too short.
    """
    import time

    from mfbench.benchmarks.harness.timing import FILE, measure, record, recorded
    from mfbench.mfcore.files import make_folder

    if (known := recorded(work, asked)) is not None:
        _say_known(console, known, text, work / FILE)
        return known
    with _measuring(console):
        rate = measure(train, first, min(max(_SHARE * time_s, _SHORTEST), _LONGEST))
    spent = time.perf_counter() - started
    budget = _affordable(lambda b: spent + rate.seconds(b), time_s, first, text, "this training")
    per_second = 1.0 / rate.s_per_atom_gradient
    console.print(f"Measured: {per_second:,.0f} atom gradients per second.", highlight=False, soft_wrap=True)
    _say_budget(console, budget, spent + rate.seconds(budget), "the training", text, spent)
    make_folder(work)
    record(work, asked, budget, {"time_s": time_s, "rates": {"fit": vars(rate)}})
    return budget


@contextmanager
def _measuring(console: Console) -> Iterator[Callable[[int, int], None]]:
    words = "Measuring how fast trainings are here"
    try:
        if not console.is_terminal:
            console.print(f"{words} ...", highlight=False)
            yield lambda done, of: None
            return
        with waiting(words, console) as told:
            yield lambda done, of: told(f"{words}: {done} of {of} arms")
    except KeyboardInterrupt as stop:
        stop.add_note("Nothing was trained yet, only measured; the same command begins again.")
        raise


def _affordable(seconds: Callable[[float], float], time_s: float, least: float, text: str, subject: str) -> float:
    from mfbench.benchmarks.cli.costs import duration
    from mfbench.benchmarks.harness.timing import budget_for
    from mfbench.mfcore.errors import BudgetError, ConfigError

    try:
        return budget_for(seconds, time_s, least)
    except BudgetError:
        raise ConfigError(
            f"--time {text}: too short for {subject}: about {duration(1.05 * seconds(least))} is the least, with "
            f"{least:.2g} atom gradients each; give more time, or ask for fewer arms, draws or HF set sizes."
        ) from None


def _say_measured(console: Console, found: Measured, processes: int) -> None:
    from mfbench.benchmarks.cli.costs import duration

    ranked = sorted(found.rates.items(), key=lambda item: item[1].s_per_atom_gradient, reverse=True)
    rates = [f"{1.0 / rate.s_per_atom_gradient:,.0f} ({arm})" for (arm, _), rate in ranked]
    fixed = [duration(rate.fixed_s) for _, rate in sorted(found.rates.items(), key=lambda item: item[1].fixed_s)]
    speed, beside = (" to ".join(dict.fromkeys([words[0], words[-1]])) for words in (rates, fixed))
    console.print(
        f"Measured with {_processes(processes)} at once: {speed} atom gradients per second in each; beside training a "
        f"run takes {beside}.",
        highlight=False,
        soft_wrap=True,
    )


def _say_budget(console: Console, budget: float, seconds: float, subject: str, text: str, spent: float) -> None:
    from mfbench.benchmarks.cli.costs import duration

    console.print(
        f"Budget: {budget:,.0f} atom gradients for {subject}: about {duration(seconds)} in all (--time {text}), "
        f"{duration(spent)} of reading and measuring included.",
        highlight=False,
        soft_wrap=True,
    )


def _say_known(console: Console, budget: float, text: str, file: Path) -> None:
    console.print(
        f"Budget: {budget:,.0f} atom gradients, as measured when --time {text} was given before ({file}).",
        highlight=False,
        soft_wrap=True,
    )


def _processes(n: int) -> str:
    return f"{n} process" + ("es" if n > 1 else "")
