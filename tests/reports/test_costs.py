"""Costs of an error: data efficiency and break-even points of power laws with known answers."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.harness.columns import RUN_COLUMNS
from mfbench.benchmarks.harness.frames_used import TYPES
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.costs import cost_summaries
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.html.grid import Grid
from mfbench.benchmarks.reports.prices import label_prices, low_per_high
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import make_details, results_by_group

RESULTS = Path(__file__).parents[2] / "results"
SIZES = (25, 100, 400)
LOW_PRICE, HIGH_PRICE = 2.0, 50.0
N_LOW = 400


def jitter(arm, draw, seed):
    """Differs from arm to arm and draw to draw by one per mille."""
    return 1.0 + 0.001 * np.sin(3 * draw + len(arm))


def priced(arms, **options):
    """Errors ∝ n^-1/2; labels at known prices, 10 HF frames for validation beside the training set.

    Δ on labels pays LF labels of all HF frames, unless they come with those (`paid_once`).
    """
    paid_once = options.pop("paid_once", False)
    rows = make_rows(arms, draws=3, **{"n_high": SIZES, "spread": jitter} | options)
    n = rows["n_high"].map(lambda size: 1000 if size == "all" else int(size))
    low = np.where(rows["arm"] == "single_fidelity", 0.0, N_LOW * LOW_PRICE)
    paired = np.where((rows["arm"] == "delta_labels") & (not paid_once), (n + 10) * LOW_PRICE, 0.0)
    return rows.assign(label_cost_cpu_s=HIGH_PRICE * (n + 10) + low + paired)


def frames_of(rows):
    """The detail of runs with 10 validation frames."""
    records = []
    for run in rows.drop_duplicates("run_key").to_dict("records"):
        parts = [("train", "low", N_LOW), ("train", "high", int(run["n_high"])), ("validation", "high", 10)]
        for part, fidelity, n in parts:
            line = {"part": part, "fidelity": fidelity, "n": n, "ids_sha256": "", "frames": f"0-{n - 1}"}
            records.append({name: run[name] for name in RUN_COLUMNS} | line)
    return Details(tables={"frames": pd.DataFrame(records, columns=[*RUN_COLUMNS, *TYPES])})


def test_an_arm_with_half_the_error_needs_a_quarter_of_the_labels():
    rows = priced({"single_fidelity": 20.0, "transfer": 10.0, "single_fidelity_all": 1.0})
    (found,) = cost_summaries(results_by_group(rows))
    assert (found.metric, found.split, found.sizes) == ("force_mae_mev_per_A", "out_of_coverage", SIZES)
    factor = found.efficiency["transfer", 100]
    assert factor.status == "reached"
    assert factor.interval.estimate == pytest.approx(4.0, rel=0.02)
    assert factor.interval.low < 4.0 < factor.interval.high
    assert factor.n_groups == 5
    assert found.no_interval == ()
    assert found.efficiency["transfer", 400].status == "not reached"  # single fidelity would need 1600
    assert found.arms == ["transfer"]
    needs = {need.arm: need for need in found.needs}
    assert needs["transfer"].n_high == pytest.approx(100.0, rel=0.02)
    assert needs["single_fidelity"].n_high == 400
    assert found.error == pytest.approx(20.0 * 10.0 * 2.0 * 0.5, rel=0.01)  # forces, out of coverage, n = 400
    assert needs["transfer"].label_cpu_s == pytest.approx(HIGH_PRICE * 110 + N_LOW * LOW_PRICE, rel=0.02)


def test_beyond_the_sizes_that_were_run_nothing_is_claimed():
    (found,) = cost_summaries(Results(priced({"single_fidelity": 20.0, "good": 2.0, "poor": 30.0})))
    needs = {need.arm: need for need in found.needs}
    assert (needs["good"].status, needs["good"].n_high) == ("below", 25)
    assert (needs["poor"].status, needs["poor"].n_high) == ("not reached", math.inf)
    assert math.isnan(needs["poor"].train_cpu_s)
    assert {found.efficiency["good", n].status for n in SIZES} == {"not reached"}
    text = report(Results(priced({"single_fidelity": 20.0, "good": 2.0, "poor": 30.0})))
    (line,) = [line for line in text.split("what the error")[1].splitlines() if line.startswith("poor")]
    assert "> 400, not reached" in line
    (line,) = [line for line in text.split("what the error")[1].splitlines() if line.startswith("good  ")]
    assert line.split()[1:5] == ["<", "25", ">", "16"]


def test_prices_are_told_apart():
    (found,) = cost_summaries(Results(priced({"single_fidelity": 20.0, "transfer": 10.0})))
    assert (found.prices.low, found.prices.high) == pytest.approx((LOW_PRICE, HIGH_PRICE))


@pytest.mark.parametrize("paid_once", [False, True])
@pytest.mark.parametrize("recorded", [False, True])
def test_low_labels_of_high_frames_are_paid_as_the_runs_paid_them(paid_once, recorded):
    """Where an HF label's calculation starts from the LF one, Δ on labels pays nothing more."""
    rows = priced({"single_fidelity": 20.0, "delta_labels": 10.0, "transfer": 30.0}, paid_once=paid_once)
    (part,) = Results(rows, frames_of(rows) if recorded else None).regimes
    prices = label_prices(part)
    assert (prices.low, prices.high) == pytest.approx((LOW_PRICE, HIGH_PRICE))
    assert prices.low_of_high == pytest.approx(0.0 if paid_once else LOW_PRICE)
    assert low_per_high(part, "delta_labels", prices) == pytest.approx(0.0 if paid_once else 1.0)
    assert low_per_high(part, "transfer", prices) == 0.0
    (found,) = cost_summaries(Results(rows))
    n = next(need.n_high for need in found.needs if need.arm == "delta_labels")
    first, second = found.by_label_price
    assert (first.arm, second.arm) == ("single_fidelity", "delta_labels")
    assert first.end == pytest.approx((N_LOW * LOW_PRICE + (0.0 if paid_once else n * LOW_PRICE)) / (400 - n))


