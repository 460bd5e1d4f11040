r"""Study of settings of training: which bring the core to a given error in the least CPU time, alone and together.

Problems: energies and forces of H2CO (all training frames of the task), energies alone, joint training on the
embedded tasks, and 100 energies of cold methanol, on which trainings used to collapse to the mean. Each variant of the
settings is trained at the same atom gradients; the default also at more of them, for the curve of error against CPU
time.

Example:

\b
    python -m mfbench.benchmarks.performance.training --problem h2co
    python -m mfbench.benchmarks.performance.training --problem li6ps5cl --variant batch_atoms=256 --repeats 2
    python -m mfbench.benchmarks.performance.training --problem methanol_energies --variant default --repeats 50
    python -m mfbench.benchmarks.performance.training --set training.learning_rate=0.004 --set training.ema=0.995
    python -m mfbench.benchmarks.performance.training --problem h2co_random --variant default --peer mace \
        --peer nequip --python peers/bin/python --budget 1e5 --budget 4e5
    python -m mfbench.benchmarks.performance.training --table-only

A training that is in the results file is not run again; killed, the same command goes on. A change of the code of
training starts anew; the rows of before stay in the file, and tables show the newest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mfbench.benchmarks.performance.harness import command
from mfbench.benchmarks.performance.training.settings import PEERS, PROBLEMS, VARIANTS, Variant, changed

_DEFAULT_OUT = Path("results/performance/training.json")


def variant_of(given: list[str]) -> Variant:
    """The start with ``SECTION.KEY=VALUE`` settings changed, values as in YAML.

    Raises
    ------
    ConfigError
        If one is written otherwise.
    """
    import yaml

    from mfbench.mfcore.errors import ConfigError

    settings: dict[str, dict[str, Any]] = {}
    for entry in given:
        key, equals, value = entry.partition("=")
        section, dot, name = key.partition(".")
        if not (equals and dot) or section not in ("core", "training"):
            raise ConfigError(f"--set {entry}: expected training.KEY=VALUE or core.KEY=VALUE.")
        place = settings.setdefault(section, {})
        *parents, last = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    return changed("together", ", ".join(given), settings)


def main(
    problem: Annotated[list[str] | None, typer.Option(help=f"Repeatable: {', '.join(PROBLEMS)}.")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Repeatable; all by default. See the table.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="SECTION.KEY=VALUE of a further variant; all together make one.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Draws and seeds: 0 to one less.")] = 1,
    budget: Annotated[
        list[float] | None, typer.Option(help="Atom gradients; repeatable. By default a problem's first.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help=f"Trained beside, with its recommended settings: {', '.join(PEERS)}.")
    ] = None,
    python: command.Pythons = None,
    table_only: command.TableOnly = False,
    out: Annotated[Path, typer.Option(help="Results file; finished trainings in it are kept.")] = _DEFAULT_OUT,
    figure: Annotated[Path | None, typer.Option(help="Draw the figure to this file.")] = None,
) -> None:
    """Train what is lacking, and print a table a problem."""
    import torch

    from mfbench.benchmarks.performance.harness.process import interpreters
    from mfbench.benchmarks.performance.harness.progress import Shown
    from mfbench.benchmarks.performance.training.execute import results_file, study
    from mfbench.benchmarks.performance.training.peers import peer_row
    from mfbench.benchmarks.performance.training.report import draw, latest, table_of
    from mfbench.mfcore.errors import DataError

    console, file = command.console_of(170), results_file(out)
    problems = [PROBLEMS[name] for name in command.chosen(problem, list(PROBLEMS), "problem")]
    with command.errors_on(console):
        own = [variant_of(settings)] if settings else []
        variants = (
            own
            if own and not variant
            else [VARIANTS[n] for n in command.chosen(variant, list(VARIANTS), "variant")] + own
        )
        peers = command.chosen(peer, PEERS, "peer") if peer else []
        pythons = interpreters(python or [], PEERS, PEERS)
        if not table_only:
            torch.set_num_threads(1)
            contenders: list[Variant | str] = [*variants, *peers]
            wanted = [  # by budget, then by contender: all have their turns in a busy spell of the machine
                (p, who, b, r)
                for p in problems
                for b in budget or p.budgets[:1]
                for r in range(repeats)
                for who in contenders
            ]
            with Shown(console, sum(w[2] for w in wanted)) as shown:

                def tell(text: str, amount: float) -> None:
                    shown.done(amount, text)

                for p, who, b, r in wanted:
                    try:
                        if isinstance(who, str):
                            peer_row(who, p, b, r, file, pythons.get(who, sys.executable), tell)
                        else:
                            study([(p, who, b, r)], file, tell)
                        name = who if isinstance(who, str) else who.name
                        shown.stored(f"{p.name}, {name}, {b:g}, repeat {r}")
                    except DataError as error:  # the files of a task are not everywhere
                        shown.failed(f"{p.name}: left out: {error}")
        rows = latest(file.read())
    for chosen in problems:
        if any(row["problem"] == chosen.name for row in rows):
            console.print(table_of(chosen, rows))
    if figure is not None:
        draw(problems, rows, figure)


if __name__ == "__main__":
    command.run(main, __doc__)
