"""`mfbench discover`: relax many initial structures with a potential, and write what Matbench Discovery takes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli.output import say
from mfbench.benchmarks.cli.place import (
    ClusterPath,
    ExecutorKind,
    Kind,
    NoSharedFolder,
    SchedulerAddress,
    TlsCaFile,
    TlsCert,
    TlsKey,
    where,
)
from mfbench.benchmarks.cli.starting import Checkpoint, Trust
from mfbench.benchmarks.cli.waiting import waiting

if TYPE_CHECKING:
    from rich.console import Console

    from mfbench.benchmarks.cli.place import Where
    from mfbench.benchmarks.discovery.materials import Material
    from mfbench.benchmarks.discovery.relaxations import Relaxed, Relaxing
    from mfbench.benchmarks.user.chosen import Chosen
    from mfbench.mfcore.potentials.potential import Potential

FETCHED = "wbm"
"""Names the files that `mfbench data fetch wbm` downloads."""

EXAMPLES = """Examples:

mfbench discover model --structures wbm --references wbm --corrections wbm --out preds

mfbench discover --core sevennet --checkpoint SevenNet-0 --structures wbm --references wbm --out preds --workers 8

mfbench discover model --structures wbm --references wbm --out preds --executor dask --cluster cluster.yml

In parts, at once, into one folder: mfbench discover model ... --out preds --part 1/8, 2/8, ...; the one that ends last
writes the predictions."""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("discover", epilog=EXAMPLES)(discover)


def discover(
    structures: Annotated[
        list[str],
        typer.Option(help="File of initial structures with ids; may be repeated. wbm: those that are fetched."),
    ],
    references: Annotated[
        str,
        typer.Option(
            help="Elements: energies (wbm: the Materials Project's), or structures that the potential relaxes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same folder goes on where it was.")],
    model: Annotated[
        Path | None, typer.Argument(help="Folder of a potential (mfbench fit); none with --checkpoint.")
    ] = None,
    core: Annotated[
        str | None, typer.Option(help="Core of --checkpoint (mfbench list cores).", show_default="the default one")
    ] = None,
    checkpoint: Checkpoint = None,
    trust_checkpoint: Trust = False,
    corrections: Annotated[
        str | None,
        typer.Option(
            help="Table with e_correction_per_atom_mp2020, added to the energies. wbm: the summary.",
            show_default="none",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model in the files.")] = "mfbench",
    fidelity: Annotated[
        str | None, typer.Option(help="Which of the potential's fidelities.", show_default="the highest")
    ] = None,
    entries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the relaxed materials as pymatgen's computed structure entries (.json.gz)."
        ),
    ] = None,
    fmax: Annotated[float, typer.Option(min=1e-6, help="Relaxed when no force is larger, eV/Å.")] = 0.05,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps after which the energy counts as it is.")] = 500,
    part: Annotated[str, typer.Option(help="K/N: relax every N-th material, from the K-th on.")] = "1/1",
    limit: Annotated[int | None, typer.Option(min=1, help="Relax at most so many in this call.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that relax, of one thread each.",
            show_default="this process alone; of Dask, all of its workers",
        ),
    ] = None,
    executor: ExecutorKind = Kind.local,
    scheduler: SchedulerAddress = None,
    cluster: ClusterPath = None,
    no_shared_folder: NoSharedFolder = False,
    tls_ca_file: TlsCaFile = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Relax initial structures, and write predictions and a model entry in Matbench Discovery's form.

    FIRE on atoms and cell, as that benchmark's models are relaxed. A material with an element that the potential was
    not trained on is left out and counted. A run that is stopped goes on with the same command, to the same result.
    mfbench score-discovery scores the predictions. A released model needs no fit: --checkpoint names it.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.progress import MaterialsProgress
    from mfbench.benchmarks.discovery.entries import check_name, write_entries
    from mfbench.benchmarks.discovery.relaxations import Part, read_relaxed, relax_all, same_run
    from mfbench.benchmarks.discovery.submission import model_key
    from mfbench.benchmarks.user.chosen import Chosen
    from mfbench.mfcore.locks import only_writer_of

    console = Console(stderr=True)
    share, key = Part.parse(part), model_key(name)
    if entries is not None:
        check_name(entries)
    tls = (tls_ca_file, tls_cert, tls_key)
    place = where(workers, executor, scheduler, cluster, no_shared_folder, tls, out / "jobs")
    chosen = Chosen.of(model, core, checkpoint, trust_checkpoint)
    materials, sums = _materials([_path(text, "STRUCTURES") for text in structures])
    elements_file = _path(references, "ELEMENTS")
    table = None if corrections is None else _corrections(_path(corrections, "SUMMARY"))
    level = chosen.level(fidelity)
    settings: dict[str, Any] = {"fmax": fmax, "max_steps": max_steps}
    same_run(out, {"model": chosen.identity, "fidelity": level, "structures": sums, **settings})
    lost: list[tuple[str, str]] = []
    mark = out / f"part-{share.number}of{share.of}"
    with only_writer_of(mark), MaterialsProgress(console) as progress:
        relaxing = _relaxing(chosen, level, out, settings, place, console, lost)
        relax_all(materials, relaxing, out, part=share, limit=limit, told=progress.told)
    lines = read_relaxed(out)
    known = {line.material_id for line in lines}
    left = sum(material.id not in known for material in materials)
    say(_summary(lines))
    for identity, reason in lost:
        say(f"error: '{identity}' is not done: {reason}.", err=True)
    if left:
        say(f"{left} of {len(materials)} materials are left: the same command, or the other parts, go on.")
    if lost:
        raise typer.Exit(1)
    if left:
        return
    needed = {symbol for line in lines if line.energy_ev is not None for symbol in _symbols(line)}
    energies = _elements(elements_file, needed, chosen.potential, level, settings)
    _write(out, key, name, materials, lines, energies, table, chosen.potential, settings)
    if entries is not None:
        with only_writer_of(entries):
            write_entries(entries, materials, lines, energies, table)
        say(str(entries))


def _relaxing(
    chosen: Chosen,
    level: str,
    out: Path,
    settings: dict[str, Any],
    place: Where,
    console: Console,
    lost: list[tuple[str, str]],
) -> Relaxing:
    """Choose what relaxes: this process, or the workers that the options ask for."""
    from mfbench.benchmarks.discovery.relaxations import relaxed_here

    if place.place is None and place.workers in (None, 1):
        return lambda todo: relaxed_here(todo, chosen.potential, level, **settings)
    from mfbench.benchmarks.discovery.workers import Model, relaxed_by

    def by_workers(todo: Sequence[Material]) -> Iterator[Relaxed]:
        if not todo:
            return
        model = Model.of(chosen.stored(out / "model"), level, sent=place.apart)
        number = place.processes(len(todo))
        yield from relaxed_by(
            place.executor(console, number), number, model, todo, settings, lambda *what: lost.append(what)
        )

    return by_workers


def _path(text: str, which: str) -> Path:
    if text != FETCHED:
        return Path(text)
    from mfbench.benchmarks.discovery import remote

    return remote.fetch_file(getattr(remote, which))


def _materials(paths: Sequence[Path]) -> tuple[list[Material], list[str]]:

    from mfbench.benchmarks.discovery.materials import read_materials
    from mfbench.mfcore.errors import DataError
    from mfbench.mfcore.files import sha256_of

    materials: list[Material] = []
    seen: dict[str, Path] = {}
    with waiting("Reading structures"):
        for path in paths:
            found = read_materials(path)
            for material in found:
                if material.id in seen:
                    raise DataError(f"the material '{material.id}' is in {seen[material.id]}, too.", file=path)
                seen[material.id] = path
            materials += found
    return materials, [sha256_of(path) for path in paths]


def _corrections(path: Path) -> dict[str, float]:
    from mfbench.benchmarks.discovery.files import read_corrections

    return read_corrections(path)


def _elements(
    path: Path, needed: set[str], potential: Potential, level: str, settings: dict[str, Any]
) -> dict[str, float]:
    from mfbench.benchmarks.discovery.references import element_energies, read_references

    with waiting("Relaxing the elements"):
        return element_energies(read_references(path), needed, potential, level, **settings)


def _summary(lines: Sequence[Relaxed]) -> str:
    from mfbench.benchmarks.discovery.relaxations import problems

    reasons = ", ".join(f"{n} × {reason}" for reason, n in problems(lines).most_common())
    with_energy = sum(line.energy_ev is not None for line in lines)
    return f"{len(lines)} materials: {with_energy} with an energy" + (f"; {reasons}." if reasons else ".")


def _write(
    out: Path,
    key: str,
    name: str,
    materials: Sequence[Material],
    lines: Sequence[Relaxed],
    elements: dict[str, float],
    corrections: dict[str, float] | None,
    potential: Potential,
    settings: dict[str, Any],
) -> None:
    from mfbench.benchmarks.discovery.submission import write_entry, write_predictions
    from mfbench.mfcore.locks import only_writer_of

    predictions = out / f"{key}-wbm-IS2RE-FIRE.csv.gz"
    order = [material.id for material in materials]
    entry = out / f"{key}.yml"
    with only_writer_of(predictions), only_writer_of(entry):
        n = write_predictions(predictions, key, order, lines, elements, corrections)
        write_entry(entry, name, key, potential, predictions, **settings)
    absent = sorted({s for line in lines if line.energy_ev is not None for s in _symbols(line)} - set(elements))
    if absent:
        say(f"warning: no energy of the elements {', '.join(absent)}: compounds of them have no prediction.", err=True)
    say(f"{n} of {len(materials)} materials have an energy of formation.\n{predictions}\n{entry}")


def _symbols(line: Relaxed) -> set[str]:
    from ase import Atoms

    return set(Atoms(line.formula).get_chemical_symbols())