def test_one_size_is_enough_where_frames_are_recorded():
    rows = priced({"single_fidelity": 20.0, "delta_labels": 10.0, "transfer": 10.0}, n_high=(100,))
    (part,) = Results(rows, frames_of(rows)).regimes
    prices = label_prices(part)
    assert (prices.low, prices.high, prices.low_of_high) == pytest.approx((LOW_PRICE, HIGH_PRICE, LOW_PRICE))
    assert Grid(part, N_LOW).prices == pytest.approx({"low": LOW_PRICE, "high": HIGH_PRICE})
    (part,) = Results(rows).regimes
    assert math.isnan(label_prices(part).high)
    assert Grid(part, N_LOW).prices is None


def test_without_prices_the_task_says_what_comes_along():
    rows = make_rows({"single_fidelity": 20.0, "delta_labels": 10.0}, label_cost=math.nan)
    for task, further in (("synthetic", 1.0), ("ingan", 0.0), ("molecular_cc", 1.0)):
        (part,) = Results(rows.assign(task=task)).regimes
        assert low_per_high(part, "delta_labels", label_prices(part)) == further


def test_committed_crystals_pay_for_each_label_once():
    (part,) = Results.read(RESULTS / "ingan" / "rows.csv.gz").regimes
    prices = label_prices(part)
    assert prices.low_of_high == 0.0
    assert 30.0 < prices.low < 60.0 < prices.high


def test_break_even_by_label_price():
    """Single fidelity buys 400 HF labels; transfer 100 and 400 LF labels at 2: equal at 800 / 300 CPU-s."""
    (found,) = cost_summaries(Results(priced({"single_fidelity": 20.0, "transfer": 10.0})))
    first, second = found.by_label_price
    assert (first.arm, second.arm) == ("single_fidelity", "transfer")
    needs = {need.arm: need for need in found.needs}
    assert first.end == pytest.approx(N_LOW * LOW_PRICE / (400 - needs["transfer"].n_high))
    assert not found.without_low_price


def test_break_even_by_predictions():
    """Transfer is cheaper to make, single fidelity twice as fast: they cross where its advance is used up."""
    rows = priced({"single_fidelity": 20.0, "transfer": 10.0})
    rows.loc[rows["arm"] == "single_fidelity", "inference_us_per_atom"] = 40.0
    rows.loc[rows["arm"] == "transfer", "inference_us_per_atom"] = 80.0
    (found,) = cost_summaries(Results(rows))
    needs = {need.arm: need for need in found.needs}
    first, second = found.by_predictions
    assert (first.arm, second.arm) == ("transfer", "single_fidelity")
    ahead = HIGH_PRICE * (400 - needs["transfer"].n_high) - N_LOW * LOW_PRICE
    assert first.end == pytest.approx(ahead / 40e-6)


