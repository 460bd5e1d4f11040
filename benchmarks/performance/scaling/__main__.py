r"""How time and memory of the core grow, and how near its kernels are to what the machine can do.

Timed are energies with forces of the frozen core and the graph they need, at one thread, over the number of atoms
(100 to 100,000 at one density, each in one batch), edges per atom, channels and lmax, with the exponent of the power
law; then the peak memory of fresh processes, NequIP's beside it; then operations and bytes a second beside a matrix
product and a copy of the same run.

Example:

\b
    python -m mfbench.benchmarks.performance.scaling --python .tox/peers/bin/python
    python -m mfbench.benchmarks.performance.scaling --table-only

Every round is stored when it is done; killed, the same command goes on. A change of the core, of the benchmark or of
the machine starts anew.
"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.performance.scaling.settings import ATOMS, FIXED_ATOMS, points

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 150
_DEFAULT_OUT = Path("results/performance/scaling.json")
_AXES = ("atoms", "edges", "channels", "lmax")
_EXAMPLE_ATOMS = 11232


def _key(atoms: Sequence[int], axes: Sequence[str], keep_memory: bool) -> str:
    from mfbench.benchmarks.performance.measure import machine
    from mfbench.benchmarks.performance.speed.settings import sources
    from mfbench.mfcore.provenance import digest, source_hash

    made = [point.as_dict() for point in points(atoms, axes)]
    code = source_hash([*sources(), Path(__file__).parent])
    return digest({"points": made, "sources": code, "machine": machine(), "memory_kept": keep_memory})


def _read(path: Path) -> dict[str, Any]:
    """Read a results file; {} if there is none."""
    from mfbench.mfcore.errors import DataError

    if not path.exists():
        return {}
    try:
        record: dict[str, Any] = json_format.loads(path.read_text(encoding="utf-8"))
        record["key"], record["rounds"]
    except (ValueError, KeyError, TypeError) as error:
        hint = "Give another --json, or delete it."
        raise DataError(f"not a results file of the scaling benchmark ({error}).", file=path, hint=hint) from None
    return record


def _keep(path: Path, record: dict[str, Any]) -> None:
    from mfbench.mfcore.files import write_text

    write_text(path, json_format.dumps(record, indent=1) + "\n")


def _memory(record: dict[str, Any], atoms: Sequence[int], python: str | None, out: Path, console: Console) -> None:
    """Add the peak memory of the core at some sizes, and of NequIP at one that it can hold."""
    import sys

    from mfbench.benchmarks.performance.speed.process import Worker, WorkerFailed
    from mfbench.benchmarks.performance.speed.settings import BASE, CONTENDERS, CORE, Job

    sizes = sorted({FIXED_ATOMS, _EXAMPLE_ATOMS, max(atoms)} & set(atoms))
    wanted = [(CORE, n, sys.executable) for n in sizes]
    if python is not None and FIXED_ATOMS in atoms:
        wanted.append(("nequip", FIXED_ATOMS, python))
    for name, n_atoms, interpreter in wanted:
        if any(e["name"] == name and e["n_atoms"] == n_atoms for e in record["memory"]):
            continue
        console.print(f"memory: {CONTENDERS[name].label}, {n_atoms} atoms", highlight=False)
        entry: dict[str, Any] = {"name": name, "contender": CONTENDERS[name].label, "n_atoms": n_atoms}
        try:
            worker = Worker(Job(name, f"crystal:{n_atoms}", BASE, 1), interpreter)
            try:
                entry["bytes"] = worker.ask(what="memory", quantities=["energy_forces"])["energy_forces"]
                entry["versions"] = worker.about["versions"]
            finally:
                worker.close()
        except WorkerFailed as error:
            entry["reason"] = str(error)
        record["memory"].append(entry)
        _keep(out, record)


def _measure(
    console: Console,
    rounds: int,
    seconds: float,
    atoms: Sequence[int],
    axes: Sequence[str],
    out: Path,
    key: str,
    keep_memory: bool,
) -> dict[str, Any]:
    """Add the rounds that the results file lacks."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mfbench.benchmarks.performance.measure import machine, versions
    from mfbench.benchmarks.performance.scaling.timing import one_round

    record = _read(out)
    if record.get("key") != key:
        found = versions(("mfbench", "torch", "vesin"))
        record = {"key": key, "machine": machine(), "versions": found, "memory_kept": keep_memory}
        record |= {"rounds": [], "memory": [], "roofline": None}
    planned = points(atoms, axes)
    lacking = rounds - len(record["rounds"])
    columns = (
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=max(1, lacking) * sum(p.n_atoms for p in planned))
        for number in range(len(record["rounds"]), rounds):
            record["rounds"].append(
                one_round(planned, number, seconds, lambda p: bar.update(task, advance=p.n_atoms, description=p.title))
            )
            _keep(out, record)
            if not console.is_terminal:
                console.print(f"round {number + 1} of {rounds}", highlight=False)
    return record


