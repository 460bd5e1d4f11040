"""`mfbench discover`: relax many initial structures with a potential, and write what Matbench Discovery takes in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mfbench.benchmarks.cli.output import say

if TYPE_CHECKING:
    from mfbench.benchmarks.discovery.materials import Material
    from mfbench.benchmarks.discovery.relaxations import Relaxed
    from mfbench.mfcore.potentials.potential import Potential

FETCHED = "wbm"
"""Names the files that `mfbench data fetch wbm` downloads."""


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(
        "discover",
        epilog="Example: mfbench discover model --structures wbm --references wbm --corrections wbm --out preds\n\n"
        "In parts, at once, into one folder: mfbench discover model ... --out preds --part 1/8, 2/8, ...; the one that "
        "ends last writes the predictions.",
    )(discover)


def discover(
    model: Annotated[Path, typer.Argument(help="Folder of a potential (mfbench fit).")],
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
    fmax: Annotated[float, typer.Option(min=1e-6, help="Relaxed when no force is larger, eV/Å.")] = 0.05,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps after which the energy counts as it is.")] = 500,
    part: Annotated[str, typer.Option(help="K/N: relax every N-th material, from the K-th on.")] = "1/1",
    limit: Annotated[int | None, typer.Option(min=1, help="Relax at most so many in this call.")] = None,
) -> None:
    """Relax initial structures, and write predictions and a model entry in Matbench Discovery's form.

    FIRE on atoms and cell, as that benchmark's models are relaxed. A material with an element that the potential was
    not trained on is left out and counted. A run that is stopped goes on with the same command, to the same result.
    mfbench score-discovery scores the predictions.
    """
    from rich.console import Console

    from mfbench.benchmarks.cli.progress import MaterialsProgress
    from mfbench.benchmarks.discovery.relaxations import Part, read_relaxed, relax_all, same_run
    from mfbench.benchmarks.discovery.submission import model_key
    from mfbench.mfcore.locks import only_writer_of

    share, key = Part.parse(part), model_key(name)
    potential, level = _potential(model, fidelity)
    materials, sums = _materials([_path(text, "STRUCTURES") for text in structures])
    elements_file = _path(references, "ELEMENTS")
    table = None if corrections is None else _corrections(_path(corrections, "SUMMARY"))
    run = {"model": _sum(model), "fidelity": level, "structures": sums, "fmax": fmax, "max_steps": max_steps}
    same_run(out, run)
    settings: dict[str, Any] = {"fmax": fmax, "max_steps": max_steps}
    mark = out / f"part-{share.number}of{share.of}"
    with only_writer_of(mark), MaterialsProgress(Console(stderr=True)) as progress:
        relax_all(materials, potential, level, out, part=share, limit=limit, told=progress.told, **settings)
    lines = read_relaxed(out)
    known = {line.material_id for line in lines}
    left = sum(material.id not in known for material in materials)
    say(_summary(lines))
    if left:
        say(f"{left} of {len(materials)} materials are left: the same command, or the other parts, go on.")
        return
    needed = {symbol for line in lines if line.energy_ev is not None for symbol in _symbols(line)}
    energies = _elements(elements_file, needed, potential, level, settings)
    _write(out, key, name, materials, lines, energies, table, potential, settings)


def _potential(model: Path, fidelity: str | None) -> tuple[Potential, str]:
    import mfbench
    from mfbench.mfcore.errors import ConfigError

    potential = mfbench.load(model)
    level = potential.fidelities[-1] if fidelity is None else fidelity
    if level not in potential.fidelities:
        raise ConfigError(f"--fidelity {level}: this potential answers for {', '.join(potential.fidelities)}.")
    if potential.requires_low_labels:
        raise ConfigError(
            f"{model}: this {potential.arm} potential needs '{potential.requires_low_labels[0]}' labels of every "
            "geometry, so that it cannot relax."
        )
    return potential, level


def _path(text: str, which: str) -> Path:
    if text != FETCHED:
        return Path(text)
    from mfbench.benchmarks.discovery import remote

    return remote.fetch_file(getattr(remote, which))


def _sum(model: Path) -> str:
    from mfbench.mfcore.files import sha256_of
    from mfbench.mfcore.potentials.stored import HEADER

    return sha256_of(model / HEADER)


def _materials(paths: Sequence[Path]) -> tuple[list[Material], list[str]]:
    from rich.console import Console

    from mfbench.benchmarks.discovery.materials import read_materials
    from mfbench.mfcore.errors import DataError
    from mfbench.mfcore.files import sha256_of

    materials: list[Material] = []
    seen: dict[str, Path] = {}
    with Console(stderr=True).status("Reading structures"):
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
    from rich.console import Console

    from mfbench.benchmarks.discovery.references import element_energies, read_references

    with Console(stderr=True).status("Relaxing the elements"):
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
