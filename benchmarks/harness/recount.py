"""Frames, rules and label costs of rows that were stored before these were recorded.

    python -m mfbench.benchmarks.harness.recount results/ingan/rows.csv.gz --selection loss

writes the frames beside the rows, as today's splits choose them, and the costs anew. Stored label costs have to be
those of the same frames, by today's accounting or by that in which a label that another one starts from was paid twice;
rows of a task that knows no costs are taken on trust.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mfbench.benchmarks.harness.columns import RUN_COLUMNS, STARTS_FROM, detail_frame
from mfbench.benchmarks.harness.cores import uses_low
from mfbench.benchmarks.harness.cost import LabelsUsed, label_cost, labels_used
from mfbench.benchmarks.harness.details import detail_path
from mfbench.benchmarks.harness.frames_used import DETAIL, TYPES, frames_used
from mfbench.benchmarks.harness.rows_file import read_rows, write_rows
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.registry import make_task
from mfbench.mfcore.data.splits import SPLIT_RULE
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.training.config import SelectionRule
from mfbench.strategies.registry import arm_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mfbench.benchmarks.tasks.base import Split, Task

TOLERANCE = 1e-4
"""Relative deviation of label costs that counts as none: files of rows have eight digits."""


def recount(rows: pd.DataFrame, selection: str, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give rows with rules and label costs of today, and the frames of their runs.

    Parameters
    ----------
    rows
        Rows of registered tasks.
    selection
        Name of the rule by which their weights were selected.
    path
        Their file, for messages.

    Raises
    ------
    DataError
        If a run's stored label cost is not that of the frames that its split chooses today.
    """
    import pandas as pd

    tasks: dict[str, Task] = {}
    splits: dict[tuple[str, ...], Split] = {}
    costs: dict[str, float] = {}
    found = []
    sizes = [int(n) for n in rows["n_high"].unique() if str(n) != "all"]
    for run in rows.drop_duplicates("run_key").to_dict("records"):
        task = tasks.setdefault(run["task"], make_task(run["task"]))
        arm = arm_class(run["arm"])
        place = tuple(str(run[name]) for name in ("task", "n_low", "n_high", "labels", "pairing", "coverage", "draw"))
        if place not in splits:
            splits[place] = task.split(_regime(run, sizes if arm.needs_all_high else []), int(run["draw"]))
        training = splits[place].ceiling if arm.needs_all_high else splits[place].training
        low_of_high = training.low[-1:] if arm.needs_paired else ()
        learns = uses_low(run["arm"], checkpoint=bool(run[STARTS_FROM]))
        used = labels_used(training, uses_low=learns, low_of_high=low_of_high)
        costs[run["run_key"]] = _cost(task, used, run, path)
        frame = detail_frame(DETAIL, frames_used(task.frames, training, uses_low=learns))
        found.append(frame.assign(**{name: run[name] for name in RUN_COLUMNS})[[*RUN_COLUMNS, *TYPES]])
    counted = rows["run_key"].map(costs)
    known = rows["label_cost_cpu_s"].notna()
    cost = counted.where(known, rows["label_cost_cpu_s"])
    return (
        rows.assign(label_cost_cpu_s=cost, selected_by=selection, split_rule=SPLIT_RULE),
        pd.concat(found, ignore_index=True),
    )


def _regime(run: dict[str, Any], others: Sequence[int]) -> Regime:
    """Regime of a run; the ceiling takes all HF frames in a regime that it shares with others, of these sizes."""
    sizes = {name: n if (n := run[name]) == "all" else int(n) for name in ("n_low", "n_high")}
    if others:
        sizes["n_high"] = max(others)
    return Regime(**sizes, **{name: run[name] for name in ("labels", "pairing", "coverage", "e0")})


def _cost(task: Task, used: Sequence[LabelsUsed], run: dict[str, Any], path: Path) -> float:
    """Cost of the labels of a run today; its stored cost has to be that, or that of labels paid twice."""
    stored, today = float(run["label_cost_cpu_s"]), label_cost(task, used)
    before = sum(task.label_cost(part.frames, part.fidelity, part.labels) for part in used)
    if math.isfinite(stored) and not any(math.isclose(stored, cost, rel_tol=TOLERANCE) for cost in (today, before)):
        raise DataError(
            f"run {run['run_key'][:12]} ({run['arm']}, n_high {run['n_high']}, draw {run['draw']}) has labels of "
            f"{stored:.6g} CPU-s, those of its frames by today's split cost {today:.6g}: it was trained on others.",
            file=path,
            key="label_cost_cpu_s",
            hint="Compute the runs again.",
        )
    return today


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the frames beside a file of rows, and the rows with them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=Path, help="file of rows (.csv.gz)")
    parser.add_argument(
        "--selection", required=True, choices=get_args(SelectionRule), help="rule by which weights were selected"
    )
    given = parser.parse_args(arguments)
    rows, frames = recount(read_rows(given.rows), given.selection, given.rows)
    write_rows(frames, detail_path(given.rows, DETAIL))
    write_rows(rows, given.rows)


if __name__ == "__main__":
    main()
