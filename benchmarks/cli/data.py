"""`mfbench data ...`: look into a file, and get, check or compute again the data of the tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.reading import Block, ForcesKey, GroupKey, StressKey
from mfbench.benchmarks.cli.waiting import waiting

data = typer.Typer(no_args_is_help=True, help="Inspect a file; fetch, verify or generate the data of the tasks.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(data, name="data", epilog="Example: mfbench data inspect my_frames.xyz")


@data.command("inspect", epilog="Example: mfbench data inspect high.xyz --fidelity ccsdt")
def inspect_file(
    file: Annotated[
        Path, typer.Argument(help="Frames: extended XYZ (gzipped or not), .traj, .db, JSON of ASE or pymatgen.")
    ],
    fidelity: Annotated[
        str | None, typer.Option(help="Level that plain keys (energy, forces, REF_energy, ...) belong to.")
    ] = None,
    energy_key: Annotated[
        list[str] | None, typer.Option("--energy-key", help="Key to read as the energy.", metavar="KEY")
    ] = None,
    forces_key: ForcesKey = None,
    stress_key: StressKey = None,
    group_key: GroupKey = None,
    block: Block = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what a file has and if it can be trained on: labels, fidelities, units, copies, time series, outliers.

    Ends with 2 if a fault must be mended before anything is trained on it, or if there is no energy to train on.
    """
    import json

    from rich.console import Console

    from mfbench.benchmarks.cli.progress import Preparation
    from mfbench.benchmarks.user.options import ONE_FILE, reading_of
    from mfbench.mfcore.data.inspect import inspect
    from mfbench.mfcore.data.label_keys import LabelKeys

    reading = reading_of(energy_key, forces_key, stress_key, group_key, block, roles=ONE_FILE)
    keys = LabelKeys(**reading["keys"].get("file", {}))
    with Preparation(Console(stderr=True)) as told:
        report = inspect(file, fidelity, keys=keys, group_key=group_key, block=block, told=told)
    say(json.dumps(report.as_dict(), indent=1, ensure_ascii=False) if as_json else str(report))
    if report.faults or not any(level.n_energy for level in report.levels):
        raise typer.Exit(2)


@data.command("fetch", epilog="Example: mfbench data fetch h2co")
def fetch(
    task: Annotated[str, typer.Argument(help="Name of a task (mfbench list tasks), or wbm: Matbench Discovery's.")],
    sha256: Annotated[
        list[str] | None,
        typer.Option("--sha256", help="That the file must have, where nobody lists one; one for each file."),
    ] = None,
) -> None:
    """Download the data of a task, unless they are here; MFBENCH_DATA names a folder that is looked in first.

    wbm: the summary and the initial structures of the WBM test set (250 000 materials), and the elements' energies.
    Where a publisher lists no sum, the one that a file has at its first use is kept, and asked for from then on.
    """
    from mfbench.benchmarks.discovery.remote import FILES, NAME, fetch_file
    from mfbench.benchmarks.sets.files import check_sha256, obtain
    from mfbench.benchmarks.sets.registry import SETS
    from mfbench.benchmarks.tasks.registry import make_task
    from mfbench.mfcore.errors import ConfigError
    from mfbench.mfcore.files import sha256_of

    public = [SETS[task].file] if task in SETS else []
    if not public and task != NAME:
        public = list(getattr(make_task(task), "public_files", ()))
    if public:
        sums = [check_sha256(text) for text in sha256] if sha256 else [None] * len(public)
        if len(sums) != len(public):
            names = ", ".join(one.name for one in public)
            raise ConfigError(f"--sha256: {len(sums)} given, expected one for each of {names}.")
        for one, wanted in zip(public, sums, strict=True):
            path = obtain(one, download=True, sha256=wanted)
            say(f"{sha256_of(path)}  {path}")
        return
    if sha256:
        raise ConfigError(f"--sha256: the sums of {task} are known.")
    if task == NAME:
        for file in FILES:
            say(f"{file.md5}  {fetch_file(file)}")
        return
    for name, value in make_task(task).data_hashes().items():
        say(f"{value}  {name}")


