"""Overlap of draws, the words that follow from it, and rows of two rules."""

import math

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.harness.columns import RUN_COLUMNS
from mfbench.benchmarks.harness.frames_used import TYPES, as_ranges
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.html.budget import ArmCurve, BudgetRule
from mfbench.benchmarks.reports.html.content import sections
from mfbench.benchmarks.reports.overlap import Overlap, overlap_of
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.rows import TODAY
from mfbench.benchmarks.reports.summary import summaries, tidy
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import make_details

ARMS = {"good": 10.0, "poor": 20.0}


def jitter(arm, draw, seed):
    return 1.0 + 0.01 * np.sin(3 * draw + len(arm) + seed)


def frames_of(rows, of_draw):
    """The detail of runs whose HF frames are those of their draw, and whose LF frames are always the same."""
    records = []
    for run in rows.drop_duplicates("run_key").to_dict("records"):
        own = of_draw(run["draw"])
        parts = [("train", "low", range(100, 400)), ("train", "high", own), ("validation", "high", range(90, 95))]
        for part, fidelity, frames in parts:
            line = {"part": part, "fidelity": fidelity, "n": len(frames), "ids_sha256": "", "frames": as_ranges(frames)}
            records.append({name: run[name] for name in RUN_COLUMNS} | line)
    return pd.DataFrame(records, columns=[*RUN_COLUMNS, *TYPES])


def results(rows, of_draw):
    return Results(rows, Details(tables=make_details(rows, "blocks") | {"frames": frames_of(rows, of_draw)}))


def test_the_shared_fraction_is_a_mean_over_pairs_of_draws():
    rows = make_rows(ARMS, draws=3)
    found = overlap_of(frames_of(rows, lambda draw: range(10 * (draw > 1), 10 + 5 * draw)))  # 0-9, 0-14, 10-19
    assert found == Overlap(pytest.approx((1.0 + 0.0 + 0.5) / 3), 3, ())
    assert found.over == "draws"


def test_frames_that_are_not_recorded_are_said():
    rows = make_rows(ARMS, draws=3, spread=jitter)
    assert math.isnan(overlap_of(Details().table("frames")).shared)
    assert "Overlap of the draws' HF training frames: not recorded." in report(Results(rows))
    assert "Overlap" not in report(Results(make_rows(ARMS)))


def test_draws_of_the_same_frames_are_called_seeds():
    rows = make_rows(ARMS, draws=4, spread=jitter)
    same = results(rows, lambda draw: range(20))
    (cell,) = same.cells
    assert "significantly worse over 4 seeds and 5 groups of test structures" in cell.recommendation().reason
    text = report(same).replace("\n", " ")
    assert "confidence interval over seeds" in text
    assert "1.00 (shared fraction, mean over pairs of draws); they are nearly the same frames" in text
    assert {r["interval_over"] for r in tidy(summaries(same))} == {"seeds"}
    (section,) = sections(same, summaries(same))
    tips = [cell.tip for table in section.tables for g in table.groups for line in g.lines for cell in line.cells]
    assert any("over 4 seeds" in tip for tip in tips)
    assert not any("draws" in tip for tip in tips)


def test_other_draws_stay_draws():
    rows = make_rows(ARMS, draws=4, spread=jitter)
    other = results(rows, lambda draw: range(20 * draw, 20 * draw + 20))
    (cell,) = other.cells
    assert "over 4 draws and 5 groups" in cell.recommendation().reason
    assert "training frames: 0.00 (shared fraction" in report(other)
    large = report(results(rows, lambda draw: range(draw, draw + 9))).replace("\n", " ")
    assert "the intervals say little of other HF frames" in large


def test_runs_of_one_draw_on_other_frames_are_said():
    rows = make_rows(ARMS, draws=3, spread=jitter)
    details = frames_of(rows, lambda draw: range(20 * draw, 20 * draw + 20))
    changed = (details["arm"] == "good") & (details["draw"] == 1) & (details["fidelity"] == "high")
    details.loc[changed, "frames"] = "1-3"
    assert overlap_of(details).several == (1,)
    assert "Runs of draw 1 were trained on different HF frames" in report(
        Results(rows, Details(tables={"frames": details}))
    ).replace("\n", " ")


def test_the_budget_rule_names_seeds_where_all_its_sizes_have_the_same_frames():
    def curve(error):
        return ArmCurve({n: {(d, d): error * (1 + 0.01 * d) for d in range(4)} for n in (10, 40)})

    rule = BudgetRule({"a": curve(1.0), "b": curve(2.0)}, n_low=0, same_frames=[40])
    assert "seeds" in rule.choose(40, 0.0).reason
    assert "draws" in rule.choose(10, 0.0).reason
    assert "draws" in rule.choose(20, 0.0).reason


def test_rows_of_two_rules_are_not_averaged():
    """The table of the older rule says so; each has its own runs."""
    new = make_rows(ARMS, draws=2).assign(**TODAY)
    old = make_rows({arm: 2.0 * error for arm, error in ARMS.items()}, draws=2)
    old = old.assign(**TODAY | {"selected_by": "loss"}, run_key=old["run_key"] + "-old")
    both = Results(pd.concat([new, old], ignore_index=True))
    first, second = sorted(both.cells, key=lambda cell: cell.title)
    assert second.title == f"{first.title}, weights selected by loss"
    assert [len(cell.by_run) for cell in (first, second)] == [4, 4]
    means = [np.mean(list(c.runs("good", "in_coverage", "energy_mae_mev_per_atom").values())) for c in (first, second)]
    assert means == pytest.approx([10.0, 20.0])
    assert "weights selected by loss" in report(both, "md")


def test_rows_without_a_recorded_rule_are_kept_apart_from_those_with_one():
    new = make_rows(ARMS).assign(**TODAY)
    old = make_rows(ARMS).assign(run_key=lambda rows: rows["run_key"] + "-old")
    titles = [cell.title for cell in Results(pd.concat([new, old], ignore_index=True)).cells]
    assert sum("weights selected by not recorded, split rule not recorded" in title for title in titles) == 1
    assert not any("rule" in cell.title for cell in Results(old).cells)
