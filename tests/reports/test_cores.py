"""Reports keep the runs of different cores apart, and say which arms a core leaves out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mfbench.benchmarks.reports import recommendation, report
from mfbench.benchmarks.reports.arms import left_out
from mfbench.benchmarks.reports.html.page import page
from mfbench.benchmarks.reports.results import Results
from tests.harness.conftest import fakes
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group

__all__ = ["fakes"]

CORE = "fake_pair(hidden=4)"


@pytest.fixture
def rows(fakes: Path) -> pd.DataFrame:
    """Runs of two cores; the arm that is best on one is the worst on the other."""
    left_out.cache_clear()
    first = make_rows({"single_fidelity": 3.0, "transfer": 1.0, "multi_head": 2.0}, draws=4)
    second = make_rows({"single_fidelity": 1.5, "transfer": 9.0}, draws=4)
    return pd.concat([first, second.assign(core=CORE, run_key="p" + second["run_key"])], ignore_index=True)


def test_each_core_has_tables_and_recommendations_of_its_own(rows: pd.DataFrame) -> None:
    results = results_by_group(rows)
    assert results.cores == ["equivariant", CORE]
    assert [cell.arms for cell in results.cells] == [
        ["single_fidelity", "multi_head", "transfer"],
        ["single_fidelity", "transfer"],
    ]
    found = {title: best.arm for title, best in recommendation(results).items()}
    assert list(found.values()) == ["transfer", "single_fidelity"]
    assert [f"core {CORE}" in title for title in found] == [False, True]
    assert "core" not in next(iter(found)).replace("coverage", "")


def test_tables_and_pages_say_which_arms_are_left_out_and_why(rows: pd.DataFrame) -> None:
    sentence = "Left out on core fake_pair, which has none, embedding only: "
    results = Results(rows)
    for format in ("md", "text"):
        text = " ".join(report(results, format).split())
        assert text.count(sentence) == 1
        assert "multi_head (it needs heads)" in text
    assert "multi_head (it needs heads)" in page(results)
    assert left_out("equivariant", ("multi_fidelity",)) == ()
    assert left_out("perceptron", ("multi_fidelity",)) == ()


def test_rows_from_before_give_the_tables_of_the_default_core() -> None:
    rows = make_rows({"single_fidelity": 3.0, "transfer": 1.0})
    for format in ("text", "csv"):
        assert report(Results(rows.drop(columns="core")), format) == report(Results(rows), format)
