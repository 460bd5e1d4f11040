"""The two files that Matbench Discovery takes in of a model: its predictions, and its entry."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mfbench.benchmarks.discovery.files import ID
from mfbench.benchmarks.discovery.references import formation_energy_ev_per_atom
from mfbench.benchmarks.discovery.relaxations import Relaxed
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.files import write_bytes, write_text

if TYPE_CHECKING:
    from mfbench.mfcore.potentials.potential import Potential

LEFT_TO_YOU = ("authors", "date_added", "date_published", "doi", "paper", "pr_url", "repo", "training_set")
"""Keys that an entry needs and that only its authors know."""

_PACKAGES = ("mfbench", "torch", "ase", "numpy", "pymatgen")
DECIMALS = 6


def model_key(name: str) -> str:
    """Key of a model by its name, as the benchmark's schema has it.

    Raises
    ------
    ConfigError
        If the name has no letter or digit.
    """
    key = re.sub(r"[^a-zA-Z0-9.+]+", "-", name).strip("-").lower()
    if not re.search(r"[a-z0-9]", key):
        raise ConfigError(f"--name {name}: expected letters or digits.")
    return key


def prediction_column(key: str) -> str:
    """Column of the predicted energies of formation."""
    return f"e_form_per_atom_{re.sub(r'[^a-zA-Z0-9]+', '_', key)}"


def write_predictions(
    path: Path,
    key: str,
    order: Sequence[str],
    lines: Sequence[Relaxed],
    elements: Mapping[str, float],
    corrections: Mapping[str, float] | None = None,
) -> int:
    """Write energies of formation (eV/atom), a gzipped CSV that is the same for the same energies.

    Parameters
    ----------
    order
        Ids of the materials; those without a line are left out, those without an energy have an empty cell.
    elements
        Energies of the elements, eV/atom.
    corrections
        Added to the energies, eV/atom, by id; a material without one has no prediction.

    Returns
    -------
    int
        How many have a prediction.
    """
    found = {line.material_id: line for line in lines}
    text, n = io.StringIO(), 0
    writer = csv.writer(text, lineterminator="\n")
    short = prediction_column(key).removeprefix("e_form_per_atom_")
    writer.writerow([ID, "formula", f"{short}_energy", prediction_column(key)])
    for identity in order:
        line = found.get(identity)
        if line is None:
            continue
        shift = 0.0 if corrections is None else corrections.get(identity)
        value = None if shift is None else formation_energy_ev_per_atom(line, elements, shift)
        n += value is not None
        writer.writerow([identity, line.formula, *(_rounded(x) for x in (line.energy_ev, value))])
    write_bytes(path, gzip.compress(text.getvalue().encode(), mtime=0))
    return n


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.{DECIMALS}f}"


def write_entry(
    path: Path, name: str, key: str, potential: Potential, predictions: Path, *, fmax: float, max_steps: int
) -> None:
    """Write the model's entry (YAML), as far as it is known here; a comment names what is left to its authors."""
    cores = potential.cores
    entry: dict[str, Any] = {
        "model_name": name,
        "model_key": key,
        "model_version": "v0.1.0",
        "requirements": {package: found for package in _PACKAGES if (found := _version(package))},
        "openness": "OSOD",
        "license": {"code": "MIT", "checkpoint": "unreleased"},
        "checkpoint_url": "missing",
        "trained_for_benchmark": False,
        "train_task": "S2EFS",
        "test_task": "IS2RE-SR",
        "targets": "EFS_G",
        "model_type": "UIP",
        "model_params": sum(int(p.numel()) for core in cores for p in core.parameters()),
        "n_estimators": 1,
        "training_cost": "missing",
        "hyperparams": {
            "max_force": fmax,
            "max_steps": max_steps,
            "ase_optimizer": "FIRE",
            "cell_filter": "FrechetCellFilter",
            "graph_construction_radius": float(max(core.cutoff for core in cores)),
            "max_neighbors": "missing",
        },
        "notes": {"Description": f"Potential of the arm {potential.arm} of mfbench."},
        "metrics": {
            "phonons": "not available",
            "geo_opt": "not available",
            "discovery": {"pred_col": prediction_column(key), "pred_file": f"models/{key}/{predictions.name}"},
        },
    }
    head = (
        f"# Left to you: {', '.join(LEFT_TO_YOU)}; pred_file_url below discovery.\n"
        "# Check openness, license and targets.\n"
        "# Then it is an entry of https://github.com/janosh/matbench-discovery (models/, by its schema).\n"
    )
    write_text(path, head + yaml.safe_dump(entry, sort_keys=False, allow_unicode=True))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
