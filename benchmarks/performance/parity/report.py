"""The table of the comparison and its verdict, computed from the stored runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from mfbench.benchmarks.performance.contenders.registry import CORE
from mfbench.benchmarks.performance.parity.execute import best_rate, is_of_present_code

#: The core's force MAE may be this many times the best peer's.
TOLERANCE = 1.10


@dataclass(frozen=True)
class Row:
    """One contender with its chosen learning rate, test errors as means over seeds."""

    contender: str
    learning_rate: float
    n_seeds: int
    force_mae: float
    force_mae_range: tuple[float, float]
    force_rmse: float
    energy_mae: float
    n_parameters: int
    shape: str
    wall_s: float
    cpu_s: float
    versions: str
    n_failed: int


def rows_of(runs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Summarise each contender's runs with its best learning rate; one whose runs all failed has no row."""
    rows = []
    for name in dict.fromkeys(r["job"]["contender"] for r in runs):
        own = [r for r in runs if r["job"]["contender"] == name]
        rate = best_rate([r for r in own if r["job"]["seed"] == own[0]["job"]["seed"]])
        chosen = [r for r in own if r["status"] == "ok" and r["job"]["learning_rate"] == rate]
        if not chosen:
            continue
        force = [r["test"]["force_mae_mev_per_A"] for r in chosen]
        rows.append(
            Row(
                contender=name,
                learning_rate=float(rate or 0.0),
                n_seeds=len(chosen),
                force_mae=float(np.mean(force)),
                force_mae_range=(min(force), max(force)),
                force_rmse=float(np.mean([r["test"]["force_rmse_mev_per_A"] for r in chosen])),
                energy_mae=float(np.mean([r["test"]["energy_mae_mev_per_atom"] for r in chosen])),
                n_parameters=int(chosen[0]["n_parameters"]),
                shape=f"{chosen[0]['n_layers']} x {chosen[0]['channels']}",
                wall_s=float(np.mean([r["train_wall_s"] for r in chosen])),
                cpu_s=float(np.mean([r["train_cpu_s"] for r in chosen])),
                versions=", ".join(f"{k} {v}" for k, v in chosen[0]["versions"].items()),
                n_failed=sum(r["status"] != "ok" for r in own),
            )
        )
    return rows


def best_peer(rows: Sequence[Row]) -> Row | None:
    """Return the peer with the lowest force MAE."""
    return min((r for r in rows if r.contender != CORE), key=lambda r: r.force_mae, default=None)


def verdict(rows: Sequence[Row]) -> tuple[bool | None, str]:
    """Say whether the core's force MAE is within `TOLERANCE` of the best peer's; None if either is missing."""
    core = next((r for r in rows if r.contender == CORE), None)
    peer = best_peer(rows)
    if core is None or peer is None:
        return None, "No verdict: it takes the core and at least one peer."
    ratio = core.force_mae / peer.force_mae
    passed = ratio <= TOLERANCE
    return passed, (
        f"{CORE}: force MAE {core.force_mae:.2f} meV/Å is {ratio:.3f} x that of the best peer, {peer.contender} "
        f"({peer.force_mae:.2f} meV/Å): {'within' if passed else 'NOT within'} {100 * (TOLERANCE - 1):.0f} %."
    )


def table_of(rows: Sequence[Row], epochs: int, n_frames: Mapping[str, int]) -> Table:
    """Make the table that is printed."""
    peer = best_peer(rows)
    table = Table(
        title=f"H2CO, CCSD(T)-F12: {n_frames['training']} training frames (energies and forces), {epochs} passes, "
        f"{n_frames['test']} test frames"
    )
    for heading in (
        "contender",
        "layers x channels",
        "parameters",
        "learning rate",
        "force MAE (meV/Å)",
        "force RMSE (meV/Å)",
        "energy MAE (meV/atom)",
        "ratio to best peer",
        "seeds",
        "failed",
        "train CPU (s)",
        "train wall (s)",
    ):
        # whole words only: headings may wrap, numbers may not
        table.add_column(heading, justify="left" if heading == "contender" else "right", overflow="fold")
    for row in sorted(rows, key=lambda r: r.force_mae):
        low, high = row.force_mae_range
        table.add_row(
            row.contender,
            row.shape,
            str(row.n_parameters),
            f"{row.learning_rate:g}",
            f"{row.force_mae:.2f}" + (f"\n{low:.2f} to {high:.2f}" if row.n_seeds > 1 else ""),
            f"{row.force_rmse:.2f}",
            f"{row.energy_mae:.3f}",
            f"{row.force_mae / peer.force_mae:.3f}" if peer else "",
            str(row.n_seeds),
            str(row.n_failed),
            f"{row.cpu_s:.0f}",
            f"{row.wall_s:.0f}",
        )
    return table


def remarks_of(runs: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> list[str]:
    """Say what failed, which runs are of other code than there is now, and with which versions they were made."""
    said = [
        f"failed: {run['job']['contender']}, learning rate {run['job']['learning_rate']:g}: {run['reason']}"
        for run in runs
        if run["status"] != "ok"
    ]
    versions = [f"{row.contender}: {row.versions}" for row in sorted(rows, key=lambda r: r.force_mae)]
    old = dict.fromkeys(run["job"]["contender"] for run in runs if not is_of_present_code(run))
    code = [f"by other code than the present one: {', '.join(old)}"] if old else []
    return [*said, "; ".join(versions), *code]
