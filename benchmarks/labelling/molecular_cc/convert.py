"""Make the data set of molecular_cc (frames, dataset.yml, data card) of raw labels; the same labels, the same files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms

from mfbench.mfcore.data.frames import fidelities_in, has_label, set_labels, write_frames
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import sha256_of, write_text

LOW, HIGH = "wb97x", "ccsdt"
FRAMES_FILE = "molecular_cc.extxyz"
GEOMETRIES = "geometries.extxyz"

#: eV; two computations of one composite energy agree to this (SCF and CCSD thresholds), else one is wrong.
_SAME_ENERGY = 2e-5
#: eV/Å and eV: the forces on a free molecule and their torque sum to zero, up to the integration grid (DFT) or the
#: thresholds. The torque tells incomplete gradients: CCSD(T) forces with the CCSD lambda equations have up to 0.03 eV.
_NET_FORCE = {LOW: 0.1, HIGH: 0.002}
_NET_TORQUE = {LOW: 0.1, HIGH: 0.002}
#: Robust z beyond which an HF - LF difference within one molecule is named as an outlier.
OUTLIER_Z = 8.0

_COUNTS_START, _COUNTS_END = "<!-- counts: written by convert -->", "<!-- end of counts -->"

_KEYS = {  # of a level's CPU time in a frame
    "low": f"{LOW}_cpu_s",
    "high": f"{HIGH}_cpu_s",
    "high_forces": f"{HIGH}_forces_cpu_s",
}

_CARD: dict[str, Any] = {
    "name": "molecular_cc",
    "title": "Small CHNO molecules at DFT and coupled-cluster level",
    "licence": "CC-BY-4.0",
    "units": {"positions": "Å", "energy": "eV", "forces": "eV/Å", "cpu_s": "CPU-s on one core"},
    "energies": "total energies",
    "sampling": (
        "GFN2-xTB Langevin dynamics at 300, 600, 1000 and 1500 K, time step 0.5 fs, friction 0.02/fs, 200 fs of "
        "equilibration, 16 frames per molecule and temperature, 40 fs apart"
    ),
    "programs": {"pyscf": "2.14.0", "tblite": "0.8.0", "ase": "3.29.0"},
    "groups": "molecules",
}
_LEVELS: dict[str, dict[str, Any]] = {
    LOW: {
        "method": "ωB97X (density fitting)",
        "basis": "6-31G(d)",
        "programs": ["pyscf"],
        "labels": "energy and forces",
    },
    HIGH: {
        "method": "CCSD(T)/cc-pVDZ + MP2/cc-pVTZ - MP2/cc-pVDZ, frozen core",
        "basis": "cc-pVDZ, cc-pVTZ",
        "programs": ["pyscf"],
        "labels": "energy; forces on a subset",
    },
}


def read_labels(folder: Path) -> list[dict[str, Any]]:
    """Read all *.jsonl files of a folder, in the order of their names; an unfinished last line is left out.

    Raises
    ------
    DataError
        If any other line is not a JSON object with structure_id and level.
    """
    rows = []
    for path in sorted(Path(folder).glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                row["structure_id"], row["level"]
            except (ValueError, TypeError, KeyError) as error:
                if number == len(lines):
                    continue  # a line without its end: it is being written, or its writer was killed
                raise DataError(f"line {number} is no label ({error}).", file=path) from None
            rows.append(row)
    return rows


def label_frames(geometries: Sequence[Atoms], rows: Sequence[Mapping[str, Any]]) -> list[Atoms]:
    """Put labels on copies of the geometries; frames without any label are left out.

    Where a composite energy was computed with and without forces, the one with forces is taken.

    Raises
    ------
    DataError
        If a row names no geometry, or two energies of one frame and level differ, or a net force or torque is not zero.
    """
    by_id = {str(a.info["structure_id"]): a.copy() for a in geometries}
    taken: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        key, level = str(row["structure_id"]), str(row["level"])
        if level not in _KEYS:
            raise DataError(f"'{level}' of '{key}' is unknown; expected {', '.join(_KEYS)}.", key="level")
        if key not in by_id:
            raise DataError(f"label of '{key}', which is no geometry.", key="structure_id")
        if "error" not in row:
            first = taken.setdefault((key, level), row)
            _same_energy(key, first, row)
    for (key, level), row in sorted(taken.items(), key=lambda item: list(_KEYS).index(item[0][1])):
        atoms = by_id[key]
        if level == "high" and (key, "high_forces") in taken:
            _same_energy(key, row, taken[key, "high_forces"])
        else:
            fidelity = LOW if level == "low" else HIGH
            forces = row.get("forces_eV_per_A")
            rounded = None if forces is None else np.round(forces, 8)
            set_labels(atoms, fidelity, energy=round(row["energy_eV"], 8), forces=rounded)
            if rounded is not None:
                _balanced(atoms, fidelity, rounded)
        if "cpu_s" in row:
            atoms.info[_KEYS[level]] = row["cpu_s"]
    return [a for a in by_id.values() if fidelities_in([a])]


def difference_outliers(frames: Sequence[Atoms]) -> list[tuple[str, float]]:
    """Return (structure_id, robust z) of frames whose HF - LF energy stands out of its molecule."""
    groups: dict[str, list[Atoms]] = defaultdict(list)
    for atoms in frames:
        if has_label(atoms, LOW, Label.ENERGY) and has_label(atoms, HIGH, Label.ENERGY):
            groups[atoms.info["group"]].append(atoms)
    found = []
    for members in groups.values():
        delta = np.array([a.info[f"{HIGH}_energy"] - a.info[f"{LOW}_energy"] for a in members])
        deviation = np.abs(delta - np.median(delta))
        z = deviation / max(1.4826 * float(np.median(deviation)), 1e-6)
        found += [(a.info["structure_id"], float(v)) for a, v in zip(members, z, strict=True) if v > OUTLIER_Z]
    return found


def describe(frames: Sequence[Atoms], rows: Sequence[Mapping[str, Any]], file: Path) -> dict[str, Any]:
    """Return the content of dataset.yml."""
    card = dict(_CARD)
    card["files"] = {f"data/{file.name}": {"sha256": sha256_of(file), "bytes": file.stat().st_size}}
    card["n_frames"] = len(frames)
    card["n_molecules"] = len({a.info["group"] for a in frames})
    card["failures"] = sorted(f"{r['structure_id']} {r['level']}: {r['error']}" for r in rows if "error" in r)
    card["cpu_hours"] = round(sum(float(r.get("cpu_s", 0.0)) for r in rows) / 3600, 2)
    card["levels"] = {}
    for fidelity, text in _LEVELS.items():
        costs = {"cpu_s": "low" if fidelity == LOW else "high"}
        if fidelity == HIGH:
            costs["forces_cpu_s"] = "high_forces"
        card["levels"][fidelity] = {
            **text,
            "counts": {
                "energy": sum(has_label(a, fidelity, Label.ENERGY) for a in frames),
                "forces": sum(has_label(a, fidelity, Label.FORCES) for a in frames),
            },
            "counts_by_n_heavy": _by_n_heavy(frames, fidelity),
            **{f"mean_{name}_by_n_heavy": _mean_cost(frames, _KEYS[level]) for name, level in costs.items()},
        }
    return card


def convert(labels: Path, out: Path) -> Path:
    """Write `out`/data/molecular_cc.extxyz, `out`/dataset.yml, and the counts in `out`/README.md if it is there.

    Parameters
    ----------
    labels
        Folder with geometries.extxyz and *.jsonl.
    out
        Folder of the data set.

    Returns
    -------
    Path
        The extxyz file.

    Raises
    ------
    DataError
        If there is no label, or labels contradict each other or the geometries.
    """
    labels, out = Path(labels), Path(out)
    rows = read_labels(labels)
    frames = label_frames(read_frames(labels / GEOMETRIES), rows)
    if not frames:
        raise DataError("no label found; expected *.jsonl files of finished labels.", file=labels)
    file = out / "data" / FRAMES_FILE
    write_frames(file, frames)
    card = describe(frames, rows, file)
    head = "# Written by mfbench.benchmarks.labelling.molecular_cc.convert; see README.md.\n"
    write_text(out / "dataset.yml", head + yaml.safe_dump(card, allow_unicode=True, sort_keys=False, width=110))
    readme = out / "README.md"
    if readme.exists():
        text = readme.read_text(encoding="utf-8")
        before, _, rest = text.partition(_COUNTS_START)
        _, _, after = rest.partition(_COUNTS_END)
        if after:
            write_text(readme, f"{before}{_COUNTS_START}\n{_counts_table(card)}{_COUNTS_END}{after}")
    return file


def _same_energy(key: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    difference = abs(first["energy_eV"] - second["energy_eV"])
    if difference > _SAME_ENERGY:
        raise DataError(
            f"two energies of '{key}' ({first['level']}, {second['level']}) differ by {difference:.2e} eV.",
            key="energy_eV",
        )


def _balanced(atoms: Atoms, fidelity: str, forces: np.ndarray) -> None:
    force = float(np.abs(forces.sum(axis=0)).max())
    torque = float(np.abs(np.cross(atoms.positions - atoms.positions.mean(axis=0), forces).sum(axis=0)).max())
    for what, value, limit in (
        ("force", force, _NET_FORCE[fidelity]),
        ("torque", torque, _NET_TORQUE[fidelity]),
    ):
        if value > limit:
            raise DataError(
                f"the net {what} of '{atoms.info['structure_id']}' is {value:.4f}, expected less than {limit}.",
                key=f"{fidelity}_forces",
                hint="The gradient is incomplete or not converged.",
            )


def _n_heavy(atoms: Atoms) -> int:
    return int((atoms.numbers > 1).sum())


def _by_n_heavy(frames: Sequence[Atoms], fidelity: str) -> dict[int, dict[str, int]]:
    names = {"energy": Label.ENERGY, "forces": Label.FORCES}
    return {
        n: {k: sum(has_label(a, fidelity, v) for a in frames if _n_heavy(a) == n) for k, v in names.items()}
        for n in sorted({_n_heavy(a) for a in frames})
    }


def _mean_cost(frames: Sequence[Atoms], key: str) -> dict[int, float]:
    costs: dict[int, list[float]] = defaultdict(list)
    for atoms in frames:
        if key in atoms.info:
            costs[_n_heavy(atoms)].append(float(atoms.info[key]))
    return {n: round(float(np.mean(costs[n])), 2) for n in sorted(costs)}


def _counts_table(card: Mapping[str, Any]) -> str:
    lines = [
        "| heavy atoms | " + " | ".join(f"{f} energies | {f} forces" for f in _LEVELS) + " | CPU-s per label |",
        "|---|" + "---|" * (2 * len(_LEVELS) + 1),
    ]
    low, high = card["levels"][LOW], card["levels"][HIGH]
    for n in low["counts_by_n_heavy"]:
        counts = [level["counts_by_n_heavy"][n][k] for level in (low, high) for k in ("energy", "forces")]
        costs = [
            f"{name} {table[n]:.1f}"
            for name, table in (
                (f"{LOW} E+F", low["mean_cpu_s_by_n_heavy"]),
                (f"{HIGH} E", high["mean_cpu_s_by_n_heavy"]),
                (f"{HIGH} E+F", high["mean_forces_cpu_s_by_n_heavy"]),
            )
            if n in table
        ]
        lines.append(f"| {n} | " + " | ".join(map(str, counts)) + f" | {', '.join(costs)} |")
    totals = [level["counts"][k] for level in (low, high) for k in ("energy", "forces")]
    lines.append("| all | " + " | ".join(map(str, totals)) + " | |")
    return (
        "\n".join(lines) + f"\n\nFrames: {card['n_frames']}. Failed labels: {len(card['failures'])}. CPU time of all "
        f"labels: {card['cpu_hours']:.1f} h.\n"
    )
