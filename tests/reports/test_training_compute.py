"""Budgets as an axis: what more training changes, by errors that are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from scipy import stats

from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.budgets import (
    Change,
    MoreTraining,
    more_training,
    relative_change,
    sentence,
    series,
    trained_enough,
)
from mfbench.benchmarks.reports.figures.base import NothingToDraw, Source
from mfbench.benchmarks.reports.figures.style import PAPER
from mfbench.benchmarks.reports.figures.training_compute import draw
from mfbench.benchmarks.reports.html.content import sections
from mfbench.benchmarks.reports.html.page import page
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.rows import budget_key, budget_words
from mfbench.benchmarks.reports.summary import summaries
from mfbench.mfcore.metrics.intervals import Interval
from mfbench.mfcore.metrics.structures import structure_errors
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group

ARMS = ("single_fidelity", "multi_fidelity", "transfer", "single_fidelity_all")
ERRORS = {
    "100000": (20.0, 14.0, 12.0, 8.0),
    "400000": (18.0, 9.0, 11.0, 6.0),
    "1.6e+06": (18.0, 8.5, 11.0, 5.7),
}
"""Force errors by budget: transfer is the best at the first, joint training at the others."""


def several(n_high: tuple[int, ...] = (100,)) -> Results:
    parts = []
    for budget, errors in ERRORS.items():
        rows = make_rows(
            dict(zip(ARMS, errors, strict=True)),
            draws=3,
            n_high=n_high,
            spread=lambda arm, draw, seed: 1.0 + 0.01 * draw,
        )
        parts.append(rows.assign(budget=budget, run_key=rows["run_key"] + f"-{budget}"))
    return results_by_group(pd.concat(parts, ignore_index=True))


def test_a_change_is_the_mean_ratio_of_the_same_runs() -> None:
    found = relative_change({(0, 0): 10.0, (1, 1): 20.0, (2, 2): 5.0}, {(0, 0): 5.0, (1, 1): 40.0, (3, 3): 1.0})
    assert found is not None
    assert (found.estimate, found.n_runs) == (pytest.approx(0.0), 2)
    assert relative_change({(0, 0): 1.0}, {(1, 0): 1.0}) is None
    alone = relative_change({(0, 0): 10.0}, {(0, 0): 8.0})
    assert alone is not None
    assert alone.estimate == pytest.approx(-0.2)


def test_groups_that_gain_unequally_widen_the_interval_of_a_change() -> None:
    """All runs halve their error, one group of three gains 0.2 more than another: t of two degrees of freedom."""
    runs = [{(draw, 0): error for draw in range(3)} for error in (10.0, 5.0)]
    groups = [
        structure_errors({run: e * np.array(by) for run, e in errors.items()}, [1, 1, 1])
        for errors, by in zip(runs, ([1.0, 1.0, 1.0], [0.9, 1.0, 1.1]), strict=True)
    ]
    found = relative_change(*runs, structures=(groups[0], groups[1]))
    assert found is not None
    reach = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.estimate, found.high) == pytest.approx((-0.5, 0.5 * np.exp(reach) - 1.0))


def test_a_change_without_groups_has_a_dash_and_the_reason() -> None:
    first, second, _ = series(Results(several().rows).cells)[0]
    said = sentence(more_training(first, second))
    assert "changes by −25 % [–]" in said
    assert "[–]: no interval, since errors by group of test structures are not stored)." in said


def test_trained_enough_asks_the_ceiling_and_the_best_arm_for_ten_per_cent() -> None:
    first, second, third = series(several().cells)[0]
    far, near = more_training(first, second), more_training(second, third)
    assert {c.arm: round(c.interval.estimate, 3) for c in far.changes} == {
        "single_fidelity_all": -0.25,
        "transfer": round(11 / 12 - 1, 3),
    }
    assert {c.arm: c.role for c in near.changes} == {"single_fidelity_all": "ceiling", "multi_fidelity": "best arm"}
    assert (far.factor, far.enough, near.enough) == (4.0, False, True)
    assert "At 4 times the training compute" in sentence(far)
    assert "single_fidelity_all (the ceiling) changes by −25 % [−25, −25]" in sentence(far)
    assert ": no (" in sentence(far)
    assert ": yes (" in sentence(near)


def test_half_as_much_again_is_no_doubling() -> None:
    rows = several().rows.replace({"budget": {"1.6e+06": "600000"}})
    _, second, third = series(Results(rows).cells)[0]
    found = more_training(second, third)
    assert (found.enough, found.answer) == (False, "cannot be told")


@pytest.mark.parametrize(
    ("bounds", "answer"),
    [((-0.3, -0.12), "no"), ((-0.5, 0.3), "cannot be told"), ((math.nan, math.nan), "no")],
)
def test_what_an_interval_does_not_show_cannot_be_told(bounds: tuple[float, float], answer: str) -> None:
    change = Change("a", "ceiling", Interval(-0.2, *bounds, 0.95, 3, 3, "draws"))
    assert MoreTraining("100000", "400000", (change,)).answer == answer


def test_tables_and_page_say_it_at_every_budget_and_nothing_without() -> None:
    results = several()
    text = report(results, "text")
    assert "budget 4·10⁵ atom gradients" in text
    assert text.count("Trained enough?") == 3
    assert "This is the largest budget: more was not tried; from 4·10⁵ atom gradients to it" in text
    titles = [section.title for section in sections(results, summaries(results))]
    assert [title.rpartition("budget ")[2] for title in titles] == [
        *("10⁵ atom gradients", "4·10⁵ atom gradients", "1.6·10⁶ atom gradients")
    ]
    assert page(results).count("Trained enough?") == 3
    plain = Results(make_rows({"single_fidelity": 2.0, "transfer": 1.0}))
    assert trained_enough(plain) == {}
    assert "Trained enough" not in report(plain, "text")


def test_the_figure_has_a_panel_for_each_size_and_the_verdict_over_each_budget() -> None:
    source = Source(several((25, 100)))
    with rc_context(PAPER.rc()):
        (drawing,) = draw(source, PAPER)
    assert drawing.name == "training-compute-synthetic-force"
    assert len(drawing.figure.axes) == 2
    for axes in drawing.figure.axes:
        assert len(axes.texts) == len(ERRORS)
        assert axes.get_xscale() == "log"
    assert set(drawing.rows["budget"]) == set(ERRORS)
    with pytest.raises(NothingToDraw, match="two budgets"):
        next(draw(Source(Results(make_rows({"transfer": 1.0}))), PAPER))


def test_budgets_are_written_for_people_and_read_as_numbers() -> None:
    assert [budget_words(name) for name in ("300000", "1e+06", "250", "1.25e+18")] == [
        *("3·10⁵ atom gradients", "10⁶ atom gradients", "2.5·10² atom gradients", "1.25·10¹⁸ atom gradients")
    ]
    assert budget_key("1.6e+06") == 1.6e6
    assert budget_key("default") != budget_key("default")
