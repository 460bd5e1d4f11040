"""Compute the labels of molecular_cc again, or go on with them: GFN2-xTB sampling, DFT and coupled cluster.

    python -m mfbench.benchmarks.labelling.molecular_cc.generate run OUT [--level low ...] [--workers 2] [--limit N]
    python -m mfbench.benchmarks.labelling.molecular_cc.generate convert LABELS OUT

Needs the extra `data` (PySCF, tblite). The target level is a focal-point composite with frozen core,

    E = CCSD(T)/cc-pVDZ + MP2/cc-pVTZ - MP2/cc-pVDZ,

its forces the sum of the three analytic gradients. One JSON line is appended per finished label, so that a run
that is killed loses one label per worker and goes on where it was. A frame that does not converge is recorded
with its error, never guessed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from mfbench.mfcore.data.frames import write_frames
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import append_line

#: Names of ase.build.molecule by number of heavy atoms; the order seeds the sampling.
ONE_HEAVY = ("CH4", "NH3", "H2O")
TWO_HEAVY = ("C2H2", "C2H4", "C2H6", "HCN", "H2CO", "CH3OH", "H3CNH2", "N2H4", "H2O2")
THREE_HEAVY = ("CH3CH2OH", "CH3CHO", "HCOOH", "CH3CN", "H2CCO", "C3H8", "CH3OCH3", "C3H6_D3h", "CH2NHCH2")
MOLECULES = ONE_HEAVY + TWO_HEAVY + THREE_HEAVY
TEMPERATURES_K = (300, 600, 1000, 1500)
FRAMES_PER_TEMPERATURE = 16
SAMPLING_SEED = 20261121

TIME_STEP_FS = 0.5
STEPS_BETWEEN_FRAMES = 80
STEPS_OF_EQUILIBRATION = 400
LONGEST_BOND_A = 2.2  # beyond it the molecule has dissociated, and the run starts over

LEVELS = ("low", "high", "high_forces")

#: Which frames of a molecule get a level: (every, start) pairs; `low` is computed for all frames.
_EVERY_FRAME = ((1, 0),)
HIGH_PLAN: dict[str, tuple[tuple[int, int], ...]] = {
    **dict.fromkeys(("CH4", "NH3", "H2O", "C2H2", "HCN", "H2CO", "H2O2"), _EVERY_FRAME),
    **dict.fromkeys(("C2H4", "C2H6", "CH3OH", "H3CNH2", "N2H4"), ((2, 0),)),
    **dict.fromkeys(("HCOOH", "CH3CN", "CH3CHO", "H2CCO"), ((2, 0),)),
    **dict.fromkeys(("CH3CH2OH", "C3H8", "CH3OCH3", "C3H6_D3h"), ((16, 0),)),
    "CH2NHCH2": ((16, 0), (8, 4)),
}
GRADIENT_PLAN: dict[str, tuple[tuple[int, int], ...]] = {
    **dict.fromkeys(("CH4", "NH3", "H2O", "C2H2", "HCN", "H2CO"), ((5, 2), (32, 0))),
    "H2O2": ((5, 2),),
    **dict.fromkeys(("C2H4", "C2H6", "CH3OH"), ((8, 2), (32, 0))),
    **dict.fromkeys(("H3CNH2", "N2H4", "HCOOH", "CH3CN", "CH3CHO"), ((8, 2),)),
}

GEOMETRIES = "geometries.extxyz"

Progress = Callable[[int, int, str], None]


def sample(molecules: Iterable[str] = MOLECULES, frames_per_temperature: int = FRAMES_PER_TEMPERATURE) -> list[Atoms]:
    """Sample molecules by Langevin dynamics with GFN2-xTB.

    Returns
    -------
    list of Atoms
        In the order of molecule, temperature and time, centred, with structure_id, group and molecule (its
        name), temperature_K and n_heavy; the first n frames of a temperature do not depend on how many follow.
    """
    from ase.build import molecule
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
    from ase.neighborlist import natural_cutoffs, neighbor_list
    from tblite.ase import TBLite

    frames = []
    for name in molecules:
        reference = molecule(name)
        first, second = neighbor_list("ij", reference, natural_cutoffs(reference, mult=1.2))
        bonded = first < second
        for temperature in TEMPERATURES_K:
            rng = np.random.default_rng([SAMPLING_SEED, MOLECULES.index(name), temperature])
            atoms = reference.copy()
            atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
            MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
            Stationary(atoms)
            with warnings.catch_warnings():
                # ase discourages its default of fixing the centre of mass; another choice is another data set
                warnings.simplefilter("ignore", FutureWarning)
                dynamics = Langevin(
                    atoms, TIME_STEP_FS * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng
                )
            dynamics.run(STEPS_OF_EQUILIBRATION)
            kept = 0
            for _ in range(3 * frames_per_temperature):
                dynamics.run(STEPS_BETWEEN_FRAMES)
                if atoms.get_all_distances()[first[bonded], second[bonded]].max() > LONGEST_BOND_A:
                    atoms.positions = reference.positions
                    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
                    dynamics.run(STEPS_OF_EQUILIBRATION)
                    continue
                frame = Atoms(reference.numbers, atoms.positions)
                frame.positions -= frame.get_center_of_mass()
                frame.info = {
                    "structure_id": f"{name}-{temperature}K-{kept:02d}",
                    "group": name,
                    "molecule": name,
                    "temperature_K": temperature,
                    "n_heavy": int((frame.numbers > 1).sum()),
                }
                frames.append(frame)
                kept += 1
                if kept == frames_per_temperature:
                    break
    return frames


def plan(frames: Sequence[Atoms], levels: Iterable[str] = LEVELS) -> list[tuple[str, str]]:
    """Return the (structure_id, level) to compute, cheapest level first.

    A frame that gets "high_forces" needs no "high": that level has the energy too.

    Raises
    ------
    ConfigError
        If a level is unknown.
    """
    by_molecule: dict[str, list[str]] = {}
    for atoms in frames:
        by_molecule.setdefault(str(atoms.info["molecule"]), []).append(str(atoms.info["structure_id"]))
    wanted = list(levels)
    if unknown := sorted(set(wanted) - set(LEVELS)):
        raise ConfigError(f"level '{unknown[0]}': unknown; expected some of {', '.join(LEVELS)}.")
    tables: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {
        "low": dict.fromkeys(MOLECULES, _EVERY_FRAME),
        "high": HIGH_PLAN,
        "high_forces": GRADIENT_PLAN,
    }
    jobs: dict[tuple[str, str], None] = {}
    for level in ("low", "high_forces", "high"):
        if level not in wanted:
            continue
        for name, ids in by_molecule.items():
            for every, start in tables[level].get(name, ()):
                jobs.update({(key, level): None for key in ids[start::every] if (key, "high_forces") not in jobs})
    order = {level: rank for rank, level in enumerate(LEVELS)}
    return sorted(jobs, key=lambda job: order[job[1]])


def compute(atoms: Atoms, level: str) -> dict[str, Any]:
    """Compute one label.

    Returns
    -------
    dict
        energy_eV, forces_eV_per_A for the levels that have them, and for the composite its parts in Hartree.

    Raises
    ------
    RuntimeError
        If SCF or CCSD does not converge.
    """
    if level == "low":
        return _density_functional(atoms)
    return _composite(atoms, gradient=level == "high_forces")


def generate(
    out: Path,
    levels: Iterable[str] = LEVELS,
    workers: int = 1,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Sample the geometries if need be, compute the labels that are missing, and write the data set.

    Parameters
    ----------
    out
        Folder for geometries.extxyz, labels-<worker>.jsonl, and in the end data/ and dataset.yml.
    levels
        Some of "low", "high", "high_forces".
    workers
        Processes; each uses one thread.
    limit
        Compute at most so many labels in this call.
    progress
        Called with (labels done, labels to do, what was done last).

    Returns
    -------
    Path
        The extxyz file of the labelled frames.
    """
    from mfbench.benchmarks.labelling.molecular_cc.convert import convert, read_labels

    _require_programs()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    geometries = out / GEOMETRIES
    if not geometries.exists():
        frames: list[Atoms] = []
        for position, name in enumerate(MOLECULES):
            if progress is not None:
                progress(position, len(MOLECULES), f"sampling {name}")
            frames += sample([name])
        write_frames(geometries, frames)
    frames = read_frames(geometries)
    by_id = {str(a.info["structure_id"]): a for a in frames}
    done = {(row["structure_id"], row["level"]) for row in read_labels(out)}
    done |= {(key, "high") for key, level in done if level == "high_forces"}
    jobs = [job for job in plan(frames, levels) if job not in done][:limit]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        futures = {pool.submit(_label, by_id[key], level, out): (key, level) for key, level in jobs}
        for n_done, future in enumerate(as_completed(futures), start=1):
            future.result()
            if progress is not None:
                progress(n_done, len(jobs), " ".join(futures[future]))
    return convert(out, out)


