"""The size of the whole check on made-up seeds, and the faults that are planted into real runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mfbench.benchmarks.harness.prepare import prepare_one
from mfbench.benchmarks.regression.demonstrate import degraded, planted, slowed
from mfbench.benchmarks.regression.simulate import population, rates
from mfbench.benchmarks.regression.statistics import LEVEL
from tests.cli.conftest import fakes
from tests.harness.conftest import spec
from tests.regression.made import cells, measured, values
from tests.regression.test_speed import TIMES, suite

__all__ = ["fakes"]
pytest_plugins = ["pytester"]


def test_unchanged_code_raises_few_alarms_and_ten_per_cent_is_seen() -> None:
    seeds = population(values(np.random.default_rng(4), range(12), spread=0.12, shared=0.1))
    found = rates(seeds, np.random.default_rng(1), n_baseline=10, n_new=10, trials=40, reruns=5, changes=(0.1,))
    # 200 re-runs against 40 baselines: three standard errors, and a little since those of one baseline go together.
    assert found.false_alarms < LEVEL + 3 * np.sqrt(LEVEL / 200) + 0.01
    assert found.power[0.1, "new seeds"] > 0.5
    assert found.power[0.1, "same seeds"] > found.power[0.1, "new seeds"] - 0.1


@pytest.mark.parametrize("kind", ["normal", "resampled"])
def test_drawn_seeds_have_the_covariance_of_the_recorded_ones(kind) -> None:
    seeds = population(values(np.random.default_rng(4), range(8)))
    drawn = seeds.draw(np.random.default_rng(0), 20_000, kind)
    assert drawn.mean(axis=0) == pytest.approx(seeds.logs.mean(axis=0), abs=0.01)
    assert np.cov(drawn.T) == pytest.approx(np.cov(seeds.logs.T), abs=0.1 * np.cov(seeds.logs.T).max())


def test_a_population_needs_seeds() -> None:
    with pytest.raises(ValueError, match="2 seeds have all metrics"):
        population(values(np.random.default_rng(0), range(2)))


def test_planted_errors_are_in_forces_only() -> None:
    runs = measured(values(np.random.default_rng(0), range(3)))
    worse = planted(runs, 1.1, 0.0, np.random.default_rng(0))
    for cell in cells():
        factor = 1.1 if cell.metric.startswith("force") else 1.0
        assert worse.values[cell][0, 1] == pytest.approx(factor * runs.values[cell][0, 1])


def test_a_fault_reaches_the_run_but_not_its_key(fakes: Path) -> None:
    from mfbench.benchmarks.harness import execute

    planned = prepare_one(spec(settings={"steps": 2}))
    seen = []

    def fit(folder: Path):
        folder.mkdir()
        strategy = execute.arm_class("fake_mean")(planned.settings)
        report = lambda name, spent, budget: seen.append(budget)  # noqa: E731
        split = execute.split_of(planned.spec)
        from mfbench.mfcore.training.budget import Budget

        return strategy.fit(split.training, Budget(1000.0), 0, progress=report, workdir=folder)

    folder = fakes.parent
    plain = fit(folder / "a").energies
    with degraded({"budget": 0.5, "shift": 1.0}):
        assert prepare_one(spec(settings={"steps": 2})).key == planned.key
        faulty = fit(folder / "b").energies
    assert faulty - plain == pytest.approx([1.0, 1.0])
    assert seen == [1000.0, 1000.0, 500.0, 500.0]
    assert fit(folder / "c").energies == pytest.approx(plain)


def test_a_planted_slowdown_is_told_from_the_unchanged_suite(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    slow = suite(tmp_path / "slow.json", rng, times={name: 2 * time for name, time in TIMES.items()})
    found = slowed([suite(tmp_path / f"{k}.json", rng) for k in range(4)], [slow])
    assert [item["worse"] for item in found["unchanged"]] == [[]] * 4
    assert [len(item["worse"]) for item in found["planted_twice_the_time"]] == [len(TIMES)] * 4
    assert len(found["code_that_does_everything_twice"]["worse"]) == len(TIMES)
    json.dumps(found)


def test_the_plugin_does_everything_twice_but_the_reference(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        calls = []

        @pytest.fixture
        def benchmark():
            return lambda function, *arguments: function(*arguments)

        def test_work(benchmark):
            assert benchmark(lambda x: calls.append(x) or x, 7) == 7
            assert calls == [7, 7]

        def test_reference_gemm(benchmark):
            benchmark(calls.append, 1)
            assert calls == [7, 7, 1]
        """
    )
    result = pytester.runpytest("-p", "mfbench.benchmarks.regression.twice", "-p", "no:benchmark")
    result.assert_outcomes(passed=2)
