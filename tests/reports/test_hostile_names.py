"""Names of tasks, arms, levels and regimes that try to be more than names."""

from __future__ import annotations

import io
import json
import re

import pandas as pd
import pytest

from mfbench.benchmarks.harness.rows_file import read_rows, write_rows
from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.html.page import page
from mfbench.benchmarks.reports.names import in_one_line
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows

EVIL = "=HYPERLINK(1)\n\\input{/etc/passwd}\n<script>alert(1)</script>|`x`\x1b[31m\u202e"


@pytest.fixture(scope="module", params=["task", "arm", "labels", "core"])
def rows(request: pytest.FixtureRequest) -> pd.DataFrame:
    made = make_rows({"single_fidelity": 20.0, "multi_fidelity": 10.0}, draws=2, n_high=(100, 400))
    if request.param == "arm":
        return made.assign(arm=made["arm"].replace("multi_fidelity", EVIL))
    return made.assign(**{request.param: EVIL})


def test_latex(rows: pd.DataFrame) -> None:
    text = report(Results(rows), "tex")
    assert not [line for line in text.splitlines() if line.startswith("\\input")]
    assert all("\\input" not in line or line.startswith("% ") for line in text.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)


def test_markdown(rows: pd.DataFrame) -> None:
    text = report(Results(rows), "md")
    assert "\x1b" not in text
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|:--"):
            table = [lines[number - 1]]
            for below in lines[number + 1 :]:
                if not below.startswith("|"):
                    break
                table.append(below)
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table}
            assert cells == {line.count("|")}
    outside_of_code = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", text)
    assert "<script>" not in outside_of_code.replace("\\<", "")


def test_csv_json_and_text(rows: pd.DataFrame) -> None:
    text = report(Results(rows), "csv")
    table = pd.read_csv(io.StringIO(text))
    for name in (name for name in table if not pd.api.types.is_numeric_dtype(table[name])):
        assert not table[name].astype(str).str.startswith(("=", "+", "@")).any()
    assert "\x1b" not in report(Results(rows), "text")
    assert json.loads(report(Results(rows), "json"))


def test_page(rows: pd.DataFrame) -> None:
    text = page(Results(rows))
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_files_of_rows_have_no_formulas_and_come_back(tmp_path) -> None:
    made = make_rows({"single_fidelity": 20.0}).assign(task="=1+1", labels="'@a")
    write_rows(made, tmp_path / "rows.csv.gz")
    raw = pd.read_csv(tmp_path / "rows.csv.gz")
    assert set(raw["task"]) == {"'=1+1"}
    found = read_rows(tmp_path / "rows.csv.gz")
    assert (set(found["task"]), set(found["labels"])) == ({"=1+1"}, {"'@a"})


def test_tables_without_odd_names_are_the_same_object() -> None:
    table = pd.DataFrame({"arm": ["a", "b"], "value": [1.0, 2.0], "lists": [[1], [2]]})
    assert in_one_line(table) is table
    assert list(in_one_line(table.assign(arm=["a\n", "b"]))["arm"]) == ["a\\n", "b"]