def _label(atoms: Atoms, level: str, out: Path) -> None:
    """Compute one label and append it to this process's own file."""
    begin = time.process_time()
    row: dict[str, Any] = {"structure_id": atoms.info["structure_id"], "level": level}
    try:
        row.update(compute(atoms, level))
    except Exception as error:  # whatever a program raises is this frame's failure, not the run's
        row["error"] = f"{type(error).__name__}: {error}"
    row["cpu_s"] = round(time.process_time() - begin, 2)
    append_line(out / f"labels-{os.getpid()}.jsonl", json.dumps(row))


def _require_programs() -> None:
    try:
        import pyscf  # noqa: F401
        import tblite  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed; expected PySCF and tblite: python -m pip install 'mfbench[data]'."
        ) from None


def _one_thread() -> None:
    from pyscf import lib

    os.environ["OMP_NUM_THREADS"] = "1"
    lib.num_threads(1)


def _molecule(atoms: Atoms, basis: str) -> Any:
    from pyscf import gto

    atom = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    return gto.M(atom=atom, basis=basis, verbose=0)


def _converged(mean_field: Any) -> Any:
    if not mean_field.converged:
        mean_field = mean_field.newton().run()
    if not mean_field.converged:
        raise RuntimeError("SCF did not converge")
    return mean_field


