"""The check put to the test: what is planted must be found, and unchanged code must pass.

    python -m mfbench.benchmarks.regression.demonstrate                    real runs, about 25 CPU-minutes
    python -m mfbench.benchmarks.regression.demonstrate --simulate-only    from the seeds of the tracked baseline

It computes a baseline of the preset `regress`, re-runs of unchanged code with new seeds, and runs of code that was made
worse on purpose (fewer steps, a lower learning rate), and gives each its verdict; 10 % of force error are planted into
copies of the runs, and a doubled time into a copy of a speed measurement. What was computed is kept and not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from mfbench.benchmarks.regression.baseline import Baseline, commit, make_baseline, read_baseline
from mfbench.benchmarks.regression.judge import ALL_ARMS, Finding, Verdict, compare
from mfbench.benchmarks.regression.measure import Measured, measure
from mfbench.benchmarks.regression.report import headline
from mfbench.benchmarks.regression.simulate import Kind, population, rates

if TYPE_CHECKING:
    from mfbench.benchmarks.harness.prepare import PlannedRun
    from mfbench.mfcore.training.budget import Budget

PRESET = "regress"
FIRST_NEW_SEED = 1000

DEGRADED: dict[str, dict[str, Any]] = {
    "70 % of the steps": {"budget": 0.7},
    "40 % of the steps": {"budget": 0.4},
    "a third of the learning rate": {"training": {"learning_rate": 1e-2 / 3}},
    "a tenth of the learning rate": {"training": {"learning_rate": 1e-3}},
}
"""Changes of the code, slight and clear: what the plan says is not what is done."""


class _Otherwise:
    """A strategy that is given a part of the budget only."""

    def __init__(self, strategy: Any, share: float) -> None:
        self._strategy, self._share = strategy, share

    def fit(self, training: Any, budget: Budget, seed: int, **options: Any) -> Any:
        return self._strategy.fit(training, budget.fraction(self._share), seed, **options)


@contextmanager
def degraded(change: Mapping[str, Any]) -> Iterator[None]:
    """Let the harness train otherwise than it says, as faulty code would; only for runs in this process."""
    from mfbench.benchmarks.harness.plan import merge
    from mfbench.strategies.registry import arm_class

    settings = {name: value for name, value in change.items() if name != "budget"}

    def faulty(name: str) -> Callable[..., Any]:

        def make(given: Mapping[str, Any]) -> Any:
            return _Otherwise(arm_class(name)(merge(given, settings)), change.get("budget", 1.0))

        return make

    with mock.patch("mfbench.benchmarks.harness.execute.arm_class", faulty):
        yield


class _Silent:
    """Is told how runs get on, and says nothing."""

    def started(self, run: PlannedRun) -> None:
        pass

    def spent(self, run: PlannedRun, atom_gradients: float) -> None:
        pass

    def ended(self, run: PlannedRun, reason: str | None) -> None:
        if reason is not None:
            _say(f"failed: {run.spec.title()}: {reason}")


def run(folder: Path, title: str, seeds: Sequence[int] | None = None) -> None:
    """Compute what a folder lacks of the preset with some seeds (default: the preset's own)."""
    from mfbench.benchmarks.harness.executors.factory import make_executor
    from mfbench.benchmarks.harness.plan import expand
    from mfbench.benchmarks.harness.prepare import prepare
    from mfbench.benchmarks.harness.presets import load_preset
    from mfbench.benchmarks.harness.runner import pending, run_all
    from mfbench.benchmarks.harness.store import RunStore
    from mfbench.benchmarks.tasks.registry import task_names
    from mfbench.strategies.registry import arm_names

    store = RunStore(folder)
    specs = expand(load_preset(PRESET), tasks=task_names(), arms=arm_names(), needs_all_high=lambda name: False)
    if seeds is not None:
        own = min(spec.seed for spec in specs)
        specs = [replace(spec, seed=seed) for seed in seeds for spec in specs if spec.seed == own]
    planned = prepare(specs)
    todo = pending(planned, store, retry_failed=True).todo
    started = time.process_time()
    run_all(todo, planned, store, _Silent(), make_executor(0))
    _say(f"{title}: {len(todo)} of {len(planned)} runs computed, {time.process_time() - started:.0f} CPU-s")


def planted(measured: Measured, factor: float, spread: float, rng: np.random.Generator) -> Measured:
    """Multiply every force error by a factor, and by noise about it."""
    values = {
        cell: {at: v * factor * float(np.exp(spread * rng.normal())) for at, v in by.items()}
        if cell.metric.startswith("force")
        else by
        for cell, by in measured.values.items()
    }
    return replace(measured, values=values)


def verdict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Part of a comparison that a record keeps."""
    return {
        "headline": headline(findings),
        "worse": [_title(f) for f in findings if f.verdict is Verdict.worse],
        "better": [_title(f) for f in findings if f.verdict is Verdict.better],
        "averages": {
            f.metric: {"change": f.change, "alarm": f.alarm, "detectable": f.detectable}
            for f in findings
            if f.group == ALL_ARMS
        },
    }


def _title(finding: Finding) -> str:
    what = finding.group if finding.group in (ALL_ARMS, "speed") else finding.arm
    return " ".join(part for part in (what, finding.split, finding.metric, f"{100 * finding.change:+.1f} %") if part)


def of_seeds(measured: Measured, seeds: Sequence[int]) -> Measured:
    """The part of a measurement that some seeds make."""
    values = {cell: {at: v for at, v in by.items() if at[1] in seeds} for cell, by in measured.values.items()}
    return replace(measured, values=values)


def real(out: Path, reruns: int, sizes: Sequence[int]) -> tuple[Baseline, dict[str, Any], Measured]:
    """Compute and judge everything; returns the baseline, the record, and all runs of unchanged code."""
    run(out / "baseline", "baseline")
    first = measure(out / "baseline")
    baseline, rng = make_baseline(first, []), np.random.default_rng(0)
    record: dict[str, Any] = {
        "same_seeds_again": verdict(compare(baseline, first)),
        "planted_10_percent_same_seeds": verdict(compare(baseline, planted(first, 1.1, 0.05, rng))),
        "degraded_same_seeds": {},
    }
    for name, change in DEGRADED.items():
        folder = out / name.replace(" ", "-").replace("%", "percent")
        with degraded(change):
            run(folder, name)
        record["degraded_same_seeds"][name] = verdict(compare(baseline, measure(folder)))
    new = list(range(FIRST_NEW_SEED, FIRST_NEW_SEED + reruns * max(sizes)))
    for seeds in np.array_split(new, reruns):
        run(out / "new-seeds", f"new seeds {seeds[0]} to {seeds[-1]}", [int(seed) for seed in seeds])
    fresh = measure(out / "new-seeds")
    record["new_seeds"] = [_reruns(baseline, fresh, reruns, size) for size in sizes]
    everything = {cell: {**by, **fresh.values[cell]} for cell, by in first.values.items()}
    return baseline, record, replace(first, values=everything)


def _reruns(baseline: Baseline, fresh: Measured, reruns: int, size: int) -> dict[str, Any]:
    """Judge re-runs of unchanged code with `size` new seeds each, and the same with 10 % of force error planted."""
    unchanged, worse = [], []
    rng = np.random.default_rng(0)
    for number in range(reruns):
        seeds = range(FIRST_NEW_SEED + number * size, FIRST_NEW_SEED + (number + 1) * size)
        part = of_seeds(fresh, seeds)
        unchanged.append({"first_seed": seeds[0]} | verdict(compare(baseline, part)))
        worse.append(verdict(compare(baseline, planted(part, 1.1, 0.0, rng))))
    found = sum(bool(item["worse"]) for item in worse)
    return {
        "seeds_each": size,
        "false_alarms": f"{sum(bool(item['worse']) for item in unchanged)} of {reruns}",
        "planted_10_percent_found": f"{found} of {reruns}",
        "reruns": unchanged,
    }


def simulated(values: Mapping[Any, Any], n_baseline: int, sizes: Sequence[int], trials: int) -> list[dict[str, Any]]:
    """Size and power of the check for numbers of new seeds."""
    seeds, rng, found = population(values), np.random.default_rng(0), []
    kinds: tuple[Kind, ...] = ("normal", "resampled")
    for n_new in sizes:
        for kind in kinds:
            rate = rates(seeds, rng, n_baseline=n_baseline, n_new=n_new, trials=trials, kind=kind)
            power = {f"{100 * change:.0f} %, {mode}": p for (change, mode), p in rate.power.items()}
            found.append(
                {
                    "population": f"{kind}, {len(seeds.logs)} seeds",
                    "n_baseline": n_baseline,
                    "n_new": n_new,
                    "false_alarms": rate.false_alarms,
                    "two_or_more_in_twenty": rate.two_in_twenty,
                    "power": power,
                }
            )
            _say(json.dumps(found[-1]))
    return found


def slowed(repeats: Sequence[Path], slow: Sequence[Path]) -> dict[str, Any]:
    """Judge each repeat of a speed suite against the others, as it is and with its times doubled; and a slow suite.

    The slow one is timed with `pytest -p mfbench.benchmarks.regression.twice`.
    """
    from mfbench.benchmarks.regression.baseline import BaselineSpeed
    from mfbench.benchmarks.regression.measure import Speed
    from mfbench.benchmarks.regression.speed import compare_speed, read_speed

    def recorded(paths: Sequence[Path]) -> list[BaselineSpeed]:
        return [BaselineSpeed(name=s.name, source=s.source, ratios=list(s.ratios)) for s in read_speed(paths)]

    def doubled(speed: Speed) -> Speed:
        return replace(speed, ratios=tuple(2.0 * x for x in speed.ratios))

    found: dict[str, Any] = {"repeats": len(repeats), "unchanged": [], "planted_twice_the_time": []}
    for path in repeats:
        old, new = recorded([other for other in repeats if other != path]), read_speed([path])
        found["unchanged"].append(verdict(compare_speed(old, new)))
        found["planted_twice_the_time"].append(verdict(compare_speed(old, [doubled(speed) for speed in new])))
    if slow:
        found["code_that_does_everything_twice"] = verdict(compare_speed(recorded(repeats), read_speed(slow)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m mfbench.benchmarks.regression.demonstrate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--out", type=Path, default=Path("results/runs/regress-demonstration"), help="folder of the runs"
    )
    parser.add_argument("--json", type=Path, default=Path("results/baselines/demonstration.json"), help="the record")
    parser.add_argument(
        "--baseline", type=Path, default=Path("results/baselines/regress.json"), help="for --simulate-only"
    )
    parser.add_argument("--reruns", type=int, default=20)
    parser.add_argument("--seeds-each", type=int, nargs="+", default=[4, 10], help="new seeds of a re-run")
    parser.add_argument("--trials", type=int, default=100, help="simulated baselines, each with 20 re-runs")
    parser.add_argument("--speed", type=Path, nargs="+", default=[], help="repeats of a pytest-benchmark JSON")
    parser.add_argument("--slow", type=Path, nargs="+", default=[], help="the same, timed with everything done twice")
    parser.add_argument("--simulate-only", action="store_true")
    given = parser.parse_args(arguments)
    if given.simulate_only:
        tracked = read_baseline(given.baseline)
        values = {entry.cell: entry.repetitions() for entry in tracked.cells}
        n = len(tracked.cells[0].values)
        simulated(values, n, given.seeds_each, given.trials)
        return
    from mfbench.mfcore.files import write_text

    started = time.process_time()
    baseline, record, everything = real(given.out, given.reruns, given.seeds_each)
    n = len(baseline.cells[0].values)
    if given.speed:
        record["speed"] = slowed(given.speed, given.slow)
    record["simulated"] = simulated(everything.values, n, given.seeds_each, given.trials)
    head = {
        "made_by": "python -m mfbench.benchmarks.regression.demonstrate",
        "commit": commit(),
        "preset": PRESET,
        "n_baseline_seeds": n,
        "cpu_s_of_this_call": round(time.process_time() - started, 1),
    }
    write_text(given.json, json.dumps(head | record, indent=1, ensure_ascii=False) + "\n")
    for name, item in record["degraded_same_seeds"].items():
        _say(f"{name}: {item['headline']}")
    for item in record["new_seeds"]:
        _say(", ".join(f"{key}: {value}" for key, value in item.items() if key != "reruns"))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
