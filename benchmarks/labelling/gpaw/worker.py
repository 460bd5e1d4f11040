"""Label periodic frames with GPAW at PBE and r2SCAN; a script for the Python that has GPAW, without mfbench.

    python3 worker.py GEOMETRIES.extxyz LABELS.jsonl [--start K --every N --limit M] [--settings JSON]

Each frame of GEOMETRIES names its `levels` ("pbe" or "pbe+r2scan"). One JSON line is appended and synced per finished
label, so that a run that is killed loses one label and goes on where it was: labels that stand in LABELS are not
computed again. A frame that does not converge is recorded with its error, never guessed.

Energies are free energies at the electronic temperature (the ones that forces belong to), eV; forces eV/Å; stress
eV/Å³ in ASE's Voigt order, of r2SCAN only where GPAW has it: 22.8 does not, 26.7 does. With GPAW 22.8 r2SCAN starts
from the PBE orbitals of the same frame, and both are its CPU time; 26.7 starts anew.

Settings, the same for every frame and level of a task: plane waves (350 eV unless told otherwise), 2x2x2 k-points, or
those that a frame names itself in `k_points`, without point-group symmetry unless told otherwise (GPAW 22.8 does not
make the kinetic energy density symmetric: with it the r2SCAN energy of MgO is off by 40 meV, with 26.7 by 0.1),
Fermi-Dirac smearing of 0.05 eV, densities converged to 1e-5 electrons per valence electron. Against densities converged
to 1e-7, forces of rattled Li6PS5Cl and InGaN cells are right to 0.2 meV/Å rms and 0.6 meV/Å at most, and energies to
0.0001 meV/atom; GPAW's default of 1e-4 leaves up to 5 meV/Å rms. The grid spacing is what the cutoff asks for unless
told otherwise: with that, r2SCAN forces of a Li6PS5Cl cell are within 0.4 meV/Å rms of those on a grid 1.6 times as
fine, but those of an InGaN cell are off by 39 (350 eV) and 12 meV/Å (500 eV).
"""

import argparse
import json
import os
import time
from typing import Any

LEVELS = ("pbe", "r2scan")
FUNCTIONALS = {"pbe": "PBE", "r2scan": "MGGA_X_R2SCAN+MGGA_C_R2SCAN"}
SETTINGS: dict[str, Any] = {
    "plane_waves_eV": 350.0,
    "grid_spacing_A": None,
    "k_points": [2, 2, 2],
    "point_group": False,
    "smearing_eV": 0.05,
    # One step: with more of them an iteration takes longer for these cells, and labels are no more exact.
    "davidson_steps": 1,
    # A quarter of the new density, eight old ones, all wavelengths alike: both crystals are insulators. GPAW's own
    # choice for periodic cells (None), made for metals, needs 1.5 times as many iterations for the same labels.
    "density_mixer": [0.25, 8, 1.0],
    "energy_eV_per_electron": 1e-5,
    "density_electrons_per_electron": 1e-5,
    "iterations": 120,
}


def calculator(settings: dict[str, Any], k_points: Any = None, level: str = "pbe") -> Any:
    """Make the calculator of a level; a frame's own k-points are a grid with the point Γ."""
    from gpaw import GPAW, PW, Davidson, FermiDirac, Mixer  # type: ignore[import-not-found]

    chosen = {}
    if settings["davidson_steps"]:
        chosen["eigensolver"] = Davidson(settings["davidson_steps"])
    if settings["density_mixer"]:
        chosen["mixer"] = Mixer(*settings["density_mixer"])
    return GPAW(
        mode=PW(settings["plane_waves_eV"]),
        xc=FUNCTIONALS[level],
        h=settings["grid_spacing_A"],
        kpts=tuple(settings["k_points"]) if k_points is None else {"size": tuple(map(int, k_points)), "gamma": True},
        symmetry={"point_group": settings["point_group"]},
        occupations=FermiDirac(settings["smearing_eV"]),
        maxiter=settings["iterations"],
        convergence={
            "energy": settings["energy_eV_per_electron"],
            "density": settings["density_electrons_per_electron"],
        },
        txt=None,
        **chosen,
    )


