"""Problems that the study trains on, and variants of the settings of training and core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Mapping[str, Any]]

#: Contenders with recommended settings (:mod:`mfbench.benchmarks.performance.training.peers`).
PEERS = ("mace", "nequip")


@dataclass(frozen=True, eq=False)
class Problem:
    """Something to learn, and what it is judged by.

    Attributes
    ----------
    name
        Of the problem.
    task, arm, regime
        As in a preset; `regime` are the fields of :class:`mfbench.benchmarks.tasks.base.Regime`.
    core
        Shape of the network.
    budgets
        Atom gradients; the first is what factors are compared at.
    metric
        Of the record, which tables and figures show.
    most_energy
        Share of the frames of lowest energy that are drawn from, of `molecule`'s alone; None: the task's split.
    molecule
        The one whose frames are drawn from; "": all.
    n_validation, n_test
        Frames that are drawn; the training frames are the regime's `n_high`. None: the rest.
    """

    name: str
    task: str
    arm: str
    regime: Mapping[str, Any]
    core: Mapping[str, Any]
    budgets: tuple[float, ...]
    metric: str
    most_energy: float | None = None
    molecule: str = ""
    n_validation: int = 20
    n_test: int | None = 300


@dataclass(frozen=True)
class Variant:
    """Settings that differ from the default in one factor, or in several.

    Attributes
    ----------
    factor
        What differs: "default", "learning rate", ..., "together".
    name
        For tables.
    settings
        Sections "training" and "core" of an arm's settings.
    """

    factor: str
    name: str
    settings: Settings = field(default_factory=dict)


_SMALL = {"cutoff": 4.0, "n_layers": 2, "channels": 32}
_CRYSTAL = {"cutoff": 5.0, "n_layers": 2, "channels": 32}

PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "h2co",
            "h2co",
            "single_fidelity",
            {"n_low": "all", "n_high": "all", "labels": "low=EF,high=EF", "pairing": "paired", "coverage": "full"},
            {"cutoff": 4.0, "n_layers": 3, "channels": 32},
            (1e5, 4e5, 1.6e6, 6.4e6),
            "force_mae_mev_per_A",
        ),
        Problem(  # as the kernel and network potentials of this molecule are published: all energies, random frames
            "h2co_random",
            "h2co",
            "single_fidelity",
            {"n_high": 3200, "labels": "high=EF"},
            {"cutoff": 4.0, "n_layers": 3, "channels": 32},
            (1e5, 4e5, 1.6e6, 6.4e6),
            "force_mae_mev_per_A",
            most_energy=1.0,
            n_validation=200,
            n_test=None,
        ),
        Problem(
            "h2co_energies",
            "h2co",
            "single_fidelity",
            {"n_low": "all", "n_high": 400, "labels": "low=E,high=E", "pairing": "paired", "coverage": "full"},
            _SMALL,
            (4e4, 1.6e5),
            "energy_mae_mev_per_atom",
        ),
        Problem(
            "methanol_energies",
            "ccsdt_small_molecules",
            "single_fidelity",
            {"n_high": 100, "labels": "high=E"},
            _SMALL,
            (2e4, 1e5),
            "energy_mae_by_constant",
            most_energy=0.15,
            molecule="ch3oh",
        ),
        *(
            Problem(
                task,
                task,
                "multi_fidelity",
                {"n_low": n_low, "n_high": n_high, "labels": labels, "coverage": "gap"},
                core,
                (budget, 4 * budget),
                metric,
            )
            for task, n_low, n_high, labels, core, budget, metric in (
                ("li6ps5cl", 100, 30, "low=EF,high=EF", _CRYSTAL, 6e4, "force_mae_mev_per_A"),
                ("ingan", 80, 30, "low=EF,high=EF", _CRYSTAL, 6e4, "force_mae_mev_per_A"),
                ("molecular_cc", 400, 100, "low=EF,high=E", _SMALL, 1e5, "energy_mae_mev_per_atom"),
            )
        ),
    )
}

#: The settings that factors are changed from, whatever the defaults are now; `free_e0` is as it has been found best.
START: dict[str, dict[str, Any]] = {
    "training": {
        "loss": {"energy": "mse", "forces": "mse", "energy_weight": 10.0, "forces_weight": 1.0, "huber_delta": 0.1},
        "batch_atoms": 128,
        "optimizer": "soap",
        "amsgrad": True,
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-2,
        "warmup": 0.02,
        "decay": "cosine",
        "clip_norm": 10.0,
        "ema": 0.99,
        "free_e0": "auto",
        "precision": "float32",
    },
    "core": {"readout_scale": 1.0, "n_bessel": 8, "radial_hidden": [64, 64]},
}


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in changes.items():
        made[key] = _merged(made.get(key, {}), value) if isinstance(value, Mapping) else value
    return made


def changed(factor: str, name: str, settings: Settings) -> Variant:
    """The start with some settings changed."""
    return Variant(factor, name, _merged(START, settings))


def _training(factor: str, name: str, **values: Any) -> Variant:
    return changed(factor, name, {"training": values})


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("default", "default"),
        Variant("start", "start", START),
        _training("reference energies", "free_e0=never", free_e0="never"),
        _training("reference energies", "free_e0=always", free_e0="always"),
        _training("learning rate", "learning_rate=0.03", learning_rate=0.03),
        _training("learning rate", "learning_rate=0.02", learning_rate=0.02),
        _training("learning rate", "learning_rate=0.005", learning_rate=0.005),
        _training("learning rate", "learning_rate=0.0025", learning_rate=0.0025),
        _training("schedule", "linear to 0", decay="linear", final_learning_rate=0.0),
        _training("schedule", "constant", decay="constant"),
        _training("optimiser", "AdamW", optimizer="adamw"),
        _training("optimiser", "AdamW, no AMSGrad", optimizer="adamw", amsgrad=False),
        _training("optimiser", "AdamW, learning_rate=0.005", optimizer="adamw", learning_rate=0.005),
        _training("optimiser", "AdamW, learning_rate=0.02", optimizer="adamw", learning_rate=0.02),
        _training("averaging", "ema=0", ema=0.0),
        _training("averaging", "ema=0.999", ema=0.999),
        _training("loss", "forces mae", loss={"forces": "mae", "forces_weight": 0.1}),
        _training("loss", "forces huber 0.01", loss={"forces": "huber", "huber_delta": 0.01}),
        _training("loss", "energy_weight=1", loss={"energy_weight": 1.0}),
        _training("loss", "energy_weight=100", loss={"energy_weight": 100.0}),
        _training("loss", "energy_weight from 1 to 100", loss={"energy_weight": 1.0, "final_energy_weight": 100.0}),
        _training("loss", "energy_weight from 10 to 1000", loss={"final_energy_weight": 1000.0}),
        _training("clipping", "clip_norm=1", clip_norm=1.0),
        _training("precision", "float64", precision="float64"),
        changed("readout start", "readout_scale=0.1", {"core": {"readout_scale": 0.1}}),
        changed("readout start", "readout_scale=0.03", {"core": {"readout_scale": 0.03}}),
        changed("radial basis", "n_bessel=16", {"core": {"n_bessel": 16}}),
        changed("radial basis", "radial_hidden=32", {"core": {"radial_hidden": [32]}}),
        changed("width and depth", "channels=64", {"core": {"channels": 64}}),
        changed("width and depth", "channels=16", {"core": {"channels": 16}}),
        changed("width and depth", "n_layers=2", {"core": {"n_layers": 2}}),
        *(_training("batch", f"batch_atoms={n}", batch_atoms=n) for n in (32, 64, 128, 256, 512)),
    )
}
