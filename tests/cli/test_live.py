"""Progress while runs are computed: the table of arms on a terminal, lines elsewhere."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from mfbench.benchmarks.cli.live import ArmsTable
from mfbench.benchmarks.cli.progress import RunsProgress
from mfbench.benchmarks.cli.waiting import waiting
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import PlannedRun
from mfbench.benchmarks.tasks.base import Regime
from mfbench.mfcore.errors import DataError


def planned(arm: str, draw: int, n_high: int = 25) -> PlannedRun:
    spec = RunSpec("oxides", Regime(n_low=100, n_high=n_high), arm, 200.0, 0, draw)
    return PlannedRun(spec, {}, {"arm": arm, "draw": draw, "n_high": n_high})


def rows(force: float, energy: float) -> pd.DataFrame:
    lines = [
        ("force_mae_mev_per_A", "out_of_coverage", force),
        ("energy_mae_mev_per_atom", "out_of_coverage", energy),
        ("force_rmse_mev_per_A", "out_of_coverage", 1e4),
    ]
    made = pd.DataFrame(lines, columns=["metric", "split", "value"])
    return made.assign(status="finished")


def text(shown: object, width: int = 130) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def runs() -> list[PlannedRun]:
    return [planned(arm, draw) for draw in range(3) for arm in ("transfer", "delta[red]")]


@pytest.fixture
def stored(runs: list[PlannedRun]) -> dict[str, pd.DataFrame]:
    """Force errors of 100, 200, 300 of transfer, and ten times those of the other; energies a tenth of them."""
    factors = {"transfer": 100.0, "delta[red]": 1000.0}
    forces = {run.key: factors[run.spec.arm] * (run.spec.draw + 1) for run in runs}
    return {key: rows(force, force / 10) for key, force in forces.items()}


def line_of(shown: str, arm: str) -> list[str]:
    return next(line for line in shown.splitlines() if line.strip().startswith(arm)).split()


def test_an_arm_has_the_mean_errors_of_its_finished_runs(
    runs: list[PlannedRun], stored: dict[str, pd.DataFrame]
) -> None:
    table = ArmsTable(runs, runs, stored.__getitem__)
    table.started(runs[0])
    shown = text(table)
    assert "oxides: n_low = 100, n_high = 25, low=EF,high=E" in shown
    assert line_of(shown, "transfer") == ["transfer", "0/3", "computing:", "0", "%"]
    table.spent(runs[0], 50.0)
    assert line_of(text(table), "transfer")[-2:] == ["25", "%"]
    table.ended(runs[0], None)
    table.ended(runs[2], None)
    shown = text(table)
    assert line_of(shown, "transfer") == ["transfer", "2/3", "150", "15.0"]
    assert line_of(shown, "delta[red]") == ["delta[red]", "0/3", "–", "–"]
    assert "F out of domain" in shown
    assert "meV/Å" in shown


def test_a_failed_run_is_counted_and_in_no_mean(runs: list[PlannedRun], stored: dict[str, pd.DataFrame]) -> None:
    table = ArmsTable(runs, runs, stored.__getitem__)
    table.started(runs[0])
    table.ended(runs[0], None)
    table.ended(runs[2], "diverged")
    assert line_of(text(table), "transfer") == ["transfer", "2/3,", "1", "failed", "100", "10.0"]


def test_runs_stored_before_are_read_when_their_table_is_shown(stored: dict[str, pd.DataFrame]) -> None:
    runs = [planned("transfer", draw, n_high) for n_high in (25, 50) for draw in range(3)]
    read: list[str] = []

    def rows_of(key: str) -> pd.DataFrame:
        read.append(key)
        if key == runs[1].key:
            raise DataError("damaged")
        return rows(100.0, 10.0)

    table = ArmsTable(runs, [runs[2], runs[5]], rows_of)
    assert not read
    table.started(runs[2])
    assert set(read) == {runs[0].key, runs[1].key}
    assert line_of(text(table), "transfer")[:3] == ["transfer", "2/3", "100"]
    table.started(runs[5])
    assert "n_high = 50" in text(table)
    assert len(read) == 4


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_the_table_and_a_file_a_line_a_run(
    runs: list[PlannedRun], stored: dict[str, pd.DataFrame], terminal: bool
) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, color_system=None, width=130, legacy_windows=False)
    with RunsProgress(console, runs, runs, stored.__getitem__) as monitor:
        for run in runs:
            monitor.started(run)
            monitor.spent(run, 100.0)
            monitor.ended(run, "out of memory" if run is runs[-1] else None)
    shown = file.getvalue()
    assert f"failed: {runs[-1].spec.title()}: out of memory" in shown
    if terminal:
        last = shown.rpartition("mean errors so far")[2]
        assert line_of(last, "transfer") == ["transfer", "3/3", "200", "20.0"]
        assert "6/6 runs" in last
    else:
        assert [line.partition("]")[0] for line in shown.splitlines() if line.startswith("[")] == [
            f"[{n}/6" for n in range(1, 6)
        ]
        assert "so far" not in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_waiting_says_what_is_done_and_for_how_long_on_a_terminal_alone(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80, legacy_windows=False)
    with waiting("Reading [red]runs", console) as told:
        told("Making tables")
    assert ("Making tables" in file.getvalue()) == terminal
    assert ("0:00:00" in file.getvalue()) == terminal
