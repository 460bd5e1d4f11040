"""Computing a list of runs: said before, shown while it lasts."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfbench.benchmarks.cli.place import Where

if TYPE_CHECKING:
    from rich.console import Console

    from mfbench.benchmarks.harness.plan import RunSpec
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.benchmarks.harness.runner import Pending

#: Runs whose preparation takes longer than a reader waits without a word.
_MANY = 500


def compute(
    console: Console,
    specs: Sequence[RunSpec],
    root: Path,
    *,
    where: Where | None = None,
    dry_run: bool = False,
    retry_failed: bool = False,
    basis: str = "",
) -> int:
    """Prepare runs, say how long they will take, compute and store those that are not stored.

    Parameters
    ----------
    where
        Where they are computed; None: in processes of this machine.
    basis
        What the expected times of the runs rest on, in words; "" for a first guess.

    Returns
    -------
    int
        Number of runs of the plan that have failed, now or before.
    """
    from mfbench.benchmarks.cli.costs import summary_line
    from mfbench.benchmarks.cli.progress import RunsProgress
    from mfbench.benchmarks.cli.waiting import waiting
    from mfbench.benchmarks.harness.cost_estimate import cost_estimate
    from mfbench.benchmarks.harness.prepare import prepare
    from mfbench.benchmarks.harness.runner import pending, run_all, unused
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.mfcore.errors import StorageError

    if root.exists() and not root.is_dir():
        raise StorageError.of(NotADirectoryError(errno.ENOTDIR, ""), root)
    words = "Preparing splits and settings"
    if len(specs) >= _MANY:
        console.print(f"{words} of {len(specs):,} runs ...", highlight=False)
    with waiting(words, console) as told:
        planned = prepare(specs, lambda done: told(f"{words}: {done:,} of {len(specs):,} runs"))
    store = RunStore(root)
    plan = pending(planned, store, retry_failed=retry_failed)
    where = where or Where()
    processes = where.processes(len(plan.todo))
    with waiting("Adding up costs", console):
        whole = cost_estimate(planned, plan, store, processes)
    console.print(summary_line(whole, basis), highlight=False, soft_wrap=True)
    if plan.todo and (sentence := unused(planned, store)):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for run, reason in plan.failed:
        text = f"failed before: {run.spec.title()}: {reason} (--retry-failed computes it again)"
        console.print(text, style="red", markup=False, soft_wrap=True)
    if dry_run:
        _list_runs(console, planned, plan)
        return len(plan.failed)
    with RunsProgress(console, plan.todo, planned, lambda key: store.load(key).rows) as monitor:
        executor = where.executor(console, len(plan.todo))
        failed = run_all(plan.todo, planned, store, monitor, executor, where.sharing)
    return len(plan.failed) + len(failed)


def _list_runs(console: Console, planned: Sequence[PlannedRun], plan: Pending) -> None:
    stored = {run.key for run in plan.stored}
    failed = {run.key for run, _ in plan.failed}
    for run in planned:
        state = "stored" if run.key in stored else "failed" if run.key in failed else "to do"
        console.print(f"{run.key[:12]}  {state:<6}  {run.spec.title()}", markup=False, highlight=False, soft_wrap=True)
