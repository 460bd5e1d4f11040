"""`compare` and `fit` with a time in place of a budget, and with tuned settings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rich.console import Console

from mfbench.benchmarks.cli import time_budget
from mfbench.benchmarks.cli.place import Where
from mfbench.benchmarks.cli.time_budget import fit_within_time, seconds_of, within_time
from mfbench.benchmarks.harness import timing
from mfbench.benchmarks.harness.executors.factory import make_executor
from mfbench.benchmarks.harness.plan import RunSpec
from mfbench.benchmarks.harness.prepare import prepare
from mfbench.benchmarks.harness.timing import Measured, Rate, measure_comparison
from mfbench.benchmarks.harness.user_data import comparison
from mfbench.benchmarks.tasks.user import UserTask
from mfbench.mfcore.errors import ConfigError
from tests.cli.test_own_files import TINY, Files, files
from tests.harness.test_user_tuned import write as write_tuned

__all__ = ["files"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30min", 1800), ("1.5h", 5400), ("2 h", 7200), ("1d", 86400)]
)
def test_a_time_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text, None) == seconds


@pytest.mark.parametrize("text", ["90", "", "h", "0s", "-5s", "1e3s", "2 weeks", "5m", "1.h"])
def test_a_time_without_one_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a positive number with its unit"):
        seconds_of(text, None)


def test_a_time_and_a_budget_are_one_too_many(call, files: Files) -> None:
    for words in (files.fit(), files.compare()):
        result = call(*words, "--time", "1h")
        assert result.exit_code == 2
        assert "--time and --budget" in result.stderr
    assert files.untouched()


def specs_of(files: Files, arms: tuple[str, ...] = ("single_fidelity", "transfer"), draws: int = 2) -> list[RunSpec]:
    options = {"low": str(files.low), "high": str(files.high)}
    return comparison(
        options,
        task=UserTask(**options),
        arms=arms,
        budgets=[1.0],
        seeds=1,
        draws=draws,
        settings=dict.fromkeys(arms, TINY),
    )


def test_trainings_on_the_users_frames_are_measured(files: Files, tmp_path: Path) -> None:
    specs = specs_of(files)
    found = measure_comparison(specs, make_executor(0), 1, 0.5, tmp_path / "work")
    assert set(found.rates) == {("single_fidelity", "equivariant"), ("transfer", "equivariant")}
    for rate in found.rates.values():
        assert rate.s_per_atom_gradient > 0.0
        assert rate.fixed_s >= 0.0
    assert found.seconds(specs, 2e6, 2) > found.seconds(specs, 1e6, 2) > 0.0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands in for the measurement of a comparison: 1e-4 s an atom gradient; each call counts."""
    calls: list[int] = []

    def fake(specs: list[RunSpec], *_: object) -> Measured:
        calls.append(len(specs))
        rate = Rate(1.0 + len(calls), 1e-4 * len(calls))
        return Measured({(spec.arm, spec.core_name): rate for spec in specs}, 0.0, 1000.0)

    monkeypatch.setattr(timing, "measure_comparison", fake)
    return calls


def within(specs: list[RunSpec], root: Path, time_s: float = 100.0, keep: bool = True) -> list[RunSpec]:
    data = {"low": "1", "high": "2"}
    return within_time(
        Console(quiet=True),
        specs,
        data,
        root,
        time_s=time_s,
        text="100s",
        where=Where(1),
        keep=keep,
        started=time.perf_counter(),
    )


def test_the_same_command_finds_the_budget_that_was_measured_and_so_the_same_runs(
    files: Files, tmp_path: Path, measured: list[int]
) -> None:
    specs, root = specs_of(files), tmp_path / "runs"
    first = within(specs, root)
    assert {spec.budget for spec in first} == {2.2e5}  # (100 - 4 · 2) s / (4 · 1e-4 s), and what the call itself took
    assert measured == [4]
    again = within(specs, root)
    assert measured == [4]
    assert [run.key for run in prepare(again)] == [run.key for run in prepare(first)]
    other = within(specs, root, time_s=200.0)
    assert measured == [4, 4]
    assert other[0].budget != first[0].budget
    within(specs_of(files, draws=1), root)
    assert measured == [4, 4, 2]
    assert within(specs, root)[0].budget == first[0].budget


def test_a_dry_run_keeps_nothing(files: Files, tmp_path: Path, measured: list[int]) -> None:
    within(specs_of(files), tmp_path / "runs", keep=False)
    assert not (tmp_path / "runs").exists()


def test_a_time_that_is_too_short_is_refused_with_the_least(files: Files, tmp_path: Path, measured: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"--time 100s: too short for 4 runs on 1 process: about 9 s is the least"):
        within(specs_of(files), tmp_path / "runs", time_s=5.0)


def test_a_fit_takes_the_time_that_is_given_and_goes_on_with_its_budget(
    call, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", time.process_time)  # what else the machine does is not counted
    words = [word for word in files.fit("single_fidelity") if word not in ("--budget", 2000)]
    result = call(*words, "--time", "10s")
    assert result.exit_code == 0, result.stderr
    assert "Measured: " in result.stderr
    assert "atom gradients for the training: about" in result.stderr
    assert files.out.is_dir()
    assert not list(tmp_path.glob("*.partial"))

    budgets: list[float] = []
    for _ in range(2):
        budgets.append(
            fit_within_time(
                Console(quiet=True),
                budgets.append,
                1e3,
                "asked",
                tmp_path / "w",
                time_s=5.0,
                text="5s",
                started=time.perf_counter(),
            )
        )
    assert budgets[-1] == budgets[-2]
    assert time_budget.Time is not None


def test_tuned_settings_of_a_comparison(call, files: Files, tmp_path: Path) -> None:
    tuned = write_tuned(tmp_path)
    words = ["compare", "--low", files.low, "--high", files.high, "--tuned", tuned, "--dry-run", "--draws", 1]
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    assert "tuned on task 'molecular_cc' by 7 trials each" in result.stdout
    assert "left out: single_fidelity:" in result.stdout
    assert "2 runs: 0 stored" in result.stdout
    refused = call(*words, "--arm", "single_fidelity")
    assert refused.exit_code == 2
    assert "only of multi_fidelity, transfer" in refused.stderr