@data.command("verify", epilog="Example: mfbench data verify molecular_cc")
def verify(
    tasks: Annotated[list[str] | None, typer.Argument(help="Names of tasks; default: all embedded ones.")] = None,
    recompute: Annotated[
        bool,
        typer.Option(
            help="Compute the cheapest label of each level again, where GPAW or PySCF is found (about a minute a task)."
        ),
    ] = True,
) -> None:
    """Check the data of tasks in full: hashes, counts, units, ranges, equal frames, and that splits do not leak.

    Where the program that made the labels is installed, one label of each level is computed again.
    """
    from rich.console import Console

    from mfbench.benchmarks.labelling.verify import Check, verify_size, verify_task
    from mfbench.benchmarks.tasks.registry import make_task, task_names
    from mfbench.mfcore.errors import ConfigError

    console, faults = Console(), 0

    def tell(name: str, check: Check) -> None:
        nonlocal faults
        faults += check.ok is False
        state = {True: "right", False: "[bold red]wrong[/]", None: "[dim]left out[/]"}[check.ok]
        console.print(f"{name}: {check.name}: {state}: ", end="", highlight=False, soft_wrap=True)
        console.print(check.detail, markup=False, highlight=False, soft_wrap=True)

    chosen = []
    for name in tasks or task_names():
        try:
            chosen.append(make_task(name))
        except ConfigError as error:
            if tasks:
                raise
            console.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)
    if not tasks:
        chosen = [task for task in chosen if task.embedded]
        tell("all", verify_size(chosen))
    for task in chosen:
        with waiting(f"Checking the data of {task.name}"):
            checks = [*verify_task(task)]
        for check in checks:
            tell(task.name, check)
        if recompute and checks[0].ok:
            for check in _recomputed(task):
                tell(task.name, check)
    if faults:
        raise typer.Exit(1)


def _recomputed(task: Any) -> Any:
    """Labels computed again, under a bar with the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mfbench.benchmarks.labelling.recompute import recompute

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        shown = bar.add_task(task.name, total=None)
        return recompute(
            task,
            lambda spent, expected, what: bar.update(shown, completed=spent, total=expected, description=what),
        )


@data.command("generate", epilog="Example: mfbench data generate molecular_cc --out labels --workers 2 --limit 10")
def generate(
    task: Annotated[str, typer.Argument(help="Name of a task that can be generated.")],
    out: Annotated[Path, typer.Option(help="Folder of the labels; the same folder goes on where it was.")],
    level: Annotated[list[str] | None, typer.Option(help="Only this kind of label; may be repeated.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Labels computed at once, one thread each.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Compute at most so many labels.")] = None,
) -> None:
    """Compute the labels of a task again, with the programs that made them.

    molecular_cc needs the extra 'data' (PySCF, tblite); ingan and li6ps5cl need GPAW (Debian: apt-get install gpaw
    gpaw-data), which MFBENCH_GPAW_PYTHON may name the Python of.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mfbench.mfcore.files import sweep_folder
    from mfbench.mfcore.locks import only_one

    module = _generator_of(task)
    levels = level or module.LEVELS
    unknown = [name for name in levels if name not in module.LEVELS]
    if unknown:
        raise typer.BadParameter(f"level '{unknown[0]}': expected one of {', '.join(module.LEVELS)}")
    taken = f"{out}: another mfbench computes labels into it; wait for it or give another --out."
    with only_one(out / ".lock", taken), Progress(console=Console(stderr=True)) as bar:
        for folder, suffixes in ((out, [".extxyz", ".yml", ".md"]), (out / "data", [".extxyz"])):
            sweep_folder(folder, suffixes)
        shown = bar.add_task("starting", total=None)
        try:
            made = module.generate(
                out,
                levels,
                workers,
                limit,
                lambda done, total, what: bar.update(shown, completed=done, total=total, description=what),
            )
        except KeyboardInterrupt as stop:
            stop.add_note("Labels that were finished are kept; the same command goes on from there.")
            raise
    say(str(made))


def _generator_of(task: str) -> Any:
    from importlib import import_module

    from mfbench.benchmarks.tasks.registry import make_task
    from mfbench.mfcore.errors import ConfigError

    name = make_task(task).generator
    if not name:
        raise ConfigError(f"task '{task}' has no generator: its data are downloaded (mfbench data fetch {task}).")
    return import_module(name)
