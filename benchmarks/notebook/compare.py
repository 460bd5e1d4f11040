"""`mfbench.compare`: the comparison on a user's own frames, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfbench.benchmarks.harness.executors.factory import default_workers, make_executor
from mfbench.benchmarks.harness.folders import RUNS
from mfbench.benchmarks.harness.prepare import PlannedRun, prepare
from mfbench.benchmarks.harness.runner import pending, run_all, unused
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.notebook.asked import Keys, listed, options_of, settings_of, stem_of
from mfbench.benchmarks.notebook.comparison import Comparison
from mfbench.benchmarks.notebook.frames import Frames, FramesFolder
from mfbench.benchmarks.notebook.processes import without_script
from mfbench.benchmarks.user.answer import doubts, outlook, results_of, verdicts
from mfbench.benchmarks.user.comparison import Question, plan_comparison
from mfbench.benchmarks.user.networks import chosen_cores
from mfbench.benchmarks.user.options import label_costs, sizes_of
from mfbench.benchmarks.user.telling import Telling
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.training.budget import LARGEST_BUDGET


def compare(
    low: Frames | None = None,
    high: Frames | None = None,
    *,
    levels: Mapping[str, Frames] | None = None,
    test: Frames | Sequence[str | Path] | None = None,
    n_high: int | str | Sequence[int | str] = "all",
    arms: str | Sequence[str] | None = None,
    budget: float | Sequence[float] | None = None,
    draws: int = 5,
    seeds: int = 1,
    core: str | Sequence[str] | None = None,
    checkpoint: str | None = None,
    trust_checkpoint: bool = False,
    settings: Mapping[str, Any] | str | Path | None = None,
    tuned: str | Path | None = None,
    label_cost: Mapping[str, float] | None = None,
    low_name: str | None = None,
    high_name: str | None = None,
    energy_key: Keys = None,
    forces_key: Keys = None,
    stress_key: Keys = None,
    group_key: str | None = None,
    block: int | None = None,
    accept_faults: bool = False,
    workers: int | None = None,
    out: str | Path | None = None,
    tell: Callable[[str], object] | None = None,
) -> Comparison:
    """Compare the arms on your own frames and name the one to use, or say that it cannot be told.

    The same as the command `mfbench compare`, on processes of this machine, with the same numbers: finished runs are
    stored, and the same call (or the command, in the same folder) goes on with them.

    Parameters
    ----------
    low, high
        Frames with LF and HF labels: a file, or a list of `ase.Atoms` (energies in eV, forces in eV/Å).
    levels
        In place of these, frames by the name of their level of theory, the cheapest first and the target last.
    test
        Test frames with HF labels (a file or several, or a list of `ase.Atoms`), of which no copy may be trained on.
    n_high
        Number of HF frames to train on, or "all"; several are a learning curve.
    arms
        Only these.
    budget
        Atom gradients of each run; several are an axis. Default: 50 passes over all atoms, 3e5 to 3e6, and at least
        2000 optimiser steps.
    draws
        Validation sets, and HF subsets, to repeat with; a verdict needs three.
    seeds
        Model seeds to repeat with, for each draw.
    core
        Network; several are an axis.
    checkpoint
        Weights that the network starts from: a file, a folder that `fit` wrote, or a name that the core knows.
    trust_checkpoint
        Read a checkpoint that is a pickle, and so executes the code in it.
    settings
        Of all arms: a mapping, or a YAML file.
    tuned
        File of settings that `mfbench tune` wrote.
    label_cost
        CPU-s of a frame's labels, by "low" and "high" or by level.
    low_name, high_name
        Fidelity to take from frames that have several.
    energy_key, forces_key, stress_key
        Keys to read labels from: one for all frames, or by role ("low", "high", "test") or level.
    group_key
        Key whose values are the groups, which are held out whole; "none": each frame is one.
    block
        Frames of a block of a time series; 1: no blocks.
    accept_faults
        Train on labels whose sign or unit cannot be right, all the same.
    workers
        Runs computed at once. Default: the number of CPU cores. 0 computes in this process.
    out
        Folder of the runs. Default: results/runs/compare-HIGH, by the name of the HF file.
    tell
        Is given each sentence on what was found and what is done, such as `print`; they are in `Comparison.said`, too.

    Returns
    -------
    Comparison
        With `recommendation`, `tables` (pandas), `figures` (matplotlib); a notebook shows it.

    Raises
    ------
    ConfigError
        If an argument is not possible, in the words of the command line's option.
    DataError
        If frames are faulty: names file, frame and key.
    LeakageError
        If frames to train on are copies of test frames.
    """
    numbers = {"draws": draws, "seeds": seeds, **{f"budget ({b})": b for b in listed(budget)}}
    for name, number in numbers.items():
        if not 1 <= number <= LARGEST_BUDGET:
            raise ConfigError(
                f"{name}: found {number}; expected a number of at least 1, and at most {LARGEST_BUDGET:g}."
            )
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if tell is not None:
            tell(line)

    root = Path(out) if out is not None else RUNS / f"compare-{stem_of(high, levels)}"
    folder = FramesFolder(root / "frames")
    options, roles = options_of(
        folder,
        low=low,
        high=high,
        levels=levels,
        low_name=low_name,
        high_name=high_name,
        energy_key=energy_key,
        forces_key=forces_key,
        stress_key=stress_key,
        group_key=group_key,
        block=block,
        test=_files(test, folder),
    )
    own, file = settings_of(settings)
    costs = label_costs([f"{role}={cost}" for role, cost in (label_cost or {}).items()], roles)
    question = Question(
        options=options,
        arms=listed(arms),
        sizes=sizes_of([str(n) for n in listed(n_high)]),
        budgets=listed(budget),
        draws=draws,
        seeds=seeds,
        settings=own,
        settings_file=file,
        cores=chosen_cores(listed(core), checkpoint, own, trust_checkpoint),
        tuned=None if tuned is None else Path(tuned),
        costs=costs,
        accept_faults=accept_faults,
    )
    telling = Telling(say)
    plan = plan_comparison(question, telling)
    plan.say_budgets(telling, plan.specs)
    planned, store = prepare(plan.specs), RunStore(root)
    found = pending(planned, store)
    say(f"{len(planned)} runs: {len(found.stored)} stored, {len(found.todo)} to compute.")
    if found.todo and (sentence := unused(planned, store)):
        say(sentence)
    processes = default_workers() if workers is None else workers
    executor = make_executor(min(processes, max(1, len(found.todo))))
    with without_script():
        failed = [*found.failed, *run_all(found.todo, planned, store, _Monitor(say, len(found.todo)), executor)]
    results = results_of(root, plan, plan.specs)
    return Comparison(
        root,
        results,
        [*verdicts(results), *doubts(plan)],
        outlook(results, plan),
        said,
        [f"failed: {run.spec.title()}: {reason}" for run, reason in failed],
    )


def _files(test: Frames | Sequence[str | Path] | None, folder: FramesFolder) -> list[Path]:
    """Return the files of test frames."""
    if isinstance(test, str | Path):
        return [Path(test)]
    if test is None or all(isinstance(item, str | Path) for item in test):
        return [Path(item) for item in test or () if isinstance(item, str | Path)]
    path = folder.path(test, "test")  # what is no frame is refused there
    return [] if path is None else [path]


class _Monitor:
    """Says each run that has ended (see :class:`mfbench.benchmarks.harness.runner.Monitor`)."""

    def __init__(self, say: Callable[[str], None], runs: int) -> None:
        self._say, self._runs, self._ended = say, runs, 0

    def started(self, run: PlannedRun) -> None:
        """Do nothing."""

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        """Do nothing."""

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        """Say it; with the reason if it failed."""
        self._ended += 1
        title = run.spec.title()
        self._say(f"[{self._ended}/{self._runs}] {title}" if reason is None else f"failed: {title}: {reason}")