def test_low_labels_of_predictions_count_where_the_size_of_a_frame_is_known():
    """Δ on labels pays an LF label, of 2 CPU-s for six atoms, for each prediction."""
    arms = {"single_fidelity": 20.0, "delta_labels": 5.0, "transfer": 10.0}
    rows = priced(arms)
    rows.loc[rows["arm"] == "transfer", "inference_us_per_atom"] = 10.0
    (without,) = cost_summaries(Results(rows))
    assert without.left_out == ("delta_labels",)
    assert "delta_labels" not in {part.arm for part in without.by_predictions}
    (found,) = cost_summaries(Results(rows, Details(tables=make_details(rows, "predictions"))))
    assert found.left_out == ()
    first, second = found.by_predictions
    assert (first.arm, second.arm) == ("delta_labels", "transfer")
    needs = {need.arm: need for need in found.needs}
    n, m = needs["delta_labels"].n_high, needs["transfer"].n_high
    ahead = HIGH_PRICE * (m - n) - LOW_PRICE * n
    assert first.end == pytest.approx(ahead / (LOW_PRICE / 6 + (85.2 - 10.0) * 1e-6))


def test_without_label_costs_low_labels_are_free_and_it_is_said():
    rows = make_rows({"single_fidelity": 20.0, "transfer": 10.0}, draws=3, n_high=SIZES, label_cost=math.nan)
    (found,) = cost_summaries(Results(rows))
    assert found.without_low_price
    assert found.by_predictions == ()
    assert "taken as free" in report(Results(rows)).replace("\n", " ")


def test_no_table_without_a_reference_or_a_curve():
    assert cost_summaries(Results(make_rows({"single_fidelity": 20.0, "transfer": 10.0}))) == []
    assert cost_summaries(Results(make_rows({"a": 20.0, "transfer": 10.0}, n_high=SIZES))) == []


def test_one_run_gives_factors_without_intervals():
    (found,) = cost_summaries(Results(make_rows({"single_fidelity": 20.0, "transfer": 10.0}, n_high=SIZES)))
    factor = found.efficiency["transfer", 25].interval
    assert factor.estimate == pytest.approx(4.0)
    assert math.isnan(factor.low)
    text = report(Results(make_rows({"single_fidelity": 20.0, "transfer": 10.0}, n_high=SIZES)))
    (line,) = [x for x in text.split("HF labels that")[1].split("what the")[0].splitlines() if x.startswith("transfer")]
    assert line.split()[1:3] == ["4.0", "[–]"]
    assert "[–]: no interval, since 1 draw of the HF set, and at least 3 are asked for." in text.replace("\n", " ")


def test_records_hold_costs():
    records = json.loads(report(results_by_group(priced({"single_fidelity": 20.0, "transfer": 10.0})), "json"))
    found = {(r["arm"], r["n_high"]): r for r in records if r["quantity"] == "data_efficiency_force_mae_mev_per_A"}
    assert found["transfer", "100"]["estimate"] == pytest.approx(4.0, rel=0.02)
    assert (found["transfer", "100"]["n_groups"], found["transfer", "100"]["interval_over"]) == (5, "draws")
    assert found["transfer", "400"]["estimate"] is None  # not reached; the bound says how far was tried
    assert found["transfer", "400"]["low"] == pytest.approx(1.0)
    (needed,) = [r for r in records if r["quantity"].startswith("n_high_needed") and r["arm"] == "transfer"]
    assert needed["unit"] == "HF labels"
    assert needed["estimate"] == pytest.approx(100.0, rel=0.02)


def test_markdown_and_latex_hold_costs():
    rows = priced({"single_fidelity": 20.0, "transfer": 10.0})
    markdown = report(Results(rows), "md")
    assert "### costs: synthetic" in markdown
    assert "\\> 1.0, not reached |" in markdown
    tex = report(Results(rows), "tex")
    assert "$>$ 1.0, not reached" in tex
    assert r"\begin{tabular}{lrrr}" in tex
