"""Verdicts on made-up runs: what must raise an alarm, and what must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfbench.benchmarks.regression.judge import ALL_ARMS, Finding, Verdict, compare, failed
from mfbench.benchmarks.regression.measure import Cell
from mfbench.mfcore.errors import ConfigError
from tests.regression.made import ARMS, METRICS, REGIME, baseline, cells, changed, measured, values

FORCE = METRICS[0]
SEEDS = range(10)


def verdicts(findings: list[Finding]) -> set[Verdict]:
    return {finding.verdict for finding in findings}


def average(findings: list[Finding], metric: str = FORCE) -> Finding:
    (found,) = [f for f in findings if f.group == ALL_ARMS and f.metric == metric]
    return found


@pytest.fixture
def old() -> dict[Cell, dict]:
    return values(np.random.default_rng(5), SEEDS)


def test_the_same_numbers_are_the_same(old: dict[Cell, dict]) -> None:
    findings = compare(baseline(old), measured(old))
    assert len(findings) == len(cells()) + len(METRICS)
    assert verdicts(findings) == {Verdict.same}
    assert {f.note for f in findings} == {"identical"}
    assert not failed(findings)


def test_ten_per_cent_more_force_error_is_worse_with_the_seeds_of_the_baseline(old: dict[Cell, dict]) -> None:
    rng = np.random.default_rng(8)
    noisy = changed(old, lambda c, s, v: v * 1.1 * float(np.exp(rng.normal() * 0.05)) if c.metric == FORCE else v)
    findings = compare(baseline(old), measured(noisy))
    found = average(findings)
    assert found.verdict is Verdict.worse
    assert found.change == pytest.approx(0.1, abs=0.02)
    assert found.alarm < 0.05
    assert average(findings, METRICS[1]).verdict is Verdict.same
    assert failed(findings)


def test_ten_per_cent_less_is_better_and_does_not_fail(old: dict[Cell, dict]) -> None:
    findings = compare(baseline(old), measured(changed(old, lambda c, s, v: v * 0.9)))
    assert {f.verdict for f in findings if f.group == ALL_ARMS} == {Verdict.better}
    assert not failed(findings)


def test_a_change_below_a_per_cent_counts_as_none_even_if_every_seed_has_it(old: dict[Cell, dict]) -> None:
    slight = changed(old, lambda c, s, v: v * 1.008)
    assert verdicts(compare(baseline(old), measured(slight))) == {Verdict.same}
    assert average(compare(baseline(old), measured(changed(old, lambda c, s, v: v * 1.02)))).verdict is Verdict.worse


def test_one_broken_arm_is_named(old: dict[Cell, dict]) -> None:
    fresh = values(np.random.default_rng(77), range(100, 110))
    broken = changed(fresh, lambda c, s, v: v * 3 if c.arm == "joint" else v)
    # The baseline's own numbers, shifted in one arm, so that the rest is known to be the same.
    findings = compare(baseline(old), measured(changed(old, lambda c, s, v: v * 3 if c.arm == "joint" else v)))
    assert {f.arm for f in findings if f.group == "arm" and f.verdict is Verdict.worse} == {"joint"}
    new_seeds = compare(baseline(old), measured(broken))
    assert {f.arm for f in new_seeds if f.group == "arm" and f.verdict is Verdict.worse} == {"joint"}


def test_seeds_of_one_run_may_be_fewer(old: dict[Cell, dict]) -> None:
    one = measured(values(np.random.default_rng(6), range(50, 51)))
    found = average(compare(baseline(old), one))
    assert (found.n_new, found.n_baseline) == (1, 10)
    assert (
        found.alarm > average(compare(baseline(old), measured(values(np.random.default_rng(6), range(50, 60))))).alarm
    )


def test_a_cell_whose_spread_is_small_by_luck_does_not_alarm_for_ever() -> None:
    rng = np.random.default_rng(2)
    old = values(rng, SEEDS)
    lucky = cells()[0]
    old[lucky] = {at: 20.0 * (1 + 1e-4 * at[1]) for at in old[lucky]}
    fresh = values(rng, range(100, 110))
    fresh[lucky] = dict.fromkeys(fresh[lucky], 20.2)  # 1 % off: 20 standard errors of the lucky spread
    finding = next(f for f in compare(baseline(old), measured(fresh)) if f.group == "arm" and Cell(*_cell(f)) == lucky)
    assert finding.verdict is Verdict.same


def _cell(f: Finding) -> tuple[str, ...]:
    return (f.task, f.regime, f.arm, f.split, f.metric)


def test_draws_are_averaged_and_other_draws_not_compared(old: dict[Cell, dict]) -> None:
    both = {c: {(d, s): v * (1 + 3 * d) for (_, s), v in by.items() for d in (0, 1)} for c, by in old.items()}
    findings = compare(baseline(both), measured(changed(both, lambda c, s, v: v * 1.1)))
    assert average(findings).n_baseline == 10
    assert average(findings).change == pytest.approx(0.1)
    # A seed that lacks a draw cannot be averaged, and is left out rather than set beside the others.
    half = {c: {at: v for at, v in by.items() if at != (1, 4)} for c, by in both.items()}
    assert average(compare(baseline(both), measured(half))).n_new == 9


def test_an_arm_that_was_not_run_is_missing_and_fails(old: dict[Cell, dict]) -> None:
    runs = measured({c: by for c, by in old.items() if c.arm != "heads"})
    runs = replace(runs, planned=runs.planned | {("made", REGIME, "heads")}, n_stale=10)
    findings = compare(baseline(old), runs)
    (lost,) = [f for f in findings if f.verdict is Verdict.missing]
    assert lost.arm == "heads"
    assert "10 stored runs are of other code" in lost.note
    assert failed(findings)
    # The average is over the arms that both have.
    assert average(findings).verdict is Verdict.same


def test_a_failed_run_makes_its_arm_missing_with_the_reason(old: dict[Cell, dict]) -> None:
    runs = measured(old)
    runs.failed["made", REGIME, "delta"] = {(0, 3): "TrainingError: diverged"}
    (lost,) = [f for f in compare(baseline(old), runs) if f.verdict is Verdict.missing]
    assert (lost.arm, lost.note) == ("delta", "1 runs failed; draw 0, seed 3: TrainingError: diverged")


def test_a_metric_that_vanished_is_missing(old: dict[Cell, dict]) -> None:
    gone = cells()[4]
    runs = measured({c: by for c, by in old.items() if c != gone})
    (lost,) = [f for f in compare(baseline(old), runs) if f.verdict is Verdict.missing]
    assert _cell(lost) == gone


def test_an_edited_benchmark_is_not_comparable_not_worse(old: dict[Cell, dict]) -> None:
    worse = changed(old, lambda c, s, v: v * 5)
    runs = measured(worse)
    runs.benchmarks |= {c: "edited" for c in old if c.arm == "single"}
    findings = compare(baseline(old), runs)
    assert {f.arm for f in findings if f.verdict is Verdict.not_comparable} == {"single"}
    everything = compare(baseline(old), measured(worse, benchmark="edited"))
    assert verdicts(everything) == {Verdict.not_comparable}
    assert len(everything) == len(ARMS)
    assert failed(everything), "a check that compared nothing has not passed"
    assert failed([])


def test_runs_that_the_preset_no_longer_has_are_not_comparable(old: dict[Cell, dict]) -> None:
    runs = measured({c: by for c, by in old.items() if c.arm != "heads"})
    (found,) = [f for f in compare(baseline(old), runs) if f.arm == "heads"]
    assert found.verdict is Verdict.not_comparable


def test_a_baseline_of_another_preset_is_refused(old: dict[Cell, dict]) -> None:
    with pytest.raises(ConfigError, match="of preset 'regress', the runs are of 'quick'"):
        compare(baseline(old), replace(measured(old), preset="quick"))


def test_survival_that_shrinks_is_worse_and_costs_are_exact() -> None:
    rng = np.random.default_rng(1)
    place = ("made", REGIME, "joint")
    survival, cost = Cell(*place, "md", "md_rmst_ps_300K"), Cell(*place, "", "train_atom_gradients")
    old = {
        survival: {(0, s): float(2 * np.exp(rng.normal() * 0.03)) for s in SEEDS},
        cost: {(0, s): 1e4 for s in SEEDS},
    }
    new = {survival: {at: v / 2 for at, v in old[survival].items()}, cost: {(0, s): 1.02e4 for s in SEEDS}}
    findings = {f.metric: f for f in compare(baseline(old), measured(new))}
    assert findings["md_rmst_ps_300K"].verdict is Verdict.worse
    assert findings["md_rmst_ps_300K"].change == pytest.approx(-0.5)
    assert findings["md_rmst_ps_300K"].alarm < 0
    assert findings["train_atom_gradients"].verdict is Verdict.worse
    assert findings["train_atom_gradients"].change == pytest.approx(0.02)
    back = {f.metric: f.verdict for f in compare(baseline(new), measured(old))}
    assert set(back.values()) == {Verdict.better}
