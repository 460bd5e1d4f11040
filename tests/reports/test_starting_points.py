"""Checkpoints that arms start from cost the user nothing, and reports say who paid.

Module: mfbench.benchmarks.reports.starting_points.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.costs import cost_summaries
from mfbench.benchmarks.reports.html.page import page
from mfbench.benchmarks.reports.prices import label_prices
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.starting_points import QUANTITY, uses_low
from tests.reports.synthetic import make_rows
from tests.reports.test_costs import HIGH_PRICE, LOW_PRICE, N_LOW, SIZES, jitter

CORE = "sevennet(SevenNet-MF-0:PBE)"
START = "SevenNet-MF-0:PBE"


def started(core: str = CORE, **errors: float) -> pd.DataFrame:
    """Runs from a checkpoint: transfer pays HF labels only, replay the LF labels as well."""
    rows = make_rows({"single_fidelity": 20.0, **errors}, draws=3, n_high=SIZES, spread=jitter).assign(core=core)
    starts = rows["arm"] != "single_fidelity"
    low = np.where(rows["arm"] == "transfer_replay", N_LOW * LOW_PRICE, 0.0)
    paid = HIGH_PRICE * (rows["n_high"].astype(int) + 10) + low
    return rows.assign(starts_from=np.where(starts, START, ""), label_cost_cpu_s=paid)


def needs(found: Any) -> dict[str, Any]:
    return {need.arm: need for need in found.needs}


def test_lf_labels_of_a_checkpoint_are_nobodys_here() -> None:
    results = Results(started(transfer=10.0, transfer_replay=10.5))
    (part,) = results.regimes
    assert not uses_low(part, "transfer")
    assert uses_low(part, "transfer_replay")
    prices = label_prices(part)
    assert (prices.low, prices.high) == pytest.approx((LOW_PRICE, HIGH_PRICE))
    (found,) = cost_summaries(results)
    # transfer needs fewer HF labels than replay, and no LF ones: the cheapest at any price
    assert [stretch.arm for stretch in found.by_label_price] == ["transfer"]
    assert needs(found)["transfer"].label_cpu_s == pytest.approx(HIGH_PRICE * 110, rel=0.02)


def test_from_random_weights_the_same_arm_pays_them() -> None:
    rows = started(transfer=10.0).assign(starts_from="", core="equivariant")
    (part,) = Results(rows).regimes
    assert uses_low(part, "transfer")
    assert uses_low(Results(rows.drop(columns="starts_from")).regimes[0], "transfer")  # of before it was recorded


@pytest.mark.parametrize("format", ["text", "markdown", "latex"])
def test_reports_say_who_paid(format: str) -> None:
    text = " ".join(report(Results(started(transfer=10.0)), format).split())
    assert "LF stage 0 of transfer is the checkpoint SevenNet" in text
    assert "paid by others: its labels and its training count 0 CPU-s here" in text
    assert "paid by others" not in report(Results(started(transfer=10.0).assign(starts_from="")), format)


def test_an_own_checkpoint_was_paid_before() -> None:
    text = report(Results(started("equivariant(model)", transfer=10.0)))
    assert "paid before this comparison" in text
    assert "paid by others" not in text


def test_the_page_says_it() -> None:
    assert f"is the checkpoint {START}, paid by others" in page(Results(started(transfer=10.0)))


def test_records_have_the_cost_to_the_user() -> None:
    records = json.loads(report(Results(started(transfer=10.0)), "json"))
    found = [record for record in records if record["quantity"] == QUANTITY]
    assert {(record["arm"], record["n_high"]) for record in found} == {("transfer", str(n)) for n in SIZES}
    assert {(record["estimate"], record["unit"], record["starts_from"]) for record in found} == {(0.0, "CPU-s", START)}
    assert report(Results(started(transfer=10.0)), "csv").count(QUANTITY) == len(SIZES)
