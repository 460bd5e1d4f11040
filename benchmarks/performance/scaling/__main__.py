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

from pathlib import Path
from typing import Annotated

import typer

from mfbench.benchmarks.performance.harness import command
from mfbench.benchmarks.performance.harness.store import ResultsFile
from mfbench.benchmarks.performance.scaling.settings import ATOMS, AXES, points

_DEFAULT_OUT = Path("results/performance/scaling.json")


def results_file(path: Path) -> ResultsFile:
    """The rounds, memory and roofline of one machine and code."""
    return ResultsFile(path, "scaling benchmark", "--json", needs=("key", "rounds"))


def main(
    rounds: Annotated[int, typer.Option(help="Rounds in all.")] = 3,
    seconds: Annotated[float, typer.Option(help="Time of each measurement; at least one call.")] = 0.3,
    atoms: Annotated[list[int] | None, typer.Option(help="Number of atoms; repeatable. 104 to 105456.")] = None,
    axis: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(AXES)}; all by default.")] = None,
    python: Annotated[Path | None, typer.Option(help="Interpreter in which NequIP is installed.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory in fresh processes.")] = True,
    roofline: Annotated[bool, typer.Option(help="Measure operations and bytes a second.")] = True,
    json: Annotated[Path, typer.Option(help="Results file; finished rounds in it are kept.")] = _DEFAULT_OUT,
    table_only: command.TableOnly = False,
) -> None:
    """Time, print the tables, and say whether the time is proportional to the number of atoms."""
    import torch

    from mfbench.benchmarks.performance.harness.progress import Shown
    from mfbench.benchmarks.performance.scaling.execute import add_memory, add_rounds, record_of
    from mfbench.benchmarks.performance.scaling.report import memory_table, roofline_table, table_of, verdict
    from mfbench.benchmarks.performance.scaling.roofline import roofline as measure_roofline
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.memory import keep_freed_memory

    console, out = command.console_of(150), results_file(json)
    sizes, planned = atoms or ATOMS, points(atoms or ATOMS, command.chosen(axis, AXES, "axis"))
    with command.errors_on(console):
        if python is not None and not python.is_file():
            raise ConfigError(f"--python {python}: is not a Python interpreter.")
        if table_only:
            if not json.exists():
                raise ConfigError(f"--table-only: {json} does not exist; nothing has been measured.")
            (record,) = out.read()
        else:
            torch.set_num_threads(1)
            record = record_of(out, planned, keep_freed_memory())  # as the calculator keeps it
            lacking = max(0, rounds - len(record["rounds"]))
            with Shown(console, lacking * sum(point.n_atoms for point in planned)) as shown:
                add_rounds(record, planned, rounds, seconds, out, shown)
                if memory:
                    # not resolved: a virtual environment is recognised by the path of its link
                    add_memory(record, sizes, str(python.absolute()) if python else None, out, shown)
            if roofline and record["roofline"] is None:
                record["roofline"] = measure_roofline(max(rounds, 3), seconds)
                out.keep(record)
    for name in dict.fromkeys(point["axis"] for point in record["rounds"][0]) if record["rounds"] else ():
        console.print(table_of(record, name))
    if record["memory"]:
        console.print(memory_table(record["memory"]))
    if record["roofline"] is not None:
        console.print(roofline_table(record["roofline"]))
    command.conclude(console, verdict(record))


if __name__ == "__main__":
    command.run(main, __doc__)