def main(
    rounds: Annotated[int, typer.Option(help="Rounds in all.")] = 3,
    seconds: Annotated[float, typer.Option(help="Time of each measurement; at least one call.")] = 0.3,
    atoms: Annotated[list[int] | None, typer.Option(help="Number of atoms; repeatable. 104 to 105456.")] = None,
    axis: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(_AXES)}; all by default.")] = None,
    python: Annotated[Path | None, typer.Option(help="Interpreter in which NequIP is installed.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory in fresh processes.")] = True,
    roofline: Annotated[bool, typer.Option(help="Measure operations and bytes a second.")] = True,
    json: Annotated[Path, typer.Option(help="Results file; finished rounds in it are kept.")] = _DEFAULT_OUT,
    table_only: Annotated[bool, typer.Option("--table-only", help="Time nothing; show what is stored.")] = False,
) -> None:
    """Time, print the tables, and say whether the time is proportional to the number of atoms."""
    import torch
    from rich.console import Console

    from mfbench.benchmarks.performance.scaling.report import memory_table, roofline_table, table_of, verdict
    from mfbench.benchmarks.performance.scaling.roofline import roofline as measure_roofline
    from mfbench.mfcore.errors import ConfigError, MfbenchError
    from mfbench.mfcore.memory import keep_freed_memory

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)  # a file has no width; a table must not be cut for it
    sizes, axes = atoms or ATOMS, axis or _AXES
    unknown = [name for name in axes if name not in _AXES]
    if unknown:
        raise typer.BadParameter(f"no axis '{unknown[0]}'; there are {', '.join(_AXES)}")
    try:
        if python is not None and not python.is_file():
            raise ConfigError(f"--python {python}: is not a Python interpreter.")
        if table_only:
            record = _read(json)
            if not record:
                raise ConfigError(f"--table-only: {json} does not exist; nothing has been measured.")
        else:
            torch.set_num_threads(1)
            kept = keep_freed_memory()  # as the calculator does
            key = _key(sizes, axes, kept)
            record = _measure(console, rounds, seconds, sizes, axes, json, key, kept)
            if memory:
                # not resolved: a virtual environment is recognised by the path of its link
                _memory(record, sizes, str(python.absolute()) if python else None, json, console)
            if roofline and record["roofline"] is None:
                record["roofline"] = measure_roofline(max(rounds, 3), seconds)
                _keep(json, record)
    except MfbenchError as error:
        console.print(f"[red]error:[/red] {error}")
        raise typer.Exit(2) from None
    for name in dict.fromkeys(point["axis"] for point in record["rounds"][0]) if record["rounds"] else ():
        console.print(table_of(record, name))
    if record["memory"]:
        console.print(memory_table(record["memory"]))
    if record["roofline"] is not None:
        console.print(roofline_table(record["roofline"]))
    passed, sentence = verdict(record)
    console.print(sentence, highlight=False)
    if passed is False:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=(__doc__ or "").replace("\\b", "\b"))(main)
    app()
