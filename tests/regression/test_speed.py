"""Speed verdicts: a planted slowdown is caught, the noise of a busy machine is not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mfbench.benchmarks.regression.baseline import BaselineSpeed
from mfbench.benchmarks.regression.judge import Verdict, failed
from mfbench.benchmarks.regression.measure import Speed
from mfbench.benchmarks.regression.speed import FLOOR, compare_speed, read_speed
from mfbench.mfcore.errors import DataError
from tests.cli.conftest import call

__all__ = ["call"]

TIMES = {"test_predict": 0.2, "test_step": 0.5, "test_neighbours": 0.03}
GEMM = 0.01


def suite(
    path: Path, rng: np.random.Generator, *, times: dict[str, float] = TIMES, load: float = 1.0, source: str = "s"
) -> Path:
    """A file as pytest-benchmark writes it: `load` slows everything, and rounds are up to 60 % late at random."""

    def entry(name: str, least: float) -> dict:
        rounds = load * least * (1 + 0.6 * rng.random(30) ** 3)
        return {
            "fullname": f"benchmarks/performance/suites/test_core.py::{name}",
            "stats": {"min": float(rounds.min()), "data": rounds.tolist()},
            "extra_info": {"source_sha256": source},
        }

    path.write_text(
        json.dumps({"benchmarks": [entry("test_reference_gemm", GEMM), *(entry(n, t) for n, t in times.items())]})
    )
    return path


def recorded(paths: list[Path]) -> list[BaselineSpeed]:
    return [BaselineSpeed(name=s.name, source=s.source, ratios=list(s.ratios)) for s in read_speed(paths)]


@pytest.fixture
def old(tmp_path: Path) -> list[BaselineSpeed]:
    rng = np.random.default_rng(0)
    return recorded([suite(tmp_path / f"old{k}.json", rng) for k in range(3)])


def test_a_ratio_is_of_least_times_and_free_of_the_machine(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for load in (1.0, 3.0):
        ratios = {s.name: s.ratios for s in read_speed([suite(tmp_path / "a.json", rng, load=load)])}
        assert ratios.keys() == {f"test_core.py::{name}" for name in TIMES}
        assert ratios["test_core.py::test_predict"] == (pytest.approx(20.0, rel=0.02),)


def test_twice_the_time_is_worse_and_named(old: list[BaselineSpeed], tmp_path: Path) -> None:
    slow = TIMES | {"test_step": 2 * TIMES["test_step"]}
    findings = compare_speed(old, read_speed([suite(tmp_path / "n.json", np.random.default_rng(4), times=slow)]))
    assert {f.metric: f.verdict for f in findings} == {
        "test_core.py::test_predict": Verdict.same,
        "test_core.py::test_step": Verdict.worse,
        "test_core.py::test_neighbours": Verdict.same,
    }
    assert failed(findings)
    assert next(f.change for f in findings if f.verdict is Verdict.worse) == pytest.approx(1.0, rel=0.05)
    assert all(f.detectable < 1.0 for f in findings), "a factor of two is always seen"


def test_half_the_time_is_better(old: list[BaselineSpeed], tmp_path: Path) -> None:
    fast = {name: time / 2 for name, time in TIMES.items()}
    findings = compare_speed(old, read_speed([suite(tmp_path / "n.json", np.random.default_rng(4), times=fast)]))
    assert {f.verdict for f in findings} == {Verdict.better}


def test_a_busy_machine_raises_no_alarm(old: list[BaselineSpeed], tmp_path: Path) -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        # Twice as slow on the whole, and each benchmark with a fifth of its own on top.
        times = {name: time * math.exp(0.1 * rng.normal()) for name, time in TIMES.items()}
        findings = compare_speed(old, read_speed([suite(tmp_path / "n.json", rng, times=times, load=2.0)]))
        assert not failed(findings), seed


def test_where_repeats_scatter_the_threshold_is_wider(tmp_path: Path) -> None:
    scattered = [BaselineSpeed(name="test_core.py::test_predict", source="s", ratios=[10.0, 20.0, 40.0])]
    one = suite(tmp_path / "n.json", np.random.default_rng(0), times={"test_predict": 0.4})
    (finding,) = compare_speed(scattered, read_speed([one]))
    assert finding.verdict is Verdict.same
    assert finding.alarm > math.expm1(FLOOR) * 3
    steady = [BaselineSpeed(name="test_core.py::test_predict", source="s", ratios=[19.9, 20.0, 20.1])]
    (finding,) = compare_speed(steady, read_speed([one]))
    assert finding.verdict is Verdict.worse


def test_one_benchmark_of_two_modes_widens_no_other_threshold(tmp_path: Path) -> None:
    old = [BaselineSpeed(name=f"t.py::test_{k}", source="", ratios=[1.0, 1.02, 0.98, 1.01]) for k in range(5)]
    modes = BaselineSpeed(name="t.py::test_modes", source="", ratios=[1.0, 1.6, 1.0, 1.6])
    new = [Speed(entry.name, "", (2.0,)) for entry in [*old, modes]]
    found = {f.metric: f for f in compare_speed([*old, modes], new)}
    assert {f.verdict for name, f in found.items() if name != modes.name} == {Verdict.worse}
    assert found[modes.name].verdict is Verdict.same, "what is in doubt is not judged"
    assert found[modes.name].alarm > 1.0


def test_missing_and_edited_benchmarks(old: list[BaselineSpeed], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    edited = compare_speed(old, read_speed([suite(tmp_path / "a.json", rng, source="edited")]))
    assert {f.verdict for f in edited} == {Verdict.not_comparable}
    assert failed(edited)
    fewer = compare_speed(old, read_speed([suite(tmp_path / "b.json", rng, times={"test_step": 0.5})]))
    assert sorted(f.verdict for f in fewer) == [Verdict.missing, Verdict.missing, Verdict.same]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "not a pytest-benchmark JSON"),
        ('{"benchmarks": []}', "expected one benchmark 'test_reference_gemm'"),
        ('{"benchmarks": [{"fullname": "t.py::test_reference_gemm", "stats": {"min": 1}}]}', "no benchmark beside"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=fault):
        read_speed([path])


def test_a_time_of_nothing_is_refused(tmp_path: Path) -> None:
    path = suite(tmp_path / "x.json", np.random.default_rng(0), times={"test_step": 0.0})
    with pytest.raises(DataError, match=r"test_step.*least time is 0"):
        read_speed([path])


def test_the_command_takes_speed_alone(call, tmp_path: Path) -> None:
    rng, file = np.random.default_rng(3), tmp_path / "speed.json"
    repeats = [word for k in range(3) for word in ("--speed", suite(tmp_path / f"r{k}.json", rng))]
    assert call("regress", "--baseline", file, *repeats, "--update").exit_code == 0
    assert call("regress", "--baseline", file, *repeats[:2]).exit_code == 0
    slow = suite(tmp_path / "slow.json", rng, times={name: 2 * time for name, time in TIMES.items()})
    result = call("regress", "--baseline", file, "--speed", slow, "--format", "md")
    assert result.exit_code == 1
    assert result.stdout.count("**worse**") == len(TIMES)
    assert "needs" not in result.stdout
    assert call("regress", "--speed", slow).exit_code == 2
