"""The folder that `mfbench export-model` writes: one fidelity of a potential, and a script that uses it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ase.data import chemical_symbols

from mfbench.benchmarks.exports.moved import self_contained
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import folder_beside, make_folder, rename_folder, write_text
from mfbench.mfcore.potentials.potential import Potential


class Format(NamedTuple):
    """A program that potentials are exported to.

    Attributes
    ----------
    summary
        One line about it.
    templates
        Files beside the potential.
    then
        What to type afterwards, with `{out}` for the folder.
    write
        Write what else the folder holds; None: nothing.
    """

    summary: str
    templates: tuple[str, ...]
    then: str
    write: Callable[[Potential, Path], None] | None = None


def _write_graph(potential: Potential, folder: Path) -> None:
    from mfbench.benchmarks.exports.graph import save_graph

    save_graph(potential, folder / "network.pt2")


FORMATS = {
    "torch-sim": Format(
        "batched relaxations and dynamics on one device", ("md.py",), "python {out}/md.py structures.xyz"
    ),
    "lammps": Format(
        "LAMMPS with its Python module, in one process",
        ("run_lammps.py", "in.lammps"),
        "python {out}/run_lammps.py {out}/in.lammps structure.xyz",
    ),
    "torch-export": Format(
        "a graph of torch.export, which runs where mfbench is installed",
        ("evaluate.py",),
        "python {out}/evaluate.py structures.xyz",
        _write_graph,
    ),
}


def export_model(source: Potential | str | Path, form: str, out: Path, fidelity: str | None = None) -> Potential:
    """Write one fidelity of a potential, with the networks that it needs, and scripts that use it.

    The folder is a potential, too: :func:`mfbench.load` reads it.

    Parameters
    ----------
    source
        Potential, or the folder of one.
    form
        One of `FORMATS`.
    out
        Folder, which must not exist.
    fidelity
        Which of its fidelities, or "high" / "low"; None is the target.

    Returns
    -------
    Potential
        What was written.

    Raises
    ------
    ConfigError
        If there is no such format, `out` is taken, or the fidelity is not answered for by networks alone.
    StorageError
        If the disk is full or cannot be written to.
    """
    if form not in FORMATS:
        raise ConfigError(f"format '{form}': expected one of {', '.join(FORMATS)}.")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or give another --out.")
    potential = self_contained(source, fidelity)
    chosen = FORMATS[form]
    words = {
        "@FIDELITY@": next(iter(potential.outputs)),
        "@ELEMENTS@": ", ".join(f'"{symbol}"' for symbol in _symbols(potential)),
        "@SYMBOLS@": " ".join(_symbols(potential)),
    }
    with folder_beside(out) as temporary:
        folder = temporary / "export"
        make_folder(folder)
        potential.save(folder)
        if chosen.write is not None:
            chosen.write(potential, folder)
        for name in chosen.templates:
            text = (resources.files("mfbench.benchmarks.exports") / "templates" / f"{name}.txt").read_text("utf-8")
            for word, meaning in words.items():
                text = text.replace(word, meaning)
            write_text(folder / name, text)
        rename_folder(folder, out)
    return potential


def _symbols(potential: Potential) -> list[str]:
    return [chemical_symbols[number] for number in potential.freeze().species]
