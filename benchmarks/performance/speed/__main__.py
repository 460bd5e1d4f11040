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

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.performance.speed.settings import CONTENDERS, CORE, NETWORKS, sessions
from mfbench.benchmarks.performance.workloads import WORKLOADS

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 180
_DEFAULT_OUT = Path("results/performance/speed.json")
_COMPILED = "nequip_compiled"


def _checked(given: list[str] | None, known: list[str], what: str) -> list[str]:
    unknown = [name for name in given or [] if name not in known]
    if unknown:
        raise typer.BadParameter(f"no {what} '{unknown[0]}'; there are {', '.join(known)}")
    return given or []


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
    python: Annotated[
        list[str] | None,
        typer.Option(help="Interpreter of the peers (PATH) or of one contender (NAME=PATH); repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json: Annotated[Path, typer.Option(help="Results file; finished rounds in it are kept.")] = _DEFAULT_OUT,
    table_only: Annotated[bool, typer.Option("--table-only", help="Time nothing; show what is stored.")] = False,
) -> None:
    """Time, print the tables, and say how many times as fast as the fastest equivariant peer the core is."""
    from rich.console import Console

    from mfbench.benchmarks.performance.speed.execute import counts_of, run
    from mfbench.benchmarks.performance.speed.process import interpreters
    from mfbench.benchmarks.performance.speed.progress import Shown
    from mfbench.benchmarks.performance.speed.store import read, session_key
    from mfbench.mfcore.errors import MfbenchError

    names = _checked(only, list(CONTENDERS), "contender") or [n for n in CONTENDERS if n != _COMPILED]
    if compiled and _COMPILED not in names:
        names.append(_COMPILED)
    variants = _checked(variant, list(NETWORKS), "variant") or list(NETWORKS)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)  # a file has no width; a table must not be cut for it
    try:
        if table_only:
            records = list(read(json).values())
        else:
            peers = [name for name in CONTENDERS if name != CORE]
            found = interpreters(python or [], list(CONTENDERS), peers)
            planned = sessions(names, workload or WORKLOADS, variants, threads or [1, 2], device)
            stored = read(json)
            lacking = [
                (s, counts_of(s.workload)["n_atoms"], rounds - len(stored.get(session_key(s), {}).get("rounds", [])))
                for s in planned
            ]
            with Shown(console, lacking) as shown:
                records = [run(session, found, rounds, seconds, memory, json, shown) for session in planned]
    except MfbenchError as error:
        console.print(f"[red]error:[/red] {error}")
        raise typer.Exit(2) from None
    show(console, records)


def show(console: Console, records: list[dict[str, Any]]) -> None:
    """Print all tables."""
    from mfbench.benchmarks.performance.speed.report import remarks_of, summary_of, table_of

    for record in records:
        for count in record["session"]["threads"]:
            console.print(table_of(record, count))
    console.print(summary_of(records))
    for remark in remarks_of(records):
        console.print(remark, markup=False, highlight=False)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=(__doc__ or "").replace("\\b", "\b"))(main)
    app()
