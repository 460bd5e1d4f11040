"""Details as runs store them beside rows, with known values."""

import math

import numpy as np
import pandas as pd

from mfbench.benchmarks.harness.columns import RUN_COLUMNS, detail_frame
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.results import Results

GROUPS = {"a": 2.0, "b": 1.0, "c": 1.0, "d": 4.0, "e": 2.0}
"""Weight of each group of test frames."""

OFFSETS = {"a": 0.1, "b": -0.3, "c": 0.5, "d": -0.1, "e": 0.0}
"""How far a group's error is from the run's, relative; weighted, they add up to zero."""

TEMPERATURES = (300.0, 600.0)
LIMIT_PS = 20.0
ACTIVATION_EV = 0.25
EOS_VOLUMES = {"GaN": 11.0, "InN": 16.0}
"""Å³ an atom."""
BOLTZMANN_EV = 8.617333262e-5


def make_details(rows: pd.DataFrame, *names: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Details of all finished runs in these rows; all details that are made here if no name is given."""
    runs = rows[rows["status"] == "finished"].drop_duplicates("run_key")
    tables = {}
    for name in names or MAKERS:
        parts = []
        for index, (_, run) in enumerate(runs.iterrows()):
            generator = np.random.default_rng([seed, index])
            records = MAKERS[name](rows[rows["run_key"] == run["run_key"]], generator)
            head = pd.DataFrame([{key: run[key] for key in RUN_COLUMNS}] * len(records))
            parts.append(pd.concat([head, detail_frame(name, records)], axis=1))
        tables[name] = pd.concat(parts, ignore_index=True)
    return tables


def results_by_group(rows: pd.DataFrame) -> Results:
    """Rows with their errors by five groups of test frames, which a verdict needs."""
    return Results(rows, Details(tables=make_details(rows, "blocks")))


def quality(rows: pd.DataFrame) -> float:
    """Error of a run over 10 meV/atom: what its details scale with."""
    chosen = rows[(rows["metric"] == "energy_mae_mev_per_atom") & (rows["split"] == "in_coverage")]
    return float(chosen["value"].iloc[0]) / 10.0


def _blocks(rows, generator):
    return [
        {
            "split": row["split"],
            "metric": row["metric"],
            "group": group,
            "value": row["value"] * (1.0 + OFFSETS[group]),
            "weight": weight,
        }
        for _, row in rows.iterrows()
        if row["metric"] in ("energy_mae_mev_per_atom", "force_mae_mev_per_A")
        for group, weight in GROUPS.items()
    ]


def _predictions(rows, generator):
    """Six atoms; Gaussian energies and forces, errors in proportion to the run's."""
    records = []
    for split, scale in (("in_coverage", 1.0), ("out_of_coverage", 2.0)):
        for fidelity, size in (("low", 1.0), ("high", scale * quality(rows))):
            for index in range(40):
                energy = -500.0 + 1.5 * generator.normal()
                forces = 2.0 * generator.normal(size=18)
                records.append(
                    {
                        "split": split,
                        "fidelity": fidelity,
                        "structure_id": f"{split}-{index}",
                        "group": f"g{index % 5}",
                        "n_atoms": 6,
                        "energy_ref_ev": energy,
                        "energy_pred_ev": energy + 0.06 * size * generator.normal(),
                        "force_ref": forces.tolist(),
                        "force_pred": (forces + 0.1 * size * generator.normal(size=18)).tolist(),
                    }
                )
    return records


def _survival(rows, generator):
    """Exponential times with a mean of 30 ps over the run's quality, shorter when hot; one engine error."""
    records = []
    for kelvin in TEMPERATURES:
        for replica in range(8):
            time = generator.exponential(30.0 / quality(rows) * 300.0 / kelvin)
            failed = time < LIMIT_PS
            record = {"temperature_k": kelvin, "replica": replica, "start": f"s{replica % 4}", "limit_ps": LIMIT_PS}
            record |= {"time_ps": min(time, LIMIT_PS), "status": "failure" if failed else "survived"}
            record |= {"mode": ("close pair" if replica % 2 else "broken unit") if failed else ""}
            records.append(record)
        error = {"temperature_k": kelvin, "replica": 8, "start": "s0", "limit_ps": LIMIT_PS}
        records.append(error | {"time_ps": 1.0, "status": "error", "mode": "wall clock"})
    return records


def _drift(rows, generator):
    return [
        {"replica": i, "start": f"s{i}", "drift_mev_per_atom_per_ps": 0.01 * generator.normal(), "time_ps": 10.0}
        for i in range(3)
    ]


def _transport(rows, generator):
    """D = 0.01 cm²/s · quality^0.2 · exp(-0.25 eV / kT), one replica in four lost at 800 K."""
    records = []
    for kelvin in (400.0, 500.0, 600.0, 800.0):
        for replica in range(4):
            d = (
                0.01
                * quality(rows) ** 0.2
                * math.exp(-ACTIVATION_EV / (BOLTZMANN_EV * kelvin))
                * (1.0 + 0.03 * generator.normal())
            )
            survived = not (kelvin == 800.0 and replica == 0)
            records.append(
                {
                    "temperature_k": kelvin,
                    "replica": replica,
                    "species": "Li",
                    "diffusivity_cm2_per_s": d if survived else math.nan,
                    "diffusivity_stderr_cm2_per_s": 0.05 * d if survived else math.nan,
                    "n_blocks": 5,
                    "time_ps": 100.0,
                    "survived": survived,
                }
            )
    return records


def _msd(rows, generator):
    """Li moves by 6 D t beside what it rattles, sulfur only rattles; lags of 0.1 to 40 ps."""
    return [
        {"temperature_k": kelvin, "species": species, "lag_ps": lag, "msd_a2": square, "n_replicas": 3}
        for kelvin in (400.0, 600.0, 800.0)
        for species, moves in (("S", 0.0), ("Li", 1.0))
        for lag in np.geomspace(0.1, 40.0, 20)
        for square in [
            0.2 + moves * 600.0 * quality(rows) ** 0.2 * math.exp(-ACTIVATION_EV / (BOLTZMANN_EV * kelvin)) * lag
        ]
    ]


def _eos(rows, generator):
    """Parabolas about 11 and 16 Å³ an atom; predictions stiffer in proportion to the run's quality."""
    return [
        {
            "member": member,
            "volume_a3_per_atom": ratio * volume,
            "energy_ref_ev_per_atom": -5.0 + 10.0 * (ratio - 1.0) ** 2,
            "energy_pred_ev_per_atom": -4.0 + 10.0 * (1.0 + 0.1 * quality(rows)) * (ratio - 1.0) ** 2,
        }
        for member, volume in EOS_VOLUMES.items()
        for ratio in (0.94, 0.97, 1.0, 1.03, 1.06)
    ]


def _mixing(rows, generator):
    """A parabola, 300 meV/atom · x (1 - x), two orderings at each x; predictions off in proportion."""
    records = []
    for i, x in enumerate(np.linspace(0.0, 1.0, 9)):
        for ordering in (0, 1):
            reference = 300.0 * x * (1.0 - x) + 4.0 * ordering * (0.0 < x < 1.0)
            record = {"structure_id": f"x{i}-{ordering}", "x": float(x), "energy_ref_mev_per_atom": reference}
            ends = x in (0.0, 1.0)
            predicted = 0.0 if ends else reference * (1.0 + 0.05 * quality(rows)) + generator.normal()
            records.append(record | {"energy_pred_mev_per_atom": predicted})
    return records


def _hull(rows, generator):
    return [
        {"structure_id": f"h{i}", "x": 0.5, "distance_ref_ev_per_atom": d, "distance_pred_ev_per_atom": d + 0.01}
        for i, d in enumerate(np.linspace(-0.05, 0.2, 11))
    ]


MAKERS = {
    "blocks": _blocks,
    "predictions": _predictions,
    "survival": _survival,
    "drift": _drift,
    "transport": _transport,
    "msd": _msd,
    "mixing": _mixing,
    "hull": _hull,
    "eos": _eos,
}
