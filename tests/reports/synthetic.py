"""Rows as `mfbench run` stores them, with known values."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

SPLITS = ("in_coverage", "out_of_coverage")
SCORES = {
    "energy_mae_mev_per_atom": ("meV/atom", 1.0),
    "energy_detrended_mae_mev_per_atom": ("meV/atom", 0.5),
    "force_mae_mev_per_A": ("meV/Å", 10.0),
}
RETENTION = {"low_energy_mae_mev_per_atom": ("meV/atom", 2.0), "low_force_mae_mev_per_A": ("meV/Å", 20.0)}


def make_rows(
    errors: Mapping[str, float],
    *,
    draws: int = 1,
    seeds: int = 1,
    n_high: Sequence[int] = (100,),
    spread: Callable[[str, int, int], float] = lambda arm, draw, seed: 1.0,
    failed: Sequence[tuple[str, int, int]] = (),
    label_cost: float = 1234.5,
) -> pd.DataFrame:
    """Rows of arms whose energy MAE is errors[arm] · (n_high / 100)^-1/2 in coverage and twice that outside.

    `spread` multiplies each run's errors; `failed` names runs (arm, draw, seed) that fail.
    """
    rows = []
    for arm, error in errors.items():
        ceiling = arm == "single_fidelity_all"
        for size in ["all"] if ceiling else [str(n) for n in n_high]:
            scale = 1.0 if ceiling else (int(size) / 100.0) ** -0.5
            for draw in range(draws):
                for seed in range(seeds):
                    base = {
                        "run_key": f"{arm}-{size}-{draw}-{seed}",
                        "task": "synthetic",
                        "core": "equivariant",
                        "arm": arm,
                        "n_low": "400",
                        "n_high": size,
                        "labels": "low=EF,high=E",
                        "pairing": "disjoint",
                        "coverage": "gap",
                        "e0": "default",
                        "selection": "default",
                        "budget": "default",
                        "seed": seed,
                        "draw": draw,
                        "n_parameters": 1000,
                        "mfbench_version": "0.1.0",
                        "torch_version": "2.13.0",
                        "date": "2026-01-01T00:00:00+00:00",
                    }
                    if (arm, draw, seed) in failed:
                        nothing = {"split": "", "metric": "", "unit": "", "value": float("nan"), "n": 0}
                        rows.append(base | nothing | _costs(float("nan")) | {"n_failed": 1, "status": "failed"})
                        continue
                    scores = SCORES | (RETENTION if arm == "multi_fidelity" else {})
                    for index, split in enumerate(SPLITS):
                        for metric, (unit, factor) in scores.items():
                            value = error * factor * scale * (1 + index) * spread(arm, draw, seed)
                            scored = {"split": split, "metric": metric, "unit": unit, "value": value, "n": 50}
                            costs = _costs(label_cost)
                            rows.append(base | scored | costs | {"n_failed": 0, "status": "finished"})
    return pd.DataFrame(rows)


def with_metric(
    rows: pd.DataFrame, metric: str, split: str, value: Callable[[str, int, int], float], unit: str = ""
) -> pd.DataFrame:
    """The rows with one more metric of each finished run, by arm, draw and seed."""
    runs = rows[rows["status"] == "finished"].drop_duplicates("run_key")
    keys = zip(runs["arm"], runs["draw"], runs["seed"], strict=True)
    more = runs.assign(metric=metric, split=split, unit=unit, value=[value(*key) for key in keys])
    return pd.concat([rows, more], ignore_index=True)


def _costs(label_cost: float) -> dict[str, float]:
    return {
        "label_cost_cpu_s": label_cost,
        "train_atom_gradients": 3e5,
        "train_steps": 2412.0,
        "train_wall_s": 21.4,
        "train_cpu_s": 40.0,
        "inference_us_per_atom": 85.2,
        "inference_evaluations": 1,
    }
