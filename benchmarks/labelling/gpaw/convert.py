"""Make the data set of a crystal task (frames and dataset.yml) of geometries and raw labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms

from mfbench.benchmarks.labelling.gpaw import worker
from mfbench.mfcore.data.frames import energy_of, forces_of, has_label, set_labels, stress_of, write_frames
from mfbench.mfcore.data.read import read_frames
from mfbench.mfcore.data.splits import id_of
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label
from mfbench.mfcore.files import sha256_of, write_text

LOW, HIGH = worker.LEVELS

_RECORDED = ("plane_waves_eV", "grid_spacing_A", "point_group")
_METHODS = {LOW: "PBE", HIGH: "r2SCAN"}


def convert(
    name: str,
    title: str,
    frames: Sequence[Atoms],
    labels: Mapping[tuple[str, str], dict[str, Any]],
    folder: Path,
    *,
    stress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write `data/NAME.extxyz` and `dataset.yml` into a task's folder; the same labels, the same files.

    Frames without a PBE label are left out; labels that did not converge are listed with their reason. Other files in
    `data` are geometries without labels.

    Parameters
    ----------
    stress
        Whether PBE's stress is kept.
    settings
        Of the worker that are not its own `SETTINGS`.

    Raises
    ------
    DataError
        If there is no labelled frame, an r2SCAN label without PBE's, or a label computed with other settings.
    """
    kept, failures, programs = [], [], set()
    in_force = {**worker.SETTINGS, **(settings or {})}
    for atoms in frames:
        identity = str(atoms.info["structure_id"])
        records = {level: labels[identity, level] for level in worker.LEVELS if (identity, level) in labels}
        for level, record in records.items():
            used = {key: record.get(key, worker.SETTINGS[key]) for key in _RECORDED}
            other = {key: value for key, value in used.items() if value != in_force[key]}
            grid = record.get("k_points")
            if grid is not None and list(grid) != [int(k) for k in atoms.info.get("k_points", ())]:
                other["k_points"] = grid
            if other and "error" not in record:
                raise DataError(f"'{identity}', {level}: computed with {other}, not with the settings of '{name}'.")
        failures += [
            {"structure_id": identity, "level": level, "reason": record["error"]}
            for level, record in records.items()
            if "error" in record
        ]
        records = {level: record for level, record in records.items() if "error" not in record}
        if LOW not in records:
            if records:
                raise DataError(f"'{identity}' has a label of {HIGH} and none of {LOW}.")
            continue
        made = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        made.info = {key: value for key, value in atoms.info.items() if key != "levels"}
        for level, record in records.items():
            tensor = record.get("stress_eV_per_A3") if stress else None
            set_labels(
                made,
                level,
                energy=record["energy_eV"],
                forces=np.array(record["forces_eV_per_A"]),
                stress=None if tensor is None else np.array(tensor),
            )
            made.info[f"{level}_cpu_s"] = record["cpu_s"]
            programs.add((record["gpaw"], record["ase"]))
        kept.append(made)
    if not kept:
        raise DataError(f"{name}: no frame has a converged label of {LOW}.")
    path = folder / "data" / f"{name}.extxyz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_frames(path, kept)
    card = {
        "name": name,
        "title": title,
        "licence": "CC-BY-4.0",
        "units": {"positions": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å³", "cpu_s": "CPU-s on one core"},
        "energies": "free energies at the electronic temperature, which forces belong to",
        "settings": in_force,
        "programs": [{"gpaw": gpaw, "setups": "gpaw-data 0.9.20000", "ase": ase} for gpaw, ase in sorted(programs)],
        "groups": "see README.md",
        "files": {f"data/{path.name}": _file(path)},
        "geometries": {f"data/{p.name}": _file(p) for p in sorted(path.parent.glob("*.extxyz")) if p != path},
        "n_frames": len(kept),
        "failures": failures,
        "cpu_hours": round(sum(_cpu_s(atoms) for atoms in kept) / 3600, 2),
        "levels": {level: _level(level, kept) for level in worker.LEVELS},
    }
    text = f"# Written by mfbench.benchmarks.labelling.{name}.generate; see README.md.\n"
    text += yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=116)
    write_text(folder / "dataset.yml", text)
    return path


def stored_labels(folder: Path, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Labels that a task's data file has, and failures, in the form of `labels.read_labels`."""
    path = folder / "data" / f"{name}.extxyz"
    if not path.exists():
        return {}
    card = yaml.safe_load((folder / "dataset.yml").read_text(encoding="utf-8"))
    programs = card["programs"][0]
    found: dict[tuple[str, str], dict[str, Any]] = {
        (failure["structure_id"], failure["level"]): {"error": failure["reason"]} for failure in card["failures"]
    }
    for atoms in read_frames(path):
        for level in worker.LEVELS:
            if not has_label(atoms, level, Label.ENERGY):
                continue
            record: dict[str, Any] = {
                "energy_eV": energy_of(atoms, level),
                "forces_eV_per_A": forces_of(atoms, level),
                "cpu_s": float(atoms.info[f"{level}_cpu_s"]),
                **{key: card["settings"].get(key) for key in _RECORDED},
                "gpaw": programs["gpaw"],
                "ase": programs["ase"],
            }
            if has_label(atoms, level, Label.STRESS):
                record["stress_eV_per_A3"] = stress_of(atoms, level)
            found[id_of(atoms), level] = record
    return found


def _file(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_of(path), "bytes": path.stat().st_size}


def _cpu_s(atoms: Atoms) -> float:
    """All CPU time of a frame; that of r2SCAN has PBE's in it."""
    times = [atoms.info[f"{level}_cpu_s"] for level in worker.LEVELS if f"{level}_cpu_s" in atoms.info]
    return float(max(times))


def _level(level: str, frames: Sequence[Atoms]) -> dict[str, Any]:
    labelled = [atoms for atoms in frames if f"{level}_energy" in atoms.info]
    counts = {"energy": len(labelled), "forces": len(labelled)}
    stresses = sum(has_label(atoms, level, Label.STRESS) for atoms in labelled)
    if stresses:
        counts["stress"] = stresses
    times = [float(atoms.info[f"{level}_cpu_s"]) for atoms in labelled]
    return {
        "method": _METHODS[level],
        "functional": worker.FUNCTIONALS[level],
        "labels": ", ".join(counts),
        "counts": counts,
        "mean_cpu_s": round(float(np.mean(times)), 1) if times else None,
    }
