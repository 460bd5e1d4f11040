"""Input scripts of LAMMPS with a fitted potential: `run_lammps`, which the driver of an export calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from mfbench.benchmarks.exports.lammps import LammpsPotential
from mfbench.benchmarks.exports.lammps_library import open_lammps
from mfbench.mfcore.errors import ConfigError, DataError, MfbenchError
from mfbench.mfcore.files import replacing
from mfbench.mfcore.potentials.potential import Potential

_FLOW = ("jump", "label", "next")
_VACUUM = 10.0  # Å on each side


def commands_of(text: str) -> Iterator[str]:
    """Yield the commands of an input script: lines that end with & and those in triple quotes are joined."""
    parts: list[str] = []
    quoted = False
    for line in text.splitlines():
        parts.append(line)
        quoted ^= line.count('"""') % 2 == 1
        if quoted:
            continue
        if line.rstrip().endswith("&"):
            parts[-1] = line.rstrip()[:-1]
            continue
        command = "\n".join(parts) if '"""' in "".join(parts) else "".join(parts)
        parts = []
        if command.strip() and not command.lstrip().startswith("#"):
            yield command
    if parts:
        yield "\n".join(parts)


def run_lammps(
    source: Potential | str | Path,
    script: str | Path,
    elements: Sequence[str],
    fidelity: str | None = None,
    *,
    arguments: Sequence[str] = ("-log", "log.lammps"),
    device: str | None = None,
    precision: str | None = None,
    skin: float = 1.0,
) -> Any:
    """Run an input script of LAMMPS with the energies and forces of a fitted potential.

    The script has a line ``fix mfbench all external pf/callback 1 1`` behind the definition of box and atom types; the
    potential is attached there. Commands are given one by one, so loops by ``jump`` are written in Python instead.

    Parameters
    ----------
    source
        Potential, or the folder of one (`mfbench fit`, `mfbench export-model`).
    script
        File.
    elements
        Symbols of the atom types 1, 2, ….
    fidelity
        Which of its fidelities, or "high" / "low"; None is the target.
    arguments
        Of LAMMPS's command line, such as ``["-var", "temperature", "300"]``.
    device, precision, skin
        As of :class:`~mfbench.benchmarks.exports.lammps.LammpsPotential`.

    Returns
    -------
    lammps.lammps
        The LAMMPS, still open.

    Raises
    ------
    ConfigError
        If LAMMPS is missing, or the script cannot be run so.
    DataError
        If the potential refuses the atoms (an unknown element, atoms at one place): the commands that follow are not
        given.
    """
    path = Path(script)
    try:
        commands = list(commands_of(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"no input script of LAMMPS can be read ({error}).", file=path) from error
    names = [command.split() for command in commands]
    if flow := next((words[0] for words in names if words[0] in _FLOW), None):
        raise ConfigError(f"{path}: '{flow}' needs a script that LAMMPS reads itself; write the loop in Python.")
    if not any(_is_fix(words) for words in names):
        raise ConfigError(f"{path}: expected a line 'fix mfbench all external pf/callback 1 1'; there is none.")
    potential = LammpsPotential(source, elements, fidelity, device=device, precision=precision, skin=skin)
    lmp = open_lammps(list(arguments))
    try:
        for command, words in zip(commands, names, strict=True):
            lmp.commands_string(command) if '"""' in command else lmp.command(command)
            if _is_fix(words):
                potential.attach(lmp, words[1])
            potential.check()
    except BaseException:
        lmp.close()
        raise
    return lmp


def write_structure(frame: Atoms, elements: Sequence[str], path: str | Path) -> None:
    """Write a frame as a data file of LAMMPS; one that repeats in no direction gets 10 Å of vacuum around it.

    LAMMPS's cells have their first vector along x and their second in the xy plane: others are turned.

    Parameters
    ----------
    frame
        Atoms; labels are left out.
    elements
        Symbols of the atom types 1, 2, ….
    path
        File to write.

    Raises
    ------
    DataError
        If an element of the frame is none of them.
    """
    from ase.io.lammpsdata import write_lammps_data

    if odd := sorted(set(frame.get_chemical_symbols()) - set(elements)):
        raise DataError(f"element {odd[0]} is none of {', '.join(elements)}.", key="species")
    bare = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)
    if not bare.pbc.any():
        bare.center(vacuum=_VACUUM)
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as stream:
        write_lammps_data(stream, bare, specorder=list(elements), masses=True, units="metal")


def main(folder: Path, elements: Sequence[str], arguments: Sequence[str]) -> int:
    """Command line of an export's driver: an input script, and a structure that is written to structure.data before.

    Returns the exit code: 0, or that of an error, which is said in one message.
    """
    from ase.io import read

    if not arguments or len(arguments) > 2:
        sys.stderr.write(
            "expected: an input script of LAMMPS and, if it reads structure.data, a file with a structure\n"
        )
        return 2
    try:
        if len(arguments) == 2:
            try:
                frame = read(arguments[1])
            except Exception as error:  # each reader of ASE has its own
                raise DataError(f"no structure can be read ({error}).", file=arguments[1]) from error
            assert isinstance(frame, Atoms)
            write_structure(frame, elements, Path("structure.data"))
        run_lammps(folder, arguments[0], elements).close()
    except MfbenchError as error:
        sys.stderr.write("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]) + "\n")
        return error.exit_code
    return 0


def _is_fix(words: Sequence[str]) -> bool:
    return len(words) > 4 and words[0] == "fix" and words[3] == "external" and words[4] == "pf/callback"
