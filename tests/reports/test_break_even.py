"""Intervals of break-even points and label savings in tables, and the reasons where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.break_even import BOUND
from mfbench.benchmarks.reports.costs import cost_summaries
from mfbench.benchmarks.reports.curves import LearningCurves
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic_details import make_details, results_by_group
from tests.reports.test_costs import frames_of, jitter, priced

ARMS = {"single_fidelity": 20.0, "transfer": 10.0}


def scattered(arm: str, draw: int, seed: int) -> float:
    return 1.0 + 0.05 * float(np.sin(3 * draw + len(arm)))


def test_a_break_even_price_has_an_interval_that_grows_with_the_scatter_of_draws() -> None:
    """Equal groups in both arms cancel, so that draws are left; 800 CPU-s of LF labels for 300 HF labels."""
    widths = []
    for spread in (jitter, scattered):
        (found,) = cost_summaries(results_by_group(priced(ARMS, spread=spread)))
        first = found.by_label_price[0]
        assert first.low < first.end < first.high
        assert first.low < 800.0 / 300.0 < first.high
        widths.append(first.high - first.low)
        assert found.no_interval == ()
    assert widths[1] > 10 * widths[0]


def test_groups_that_the_arms_err_on_differently_widen_it() -> None:
    rows = priced(ARMS, spread=jitter)
    blocks = make_details(rows, "blocks")["blocks"]
    turned = blocks.copy()
    mean = turned.groupby(["run_key", "split", "metric"])["value"].transform("max") / 1.5
    of_transfer = turned["arm"] == "transfer"
    turned.loc[of_transfer, "value"] = 2.0 * mean[of_transfer] - turned.loc[of_transfer, "value"]
    ends = []
    for table in (blocks, turned):
        (found,) = cost_summaries(Results(rows, Details(tables={"blocks": table})))
        ends.append(found.by_label_price[0])
        assert found.efficiency["transfer", 100] is not None
    assert ends[1].high - ends[1].low > 3 * (ends[0].high - ends[0].low)
    assert ends[1].end == pytest.approx(ends[0].end)


def test_by_atoms_predicted() -> None:
    rows = priced(ARMS, spread=scattered)
    rows.loc[rows["arm"] == "single_fidelity", "inference_us_per_atom"] = 40.0
    rows.loc[rows["arm"] == "transfer", "inference_us_per_atom"] = 80.0
    (found,) = cost_summaries(results_by_group(rows))
    first = found.by_predictions[0]
    assert first.arm == "transfer"
    assert 0.0 < first.low < first.end < first.high < math.inf


def test_reasons_are_told() -> None:
    rows = priced(ARMS)
    (found,) = cost_summaries(results_by_group(rows[rows["draw"] < 2]))
    assert found.no_interval == ("2 draws of the HF set, and at least 3 are asked for",)
    same = Details(tables=make_details(rows, "blocks") | {"frames": frames_of(rows).table("frames")})
    (found,) = cost_summaries(Results(rows, same))
    assert found.no_interval == ("the draws are nearly the same HF frames",)
    assert math.isnan(found.by_label_price[0].low)
    text = " ".join(report(Results(rows)).split())
    assert "[–]: no interval, since errors by group of test structures are not stored." in text
    assert "single_fidelity up to 2.67 [–], then transfer" in text


def test_a_point_that_rests_on_an_arm_below_its_smallest_set_is_a_bound() -> None:
    rows = priced({"single_fidelity": 20.0, "good": 2.0}, spread=jitter)
    (found,) = cost_summaries(results_by_group(rows))
    assert math.isnan(found.by_label_price[0].low)
    assert found.no_interval == (BOUND,)


def test_a_failed_run_costs_its_own_arm_a_draw() -> None:
    rows = priced({**ARMS, "multi_head": 12.0}, spread=jitter)
    rows = rows[~((rows["arm"] == "multi_head") & (rows["draw"] == 0) & (rows["n_high"] == "100"))]
    (part,) = results_by_group(rows).regimes
    curves = LearningCurves(part, part.arms, part.split, part.metric)
    assert curves.lacking("single_fidelity", "transfer") == ""
    assert curves.lacking("single_fidelity", "multi_head").startswith("2 draws")
    assert curves.laws("single_fidelity", "transfer").n_draws == 3
