r"""Speed and memory of the core beside NequIP, MACE, SevenNet and HIP-NN on the same frames.

Every contender is built in a process of its own, with one shape of network; then they take turns inside every round
(A B C, C B A, ...), so that what else the machine does hits all alike. Timed are energies with forces, and one
training step on both (Adam), graphs made beforehand. CPU time counts at one thread, wall time at several.

Example:

\b
    python -m tox run -e peers -- mfbench.benchmarks.performance.speed --table-only    # makes the peers' environment
    python -m mfbench.benchmarks.performance.speed --python .tox/peers/bin/python
    python -m mfbench.benchmarks.performance.speed --table-only

Every round is stored when it is done; killed, the same command goes on. A change of the core, of the benchmark or of
the machine starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.performance.contenders.registry import CONTENDERS, CORE
from mfbench.benchmarks.performance.harness import command
from mfbench.benchmarks.performance.harness.store import ResultsFile
from mfbench.benchmarks.performance.speed.settings import NETWORKS, sessions
from mfbench.benchmarks.performance.workloads import WORKLOADS

if TYPE_CHECKING:
    from rich.console import Console

_DEFAULT_OUT = Path("results/performance/speed.json")
_COMPILED = "nequip_compiled"


def results_file(path: Path) -> ResultsFile:
    """The sessions, each with its finished rounds."""
    return ResultsFile(path, "speed comparison", "--json", "sessions")


def main(
    rounds: Annotated[int, typer.Option(help="Rounds that each session shall have.")] = 5,
    only: Annotated[list[str] | None, typer.Option(help="Contender; repeatable. All by default.")] = None,
    workload: Annotated[list[str] | None, typer.Option(help="Repeatable; by default those of the README.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Shape of network; repeatable. All by default.")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="Repeatable; by default 1 and 2.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="NequIP compiled, too: minutes before the first round, then kept.")
    ] = False,
    memory: Annotated[bool, typer.Option(help="Measure peak memory in fresh processes.")] = True,
    seconds: Annotated[float, typer.Option(help="Wall time of each measurement; at least one call.")] = 0.2,
    python: command.Pythons = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json: Annotated[Path, typer.Option(help="Results file; finished rounds in it are kept.")] = _DEFAULT_OUT,
    table_only: command.TableOnly = False,
) -> None:
    """Time, print the tables, and say how many times as fast as the fastest equivariant peer the core is."""
    from mfbench.benchmarks.performance.harness.process import interpreters
    from mfbench.benchmarks.performance.harness.progress import Shown
    from mfbench.benchmarks.performance.speed.execute import counts_of, run, session_key

    names = command.chosen(only, list(CONTENDERS), "contender")
    if not only:
        names.remove(_COMPILED)
    if compiled and _COMPILED not in names:
        names.append(_COMPILED)
    variants = command.chosen(variant, list(NETWORKS), "variant")
    console, out = command.console_of(180), results_file(json)
    with command.errors_on(console):
        if table_only:
            records = out.read()
        else:
            found = interpreters(python or [], list(CONTENDERS), [name for name in CONTENDERS if name != CORE])
            planned = sessions(names, workload or WORKLOADS, variants, threads or [1, 2], device)
            stored, total = out.by_key(), 0
            for s in planned:
                lacking = max(0, rounds - len(stored.get(session_key(s), {}).get("rounds", [])))
                total += lacking * counts_of(s.workload)["n_atoms"] * len(s.contenders) * len(s.threads)
            with Shown(console, total) as shown:
                records = [run(session, found, rounds, seconds, memory, out, shown) for session in planned]
    show(console, records)


def show(console: Console, records: Sequence[dict[str, Any]]) -> None:
    """Print all tables."""
    from mfbench.benchmarks.performance.speed.report import remarks_of, summary_of, table_of

    for record in records:
        for count in record["session"]["threads"]:
            console.print(table_of(record, count))
    console.print(summary_of(records))
    for remark in remarks_of(records):
        console.print(remark, markup=False, highlight=False)


if __name__ == "__main__":
    command.run(main, __doc__)
