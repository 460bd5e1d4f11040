"""Relaxation of many materials, one line stored for each, so that a run which is cut off goes on where it was."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.data import chemical_symbols

from mfbench.benchmarks.discovery.materials import Material
from mfbench.mfcore.errors import ConfigError, DataError, ExtrapolationWarning
from mfbench.mfcore.files import append_line, make_folder, whole_lines, write_text
from mfbench.mfcore.locks import only_writer_of

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

LARGEST_VOLUME_RATIO = 10.0
"""A cell that has grown or shrunk by more than this has exploded or collapsed."""

LARGEST_FORCE = 1e4
"""eV/Å; initial structures may have atoms close to each other."""

PER_FILE = 1000
"""Materials whose lines are in one file."""

RUN = "run.json"
NOT_COVERED = "not covered"

Told = Callable[[int, int, str], None]
"""Told (materials done, materials in all, the last one)."""


@dataclass(frozen=True)
class Relaxed:
    """Result of one material.

    Attributes
    ----------
    material_id, formula, n_atoms
        Of the initial structure; the formula in alphabetical order.
    energy_ev
        Of the last geometry; None if there is none.
    steps
        Of the optimizer.
    problem
        Why there is no energy, or that the steps were not enough; "" for a converged one.
    cell, positions
        Of the last geometry, Å.
    """

    material_id: str
    formula: str
    n_atoms: int
    energy_ev: float | None
    steps: int
    problem: str
    cell: list[list[float]]
    positions: list[list[float]]


Relaxing = Callable[[Sequence[Material]], Iterator[Relaxed]]
"""Relaxes materials, and gives them as they are done."""


@dataclass(frozen=True)
class Part:
    """Share of the materials that one process relaxes: every `of`-th one, from `number` (1 to `of`) on."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read "2/8".

        Raises
        ------
        ConfigError
            If it is something else.
        """
        first, _, last = text.partition("/")
        if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
            raise ConfigError(f"--part {text}: expected K/N with 1 ≤ K ≤ N, such as 2/8.")
        return cls(int(first), int(last))


def relax_all(
    materials: Sequence[Material],
    relaxing: Relaxing,
    out: Path,
    *,
    part: Part | None = None,
    limit: int | None = None,
    told: Told | None = None,
) -> None:
    """Relax the materials that `out` has no line of, and store each as soon as it is there.

    Parameters
    ----------
    relaxing
        Relaxes materials, in whatever order: :func:`relaxed_here`, or
        :func:`mfbench.benchmarks.discovery.workers.relaxed_by`.
    part
        Which of the materials; others may be relaxed by other processes at the same time.
    limit
        Relax at most so many.
    """
    part = part or Part()
    known = {line.material_id for line in read_relaxed(out)}
    mine = {m.id: i for i, m in enumerate(materials) if i % part.of == part.number - 1}
    todo = [materials[i] for name, i in mine.items() if name not in known]
    make_folder(out)
    done = len(mine) - len(todo)
    for line in relaxing(todo[:limit]):
        if line.material_id in known:
            continue
        known.add(line.material_id)
        index = mine[line.material_id]
        path = out / f"relaxed-{part.number}of{part.of}-{index // PER_FILE:04d}.jsonl"
        append_line(path, json.dumps(asdict(line)))
        done += 1
        if told is not None:
            told(done, len(mine), line.material_id)


def relaxed_here(
    materials: Iterable[Material],
    potential: Potential,
    fidelity: str,
    *,
    fmax: float,
    max_steps: int,
    one_by_one: bool = False,
) -> Iterator[Relaxed]:
    """Relax materials in this process, many at once unless told otherwise; they come as they are done.

    As Matbench Discovery's models are relaxed: FIRE with `FrechetCellFilter` until no force is larger than `fmax`
    (eV/Å), or for `max_steps`; then the energy counts as it is. A material with an element that the potential has not
    been trained on is not relaxed, and its line says so.
    """
    from mfbench.mfcore.potentials.relax import How
    from mfbench.mfcore.potentials.relax_many import BATCH_ATOMS, relax_many

    how = How(fmax, max_steps, fire=True, largest_force=LARGEST_FORCE, largest_volume_ratio=LARGEST_VOLUME_RATIO)
    covered = []
    for material in materials:
        if missing := set(material.atoms.numbers.tolist()) - set(potential.species):
            names = ", ".join(sorted(chemical_symbols[number] for number in missing))
            yield _line(material, material.atoms, None, 0, f"{NOT_COVERED}: {names}")
        else:
            covered.append(material)
    if not covered:
        return
    atoms, calculator = (m.atoms for m in covered), potential.calculator(fidelity)
    relaxations = relax_many(atoms, calculator, how, batch_atoms=1 if one_by_one else BATCH_ATOMS)
    while True:
        with warnings.catch_warnings():  # while it relaxes, not while the caller has the line
            warnings.simplefilter("ignore", ExtrapolationWarning)  # it would be told of nearly every one
            done = next(relaxations, None)
        if done is None:
            return
        number, found = done
        energy = found.last_energy_ev
        energy_ev = None if energy != energy else energy
        yield _line(covered[number], found.atoms, energy_ev, found.steps, found.problem)


def _line(material: Material, atoms: Atoms, energy: float | None, steps: int, problem: str) -> Relaxed:
    formula = str(material.atoms.symbols.formula.format("abc"))
    cell, positions = atoms.cell.array.tolist(), atoms.positions.tolist()
    return Relaxed(material.id, formula, len(atoms), energy, steps, problem, cell, positions)


def read_relaxed(out: Path) -> list[Relaxed]:
    """Read all lines; an unfinished last one, which a killed process has left, is none.

    Raises
    ------
    DataError
        If another line is damaged.
    """
    found: dict[str, Relaxed] = {}
    for path in sorted(out.glob("relaxed-*.jsonl")):
        for number, line in enumerate(whole_lines(path), start=1):
            try:
                record = Relaxed(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"line {number} is no relaxed material ({str(error)[:80]}).",
                    file=path,
                    hint="Remove the file: its materials are relaxed again.",
                ) from None
            found.setdefault(record.material_id, record)
    return list(found.values())


def same_run(out: Path, run: dict[str, Any]) -> None:
    """Store how the materials of a folder are relaxed, or check that they were relaxed so.

    Raises
    ------
    ConfigError
        If the folder has materials that were relaxed otherwise; named is what differs.
    """
    make_folder(out)
    path = out / RUN
    if not path.exists():
        with only_writer_of(path):
            write_text(path, json.dumps(run, indent=1) + "\n")
        return
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        raise DataError("it is damaged.", file=path, hint="Give another --out.")
    if differing := sorted(key for key in {*run, *stored} if run.get(key) != stored.get(key)):
        raise ConfigError(
            f"--out {out}: its materials were relaxed with another {' and '.join(differing)} "
            f"({', '.join(str(stored.get(key))[:60] for key in differing)}); give another --out."
        )


def problems(lines: Sequence[Relaxed]) -> Counter[str]:
    """Number of materials by reason, without its numbers and names."""
    words = [re.split(r" in \d|: ", line.problem)[0] for line in lines if line.problem]
    return Counter(re.sub(r"^the volume is .*", "the volume has run away", word) for word in words)