def _goes_on(atoms: Any, level: str, settings: dict[str, Any]) -> bool:
    """Change the level, and tell whether it starts from the orbitals of the one before."""
    if not hasattr(atoms.calc, "dft"):  # of GPAW 26, whose calculator takes no other functional
        atoms.calc.set(xc=FUNCTIONALS[level])
        return True
    atoms.calc = calculator(settings, atoms.info.get("k_points"), level)
    return False


def _stress(atoms: Any) -> Any:
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return atoms.get_stress().tolist()
    except PropertyNotImplementedError:
        return None


def labels_of(atoms: Any, levels: list[str], settings: dict[str, Any]) -> Any:
    """Compute the labels of one frame, PBE first; yields one record per level. What needs a level that failed fails."""
    import ase
    import gpaw

    atoms = atoms.copy()
    atoms.calc = calculator(settings, atoms.info.get("k_points"))
    spent = 0.0
    for level in LEVELS[: 1 + ("r2scan" in levels)]:
        begin = time.process_time()
        record: dict[str, Any] = {"structure_id": str(atoms.info["structure_id"]), "level": level}
        try:
            if level != "pbe" and not _goes_on(atoms, level, settings):
                spent = 0.0
            record["energy_eV"] = float(atoms.get_potential_energy(force_consistent=True))
            record["forces_eV_per_A"] = atoms.get_forces().tolist()
            if (stress := _stress(atoms)) is not None:
                record["stress_eV_per_A3"] = stress
            record["iterations"] = int(atoms.calc.get_number_of_iterations())
        except Exception as error:  # whatever stops a calculation is its recorded reason
            record["error"] = f"{type(error).__name__}: {error}"
        spent += time.process_time() - begin
        record["cpu_s"] = round(spent, 2)
        record["gpaw"], record["ase"] = gpaw.__version__, ase.__version__
        record["plane_waves_eV"], record["grid_spacing_A"] = settings["plane_waves_eV"], settings["grid_spacing_A"]
        record["point_group"] = settings["point_group"]
        if "k_points" in atoms.info:
            record["k_points"] = [int(k) for k in atoms.info["k_points"]]
        yield record
        if "error" in record:
            for later in levels[levels.index(level) + 1 :] if level in levels else levels:
                yield {"structure_id": record["structure_id"], "level": later, "error": f"not tried: {level} failed"}
            return


def _check_version(settings: dict[str, Any]) -> None:
    import gpaw

    if settings["point_group"] and int(gpaw.__version__.partition(".")[0]) < 26:
        raise SystemExit(
            f"GPAW {gpaw.__version__} does not make the kinetic energy density symmetric, and these labels use the "
            "symmetry: install gpaw>=26.7 into an environment, and name its Python in MFBENCH_GPAW_PYTHON"
        )


def finished(path: str) -> set[tuple[str, str]]:
    """(structure_id, level) that stand in a file of labels; a last line that was cut off counts for nothing."""
    done: set[tuple[str, str]] = set()
    if os.path.exists(path):
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                if line.endswith("\n"):
                    record = json.loads(line)
                    done.add((record["structure_id"], record["level"]))
    return done


def _cut_unfinished_line(path: str) -> None:
    if not os.path.exists(path):
        return
    with open(path, "rb+") as stream:
        content = stream.read()
        stream.truncate(content.rfind(b"\n") + 1)


def main() -> None:
    """Label the frames of a file."""
    from ase.io import read

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("geometries")
    parser.add_argument("labels")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--limit", type=int, help="stop after so many labels")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, in place of some of SETTINGS")
    arguments = parser.parse_args()
    _cut_unfinished_line(arguments.labels)
    settings = {**SETTINGS, **arguments.settings}
    _check_version(settings)
    done, made = finished(arguments.labels), 0
    for atoms in read(arguments.geometries, ":")[arguments.start :: arguments.every]:
        levels = str(atoms.info["levels"]).split("+")
        if all((str(atoms.info["structure_id"]), level) in done for level in levels):
            continue
        for record in labels_of(atoms, levels, settings):
            if (record["structure_id"], record["level"]) in done:
                continue
            with open(arguments.labels, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            made += 1
        if arguments.limit is not None and made >= arguments.limit:
            return


if __name__ == "__main__":
    main()