def _forces(gradient: Any) -> list[list[float]]:
    """Return forces in eV/Å of a gradient in Hartree/Bohr."""
    return (-np.asarray(gradient) * units.Hartree / units.Bohr).tolist()


def _density_functional(atoms: Atoms) -> dict[str, Any]:
    from pyscf import dft

    mean_field = dft.RKS(_molecule(atoms, "6-31g*")).density_fit()
    mean_field.xc = "wb97x"
    mean_field = _converged(mean_field.run())
    return {
        "energy_eV": float(mean_field.e_tot) * units.Hartree,
        "forces_eV_per_A": _forces(mean_field.nuc_grad_method().kernel()),
    }


def _composite(atoms: Atoms, gradient: bool) -> dict[str, Any]:
    from pyscf import cc, mp, scf
    from pyscf.cc import ccsd_t_lambda_slow
    from pyscf.grad import ccsd_t

    core = int((atoms.numbers > 1).sum())  # one 1s orbital for each C, N, O
    small = _converged(scf.RHF(_molecule(atoms, "cc-pvdz")).run())
    large = _converged(scf.RHF(_molecule(atoms, "cc-pvtz")).run())
    coupled = cc.CCSD(small, frozen=core)
    coupled.conv_tol = 1e-8
    coupled.max_cycle = 100
    coupled.run()
    if not coupled.converged:
        raise RuntimeError("CCSD did not converge")
    mp2_small, mp2_large = mp.MP2(small, frozen=core).run(), mp.MP2(large, frozen=core).run()
    parts = {
        "ccsd_t_dz": float(coupled.e_tot + coupled.ccsd_t()),
        "mp2_dz": float(mp2_small.e_tot),
        "mp2_tz": float(mp2_large.e_tot),
    }
    energy = (parts["ccsd_t_dz"] + parts["mp2_tz"] - parts["mp2_dz"]) * units.Hartree
    row: dict[str, Any] = {"energy_eV": energy, "parts_hartree": parts}
    if gradient:
        # Without these lambda equations PySCF falls back on those of CCSD, and the forces are off by 0.05 eV/Å.
        integrals = coupled.ao2mo()
        converged, l1, l2 = ccsd_t_lambda_slow.kernel(
            coupled, integrals, coupled.t1, coupled.t2, max_cycle=100, tol=1e-6, verbose=0
        )
        if not converged:
            raise RuntimeError("the lambda equations of CCSD(T) did not converge")
        total = ccsd_t.Gradients(coupled).kernel(coupled.t1, coupled.t2, l1, l2, eris=integrals)
        total = total + mp2_large.nuc_grad_method().kernel() - mp2_small.nuc_grad_method().kernel()
        row["forces_eV_per_A"] = _forces(total)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; see the top of this file."""
    from mfbench.benchmarks.labelling.molecular_cc.convert import convert

    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.labelling.molecular_cc.generate")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="sample and compute what is missing, then convert")
    run.add_argument("out", type=Path)
    run.add_argument("--level", action="append", choices=LEVELS)
    run.add_argument("--workers", type=int, default=1)
    run.add_argument("--limit", type=int)
    merge = verbs.add_parser("convert", help="make the data set of the labels that there are")
    merge.add_argument("labels", type=Path, help="folder with geometries.extxyz and *.jsonl")
    merge.add_argument("out", type=Path, help="folder for data/ and dataset.yml")
    given = parser.parse_args(arguments)
    if given.verb == "convert":
        print(convert(given.labels, given.out))
        return
    show: Progress = lambda done, total, what: print(f"{done}/{total} {what}", flush=True)  # noqa: E731
    print(generate(given.out, given.level or LEVELS, given.workers, given.limit, show))


if __name__ == "__main__":
    try:
        main()
    except (ConfigError, DataError) as problem:
        raise SystemExit(f"error: {problem}") from None
